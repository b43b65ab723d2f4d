/* SPDX-License-Identifier: MIT
 *
 * Rules in words: which threads and pins they are about, then what happens.
 */
#include <string.h>

#include "policy/keys.h"
#include "policy/mask.h"
#include "policy/phrase.h"
#include "policy/values.h"

/* ---- pieces ----------------------------------------------------------------------------------- */

/* "a", "b" or "c". */
static void add_globs(struct pinw_phrase *t, const struct pinw_strings *globs)
{
	for (uint32_t i = 0; i < globs->count; i++)
		pinw_phrase_add(t, "%s\"%s\"",
		                !i                     ? ""
		                : i + 1 < globs->count ? ", "
		                                       : " or ",
		                globs->text[i]);
}

static void add_cpus(struct pinw_phrase *t, const struct pinw_policy *policy, const uint64_t *mask)
{
	char list[256];

	pinw_mask_print(list, sizeof(list), mask, policy->mask_words);
	pinw_phrase_add(t, "%s %s", pinw_mask_width(mask, policy->mask_words) == 1 ? "CPU" : "CPUs", list);
}

static void add_duration(struct pinw_phrase *t, uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = {{UINT64_C(3600000000000), "h"},
	             {UINT64_C(60000000000), "min"},
	             {UINT64_C(1000000000), "s"},
	             {UINT64_C(1000000), "ms"}};

	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!ns || ns % units[i].ns)
			continue;
		pinw_phrase_add(t, "%lu %s", (unsigned long)(ns / units[i].ns), units[i].name);
		return;
	}
	pinw_phrase_add(t, "%lu us", (unsigned long)(ns / 1000));
}

