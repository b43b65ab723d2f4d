#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The kernel's side of the story: counts threads and affinity changes in `strace -f` logs.

  truth.py LOG...                     prints the counts as JSON
  truth.py --against REPORT.json LOG...   compares them with `pinwarden report -f json`: one line for each
                                      figure that differs, status 1 when any does

The logs must hold the calls named in CALLS, made with: strace -f -q -v -s 0 -e signal=none -e trace=CALLS

What is counted, in the words of the report:
  threads        clone with CLONE_THREAD (the report's created + adopted)
  self, cross, other_process   successful sched_setaffinity calls by target; failed: the others
  attr           those that pthread_create makes itself, for an attribute: on the thread it has just cloned and
                 before it restores the signal mask it blocked around the clone
  pins           opened and released as the masks tell: a task is pinned while its mask misses a CPU of its
                 process's baseline, which is the mask at exec; a fork child keeps its parent's
"""
import json
import os
import re
import sys

CALLS = 'sched_setaffinity,clone,clone3,fork,vfork,execve,execveat,rt_sigprocmask'
COUNTS = ('threads', 'self', 'cross', 'other_process', 'attr', 'failed',
          'opened', 'released', 'born', 'inherited', 'open_at_end')


def completed_calls(path):
  """The log's lines in order as (pid, text, phase): 'call' for a call made in one line; a call that others
  interrupted appears as 'enter' and, whole, as 'leave'; 'end' for a task's last line."""
  pending = {}
  with open(path, errors='replace') as log:
    for line in log:
      found = re.match(r'(\d+)\s+(.*)', line)
      if not found:
        continue
      pid, text = int(found[1]), found[2]
      if text.startswith('+++'):
        yield pid, text, 'end'
      elif text.endswith('<unfinished ...>'):
        pending[pid] = text[:-len('<unfinished ...>')].rstrip()
        yield pid, pending[pid], 'enter'
      elif text.startswith('<... '):
        rest = re.sub(r'^<\.\.\. \w+ resumed>', '', text)
        yield pid, pending.pop(pid, '?(') + rest, 'leave'
      elif not text.startswith('---'):
        yield pid, text, 'call'


def returned(text):
  """What a whole call returned, None when it did not (killed inside, to be restarted)."""
  found = re.search(r'=\s+(-?\d+)(?:\s+\w+ \(.*\)|\s+\(.*\))?$', text)
  return int(found[1]) if found else None


class Task:
  def __init__(self, process, mask):
    self.process, self.mask = process, mask
    self.origin = None  # of its open pin
    self.cloned = None  # a thread it is just creating


class Process:
  def __init__(self, pid, baseline, borrowed=False):
    self.pid, self.baseline = pid, baseline
    self.borrowed = borrowed  # a vfork child: not an image of its own before its exec

  def is_pin(self, mask):
    return not self.borrowed and len(self.baseline) > 1 and not self.baseline <= mask


class Truth:
  def __init__(self, cpus):
    self.cpus = frozenset(cpus)
    self.tasks = {}
    self.counts = {}  # pid -> counts

  def count(self, pid, what, n=1):
    self.counts.setdefault(pid, dict.fromkeys(COUNTS, 0))[what] += n

  def task(self, pid):
    if pid not in self.tasks:
      self.tasks[pid] = Task(Process(pid, self.cpus), self.cpus)
    return self.tasks[pid]

  def set_pin(self, task, origin):
    """Books what the task's mask says now: a pin opened, released, or neither."""
    pinned = task.process.is_pin(task.mask)
    if pinned and not task.origin:
      self.count(task.process.pid, 'opened')
      if origin in ('born', 'inherited'):
        self.count(task.process.pid, origin)
      task.origin = origin
    elif not pinned and task.origin:
      self.count(task.process.pid, 'released')
      task.origin = None

  def end_pin(self, task):
    if task.origin:
      self.count(task.process.pid, 'open_at_end')
      task.origin = None

  def clone(self, pid, child, text):
    parent = self.task(pid)
    if 'CLONE_THREAD' in text:
      process = parent.process
      parent.cloned = child
      self.count(process.pid, 'threads')
    else:
      process = Process(child, parent.process.baseline, text.startswith('vfork') or 'CLONE_VM' in text)
    self.tasks[child] = Task(process, parent.mask)
    self.set_pin(self.tasks[child], 'inherited')

  def attribute(self, process, task, mask, ok):
    """pthread_create's own call: the new thread has not run yet, what it inherited never was."""
    if task.origin == 'inherited':
      self.count(process.pid, 'opened', -1)
      self.count(process.pid, 'inherited', -1)
      task.origin = None
    if ok:
      self.count(process.pid, 'attr')
      task.mask = mask
      self.set_pin(task, 'born')
    else:
      self.count(process.pid, 'threads', -1)  # pthread_create fails, the thread ends unstarted

  def set_affinity(self, pid, text, result):
    found = re.match(r'sched_setaffinity\((-?\d+), \d+, (.*)\)\s+=', text)
    caller = self.task(pid)
    target = int(found[1]) or pid if found else pid
    mask = frozenset(int(n) for n in re.findall(r'\d+', found[2])) if found else frozenset()
    if target == caller.cloned and target in self.tasks:
      return self.attribute(caller.process, self.tasks[target], mask, result == 0)
    if result < 0:
      return self.count(caller.process.pid, 'failed')
    task = self.task(target)
    if target == pid:
      relation = 'self'
    else:
      relation = 'cross' if task.process is caller.process else 'other_process'
    self.count(caller.process.pid, relation)
    task.mask = mask & self.cpus or mask
    return self.set_pin(task, relation)

  def exec(self, pid):
    """One task goes on as a new image, its mask is the new baseline; a thread's exec ends the others first."""
    mask, old = self.task(pid).mask, self.task(pid).process
    leader = old.pid
    for task in self.tasks.values():
      if task.process is old:
        self.end_pin(task)
    self.tasks[leader] = Task(Process(leader, mask), mask)

  def end(self, pid):
    if pid in self.tasks:
      self.end_pin(self.tasks.pop(pid))

  def totals(self):
    return {key: sum(counts[key] for counts in self.counts.values()) for key in COUNTS}


def with_results(path):
  """The log's calls with what they returned. Clones stand where they were entered, since the child may act
  before its creator returns; every other call stands where it returned."""
  calls, entered = [], {}
  for pid, text, phase in completed_calls(path):
    is_clone = re.match(r'(clone3?|v?fork)\(', text) is not None
    if phase == 'enter':
      entered[pid] = len(calls)
      calls.append([pid, text if is_clone else '', None])
    elif phase == 'leave' and is_clone:
      calls[entered.pop(pid)][1:] = [text, returned(text)]
    else:
      calls.append([pid, text, None if phase == 'end' else returned(text)])
  return [call for call in calls if call[1]]


def read_logs(paths, cpus):
  truth = Truth(cpus)
  for path in paths:
    for pid, text, result in with_results(path):
      name = text.split('(', 1)[0]
      if text.startswith('+++ superseded'):
        truth.task(pid).mask = truth.task(int(text.split()[-2])).mask
      elif text.startswith('+++'):
        truth.end(pid)
      elif name == 'rt_sigprocmask':
        truth.task(pid).cloned = None
      elif result is None:
        continue
      elif name in ('clone', 'clone3', 'fork', 'vfork') and result > 0:
        truth.clone(pid, result, text)
      elif name == 'sched_setaffinity':
        truth.set_affinity(pid, text, result)
      elif name in ('execve', 'execveat') and result == 0:
        truth.exec(pid)
    for pid in list(truth.tasks):
      truth.end(pid)
  return truth


def reported(report):
  """The same figures out of a report, for each process and in sum."""
  by_pid = {}
  for process in report['processes']:
    counts = by_pid.setdefault(process['pid'], dict.fromkeys(COUNTS, 0))
    counts['threads'] += process['threads']['created'] + process['threads']['adopted']
    for key in ('self', 'cross', 'other_process', 'attr', 'failed'):
      counts[key] += process['affinity'][key]
    for key in ('opened', 'released', 'born', 'inherited', 'open_at_end'):
      counts[key] += process['pins'][key]
  return by_pid


def differences(truth, by_pid):
  totals = truth.totals()
  for key in COUNTS:
    seen = sum(counts[key] for counts in by_pid.values())
    if seen == totals[key]:
      continue
    pids = sorted(set(truth.counts) | set(by_pid))
    detail = [(pid, truth.counts.get(pid, {}).get(key, 0), by_pid.get(pid, {}).get(key, 0)) for pid in pids]
    where = ', '.join(f'{pid}: {kernel}/{shim}' for pid, kernel, shim in detail if kernel != shim)
    yield f'{key}: the kernel says {totals[key]}, the report {seen} ({where})'


def main(args):
  against = None
  if args[:1] == ['--against']:
    against, args = args[1], args[2:]
  if not args:
    sys.exit(__doc__)
  truth = read_logs(args, os.sched_getaffinity(0))
  if against is None:
    print(json.dumps({**truth.totals(), 'processes': truth.counts}))
    return 0
  with open(against) as report:
    found = list(differences(truth, reported(json.load(report))))
  print('; '.join(found) or 'same')
  return 1 if found else 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
