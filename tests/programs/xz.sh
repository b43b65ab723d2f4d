# SPDX-License-Identifier: MIT
# needs: xz
# expect: .totals.threads.created >= 2
# expect: [.totals.leaks[]] | add == 0
head -c 6000000 /dev/zero >zeros
run xz -T2 --block-size=1MiB -c zeros | cksum
