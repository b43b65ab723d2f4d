# SPDX-License-Identifier: MIT
# coreutils' sort on two threads.
# needs: sort seq
# expect: .totals.threads.created >= 1
# expect: [.totals.leaks[]] | add == 0
seq 300000 -1 1 >numbers
run sort -n --parallel=2 -S 64M numbers | cksum
