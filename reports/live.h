/* SPDX-License-Identifier: MIT
 *
 * One image of a process that may still run, looked at again and again: by its trace, which the process keeps
 * current, and by /proc. The process gets no signal, is not traced, and does not notice.
 *
 *     pinw_live_open_... → pinw_live_look, again and again → pinw_live_free
 *
 * The trace is read as the hostile file it may be (reader.h), bit by bit, and never copied; memory grows with its stacks,
 * modules and rules, not with its events.
 */
#ifndef PINW_REPORTS_LIVE_H
#define PINW_REPORTS_LIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "reports/model_private.h"
#include "reports/stacks.h"

struct pinw_live {
	/* Path, header, live page, how it ended, rules with their counts, policy, sites and modules; and nothing else of it. */
	struct pinw_process *process;
	struct pinw_replay replay; /* of its metadata */
	struct pinw_reader *reader; /* NULL once retired */
	pid_t pid; /* as seen from here; 0: not found, see process->how and process->elsewhere */
	int task; /* its task folder, -1: none */
	bool other_tids; /* it numbers its threads differently (another pid namespace) */
	struct pinw_table tids; /* uint32_t: a thread's number here, by its own; only with other_tids */
	bool tids_read; /* since the last look */
	uint64_t now_ns; /* of the last look, since image start; when it ended, if it did */
	struct pinw_live *parent; /* whose stacks a fork child refers to; NULL until needed */
	bool parent_sought;
	struct pinw_table sites; /* struct pinw_live_site */
};

/* Lets this process open as many files as it may: traces and threads of others are kept open. */
void pinw_live_raise_limit(void);

/* Opens the trace at `path`. Returns 0 or an error for pinw_reader_strerror(). */
int pinw_live_open(const char *path, struct pinw_live **ret_live);

/* The same for an open file, taken over also when this fails; `path` names it, and need not lead to it. */
int pinw_live_open_fd(int fd, const char *path, struct pinw_live **ret_live);

/* Accepts NULL. */
void pinw_live_free(struct pinw_live *l);

/* Looks anew: the live page, whether and how it ended, the metadata that came, the rules' counts. Returns 0 or -errno. */
int pinw_live_look(struct pinw_live *l);

/* Closes the trace and forgets the process, which ended; what was read stays. */
void pinw_live_retire(struct pinw_live *l);

/* A thread's number for /proc, by its slot's; 0 when it cannot be told. */
uint32_t pinw_live_tid(struct pinw_live *l, uint32_t tid);

/* What the site is called: the innermost function that is not the Go runtime's, and its caller ("pin_here < worker_main"); an
 * object and offset where there is no name ("app+0x1f0"), "[generated code]"; "stack 7" when the stack is not known (yet), "" for
 * site 0. Escaped as pinw_say_escape() does. Valid until the next call with an unknown stack, else until the live is freed. */
const char *pinw_live_site(struct pinw_live *l, struct pinw_stacks *stacks, uint32_t site);

#endif
