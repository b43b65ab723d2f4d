/* SPDX-License-Identifier: MIT
 *
 * One policy held against recorded runs: what `policy test` and `check` have in common.
 *
 *     policy file + traces ──pinw_trial_run──► rehearsal (reports/rehearse.h), model and stacks to show it with
 */
#ifndef PINW_REPORTS_TRIAL_H
#define PINW_REPORTS_TRIAL_H

#include "reports/policy_file.h"
#include "reports/rehearse.h"

/* All zero before pinw_trial_run. */
struct pinw_trial {
	struct pinw_policy_file file;
	struct pinw_policy_parsed parsed; /* as it is on the machine and day of the last process */
	struct pinw_policy_host host; /* these */
	bool has_parsed;
	struct pinw_model *model;
	struct pinw_stacks *stacks;
	struct pinw_rehearsal rehearsal;
	bool unreadable; /* some trace was, or is damaged; what could be read was judged */
};

/* Reads both and judges. Returns 0, or the exit status of a command that cannot go on, after saying why on stderr behind
 * `command`: PINW_POLICY_BAD or PINW_POLICY_UNREADABLE. Call pinw_trial_done in either case. */
int pinw_trial_run(struct pinw_trial *t, const char *command, const char *policy, int count, char **traces);
void pinw_trial_done(struct pinw_trial *t);

/* Violations of all rules; how many rules they are of. */
uint64_t pinw_trial_violations(const struct pinw_trial *t, unsigned *ret_rules);

/* How much was put before the policy: "3 creations, 2 pins, 0 Go locks, 3 threads' ends in 1 process". */
void pinw_trial_counts(const struct pinw_trial *t, char *buf, size_t size);

/* What the trial cannot tell, a sentence each. Not before something was judged. */
typedef void (*pinw_trial_fn)(void *arg, const char *text);
void pinw_trial_limits(const struct pinw_trial *t, pinw_trial_fn fn, void *arg);

/* "VERB denied with EPERM", without the error where the call has no way to tell one. Good until the next call. */
const char *pinw_trial_denied(const char *verb, const struct pinw_rule *rule, bool tells_error);

/* "would be denied with EPERM", "would be logged". Good until the next call. */
const char *pinw_trial_would_be(const struct pinw_rule *rule);

/* What the stack of a verdict is of: "pinned at", "created at". `leak` as in struct pinw_finding; `thread`: the first that it is
 * about; `golock`: the stack is of a Go lock. */
const char *pinw_trial_stack_title(const struct pinw_rule *rule, enum pinw_attempted attempt, unsigned leak,
                                   uint32_t thread, bool golock);

#endif
