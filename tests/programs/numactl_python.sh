# SPDX-License-Identifier: MIT
# numactl pins through syscall() and becomes python3, whose threads inherit and are detached at once.
# needs: numactl /usr/bin/python3
# expect: .totals.affinity.self == 1
# expect: .totals.threads.created == 3
run numactl --physcpubind=0 /usr/bin/python3 -c '
import os, threading
threads = [threading.Thread(target=lambda: os.write(1, b"%r\n" % sorted(os.sched_getaffinity(0)))) for _ in range(3)]
for t in threads: t.start()
for t in threads: t.join()'
