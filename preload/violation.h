/* SPDX-License-Identifier: MIT
 *
 * What a verdict against a rule leaves behind: the rule's cell and the counters, always
 * exact; a record with stack and mask; a block in the log. And the report that comes
 * before a crash.
 */
#ifndef PINW_VIOLATION_H
#define PINW_VIOLATION_H

#include <stdint.h>

#include "policy/match.h"
#include "preload/shim.h"

struct pinw_violation {
	struct pinw_verdict verdict;
	const struct pinw_slot
	    *slot; /* of the thread it is about; for a creation, of the creator; NULL unknown */
	const uint64_t *mask; /* the one attempted or held, NULL none */
	uint64_t now_ns;
	uint32_t thread; /* the acting one, start sequence */
	uint32_t target; /* the one it is about, 0 unknown */
	uint32_t site; /* of the call, or of the pin */
	uint64_t goid; /* goroutine that locks, or has leaked a lock; 0: it is not about a Go lock */
	uint8_t attempt; /* enum pinw_attempted */
	uint8_t done; /* enum pinw_done */
	uint8_t leak; /* 1 + enum pinw_policy_leak, 0 = none */
	int error; /* what the caller is given */
};

/* Makes the cells of this image, in the trace if there is room, and describes policy and rules in it. */
void pinw_violation_start_image(const struct pinw_policy *policy, bool enforcing);

void pinw_violation_record(const struct pinw_violation *v);

/* The same, but for the log. */
void pinw_violation_book(const struct pinw_violation *v);

/* Says which limit was passed, then every thread's creation and pin stacks, records it, ends the image in the trace and
 * aborts, as a fatal error of Go's runtime does. */
void pinw_violation_crash(const struct pinw_violation *v) __attribute__((noreturn));

/* For a thread that would end the process: while another one is writing that report, it waits for the abort. */
void pinw_violation_await_crash(void);

/* The block's first lines: rule and place, what was attempted, what was done. */
struct pinw_logtext;
void pinw_violation_describe(struct pinw_logtext *text, const struct pinw_violation *v);

/* The stacks that tell the story: of the call, of the pin that was given on, or of pin and creation. */
void pinw_violation_stacks(struct pinw_logtext *text, const struct pinw_violation *v);

#endif
