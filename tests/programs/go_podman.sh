# SPDX-License-Identifier: MIT
# podman's commands that look: its own storage, no container.
# needs: podman
# expect: [.processes[] | select(.exe | endswith("/podman"))] | length == 5 and all(.golocks.covered and .dropped == 0 and .coverage.notes == [])
# expect: [.processes[] | select(.exe | endswith("/podman"))] | all(.coverage.kernel_threads == .coverage.seen_threads and .coverage.seen_threads >= 4)
export HOME=$dir XDG_RUNTIME_DIR=$dir/run
mkdir run
run podman --version
for command in images 'ps -a' 'network ls' 'info --format {{.Host.Arch}}'; do
  # shellcheck disable=SC2086
  run podman --root "$dir/storage" --runroot "$dir/runroot" --storage-driver vfs $command
  echo "$command: $?"
done