static void add_date(struct pinw_phrase *t, uint32_t date)
{
	uint32_t month = date / 100 % 100, day = date % 100;

	pinw_phrase_add(t, "%u-%s%u-%s%u", date / 10000, month < 10 ? "0" : "", month, day < 10 ? "0" : "",
	                day);
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

/* What an action comes to; `denied` says what a denied call does, `reset` is the same for every rule. */
static void add_action(struct pinw_phrase *t, const struct pinw_rule *rule, const char *logged,
                       const char *denied)
{
	switch ((enum pinw_action)rule->action) {
	case PINW_ACTION_DENY:
		pinw_phrase_add(t, " Under enforce %s", denied);
		if (rule->error)
			pinw_phrase_add(t, " %s", pinw_errno_name(rule->error));
		break;
	case PINW_ACTION_RESET:
		pinw_phrase_add(t, " Under enforce the thread gets the mask the process was started with");
		break;
	case PINW_ACTION_CRASH:
		pinw_phrase_add(
		    t, " Under enforce the program writes down which rule was broken and every thread's "
		       "stacks, then aborts");
		break;
	default:
		pinw_phrase_add(t, " %s", logged);
		return;
	}
	pinw_phrase_add(t, "; under audit it is recorded as \"would %s\".",
	                pinw_action_name((enum pinw_action)rule->action));
}

static void add_message(struct pinw_phrase *t, const struct pinw_rule *rule)
{
	if (rule->message)
		pinw_phrase_add(t, " The log adds \"%s\".", rule->message);
}

/* ---- predicates --------------------------------------------------------------------------------- */

/* " when" before the first condition, " and" before the others. */
static void add_when(struct pinw_phrase *t, bool *first)
{
	pinw_phrase_add(t, *first ? " when" : " and");
	*first = false;
}

static void add_stack(struct pinw_phrase *t, const struct pinw_rule *rule, const char *stack, bool *first)
{
	if (!rule->functions.count && !rule->modules.count)
		return;
	add_when(t, first);
	if (rule->functions.count) {
		pinw_phrase_add(t, " a function matching ");
		add_globs(t, &rule->functions);
	}
	if (rule->modules.count) {
		pinw_phrase_add(t, rule->functions.count ? " in a module matching " : " a module matching ");
		add_globs(t, &rule->modules);
	}
	pinw_phrase_add(t, " is on %s", stack);
}

static void add_thread(struct pinw_phrase *t, const struct pinw_rule *rule, bool *first)
{
	if (rule->thread_names.count) {
		add_when(t, first);
		pinw_phrase_add(t, " the thread's name matches ");
		add_globs(t, &rule->thread_names);
	}
	if (rule->created_by.count) {
		add_when(t, first);
		pinw_phrase_add(t, " a function matching ");
		add_globs(t, &rule->created_by);
		pinw_phrase_add(t, " is on the stack that created the thread");
	}
}

static void add_rates(struct pinw_phrase *t, const struct pinw_rule *rule, bool *first)
{
	if (rule->rate.count) {
		add_when(t, first);
		pinw_phrase_add(t, " the same stack has made more than %lu pin%s in ",
		                (unsigned long)rule->rate.count, plural(rule->rate.count));
		add_duration(t, rule->rate.window_ns);
	}
	if (rule->churn.count) {
		add_when(t, first);
		pinw_phrase_add(t, " more than %lu thread%s in ", (unsigned long)rule->churn.count,
		                plural(rule->churn.count));
		add_duration(t, rule->churn.window_ns);
		pinw_phrase_add(t, " have pinned and ended within ");
		add_duration(t, rule->short_lived_ns);
		pinw_phrase_add(t, " of their start");
	}
}

static const char *way_of(uint32_t call)
{
	switch (call) {
	case PINW_CALLS_SETAFFINITY:
		return "through sched_setaffinity";
	case PINW_CALLS_PTHREAD_SETAFFINITY:
		return "through pthread_setaffinity_np";
	case PINW_CALLS_ATTR:
		return "through the attribute it is created with";
	case PINW_CALLS_CROSS:
		return "by another thread";
	case PINW_CALLS_INHERIT:
		return "by inheriting its creator's mask";
	case PINW_CALLS_RAW:
		return "through a raw system call of Go's";
	default:
		return "through runtime.LockOSThread";
	}
}

static void add_calls(struct pinw_phrase *t, uint32_t calls)
{
	bool first = true;

	for (uint32_t bit = 1; bit <= PINW_CALLS_RAW; bit <<= 1) {
		if (!(calls & bit))
			continue;
		pinw_phrase_add(t, "%s%s", first ? " " : calls >= bit << 1 ? ", " : " or ", way_of(bit));
		first = false;
	}
}

/* The pins a ban or an allow is about; `may` is "may" or "may not". */
static void add_pins(struct pinw_phrase *t, const struct pinw_policy *policy, const struct pinw_rule *rule,
                     const char *may)
{
	bool first = true;

	if (pinw_rule_is_golocks_only(rule))
		pinw_phrase_add(t, "a goroutine %s lock itself to its thread", may);
	else
		pinw_phrase_add(t, "a thread %s pin itself or be pinned", may);
	add_calls(t, rule->calls);
	if (rule->cpus) {
		bool ban = rule->section == PINW_SECTION_BAN;
		pinw_phrase_add(t, ban ? " to a mask that holds any of " : " to a mask inside ");
		add_cpus(t, policy, rule->cpus);
	}
	if (rule->kinds == PINW_KINDS_CPU)
		pinw_phrase_add(t, " (Go locks are not meant)");
	add_thread(t, rule, &first);
	add_stack(t, rule, "the stack of the call", &first);
	add_rates(t, rule, &first);
}

static void add_after(struct pinw_phrase *t, const struct pinw_rule *rule)
{
	if (!rule->after_ns)
		return;
	pinw_phrase_add(t, " The rule sleeps for the first ");
	add_duration(t, rule->after_ns);
	pinw_phrase_add(t, " of the program.");
}

/* A rule that denies pins covers Go locks as well; where a policy does not say that these may be denied, it is for other
 * programs, and run says what becomes of those of Go. */
static void add_golocks(struct pinw_phrase *t, const struct pinw_policy *policy, const struct pinw_rule *rule)
{
	if (policy->deny_golocks && rule->action == PINW_ACTION_DENY && pinw_rule_is_on_golocks(rule) &&
	    !pinw_rule_is_golocks_only(rule))
		pinw_phrase_add(t, " Go locks are meant too: they are skipped, with their unlocks.");
}

/* ---- rules -------------------------------------------------------------------------------------- */

static void explain_ban(struct pinw_phrase *t, const struct pinw_policy *policy, const struct pinw_rule *rule)
{
	bool at_birth = rule->calls && !(rule->calls & ~(PINW_CALLS_ATTR | PINW_CALLS_INHERIT));

	add_pins(t, policy, rule, "may not");
	pinw_phrase_add(t, ".");
	if (pinw_rule_is_golocks_only(rule) && rule->action == PINW_ACTION_DENY)
		/* LockOSThread has no result to say an error with. */
		pinw_phrase_add(
		    t, " Under enforce the lock and its matching unlock are skipped; under audit it is "
		       "recorded as \"would deny\".");
	else
		add_action(t, rule,
		           pinw_rule_is_golocks_only(rule) ? "Such a lock is taken and logged."
		                                           : "Such a pin is made and logged.",
		           at_birth ? "the creation of the thread fails with" : "the call fails with");
	add_golocks(t, policy, rule);
	add_message(t, rule);
	add_after(t, rule);
}

static void explain_allow(struct pinw_phrase *t, const struct pinw_policy *policy,
                          const struct pinw_rule *rule)
{
	add_pins(t, policy, rule, "may");
	pinw_phrase_add(t, ", whatever the bans and caps say.");
	if (rule->limit)
		pinw_phrase_add(
		    t, " At most %lu such pin%s %s allowed at once; more are judged like any others.",
		    (unsigned long)rule->limit, plural(rule->limit), rule->limit == 1 ? "is" : "are");
	add_after(t, rule);
}

static void explain_require(struct pinw_phrase *t, const struct pinw_policy *policy,
                            const struct pinw_rule *rule)
{
	bool first = true;

	pinw_phrase_add(t, "a thread must %sbe pinned", rule->pinned ? "" : "not ");
	if (rule->cpus) {
		pinw_phrase_add(t, " to a mask inside ");
		add_cpus(t, policy, rule->cpus);
	}
	if (rule->kinds)
		pinw_phrase_add(t, rule->kinds == PINW_KINDS_GO ? " by the lock of a goroutine"
		                                                : " to CPUs (a Go lock is not enough)");
	if (rule->within_ns) {
		pinw_phrase_add(t, " within ");
		add_duration(t, rule->within_ns);
		pinw_phrase_add(t, " of its start");
	}
	add_thread(t, rule, &first);
	if (rule->functions.count) {
		add_when(t, &first);
		pinw_phrase_add(t,
		                " its start routine, or a function on the stack that created it, matches ");
		add_globs(t, &rule->functions);
	}
	pinw_phrase_add(t, ".");
	add_action(t, rule, "A thread that breaks the rule is logged.", "");
	add_message(t, rule);
}

static void add_limit(struct pinw_phrase *t, const struct pinw_policy *policy, const struct pinw_rule *rule)
{
	unsigned long limit = (unsigned long)rule->limit;

	switch ((enum pinw_cap)rule->cap) {
	case PINW_CAP_MAX_THREADS:
		pinw_phrase_add(t, "at most %lu thread%s may be alive at once, the main one included.", limit,
		                plural(limit));
		break;
	case PINW_CAP_MAX_PINNED:
		if (limit)
			pinw_phrase_add(t, "at most %lu thread%s may hold an open pin or Go lock at once.",
			                limit, plural(limit));
		else
			pinw_phrase_add(t, "no thread may hold an open pin or Go lock.");
		break;
	case PINW_CAP_MAX_PINNED_PER_CPU:
		pinw_phrase_add(
		    t,
		    "at most %lu thread%s may be pinned to one CPU; inside a mask of several, as many for "
		    "each.",
		    limit, plural(limit));
		break;
	case PINW_CAP_RESERVE_CPUS:
		pinw_phrase_add(t, "no pin may hold ");
		add_cpus(t, policy, rule->cpus);
		pinw_phrase_add(t, ".");
		break;
	default:
		pinw_phrase_add(t, "at most %lu thread%s may be created in ", (unsigned long)rule->rate.count,
		                plural(rule->rate.count));
		add_duration(t, rule->rate.window_ns);
		pinw_phrase_add(t, ".");
	}
}

static void add_warning(struct pinw_phrase *t, const struct pinw_rule *rule)
{
	unsigned long limit = (unsigned long)rule->limit;
	const char *verb = limit == 1 ? "is" : "are";

	pinw_phrase_add(t, "a line is logged when ");
	if (rule->cap == PINW_CAP_MAX_THREADS)
		pinw_phrase_add(t, "%lu thread%s %s alive.", limit, plural(limit), verb);
	else if (rule->cap == PINW_CAP_MAX_PINNED)
		pinw_phrase_add(t, "%lu thread%s %s pinned.", limit, plural(limit), verb);
	else if (rule->cap == PINW_CAP_MAX_PINNED_PER_CPU)
		pinw_phrase_add(
		    t, "%lu thread%s %s pinned to one CPU; inside a mask of several, as many for each.",
		    limit, plural(limit), verb);
	if (rule->cap != PINW_CAP_THREAD_RATE)
		return;
	pinw_phrase_add(t, "%lu thread%s %s created in ", (unsigned long)rule->rate.count,
	                plural(rule->rate.count), rule->rate.count == 1 ? "is" : "are");
	add_duration(t, rule->rate.window_ns);
	pinw_phrase_add(t, ".");
}

static void explain_cap(struct pinw_phrase *t, const struct pinw_policy *policy, const struct pinw_rule *rule)
{
	bool on_threads = rule->cap == PINW_CAP_MAX_THREADS || rule->cap == PINW_CAP_THREAD_RATE;

	if (rule->is_warning) {
		add_warning(t, rule);
		return;
	}
	add_limit(t, policy, rule);
	add_action(t, rule,
	           on_threads ? "A thread beyond that is made and logged."
	                      : "A pin beyond that is made and logged.",
	           on_threads ? "the creation fails with" : "the call fails with");
	add_golocks(t, policy, rule);
	if (on_threads && rule->action == PINW_ACTION_DENY)
		pinw_phrase_add(t, " A Go program aborts about 0.2 s after a denied thread.");
}

static void explain_leak(struct pinw_phrase *t, const struct pinw_rule *rule)
{
	static const char *const what[PINW_PLEAKS] = {
	    [PINW_PLEAK_EXIT_WHILE_PINNED] = "a thread must not end with an open pin",
	    [PINW_PLEAK_PINNED_IDLE] = "a pinned thread must use some CPU time every",
	    [PINW_PLEAK_PINNED_AT_END] = "the program must not end with a pin open",
	    [PINW_PLEAK_UNJOINED] = "a thread that ended must be joined or detached",
	    [PINW_PLEAK_INHERITED] = "a thread must not run on a mask that its creator's pin gave it",
	    [PINW_PLEAK_UNBALANCED] = "a goroutine's locks and unlocks must pair, in one function",
	    [PINW_PLEAK_GROWTH] = "live threads must not rise steadily over the run",
	};

	pinw_phrase_add(t, "%s", what[rule->leak]);
	if (rule->time_ns) {
		pinw_phrase_add(t, rule->leak == PINW_PLEAK_UNJOINED ? " within " : " ");
		add_duration(t, rule->time_ns);
	} else if (rule->leak == PINW_PLEAK_UNJOINED) {
		pinw_phrase_add(t, " at once");
	}
	if (rule->leak == PINW_PLEAK_PINNED_AT_END)
		pinw_phrase_add(t, ", but for threads that an [allow] or a [require] speaks for");
	pinw_phrase_add(t, ".");
	add_action(t, rule, "A leak of this kind is logged.", "");
}

static void explain_suppress(struct pinw_phrase *t, const struct pinw_rule *rule)
{
	bool first = true;
	uint32_t left = rule->leaks;

	pinw_phrase_add(t, rule->leaks ? "leaks of the kind " : "leaks of every kind");
	for (unsigned i = 0; i < PINW_PLEAKS; i++) {
		if (!(left >> i & 1))
			continue;
		left &= ~(1u << i);
		pinw_phrase_add(t, "%s%s", pinw_policy_leak_name(i),
		                !left               ? ""
		                : left & (left - 1) ? ", "
		                                    : " or ");
	}
	pinw_phrase_add(t, " are counted but not reported");
	add_thread(t, rule, &first);
	add_stack(t, rule, "the stack of the leak", &first);
	pinw_phrase_add(t, ".");
	if (rule->reason)
		pinw_phrase_add(t, " The reason given is \"%s\".", rule->reason);
	if (!rule->expires)
		return;
	pinw_phrase_add(t, rule->expired ? " It expired: it held until " : " It holds until ");
	add_date(t, rule->expires);
	pinw_phrase_add(t, ".");
}

size_t pinw_policy_explain(const struct pinw_policy *policy, const struct pinw_rule *rule, char *buf,
                           size_t size)
{
	struct pinw_phrase t = pinw_phrase_start(buf, size);

	pinw_phrase_add(&t, "%s (line %u): ", rule->label, rule->line);
	switch ((enum pinw_section)rule->section) {
	case PINW_SECTION_BAN:
		explain_ban(&t, policy, rule);
		break;
	case PINW_SECTION_ALLOW:
		explain_allow(&t, policy, rule);
		break;
	case PINW_SECTION_REQUIRE:
		explain_require(&t, policy, rule);
		break;
	case PINW_SECTION_CAPS:
		explain_cap(&t, policy, rule);
		break;
	case PINW_SECTION_LEAK:
		explain_leak(&t, rule);
		break;
	case PINW_SECTION_SUPPRESS:
		explain_suppress(&t, rule);
		break;
	case PINW_SECTION_POLICY:
		break;
	}
	return t.len;
}
