# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Handlers that call wrapped functions wherever they strike; cancellation.

stormy() {
  same -n "$runs" "$progs/storm" "$1"
  holds '.totals.affinity.self == $fact.sets' "every call, in handlers and out, is in the trace"
  holds 'all(.processes[]; .pins.opened == .pins.released + .pins.open_at_end)' "the books balance"
  holds 'all(.processes[]; .threads.created == .threads.joined + .threads.unjoined)' "so do the threads"
  intact
}
fault "signals: 200 us storm, the handler pins and names" stormy calls
fault "signals: the handler interrupts first-seen stacks" stormy stacks
fault "signals: the same on alternate stacks of 16 KiB" stormy alt
fault "signals: 2,000 queued to a thread that unwinds, none lost" stormy queue

points() {
  same -n "$runs" "$progs/cancels" points
  holds '.totals.affinity.self == $fact.sets' "every call is in the trace"
  holds 'all(.processes[]; [.thread_list[] | select(.how == "cancel")] | length == 1)' "one thread ended by cancellation"
}
fault "cancellation: a wrapper becomes a cancellation point" points

in_join() {
  same -n "$runs" "$progs/cancels" join
  holds 'all(.processes[]; .threads | .created == 6 and .joined == 6 and .unjoined == 0)' "joined are those that were"
  holds 'all(.processes[]; [.thread_list[] | select(.how == "cancel")] | length == 3)' "three ended by cancellation"
}
fault "cancellation: in join; the other is joined later" in_join
