# SPDX-License-Identifier: MIT
# iperf3 -A pins for each connection, on the client and on the server.
# needs: iperf3
# expect: .totals.affinity.self == 4
# expect: .totals.threads.created == 0
serve iperf3 -s -1 -p 21102 -A 1 -B 127.0.0.1 >/dev/null
await_port 21102
run iperf3 -c 127.0.0.1 -p 21102 -A 0,1 -t 1 >/dev/null
echo "client: $?"
wait "$wrapper"
