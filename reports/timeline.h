/* SPDX-License-Identifier: MIT
 *
 * A process over time, in few enough points to be drawn: how many threads lived and were pinned, how many were pinned to each
 * CPU alone, and each thread's pins as spans. Pure functions over a model with_history (reports/history.h).
 *
 * A point stands for an equal part of the process's life and holds the most there were at once in it, so that no peak is lost.
 */
#ifndef PINW_REPORTS_TIMELINE_H
#define PINW_REPORTS_TIMELINE_H

#include "reports/history.h"

#define PINW_TIMELINE_POINTS 600u

/* Threads with a pin on this CPU and no other: two at once is double booking. */
struct pinw_cpu_line {
	unsigned cpu;
	uint32_t most;
	uint32_t pinned[PINW_TIMELINE_POINTS];
};

struct pinw_timeline {
	uint64_t end_ns; /* of the last point; the first begins at 0 */
	uint32_t live[PINW_TIMELINE_POINTS];
	uint32_t pinned[PINW_TIMELINE_POINTS]; /* by a pin of CPUs, a Go lock or both */
	uint32_t on_cpus[PINW_TIMELINE_POINTS]; /* by a pin of CPUs */
	struct pinw_cpu_line *cpus; /* those that had such a pin, ascending */
	size_t cpu_count;
};

/* Returns 0 or -ENOMEM; the caller frees with pinw_timeline_done in either case. */
int pinw_timeline_make(const struct pinw_process *p, struct pinw_timeline *ret);
void pinw_timeline_done(struct pinw_timeline *t);

/* Pins of one kind of one thread: one of them, or several that lie so close that they look like one. */
struct pinw_block {
	uint64_t begin_ns, end_ns;
	uint32_t thread;
	uint32_t count;
	uint32_t mask; /* of the first, 0 unknown */
	bool golock;
	bool leaked; /* the thread or the process ended with one of them */
};

struct pinw_blocks {
	struct pinw_block *blocks; /* by thread, Go locks after pins, then by begin */
	size_t count;
	uint64_t apart_ns; /* gaps shorter than this are not shown; 0: all are */
};

/* Of the threads whose ids are keys of `lanes`, as exactly as `most` blocks can tell. Returns 0 or -ENOMEM; the caller frees `blocks`. */
int pinw_blocks_make(const struct pinw_process *p, const struct pinw_table *lanes, size_t most,
                     struct pinw_blocks *ret);

#endif
