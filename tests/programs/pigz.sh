# SPDX-License-Identifier: MIT
# Threads created and joined as data comes.
# needs: pigz
# expect: .totals.threads.created >= 4
# expect: [.totals.leaks[]] | add == 0
head -c 6000000 /dev/zero >zeros
run pigz -n -p 4 -c zeros | cksum
