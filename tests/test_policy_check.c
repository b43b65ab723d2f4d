/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/policy_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct wrong {
	const char *text;
	uint32_t line;
	const char *key, *part;
} contradictions[] = {
    {"[ban \"x\"]\nthread_name = 123456789012345?\n", 2, "thread_name",
     "it needs 16 bytes, and the kernel keeps 15"},
    {"[ban \"x\"]\nfunction = f\nthread_name = *1234567890123456*\n", 3, "thread_name", "can never match"},
    {"[ban \"x\"]\nkind = cpu\ncall = golock\n", 2, "kind", "can never match"},
    {"[ban \"x\"]\ncall = attr,cross\nkind = go\n", 3, "kind", "can never match"},
    {"[allow \"x\"]\ncall = setaffinity\nkind = go\n", 3, "kind", "can never match"},
    {"[ban \"x\"]\nkind = go\ncpus = 0\n", 3, "cpus", "a lock of kind go has no CPUs"},
    {"[require \"x\"]\nthread_name = w\nkind = go\ncpus = 0\n", 4, "cpus", "a lock of kind go has no CPUs"},
    {"[ban \"x\"]\nkind = go\nerrno = EPERM\n", 3, "errno", "LockOSThread returns no error"},
    {"[ban \"x\"]\nfunction = f\ncall = golock\n", 1, "[ban \"x\"]",
     "say deny_golocks = yes in [policy], or"},
    {"[policy]\ndeny_golocks = no\n[ban \"x\"]\ncall = attr, golock\n", 3, "[ban \"x\"]",
     "thread-local C state"},
    {"[ban \"x\"]\nkind = go\naction = deny\n[policy]\nmode = audit\n", 1, "[ban \"x\"]",
     "it would deny Go locks"},
    {"[allow \"x\"]\ncall = golock\ncpus = 0\n", 3, "cpus", "golock has no CPUs"},
    {"[ban \"x\"]\nfunction = f\nshort_lived = 1s\n", 3, "short_lived", "without churn_rate"},
    {"[ban \"x\"]\nerrno = EPERM\naction = log\n", 2, "errno", "without action = deny"},
    {"[ban \"x\"]\nerrno = EPERM\naction = crash\n", 2, "errno", "without action = deny"},
    {"[ban \"x\"]\naction = reset\n", 2, "action", "needs call = inherit alone; expected log, deny or crash"},
    {"[ban \"x\"]\ncall = inherit, attr\naction = reset\n", 3, "action", "needs call = inherit alone"},
    {"[require \"r\"]\npinned = yes\n", 1, "[require \"r\"]", "which threads?"},
    {"[require \"r\"]\nthread_name = w\npinned = no\ncpus = 0\n", 4, "cpus", "contradicts pinned = no"},
    {"[require \"r\"]\nthread_name = w\nwithin = 1s\npinned = no\n", 3, "within", "contradicts pinned = no"},
    {"[suppress \"s\"]\nreason = tired\n", 1, "[suppress \"s\"]", "would suppress every leak"},
    {"[caps]\nmax_threads_action = log\n", 2, "max_threads_action", "means nothing without max_threads"},
    {"[caps]\nreserve_cpus_action = log\n", 2, "reserve_cpus_action", "means nothing without reserve_cpus"},
    {"[caps]\nmax_pinned_warn_at = 3\n", 2, "max_pinned_warn_at", "means nothing without max_pinned"},
    {"[caps]\nthread_rate_warn_at = 3/s\n", 2, "thread_rate_warn_at", "means nothing without thread_rate"},
    {"[caps]\nmax_threads_warn_at = 9\nmax_threads = 8\n", 2, "max_threads_warn_at",
     "can never match: 9 is beyond max_threads (line 3), which is 8"},
    {"[caps]\nmax_pinned = 0\nmax_pinned_warn_at = 1\n", 3, "max_pinned_warn_at", "can never match"},
    {"[caps]\nthread_rate = 5/s\nthread_rate_warn_at = 6/s\n", 3, "thread_rate_warn_at", "can never match"},
    {"[caps]\nreserve_cpus = 0-3\n", 2, "reserve_cpus", "leaves no CPU to pins: the process may use 0-3"},
    {"[caps]\nreserve_cpus = 0-7\n", 2, "reserve_cpus", "leaves no CPU"},
    {"[leak]\nidle_after = 5s\n", 2, "idle_after", "without pinned_idle"},
    {"[leak]\npinned_idle = log\ngrace = 5s\n", 3, "grace", "without unjoined"},
};

