# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# C++: exceptions, forced unwinding, ends that terminate; and the size of the stacks it all happens on.

cxx() {
  same -n "$runs" -s "$1" "$2" ${3:+"$3"}
}
cxx_balanced() {
  cxx "$@"
  holds 'all(.processes[]; .pins.opened == .pins.released and .dropped == 0)' "destructors released every pin"
}
fault "C++: destructors on pthread_exit and cancel, catch-all" cxx_balanced 0 "$targets/cxx_unwind"
fault "C++: exceptions across threads, pins held by guards" cxx_balanced 0 "$progs/cxx_threads"
fault "C++: an exception leaves a start routine" cxx 134 "$progs/cxx_threads" uncaught
fault "C++: pthread_exit through noexcept terminates" cxx 134 "$progs/cxx_threads" noexcept
fault "C++: a catch-all that swallows pthread_exit terminates" cxx 134 "$progs/cxx_threads" swallowed
fault "C++: a joinable std::thread is destroyed" cxx 134 "$progs/cxx_threads" joinable

late_cxx() {
  same -n "$runs" "$progs/late_cxx" "$progs/libthrows.so"
  holds 'all(.processes[]; [.thread_list[].how] | map(select(. == "cancel")) | length == 6)' "six threads were cancelled"
}
fault "C++: libstdc++ comes by dlopen into a C program" late_cxx

stacks() {
  local most
  same "$progs/stack_use"
  most=$(awk '$1 == "fact" && NR == FNR { bare[$2] = $3; next }
    $1 == "fact" && $3 - bare[$2] > most { most = $3 - bare[$2]; name = $2 } END { print most + 0, name }' "$scene/bare.err" "$scene/shim.err")
  is "at most 1024 bytes more, not ${most/ / for }" test "${most% *}" -le 1024
  shows "+${most% *} B (${most#* })"
}
fault "stack: more than 1 KiB extra on a painted 16 KiB stack" stacks

full_stacks() {
  local bytes
  same "$progs/stack_use"
  bytes=$(awk '$2 == "pin" { print $3 }' "$scene/bare.err")
  done_runs=0 same_runs=0
  same -n "$runs" "$progs/stack_use" "$bytes"
}
fault "stack: 16 KiB filled up to 1 KiB below the bare need" full_stacks
