# SPDX-License-Identifier: MIT
# stress-ng creates and joins threads in a forked worker that leaves by _exit. It stops at the 64th before counting it
# in, so that one is never joined: a leak of its own.
# needs: stress-ng
# expect: .totals.threads.created == 64
# expect: .totals.threads.joined == 63
# expect: .totals.leaks.unjoined == 1
run stress-ng --pthread 1 --pthread-max 16 --pthread-ops 64 --timeout 20 >/dev/null 2>&1
