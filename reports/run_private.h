/* SPDX-License-Identifier: MIT
 *
 * Shared by the files of `pinwarden run` and by nothing else.
 *
 * cmd_run.c      what could go wrong, the environment, the start, the end
 * run_options.c  the command line
 * run_policy.c   the policy: read, held against the program, handed over, watched
 */
#ifndef PINW_REPORTS_RUN_PRIVATE_H
#define PINW_REPORTS_RUN_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "reports/child_env.h"
#include "reports/launch.h"
#include "reports/pattern.h"
#include "reports/policy_file.h"
#include "reports/session.h"
#include "reports/target.h"

struct pinw_watch;

enum pinw_fail_on {
	PINW_FAIL_NEVER = 0,
	PINW_FAIL_ERROR, /* a rule that denies, resets or crashes was broken, in audit, too */
	PINW_FAIL_WARNING, /* any rule was broken */
};

#define PINW_EXIT_BREACH 99

struct pinw_run_options {
	const char *output;
	const char *log;
	const char *max_size;
	const char *policy;
	enum pinw_mode mode; /* asked for by an option; 0 = not */
	enum pinw_fail_on fail_on;
	bool idle_stacks;
	bool no_follow, quiet, verbose;
	char **command; /* NULL-terminated */
};

/* The policy of a run. All zero: none. */
struct pinw_run_policy {
	const char *name; /* as the user gave it; NULL = no policy */
	char *path; /* absolute */
	enum pinw_mode mode; /* in force: options and environment heeded */
	struct pinw_policy_file file;
	struct pinw_policy_parsed parsed;
	struct pinw_watch *watch;
};

/* All that is prepared before the program is started. */
struct pinw_run_plan {
	struct pinw_run_options opt;
	char *cwd;
	struct pinw_run_policy policy;
	struct pinw_pattern pattern;
	struct pinw_target target;
	struct pinw_session session;
	struct pinw_child_env env;
	char *shim;
	char *log; /* absolute, or "stderr"; NULL = none */
	uint64_t max_bytes; /* 0 = not given */
};

/* Returns 0 when the program is to be run, -1 when all is done, else the exit status. */
int pinw_run_parse_options(int argc, char **argv, struct pinw_run_options *ret);

/* Reads the policy that -p or PINWARDEN_POLICY names and says what is wrong with it. Needs `cwd`. Returns 0 (also when there is
 * none) or the exit status. */
int pinw_run_policy_read(struct pinw_run_plan *p);

/* Has it rules that name Go locks? */
bool pinw_run_policy_is_on_golocks(const struct pinw_run_policy *policy);

/* Says what the policy does to a program of Go's, when this is one. Whether rules on its locks can be enforced shows when
 * it starts: the shim ends it before main where they cannot. */
void pinw_run_policy_warn_of_target(const struct pinw_run_policy *policy, const struct pinw_target *target);

/* Where violations are logged when --log does not say: what the environment or the policy names, or stderr. NULL without a
 * policy. */
const char *pinw_run_policy_log(const struct pinw_run_plan *p);

/* Returns 0 or -ENOMEM. */
int pinw_run_policy_set_variables(struct pinw_run_plan *p);

/* Has rules about time watched during the launch. Returns 0 or -ENOMEM. */
int pinw_run_policy_watch(struct pinw_run_plan *p, struct pinw_launch *launch);

void pinw_run_policy_done(struct pinw_run_policy *policy);

/* Is a run whose worst broken rule had this action a failure? */
bool pinw_run_is_breach(enum pinw_fail_on fail_on, enum pinw_action worst);

#endif
