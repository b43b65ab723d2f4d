# SPDX-License-Identifier: MIT
# needs: zstd
# expect: .totals.threads.created >= 2
# expect: [.totals.leaks[]] | add == 0
head -c 6000000 /dev/zero >zeros
run zstd -q -T2 -c zeros | cksum
