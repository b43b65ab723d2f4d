# SPDX-License-Identifier: MIT
# stress-ng's thread stressor, which wants sixteen at once, capped at eight: pthread_create says EAGAIN, stress-ng copes,
# and no process ever has a ninth thread. (Its worker may end by a fault of its own, status 2: it forgets its last thread, which
# then reads what is gone. That happens with any EAGAIN.)
# needs: stress-ng
# expect: .totals.threads.created == 64
# expect: [.processes[].violations[]?] | add // 0 == 0
. "$SOURCES/tests/programs/enforced"
policy capped <<'INI'
[caps]
max_threads = 8
max_threads_action = deny
INI
run stress-ng --pthread 1 --pthread-max 16 --pthread-ops 64 --timeout 20 >/dev/null 2>&1
enforced capped stress-ng --pthread 1 --pthread-max 16 --pthread-ops 70 --timeout 20
wants '$status = 0 || $status = 2'
reports capped '[.processes[].threads.peak] | max == 8'
reports capped '[.processes[].violations["caps:max_threads"] // 0] | add >= 1'
reports capped '[.processes[] | .coverage | .kernel_threads == .seen_threads] | all'
