/* SPDX-License-Identifier: MIT
 *
 * What the parser makes of a valid text: rules, their defaults, what has to be watched, and how
 * much memory that takes.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/policy_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- what comes out ------------------------------------------------------------------------------------ */

Test(policy_rules, rules_have_ids_and_lines_in_file_order)
{
	static const struct {
		const char *label, *name;
		uint32_t line;
	} want[] = {{"ban:b", "b", 1},
	            {"caps:max_threads_warn_at", "max_threads_warn_at", 4},
	            {"caps:max_threads", "max_threads", 5},
	            {"leak:growth", "growth", 8},
	            {"leak:inherited", "inherited", 10},
	            {"allow:a", "a", 12}};
	const struct pinw_policy *policy = text_policy(
	    "[ban \"b\"]\ncall = attr\n[caps]\nmax_threads_warn_at = 2\nmax_threads = 4\n\n[leak]\n"
	    "growth = log\nunjoined = off\ninherited = log\n\n[allow \"a\"]\ncall = cross\n");

	cr_assert_eq(policy->rule_count, COUNT(want));
	for (unsigned i = 0; i < COUNT(want); i++) {
		const struct pinw_rule *rule = &policy->rules[i];
		cr_assert_eq(rule->id, i + 1);
		cr_assert_str_eq(rule->label, want[i].label);
		cr_assert_str_eq(rule->name, want[i].name);
		cr_assert_eq(rule->line, want[i].line);
	}
	cr_assert_eq(policy->warns[PINW_CAP_MAX_THREADS], 2);
	cr_assert_eq(policy->caps[PINW_CAP_MAX_THREADS], 3);
	cr_assert_eq(policy->leaks[PINW_PLEAK_GROWTH], 4);
	cr_assert_eq(policy->leaks[PINW_PLEAK_UNJOINED], 0, "off is no rule");
	cr_assert_eq(policy->leaks[PINW_PLEAK_INHERITED], 5);
}

Test(policy_rules, the_policy_section_is_kept)
{
	const char *text = "[policy]\nversion = 1\nmode = enforce\npin_width = cpus-3\nlog = /tmp/a b.log\n"
	                   "on_invalid = stop\n[leak]\ngrowth = log\n";
	const struct pinw_policy *policy = text_policy(text);

	cr_assert_str_eq(policy->path, "test.ini");
	cr_assert_eq(policy->mode, PINW_MODE_ENFORCE);
	cr_assert_eq(policy->pin_width, 1);
	cr_assert_str_eq(policy->log, "/tmp/a b.log");
	cr_assert(policy->on_invalid_given && policy->on_invalid_stop);
	cr_assert_eq(policy->mask_words, 2);
	cr_assert_eq(policy->warning_count, 0);
	policy = text_policy("[policy]\non_invalid = continue\n");
	cr_assert(policy->on_invalid_given && !policy->on_invalid_stop);
	policy = text_policy("");
	cr_assert(!policy->on_invalid_given && !policy->log && !policy->pin_width);
	cr_assert_eq(policy->hash, UINT64_C(0xcbf29ce484222325), "FNV-1a of nothing");
	cr_assert_eq(text_policy(";")->hash, UINT64_C(0xaf63b64c8601abfa));
}

Test(policy_rules, bans_and_caps_have_their_defaults)
{
	const struct pinw_policy *policy = text_policy(
	    "[ban \"b\"]\nchurn_rate = 5/s\n[caps]\nmax_threads = 9\nmax_pinned = 3\nmax_pinned_per_cpu = 1\n"
	    "reserve_cpus = 0\nthread_rate = 7/2s\nmax_pinned_warn_at = 2\n");
	const struct pinw_rule *r = policy->rules;

	cr_assert_eq(r[0].action, PINW_ACTION_DENY);
	cr_assert_eq(r[0].error, EPERM);
	cr_assert_eq(r[0].short_lived_ns, UINT64_C(1000000000));
	cr_assert_eq(r[1].action, PINW_ACTION_CRASH);
	cr_assert_eq(r[1].limit, 9);
	for (unsigned i = 2; i <= 5; i++)
		cr_assert_eq(r[i].action, PINW_ACTION_DENY);
	cr_assert_eq(r[2].error, EPERM);
	cr_assert_eq(r[3].error, EPERM);
	cr_assert_eq(r[4].error, EPERM);
	cr_assert_eq(r[4].cpus[0], 1);
	cr_assert_eq(r[5].error, EAGAIN);
	cr_assert_eq(r[5].rate.count, 7);
	cr_assert_eq(r[5].rate.window_ns, UINT64_C(2000000000));
	cr_assert(r[6].is_warning && r[6].action == PINW_ACTION_LOG && r[6].limit == 2);
	cr_assert_eq(
	    text_rule("[caps]\nmax_threads_action = deny\nmax_threads = 9\n", "caps:max_threads")->error,
	    EAGAIN, "the action may come first");
}

