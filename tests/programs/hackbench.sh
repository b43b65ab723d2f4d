# SPDX-License-Identifier: MIT
# Forty threads on 16 KiB stacks: whoever takes 12 KiB of one crashes it.
# needs: hackbench
# expect: .totals.threads.created == 40
# expect: .totals.threads.joined == 40
# expect: [.totals.leaks[]] | add == 0
run hackbench -T -g 1 -l 50 >/dev/null
