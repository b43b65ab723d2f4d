# SPDX-License-Identifier: MIT
# pdns_recursor maps its threads to CPUs from the outside (cross) and dies by SIGTERM, without destructors.
# needs: /usr/sbin/pdns_recursor
# expect: .totals.affinity.cross + .totals.affinity.self == 3
mkdir sockets
cat >recursor.conf <<CONF
local-address=127.0.0.1
local-port=21106
threads=2
cpu-map=0=0 1=1 2=0,1
daemon=no
write-pid=no
socket-dir=$dir/sockets
security-poll-suffix=
setuid=
setgid=
CONF
serve /usr/sbin/pdns_recursor --config-dir="$dir" --disable-syslog 2>/dev/null
await_port 21106
# The port is open before all threads run: wait until as many are there as ever will be.
for _ in {1..250}; do [ "$(ls "/proc/$server/task" | wc -l)" -ge 6 ] && break; sleep 0.02; done
sleep 0.5
stop