Test(policy_rules, requires_leaks_and_suppressions_have_their_defaults)
{
	const struct pinw_policy *policy = text_policy(
	    "[require \"r\"]\nthread_name = w\n[leak]\nidle_after = 3s\npinned_idle = log\nunjoined = log\n"
	    "growth = log\n[suppress \"s\"]\nfunction = f\n");
	const struct pinw_rule *r = policy->rules;

	cr_assert(r[0].pinned && r[0].action == PINW_ACTION_LOG && !r[0].within_ns);
	cr_assert_eq(r[1].time_ns, UINT64_C(3000000000));
	cr_assert_eq(r[2].time_ns, UINT64_C(10000000000));
	cr_assert_eq(r[3].time_ns, 0);
	cr_assert(!r[4].leaks && !r[4].expires && !r[4].reason && r[4].action == PINW_ACTION_NONE);
	cr_assert_eq(text_rule("[leak]\ngrace = 0s\nunjoined = log\n", "leak:unjoined")->time_ns, 0);
}

Test(policy_rules, values_reach_their_fields)
{
	const struct pinw_rule *ban =
	    text_rule("[ban \"b\"]\nmodule = m\ncpus = 1,3\nsite_rate = 100/10s\nkind = cpu\n"
	              "action = deny\nerrno = ENOSYS\nafter = 2m\nmessage = no\n",
	              "ban:b");
	const struct pinw_rule *allow = text_rule("[allow \"a\"]\ncpus = 6-7\nmax = cpus+4\n", "allow:a");
	const struct pinw_rule *require = text_rule(
	    "[require \"r\"]\nfunction = f\npinned = no\naction = crash\nmessage = m\n", "require:r");
	const struct pinw_rule *suppress = text_rule(
	    "[suppress \"s\"]\nleak = unjoined\nleak = growth\nreason = old\nexpires = 2026-11-20\n",
	    "suppress:s");

	cr_assert(ban->cpus[0] == 0xa && ban->rate.count == 100 && ban->kinds == PINW_KINDS_CPU);
	cr_assert(ban->error == ENOSYS && ban->after_ns == UINT64_C(120000000000) &&
	          !strcmp(ban->message, "no"));
	cr_assert(allow->cpus[0] == 0xc0 && allow->limit == 8 && allow->action == PINW_ACTION_NONE);
	cr_assert(!require->pinned && require->action == PINW_ACTION_CRASH && !strcmp(require->message, "m"));
	cr_assert_eq(suppress->leaks, 1u << PINW_PLEAK_UNJOINED | 1u << PINW_PLEAK_GROWTH);
	cr_assert(suppress->expires == 20261120 && suppress->expired && !strcmp(suppress->reason, "old"));
	cr_assert(
	    !text_rule("[suppress \"s\"]\nleak = growth\nexpires = 2026-11-21\n", "suppress:s")->expired,
	    "the day itself still holds");
}

