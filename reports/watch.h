/* SPDX-License-Identifier: MIT
 *
 * Rules about time, watched from outside while the program runs: idle pinned threads, ended threads nobody
 * joins, growth, and threads that should be pinned by now. Everything comes from the traces, which the
 * programs keep current, and from /proc; the programs get no thread of ours and do not notice (but see
 * idle_stacks).
 *
 *     pinw_watch_new → pinw_watch_tick, about PINW_WATCH_TICK_NS apart → pinw_watch_free
 *
 * A violation goes to the log as a block with stacks, and is counted in the rule's cell of the trace. A crash is
 * SIGABRT, and SIGKILL for a process that still runs PINW_WATCH_GRACE_NS later.
 */
#ifndef PINW_REPORTS_WATCH_H
#define PINW_REPORTS_WATCH_H

#include <stdbool.h>

#include "policy/policy.h"
#include "reports/session.h"

#define PINW_WATCH_TICK_NS 250000000u
#define PINW_WATCH_GRACE_NS UINT64_C(5000000000)

/* Everything pointed to must outlive the watch. */
struct pinw_watch_options {
	const struct pinw_policy *policy; /* the one the programs have: its rules' ids are the cells' */
	const char *policy_path; /* absolute, as the shim names it; NULL: as the policy itself is named */
	bool enforcing; /* a crash is carried out */
	const struct pinw_session *session;
	const char *directory; /* where its traces come into being */
	const char *log; /* absolute path of a file; NULL or "stderr" */
	bool idle_stacks; /* log the present stack of an idle pinned thread; some are stopped for it */
};

struct pinw_watch;

/* Opens nothing yet. Returns 0 or -ENOMEM. */
int pinw_watch_new(const struct pinw_watch_options *options, struct pinw_watch **ret_watch);

/* Looks once. `watch` is a struct pinw_watch, so that this can be the tick of a launch. */
void pinw_watch_tick(void *watch);

/* Accepts NULL. */
void pinw_watch_free(struct pinw_watch *w);

#endif
