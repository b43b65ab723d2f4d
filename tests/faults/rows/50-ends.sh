# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# How threads and processes end, and what the trace keeps of it.

thread_ends() {
  same -n "$runs" "$targets/exit_ways"
  holds 'all(.processes[]; [.thread_list[1:][].how] == ["return", "pthread_exit", "cancel", "cancel", "cancel"])' "how each ended"
}
fault "exit: return, pthread_exit, both kinds of cancellation" thread_ends

main_ends() {
  same -n "$runs" -s "$2" "$targets/main_exits" "$1"
  holds "all(.processes[]; .end == {how: \"exit\", status: $2})" "the process ended by itself"
  holds 'all(.processes[]; .thread_list[0].how == "pthread_exit")' "main left before"
}
fault "exit: main leaves by pthread_exit, others run on" main_ends return 0
fault "exit: main leaves by pthread_exit, another calls exit" main_ends exit 5

late_pins() {
  same -n "$runs" "$progs/keys" ${1:+"$1"}
  holds '.totals.affinity.self == $fact.sets' "calls after the thread's end are in the trace"
  holds 'all(.processes[]; .affinity.external == 0 and .leaks["exit-while-pinned"] == 0)' "no pin is taken for another's"
  # Each pin of a destructor's goes to the one thread it creates.
  holds '[.processes[].leaks.inherited] | add * 2 - $fact.sets | . == 0 or . == $runs' "those it creates pinned inherit the pin"
  intact
}
fault "exit: TSD and thread_local destructors pin and create" late_pins
fault "exit: the same in a main thread that calls pthread_exit" late_pins main

leaving() {
  same -n "$runs" "$progs/detached"
  holds 'all(.processes[]; .end == {how: "exit", status: 0} and .threads.created >= 100)' "the end is in the trace"
  is "records are whole" find "$scene/t" -name '*.pwt' -exec sh -c '! "$0" "$@" 2>&1 | grep -v " 0 torn" | grep torn$' "$progs/intact" {} +
}
fault "exit: detached threads at work while the process exits" leaving

# ends_as HOW STATUS END: all ends under `pinwarden run`, which sees the signal, and by the preload alone, which cannot.
ends_as() {
  local how=$1 status=$2 end=$3 alone=${4:-$3} from
  for from in "" thread; do
    [ "$how$from" = returnthread ] && continue
    same -n "$((runs / 10 + 1))" -s "$status" "$progs/ends" "$how" $from
  done
  holds "all(.processes[]; .end.how == $alone)" "the end by the preload alone"
  holds 'all(.processes[]; .leaks["pinned-at-end"] >= 1)' "the open pin is a leak"
  rm -f "$scene"/t/* "$scene/report.json"
  { launch run "$pinwarden" run -q -o "$scene/t/" -- "$progs/ends" "$how"; } 2>/dev/null
  is "run passes the status on" test $? = "$status"
  holds "all(.processes[]; .end == $end)" "the end under run"
}
exits='{"how": "exit", "status": 5}'
fault "end: return from main" ends_as return 5 "$exits" '"exit"'
fault "end: exit" ends_as exit 5 "$exits" '"exit"'
fault "end: _exit" ends_as _exit 5 "$exits" '"exit"'
fault "end: _Exit" ends_as _Exit 5 "$exits" '"exit"'
fault "end: quick_exit" ends_as quick_exit 5 "$exits" '"exit"'
fault "end: syscall(SYS_exit_group)" ends_as group 5 "$exits" '"exit"'
fault "end: exit_group by the raw instruction" ends_as inline 5 "$exits" '"violent"'
fault "end: abort" ends_as abort 134 '{"how": "signal", "status": 6}' '"violent"'
fault "end: segmentation fault" ends_as segv 139 '{"how": "signal", "status": 11}' '"violent"'
fault "end: SIGTERM" ends_as term 143 '{"how": "signal", "status": 15}' '"violent"'
fault "end: kill -9 by itself" ends_as kill 137 '{"how": "signal", "status": 9}' '"violent"'

becomes_another() {
  same -n "$((runs / 10 + 1))" -s 5 "$progs/ends" exec thread
  holds '[.processes[] | select(.exe | endswith("/ends"))] | length == $runs and
    all(.[]; .end.how == "exec" and .leaks["pinned-at-end"] == 0)' "the image ended by exec; its pin goes on"
}
fault "end: exec in a thread, others at work" becomes_another

killed() {
  local rounds=$((runs * 2))
  { launch shim "$progs/kill9" "$rounds" "$shim" "$scene/t"; } 2>/dev/null
  is "the judge came to its end: $(tail -n 1 "$scene/shim.err")" test $? = 0
  grep -a '^fact ' "$scene/shim.err" >"$scene/facts"
  is "every round was judged" test "$(fact rounds)" = "$rounds"
  is "records were acknowledged" test "$(fact acknowledged)" -gt 0
  is "$(fact missing) acknowledged records are missing" test "$(fact missing)" = 0
  is "$(fact torn) records are torn" test "$(fact torn)" = 0
  is "$(fact invented) records were never written" test "$(fact invented)" = 0
  is "$(fact in-flight) records in flight, for 3 threads" test "$(fact in-flight)" -le 3
  rm -f "$scene/t/acks"
  holds '.processes | length == 1 and .[0].end.how == "violent"' "the report says the end was violent"
  bare_text="$rounds kills"
  shows "$(fact acknowledged) acked"
}
fault "kill -9: torn records, lost acknowledged ones" killed

again() {
  same -n "$((runs / 10 + 1))" "$progs/reuse" handle
  holds '.totals.leaks["exit-while-pinned"] == $fact.leaks and .totals.threads.created == $fact.leaks * 2 and
    .totals.affinity.self == $fact.leaks' "leaks stay with those who made them"
}
fault "reuse: the same pthread_t at once, every second leaks" again

again_tid() {
  same -n "$((runs / 10 + 1))" unshare --pid --fork --mount-proc @ "$progs/reuse" tid
  holds '.totals.leaks["exit-while-pinned"] == $fact.leaks and .totals.affinity.self == $fact.leaks' \
    "leaks stay with those who made them"
  holds 'all(.processes[]; .pid == 1)' "pid 1, in a namespace of its own"
}
unshare --pid --fork --mount-proc true 2>/dev/null && may_unshare=1
unshared_fault() {
  local title=$1
  shift
  if [ -n "${may_unshare:-}" ]; then fault "$title" "$@"; else fault "$title" skip "needs root for a namespace of its own"; fi
}
unshared_fault "reuse: the same tid at once, in a pid namespace" again_tid
