# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Before the constructor, and under the loader's lock.

early() {
  same -n "$runs" "$progs/first"
  # preinit: 1 thread, 1 call; dependency: 5 threads of which 4 pin and release, 2 calls of its own, 1 child; main: 1 thread.
  holds '[.processes[] | select(.parent == null)] | length == $runs and
    all(.[]; .threads.created == 7 and .affinity.self == 11 and .threads.joined == 6 and .threads.detached == 1)' \
    "every early call is in the trace"
  holds '[.processes[] | select(.parent)] | length == $runs and all(.[]; .affinity.self == 2)' "so is every early child's"
  holds 'all(.processes[]; .pins.opened == .pins.released + .pins.open_at_end and .dropped == 0)' "the books balance"
}
fault "early: .preinit_array and a dependency's constructor call" early

loader_lock() {
  same -n "$runs" "$progs/dlopen_join" "$progs/libjoins.so"
  holds '.totals.affinity.self == $fact.sets' "every call is in the trace"
  holds '[.processes[].threads | .created == 19 and .joined == 19] | all' "so is every thread"
  intact
}
fault "loader: a dlopen'd constructor joins threads that pin" loader_lock
