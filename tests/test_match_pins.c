/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/policy_rig.h"

/* One rig a test: each runs in a process of its own. */
static struct policy_rig rig;
static struct rig_stack handler, worker, spawner, other;

static const uint64_t cpu0[2] = {1}, cpu1[2] = {2}, cpus01[2] = {3}, cpus_high[2] = {0, 6};

#define SELF PINW_CALLS_SETAFFINITY

static void ready(void)
{
	rig_ready(&rig);
	RIG_STACK(&rig, &handler, "/lib/libpin.so!set_cpu", "/bin/app!LoginHandler", "/bin/app!main");
	RIG_STACK(&rig, &worker, "/lib/libpin.so!set_cpu", "/bin/app!worker_main");
	RIG_STACK(&rig, &spawner, "/bin/app!spawn_pool", "/bin/app!main");
	RIG_STACK(&rig, &other, "/bin/app!elsewhere");
}

static struct pinw_attempt attempt(const struct rig_stack *stack)
{
	return (struct pinw_attempt){
	    .calls = SELF,
	    .kind = PINW_KINDS_CPU,
	    .mask = cpu0,
	    .thread_name = "app",
	    .stack = stack ? &stack->match : NULL,
	    .now_ns = 1000000000,
	};
}

static uint16_t ban(struct pinw_rule rule)
{
	rule.section = PINW_SECTION_BAN;
	return rig_add(&rig, rule);
}

static uint16_t allow(struct pinw_rule rule)
{
	rule.section = PINW_SECTION_ALLOW;
	return rig_add(&rig, rule);
}

static uint16_t cap(enum pinw_cap which, uint64_t limit, const uint64_t *cpus)
{
	return rig_add(&rig, (struct pinw_rule){
	                         .section = PINW_SECTION_CAPS, .cap = which, .limit = limit, .cpus = cpus});
}

/* Judged, and taken back: what would rule speak? */
static uint16_t verdict_of(const struct pinw_attempt *a)
{
	struct pinw_verdict verdict;
	struct pinw_hold hold;

	pinw_policy_judge_pin(&rig.policy, &rig.state, a, &verdict, &hold);
	pinw_policy_cancel(&rig.state, &a->held, &hold);
	return verdict.rule ? verdict.rule->id : 0;
}

static uint64_t matched(uint16_t id)
{
	return rig.state.rules[id - 1].matched;
}

/* ---- predicates ----------------------------------------------------------------------------------- */

/* One ban, one attempt: does it hold? The attempt is by setaffinity, on CPU 0, of thread "app", on the handler's
 * stack, created by spawn_pool, at 1 s. */
static const struct predicate_case {
	const char *what;
	struct pinw_rule rule;
	bool holds;
} predicate_cases[] = {
    {"nothing asked for", {0}, true},
    {"a function of the stack", {.functions = GLOBS("*Handler")}, true},
    {"any of a list", {.functions = GLOBS("nobody", "main")}, true},
    {"a function not of the stack", {.functions = GLOBS("worker_*")}, false},
    {"the module of a frame", {.modules = GLOBS("libpin.so")}, true},
    {"function and module of different frames",
     {.functions = GLOBS("*Handler"), .modules = GLOBS("libpin.so")},
     false},
    {"the thread's name", {.thread_names = GLOBS("ap?")}, true},
    {"another name with the same initial", {.thread_names = GLOBS("apple")}, false},
    {"another name", {.thread_names = GLOBS("web", "db")}, false},
    {"the creator", {.created_by = GLOBS("spawn_*")}, true},
    {"a creator that is only on the pin's stack", {.created_by = GLOBS("*Handler")}, false},
    {"the call", {.calls = PINW_CALLS_SETAFFINITY | PINW_CALLS_ATTR}, true},
    {"another call", {.calls = PINW_CALLS_CROSS}, false},
    {"the kind", {.kinds = PINW_KINDS_CPU}, true},
    {"the other kind", {.kinds = PINW_KINDS_GO}, false},
    {"one of the banned CPUs", {.cpus = cpus01}, true},
    {"none of the banned CPUs", {.cpus = cpu1}, false},
    {"after the warm-up", {.after_ns = 1000000000}, true},
    {"during the warm-up", {.after_ns = 1000000001}, false},
    {"all of several",
     {.functions = GLOBS("LoginHandler"), .thread_names = GLOBS("app"), .calls = SELF, .cpus = cpu0},
     true},
    {"all but one of several",
     {.functions = GLOBS("LoginHandler"), .thread_names = GLOBS("web"), .calls = SELF},
     false},
};

