# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the shim writes where others read: the leak log, stderr, names, the trace's own place and rights.

# Bytes that a terminal would obey, in what was written.
control_bytes() {
  LC_ALL=C grep -c "$(printf '[\001-\010\013-\037\177]')" "$@" | grep -v ':0$'
}

told() {
  settings=(PINWARDEN_LOG=stderr)
  same -E "$progs/leaky" plain
  said "pinwarden: leak: exit-while-pinned"
  said "pinwarden: leak: unjoined"
  no "control bytes on stderr" "$(control_bytes "$scene/shim.err" /dev/null)"
}
fault "log: thread names with terminal escapes" told

# silent HOW: the leak log on a stderr that is not there any more.
silent() {
  settings=(PINWARDEN_LOG=stderr)
  same -n "$((runs / 10 + 1))" ${2:-} "$progs/leaky" "$1"
  holds 'all(.processes[]; .leaks["exit-while-pinned"] == 2 and .leaks.unjoined == 1)' "leaks are in the trace"
}
fault "log: stderr is closed" silent closed
fault "log: stderr is closed, its number a file of the program's" silent reused
fault "log: stderr is a pipe without a reader (SIGPIPE)" silent pipe

no_reader() {
  settings=(PINWARDEN_LOG=stderr)
  # The pipe loses its reader before the program starts.
  same -E bash -c 'exec 2> >(exit 0); sleep 0.05; exec "$@"' sh @ "$progs/leaky" plain
  holds 'all(.processes[]; .leaks["exit-while-pinned"] == 2)' "leaks are in the trace"
}
fault "log: stderr never had a reader" no_reader
fault "log: the program's own SIGPIPE is pending, and stays so" silent pending -E

too_large() {
  settings=(PINWARDEN_LOG="$1")
  same -E "$progs/leaky" small
}
fault "log: RLIMIT_FSIZE 0 and a log file (SIGXFSZ)" too_large log
fault "log: RLIMIT_FSIZE 0 and stderr a file (SIGXFSZ)" too_large stderr

log_file() {
  settings=(PINWARDEN_LOG=log)
  same sh -c 'umask 0; exec "$@"' sh @ "$progs/leaky" plain
  is "the log tells the leaks" grep -q "pinwarden: leak: exit-while-pinned" "$scene/cwd/log"
  is "the log is the user's alone: $(stat -c %a "$scene/cwd/log" 2>&1)" test "$(stat -c %a "$scene/cwd/log")" = 600
  no "control bytes in the log" "$(control_bytes "$scene/cwd/log" /dev/null)"
}
fault "log: a file for the user alone, without escapes" log_file

log_link() {
  settings=(PINWARDEN_LOG=log)
  same sh -c 'echo own >victim; ln -s victim log; exec "$@"' sh @ "$progs/leaky" plain
  is "the file behind the link is as it was" test "$(cat "$scene/cwd/victim")" = own
  holds 'any(.processes[]; .coverage.notes | any(test("log")))' "the report says that the log could not be written"
}
fault "log: a symbolic link is planted at the log's path" log_link

# planted COMMAND: something stands where the trace shall go; it stays, and the trace gets another name.
planted() {
  output=$scene/t/here.pwt
  echo own >"$scene/victim"
  (cd "$scene/t" && eval "$1")
  same sh -c 'umask 0; exec "$@"' sh @ "$targets/create_join" 1 10
  is "what stood there is as it was" test "$(cat "$scene/victim")" = own -a ! -e "$scene/planted-target"
  is "the trace has another name" test -f "$scene/t/here-2.pwt"
  is "it is the user's alone: $(stat -c %a "$scene/t/here-2.pwt" 2>&1)" test "$(stat -c %a "$scene/t/here-2.pwt")" = 600
  rm -rf "$scene/t/here.pwt"
  holds '.totals.threads.created == 10' "and it is whole"
}
fault "path: a symbolic link is planted" planted 'ln -s ../victim here.pwt'
fault "path: a dangling symbolic link is planted" planted 'ln -s ../planted-target here.pwt'
fault "path: a fifo is planted" planted 'mkfifo here.pwt'
fault "path: a file of another's is there" planted 'cp ../victim here.pwt'
fault "path: a hard link is planted" planted 'ln ../victim here.pwt'

hostile_program() {
  local name
  name=$(printf 'own\033[31m\a\n')x
  cp "$targets/create_join" "$scene/$name"
  same "$scene/$name" 1 10
  no "control bytes in file names" "$(find "$scene/t" -name "*[[:cntrl:]]*")"
  "$pinwarden" report --color=never "$scene/t" >"$scene/report.txt" 2>&1
  no "control bytes in the report" "$(control_bytes "$scene/report.txt" /dev/null)"
  output=$scene/nowhere$(printf '\033[31m')/x.pwt
  same -E "$scene/$name" 1 10
  said "pinwarden: recording is off"
  no "control bytes on stderr" "$(control_bytes "$scene/shim.err" /dev/null)"
  { launch run "$pinwarden" run -o "$scene/t/" -- "$scene/$name" 1 10; } 2>/dev/null
  no "control bytes in the summary" "$(control_bytes "$scene/run.err" /dev/null)"
}
fault "names: the program's own name holds terminal escapes" hostile_program
