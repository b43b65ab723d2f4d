# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# fork and its kin, while other threads are inside the unwinder; exec.

parents='[.processes[] | select(.parent == null)]'
children='[.processes[] | select(.parent)]'

# forked HOW SETS: children that record for themselves, each with SETS calls of its own.
forked() {
  same -n "$runs" "$progs/forks" "$1"
  holds "$parents | length == \$runs and (map(.affinity.self) | add) == \$fact.sets" "the parent's trace holds its own calls, no more"
  holds "$children | length == \$fact.children and all(.[]; .affinity.self == $2 and .end == {how: \"exit\", status: 42})" \
    "each child has its own trace"
  holds "($parents | map(.pid)) as \$pids | all(${children}[]; .parent.pid as \$p | \$pids | index(\$p))" \
    "each child names its parent"
  holds 'all(.processes[]; .pins.opened == .pins.released)' "no pin crosses"
}
fault "fork: with other threads inside the unwinder" forked fork 3
fault "fork: _Fork, which runs no atfork handler" forked _Fork 2
fault "fork: syscall(SYS_fork)" forked syscall 2
fault "fork: the raw instruction, past libc" forked inline 2
fault "fork: clone() without CLONE_VM" forked clone 2
fault "fork: the host's own atfork handlers pin" forked atfork 5

# A vfork child works on the parent's memory under a tid of its own.
borrowed() {
  same -n "$runs" "$progs/forks" "$1"
  holds "$parents | length == \$runs and (map(.affinity.self) | add) == \$fact.sets + \$fact.borrowed" "every call is in the trace"
  holds "$parents | all(.[]; .affinity.other_process == 0)" "the child's are its own, on itself"
  holds "$parents | all(.[]; .pins.opened == 0 and .affinity.external == 0 and .thread_list[0].affinity_calls == 0)" \
    "none is booked on its parent"
}
fault "vfork: the child pins itself" borrowed vfork
fault "vfork: a vfork child vforks, then pins itself" borrowed nested
fault "vfork: the child pins itself, then execs" borrowed vfork-exec

executed() {
  same -n "$runs" "$progs/forks" "$1"
  holds "$parents | length == \$runs and (map(.affinity.self) | add) == \$fact.sets" "the parent's trace holds its own calls, no more"
  holds "$children | length == \$fact.children and all(.[]; .end.how == \"exit\")" "each program run has its own trace"
}
fault "posix_spawn: with other threads inside the unwinder" executed spawn
fault "system: with other threads inside the unwinder" executed system
fault "popen: with other threads inside the unwinder" executed popen

becomes() {
  same -n "$((runs / 4 + 1))" -s 6 "$progs/execs" 8
  holds '[.processes[] | select(.end.how == "exec")] | length == $runs * 8' "eight images end by exec"
  holds '[.processes[] | select(.end == {how: "exit", status: 6})] | length == $runs' "the last one exits"
  holds '.totals.leaks["pinned-at-end"] == 0' "a pin that crosses exec is no leak"
}
fault "exec: every function, from main and from a thread, some fail" becomes
