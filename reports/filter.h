/* SPDX-License-Identifier: MIT
 *
 * Which rows of a report's lists are of interest: terms apart by spaces, all of which have to hold, of a row or of one
 * of the stacks and threads it stands for. Letters match in either case, anywhere in a name.
 *
 *     WORD                 in the name of a function, module or thread
 *     function:  module:  thread:   in such a name alone
 *     kind:   self, cross, born, inherited, external; cpu for any of these; go for Go locks
 *     leak:   any, or a kind of leak
 *     cpu:    the number of a CPU that was pinned to
 */
#ifndef PINW_REPORTS_FILTER_H
#define PINW_REPORTS_FILTER_H

#include "reports/creations.h"
#include "reports/filter_index.h"
#include "reports/stacks.h"

#define PINW_FILTER_TERMS 16u

enum pinw_filter_field {
	PINW_FILTER_WORD,
	PINW_FILTER_FUNCTION,
	PINW_FILTER_MODULE,
	PINW_FILTER_THREAD,
	PINW_FILTER_KIND,
	PINW_FILTER_LEAK,
	PINW_FILTER_CPU,
	PINW_FILTER_FIELDS
};

struct pinw_filter_term {
	enum pinw_filter_field field;
	const char *value; /* in the text that was parsed */
	size_t len;
	unsigned cpu;
};

struct pinw_filter {
	struct pinw_filter_term terms[PINW_FILTER_TERMS];
	unsigned count;
	struct pinw_stacks *stacks; /* to be set before rows are asked for */
	struct pinw_filter_index index; /* of the process asked about last */
	bool out_of_memory; /* then rows are missing */
};

/* `text` has to live as long as the filter. Returns 0 or -EINVAL, and then `why` says what is expected. */
int pinw_filter_parse(const char *text, struct pinw_filter *ret, char *why, size_t why_len);

void pinw_filter_done(struct pinw_filter *f);

/* Rows of a process of a model with_history. */
bool pinw_filter_has_leak(struct pinw_filter *f, const struct pinw_process *p, const struct pinw_leak *l);
bool pinw_filter_has_violation(struct pinw_filter *f, const struct pinw_process *p,
                               const struct pinw_violation *v);
/* Pins, or Go locks (PINW_ORIGIN_GOLOCK), of one site. */
bool pinw_filter_has_pins(struct pinw_filter *f, const struct pinw_process *p, uint32_t site,
                          unsigned origin);
bool pinw_filter_has_creations(struct pinw_filter *f, const struct pinw_process *p,
                               const struct pinw_creations *c);
bool pinw_filter_has_thread(struct pinw_filter *f, const struct pinw_process *p, const struct pinw_thread *t);

#endif