Test(policy_check, contradictions_inside_a_section_are_refused_at_the_key)
{
	for (unsigned i = 0; i < COUNT(contradictions); i++)
		text_refused(contradictions[i].text, contradictions[i].line, contradictions[i].key,
		             contradictions[i].part);
}

Test(policy_check, what_looks_like_a_contradiction_and_is_none_is_taken)
{
	static const char *const texts[] = {
	    "[ban \"x\"]\nthread_name = 123456789012345\nthread_name = ***12345678901234?*\n",
	    "[ban \"x\"]\ncall = golock, attr\nkind = go\naction = log\n",
	    "[ban \"x\"]\ncall = golock\nkind = go\naction = crash\n",
	    "[ban \"x\"]\ncall = golock, attr\ncpus = 0\n",
	    "[ban \"x\"]\ncall = golock\n[policy]\ndeny_golocks = yes\n",
	    "[ban \"x\"]\nfunction = f\n[policy]\ndeny_golocks = no\n",
	    "[require \"r\"]\nthread_name = w\nkind = go\npinned = no\n",
	    "[require \"r\"]\nthread_name = w\nkind = cpu\ncpus = 0\n",
	    "[ban \"x\"]\naction = deny\nerrno = EPERM\n",
	    "[ban \"x\"]\nerrno = EPERM\n",
	    "[ban \"x\"]\ncall = inherit\naction = reset\n",
	    "[require \"r\"]\ncreated_by = f\npinned = no\n",
	    "[caps]\nreserve_cpus = 0-2\n",
	    "[caps]\nreserve_cpus = 4-7\n",
	    "[caps]\nmax_threads = 8\nmax_threads_warn_at = 8\n",
	    "[caps]\nthread_rate = 5/s\nthread_rate_warn_at = 6/m\n",
	    "[caps]\nmax_pinned = 0\n",
	    "[leak]\npinned_idle = off\nidle_after = 5s\n",
	};

	for (unsigned i = 0; i < COUNT(texts); i++)
		text_policy(texts[i]);
}

/* ---- one rule behind another ------------------------------------------------------------------------ */

