/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/policy_rig.h"

#define SECOND UINT64_C(1000000000)

static struct policy_rig rig;
static struct rig_stack pin, creator, start, other;

static const uint64_t cpu0[2] = {1}, cpu1[2] = {2}, cpus01[2] = {3}, four[2] = {0xf};

static void ready(void)
{
	rig_ready(&rig);
	RIG_STACK(&rig, &pin, "/lib/libpin.so!set_cpu", "/bin/app!worker_step");
	RIG_STACK(&rig, &creator, "/bin/app!spawn_pool", "/bin/app!main");
	RIG_STACK(&rig, &start, "/bin/app!worker_main");
	RIG_STACK(&rig, &other, "/bin/app!elsewhere");
}

/* A worker of ten seconds' age, pinned to CPU 0. */
static struct pinw_thread_facts worker(void)
{
	return (struct pinw_thread_facts){.thread_name = "worker",
	                                  .creator = &creator.match,
	                                  .start = &start.match,
	                                  .pin = &pin.match,
	                                  .mask = cpu0,
	                                  .now_ns = 20 * SECOND,
	                                  .started_ns = 10 * SECOND,
	                                  .has_pinned = true};
}

/* ---- require ------------------------------------------------------------------------------------- */

static bool broken(const struct pinw_thread_facts *facts)
{
	struct pinw_verdict verdict;

	pinw_policy_judge_require(&rig.policy, &rig.state, 1, facts, &verdict);
	cr_expect_eq(verdict.rule, verdict.action ? &rig.rules[0] : NULL);
	return verdict.action != PINW_ACTION_NONE;
}

static void require(struct pinw_rule rule)
{
	rule.section = PINW_SECTION_REQUIRE;
	rule.action = PINW_ACTION_LOG;
	memset(&rig, 0, sizeof(rig));
	rig_add(&rig, rule);
	ready();
}

Test(match_leaks, a_required_pin_must_be_there_and_on_the_cpus)
{
	static const struct {
		const char *what;
		const uint64_t *cpus, *mask;
		bool pinned; /* what the rule wants */
		bool ended, has_pinned, broken;
	} cases[] = {
	    {"pinned", NULL, cpu0, true, false, true, false},
	    {"not pinned", NULL, NULL, true, false, false, true},
	    {"no longer pinned", NULL, NULL, true, false, true, true},
	    {"released before its end", NULL, NULL, true, true, true, false},
	    {"ended without ever a pin", NULL, NULL, true, true, false, true},
	    {"pinned to these CPUs", cpus01, cpu0, true, false, true, false},
	    {"pinned to more than these", cpus01, four, true, false, true, true},
	    {"pinned elsewhere", cpu1, cpu0, true, false, true, true},
	    {"ended on the wrong CPU", cpu1, cpu0, true, true, true, true},
	    {"must not be pinned and is not", NULL, NULL, false, false, false, false},
	    {"must not be pinned and is", NULL, cpu0, false, false, true, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pinw_thread_facts facts;

		require((struct pinw_rule){.pinned = cases[i].pinned, .cpus = cases[i].cpus});
		facts = worker();
		facts.mask = cases[i].mask;
		facts.ended = cases[i].ended;
		facts.has_pinned = cases[i].has_pinned;
		cr_expect_eq(broken(&facts), cases[i].broken, "%s", cases[i].what);
		cr_expect_eq(rig.state.rules[0].matched, 1, "%s", cases[i].what);
	}
}

Test(match_leaks, a_requirement_speaks_of_threads_by_name_function_and_creator)
{
	const struct {
		const char *what;
		struct pinw_rule rule;
		bool subject;
	} cases[] = {
	    {"by name", {.thread_names = GLOBS("work*")}, true},
	    {"another name", {.thread_names = GLOBS("db")}, false},
	    {"by start routine", {.functions = GLOBS("worker_main")}, true},
	    {"by a function that created it", {.functions = GLOBS("spawn_pool")}, true},
	    {"by a function that only pinned it", {.functions = GLOBS("worker_step")}, false},
	    {"by creator", {.created_by = GLOBS("main")}, true},
	    {"by a start routine as creator", {.created_by = GLOBS("worker_main")}, false},
	    {"name and function", {.thread_names = GLOBS("worker"), .functions = GLOBS("nobody")}, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pinw_rule rule = cases[i].rule;
		struct pinw_thread_facts facts;

		rule.pinned = true;
		require(rule);
		facts = worker();
		facts.mask = NULL;
		cr_expect_eq(broken(&facts), cases[i].subject, "%s", cases[i].what);
		cr_expect_eq(rig.state.rules[0].matched, cases[i].subject, "%s", cases[i].what);
	}
}

Test(match_leaks, a_requirement_waits_for_its_time)
{
	struct pinw_thread_facts facts;

	require((struct pinw_rule){.pinned = true, .within_ns = 5 * SECOND});
	facts = worker();
	facts.mask = NULL;
	facts.has_pinned = false;
	facts.now_ns = 15 * SECOND - 1;
	cr_expect_not(broken(&facts), "not yet");
	facts.ended = true;
	cr_expect_not(broken(&facts), "never");
	facts.now_ns = 15 * SECOND;
	cr_expect(broken(&facts));
	facts.ended = false;
	cr_expect(broken(&facts));
}

Test(match_leaks, a_pin_wider_than_pin_width_fulfils_nothing)
{
	struct pinw_thread_facts facts;

	require((struct pinw_rule){.pinned = true});
	rig.policy.pin_width = 1;
	facts = worker();
	cr_expect_not(broken(&facts));
	facts.mask = four;
	cr_expect(broken(&facts));
	facts.ended = true;
	cr_expect(broken(&facts));
}

Test(match_leaks, only_requirements_are_judged_as_such)
{
	struct pinw_thread_facts facts;

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_BAN, .pinned = true});
	ready();
	facts = worker();
	facts.mask = NULL;
	cr_expect_not(broken(&facts));
}

