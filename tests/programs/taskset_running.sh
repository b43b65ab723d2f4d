# SPDX-License-Identifier: MIT
# taskset -a pins every thread of a running server from another process: the server makes no call.
# needs: taskset memcached
# expect: .totals.affinity.other_process == ([.processes[] | select(.exe | endswith("memcached")) | .threads.created] | add) + 1
# expect: .totals.affinity.external == .totals.affinity.other_process
serve memcached -u nobody -l 127.0.0.1 -p 21101 -t 2
await_port 21101
run taskset -a -p -c 0 "$server" >/dev/null
echo "taskset: $?"
stop