/* Two sections, and whether the second can never match. */
static const struct pair {
	const char *first, *second;
	bool never;
} pairs[] = {
    {"[ban \"a\"]\n", "[ban \"b\"]\nfunction = f\n", true},
    {"[ban \"a\"]\n", "[ban \"b\"]\n", true},
    {"[ban \"a\"]\naction = log\n", "[ban \"b\"]\naction = crash\n", true},
    {"[ban \"a\"]\nfunction = f\n", "[ban \"b\"]\nfunction = f\n", true},
    {"[ban \"a\"]\nfunction = f\n", "[ban \"b\"]\nfunction = g\n", false},
    {"[ban \"a\"]\nfunction = f\nfunction = g\n", "[ban \"b\"]\nfunction = g\n", true},
    {"[ban \"a\"]\nfunction = g\n", "[ban \"b\"]\nfunction = f\nfunction = g\n", false},
    {"[ban \"a\"]\nfunction = f\n", "[ban \"b\"]\nfunction = f\ncall = attr\n", true},
    {"[ban \"a\"]\nfunction = f\ncall = attr\n", "[ban \"b\"]\nfunction = f\n", false},
    {"[ban \"a\"]\ncall = attr, cross\n", "[ban \"b\"]\ncall = cross\n", true},
    {"[ban \"a\"]\ncall = cross\n", "[ban \"b\"]\ncall = attr, cross\n", false},
    {"[ban \"a\"]\ncall = setaffinity\n", "[ban \"b\"]\ncall = raw\n", true},
    {"[ban \"a\"]\ncall = raw\n", "[ban \"b\"]\ncall = setaffinity\n", false},
    {"[ban \"a\"]\nkind = cpu\n", "[ban \"b\"]\nkind = go\naction = log\n", false},
    {"[ban \"a\"]\nkind = cpu\n", "[ban \"b\"]\nkind = cpu\nmodule = m\n", true},
    {"[ban \"a\"]\ncpus = 0-3\n", "[ban \"b\"]\ncpus = 1\n", true},
    {"[ban \"a\"]\ncpus = 1\n", "[ban \"b\"]\ncpus = 0-3\n", false},
    {"[ban \"a\"]\ncpus = 1\n", "[ban \"b\"]\nfunction = f\n", false},
    {"[ban \"a\"]\nthread_name = w\n", "[ban \"b\"]\nthread_name = w\ncreated_by = f\n", true},
    {"[ban \"a\"]\nthread_name = w\n", "[ban \"b\"]\ncreated_by = w\n", false},
    {"[ban \"a\"]\nafter = 5s\n", "[ban \"b\"]\nfunction = f\n", false},
    {"[ban \"a\"]\nafter = 5s\n", "[ban \"b\"]\nafter = 6s\n", true},
    {"[ban \"a\"]\nsite_rate = 1/s\n", "[ban \"b\"]\nfunction = f\n", false},
    {"[ban \"a\"]\nsite_rate = 1/s\n", "[ban \"b\"]\nsite_rate = 2/s\n", false},
    {"[ban \"a\"]\nsite_rate = 1/s\n", "[ban \"b\"]\nsite_rate = 1/s\n", true},
    {"[ban \"a\"]\nchurn_rate = 1/s\n", "[ban \"b\"]\nchurn_rate = 1/s\nshort_lived = 2s\n", false},
    {"[ban \"a\"]\nchurn_rate = 1/s\n", "[ban \"b\"]\nchurn_rate = 1/s\nshort_lived = 1s\n", true},
    {"[allow \"a\"]\n", "[allow \"b\"]\nfunction = f\n", true},
    {"[allow \"a\"]\nfunction = f\n", "[allow \"b\"]\nfunction = f\nmax = 3\n", true},
    {"[allow \"a\"]\nfunction = f\nmax = 3\n", "[allow \"b\"]\nfunction = f\n", false},
    {"[allow \"a\"]\nmax = 3\n", "[ban \"b\"]\n", false},
    {"[allow \"a\"]\n", "[ban \"b\"]\nfunction = f\n", true},
    {"[allow \"a\"]\nfunction = f\n", "[ban \"b\"]\nfunction = f\ncall = attr\n", true},
    {"[allow \"a\"]\nfunction = f\n", "[ban \"b\"]\n", false},
    {"[allow \"a\"]\ncpus = 0\n", "[ban \"b\"]\ncpus = 0\n", false},
    {"[ban \"a\"]\n", "[allow \"b\"]\nfunction = f\n", false},
    {"[ban \"a\"]\nfunction = f\n", "[allow \"b\"]\nfunction = f\nthread_name = w\n", false},
    {"[suppress \"a\"]\nleak = growth\n", "[suppress \"b\"]\nleak = growth\nfunction = f\n", true},
    {"[suppress \"a\"]\nleak = growth\n", "[suppress \"b\"]\nleak = growth, unjoined\n", false},
    {"[suppress \"a\"]\nleak = growth\nexpires = 2027-01-01\n", "[suppress \"b\"]\nleak = growth\n", false},
    {"[suppress \"a\"]\nfunction = f\nexpires = 2027-01-02\n",
     "[suppress \"b\"]\nfunction = f\nexpires = 2027-01-01\n", true},
    {"[suppress \"a\"]\nfunction = f\nexpires = 2020-01-02\n",
     "[suppress \"b\"]\nfunction = f\nexpires = 2020-01-01\n", false}, /* both expired: that is a warning */
    {"[require \"a\"]\nthread_name = w\n", "[require \"b\"]\nthread_name = w\nwithin = 1s\n", false},
};