/* ---- declared workers ------------------------------------------------------------------------------- */

Test(match_leaks, an_allow_or_a_required_pin_declares_a_worker)
{
	const struct {
		const char *what;
		struct pinw_rule rule;
		bool declared;
	} cases[] = {
	    {"an allow by function", {.section = PINW_SECTION_ALLOW, .functions = GLOBS("set_cpu")}, true},
	    {"an allow by another", {.section = PINW_SECTION_ALLOW, .functions = GLOBS("spawn_pool")}, false},
	    {"an allow by name", {.section = PINW_SECTION_ALLOW, .thread_names = GLOBS("worker")}, true},
	    {"an allow by creator", {.section = PINW_SECTION_ALLOW, .created_by = GLOBS("spawn_pool")}, true},
	    {"an allow of these CPUs", {.section = PINW_SECTION_ALLOW, .cpus = cpus01}, true},
	    {"an allow of others", {.section = PINW_SECTION_ALLOW, .cpus = cpu1}, false},
	    {"an allow that sleeps", {.section = PINW_SECTION_ALLOW, .after_ns = 30 * SECOND}, false},
	    {"a required pin",
	     {.section = PINW_SECTION_REQUIRE, .thread_names = GLOBS("worker"), .pinned = true},
	     true},
	    {"a required pin elsewhere",
	     {.section = PINW_SECTION_REQUIRE, .cpus = cpu1, .pinned = true},
	     false},
	    {"required not to be pinned",
	     {.section = PINW_SECTION_REQUIRE, .thread_names = GLOBS("worker")},
	     false},
	    {"a ban", {.section = PINW_SECTION_BAN}, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pinw_rule *suppressed;
		struct pinw_thread_facts facts;
		struct pinw_verdict verdict;

		memset(&rig, 0, sizeof(rig));
		rig_add(&rig, cases[i].rule);
		rig_add(&rig,
		        (struct pinw_rule){.section = PINW_SECTION_LEAK, .leak = PINW_PLEAK_PINNED_AT_END});
		ready();
		facts = worker();
		cr_expect_eq(pinw_policy_is_declared(&rig.policy, &facts), cases[i].declared, "%s",
		             cases[i].what);
		pinw_policy_judge_leak(&rig.policy, &rig.state, PINW_PLEAK_PINNED_AT_END, &facts, &verdict,
		                       &suppressed);
		cr_expect_eq(verdict.rule == NULL, cases[i].declared, "%s", cases[i].what);
	}
}

Test(match_leaks, a_declared_worker_must_still_release_its_pin_before_it_ends)
{
	const struct pinw_rule *suppressed;
	struct pinw_thread_facts facts;
	struct pinw_verdict verdict;

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_ALLOW});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_LEAK, .leak = PINW_PLEAK_EXIT_WHILE_PINNED});
	ready();
	facts = worker();
	facts.ended = true;
	pinw_policy_judge_leak(&rig.policy, &rig.state, PINW_PLEAK_EXIT_WHILE_PINNED, &facts, &verdict,
	                       &suppressed);
	cr_expect_eq(verdict.rule, &rig.rules[1]);
}

