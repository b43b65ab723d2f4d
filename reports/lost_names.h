/* SPDX-License-Identifier: MIT
 *
 * Stacks whose names were lost since they were recorded: a program or library on them is not on this machine any more, or is
 * another build. What goes by names, as rules on functions and findings known again do, cannot be told of them.
 */
#ifndef PINW_REPORTS_LOST_NAMES_H
#define PINW_REPORTS_LOST_NAMES_H

#include <stddef.h>

#include "reports/model.h"
#include "reports/stacks.h"

struct pinw_lost_names {
	size_t stacks; /* 0: none, and the following are NULL */
	const char *module; /* one of them: its path, owned by the model */
	const char *reason; /* "the file is gone" */
};

/* Of all stacks of all processes. */
struct pinw_lost_names pinw_lost_names_of(const struct pinw_model *m, struct pinw_stacks *stacks);

/* "the names on 3 stacks are not all known (/opt/app: the file changed since)"; it is printable. */
void pinw_lost_names_words(const struct pinw_lost_names *lost, char *buf, size_t size);

#endif