static uint32_t lines_of(const char *text)
{
	uint32_t lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

Test(policy_check, a_rule_that_another_always_answers_for_is_refused)
{
	for (unsigned i = 0; i < COUNT(pairs); i++) {
		char text[512], heading[64];
		int len = (int)strcspn(pairs[i].second, "\n");
		snprintf(heading, sizeof(heading), "%.*s", len, pairs[i].second);
		snprintf(text, sizeof(text), "; here\n%s[leak]\ngrowth = log\n%s", pairs[i].first,
		         pairs[i].second);
		if (pairs[i].never)
			text_refused(text, 4 + lines_of(pairs[i].first), heading,
			             "can never match: line 2 comes first (");
		else
			text_policy(text);
	}
}

Test(policy_check, an_allow_further_down_beats_a_ban_too)
{
	text_refused("[ban \"b\"]\nfunction = f\n[allow \"a\"]\n", 1, "[ban \"b\"]",
	             "can never match: line 3 comes first ([allow \"a\"])");
}

/* ---- warnings --------------------------------------------------------------------------------------- */

static const struct {
	const char *text;
	uint32_t line;
	const char *part;
} warned[] = {
    {"\n[ban \"x\"]\n", 2, "bans every pin"},
    {"[ban \"x\"]\nafter = 1s\n", 1, "bans every pin"},
    {"[allow \"x\"]\n", 1, "lets every pin through"},
    {"[ban \"x\"]\ncall = golock\naction = log\n", 1, "only Go programs"},
    {"[ban \"x\"]\nkind = go\naction = log\n", 1, "only Go programs"},
    {"[ban \"x\"]\ncall = raw\n", 1, "in Go programs"},
    {"[leak]\n\nunbalanced = log\n", 3, "only Go programs"},
    {"[caps]\nmax_threads = 9\nmax_threads_action = deny\n", 2,
     "a Go program aborts about 0.2 s after a denied thread"},
    {"[caps]\nmax_threads = 9\nmax_threads_action = log\nmax_threads_warn_at = 10\n", 4,
     "10 is beyond max_threads (line 2), which is 9"},
    {"[suppress \"x\"]\nleak = growth\nexpires = 2026-09-07\n", 1, "expired after 2026-09-07"},
    {"[suppress \"x\"]\nleak = growth\nexpires = 2026-11-20\n", 1, "expired after 2026-11-20"},
    {"", 1, "no rules"},
};

Test(policy_check, what_may_be_a_mistake_is_a_warning)
{
	for (unsigned i = 0; i < COUNT(warned); i++) {
		const struct pinw_policy *policy = text_policy(warned[i].text);
		cr_assert_eq(policy->warning_count, 1, "%u for\n%s", policy->warning_count, warned[i].text);
		cr_assert_eq(policy->warnings[0].line, warned[i].line, "%s", warned[i].text);
		cr_assert(strstr(policy->warnings[0].text, warned[i].part), "%s", policy->warnings[0].text);
		cr_assert_eq(policy->warnings[0].is_note, strstr(warned[i].part, "Go program") != NULL, "%s",
		             warned[i].text);
	}
}

Test(policy_check, a_policy_that_means_what_it_says_has_no_warnings)
{
	static const char *const texts[] = {
	    "[ban \"x\"]\nfunction = f\n",
	    "[ban \"x\"]\nsite_rate = 1/s\n",
	    "[ban \"x\"]\ncpus = 0\n",
	    "[allow \"x\"]\nmax = 2\n",
	    "[caps]\nmax_threads = 9\n",
	    "[caps]\nthread_rate = 9/s\nmax_pinned = 2\n",
	    "[suppress \"x\"]\nleak = growth\nexpires = 2026-11-21\n",
	    "[leak]\ngrowth = log\n",
	};

	for (unsigned i = 0; i < COUNT(texts); i++)
		cr_assert_eq(text_policy(texts[i])->warning_count, 0, "%s", texts[i]);
}

Test(policy_check, warnings_come_in_the_order_of_the_rules)
{
	const struct pinw_policy *policy = text_policy(
	    "[leak]\nunbalanced = log\n[suppress \"x\"]\nleak = growth\nexpires = 2020-01-01\n[ban \"x\"]\n");

	cr_assert_eq(policy->warning_count, 3);
	cr_assert(policy->warnings[0].line == 2 && policy->warnings[1].line == 3 &&
	          policy->warnings[2].line == 6);
}
