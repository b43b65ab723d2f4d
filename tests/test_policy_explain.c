/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/policy_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CRASH                                                                                                \
	" Under enforce the program writes down which rule was broken and every thread's stacks, then "      \
	"aborts; under audit it is recorded as \"would crash\"."

/* A text of one rule, the last of it, and the words for it. */
static const struct {
	const char *text, *words;
} cases[] = {
    {"[ban \"per-request\"]\nfunction = *Handler\n",
     "ban:per-request (line 1): a thread may not pin itself or be pinned when a function matching "
     "\"*Handler\" is on "
     "the stack of the call. Under enforce the call fails with EPERM; under audit it is recorded as \"would "
     "deny\"."},
    {"[ban \"x\"]\nfunction = a\nfunction = b\nfunction = c\nmodule = m\nerrno = EAGAIN\n",
     "ban:x (line 1): a thread may not pin itself or be pinned when a function matching \"a\", \"b\" or "
     "\"c\" in a "
     "module matching \"m\" is on the stack of the call. Under enforce the call fails with EAGAIN; under "
     "audit it is "
     "recorded as \"would deny\"."},
    {"[ban \"x\"]\nmodule = m\nmodule = n\naction = log\nmessage = do not\nafter = 90s\n",
     "ban:x (line 1): a thread may not pin itself or be pinned when a module matching \"m\" or \"n\" is on "
     "the stack of "
     "the call. Such a pin is made and logged. The log adds \"do not\". The rule sleeps for the first 90 s "
     "of the "
     "program."},
    {"[ban \"x\"]\nthread_name = w-*\ncreated_by = f\ncpus = 2-3\nkind = cpu\naction = crash\n",
     "ban:x (line 1): a thread may not pin itself or be pinned to a mask that holds any of CPUs 2,3 (Go "
     "locks are not "
     "meant) when the thread's name matches \"w-*\" and a function matching \"f\" is on the stack that "
     "created the "
     "thread." CRASH},
    {"[ban \"x\"]\ncall = setaffinity, pthread_setaffinity, cross\naction = log\n",
     "ban:x (line 1): a thread may not pin itself or be pinned through sched_setaffinity, through "
     "pthread_setaffinity_np or by another thread. Such a pin is made and logged."},
    {"[ban \"x\"]\ncall = attr\n",
     "ban:x (line 1): a thread may not pin itself or be pinned through the attribute it is created with. "
     "Under enforce "
     "the creation of the thread fails with EPERM; under audit it is recorded as \"would deny\"."},
    {"[ban \"x\"]\ncall = inherit\naction = reset\n",
     "ban:x (line 1): a thread may not pin itself or be pinned by inheriting its creator's mask. Under "
     "enforce the "
     "thread gets the mask the process was started with; under audit it is recorded as \"would reset\"."},
    {"[policy]\ndeny_golocks = yes\n[ban \"x\"]\nfunction = f\n",
     "ban:x (line 3): a thread may not pin itself or be pinned when a function matching \"f\" is on the "
     "stack of "
     "the call. Under enforce the call fails with EPERM; under audit it is recorded as \"would deny\". Go "
     "locks "
     "are meant too: they are skipped, with their unlocks."},
    {"[require \"x\"]\nthread_name = w\nkind = go\n",
     "require:x (line 1): a thread must be pinned by the lock of a goroutine when the thread's name matches "
     "\"w\". A thread that breaks the rule is logged."},
    {"[policy]\ndeny_golocks = yes\n[ban \"x\"]\ncall = golock\nfunction = *Handler\n",
     "ban:x (line 3): a goroutine may not lock itself to its thread through runtime.LockOSThread when a "
     "function "
     "matching \"*Handler\" is on the stack of the call. Under enforce the lock and its matching unlock are "
     "skipped; "
     "under audit it is recorded as \"would deny\"."},
    {"[ban \"x\"]\nsite_rate = 100/10s\naction = log\n",
     "ban:x (line 1): a thread may not pin itself or be pinned when the same stack has made more than 100 "
     "pins in "
     "10 s. Such a pin is made and logged."},
    {"[ban \"x\"]\nchurn_rate = 1/2m\nshort_lived = 250ms\naction = log\n",
     "ban:x (line 1): a thread may not pin itself or be pinned when more than 1 thread in 2 min have pinned "
     "and ended "
     "within 250 ms of their start. Such a pin is made and logged."},
    {"[allow \"x\"]\nthread_name = w-*\nmax = 8\n",
     "allow:x (line 1): a thread may pin itself or be pinned when the thread's name matches \"w-*\", "
     "whatever the bans "
     "and caps say. At most 8 such pins are allowed at once; more are judged like any others."},
    {"[allow \"x\"]\ncpus = 1\nmax = 1\nafter = 1h\n",
     "allow:x (line 1): a thread may pin itself or be pinned to a mask inside CPU 1, whatever the bans and "
     "caps say. At "
     "most 1 such pin is allowed at once; more are judged like any others. The rule sleeps for the first 1 h "
     "of the "
     "program."},
    {"[require \"x\"]\nthread_name = w-*\ncpus = 2-3,5\nwithin = 5s\n",
     "require:x (line 1): a thread must be pinned to a mask inside CPUs 2,3,5 within 5 s of its start when "
     "the "
     "thread's name matches \"w-*\". A thread that breaks the rule is logged."},
    {"[require \"x\"]\nfunction = io_*\ncreated_by = main\npinned = no\naction = crash\nmessage = io must "
     "float\n",
     "require:x (line 1): a thread must not be pinned when a function matching \"main\" is on the stack that "
     "created "
     "the thread and its start routine, or a function on the stack that created it, matches \"io_*\"." CRASH
     " The log adds \"io must float\"."},
    {"[caps]\nmax_threads = 512\n",
     "caps:max_threads (line 2): at most 512 threads may be alive at once, the main one included." CRASH},
    {"[caps]\nmax_threads = 1\nmax_threads_action = deny\n",
     "caps:max_threads (line 2): at most 1 thread may be alive at once, the main one included. Under enforce "
     "the "
     "creation fails with EAGAIN; under audit it is recorded as \"would deny\". A Go program aborts about "
     "0.2 s after "
     "a denied thread."},
    {"[caps]\nmax_threads = 5\nmax_threads_warn_at = 4\n",
     "caps:max_threads_warn_at (line 3): a line is logged when 4 threads are alive."},
    {"[caps]\nmax_pinned = cpus-2\n",
     "caps:max_pinned (line 2): at most 2 threads may hold an open pin or Go lock at once. Under "
     "enforce the call fails with EPERM; under audit it is recorded as \"would deny\"."},
    {"[caps]\nmax_pinned = 0\nmax_pinned_action = log\n",
     "caps:max_pinned (line 2): no thread may hold an open pin or Go lock. A pin beyond that is made and "
     "logged."},
    {"[caps]\nmax_pinned = 2\nmax_pinned_warn_at = 1\n",
     "caps:max_pinned_warn_at (line 3): a line is logged when 1 thread is pinned."},
    {"[caps]\nmax_pinned_per_cpu = 1\nmax_pinned_per_cpu_action = log\n",
     "caps:max_pinned_per_cpu (line 2): at most 1 thread may be pinned to one CPU; inside a mask of several, "
     "as many "
     "for each. A pin beyond that is made and logged."},
    {"[caps]\nmax_pinned_per_cpu = 3\nmax_pinned_per_cpu_warn_at = 2\n",
     "caps:max_pinned_per_cpu_warn_at (line 3): a line is logged when 2 threads are pinned to one CPU; "
     "inside a mask of "
     "several, as many for each."},
    {"[caps]\nreserve_cpus = 0\n",
     "caps:reserve_cpus (line 2): no pin may hold CPU 0. Under enforce the call fails with "
     "EPERM; under audit it is recorded as \"would deny\"."},
    {"[caps]\nthread_rate = 100/10s\nthread_rate_action = log\n",
     "caps:thread_rate (line 2): at most 100 threads may be created in 10 s. A thread beyond that is made "
     "and logged."},
    {"[caps]\nthread_rate = 9/100us\nthread_rate_warn_at = 1/100us\n",
     "caps:thread_rate_warn_at (line 3): a line is logged when 1 thread is created in 100 us."},
    {"[leak]\nexit_while_pinned = log\n", "leak:exit_while_pinned (line 2): a thread must not end with an "
                                          "open pin. A leak of this kind is logged."},
    {"[leak]\npinned_idle = crash\nidle_after = 30s\n",
     "leak:pinned_idle (line 2): a pinned thread must use some CPU time every 30 s." CRASH},
    {"[leak]\npinned_at_end = log\n", "leak:pinned_at_end (line 2): the program must not end with a pin "
                                      "open, but for threads that an [allow] or a "
                                      "[require] speaks for. A leak of this kind is logged."},
    {"[leak]\nunjoined = log\n",
     "leak:unjoined (line 2): a thread that ended must be joined or detached within 10 s. A "
     "leak of this kind is logged."},
    {"[leak]\nunjoined = log\ngrace = 0s\n",
     "leak:unjoined (line 2): a thread that ended must be joined or detached at "
     "once. A leak of this kind is logged."},
    {"[leak]\ninherited = reset\n",
     "leak:inherited (line 2): a thread must not run on a mask that its creator's pin gave it. Under enforce "
     "the thread "
     "gets the mask the process was started with; under audit it is recorded as \"would reset\"."},
    {"[leak]\nunbalanced = log\n", "leak:unbalanced (line 2): a goroutine's locks and unlocks must pair, in "
                                   "one function. A leak of this kind is logged."},
    {"[leak]\ngrowth = log\n", "leak:growth (line 2): live threads must not rise steadily over the run. A "
                               "leak of this kind is logged."},
    {"[suppress \"x\"]\nthread_name = jemalloc_bg_thd\nreason = lives as long as the process\nexpires = "
     "2027-03-01\n",
     "suppress:x (line 1): leaks of every kind are counted but not reported when the thread's name matches "
     "\"jemalloc_bg_thd\". The reason given is \"lives as long as the process\". It holds until 2027-03-01."},
    {"[suppress \"x\"]\nleak = growth, exit_while_pinned, unjoined\nfunction = f\nmodule = m\nexpires = "
     "2026-10-31\n",
     "suppress:x (line 1): leaks of the kind exit_while_pinned, unjoined or growth are counted but not "
     "reported when a "
     "function matching \"f\" in a module matching \"m\" is on the stack of the leak. It expired: it held "
     "until "
     "2026-10-31."},
};

Test(policy_explain, each_rule_is_said_in_sentences)
{
	for (unsigned i = 0; i < COUNT(cases); i++) {
		const struct pinw_policy *policy = text_policy(cases[i].text);
		const struct pinw_rule *rule = &policy->rules[policy->rule_count - 1];
		char buf[2048];
		size_t n = pinw_policy_explain(policy, rule, buf, sizeof(buf));
		cr_assert_eq(n, strlen(buf));
		cr_assert_str_eq(buf, cases[i].words);
	}
}

Test(policy_explain, a_small_buffer_gets_the_beginning)
{
	const struct pinw_policy *policy = text_policy(cases[0].text);
	char buf[64];

	for (size_t size = 1; size <= sizeof(buf); size++) {
		cr_assert_eq(pinw_policy_explain(policy, &policy->rules[0], buf, size), size - 1);
		cr_assert_eq(strncmp(buf, cases[0].words, size - 1), 0);
		cr_assert_eq(buf[size - 1], '\0');
	}
}
