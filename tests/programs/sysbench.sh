# SPDX-License-Identifier: MIT
# All threads joined, nothing pinned.
# needs: sysbench
# expect: .totals.threads.created == 4
# expect: [.totals.leaks[]] | add == 0
run sysbench threads --threads=4 --time=1 run >/dev/null
