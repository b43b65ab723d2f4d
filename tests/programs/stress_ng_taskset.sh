# SPDX-License-Identifier: MIT
# stress-ng pins itself to one CPU and forks workers that inherit the mask.
# needs: stress-ng
# expect: .totals.affinity.self == 1
# expect: .totals.pins.inherited >= 2
run stress-ng --taskset 0 --cpu 2 --cpu-ops 40 --timeout 20 >/dev/null 2>&1
