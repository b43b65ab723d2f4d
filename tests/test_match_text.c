/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/policy_rig.h"

#define SECOND UINT64_C(1000000000)

static struct policy_rig rig;

static const uint64_t cpu0[2] = {1}, cpu1[2] = {2};

/* Judges a pin as the shim does, keeps it unless it is denied, and says which rule spoke: its label, "" for none. */
static const char *pin(const struct rig_stack *stack, const char *thread_name, const uint64_t *mask,
                       uint64_t now_ns)
{
	struct pinw_attempt a = {.calls = PINW_CALLS_SETAFFINITY,
	                         .kind = PINW_KINDS_CPU,
	                         .mask = mask,
	                         .thread_name = thread_name,
	                         .stack = &stack->match,
	                         .now_ns = now_ns};
	struct pinw_verdict verdict;
	struct pinw_hold hold;

	pinw_policy_judge_pin(&rig.policy, &rig.state, &a, &verdict, &hold);
	if (verdict.action == PINW_ACTION_DENY)
		pinw_policy_cancel(&rig.state, &a.held, &hold);
	else
		pinw_policy_keep(&rig.state, &a.held, &hold);
	return verdict.rule ? verdict.rule->label : "";
}

Test(match_text, a_staging_policy_from_its_text_to_its_verdicts)
{
	struct rig_stack handler, worker, other;

	rig_parse(&rig, "[policy]\nversion = 1\nmode = enforce\n"
	                "[caps]\nmax_pinned = 3\n"
	                "[ban \"per request\"]\nfunction = *Handler\nfunction = Http::serve*\n"
	                "[ban \"hot site\"]\nsite_rate = 2/s\nafter = 10s\n"
	                "[allow \"workers\"]\nthread_name = worker-*\ncpus = 0\nmax = 2\n");
	RIG_STACK(&rig, &handler, "/bin/app!LoginHandler");
	RIG_STACK(&rig, &worker, "/bin/app!worker_main");
	RIG_STACK(&rig, &other, "/bin/app!Http::close");
	cr_expect_str_eq(pin(&handler, "app", cpu0, 0), "ban:per request");
	cr_expect_str_eq(pin(&handler, "worker-1", cpu0, 0), "", "the allow beats the ban");
	cr_expect_str_eq(pin(&handler, "worker-1", cpu1, 0), "ban:per request", "not on that CPU");
	cr_expect_str_eq(pin(&worker, "worker-2", cpu0, 0), "");
	cr_expect_str_eq(pin(&handler, "worker-3", cpu0, 0), "ban:per request", "two are open");
	cr_expect_str_eq(pin(&other, "app", cpu0, 0), "", "the third pin");
	for (unsigned i = 0; i < 9; i++)
		cr_expect_str_eq(pin(&other, "app", cpu0, SECOND), "caps:max_pinned",
		                 "the rate's ban sleeps");
	cr_expect_str_eq(pin(&other, "app", cpu0, 10 * SECOND), "caps:max_pinned");
	cr_expect_str_eq(pin(&other, "app", cpu0, 10 * SECOND), "caps:max_pinned");
	cr_expect_str_eq(pin(&other, "app", cpu0, 10 * SECOND), "ban:hot site");
	cr_expect_str_eq(pin(&worker, "app", cpu0, 10 * SECOND), "caps:max_pinned", "another site");
}

Test(match_text, caps_that_count_from_the_machine)
{
	struct rig_stack stack;
	struct pinw_verdict verdict;

	rig_parse(&rig, "[caps]\nmax_threads = cpus*2\nmax_threads_warn_at = cpus\nreserve_cpus = 1,64-127\n"
	                "max_pinned_per_cpu = 1\nmax_pinned_per_cpu_action = log\n");
	RIG_STACK(&rig, &stack, "/bin/app!main");
	pinw_policy_judge_threads(&rig.policy, 256, &verdict);
	cr_expect_eq(verdict.action, PINW_ACTION_NONE);
	pinw_policy_judge_threads(&rig.policy, 257, &verdict);
	cr_expect_eq(verdict.action, PINW_ACTION_CRASH);
	cr_expect_str_eq(verdict.rule->label, "caps:max_threads");
	pinw_policy_judge_warning(&rig.policy, PINW_CAP_MAX_THREADS, 128, &verdict);
	cr_expect_eq(verdict.action, PINW_ACTION_LOG);
	cr_expect_str_eq(verdict.rule->label, "caps:max_threads_warn_at");
	cr_expect_str_eq(pin(&stack, "", cpu0, 0), "");
	cr_expect_str_eq(pin(&stack, "", cpu1, 0), "caps:reserve_cpus");
	cr_expect_str_eq(pin(&stack, "", (const uint64_t[]){0, 2}, 0), "caps:reserve_cpus");
	cr_expect_str_eq(pin(&stack, "", cpu0, 0), "caps:max_pinned_per_cpu");
	cr_expect_eq(rig.state.pinned, 2, "what was logged is there");
}

Test(match_text, leaks_and_their_suppressions)
{
	const struct pinw_rule *suppressed;
	struct rig_stack stack;
	struct pinw_verdict verdict;

	rig_parse(&rig, "[leak]\nexit_while_pinned = crash\nunjoined = off\n"
	                "[suppress \"legacy\"]\nleak = exit_while_pinned, unjoined\nmodule = libold.so*\n"
	                "reason = replaced soon\n");
	RIG_STACK(&rig, &stack, "/lib/libold.so.2!old_pin");
	struct pinw_thread_facts facts = {.thread_name = "", .mask = cpu0, .ended = true};
	pinw_policy_judge_leak(&rig.policy, &rig.state, PINW_PLEAK_EXIT_WHILE_PINNED, &facts, &verdict,
	                       &suppressed);
	cr_assert_eq(verdict.action, PINW_ACTION_CRASH);
	cr_expect_str_eq(verdict.rule->label, "leak:exit_while_pinned");
	cr_expect_null(suppressed);
	facts.pin = &stack.match;
	pinw_policy_judge_leak(&rig.policy, &rig.state, PINW_PLEAK_EXIT_WHILE_PINNED, &facts, &verdict,
	                       &suppressed);
	cr_expect_eq(verdict.action, PINW_ACTION_NONE);
	cr_assert_not_null(suppressed);
	cr_expect_str_eq(suppressed->label, "suppress:legacy");
	facts.creator = &stack.match;
	pinw_policy_judge_leak(&rig.policy, &rig.state, PINW_PLEAK_UNJOINED, &facts, &verdict, &suppressed);
	cr_assert_not_null(suppressed, "counted although `unjoined` is off");
	cr_expect_eq(rig.state.rules[suppressed->id - 1].matched, 2);
}
