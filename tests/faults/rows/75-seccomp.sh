# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Programs that seal themselves: whatever they do afterwards needs the system calls it needs bare, and no other.

sealed() {
  same -n "$((runs / 10 + 1))" -s 7 "$progs/sealed" "$@"
  holds "all(.processes[] | select(.parent == null); $seal_promise)" "$seal_why"
}
seal_promise='.coverage.notes | any(test("seccomp|sealed"))' seal_why="the report says that it was sealed"
fault "seccomp: the strict mode" sealed strict strict
seal_promise='.affinity.self == 3002' seal_why="every call is counted"
fault "seccomp: a filter that kills, by prctl: new stacks" sealed prctl pins
fault "seccomp: the same by syscall(SYS_seccomp)" sealed syscall pins
fault "seccomp: the same by libseccomp" sealed libseccomp pins
seal_promise='.affinity.self >= 3002' seal_why="every call is counted"
fault "seccomp: handlers that pin" sealed prctl handlers
seal_promise='.threads.created == 302 and .threads.joined == 301' seal_why="threads are counted"
fault "seccomp: threads are created, join and end pinned" sealed prctl threads
seal_promise='.affinity.other_process == 1 and .affinity.failed == 2' seal_why="other processes' tids are told apart"
fault "seccomp: another process is pinned" sealed prctl others
seal_promise='.affinity.self == 3002' seal_why="the parent's calls are counted"
fault "seccomp: a fork child pins" sealed prctl children
fault "seccomp: an exec that fails" sealed prctl exec
seal_promise='.affinity.self == 3004 and .pins.opened == 1501' seal_why="its calls are counted, and not booked on its parent"
fault "seccomp: a vfork child pins" sealed prctl vfork
seal_promise='.leaks["exit-while-pinned"] == 1 and .leaks["pinned-at-end"] == 1' seal_why="leaks are found"
fault "seccomp: a thread and the process end pinned" sealed prctl leaks
