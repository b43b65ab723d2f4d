/* SPDX-License-Identifier: MIT
 *
 * What `pinwarden check` finds, in the form that continuous integration wants: one finding for each rule, program and
 * stack, with a key that a rebuild does not change.
 *
 *     policy + traces ──trial.h──► verdicts ─┐
 *     violations recorded when it was run ───┴─► findings ──► text, SARIF, JUnit, JSON
 *     the same of a baseline ────────────────► which of them are new
 *
 * A stack is known by the functions on it, inlined calls included, and by the objects where it has no function: never by
 * an address. Sites in objects without symbols are therefore told apart by their objects alone.
 */
#ifndef PINW_REPORTS_CHECK_H
#define PINW_REPORTS_CHECK_H

#include <stdio.h>

#include "reports/trial.h"

enum pinw_check_state {
	PINW_CHECK_NEW, /* also when there is no baseline */
	PINW_CHECK_KNOWN, /* in the baseline, too */
	PINW_CHECK_GONE, /* only there */
};

struct pinw_check_finding {
	uint64_t key;
	const struct pinw_rule *rule;
	const struct pinw_process *process; /* the first one that has it */
	const struct pinw_frame *frames; /* innermost first; those worth showing */
	unsigned frame_count;
	uint32_t site; /* in `process`; 0 = no call was seen */
	uint8_t attempt; /* enum pinw_attempted */
	uint8_t leak; /* 1 + enum pinw_policy_leak, 0 = none */
	uint8_t
	    done; /* enum pinw_done: it was recorded, when the program ran under the policy; 0: judged now */
	uint8_t state; /* enum pinw_check_state */
	bool spared; /* Go locks that the rule would deny if the policy said deny_golocks */
	uint32_t processes;
	uint64_t count;
	uint64_t first_ns; /* in `process`, since its start */
	uint64_t value; /* the most that was counted against the limit, 0 = nothing */
	uint64_t limit;
	uint32_t threads[PINW_FINDING_THREADS]; /* of `process`, 0 = none */
	char names[PINW_FINDING_THREADS][PINW_NAME_BYTES];
};

struct pinw_check {
	struct pinw_trial now;
	struct pinw_trial before; /* the traces of the baseline */
	bool has_traces; /* there are some */
	struct pinw_table keys; /* bool by key: the findings of its documents (reports/baseline.h) */
	bool has_baseline; /* traces, documents or both */
	const struct pinw_policy *policy;
	struct pinw_check_finding **findings; /* new ones first, then by severity and count */
	size_t count;
	size_t of_state[3]; /* what is gone and only a document has is not among the findings */
	struct pinw_table table; /* struct pinw_check_finding, by key */
	struct pinw_table stacks; /* struct pinw_frame *, the copies */
	struct pinw_table having; /* by key and process */
};

/* Collects the findings of trials that have been run. Returns 0 or -ENOMEM. */
int pinw_check_collect(struct pinw_check *c);
void pinw_check_done(struct pinw_check *c);

/* Denying, resetting and crashing rules are errors; what is only logged is a warning. */
bool pinw_check_is_error(const struct pinw_check_finding *f);

/* "would be denied with EPERM", "was denied with EPERM". Good until the next call. */
const char *pinw_check_outcome(const struct pinw_check_finding *f);

/* One sentence: what, how often, where, and what would have come of it. Bytes of the audited program may be in it. */
void pinw_check_message(const struct pinw_check_finding *f, char *buf, size_t size);

/* What the stack is of: "pinned at". */
const char *pinw_check_stack_title(const struct pinw_check_finding *f);

/* The renderers. Each returns 0, -ENOMEM, or -errno of the first write that failed. */
struct pinw_check_text_options {
	bool color;
	size_t top; /* findings shown, SIZE_MAX = all */
};
int pinw_check_text(const struct pinw_check *c, const struct pinw_check_text_options *options, FILE *out);
int pinw_check_sarif(const struct pinw_check *c, FILE *out);
int pinw_check_junit(const struct pinw_check *c, FILE *out);
int pinw_check_json(const struct pinw_check *c, FILE *out);

#endif