Test(match_pins, a_ban_holds_when_all_its_predicates_do)
{
	for (size_t i = 0; i < sizeof(predicate_cases) / sizeof(predicate_cases[0]); i++) {
		const struct predicate_case *c = &predicate_cases[i];
		struct pinw_attempt a;

		memset(&rig, 0, sizeof(rig));
		ban(c->rule);
		ready();
		a = attempt(&handler);
		a.creator = &spawner.match;
		cr_expect_eq(verdict_of(&a), c->holds, "%s", c->what);
		cr_expect_eq(matched(1), c->holds, "%s", c->what);
	}
}

Test(match_pins, an_unknown_stack_satisfies_no_stack_predicate)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.functions = GLOBS("*")});
	ban((struct pinw_rule){.modules = GLOBS("*")});
	ban((struct pinw_rule){.created_by = GLOBS("*")});
	ready();
	a = attempt(NULL);
	cr_expect_eq(verdict_of(&a), 0);
	a.creator = &spawner.match;
	cr_expect_eq(verdict_of(&a), 3);
}

Test(match_pins, cpus_of_a_ban_need_only_be_touched)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.cpus = cpu1});
	ready();
	a = attempt(&other);
	cr_expect_eq(verdict_of(&a), 0);
	a.mask = cpus01;
	cr_expect_eq(verdict_of(&a), 1);
}

Test(match_pins, cpus_of_an_allow_must_hold_the_whole_mask)
{
	struct pinw_attempt a;

	allow((struct pinw_rule){.cpus = cpus01});
	ban((struct pinw_rule){0});
	ready();
	a = attempt(&other);
	cr_expect_eq(verdict_of(&a), 0);
	a.mask = cpus01;
	cr_expect_eq(verdict_of(&a), 0);
	a.mask = (const uint64_t[]){5, 0};
	cr_expect_eq(verdict_of(&a), 2);
	a.mask = (const uint64_t[]){1, 1};
	cr_expect_eq(verdict_of(&a), 2);
}

/* With a stack predicate, so that no quick test stands before the predicate itself. */
Test(match_pins, calls_and_kinds_are_looked_at_on_listed_rules_too)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.functions = GLOBS("main"), .kinds = PINW_KINDS_GO});
	ban((struct pinw_rule){.functions = GLOBS("main"), .calls = PINW_CALLS_CROSS});
	ready();
	a = attempt(&handler);
	cr_expect_eq(verdict_of(&a), 0);
	a.calls |= PINW_CALLS_CROSS;
	cr_expect_eq(verdict_of(&a), 2);
	a.kind = PINW_KINDS_GO;
	cr_expect_eq(verdict_of(&a), 1);
}

/* Every combination of what an attempt can be, against every rule of one word. */
Test(match_pins, no_quick_test_dismisses_a_rule_that_holds)
{
	for (uint32_t rule_calls = 0; rule_calls < 64; rule_calls++) {
		memset(&rig, 0, sizeof(rig));
		ban((struct pinw_rule){.calls = rule_calls});
		ready();
		for (uint32_t calls = 1; calls < 64; calls++) {
			struct pinw_attempt a = attempt(&other);

			a.calls = calls;
			cr_assert_eq(verdict_of(&a), !rule_calls || (rule_calls & calls), "%x on %x",
			             rule_calls, calls);
		}
	}
	for (int initial = 1; initial < 256; initial++) {
		const char name[2] = {(char)initial, 0};
		struct pinw_attempt a;

		memset(&rig, 0, sizeof(rig));
		ban((struct pinw_rule){.thread_names = GLOBS(name)});
		ready();
		a = attempt(&other);
		for (int other_initial = 0; other_initial < 256; other_initial++) {
			a.thread_name = (const char[]){(char)other_initial, 0};
			cr_assert_eq(verdict_of(&a), initial == '*' || (initial == '?' && other_initial) ||
			                                 initial == other_initial);
		}
	}
}

Test(match_pins, either_of_two_stacks_satisfies)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.functions = GLOBS("worker_main")});
	ban((struct pinw_rule){.functions = GLOBS("LoginHandler")});
	ready();
	a = attempt(&handler);
	cr_expect_eq(verdict_of(&a), 2);
	a.second = &worker.match;
	cr_expect_eq(verdict_of(&a), 1);
	a.stack = &other.match;
	cr_expect_eq(verdict_of(&a), 1);
	a.stack = NULL;
	cr_expect_eq(verdict_of(&a), 1);
}

