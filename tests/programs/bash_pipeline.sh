# SPDX-License-Identifier: MIT
# A shell script: many short processes, each with its trace, joined as a tree.
# needs: taskset
# expect: (.processes | length) >= 8
# expect: .totals.affinity.self == 1
# expect: [.totals.leaks[]] | add == 0
run bash -c 'for i in 1 2 3; do echo $i | cat | tr 1-3 a-c; done; (exit 7); echo $?; taskset -c 0 true; exec env sh -c "exit 9"'
