# SPDX-License-Identifier: MIT
# Four threads that pin themselves and end pinned.
# needs: ptsematest root
# expect: .totals.threads.created == 4
# expect: .totals.affinity.self == 4
# expect: .totals.pins.open_at_end == 4
run ptsematest -a -t 2 -l 50 -i 1000 -q >/dev/null
