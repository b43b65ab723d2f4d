/* SPDX-License-Identifier: MIT
 *
 * The events of a trace one by one, as recorded, in words: for streams and tables. Read from the file once more, so
 * they take no memory, however many there are.
 */
#ifndef PINW_REPORTS_EVENTS_H
#define PINW_REPORTS_EVENTS_H

#include "reports/process.h"

/* Numbers are 0 and texts NULL where an event has none, or it is not known. */
struct pinw_recorded {
	const char *what; /* "thread-create", ...: pinwarden-formats(5) has them all */
	uint64_t time_ns;
	uint64_t took_ns; /* the call: creation, join, affinity */
	uint64_t goid; /* goroutine of a lock */
	uint64_t held_ns; /* what ended here: a pin with its thread, a lock */
	uint32_t thread; /* that acted */
	uint32_t site;
	uint32_t target; /* thread it was done to: created, joined, detached, named, pinned */
	uint32_t
	    tid; /* the kernel's number: of a thread that starts or is adopted, or the target of an affinity call */
	uint32_t depth; /* of the pin or lock after it */
	uint32_t error; /* errno of a failed call */
	uint32_t code; /* of a note: enum pinw_note */
	const char *origin; /* of the pin that a thread starts or ends with */
	const char *call, *relation, *effect; /* of an affinity call */
	const char *how; /* a thread ended; where a mask was seen to have changed */
	const uint64_t *mask; /* after it; header.mask_words words */
	const char *text; /* a name, a path: `text_len` bytes, any */
	size_t text_len;
};

typedef int (*pinw_recorded_fn)(void *arg, const struct pinw_recorded *event);

/* Hands out the events in the order of the file, which is nearly that of time; of a process that runs, those the model knows.
 * Violations are not among them: they are in the history. Ends early when `fn` returns other than 0, and returns that; else 0,
 * -ENOMEM or -errno of reading. */
int pinw_events_each(const struct pinw_process *p, pinw_recorded_fn fn, void *arg);

#endif
