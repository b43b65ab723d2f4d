# SPDX-License-Identifier: MIT
# runc runs a container. What it starts has its own environment and is not recorded: the figures are runc's own.
# needs: root namespaces runc
# expect: .processes | length == 1 and all(.golocks.covered and .dropped == 0 and .coverage.notes == [])
# figures: .processes | length == 1 and all(.end.how == "exit" and .coverage.kernel_threads == .coverage.seen_threads and .coverage.seen_threads >= 4)
mkdir -p rootfs/usr rootfs/proc rootfs/dev rootfs/sys
for link in bin lib lib64; do ln -s "usr/$link" "rootfs/$link"; done
runc spec
jq '.process.terminal = false | .process.args = ["/bin/echo", "inside"] |
  .mounts += [{destination: "/usr", type: "bind", source: "/usr", options: ["rbind", "ro"]}]' config.json >config.new
mv config.new config.json
run runc --root "$dir/state" run "case-$MODE-$$"
echo "run: $?"
