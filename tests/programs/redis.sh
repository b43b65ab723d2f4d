# SPDX-License-Identifier: MIT
# redis-server with pinned main, io and bio threads; jemalloc's background thread escapes every symbol; BGSAVE
# forks a child that inherits the pin.
# needs: redis-server redis-cli
# expect: .totals.threads.created + .totals.threads.adopted == 5
# expect: .totals.threads.adopted >= 1
# expect: .totals.affinity.self == 5
# expect: [.processes[] | select(.parent) | .pins.inherited] | add == 1
cat >redis.conf <<CONF
port 21103
bind 127.0.0.1
dir $dir
save ""
io-threads 2
io-threads-do-reads yes
server_cpulist 0
bio_cpulist 1
CONF
serve redis-server redis.conf >/dev/null
await_port 21103
redis-cli -p 21103 set key value
redis-cli -p 21103 get key
redis-cli -p 21103 bgsave
until redis-cli -p 21103 info persistence | grep -q rdb_bgsave_in_progress:0; do sleep 0.05; done
stop
