/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/policy_rig.h"

static struct policy_rig rig;

/* Which of two rules, made of these predicates, does one frame satisfy? */
static void frame(const char *module, const char *const *names, unsigned count, uint16_t *ret_rules,
                  unsigned *ret_count)
{
	uint16_t creators[RIG_RULES_MAX];
	unsigned creator_count;

	pinw_policy_frame(&rig.policy, module, names, count, ret_rules, ret_count, creators, &creator_count);
}

Test(match_frames, a_module_is_its_path_or_the_last_component)
{
	static const struct {
		const char *glob, *module;
		bool satisfied;
	} cases[] = {
	    {"libfoo.so*", "/usr/lib/libfoo.so.1", true},
	    {"/usr/lib/*", "/usr/lib/libfoo.so.1", true},
	    {"libfoo.so", "/usr/lib/libfoo.so.1", false},
	    {"lib", "/usr/lib/libfoo.so.1", false},
	    {"*", "/usr/lib/libfoo.so.1", true},
	    {"*", NULL, false},
	    {"app", "app", true},
	    {"[vdso]", "[vdso]", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint16_t rules[RIG_RULES_MAX];
		unsigned count;

		memset(&rig, 0, sizeof(rig));
		rig_add(&rig,
		        (struct pinw_rule){.section = PINW_SECTION_BAN, .modules = GLOBS(cases[i].glob)});
		rig_ready(&rig);
		frame(cases[i].module, NULL, 0, rules, &count);
		cr_expect_eq(count, cases[i].satisfied, "%s on %s", cases[i].glob, cases[i].module);
	}
}

Test(match_frames, any_spelling_of_the_function_will_do)
{
	static const char *const names[] = {"_ZN4Http6handleEi", "Http::handle(int)", "Http::handle"};
	uint16_t rules[RIG_RULES_MAX];
	unsigned count;

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_BAN, .functions = GLOBS("Http::handle")});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_BAN, .functions = GLOBS("x", "*(int)")});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_BAN, .functions = GLOBS("handle")});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_SUPPRESS, .functions = GLOBS("_ZN4Http*")});
	rig_ready(&rig);
	frame("/bin/app", names, 3, rules, &count);
	cr_assert_eq(count, 3);
	cr_expect(rules[0] == 1 && rules[1] == 2 && rules[2] == 4);
	frame("/bin/app", NULL, 0, rules, &count);
	cr_expect_eq(count, 0);
}

Test(match_frames, function_and_module_are_of_one_frame)
{
	struct rig_stack stack;

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_BAN,
	                                 .functions = GLOBS("pin_*"),
	                                 .modules = GLOBS("libweb.so")});
	rig_ready(&rig);
	RIG_STACK(&rig, &stack, "/lib/libweb.so!pin_me", "/bin/app!main");
	cr_expect_eq(stack.match.rule_count, 1);
	RIG_STACK(&rig, &stack, "/bin/app!pin_me", "/lib/libweb.so!serve");
	cr_expect_eq(stack.match.rule_count, 0);
}

Test(match_frames, creators_are_listed_apart)
{
	struct rig_stack stack;

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_BAN, .created_by = GLOBS("spawn*")});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_BAN,
	                                 .functions = GLOBS("spawn_all"),
	                                 .created_by = GLOBS("main")});
	rig_ready(&rig);
	RIG_STACK(&rig, &stack, "a!spawn_all");
	cr_assert_eq(stack.match.rule_count, 1);
	cr_expect_eq(stack.match.rules[0], 2);
	cr_assert_eq(stack.match.creator_count, 1);
	cr_expect_eq(stack.match.creators[0], 1);
}

Test(match_frames, merging_keeps_order_and_no_repeats)
{
	static const struct {
		uint16_t set[8], more[4], want[8];
		unsigned count, more_count, want_count;
	} cases[] = {
	    {{0}, {0}, {0}, 0, 0, 0},
	    {{0}, {3, 5}, {3, 5}, 0, 2, 2},
	    {{1, 9}, {3, 5}, {1, 3, 5, 9}, 2, 2, 4},
	    {{1, 3, 9}, {1, 3, 9}, {1, 3, 9}, 3, 3, 3},
	    {{4}, {1, 4, 8}, {1, 4, 8}, 1, 3, 3},
	    {{1, 2, 3}, {0}, {1, 2, 3}, 3, 0, 3},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint16_t set[8];
		unsigned count;

		memcpy(set, cases[i].set, sizeof(set));
		count = pinw_policy_merge(set, cases[i].count, cases[i].more, cases[i].more_count);
		cr_assert_eq(count, cases[i].want_count, "case %zu", i);
		cr_expect_arr_eq(set, cases[i].want, count * sizeof(set[0]), "case %zu", i);
	}
}

Test(match_frames, every_stack_keeps_a_window_for_rates_that_ask_for_no_function)
{
	struct rig_stack stack;
	uint16_t set[RIG_RULES_MAX];

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_BAN, .functions = GLOBS("f")});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_BAN, .rate = {10, 1000000000}});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_CAPS,
	                                 .cap = PINW_CAP_THREAD_RATE,
	                                 .rate = {10, 1000000000}});
	rig_ready(&rig);
	cr_assert_eq(pinw_policy_stack_always(&rig.policy, set, 0), 1);
	cr_expect_eq(set[0], 2);
	RIG_STACK(&rig, &stack, "a!f");
	cr_assert_eq(stack.match.rule_count, 2);
	cr_expect_eq(stack.match.rules[0], 1);
	cr_expect_eq(stack.match.rules[1], 2);
	cr_expect_not(pinw_policy_keeps_windows(&rig.policy, stack.rules, 1));
	cr_expect(pinw_policy_keeps_windows(&rig.policy, stack.rules, 2));
}

Test(match_frames, the_index_fits_the_promised_memory_and_refuses_less)
{
	static char bytes[1 << 16];
	struct pinw_policy_memory memory = {bytes + 3, 0, 0};
	struct pinw_policy_index before;
	/* In as many lists as a rule can be. */
	struct pinw_rule rule = {
	    .section = PINW_SECTION_BAN, .created_by = GLOBS("f"), .churn = {10, 1000000000}};

	for (unsigned i = 0; i < RIG_RULES_MAX; i++)
		rig_add(&rig, rule);
	rig_ready(&rig);
	memory.size = pinw_policy_index_bytes(RIG_RULES_MAX);
	cr_expect_eq(pinw_policy_index(&rig.policy, &memory), 0);
	cr_expect_eq(rig.policy.index.churns.count, RIG_RULES_MAX);
	cr_expect_eq(rig.policy.index.created.count, RIG_RULES_MAX);
	cr_expect_eq(rig.policy.index.loose_ban_count, RIG_RULES_MAX);
	before = rig.policy.index;
	memory = (struct pinw_policy_memory){bytes, 100, 0};
	cr_expect_eq(pinw_policy_index(&rig.policy, &memory), -ENOMEM);
	cr_expect_eq(memory.used, 0);
	cr_expect_arr_eq(&rig.policy.index, &before, sizeof(before));
}
