/* SPDX-License-Identifier: MIT
 *
 * Single things where the rest of the model has groups: every pin and every Go lock as a
 * span of time, every violation. Kept only for a model with `with_history`, since there
 * can be as many as events. Filled together with the model, from the same events in the
 * same order, so that the spans of a site add up to its counts.
 *
 * What was dropped from the trace has no span; what is known of it is in the counters.
 */
#ifndef PINW_REPORTS_HISTORY_H
#define PINW_REPORTS_HISTORY_H

#include "reports/process.h"

enum pinw_span_end {
	PINW_SPAN_RELEASED, /* by a mask that covers the baseline; a lock by its unlock */
	PINW_SPAN_THREAD_ENDED, /* the thread ended with it: a leak, unless it was inherited */
	PINW_SPAN_OPEN, /* at the end of the process, or now */
	PINW_SPAN_UNSEEN, /* it has ended, as what came later shows; when is not known */
};

struct pinw_span {
	uint64_t begin_ns; /* PINW_TIME_UNKNOWN: before what was recorded */
	uint64_t end_ns; /* PINW_TIME_UNKNOWN when not seen; of open ones the end of the process, or now */
	uint64_t goid; /* the goroutine of a lock, else 0 */
	uint32_t thread;
	uint32_t site; /* where it was opened; 0 when no call was seen */
	uint32_t end_site; /* where a lock was unlocked, 0 unknown */
	uint32_t by; /* thread that set it, 0 unknown */
	uint32_t mask; /* it began with, for pinw_process_mask(), 0 unknown */
	uint16_t depth; /* at its end; of a lock the most */
	uint8_t origin; /* enum pinw_origin; PINW_ORIGIN_GOLOCK: a Go lock, not a pin of CPUs */
	uint8_t end : 7; /* enum pinw_span_end */
	uint8_t moved : 1; /* its mask became another: where it was when is among the stays */
};

/* One violation, as recorded. */
struct pinw_single_violation {
	uint64_t time_ns;
	uint64_t value; /* what was counted against the limit, 0 = nothing */
	uint64_t limit;
	uint32_t thread; /* that acted */
	uint32_t target; /* it is about, 0 = none or not known */
	uint32_t rule;
	uint32_t site; /* 0 when no call was seen */
	uint32_t mask; /* 0 none */
	uint32_t error; /* errno the caller was given, 0 */
	uint8_t action; /* enum pinw_action */
	uint8_t done; /* enum pinw_done */
	uint8_t attempt; /* enum pinw_attempted */
	uint8_t leak; /* 1 + enum pinw_policy_leak, 0 = no leak */
};

struct pinw_history {
	struct pinw_span *spans; /* by begin, then by thread */
	size_t span_count, span_room;
	struct pinw_span
	    *stays; /* of pins that moved: a part of the pin at each mask; by thread, then by begin */
	size_t stay_count, stay_room;
	struct pinw_table moved; /* pins that have moved and are open, while the model is built */
	struct pinw_single_violation *violations; /* by time */
	size_t violation_count, violation_room;
	struct pinw_table locks; /* locks without an end so far, while the model is built */
	bool out_of_memory;
};

/* Pins of CPUs at each mask they had, `at` from 0 to pinw_history_places(): NULL where there is none. */
size_t pinw_history_places(const struct pinw_history *h);
const struct pinw_span *pinw_history_place(const struct pinw_history *h, size_t at);

/* The stays of a pin that moved. */
const struct pinw_span *pinw_history_stays(const struct pinw_history *h, const struct pinw_span *pin,
                                           size_t *ret_count);

/* How long a span was held, as far as that is known; else 0. */
uint64_t pinw_span_held_ns(const struct pinw_span *s);

/* "released", "thread-end", "open", "unseen". */
const char *pinw_span_end_name(unsigned end);

#endif