/* Each kind alone, either, and what a lock can say of CPUs. */
Test(match_leaks, a_go_lock_fulfils_what_asks_for_no_cpus)
{
	static const struct {
		const char *what;
		uint32_t kinds;
		const uint64_t *cpus, *mask;
		bool pinned; /* what the rule wants */
		bool locked, has_locked, ended, broken;
	} cases[] = {
	    {"locked", 0, NULL, NULL, true, true, true, false, false},
	    {"locked, go wanted", PINW_KINDS_GO, NULL, NULL, true, true, true, false, false},
	    {"locked, cpu wanted", PINW_KINDS_CPU, NULL, NULL, true, true, true, false, true},
	    {"locked, CPUs wanted", 0, cpus01, NULL, true, true, true, false, true},
	    {"pinned, go wanted", PINW_KINDS_GO, NULL, cpu0, true, false, false, false, true},
	    {"unlocked", 0, NULL, NULL, true, false, true, false, true},
	    {"unlocked before its end", 0, NULL, NULL, true, false, true, true, false},
	    {"unlocked before its end, cpu wanted", PINW_KINDS_CPU, NULL, NULL, true, false, true, true,
	     true},
	    {"must not be pinned and is locked", 0, NULL, NULL, false, true, true, false, true},
	    {"must not be locked and is", PINW_KINDS_GO, NULL, NULL, false, true, true, false, true},
	    {"must not be locked and is pinned", PINW_KINDS_GO, NULL, cpu0, false, false, false, false,
	     false},
	    {"must not be pinned to CPUs and is locked", PINW_KINDS_CPU, NULL, NULL, false, true, true, false,
	     false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		require((struct pinw_rule){.thread_names = GLOBS("worker"),
		                           .kinds = cases[i].kinds,
		                           .cpus = cases[i].cpus,
		                           .pinned = cases[i].pinned});
		struct pinw_thread_facts facts = worker();
		facts.mask = cases[i].mask;
		facts.has_pinned = cases[i].mask != NULL;
		facts.is_golocked = cases[i].locked;
		facts.has_golocked = cases[i].has_locked;
		facts.ended = cases[i].ended;
		cr_expect_eq(broken(&facts), cases[i].broken, "%s", cases[i].what);
	}
}

/* ---- leaks ----------------------------------------------------------------------------------------------- */

/* Which rule speaks about this leak; *ret_suppressed: which suppressed it. 0 = none. */
static uint16_t leak(enum pinw_policy_leak kind, const struct pinw_thread_facts *facts,
                     uint16_t *ret_suppressed)
{
	const struct pinw_rule *suppressed = &rig.rules[RIG_RULES_MAX - 1];
	struct pinw_verdict verdict;

	pinw_policy_judge_leak(&rig.policy, &rig.state, kind, facts, &verdict, &suppressed);
	*ret_suppressed = suppressed ? suppressed->id : 0;
	return verdict.rule ? verdict.rule->id : 0;
}

Test(match_leaks, each_kind_has_its_own_key)
{
	uint16_t suppressed;
	struct pinw_thread_facts facts;

	for (unsigned kind = 0; kind < PINW_PLEAKS; kind++)
		rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_LEAK,
		                                 .leak = (uint8_t)kind,
		                                 .action = kind % 2 ? PINW_ACTION_LOG : PINW_ACTION_CRASH});
	ready();
	facts = worker();
	for (unsigned kind = 0; kind < PINW_PLEAKS; kind++) {
		cr_expect_eq(leak(kind, &facts, &suppressed), kind + 1);
		cr_expect_eq(suppressed, 0);
		cr_expect_eq(rig.state.rules[kind].matched, 1);
	}
	rig.policy.leaks[PINW_PLEAK_INHERITED] = 0;
	cr_expect_eq(leak(PINW_PLEAK_INHERITED, &facts, &suppressed), 0, "not asked for");
}

