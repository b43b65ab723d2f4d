# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the shim exports, needs and takes: symbols and their versions, the host's unwinder, thread-local storage, contracts.

libc=$(ldconfig -p | awk '/libc\.so\.6 .*x86-64/ { print $NF; exit }')

# NAME@VERSION of every function an object exports; "@@" and "@" are the same here.
exported() {
  readelf -W --dyn-syms "$1" | awk '$7 != "UND" && $7 != "ABS" && $8 ~ /@/ { sub(/@@/, "@", $8); print $8 }' | sort -u
}

every_version() {
  local ours all
  ours=$(exported "$shim") all=$(exported "$libc")
  no "versions that libc has not" "$(comm -23 <(echo "$ours") <(echo "$all"))"
  # GLIBC_PRIVATE is libc's own business; no program is linked to it.
  no "versions of an interposed name that are missing" "$(
    comm -13 <(echo "$ours") <(echo "$all") | grep -v GLIBC_PRIVATE | grep -xFf <(echo "$ours" | sed 's/@.*//' | sort -u |
      while read -r name; do echo "$all" | grep "^$name@"; done))"
  shows "$(wc -l <<<"$ours") symbols"
}
fault "symbols: an old ABI version passes the wrapper by" every_version

shape() {
  local tap
  tap=$("$here/../shim_shape" "$build")
  no "the linked shim" "$(grep '^not ok' <<<"$tap")"
  shows "$(grep -c '^ok' <<<"$tap") promises"
}
fault "symbols: TLS, NEEDED, _Unwind_*, text relocations" shape

old_abi() {
  same "$targets/old_abi"
  intact
}
fault "symbols: programs linked to versions before 2.34" old_abi

# Who answers for _Unwind_*: "SYMBOL OBJECT", from the loader's own account; what libunwind asks of itself is its own business.
unwinder_bindings() {
  sed -n "/binding file [^ ]*libunwind/d; s/.*binding file [^ ]* \[[0-9]*\] to \([^ ]*\) \[[0-9]*\]: [a-z]* symbol .\(_Unwind_[A-Za-z0-9_]*\).*/\2 \1/p" "$scene/$1.err" |
    sort -u
}

unwinder() {
  same -E env LD_DEBUG=bindings @ "$progs/late_cxx" "$progs/libthrows.so"
  is "the bare program binds _Unwind_*" test -n "$(unwinder_bindings bare)"
  no "other objects serve _Unwind_*" "$(diff <(unwinder_bindings bare) <(unwinder_bindings shim) | grep '^[<>]')"
}
fault "symbols: libunwind takes over _Unwind_* (LD_DEBUG=bindings)" unwinder

tls_room() {
  same "$progs/tls_room" "$progs/libtls.so" 200
  local bare under
  bare=$(awk '/^fact loaded/ { print $3 }' "$scene/bare.err") under=$(fact loaded)
  is "as many libraries with static TLS can be loaded: $under, bare $bare" test "$under" -ge "$bare"
  shows "$under libraries, $bare bare"
}
fault "TLS: static TLS is taken from libraries loaded later" tls_room

contracts() {
  same "$progs/contracts"
  holds '.totals.affinity.failed >= 10' "failed calls are recorded as failed"
  holds '[.processes[] | .pins | .opened - .released - .born] | add == 0' "failed calls change nothing"
  shows "$(wc -l <"$scene/out") answers"
}
fault "contracts: another return value or errno" contracts

spawns_nothing() {
  command -v strace >/dev/null || { wanted_packages+=(strace) && skip "strace is not installed" && return; }
  same -E strace -f -qq -e trace=process,vfork -o trace @ /bin/true
  no "what start-up does" "$(grep -Ev 'execve\(|exit_group\(|arch_prctl\(|\+\+\+' "$scene/cwd/trace")"
}
fault "start: the constructor makes a process or thread" spawns_nothing
