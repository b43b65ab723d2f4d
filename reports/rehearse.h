/* SPDX-License-Identifier: MIT
 *
 * What a policy would have said about a recorded past: a trace's events, in the order
 * of time, are put before the same judges that the shim asks (policy/match.h), with
 * counters of the same kind. The past itself goes on as it was recorded, so this is
 * what audit mode would have recorded; under `enforce` a denied call is not made, and
 * the program may have gone on differently.
 *
 * What a trace cannot tell is not judged: how long a pinned thread used no CPU, and the
 * start routine of threads that are no longer in the live page.
 */
#ifndef PINW_REPORTS_REHEARSE_H
#define PINW_REPORTS_REHEARSE_H

#include "policy/policy.h"
#include "reports/model.h"
#include "reports/stacks.h"

#define PINW_FINDING_THREADS 3u

/* Verdicts by one rule about one kind of attempt at one stack of one process. */
struct pinw_finding {
	const struct pinw_process *process;
	uint16_t rule; /* id */
	uint8_t attempt; /* enum pinw_attempted */
	uint8_t leak; /* 1 + enum pinw_policy_leak, 0 = none */
	uint32_t site; /* of the call, of the leaked pin or of the thread's creation; 0 unknown */
	uint64_t count;
	uint64_t first_ns;
	uint64_t value; /* the most that was counted against the limit, 0 = nothing */
	uint64_t limit;
	uint32_t threads[PINW_FINDING_THREADS]; /* the first they are about, 0 = none */
	char names[PINW_FINDING_THREADS][PINW_NAME_BYTES]; /* theirs at that time */
};

/* Of one rule, over all processes. */
struct pinw_rule_tally {
	uint64_t matched; /* times its predicates held; suppress: leaks it suppressed */
	uint64_t violations;
};

struct pinw_rehearsal {
	unsigned rule_count;
	struct pinw_rule_tally *tally; /* [rule_count], by id - 1 */
	struct pinw_table findings; /* struct pinw_finding */
	uint64_t processes; /* heard */
	uint64_t creations, pins, golocks, ends; /* attempts and ends put before the judges */
	uint64_t unseen_golocks; /* processes that run Go, whose locks of threads were not seen, or not all */
	uint64_t suppressed; /* leaks */
	uint64_t
	    denied; /* calls an enforcing policy had not let through when the traces were made: not in them */
	uint64_t dropped; /* events */
};

/* `rule_count` of the policy: the same for every process, whatever its machine. Returns 0 or -ENOMEM. */
int pinw_rehearsal_init(struct pinw_rehearsal *r, unsigned rule_count);
void pinw_rehearsal_done(struct pinw_rehearsal *r);

/* What of the machine and day the policy is held against: as the trace has it. `ret_host` points into `p`. */
void pinw_rehearsal_host(const struct pinw_process *p, struct pinw_policy_host *ret_host);

/* Puts one process's past before a policy that was parsed with its host. Returns 0, -ENOMEM or -errno of reading. */
int pinw_rehearse(struct pinw_rehearsal *r, const struct pinw_policy *policy, const struct pinw_process *p,
                  struct pinw_stacks *stacks);

#endif
