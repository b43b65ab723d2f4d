# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# The words that tests/faults/rows are written in. A row:
#
#   fault "what breaks" FUNCTION [ARGUMENT...]     runs the function and prints the row
#
# and in its function:
#
#   same [-n RUNS] [-s STATUS] [-E] COMMAND...     once bare, which must end with STATUS (0), then RUNS times under the shim: same
#                                                  status, stdout and (without -E) stderr. A word "@" in the command stands for
#                                                  `env` with the preload, where not the whole command shall have it.
#   holds 'JQ EXPRESSION' WHY                      of the JSON report over all runs' traces; $runs, and $fact.NAME, the sum over
#                                                  the runs of a program's "fact NAME VALUE" lines on stderr
#   is WHY COMMAND...                              the command succeeds
#   no WHY TEXT                                    the text is empty
#   skip REASON                                    the row cannot be shown here
#   shows TEXT                                     for the column "shim"
#
# They set $scene (the row's folder), $scene/t (traces), $scene/cwd (the programs' directory), $scene/out and err (of the last
# run under the shim). A row may set before `same`: preload (LD_PRELOAD of the runs under the shim), bare_preload, settings
# (PINWARDEN_* words), output (PINWARDEN_OUTPUT).
#
# The caller provides: build shim pinwarden progs targets runs work.

passed=0 failed=0 skipped=0 wanted_packages=()

# ---- the table -------------------------------------------------------------------

table_head() {
  printf '%-58s %-9s %-19s %s\n' fault bare shim verdict
}