/* A lock's leak is judged by the lock's stack, whatever the mask of its thread; and rules about the other kind are silent. */
Test(match_leaks, a_leaked_go_lock_is_judged_by_its_own_stack)
{
	uint16_t suppressed;
	struct pinw_thread_facts facts;

	rig.policy.pin_width = 1;
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_LEAK,
	                                 .leak = PINW_PLEAK_PINNED_AT_END,
	                                 .action = PINW_ACTION_LOG});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_SUPPRESS, .functions = GLOBS("elsewhere")});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_ALLOW,
	                                 .kinds = PINW_KINDS_CPU,
	                                 .thread_names = GLOBS("worker")});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_REQUIRE,
	                                 .pinned = true,
	                                 .cpus = cpus01,
	                                 .thread_names = GLOBS("worker")});
	ready();
	facts = worker();
	facts.is_golocked = facts.has_golocked = true;
	facts.golock = &start.match;
	cr_expect_eq(leak(PINW_PLEAK_PINNED_AT_END, &facts, &suppressed), 0, "the pin is declared");
	facts.leaked = PINW_KINDS_GO;
	facts.mask = four;
	cr_expect_eq(leak(PINW_PLEAK_PINNED_AT_END, &facts, &suppressed), 1);
	cr_expect_eq(suppressed, 0);
	facts.golock = &other.match;
	cr_expect_eq(leak(PINW_PLEAK_PINNED_AT_END, &facts, &suppressed), 0);
	cr_expect_eq(suppressed, 2);
	rig.rules[2].kinds = PINW_KINDS_GO;
	facts.golock = &start.match;
	cr_expect_eq(leak(PINW_PLEAK_PINNED_AT_END, &facts, &suppressed), 0, "the lock is declared");
	cr_expect_eq(suppressed, 0);
}

Test(match_leaks, masks_that_do_not_count_leak_no_pin)
{
	uint16_t suppressed;
	struct pinw_thread_facts facts;

	for (unsigned kind = 0; kind < PINW_PLEAKS; kind++)
		rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_LEAK, .leak = (uint8_t)kind});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_SUPPRESS});
	rig.rules[PINW_PLEAKS].expired = true;
	ready();
	rig.policy.pin_width = 1;
	facts = worker();
	facts.mask = four;
	cr_expect_eq(leak(PINW_PLEAK_EXIT_WHILE_PINNED, &facts, &suppressed), 0);
	cr_expect_eq(leak(PINW_PLEAK_PINNED_IDLE, &facts, &suppressed), 0);
	cr_expect_eq(leak(PINW_PLEAK_PINNED_AT_END, &facts, &suppressed), 0);
	cr_expect_eq(leak(PINW_PLEAK_INHERITED, &facts, &suppressed), 0);
	cr_expect_eq(leak(PINW_PLEAK_UNJOINED, &facts, &suppressed), 1 + PINW_PLEAK_UNJOINED);
	facts.mask = cpu0;
	cr_expect_eq(leak(PINW_PLEAK_INHERITED, &facts, &suppressed), 1 + PINW_PLEAK_INHERITED);
}

#define EXIT PINW_PLEAK_EXIT_WHILE_PINNED

