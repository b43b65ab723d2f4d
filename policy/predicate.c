/* SPDX-License-Identifier: MIT */
#include "policy/predicate.h"

#include "policy/mask.h"

bool pinw_strings_match(const struct pinw_strings *globs, const char *text)
{
	for (uint32_t i = 0; i < globs->count; i++)
		if (pinw_glob_match(globs->text[i], text))
			return true;
	return !globs->count;
}

/* The place of `id` in the ascending `ids`, or -1. */
static int find_id(const uint16_t *ids, unsigned count, uint16_t id)
{
	unsigned low = 0, high = count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && ids[low] == id ? (int)low : -1;
}

bool pinw_rule_is_stacked(const struct pinw_rule *rule)
{
	return rule->functions.count || rule->modules.count;
}

bool pinw_rule_suits_stack(const struct pinw_rule *rule, const struct pinw_stack_match *stack)
{
	if (!pinw_rule_is_stacked(rule))
		return true;
	return stack && find_id(stack->rules, stack->rule_count, rule->id) >= 0;
}

bool pinw_rule_suits_creator(const struct pinw_rule *rule, const struct pinw_stack_match *creator)
{
	if (!rule->created_by.count)
		return true;
	return creator && find_id(creator->creators, creator->creator_count, rule->id) >= 0;
}

static bool overlap(const uint64_t *a, const uint64_t *b, unsigned words)
{
	for (unsigned i = 0; i < words; i++)
		if (a[i] & b[i])
			return true;
	return false;
}

bool pinw_rule_suits_cpus(const struct pinw_policy *policy, const struct pinw_rule *rule,
                          const uint64_t *mask)
{
	if (!rule->cpus)
		return true;
	if (!mask)
		return false;
	if (rule->section == PINW_SECTION_BAN || rule->section == PINW_SECTION_CAPS)
		return overlap(mask, rule->cpus, policy->mask_words);
	return pinw_mask_subset(mask, rule->cpus, policy->mask_words);
}

void pinw_rule_matched(struct pinw_policy_state *state, const struct pinw_rule *rule)
{
	__atomic_fetch_add(&state->rules[rule->id - 1].matched, 1, __ATOMIC_RELAXED);
	if (state->matched_too)
		__atomic_fetch_add(&state->matched_too[(rule->id - 1) * PINW_MATCHED_STRIDE], 1,
		                   __ATOMIC_RELAXED);
}

struct pinw_verdict pinw_rule_verdict(const struct pinw_rule *rule, uint64_t value, uint64_t limit)
{
	return (struct pinw_verdict){
	    .action = (enum pinw_action)rule->action, .rule = rule, .value = value, .limit = limit};
}

const struct pinw_rule *pinw_rule_by_id(const struct pinw_policy *policy, uint16_t id)
{
	return id ? &policy->rules[id - 1] : NULL;
}

uint64_t pinw_facts_age(const struct pinw_thread_facts *facts)
{
	return facts->now_ns > facts->started_ns ? facts->now_ns - facts->started_ns : 0;
}

/* Can a ban or an allow speak about a pin of CPUs? (pinw_rule_is_on_golocks, policy/policy.h, for the other kind.) */
static bool is_on_cpu_pins(const struct pinw_rule *rule)
{
	return rule->kinds != PINW_KINDS_GO && rule->calls != PINW_CALLS_GOLOCK;
}

/* Is the rule about such pins, and about this one? The mask of a pin that is over is not known any more. */
bool pinw_rule_suits_pin(const struct pinw_policy *policy, const struct pinw_rule *rule,
                         const struct pinw_thread_facts *facts, uint32_t kind)
{
	if (kind == PINW_KINDS_GO)
		return pinw_rule_is_on_golocks(rule) && pinw_rule_suits_stack(rule, facts->golock);
	return is_on_cpu_pins(rule) && (!facts->mask || pinw_rule_suits_cpus(policy, rule, facts->mask)) &&
	       pinw_rule_suits_stack(rule, facts->pin);
}

static bool allows(const struct pinw_policy *policy, const struct pinw_rule *rule,
                   const struct pinw_thread_facts *facts, uint32_t kind)
{
	return facts->now_ns >= rule->after_ns &&
	       pinw_strings_match(&rule->thread_names, facts->thread_name) &&
	       pinw_rule_suits_pin(policy, rule, facts, kind) &&
	       pinw_rule_suits_creator(rule, facts->creator);
}

bool pinw_policy_allows(const struct pinw_policy *policy, const struct pinw_thread_facts *facts,
                        uint32_t kind)
{
	const struct pinw_rule_ids *ids = &policy->index.allows;

	for (uint32_t i = 0; i < ids->count; i++)
		if (allows(policy, pinw_rule_by_id(policy, ids->id[i]), facts, kind))
			return true;
	return false;
}
