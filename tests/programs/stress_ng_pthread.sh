# SPDX-License-Identifier: MIT
# stress-ng creates and joins threads in a forked worker that leaves by _exit.
# needs: stress-ng
# expect: .totals.threads.created == 64
# expect: .totals.threads.joined == 64
run stress-ng --pthread 1 --pthread-max 16 --pthread-ops 64 --timeout 20 >/dev/null 2>&1
