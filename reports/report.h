/* SPDX-License-Identifier: MIT
 *
 * The renderers: a finished model in, one document out. Each writes to `out`,
 * leaves it open, and returns 0, -ENOMEM, or -errno of the first write that
 * failed.
 */
#ifndef PINW_REPORTS_REPORT_H
#define PINW_REPORTS_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "reports/model.h"
#include "reports/stacks.h"

/* The JSON contract: stable, checked by tests/report.schema.json. */
int pinw_report_json(const struct pinw_model *m, struct pinw_stacks *stacks, bool scorecard, FILE *out);

struct pinw_filter;

/* What tables are by; else the report has all lists. */
enum pinw_text_by {
	PINW_BY_ALL,
	PINW_BY_SITE,
	PINW_BY_THREAD,
	PINW_BY_CPU,
};

struct pinw_text_options {
	bool color;
	bool scorecard; /* and nothing else of the processes; like advice it needs a model with_history */
	enum pinw_text_by by; /* by threads and by CPUs need that, too */
	const struct pinw_filter *filter; /* of the rows of lists, NULL: all; likewise */
	size_t top; /* rows of each list, processes shown in full included; 0 = no limit */
};

int pinw_report_text(const struct pinw_model *m, struct pinw_stacks *stacks,
                     const struct pinw_text_options *options, FILE *out);

/* Parts of the text report on their own: what it says first of all processes (*ret_bad: something is wrong), and the figures and
 * coverage of one. */
int pinw_report_verdict(const struct pinw_model *m, struct pinw_stacks *stacks, FILE *out, bool *ret_bad);
int pinw_report_facts(const struct pinw_model *m, struct pinw_stacks *stacks, const struct pinw_process *p,
                      FILE *out);

/* Names both formats use. */
const char *pinw_thread_how_name(enum pinw_thread_how how); /* NULL for a living one */
const char *pinw_origin_name(unsigned origin); /* enum pinw_origin; "unknown" for any other */
const char *
pinw_attempt_words(unsigned attempt); /* enum pinw_attempted: "creating a thread"; "?" for any other */

const char *pinw_attempt_name(unsigned attempt); /* enum pinw_attempted: "create", ... */
const char *pinw_done_name(unsigned done); /* enum pinw_done: "denied", ... */
const char *pinw_how_name(enum pinw_how how); /* "exit", ... */

/* The last component of a path, all of it when that is empty. */
const char *pinw_base_name(const char *path);

#endif
