# SPDX-License-Identifier: MIT
# A program with no thread at all has an empty ledger.
# needs: gzip
# expect: .totals.threads.created == 0
# expect: .totals.threads.adopted == 0
# expect: .totals.pins.opened == 0
# expect: [.totals.leaks[]] | add == 0
head -c 1000000 /dev/zero >zeros
run gzip -n -c zeros | cksum
