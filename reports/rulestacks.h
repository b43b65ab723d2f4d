/* SPDX-License-Identifier: MIT
 *
 * Which rules of a policy the stacks of one process satisfy, as the shim finds out: from symbol
 * tables. What debug information tells of inlined calls is left aside.
 */
#ifndef PINW_REPORTS_RULESTACKS_H
#define PINW_REPORTS_RULESTACKS_H

#include "policy/match.h"
#include "reports/model.h"
#include "reports/stacks.h"

struct pinw_rulestacks {
	const struct pinw_policy *policy;
	const struct pinw_process *process;
	struct pinw_stacks *stacks;
	struct pinw_table sites; /* by site id */
	struct pinw_table routines; /* by hash of module and offset */
	uint16_t *work; /* five lists of rule_count */
	bool out_of_memory;
};

/* Returns 0 or -ENOMEM. */
int pinw_rulestacks_init(struct pinw_rulestacks *s, const struct pinw_policy *policy,
                         const struct pinw_process *process, struct pinw_stacks *stacks);
void pinw_rulestacks_done(struct pinw_rulestacks *s);

/* What the stack of a site satisfies; the same object each time, so that its windows go on. NULL for site 0, for a site whose
 * stack is not in the trace, and when out of memory, which is remembered. */
const struct pinw_stack_match *pinw_rulestacks_site(struct pinw_rulestacks *s, uint32_t site);

/* The same for one function, `offset` into a module. */
const struct pinw_stack_match *pinw_rulestacks_function(struct pinw_rulestacks *s, uint32_t module,
                                                        uint64_t offset);

#endif