Test(policy_rules, what_has_to_be_watched_is_what_some_rule_needs)
{
	static const struct {
		const char *text;
		bool pins, threads, births, creator, churn, require, watch;
	} cases[] = {
	    {"", 0, 0, 0, 0, 0, 0, 0},
	    {"[ban \"x\"]\n", 1, 0, 1, 0, 0, 0, 0},
	    {"[ban \"x\"]\ncall = setaffinity\n", 1, 0, 0, 0, 0, 0, 0},
	    {"[ban \"x\"]\ncall = attr\n", 1, 0, 1, 0, 0, 0, 0},
	    {"[ban \"x\"]\nkind = go\naction = log\n", 1, 0, 0, 0, 0, 0, 0},
	    {"[ban \"x\"]\ncall = cross\ncreated_by = f\n", 1, 0, 0, 1, 0, 0, 0},
	    {"[ban \"x\"]\ncall = cross\nchurn_rate = 1/s\n", 1, 0, 0, 0, 1, 0, 0},
	    {"[allow \"x\"]\ncall = inherit\n", 1, 0, 1, 0, 0, 0, 0},
	    {"[caps]\nmax_threads = 1\n", 0, 1, 0, 0, 0, 0, 0},
	    {"[caps]\nthread_rate = 1/s\n", 0, 1, 0, 0, 0, 0, 0},
	    {"[caps]\nmax_pinned = 1\n", 1, 0, 1, 0, 0, 0, 0},
	    {"[caps]\nreserve_cpus = 1\n", 1, 0, 1, 0, 0, 0, 0},
	    {"[require \"x\"]\nthread_name = x\n", 0, 0, 0, 0, 0, 1, 0},
	    {"[require \"x\"]\nthread_name = x\nwithin = 1s\n", 0, 0, 0, 0, 0, 1, 1},
	    {"[leak]\ninherited = log\n", 0, 0, 1, 0, 0, 0, 0},
	    {"[leak]\ninherited = off\npinned_idle = off\n", 0, 0, 0, 0, 0, 0, 0},
	    {"[leak]\npinned_idle = log\n", 0, 0, 0, 0, 0, 0, 1},
	    {"[leak]\nunjoined = log\n", 0, 0, 0, 0, 0, 0, 1},
	    {"[leak]\ngrowth = log\n", 0, 0, 0, 0, 0, 0, 1},
	    {"[leak]\nexit_while_pinned = log\n", 0, 0, 0, 0, 0, 0, 0},
	    {"[suppress \"x\"]\ncreated_by = f\n", 0, 0, 0, 1, 0, 0, 0},
	};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		const struct pinw_policy *p = text_policy(cases[i].text);
		cr_assert(p->judges_pins == cases[i].pins && p->judges_threads == cases[i].threads &&
		              p->judges_births == cases[i].births && p->needs_creator == cases[i].creator &&
		              p->needs_churn == cases[i].churn && p->needs_require == cases[i].require &&
		              p->needs_watch == cases[i].watch,
		          "%s", cases[i].text);
	}
}

/* ---- memory ----------------------------------------------------------------------------------------------- */

Test(policy_rules, what_was_used_is_enough_and_a_byte_less_is_not)
{
	static const uint64_t baseline = 0xf;
	const struct pinw_policy_host host = {.baseline = &baseline, .mask_words = 1};
	const char *text = "[ban \"x\"]\nfunction = f\nmodule = m\ncpus = 1\n[leak]\ngrowth = log\n";
	size_t needed = pinw_policy_memory_needed(strlen(text), 1);
	static _Alignas(64) char bytes[65536];
	struct pinw_policy_memory memory = {.bytes = bytes, .size = needed};
	static const struct pinw_policy before;
	const struct pinw_policy *policy = &before;
	struct pinw_policy_error error;

	cr_assert_eq(pinw_policy_parse(text, strlen(text), "p", &host, &memory, &policy, &error), 0);
	size_t used = memory.used;
	cr_assert(used > 0 && used <= needed && needed <= sizeof(bytes));
	for (size_t size = 0; size <= used; size++) {
		policy = &before;
		memory.size = size;
		memory.used = 0;
		int r = pinw_policy_parse(text, strlen(text), "p", &host, &memory, &policy, &error);
		cr_assert_eq(r, size < used ? -ENOMEM : 0, "%zu of %zu", size, used);
		cr_assert_eq(policy == &before, size < used);
		cr_assert_eq(memory.used, size < used ? 0 : used);
	}
}

Test(policy_rules, a_policy_leaves_what_was_there_before_it)
{
	static const uint64_t baseline = 0xf;
	const struct pinw_policy_host host = {.baseline = &baseline, .mask_words = 1};
	char bytes[16384];
	struct pinw_policy_memory memory = {.bytes = bytes, .size = sizeof(bytes), .used = 3};
	const struct pinw_policy *policy;
	struct pinw_policy_error error;

	bytes[0] = bytes[1] = bytes[2] = 'x';
	cr_assert_eq(pinw_policy_parse("[x]", 3, "p", &host, &memory, &policy, &error), -EINVAL);
	cr_assert_eq(memory.used, 3);
	cr_assert_eq(pinw_policy_parse("[leak]\ngrowth = log", 19, "p", &host, &memory, &policy, &error), 0);
	cr_assert(bytes[0] == 'x' && bytes[1] == 'x' && bytes[2] == 'x');
	cr_assert_eq((uintptr_t)policy % _Alignof(struct pinw_policy), 0);
	cr_assert_str_eq(policy->rules[0].label, "leak:growth");
}
