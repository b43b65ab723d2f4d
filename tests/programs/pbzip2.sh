# SPDX-License-Identifier: MIT
# needs: pbzip2
# expect: .totals.threads.created >= 4
head -c 6000000 /dev/zero >zeros
run pbzip2 -q -p4 -c zeros | cksum