/* ---- origins of pins ---------------------------------------------------------------------------------- */

/* A ban for each word of `call`, in one file: which is the first that speaks? */
Test(match_pins, each_origin_meets_the_rules_on_its_calls)
{
	static const struct {
		const char *what;
		uint32_t calls, kind;
		uint16_t rule;
	} cases[] = {
	    {"self, sched_setaffinity", PINW_CALLS_SETAFFINITY, PINW_KINDS_CPU, 1},
	    {"self, pthread_setaffinity_np", PINW_CALLS_PTHREAD_SETAFFINITY, PINW_KINDS_CPU, 2},
	    {"born", PINW_CALLS_ATTR, PINW_KINDS_CPU, 3},
	    {"cross, pthread_setaffinity_np", PINW_CALLS_PTHREAD_SETAFFINITY | PINW_CALLS_CROSS,
	     PINW_KINDS_CPU, 2},
	    {"cross alone", PINW_CALLS_CROSS, PINW_KINDS_CPU, 4},
	    {"inherited", PINW_CALLS_INHERIT, PINW_KINDS_CPU, 5},
	    {"Go lock", PINW_CALLS_GOLOCK, PINW_KINDS_GO, 6},
	    {"raw", PINW_CALLS_SETAFFINITY | PINW_CALLS_RAW, PINW_KINDS_CPU, 1},
	};

	for (uint32_t i = 0; i < 7; i++)
		ban((struct pinw_rule){.calls = 1u << i});
	ready();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pinw_attempt a = attempt(&other);

		a.calls = cases[i].calls;
		a.kind = cases[i].kind;
		if (a.kind == PINW_KINDS_GO)
			a.mask = NULL;
		cr_expect_eq(verdict_of(&a), cases[i].rule, "%s", cases[i].what);
	}
}

Test(match_pins, a_raw_call_is_meant_by_raw_and_by_setaffinity_and_no_other_call_by_raw)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.calls = PINW_CALLS_PTHREAD_SETAFFINITY});
	ban((struct pinw_rule){.calls = PINW_CALLS_RAW, .thread_names = GLOBS("w*")});
	ban((struct pinw_rule){.calls = PINW_CALLS_RAW | PINW_CALLS_CROSS});
	ban((struct pinw_rule){.calls = PINW_CALLS_SETAFFINITY});
	ready();
	a = attempt(&other);
	a.calls = PINW_CALLS_SETAFFINITY | PINW_CALLS_RAW;
	a.thread_name = "worker";
	cr_expect_eq(verdict_of(&a), 2);
	a.calls |= PINW_CALLS_CROSS;
	cr_expect_eq(verdict_of(&a), 2);
	a.thread_name = "other";
	cr_expect_eq(verdict_of(&a), 3);
	a.calls = PINW_CALLS_SETAFFINITY;
	cr_expect_eq(verdict_of(&a), 4);
	a.calls |= PINW_CALLS_CROSS;
	cr_expect_eq(verdict_of(&a), 3);
}

Test(match_pins, a_go_lock_has_no_cpus)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.cpus = cpus01});
	cap(PINW_CAP_RESERVE_CPUS, 0, cpus01);
	ban((struct pinw_rule){.kinds = PINW_KINDS_GO});
	ready();
	a = attempt(&other);
	a.calls = PINW_CALLS_GOLOCK;
	a.kind = PINW_KINDS_GO;
	a.mask = NULL;
	cr_expect_eq(verdict_of(&a), 3);
}

/* ---- precedence ---------------------------------------------------------------------------------------- */

Test(match_pins, allow_beats_ban_beats_caps_wherever_they_stand)
{
	struct pinw_attempt a;

	cap(PINW_CAP_MAX_PINNED, 0, NULL);
	ban((struct pinw_rule){.functions = GLOBS("*Handler", "worker_main")});
	allow((struct pinw_rule){.functions = GLOBS("worker_*")});
	ready();
	a = attempt(&other);
	cr_expect_eq(verdict_of(&a), 1, "no allow, no ban: the cap");
	a = attempt(&handler);
	cr_expect_eq(verdict_of(&a), 2, "a ban and a cap: the ban");
	a = attempt(&worker);
	cr_expect_eq(verdict_of(&a), 0, "an allow, a ban and a cap: allowed");
}

