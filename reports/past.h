/* SPDX-License-Identifier: MIT
 *
 * The events of one trace in the order of time, all in memory: for what asks the past
 * again, step by step, rather than what came of it (reports/model.h). Beside what was
 * recorded there are moments to look at a thread: a while after its start, and a while
 * after its end.
 */
#ifndef PINW_REPORTS_PAST_H
#define PINW_REPORTS_PAST_H

#include "reports/model.h"

enum pinw_moment {
	PINW_MOMENT_RECORD = 0,
	PINW_MOMENT_AGE = 1, /* the thread has lived one of the asked ages */
	PINW_MOMENT_GRACE = 2, /* so much later than its end */
};

struct pinw_past_event {
	uint64_t time_ns;
	uint32_t order; /* in the file: decides between equal times */
	uint8_t moment; /* enum pinw_moment */
	uint8_t type; /* enum pinw_record, when a RECORD */
	bool has_masks;
	size_t masks; /* where they start in pinw_past.words */
	union {
		struct pinw_event e; /* common to all; of a moment only e.thread holds */
		struct pinw_rec_create create;
		struct pinw_rec_start start;
		struct pinw_rec_exit exit;
		struct pinw_rec_join join; /* also DETACH */
		struct pinw_rec_name name;
		struct pinw_rec_adopt adopt;
		struct pinw_rec_affinity affinity;
		struct pinw_rec_external external;
		struct pinw_rec_golock golock;
	};
};

/* A thread whose slot is in the file. */
struct pinw_past_routine {
	uint32_t module; /* id, 0 unknown */
	uint64_t offset; /* of its start routine in there */
};

struct pinw_past {
	struct pinw_past_event *events;
	size_t count;
	size_t room;
	uint64_t *words; /* masks */
	size_t word_count;
	size_t word_room;
	struct pinw_table starts; /* event number of the START record + 1, by thread */
	struct pinw_table
	    routines; /* struct pinw_past_routine, by thread; only of threads that live or were not joined */
	bool main_renamed; /* some event names thread 1 */
};

/* What moments to add. */
struct pinw_past_moments {
	const uint64_t *ages_ns;
	size_t age_count;
	uint64_t grace_ns;
};

/* Reads the trace of `p` once more. Returns 0, -ENOMEM, or -errno of reading; the caller frees with pinw_past_done, also after
 * an error. */
int pinw_past_read(struct pinw_past *past, const struct pinw_process *p,
                   const struct pinw_past_moments *moments);
void pinw_past_done(struct pinw_past *past);

/* Mask number `at` of an event. */
const uint64_t *pinw_past_mask(const struct pinw_past *past, const struct pinw_process *p,
                               const struct pinw_past_event *event, unsigned at);

/* The START record of a thread, NULL when there is none. */
const struct pinw_past_event *pinw_past_start(const struct pinw_past *past, uint32_t thread);

#endif