/* One suppression and one leak of the worker's. */
static const struct {
	const char *what;
	struct pinw_rule rule;
	enum pinw_policy_leak kind;
	bool suppresses;
} suppressions[] = {
    {"everything", {0}, EXIT, true},
    {"this kind", {.leaks = 1u << EXIT | 1u << PINW_PLEAK_GROWTH}, EXIT, true},
    {"another kind", {.leaks = 1u << PINW_PLEAK_UNJOINED}, EXIT, false},
    {"everything, but expired", {.expired = true}, EXIT, false},
    {"by name", {.thread_names = GLOBS("worker")}, EXIT, true},
    {"by another name", {.thread_names = GLOBS("db")}, EXIT, false},
    {"by creator", {.created_by = GLOBS("spawn_pool")}, EXIT, true},
    {"by what only pinned it as creator", {.created_by = GLOBS("set_cpu")}, EXIT, false},
    {"by a function that pinned it", {.functions = GLOBS("worker_step")}, EXIT, true},
    {"by the pin's module", {.modules = GLOBS("libpin.so")}, EXIT, true},
    {"by a function that created it", {.functions = GLOBS("spawn_pool")}, EXIT, false},
    {"by a function that created it, no pin's leak",
     {.functions = GLOBS("spawn_pool")},
     PINW_PLEAK_UNJOINED,
     true},
    {"by a function that pinned it, no pin's leak",
     {.functions = GLOBS("worker_step")},
     PINW_PLEAK_UNJOINED,
     false},
    {"by a function that created it, inherited",
     {.functions = GLOBS("spawn_pool")},
     PINW_PLEAK_INHERITED,
     true},
    {"by a function that pinned it, inherited",
     {.functions = GLOBS("worker_step")},
     PINW_PLEAK_INHERITED,
     true},
    {"all given predicates",
     {.leaks = 1u << EXIT,
      .functions = GLOBS("worker_*"),
      .thread_names = GLOBS("worker"),
      .created_by = GLOBS("main")},
     EXIT,
     true},
    {"all but one",
     {.leaks = 1u << EXIT, .functions = GLOBS("worker_*"), .created_by = GLOBS("nobody")},
     EXIT,
     false},
};

Test(match_leaks, suppressions_match_kind_stack_name_and_creator)
{
	for (size_t i = 0; i < sizeof(suppressions) / sizeof(suppressions[0]); i++) {
		struct pinw_rule rule = suppressions[i].rule;
		struct pinw_thread_facts facts;
		uint16_t by, suppressed;
		bool expected = suppressions[i].suppresses;

		memset(&rig, 0, sizeof(rig));
		rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_LEAK,
		                                 .leak = (uint8_t)suppressions[i].kind});
		rule.section = PINW_SECTION_SUPPRESS;
		rig_add(&rig, rule);
		ready();
		facts = worker();
		by = leak(suppressions[i].kind, &facts, &suppressed);
		cr_expect_eq(by, expected ? 0 : 1, "%s", suppressions[i].what);
		cr_expect_eq(suppressed, expected ? 2 : 0, "%s", suppressions[i].what);
		cr_expect_eq(rig.state.rules[1].matched, expected, "%s", suppressions[i].what);
		cr_expect_eq(rig.state.rules[0].matched, !expected, "%s", suppressions[i].what);
	}
}

Test(match_leaks, a_leak_with_no_known_pin_stack_is_suppressed_by_its_creation)
{
	uint16_t suppressed;
	struct pinw_thread_facts facts;

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_SUPPRESS, .functions = GLOBS("spawn_pool")});
	ready();
	facts = worker();
	leak(EXIT, &facts, &suppressed);
	cr_expect_eq(suppressed, 0);
	facts.pin = NULL;
	leak(EXIT, &facts, &suppressed);
	cr_expect_eq(suppressed, 1, "suppressions count without a [leak] rule too");
	facts.creator = NULL;
	leak(EXIT, &facts, &suppressed);
	cr_expect_eq(suppressed, 0);
}

Test(match_leaks, the_first_suppression_of_the_file_is_the_one_counted)
{
	uint16_t suppressed;
	struct pinw_thread_facts facts;

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_SUPPRESS, .thread_names = GLOBS("w*")});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_SUPPRESS});
	ready();
	facts = worker();
	leak(EXIT, &facts, &suppressed);
	cr_expect_eq(suppressed, 1);
	facts.thread_name = "";
	leak(EXIT, &facts, &suppressed);
	cr_expect_eq(suppressed, 2);
}
