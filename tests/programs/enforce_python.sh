# SPDX-License-Identifier: MIT
# os.sched_setaffinity denied by call and module: Python raises PermissionError, and OSError with the errno that the policy
# names. A ban on another module's calls does nothing.
# needs: /usr/bin/python3
# expect: .totals.affinity.self == 3
# expect: [.processes[].violations[]?] | add // 0 == 0
. "$SOURCES/tests/programs/enforced"
policy denied <<'INI'
[ban "no affinity from Python"]
call = setaffinity
module = python3*
INI
policy busy <<'INI'
[ban "b"]
call = setaffinity
module = */python3*
errno = EBUSY
INI
policy other <<'INI'
[ban "b"]
call = pthread_setaffinity, cross
module = python3*
[ban "c"]
call = setaffinity
module = libpthread*
INI
cat >pin.py <<'PY'
import os, threading
before = os.sched_getaffinity(0)
def pin(cpus):
    try:
        os.sched_setaffinity(0, cpus)
        print("pinned")
    except OSError as e:
        print(type(e).__name__, e.errno, os.sched_getaffinity(0) == before)
pin({0})
pin(before)
t = threading.Thread(target=pin, args=({1},))
t.start()
t.join()
PY
run /usr/bin/python3 pin.py
enforced denied /usr/bin/python3 pin.py
wants '$status = 0'
wants '$(<"$dir/denied.out") = $'"'PermissionError 1 True\npinned\nPermissionError 1 True'"
reports denied '.processes[0].violations == {"ban:no affinity from Python": 2}'
enforced busy /usr/bin/python3 pin.py
wants '$(<"$dir/busy.out") = $'"'OSError 16 True\npinned\nOSError 16 True'"
enforced other /usr/bin/python3 pin.py
wants '$(<"$dir/other.out") = $'"'pinned\npinned\npinned'"
reports other '[.processes[].violations[]?] | add // 0 == 0'
