/* SPDX-License-Identifier: MIT
 *
 * Shared by the files of `pinwarden top` and by nothing else.
 *
 * cmd_top.c     options, and the loop of looks and keys
 * top_look.c    a look at one process: its counts, its threads, rates since the look before
 * top_rows.c    which threads are shown, in which order, and what each of them does
 * top_screen.c  what a look is drawn as, in a terminal of any size or as plain text
 * tty.c         the terminal
 */
#ifndef PINW_REPORTS_TOP_H
#define PINW_REPORTS_TOP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "reports/live.h"
#include "reports/watch_proc.h"

/* ---- top_look.c -------------------------------------------------------------------------------- */

/* What a pinned thread mostly does. */
enum pinw_top_doing {
	PINW_DOING_UNKNOWN, /* its times cannot be read */
	PINW_DOING_BUSY, /* it runs */
	PINW_DOING_WAITS, /* it could run and waits for a CPU */
	PINW_DOING_IDLE, /* it sleeps */
	PINW_DOING_ENDED, /* it ended, and nobody joined or detached it yet */
};

struct pinw_top_thread {
	uint32_t id; /* start sequence, 1 = main */
	uint32_t tid; /* its own; 0 not started */
	char name[PINW_NAME_BYTES]; /* NUL padded */
	bool ended;
	uint32_t pin_depth; /* 0: not pinned to CPUs */
	uint32_t pin_origin;
	uint32_t golock_depth; /* 0: no Go lock */
	uint64_t held_ns; /* since it was pinned or locked, whichever is longer; 0 neither */
	uint32_t site; /* where it was pinned, else locked, else created */
	char cpus[24]; /* its mask, cut with ... */

	/* From /proc, over the time since the look before; at a thread's first look, over its life. */
	bool timed; /* shares of time are known */
	bool delays; /* the kernel tells how long it waited */
	double run, wait; /* shares of that time, 0 to 1 */
	enum pinw_top_doing doing;
	bool migrations_known;
	uint64_t migrations; /* over its life */
	bool detailed; /* the following was read, and it has not run since */
	struct pinw_sleep sleep;
};

/* Counts that become rates. */
struct pinw_top_counts {
	uint64_t created, ended, pins, calls, violations;
};

/* What is kept of a thread from look to look. */
struct pinw_top_task {
	struct pinw_task_times times;
	struct pinw_sleep sleep;
	uint64_t migrations;
	bool detailed, migrations_known;
	uint32_t times_fd; /* 1 + the descriptor its times are read from, 0: none is kept */
};

struct pinw_top {
	struct pinw_live *live;
	struct pinw_stacks *stacks;
	uint64_t look_ns; /* CLOCK_MONOTONIC of the last look, 0 = none yet */
	uint64_t span_ns; /* since the look before, or since image start */
	bool first; /* so far one look: rates are means since the start */
	struct pinw_top_counts then, now;
	uint64_t create_then[PINW_HIST_BUCKETS];
	struct pinw_histogram create_span; /* creations since the look before */

	uint32_t kernel_threads; /* 0 unknown */
	struct pinw_top_thread *threads;
	size_t count, room;
	struct pinw_table tasks, next_tasks; /* struct pinw_top_task by thread id */
	uint32_t kept, kept_max; /* descriptors of threads' times */
	bool all; /* times of threads that are not pinned too */
	bool out_of_memory;
	bool no_delays, no_migrations; /* the kernel does not tell */
	uint32_t pinned, busy, waits, idle; /* threads */
};

/* Takes `live` over; the one before is let go. */
void pinw_top_start(struct pinw_top *t, struct pinw_live *live);
void pinw_top_done(struct pinw_top *t);

/* Returns 0 or -errno. */
int pinw_top_look(struct pinw_top *t);

/* A count's rate, a second. */
double pinw_top_rate(const struct pinw_top *t, uint64_t now, uint64_t then);

/* The upper bound of a quantile of a histogram in ns, 0 when it is empty. */
uint64_t pinw_top_quantile(const struct pinw_histogram *h, double q);

/* ---- top_rows.c ----------------------------------------------------------------------------------- */

enum pinw_top_order {
	PINW_ORDER_RUN,
	PINW_ORDER_WAIT,
	PINW_ORDER_MIGRATIONS,
	PINW_ORDER_HELD,
	PINW_ORDER_TID,
	PINW_ORDER_NAME,
	PINW_ORDERS,
};

const char *pinw_top_order_name(enum pinw_top_order order);

/* Returns false when there is none of that name. */
bool pinw_top_order_parse(const char *name, enum pinw_top_order *ret_order);

#define PINW_FILTER_BYTES 32u

struct pinw_top_choice {
	enum pinw_top_order order;
	bool reverse;
	bool all; /* threads that are not pinned too */
	char filter[PINW_FILTER_BYTES]; /* part of the name, "" all */
};

/* Puts the threads to show first, in order. Returns how many there are. */
size_t pinw_top_choose(struct pinw_top *t, const struct pinw_top_choice *choice);

/* Reads of /proc what only a thread that is shown needs. */
void pinw_top_detail(struct pinw_top *t, struct pinw_top_thread *thread);

/* "busy", ... */
const char *pinw_top_doing_name(enum pinw_top_doing doing);

/* ---- top_screen.c ----------------------------------------------------------------------------------- */

struct pinw_top_view {
	unsigned columns, rows; /* 0: no limit, plain text */
	bool color;
	struct pinw_top_choice choice;
	size_t scroll; /* first thread shown; brought into range when drawn */
	double delay_s;
	bool paused;
	bool where; /* columns of where threads are rather than of what holds them */
	bool help;
	bool typing; /* the filter is being typed */
	const char *message; /* in place of the hint in the last line, NULL none */
};

/* Draws into `out`: with a limit whole lines from the top left corner on, each cleared to its end; else text. */
void pinw_top_draw(struct pinw_top *t, struct pinw_top_view *view, FILE *out);

#endif