Test(match_pins, the_first_in_the_file_wins_with_or_without_a_stack_predicate)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.thread_names = GLOBS("web")});
	ban((struct pinw_rule){.functions = GLOBS("LoginHandler"), .action = PINW_ACTION_LOG});
	ban((struct pinw_rule){.thread_names = GLOBS("a*")});
	ban((struct pinw_rule){.functions = GLOBS("main")});
	ready();
	a = attempt(&handler);
	cr_expect_eq(verdict_of(&a), 2);
	a.thread_name = "web";
	cr_expect_eq(verdict_of(&a), 1);
	a = attempt(&spawner);
	cr_expect_eq(verdict_of(&a), 3);
	a.thread_name = "db";
	cr_expect_eq(verdict_of(&a), 4);
	cr_expect_eq(matched(4), 1, "rules behind the one that spoke are not asked");
}

Test(match_pins, the_first_cap_of_the_file_speaks)
{
	struct pinw_attempt a;

	cap(PINW_CAP_RESERVE_CPUS, 0, cpu1);
	cap(PINW_CAP_MAX_PINNED_PER_CPU, 0, NULL);
	cap(PINW_CAP_MAX_PINNED, 0, NULL);
	ready();
	a = attempt(&other);
	cr_expect_eq(verdict_of(&a), 2);
	a.mask = cpu1;
	cr_expect_eq(verdict_of(&a), 1);
	cr_expect_eq(matched(3), 2, "a passed limit is counted, spoken or not");
}

Test(match_pins, a_verdict_names_rule_action_and_numbers)
{
	struct pinw_verdict verdict;
	struct pinw_hold hold;
	struct pinw_attempt a;

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_CAPS,
	                                 .cap = PINW_CAP_MAX_PINNED,
	                                 .limit = 1,
	                                 .action = PINW_ACTION_CRASH,
	                                 .error = EPERM});
	ready();
	a = attempt(&other);
	rig_pin(&rig, &a, 0);
	pinw_policy_judge_pin(&rig.policy, &rig.state, &a, &verdict, &hold);
	cr_expect_eq(verdict.rule, &rig.rules[0]);
	cr_expect_eq(verdict.action, PINW_ACTION_CRASH);
	cr_expect_eq(verdict.value, 2);
	cr_expect_eq(verdict.limit, 1);
}

/* ---- allow with max -------------------------------------------------------------------------------------- */

Test(match_pins, an_allow_grants_as_many_as_its_max)
{
	struct pinw_hold first;
	struct pinw_attempt a;

	allow((struct pinw_rule){.functions = GLOBS("worker_main"), .limit = 1});
	allow((struct pinw_rule){.functions = GLOBS("worker_main"), .limit = 1});
	ban((struct pinw_rule){0});
	ready();
	a = attempt(&worker);
	first = rig_pin(&rig, &a, 0);
	cr_expect_eq(first.allow, 1);
	cr_expect_eq(rig_pin(&rig, &a, 0).allow, 2, "the next allow");
	cr_expect_eq(rig_pin(&rig, &a, 3).allow, 0, "then the bans");
	cr_expect_eq(matched(1), 3, "full or not, its predicates held");
	pinw_policy_rehold(&rig.policy, &rig.state, &first, NULL);
	cr_expect_eq(rig_pin(&rig, &a, 0).allow, 1, "a place given back is free again");
}

Test(match_pins, a_granted_thread_pins_itself_again_in_its_own_place)
{
	struct pinw_attempt a;

	allow((struct pinw_rule){.functions = GLOBS("worker_main"), .limit = 1});
	ban((struct pinw_rule){0});
	ready();
	a = attempt(&worker);
	a.held = rig_pin(&rig, &a, 0);
	for (unsigned i = 0; i < 5; i++) {
		a.mask = i % 2 ? cpu0 : cpu1;
		a.held = rig_pin(&rig, &a, 0);
	}
	cr_expect_eq(a.held.allow, 1);
	cr_expect_eq(rig.state.rules[0].open, 1);
}

Test(match_pins, a_pin_granted_anew_by_nobody_gives_its_place_back)
{
	struct pinw_attempt a;

	allow((struct pinw_rule){.functions = GLOBS("worker_main"), .limit = 1});
	ready();
	a = attempt(&worker);
	a.held = rig_pin(&rig, &a, 0);
	a.stack = &other.match;
	cr_expect_eq(rig_pin(&rig, &a, 0).allow, 0);
	cr_expect_eq(rig.state.rules[0].open, 0);
	cr_expect_eq(rig.state.pinned, 1);
}

/* ---- detectors in bans ------------------------------------------------------------------------------------ */

#define SECOND UINT64_C(1000000000)

