# SPDX-License-Identifier: MIT
#
# What host.c does, in Python:  host.py THREADS TIMES LIBRARY
import ctypes
import sys
import threading

count, times = int(sys.argv[1]), int(sys.argv[2])
opened = threading.Event()
library = None


def lock_here():
    library.golocks_here(times, 1)
    library.golocks_here(times, 3)


def early():
    opened.wait()
    lock_here()


threads = [threading.Thread(target=early) for _ in range(count)]
for thread in threads:
    thread.start()
library = ctypes.CDLL(sys.argv[3])
opened.set()
lock_here()
later = [threading.Thread(target=lock_here) for _ in range(count)]
for thread in later:
    thread.start()
library.golocks_goroutines(8, times)
library.golocks_destroyed()
for thread in threads + later:
    thread.join()
unlocks = (2 * count + 1) * 2 * times + 8 * times
print(f"locks={unlocks + 1} nested={(2 * count + 1) * 2 * times} unlocks={unlocks} lost=1")
