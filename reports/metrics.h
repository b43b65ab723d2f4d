/* SPDX-License-Identifier: MIT
 *
 * What Prometheus is told of recorded processes.
 *
 * metrics.c        the processes: pids, traces and folders of traces, each read again and again
 * metrics_count.c  one process: its live page, and what its events and slots add to that
 * metrics_text.c   the text format 0.0.4
 */
#ifndef PINW_REPORTS_METRICS_H
#define PINW_REPORTS_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "reports/live.h"

/* ---- metrics_count.c ------------------------------------------------------------------------- */

enum pinw_metric_kind { PINW_METRIC_CPU, PINW_METRIC_GO, PINW_METRIC_KINDS };

#define PINW_METRIC_SITES_MAX 1000u

/* Pins at one place in the program. */
struct pinw_metric_site {
	char *name;
	enum pinw_metric_kind kind;
	uint64_t count;
};

/* What the scheduler gave pinned threads while they were looked at. */
struct pinw_metric_times {
	uint64_t cpu_ns;
	uint64_t delay_ns;
	uint64_t slices;
};

struct pinw_metered {
	struct pinw_live *live;
	char *labels; /* process="..",pid="..",exe="..": escaped */
	bool ended; /* for good: looked at for the last time */
	/* For the owner. */
	bool seen; /* its file is in a folder that is looked at */
	bool named; /* on the command line */
	bool follow; /* named by its pid: its next image is to be looked at too */
	uint64_t device, inode; /* of the trace */

	/* Pins by place: the first ones that come have a series of their own, all others share one, so that no series ever falls. */
	struct pinw_metric_site *sites;
	size_t site_count, site_room;
	unsigned site_max;
	uint64_t other[PINW_METRIC_KINDS];
	struct pinw_table rows; /* by kind and site id, to a place */
	struct pinw_table pairs; /* of Go locks and their unlocks, by both site ids */

	struct pinw_histogram lifetime; /* of threads whose start and end were both recorded */
	struct pinw_table starts; /* uint64_t: since image start, of living threads by id */
	struct pinw_table next_starts; /* while slots are read */

	struct pinw_metric_times times; /* summed over pinned threads, ended ones included */
	struct pinw_table tasks; /* of pinned threads, by id */
	struct pinw_table next_tasks;
	bool timed; /* the kernel tells these */

	uint64_t unjoined; /* ended, and nobody joined or detached them yet */
	uint64_t inherited_open; /* part of the pins open now */
	uint64_t unpaired; /* Go locks undone in another function than took them */
	uint64_t deep; /* threads locked more often than unlocked, now */
};

/* Takes `live` over, also when this fails. `sites` is how many places have a series of their own. Returns 0 or -ENOMEM. */
int pinw_metered_new(struct pinw_live *live, unsigned sites, struct pinw_metered **ret_metered);

/* Accepts NULL. */
void pinw_metered_free(struct pinw_metered *m);

/* Reads what came since. Returns 0 or -errno; what was read before stays. */
int pinw_metered_look(struct pinw_metered *m, struct pinw_stacks *stacks);

/* Leaked threads of one kind so far. What is only known at the end is 0 until then. */
uint64_t pinw_metered_leaks(const struct pinw_metered *m, enum pinw_leak_kind kind);

/* ---- metrics.c ------------------------------------------------------------------------------------ */

struct pinw_metrics;

struct pinw_metrics_options {
	unsigned
	    sites; /* places that have a series of their own, for each process: 1..PINW_METRIC_SITES_MAX */
	bool repeated; /* times of pinned threads are summed up from look to look */
};

/* Returns 0 or -ENOMEM. */
int pinw_metrics_new(const struct pinw_metrics_options *options, struct pinw_metrics **ret_metrics);
void pinw_metrics_free(struct pinw_metrics *m);

/* Names what to look at: a running process, which is followed through exec; a trace; or a folder, whose *.pwt are read, new ones
 * included. What cannot be read now is said on stderr, once. Returns 0; -EINVAL: a pid that is not recorded, or a trace that is
 * none (said); -ENOMEM. */
int pinw_metrics_add(struct pinw_metrics *m, const char *name);

/* Looks at all of them. Returns how many traces there are that cannot be read, or -ENOMEM. */
int pinw_metrics_look(struct pinw_metrics *m);

/* How many processes there are, ended ones included. */
size_t pinw_metrics_count(const struct pinw_metrics *m);

/* Is this one of the traces? */
bool pinw_metrics_hold(const struct pinw_metrics *m, const char *path);

/* ---- metrics_text.c --------------------------------------------------------------------------------- */

/* One page. */
struct pinw_metrics_page {
	struct pinw_metered *const *processes;
	size_t count;
	uint64_t unreadable;
	bool times;
};

/* Writes the page; errors stay in the stream. */
void pinw_metrics_write(const struct pinw_metrics_page *page, FILE *out);

/* The same of all that was looked at. */
void pinw_metrics_print(const struct pinw_metrics *m, FILE *out);

/* A label's value, quotes not included: what is no printable text is escaped as pinw_say_escape() does, and that as the
 * format wants it; text past 200 bytes is cut off. Returns a string to be freed, NULL when out of memory. */
char *pinw_metric_label(const char *text, size_t len);

#endif
