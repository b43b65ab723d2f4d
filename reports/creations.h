/* SPDX-License-Identifier: MIT
 *
 * Churn: threads by the stack that created them, and how long they lived.
 */
#ifndef PINW_REPORTS_CREATIONS_H
#define PINW_REPORTS_CREATIONS_H

#include "reports/process.h"

/* Threads that were created at one site. */
struct pinw_creations {
	uint32_t site;
	uint64_t created;
	uint64_t ended; /* of these; start and end were seen */
	uint64_t short_lived; /* of these, within PINW_SHORT_LIVED_NS */
	uint64_t lived_ns; /* by those that ended */
};

/* Most created first. Returns 0 or -ENOMEM; the caller frees the list. */
int pinw_creations_of(const struct pinw_process *p, struct pinw_creations **ret_list, size_t *ret_count);

#define PINW_CREATIONS_RATE_BYTES 32u

/* How many a second over the process's life, as text; "" when it had none. */
void pinw_creations_rate(const struct pinw_process *p, const struct pinw_creations *c,
                         char ret[PINW_CREATIONS_RATE_BYTES]);

#endif
