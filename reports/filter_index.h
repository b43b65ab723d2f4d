/* SPDX-License-Identifier: MIT
 *
 * The pins and threads of a process by stack, so that a filter does not go through all of them for each row.
 */
#ifndef PINW_REPORTS_FILTER_INDEX_H
#define PINW_REPORTS_FILTER_INDEX_H

#include "reports/process.h"

/* One of a stack: `at` is where it stands in its table. */
struct pinw_filter_entry {
	uint32_t site, at;
};

/* By site, then in the order of their table. */
struct pinw_filter_list {
	struct pinw_filter_entry *entries;
	size_t count;
};

struct pinw_filter_index {
	const struct pinw_process *of; /* NULL: nothing yet */
	struct pinw_filter_list spans; /* of the history: pins and Go locks, by where they began */
	struct pinw_filter_list
	    held; /* threads by the stack of a pin or Go lock that is open, or was at their end */
	struct pinw_filter_list created; /* threads by creation */
};

/* Makes it one of `p`, which must have its history; nothing is done when it is. Returns 0 or -ENOMEM. */
int pinw_filter_index(struct pinw_filter_index *index, const struct pinw_process *p);
void pinw_filter_index_done(struct pinw_filter_index *index);

/* Those of one site. */
struct pinw_filter_list pinw_filter_of(const struct pinw_filter_list *list, uint32_t site);

#endif
