# SPDX-License-Identifier: MIT
# redis-server whose server_cpulist is denied by a ban on redis's own function: it serves on, unpinned, and the log names the
# function. The other threads keep their pins.
# needs: redis-server redis-cli
# expect: .totals.affinity.self == 5
# expect: [.processes[].violations[]?] | add // 0 == 0
. "$SOURCES/tests/programs/enforced"
policy denied <<'INI'
[ban "no pinned main thread"]
function = setcpuaffinity
thread_name = redis-server
INI
cat >redis.conf <<CONF
port 21121
bind 127.0.0.1
dir $dir
save ""
io-threads 2
server_cpulist 0
bio_cpulist 1
CONF
mask_of() { sed -n 's/^Cpus_allowed_list:\s*//p' "/proc/$1/status"; }
serve redis-server redis.conf >/dev/null
await_port 21121
redis-cli -p 21121 ping
redis-cli -p 21121 set key value
stop
enforce denied redis-server redis.conf
if looking; then
  await_port 21121
  wants '$(redis-cli -p 21121 ping) = PONG'
  wants '$(redis-cli -p 21121 set key value) = OK'
  wants '$(redis-cli -p 21121 get key) = value'
  pid=$(redis-cli -p 21121 info server | tr -d "\r" | sed -n "s/^process_id://p")
  wants '$(mask_of "$pid") = $(mask_of self)'
  finish
  wants '$status = 0'
  wants '$(<"$dir/denied.err") = *"ban:no pinned main thread"*setcpuaffinity*'
  reports denied '[.processes[].violations["ban:no pinned main thread"] // 0] | add >= 1'
  reports denied '.totals.pins.opened >= 3'
fi
