# SPDX-License-Identifier: MIT
# multiprocessing by fork and by spawn, each child pinning itself and releasing.
# needs: /usr/bin/python3
# expect: .totals.pins.opened == 4
# expect: .totals.pins.released == 4
cat >work.py <<'PY'
import multiprocessing, os
def work(cpu):
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    os.sched_setaffinity(0, everything)
    return cpu
if __name__ == '__main__':
    for way in ('fork', 'spawn'):
        context = multiprocessing.get_context(way)
        for cpu in (0, 1):
            child = context.Process(target=work, args=(cpu,))
            child.start()
            child.join()
            print(way, cpu, child.exitcode)
PY
run /usr/bin/python3 work.py
