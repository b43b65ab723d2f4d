# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the trace needs is missing or taken away: descriptors, space, memory, the root directory, the file itself.

# ---- descriptors -----------------------------------------------------------------

fd_list() {
  same "$progs/fds" list
  holds '.processes | length == 2 and all(.[]; .dropped == 0 and .affinity.self == 9000)' "the trace grew, in the child too"
  intact
}
fault "fds: something of ours in /proc/self/fd" fd_list

fd_reuse() {
  same -n "$((runs / 10 + 1))" "$progs/fds" reuse
  holds 'all(.processes[]; .dropped == 0 and .affinity.self == 9000)' "every call is in the trace"
}
fault "fds: all closed, the numbers reused; every byte intact" fd_reuse

fd_race() {
  same -n "$((runs / 10 + 1))" "$progs/fds" race
}
fault "fds: another thread closes and reuses all, over and over" fd_race

few_fds() {
  same sh -c 'ulimit -n 4; exec "$@"' sh @ "$targets/create_join" 1 10
  holds '.totals.threads.created == 10' "it is recorded"
}
fault "fds: one descriptor left from the start" few_fds

# ---- taken away while it runs --------------------------------------------------------

# Events written and dropped, by a reader that shares no code with the shim.
count_events() {
  find "$scene/t" -name '*.pwt' -exec "$progs/intact" {} + 2>/dev/null | awk '{ print $6 + $8 }'
}

