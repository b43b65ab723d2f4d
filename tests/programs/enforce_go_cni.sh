# SPDX-License-Identifier: MIT
# The loopback plugin under policies on Go locks: logged, a ban names the Go function and where in the plugin it was called,
# and changes nothing; one that crashes ends the plugin before the first lock is taken.
# needs: root namespaces /usr/lib/cni/loopback unshare nsenter ip
# expect: .processes | length == 1 and all(.golocks.covered and .golocks.locks == 2 and .violation_list == [])
. "$SOURCES/tests/programs/enforced"
policy logged <<'INI'
[ban "locks for a namespace"]
call = golock
function = github.com/containernetworking/plugins/pkg/ns.*
action = log
INI
policy crash <<'INI'
[ban "locks for a namespace"]
call = golock
function = main.cmdAdd
action = crash
INI
cni_namespace
export CNI_COMMAND=ADD
run /usr/lib/cni/loopback <conf >printed
echo "$?"
grep -v sandbox printed
lo
looking || exit 0
nsenter -t "$namespace" -n ip link set lo down
enforced logged /usr/lib/cni/loopback <conf
wants '$status = 0'
wants '$(<"$dir/logged.out") = *"127.0.0.1/8"*'
wants '$(lo) = *UNKNOWN*'
wants '$(<"$dir/logged.err") = *"ban:locks for a namespace"*" main.cmdAdd"*" main.main+0x"*'
reports logged '.processes | length == 1 and all(.golocks.locks == 2 and .violations == {"ban:locks for a namespace": 2})'
nsenter -t "$namespace" -n ip link set lo down
enforced crash /usr/lib/cni/loopback <conf
wants '$status = 134'
wants '$(lo) = *DOWN*'
reports crash '.processes | length == 1 and all(.golocks.locks == 0 and .violations == {"ban:locks for a namespace": 1})'