table_end() {
  if [ ${#wanted_packages[@]} != 0 ]; then
    echo "skipped rows want: apt-get install $(printf '%s\n' "${wanted_packages[@]}" | sort -u | tr '\n' ' ')"
  fi
  [ $((passed + failed)) != 0 ] || echo "no fault was run"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ] && [ "$passed" != 0 ]
}

# What a status means, short.
name_status() {
  if [ "$1" -gt 128 ] && kill -l "$1" >/dev/null 2>&1; then echo "SIG$(kill -l "$1")"; else echo "exit $1"; fi
}

fault() {
  local title=$1 verdict
  shift
  # shellcheck disable=SC2053
  [[ -z ${ONLY:-} || $title == $ONLY ]] || return 0
  scene=$work/$((passed + failed + skipped))
  mkdir -p "$scene/t" "$scene/cwd"
  preload=$shim bare_preload='' settings=() output=$scene/t/%e.%p.pwt
  bare_text=- shim_text='' why=() skip_reason='' done_runs=0 same_runs=0
  : >"$scene/facts"
  "$@"
  if [ -n "$skip_reason" ]; then
    verdict=skipped skipped=$((skipped + 1)) shim_text=
  elif [ ${#why[@]} != 0 ]; then
    verdict=FAILED failed=$((failed + 1))
  else
    verdict=ok passed=$((passed + 1))
  fi
  printf '%-58s %-9s %-19s %s\n' "$title" "$bare_text" "$shim_text" "$verdict"
  [ -z "$skip_reason" ] || printf '    %s\n' "$skip_reason"
  [ ${#why[@]} = 0 ] || printf '    not so: %s\n' "${why[@]:0:6}"
  [ -n "${KEEP:-}" ] || rm -rf "$scene"
}

skip() {
  skip_reason=$1
}

# needs_package FILE PACKAGE: skips unless the file is there.
needs_package() {
  [ -e "$1" ] && return
  wanted_packages+=("$2")
  skip "$2 is not installed"
  return 1
}

shows() {
  shim_text=$1
}

fails() {
  why+=("$1")
}

is() {
  local what=$1
  shift
  "$@" >/dev/null 2>"$scene/said" || fails "$what$(sed -n '1s/^/: /p' "$scene/said")"
}

no() {
  [ -z "$2" ] || fails "$1: $(head -c 200 <<<"$2" | tr '\n' ' ')"
}

# ---- running ---------------------------------------------------------------------

# launch NAME COMMAND...: one run in a fresh directory; leaves $scene/NAME.out, NAME.err. Returns its status.
launch() {
  local name=$1
  shift
  rm -rf "$scene/cwd" && mkdir "$scene/cwd" || return 99
  (cd "$scene/cwd" && exec timeout -k 2 60 "$@" >"$scene/$name.out" 2>"$scene/$name.err" </dev/null)
}

# The environment of a run, as words before a command.
bare_words() {
  words=(env)
  [ -z "$bare_preload" ] || words+=("LD_PRELOAD=$bare_preload")
}

shim_words() {
  words=(env "LD_PRELOAD=$preload" "PINWARDEN_OUTPUT=$output" "${settings[@]}")
}

# place COMMAND...: the command with `words` where its "@" is, else in front.
place() {
  local word found=
  placed=()
  for word in "$@"; do
    if [ "$word" = @ ]; then placed+=("${words[@]}") found=1; else placed+=("$word"); fi
  done
  [ -n "$found" ] || placed=("${words[@]}" "$@")
}

without_facts() {
  grep -av '^fact ' "$scene/$1.err"
}

# One more run under the shim has ended with $1: is it the bare one's twin?
compare() {
  local status=$1 with_stderr=$2 differs=
  grep -a '^fact ' "$scene/shim.err" >>"$scene/facts"
  done_runs=$((done_runs + 1))
  if [ "$status" != "$bare_status" ]; then
    differs="$(name_status "$status"), bare $(name_status "$bare_status"): $(without_facts shim | tail -n 1)"
  elif ! cmp -s "$scene/bare.out" "$scene/shim.out"; then
    differs="another output: $(diff "$scene/bare.out" "$scene/shim.out" | grep -a '^[<>]' | head -n 2 | tr '\n' ' ')"
  elif [ -n "$with_stderr" ] && [ "$(without_facts bare)" != "$(without_facts shim)" ]; then
    differs="another stderr: $(without_facts shim | tail -n 1)"
  fi
  if [ -z "$differs" ]; then same_runs=$((same_runs + 1)); else fails "run $done_runs: $differs"; fi
}

same() {
  local n=1 want=0 with_stderr=1 words placed status option OPTIND=1
  while getopts n:s:E option; do
    case $option in
      n) n=$OPTARG ;;
      s) want=$OPTARG ;;
      *) with_stderr= ;;
    esac
  done
  shift $((OPTIND - 1))
  bare_words && place "$@"
  { launch bare "${placed[@]}"; } 2>/dev/null
  bare_status=$?
  bare_text=$(name_status "$bare_status")
  if [ "$bare_status" = 77 ]; then skip "$(tail -n 1 "$scene/bare.err")" && return 1; fi
  [ "$bare_status" = "$want" ] || fails "the bare run: $bare_text: $(tail -n 1 "$scene/bare.err")"
  shim_words && place "$@"
  for ((; n > 0 && ${#why[@]} < 6; n--)); do
    { launch shim "${placed[@]}"; } 2>/dev/null
    status=$?
    compare "$status" "$with_stderr"
  done
  if [ "$done_runs" = 1 ]; then shows "$(name_status "$status")"; else shows "$same_runs of $done_runs same"; fi
  rm -f "$scene/report.json"
  ln -sf shim.out "$scene/out" && ln -sf shim.err "$scene/err"
}

# ---- what the traces say ------------------------------------------------------------

# {"NAME": sum, ...} of the facts so far.
sum_facts() {
  awk '{ sum[$2] += $3 } END { for (n in sum) printf "%s\"%s\": %d", c++ ? ", " : "{", n, sum[n]; print c ? "}" : "{}" }' \
    "$scene/facts"
}

# fact NAME: its sum.
fact() {
  awk -v name="$1" '$2 == name { sum += $3 } END { print sum + 0 }' "$scene/facts"
}

make_report() {
  local status
  "$pinwarden" report -f json -o "$scene/report.json" "$scene/t" >/dev/null 2>"$scene/said"
  status=$?
  [ "$status" -lt 2 ] && return
  fails "report ended with $status: $(head -n 1 "$scene/said")"
  return 1
}

holds() {
  [ -z "$skip_reason" ] || return 0
  [ -f "$scene/report.json" ] || make_report || return 0
  jq -e --argjson runs "$done_runs" --argjson fact "$(sum_facts)" "$1" "$scene/report.json" >/dev/null 2>"$scene/said" ||
    fails "$2$(sed -n '1s/^/: /p' "$scene/said")"
}

# Every record of every trace is whole and counted, read by a program that shares no code with the shim.
intact() {
  [ -z "$skip_reason" ] || return 0
  is "records are whole" find "$scene/t" -name '*.pwt' -exec "$progs/intact" {} +
}

# The shim said so on the stderr of the last run.
said() {
  grep -qa -- "$1" "$scene/shim.err" || fails "stderr says: $1"
}
