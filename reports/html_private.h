/* SPDX-License-Identifier: MIT
 *
 * Shared by the files of the HTML report and by nothing else.
 *
 * export_html.c   the page: verdict, processes, one section for each
 * html_tables.c   a process's leaks, violations, pins, creations and threads: plain tables, stacks that unfold
 * html_data.c     what its charts are drawn from, as JSON
 * html/           style, script and the charting library, put into the page as they are
 */
#ifndef PINW_REPORTS_HTML_PRIVATE_H
#define PINW_REPORTS_HTML_PRIVATE_H

#include "reports/breaches.h"
#include "reports/export.h"

struct pinw_html {
	FILE *out;
	const struct pinw_model *model;
	struct pinw_stacks *stacks;
	size_t top; /* rows of each table; SIZE_MAX = all */
	size_t blocks; /* pins and locks that a process's lanes may have */
};

/* The tables of a process, each only when it has rows. Returns 0 or -ENOMEM. */
int pinw_html_tables(struct pinw_html *h, const struct pinw_process *p);

/* The data of a process's charts as an object. Returns 0 or -ENOMEM. */
struct pinw_json;
int pinw_html_data(struct pinw_html *h, const struct pinw_process *p, struct pinw_json *j);

/* Text of unknown origin. */
void pinw_html_put(struct pinw_html *h, const char *text);

/* "7 worker": a thread's id and name. */
void pinw_html_thread(struct pinw_html *h, const struct pinw_process *p, uint32_t id);

#endif
