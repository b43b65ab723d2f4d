# SPDX-License-Identifier: MIT
# iperf3 -A pins for each connection it gets ready for: caught by the rate of its one site, from the second on.
# needs: iperf3
# expect: .totals.affinity.self == 4
# expect: [.processes[].violations[]?] | add // 0 == 0
. "$SOURCES/tests/programs/enforced"
policy rated <<'INI'
[ban "a pin for each connection"]
site_rate = 1/60s
action = log
message = pin the server once, at its start
INI
serve iperf3 -s -1 -p 21123 -A 1 -B 127.0.0.1 >/dev/null
await_port 21123
run iperf3 -c 127.0.0.1 -p 21123 -A 0,1 -n 64K >/dev/null
echo "client: $?"
wait "$wrapper"
enforce rated iperf3 -s -p 21123 -A 1 -B 127.0.0.1
if looking; then
  await_port 21123
  for _ in 1 2 3; do
    for _ in {1..50}; do
      iperf3 -c 127.0.0.1 -p 21123 -n 64K >/dev/null 2>&1 && break
      sleep 0.1
    done
  done
  finish
  wants '$(<"$dir/rated.err") = *"ban:a pin for each connection"*"pin the server once"*'
  reports rated '.totals.affinity.self as $n | $n >= 3 and .totals.violations == {"ban:a pin for each connection": ($n - 1)}'
fi
