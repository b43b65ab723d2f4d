/* SPDX-License-Identifier: MIT
 *
 * What is wrong with how a process pins, whatever the policy, and what to do about it.
 */
#ifndef PINW_REPORTS_ADVICE_H
#define PINW_REPORTS_ADVICE_H

#include "reports/capacity.h"
#include "reports/evidence.h"

enum pinw_advice_kind {
	PINW_ADVICE_PER_REQUEST, /* a worker pool instead */
	PINW_ADVICE_ALL_CPUS, /* as many threads pinned as there are CPUs, or more */
	PINW_ADVICE_DOUBLE_BOOKED, /* a CPU that several threads had to themselves */
	PINW_ADVICE_INHERITED, /* threads that were born on another's mask */
	PINW_ADVICE_NO_AFFINITY, /* Go locks, which bind to no CPU, where CPUs matter */
	PINW_ADVICE_NO_LOCK, /* Go pinned a thread that its goroutine may leave */
	PINW_ADVICE_KINDS
};

struct pinw_advice {
	enum pinw_advice_kind kind;
	char what[160];
	const char *cure;
	const struct pinw_site *site; /* where to look; NULL: no single place */
};

struct pinw_advices {
	struct pinw_advice list[PINW_ADVICE_KINDS];
	unsigned count;
};

/* "per-request", ... */
const char *pinw_advice_name(enum pinw_advice_kind kind);

/* Of a model with names and with_history. Returns 0 or -ENOMEM. */
int pinw_advices_of(const struct pinw_process *p, const struct pinw_capacity *capacity,
                    struct pinw_advices *ret);

#endif
