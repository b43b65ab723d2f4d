# SPDX-License-Identifier: MIT
# taskset pins itself, then becomes the program: the pin crosses exec and is that program's baseline.
# needs: taskset
# expect: .totals.threads.created == 0
# expect: .totals.affinity.self == 1
# expect: [.processes[] | select(.end.how == "exec") | .pins.open_at_end] | add == 1
# expect: [.totals.leaks[]] | add == 0
run taskset -c 0 bash -c 'nproc; exit 3'
