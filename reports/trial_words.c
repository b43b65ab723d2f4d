/* SPDX-License-Identifier: MIT
 *
 * What a trial found, in words, for every command that holds one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "reports/lost_names.h"
#include "reports/text_private.h"
#include "reports/trial.h"

/* ---- how much was judged, and what could not be --------------------------------------------- */

void pinw_trial_counts(const struct pinw_trial *t, char *buf, size_t size)
{
	const struct pinw_rehearsal *r = &t->rehearsal;
	size_t len = (size_t)snprintf(
	    buf, size, "%s, %s, %s, %s in %s", pinw_text_counted(r->creations, "creation", "creations"),
	    pinw_text_counted(r->pins, "pin", "pins"), pinw_text_counted(r->golocks, "Go lock", "Go locks"),
	    pinw_text_counted(r->ends, "thread's end", "threads' ends"),
	    pinw_text_counted(r->processes, "process", "processes"));

	if (r->suppressed && len < size)
		snprintf(buf + len, size - len, "; %s",
		         pinw_text_counted(r->suppressed, "leak suppressed", "leaks suppressed"));
}

static void say(pinw_trial_fn fn, void *arg, const char *format, const char *counted)
{
	char text[1024];

	snprintf(text, sizeof(text), format, counted);
	fn(arg, text);
}

void pinw_trial_limits(const struct pinw_trial *t, pinw_trial_fn fn, void *arg)
{
	const struct pinw_rehearsal *r = &t->rehearsal;
	const struct pinw_policy *policy = t->parsed.policy;
	bool go = false, crash = false;

	for (uint32_t i = 0; i < policy->rule_count; i++) {
		go = go || pinw_rule_is_about_golocks(&policy->rules[i]);
		crash = crash || (policy->rules[i].action == PINW_ACTION_CRASH && r->tally[i].violations);
	}
	if (policy->leaks[PINW_PLEAK_PINNED_IDLE])
		fn(arg, "leak:pinned_idle is not observable: a trace does not hold the CPU time of threads.");
	if (go && r->unseen_golocks)
		say(fn, arg,
		    "Rules on Go locks are not observable in %s: its locks were not counted (pinwarden "
		    "report says "
		    "why).",
		    pinw_text_counted(r->unseen_golocks, "process", "processes"));
	else if (go && !r->golocks)
		fn(arg, "Rules on Go locks were put to no test: no Go lock was taken in these traces.");
	if (crash)
		fn(arg,
		   "With a crash the program would have ended at the first one; what came after it would not "
		   "have happened.");
	if (r->denied)
		say(fn, arg,
		    "An enforcing policy was in force when this was recorded: %s it stopped or changed did "
		    "not happen "
		    "as attempted and cannot be judged again.",
		    pinw_text_counted(r->denied, "call that", "calls that"));
	if (policy->index.stacked.count || policy->index.created.count) {
		struct pinw_lost_names lost = pinw_lost_names_of(t->model, t->stacks);
		char words[512];
		if (lost.stacks) {
			pinw_lost_names_words(&lost, words, sizeof(words));
			say(fn, arg,
			    "Rules on functions may have missed violations: %s; see --sysroot, or check it "
			    "where it was recorded.",
			    words);
		}
	}
	if (r->dropped)
		say(fn, arg, "%s dropped when this was recorded: there may be more violations.",
		    pinw_text_counted(r->dropped, "event was", "events were"));
}

/* ---- verdicts --------------------------------------------------------------------------------- */

const char *pinw_trial_denied(const char *verb, const struct pinw_rule *rule, bool tells_error)
{
	static char words[64];
	const char *name = strerrorname_np(rule->error);

	snprintf(words, sizeof(words), "%s denied%s%s", verb, tells_error ? " with " : "",
	         !tells_error ? ""
	         : name       ? name
	                      : "an error");
	return words;
}

const char *pinw_trial_would_be(const struct pinw_rule *rule)
{
	switch (rule->action) {
	case PINW_ACTION_DENY: /* LockOSThread returns nothing */
		return pinw_trial_denied("would be", rule, !pinw_rule_is_golocks_only(rule));
	case PINW_ACTION_RESET:
		return "would be reset to the baseline";
	case PINW_ACTION_CRASH:
		return "would crash the program";
	default:
		return "would be logged";
	}
}

const char *pinw_trial_stack_title(const struct pinw_rule *rule, enum pinw_attempted attempt, unsigned leak,
                                   uint32_t thread, bool golock)
{
	bool by_creation = rule->section == PINW_SECTION_REQUIRE || leak == 1 + PINW_PLEAK_UNJOINED ||
	                   leak == 1 + PINW_PLEAK_GROWTH;

	if (attempt == PINW_ATTEMPT_INHERIT && thread == 1)
		return "its creator was pinned at"; /* a fork child's main thread: no call of its own made it */
	if (by_creation || attempt == PINW_ATTEMPT_CREATE || attempt == PINW_ATTEMPT_BORN ||
	    attempt == PINW_ATTEMPT_INHERIT)
		return "created at";
	return golock ? "locked at" : "pinned at";
}
