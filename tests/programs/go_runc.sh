# SPDX-License-Identifier: MIT
# runc says what it is, and writes a specification.
# needs: runc
# expect: .processes | length == 2 and all(.golocks.covered and .dropped == 0 and .coverage.notes == [])
# expect: .processes | all(.coverage.kernel_threads == .coverage.seen_threads and .coverage.seen_threads >= 4)
run runc --version
run runc spec
echo "spec: $?" "$(jq -r '.process.args[0]' config.json)"
