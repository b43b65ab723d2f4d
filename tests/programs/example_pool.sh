# SPDX-License-Identifier: MIT
# examples/pool.c: four leaked pins from one line, none once cured.
# needs: gcc
# expect: .totals.leaks["exit-while-pinned"] == 4
# expect: [.processes[] | select(.leaks["exit-while-pinned"] > 0)] | length == 1
# expect: .totals.pins.opened == 8 and .totals.pins.released == 4
gcc -O2 -g -pthread -o pool "$SOURCES/examples/pool.c" || exit
run ./pool
run ./pool cured