Test(match_pins, a_site_rate_fires_on_the_event_beyond_its_count)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.functions = GLOBS("*Handler"), .rate = {3, SECOND}});
	ready();
	a = attempt(&handler);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(verdict_of(&a), 0);
	cr_expect_eq(verdict_of(&a), 1);
	cr_expect_eq(verdict_of(&a), 1);
	a.now_ns += SECOND + 100000;
	cr_expect_eq(verdict_of(&a), 0, "a new window");
	cr_expect_eq(matched(1), 6);
}

Test(match_pins, a_site_rate_counts_each_site_for_itself)
{
	struct pinw_attempt a, b;

	ban((struct pinw_rule){.rate = {2, SECOND}});
	ready();
	a = attempt(&handler);
	b = attempt(&worker);
	for (unsigned i = 0; i < 2; i++) {
		cr_expect_eq(verdict_of(&a), 0);
		cr_expect_eq(verdict_of(&b), 0);
	}
	cr_expect_eq(verdict_of(&a), 1);
	cr_expect_eq(verdict_of(&b), 1);
	a.stack = NULL;
	cr_expect_eq(verdict_of(&a), 0, "an unknown site has no rate");
}

Test(match_pins, each_rate_of_a_site_has_its_own_window)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.functions = GLOBS("main"), .rate = {3, SECOND}});
	ban((struct pinw_rule){.functions = GLOBS("main"), .rate = {1, SECOND}});
	ready();
	a = attempt(&handler);
	cr_expect_eq(verdict_of(&a), 0);
	cr_expect_eq(verdict_of(&a), 2);
	cr_expect_eq(verdict_of(&a), 2);
	cr_expect_eq(verdict_of(&a), 1);
}

Test(match_pins, a_churn_ban_speaks_only_while_tripped)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.churn = {1, SECOND}, .short_lived_ns = SECOND});
	ready();
	a = attempt(&handler);
	cr_expect_eq(verdict_of(&a), 0);
	rig.state.rules[0].churn_until_ns = 3 * SECOND;
	cr_expect_eq(verdict_of(&a), 1);
	a.now_ns = 3 * SECOND - 1;
	cr_expect_eq(verdict_of(&a), 1);
	a.now_ns = 3 * SECOND;
	cr_expect_eq(verdict_of(&a), 0);
}

Test(match_pins, a_ban_with_both_detectors_speaks_for_either)
{
	struct pinw_attempt a;

	ban((struct pinw_rule){.rate = {1, SECOND}, .churn = {1, SECOND}, .short_lived_ns = SECOND});
	ready();
	a = attempt(&handler);
	cr_expect_eq(verdict_of(&a), 0);
	cr_expect_eq(verdict_of(&a), 1, "the rate");
	a = attempt(&worker);
	cr_expect_eq(verdict_of(&a), 0);
	rig.state.rules[0].churn_until_ns = 2 * SECOND;
	a = attempt(&other);
	cr_expect_eq(verdict_of(&a), 1, "the churn");
	a.stack = NULL;
	cr_expect_eq(verdict_of(&a), 1, "the churn, at an unknown site");
}

/* ---- pin_width ---------------------------------------------------------------------------------------------- */

Test(match_pins, only_masks_as_narrow_as_pin_width_count)
{
	rig_ready(&rig);
	cr_expect(pinw_policy_counts(&rig.policy, cpus_high));
	rig.policy.pin_width = 1;
	cr_expect(pinw_policy_counts(&rig.policy, cpu0));
	cr_expect_not(pinw_policy_counts(&rig.policy, cpus_high));
	rig.policy.pin_width = 2;
	cr_expect(pinw_policy_counts(&rig.policy, cpus_high));
}

/* ---- many rules ------------------------------------------------------------------------------------------------ */

Test(match_pins, sixty_rules_that_do_not_match_leave_no_trace)
{
	struct pinw_rule by_name = {.thread_names = GLOBS("web")};
	struct pinw_rule by_function = {.functions = GLOBS("nobody")};
	struct pinw_rule by_creator = {.created_by = GLOBS("nobody"), .calls = PINW_CALLS_ATTR};
	struct pinw_attempt a;

	for (unsigned i = 0; i < 20; i++) {
		ban(by_name);
		ban(by_function);
		allow(by_creator);
	}
	ready();
	a = attempt(&handler);
	cr_expect_eq(verdict_of(&a), 0);
	for (uint16_t id = 1; id <= 60; id++)
		cr_expect_eq(matched(id), 0);
	cr_expect_eq(rig.state.pinned, 0);
}
