/* SPDX-License-Identifier: MIT */
#include "tests/policy_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint16_t rig_add(struct policy_rig *rig, struct pinw_rule rule)
{
	cr_assert_lt(rig->policy.rule_count, RIG_RULES_MAX);
	rule.id = (uint16_t)(rig->policy.rule_count + 1);
	rule.line = rule.id;
	if (!rule.action && rule.section != PINW_SECTION_ALLOW && rule.section != PINW_SECTION_SUPPRESS)
		rule.action = PINW_ACTION_DENY;
	if (rule.section == PINW_SECTION_CAPS)
		(rule.is_warning ? rig->policy.warns : rig->policy.caps)[rule.cap] = rule.id;
	if (rule.section == PINW_SECTION_LEAK)
		rig->policy.leaks[rule.leak] = rule.id;
	rig->rules[rig->policy.rule_count++] = rule;
	return rule.id;
}

void rig_ready(struct policy_rig *rig)
{
	struct pinw_policy_memory memory = {rig->memory, sizeof(rig->memory), 0};

	rig->policy.rules = rig->rules;
	rig->policy.mask_words = RIG_CPUS / 64;
	cr_assert_eq(pinw_policy_index(&rig->policy, &memory), 0);
	cr_assert_leq(memory.used, pinw_policy_index_bytes(rig->policy.rule_count));
	cr_assert_leq(pinw_policy_state_bytes(&rig->policy), sizeof(rig->counters));
	memset(rig->counters, 0, sizeof(rig->counters));
	pinw_policy_state_init(&rig->state, &rig->policy, rig->counters);
}

void rig_parse(struct policy_rig *rig, const char *text)
{
	static const uint64_t every_cpu[RIG_CPUS / 64] = {~UINT64_C(0), ~UINT64_C(0)};
	const struct pinw_policy_host host = {.baseline = every_cpu, .mask_words = RIG_CPUS / 64};
	struct pinw_policy_memory memory = {.size = pinw_policy_memory_needed(strlen(text), RIG_CPUS / 64)};
	const struct pinw_policy *policy;
	struct pinw_policy_error error;

	memory.bytes = malloc(memory.size);
	cr_assert_not_null(memory.bytes);
	cr_assert_eq(pinw_policy_parse(text, strlen(text), "rig", &host, &memory, &policy, &error), 0,
	             "line %u: %s: %s", error.line, error.key, error.text);
	rig->policy = *policy;
	cr_assert_leq(pinw_policy_state_bytes(policy), sizeof(rig->counters));
	memset(rig->counters, 0, sizeof(rig->counters));
	pinw_policy_state_init(&rig->state, &rig->policy, rig->counters);
}

void rig_resolve(const struct policy_rig *rig, struct rig_stack *stack, const char *const *frames,
                 unsigned count)
{
	unsigned rules = 0, creators = 0;

	memset(stack, 0, sizeof(*stack));
	for (unsigned i = 0; i < count; i++) {
		uint16_t more[RIG_RULES_MAX], more_creators[RIG_RULES_MAX];
		unsigned more_count, more_creator_count;
		const char *bang = strchr(frames[i], '!');
		const char *name = bang + 1;
		char module[64];

		cr_assert_not_null(bang, "%s", frames[i]);
		snprintf(module, sizeof(module), "%.*s", (int)(bang - frames[i]), frames[i]);
		pinw_policy_frame(&rig->policy, *module ? module : NULL, &name, 1, more, &more_count,
		                  more_creators, &more_creator_count);
		rules = pinw_policy_merge(stack->rules, rules, more, more_count);
		creators = pinw_policy_merge(stack->creators, creators, more_creators, more_creator_count);
	}
	rules = pinw_policy_stack_always(&rig->policy, stack->rules, rules);
	stack->match = (struct pinw_stack_match){
	    .rules = stack->rules,
	    .creators = stack->creators,
	    .windows = pinw_policy_keeps_windows(&rig->policy, stack->rules, rules) ? stack->windows : NULL,
	    .rule_count = (uint16_t)rules,
	    .creator_count = (uint16_t)creators,
	};
}

struct pinw_hold rig_pin(struct policy_rig *rig, const struct pinw_attempt *attempt, uint16_t id)
{
	struct pinw_verdict verdict;
	struct pinw_hold hold;

	pinw_policy_judge_pin(&rig->policy, &rig->state, attempt, &verdict, &hold);
	cr_expect_eq(verdict.rule ? verdict.rule->id : 0, id, "rule %u, not %u",
	             verdict.rule ? verdict.rule->id : 0, id);
	cr_expect_eq(verdict.action, verdict.rule ? verdict.rule->action : PINW_ACTION_NONE);
	if (verdict.action == PINW_ACTION_DENY) {
		pinw_policy_cancel(&rig->state, &attempt->held, &hold);
		return attempt->held;
	}
	pinw_policy_keep(&rig->state, &attempt->held, &hold);
	return hold;
}