# squeezed GROWS HOW: the program goes on, counters stay exact, what finds no room is counted. GROWS: whether all finds room
# (either: what it was given before may do).
squeezed() {
  local grows=$1 how=$2
  case $how in
    unlink | replace | link)
      output=$scene/cwd/own.pwt
      same "$progs/squeezed" "$how" own.pwt
      no "a file came back at the trace's name" "$([ "$how" != unlink ] || ls "$scene/cwd")"
      rm -f "$scene/cwd/own.pwt"
      mv "$scene/cwd"/*.moved "$scene/t/moved.pwt" 2>/dev/null || return
      ;;
    chroot) same "$progs/squeezed" chroot . ;;
    *) same "$progs/squeezed" "$how" ;;
  esac
  holds '.totals.threads | .created == 400 and .joined == 400 and .alive_at_end == 1' "threads are counted exactly"
  holds '.totals.affinity.self == $fact.sets' "calls are counted exactly"
  [ "$grows" = either ] || holds "(.processes[0].dropped == 0) == $grows" "drops are counted where it cannot grow, and only there"
  # Main's start; then each thread's creation, start, 8 calls, end and join.
  is "each event is written or counted as dropped: $(count_events)" test "$(count_events)" = $((1 + 400 * 12))
  holds '.processes[0].end == {how: "exit", status: 0}' "the end is known"
  intact
}
fault "space: nothing is taken away" squeezed true none
fault "space: RLIMIT_FSIZE becomes 0" squeezed false fsize
fault "space: RLIMIT_FSIZE is reached later" squeezed false fsize-soon
fault "memory: RLIMIT_AS becomes what is in use" squeezed false as
fault "fds: none is left when the trace must grow" squeezed false nofile
if [ "$(id -u)" = 0 ]; then
  fault "root: chroot before the trace must grow" squeezed either chroot
else
  fault "root: chroot before the trace must grow" skip "needs root"
fi
fault "file: the trace is unlinked" squeezed false unlink
fault "file: another file stands in the trace's place" squeezed false replace
fault "file: a symbolic link stands in the trace's place" squeezed false link

# ---- missing from the start ------------------------------------------------------------

# Exactly one line says that nothing is recorded, and why.
off_with() {
  is "one line on stderr, not $(grep -ca '^pinwarden: ' "$scene/shim.err")" test "$(grep -ca '^pinwarden: ' "$scene/shim.err")" = 1
  said "pinwarden: recording is off: .*$1"
  no "a file was left" "$(ls "$scene/t")"
}

fsize_at_start() {
  same -E bash -c 'set -o pipefail; (ulimit -f 0; exec "$@" 2>/dev/null) | cat' sh @ "$progs/mixed"
  no "a file was left" "$(ls "$scene/t")"
}
fault "space: RLIMIT_FSIZE is 0 from the start" fsize_at_start

fsize_status() {
  same -E sh -c 'ulimit -f 0; exec "$@" >/dev/null  2>own' sh @ "$targets/create_join" 1 10
}
fault "space: the same, and stderr a file: no room to say so" fsize_status

# The dynamic linker maps the shim (0.9 MiB) or starts nothing; what comes after that can do without.
memory_at_start() {
  local kb
  for kb in 3500 3600 3700 3800 4000 4400 4800 5600 6400; do
    same -E sh -c "ulimit -v $kb; exec \"\$@\"" sh @ /bin/true
  done
}
fault "memory: RLIMIT_AS leaves little room from the start" memory_at_start

no_directory() {
  output=$scene/nowhere/%e.%p.pwt
  same -E "$progs/mixed"
  said "pinwarden: recording is off: .*No such file or directory"
}
fault "space: the directory does not exist" no_directory

no_right() {
  chmod 755 "$scene" "$scene/t"
  same -E setpriv --reuid=65534 --clear-groups @ "$targets/create_join" 1 10
  off_with "Permission denied"
}
if [ "$(id -u)" = 0 ]; then
  fault "space: the directory may not be written" no_right
else
  fault "space: the directory may not be written" skip "needs root, to become nobody"
fi

# On a file system of its own, mounted where only the run sees it; the traces are copied away before it goes.
cat >"$work/mounted" <<'END'
# mounted SCENE OPTIONS FILL COMMAND...: SCENE/disk is a tmpfs; with FILL it has FILL bytes left.
scene=$1 options=$2 fill=$3
shift 3
mount -t tmpfs -o "$options" none "$scene/disk" || { echo "may not mount" >&2; exit 77; }
if [ -n "$fill" ]; then head -c 64M /dev/zero >"$scene/disk/filler" 2>/dev/null; truncate -s "-$fill" "$scene/disk/filler"; fi
case $options in *ro*) mount -o remount,ro "$scene/disk" ;; esac
"$@"
status=$?
cp "$scene"/disk/*.pwt "$scene/t/" 2>/dev/null
exit $status
END

on_disk() {
  local options=$1 fill=$2
  shift 2
  mkdir -p "$scene/disk"
  output=$scene/disk/%e.%p.pwt
  same -E unshare -m sh "$work/mounted" "$scene" "$options" "$fill" "$@"
}

full_disk() {
  on_disk size=4M 0 @ "$targets/create_join" 1 10
  off_with "No space left on device"
}
filling_disk() {
  on_disk size=4M 160K @ "$progs/squeezed" none
  holds '.totals.threads | .created == 400 and .joined == 400' "threads are counted exactly"
  holds '.totals.affinity.self == $fact.sets and .processes[0].dropped > 0' "calls are counted exactly, drops too"
  intact
}
read_only() {
  on_disk ro "" @ "$targets/create_join" 1 10
  off_with "Read-only file system"
}
no_inode() {
  on_disk nr_inodes=1 "" @ "$targets/create_join" 1 10
  off_with "No space left on device"
}
unshared_fault "space: a full tmpfs" full_disk
unshared_fault "space: a tmpfs that fills up" filling_disk
unshared_fault "space: a read-only file system" read_only
unshared_fault "space: no inode left" no_inode

# The same on a real file system, where space is promised at another moment.
cat >"$work/looped" <<'END'
# looped SCENE LEFT COMMAND...: SCENE/disk is an ext4 of 4 MB with LEFT bytes left.
scene=$1 left=$2
shift 2
truncate -s 4M "$scene/image" && mkfs.ext4 -q -O ^has_journal -m 0 "$scene/image" &&
  mount -o loop "$scene/image" "$scene/disk" || { echo "may not mount an ext4 image" >&2; exit 77; }
head -c 64M /dev/zero >"$scene/disk/filler" 2>/dev/null
truncate -s "-$left" "$scene/disk/filler"
sync
"$@"
status=$?
cp "$scene"/disk/*.pwt "$scene/t/" 2>/dev/null
umount "$scene/disk"
exit $status
END
filling_ext4() {
  mkdir -p "$scene/disk"
  output=$scene/disk/%e.%p.pwt
  same -E unshare -m sh "$work/looped" "$scene" "$1" @ "$progs/squeezed" none
  case $1 in
    0) off_with "No space left on device" ;;
    *) holds '.totals.affinity.self == $fact.sets and .processes[0].dropped > 0' "calls are counted exactly, drops too" ;;
  esac
}
unshared_fault "space: a full ext4" filling_ext4 0
unshared_fault "space: an ext4 that fills up" filling_ext4 200K
