# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Other tools in the same process: preloads before and behind the shim, sanitizers, valgrind, gdb.

lib=/usr/lib/x86_64-linux-gnu
# What mixed does, whoever else is there. A tool may bring threads of its own; none of them pins.
mixed_promise='any(.processes[]; .threads.created >= 44 and .threads.detached >= 22 and .pins.opened == 14 and
  .pins.released == 12 and .leaks["exit-while-pinned"] == 2)'

# beside LIBRARY PACKAGE: the library preloaded bare, then behind and before the shim.
beside() {
  local library=$1 package=$2
  needs_package "$library" "$package" || return
  bare_preload=$library
  for preload in "$shim:$library" "$library:$shim"; do
    same -n "$((runs / 20 + 1))" "$progs/mixed"
    holds "$mixed_promise" "threads and pins are counted with LD_PRELOAD=$(sed 's/[^:]*\///g' <<<"$preload")"
    rm -f "$scene"/t/*
  done
}

bystander() {
  bare_preload=$progs/libbystander.so
  for preload in "$shim:$bare_preload" "$bare_preload:$shim"; do
    same -n "$((runs / 20 + 1))" "$progs/mixed"
    holds "$mixed_promise" "threads and pins are counted with LD_PRELOAD=$(sed 's/[^:]*\///g' <<<"$preload")"
    rm -f "$scene"/t/*
  done
}
fault "preload: one that wraps the same, without versions" bystander
fault "preload: jemalloc" beside "$lib/libjemalloc.so.2" libjemalloc2
fault "preload: tcmalloc" beside "$lib/libtcmalloc_minimal.so.4" libtcmalloc-minimal4
fault "preload: mimalloc" beside "$lib/libmimalloc.so.2" libmimalloc2.0
fault "preload: lttng-ust fork" beside "$lib/liblttng-ust-fork.so.1" liblttng-ust1
fault "preload: lttng-ust pthread wrapper" beside "$lib/liblttng-ust-pthread-wrapper.so.1" liblttng-ust1
fault "preload: lttng-ust libc wrapper" beside "$lib/liblttng-ust-libc-wrapper.so.1" liblttng-ust1
fault "preload: lttng-ust fd" beside "$lib/liblttng-ust-fd.so.1" liblttng-ust1

heaptrack() {
  needs_package /usr/lib/heaptrack/libheaptrack_preload.so libheaptrack || return
  export DUMP_HEAPTRACK_OUTPUT=/dev/null
  beside /usr/lib/heaptrack/libheaptrack_preload.so libheaptrack
  unset DUMP_HEAPTRACK_OUTPUT
}
fault "preload: heaptrack" heaptrack

faked_time() {
  local before=$scene/t/before
  needs_package "$lib/faketime/libfaketime.so.1" libfaketime || return
  bare_preload=$lib/faketime/libfaketime.so.1
  export FAKETIME=-1000d
  for preload in "$shim:$bare_preload" "$bare_preload:$shim"; do
    same -n "$((runs / 20 + 1))" "$progs/mixed"
    holds "$mixed_promise" "threads and pins are counted"
    holds "all(.processes[]; .started[0:4] == \"$(date -u +%Y)\")" "the trace has the kernel's time"
    holds 'any(.processes[]; .coverage.notes | any(test("clock")))' "the faked clock is named"
    rm -f "$scene"/t/*
  done
  unset FAKETIME before
}
fault "preload: libfaketime, 1000 days ago" faked_time

fake_root() {
  needs_package "$lib/libfakeroot/libfakeroot-sysv.so" fakeroot || return
  local order preload=''
  # fakeroot sets LD_PRELOAD itself: the shim goes before it or behind.
  # shellcheck disable=SC2016
  for order in '$shim:$LD_PRELOAD' '$LD_PRELOAD:$shim'; do
    same -n "$((runs / 20 + 1))" @ "shim=$shim" fakeroot sh -c \
      "[ -z \"\$PINWARDEN_OUTPUT\" ] || LD_PRELOAD=$order; \"\$@\" && id -u" sh "$progs/mixed"
    holds "$mixed_promise" "threads and pins are counted"
    rm -f "$scene"/t/*
  done
}
fault "preload: fakeroot" fake_root

# Without libtsan's or libasan's own check of who comes first, where the shim does.
sanitized() {
  local program=$progs/mixed_$1 library=${2:-}
  if [ ! -x "$program" ]; then skip "this compiler has no -fsanitize=$1" && return; fi
  # shellcheck disable=SC2046
  for preload in "$shim" ${library:+"$library:$shim"}; do
    same -n "$((runs / 20 + 1))" @ ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 setarch -R "$program"
    holds "$mixed_promise" "threads and pins are counted with LD_PRELOAD=$(sed 's/[^:]*\///g' <<<"$preload")"
    rm -f "$scene"/t/*
  done
}
gcc_library() {
  "${CC:-gcc}" -print-file-name="$1" 2>/dev/null
}
fault "ASan: libasan as a shared library" sanitized address "$(gcc_library libasan.so)"
fault "ASan: linked into the program" sanitized static_address
fault "TSan: libtsan as a shared library" sanitized thread "$(gcc_library libtsan.so)"
fault "TSan: linked into the program" sanitized static_thread

# Before the sanitizer knows a thread, locks of its start are none of its business.
growing() {
  bare_preload=$(gcc_library libtsan.so)
  if [ ! -e "$bare_preload" ]; then skip "this compiler has no libtsan.so" && return; fi
  preload=$bare_preload:$shim
  same @ setarch -R "$targets/create_join" 1 3000
  holds '.totals.threads.created >= 3000 and .totals.threads.joined >= 3000' "all threads are counted"
}
fault "TSan: before the shim, the trace grows as threads start" growing
fault "UBSan" sanitized undefined

under_valgrind() {
  command -v valgrind >/dev/null || { wanted_packages+=(valgrind) && skip "valgrind is not installed" && return; }
  same @ valgrind -q --error-exitcode=9 --trace-children=no "$progs/mixed"
  holds "$mixed_promise" "threads and pins are counted"
}
fault "valgrind: memcheck finds what it finds bare" under_valgrind

under_gdb() {
  command -v gdb >/dev/null || { wanted_packages+=(gdb) && skip "gdb is not installed" && return; }
  words=()
  same -E sh -c 'SHELL=/bin/sh exec gdb -nx -batch -ex "set debuginfod enabled off" \
    -ex "set exec-wrapper $*" -ex "break churn" -ex run -ex bt -ex "delete" -ex continue "$0" 2>&1 |
    grep -a -o -e "in works" -e "in clone3" -e "exited normally" -e "24 threads" -e "^child$"' "$progs/mixed" @
  holds "$mixed_promise" "threads and pins are counted"
  is "the backtrace ends in clone3" grep -q clone3 "$scene/out"
}
fault "gdb: a breakpoint in a thread, its backtrace, to the end" under_gdb

under_strace() {
  command -v strace >/dev/null || { wanted_packages+=(strace) && skip "strace is not installed" && return; }
  same strace -f -qq -o trace @ "$progs/mixed"
  holds "$mixed_promise" "threads and pins are counted"
}
fault "strace -f" under_strace
