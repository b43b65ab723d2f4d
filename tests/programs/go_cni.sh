# SPDX-License-Identifier: MIT
# The CNI plugins lock a thread before they change its network namespace, from main and from a goroutine: here the loopback
# plugin, which brings up and takes down lo in a namespace of its own.
# needs: root namespaces /usr/lib/cni/loopback unshare nsenter ip
# expect: .processes | length == 2 and all(.golocks.covered and .dropped == 0 and .coverage.notes == [])
# expect: .processes | all(.coverage.kernel_threads == .coverage.seen_threads and .coverage.seen_threads >= 4)
# expect: .processes | all(.golocks | .locks == 2 and .unlocks == 2 and .nested == 1 and .max_depth == 2 and .destroyed == 0 and .open == 0)
# expect: .processes | all([.sites[] | select(.kind == "golock") | .frames[-1].function] == ["runtime.goexit", "runtime.goexit"])
# expect: [.processes[].sites[] | select(.kind == "golock" and .frames[-2].function == "runtime.main") | [.frames[].function] | index("main.main") > 0 and (index("main.cmdAdd") or index("main.cmdDel"))] == [true, true]
# expect: [.processes[].sites[] | select(.kind == "golock") | .frames[0].function] | unique == ["github.com/containernetworking/plugins/pkg/ns.(*netNS).Do.func2", "github.com/containernetworking/plugins/pkg/ns.GetCurrentNS"]
cni_namespace
for command in ADD DEL; do
  CNI_COMMAND=$command run /usr/lib/cni/loopback <conf >printed
  echo "$command: $?"
  grep -v sandbox printed
  lo
done
