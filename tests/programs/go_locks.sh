# SPDX-License-Identifier: MIT
# Threads of Go programs, those destroyed with their lock too, as the kernel counts them: tests/go/locks.go as every Go here
# builds it, and the leaking service of examples/go.
# needs: go gcc
# expect: .processes | length >= 5 and all(.golocks.covered and .dropped == 0)
# expect: [.processes[] | select(.exe | endswith("/go_service")) | .golocks | [.locks, .destroyed]] == [[60, 60]]
for program in "$PINW_BUILD"/go/locks-*; do
  for mode in 'storm 16 10' 'destroyed 8 10' 'callbacks 8 10' 'crowd 50'; do
    # shellcheck disable=SC2086
    run "$program" $mode
  done
done
run "$PINW_BUILD/examples/go_service" leaking 60
