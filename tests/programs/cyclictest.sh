# SPDX-License-Identifier: MIT
# cyclictest was linked against old symbol versions; its threads pin themselves on 26 KiB stacks.
# needs: cyclictest root
# expect: .totals.threads.created == 2
# expect: .totals.affinity.self == 4
run cyclictest -t 2 -a -l 100 -i 1000 -q >/dev/null
