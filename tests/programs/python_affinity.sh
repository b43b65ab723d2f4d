# SPDX-License-Identifier: MIT
# Python threads that pin themselves, one through ctypes and syscall(); a daemon thread is alive at the end.
# needs: /usr/bin/python3
# expect: .totals.affinity.self == 4
# expect: .totals.threads.created == 5
# expect: .totals.leaks["exit-while-pinned"] == 4
run /usr/bin/python3 -c '
import ctypes, os, threading, time
def pin(cpu): os.sched_setaffinity(0, {cpu})
def by_number():
    mask = (ctypes.c_ulong * 16)(1)
    ctypes.CDLL(None, use_errno=True).syscall(203, 0, 128, mask)
threads = [threading.Thread(target=pin, args=(i % 2,)) for i in range(3)] + [threading.Thread(target=by_number)]
for t in threads: t.start()
for t in threads: t.join()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("pinned")'
