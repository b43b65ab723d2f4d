/* SPDX-License-Identifier: MIT
 *
 * Judgements about what a thread was: [require], [leak], [suppress].
 */
#include "policy/match.h"

#include "policy/predicate.h"

/* ---- require ----------------------------------------------------------------------------------- */

/* Is the thread one that the rule speaks of? Its function is the start routine or one on the stack that created it. */
static bool is_subject(const struct pinw_rule *rule, const struct pinw_thread_facts *facts)
{
	return pinw_strings_match(&rule->thread_names, facts->thread_name) &&
	       (pinw_rule_suits_stack(rule, facts->start) || pinw_rule_suits_stack(rule, facts->creator)) &&
	       pinw_rule_suits_creator(rule, facts->creator);
}

static bool has_pin(const struct pinw_policy *policy, const struct pinw_thread_facts *facts)
{
	return facts->mask && pinw_policy_counts(policy, facts->mask);
}

/* May a pin of this kind fulfil the rule? A Go lock says nothing of CPUs. */
static bool is_about_kind(const struct pinw_rule *rule, uint32_t kind)
{
	return (!rule->kinds || rule->kinds == kind) && (kind != PINW_KINDS_GO || !rule->cpus);
}

/* A thread that ended unpinned may have released its pin in good order just before. */
static bool is_fulfilled_by_pin(const struct pinw_policy *policy, const struct pinw_rule *rule,
                                const struct pinw_thread_facts *facts)
{
	if (has_pin(policy, facts))
		return pinw_rule_suits_cpus(policy, rule, facts->mask);
	return facts->ended && facts->has_pinned && !facts->mask;
}

static bool is_fulfilled(const struct pinw_policy *policy, const struct pinw_rule *rule,
                         const struct pinw_thread_facts *facts)
{
	bool by_pin = is_about_kind(rule, PINW_KINDS_CPU), by_lock = is_about_kind(rule, PINW_KINDS_GO);

	if (!rule->pinned)
		return !(by_pin && has_pin(policy, facts)) && !(by_lock && facts->is_golocked);
	return (by_pin && is_fulfilled_by_pin(policy, rule, facts)) ||
	       (by_lock && (facts->is_golocked || (facts->ended && facts->has_golocked)));
}

void pinw_policy_judge_require(const struct pinw_policy *policy, struct pinw_policy_state *state, uint16_t id,
                               const struct pinw_thread_facts *facts, struct pinw_verdict *ret_verdict)
{
	const struct pinw_rule *rule = pinw_rule_by_id(policy, id);

	*ret_verdict = (struct pinw_verdict){.action = PINW_ACTION_NONE};
	if (!rule || rule->section != PINW_SECTION_REQUIRE || !is_subject(rule, facts))
		return;
	pinw_rule_matched(state, rule);
	if (pinw_facts_age(facts) >= rule->within_ns && !is_fulfilled(policy, rule, facts))
		*ret_verdict = pinw_rule_verdict(rule, 0, 0);
}

static uint32_t leaked_kind(const struct pinw_thread_facts *facts)
{
	return facts->leaked == PINW_KINDS_GO ? PINW_KINDS_GO : PINW_KINDS_CPU;
}

bool pinw_policy_is_declared(const struct pinw_policy *policy, const struct pinw_thread_facts *facts)
{
	const struct pinw_rule_ids *ids = &policy->index.requires;
	uint32_t kind = leaked_kind(facts);

	for (uint32_t i = 0; i < ids->count; i++) {
		const struct pinw_rule *rule = pinw_rule_by_id(policy, ids->id[i]);

		if (rule->pinned && is_subject(rule, facts) && is_about_kind(rule, kind) &&
		    pinw_rule_suits_cpus(policy, rule, facts->mask))
			return true;
	}
	return pinw_policy_allows(policy, facts, kind);
}

/* ---- leaks ---------------------------------------------------------------------------------------- */

/* Is it a leak of a CPU pin, so that pin_width decides whether it counts? */
static bool is_about_pin(enum pinw_policy_leak kind)
{
	return kind == PINW_PLEAK_EXIT_WHILE_PINNED || kind == PINW_PLEAK_PINNED_IDLE ||
	       kind == PINW_PLEAK_PINNED_AT_END || kind == PINW_PLEAK_INHERITED;
}

/* Which stack a suppression's function and module are looked for on: that of the pin, or where there is no pin that
 * of the thread's creation. An inherited pin has both. */
static bool suits_leak_stack(const struct pinw_rule *rule, enum pinw_policy_leak kind,
                             const struct pinw_thread_facts *facts)
{
	const struct pinw_stack_match *pin = leaked_kind(facts) == PINW_KINDS_GO ? facts->golock : facts->pin;
	bool by_pin = kind != PINW_PLEAK_UNJOINED && kind != PINW_PLEAK_GROWTH && pin;

	if (by_pin && pinw_rule_suits_stack(rule, pin))
		return true;
	return (!by_pin || kind == PINW_PLEAK_INHERITED) && pinw_rule_suits_stack(rule, facts->creator);
}

static const struct pinw_rule *find_suppress(const struct pinw_policy *policy, enum pinw_policy_leak kind,
                                             const struct pinw_thread_facts *facts)
{
	const struct pinw_rule_ids *ids = &policy->index.suppresses;

	for (uint32_t i = 0; i < ids->count; i++) {
		const struct pinw_rule *rule = pinw_rule_by_id(policy, ids->id[i]);

		if ((!rule->leaks || (rule->leaks & 1u << kind)) &&
		    pinw_strings_match(&rule->thread_names, facts->thread_name) &&
		    suits_leak_stack(rule, kind, facts) && pinw_rule_suits_creator(rule, facts->creator))
			return rule;
	}
	return NULL;
}

/* Is it a leak at all? */
static bool is_leak(const struct pinw_policy *policy, enum pinw_policy_leak kind,
                    const struct pinw_thread_facts *facts)
{
	if (is_about_pin(kind) && leaked_kind(facts) == PINW_KINDS_CPU && facts->mask &&
	    !pinw_policy_counts(policy, facts->mask))
		return false;
	return kind != PINW_PLEAK_PINNED_AT_END || !pinw_policy_is_declared(policy, facts);
}

void pinw_policy_judge_leak(const struct pinw_policy *policy, struct pinw_policy_state *state,
                            enum pinw_policy_leak kind, const struct pinw_thread_facts *facts,
                            struct pinw_verdict *ret_verdict, const struct pinw_rule **ret_suppressed)
{
	const struct pinw_rule *rule = pinw_rule_by_id(policy, policy->leaks[kind]);
	const struct pinw_rule *suppressed = NULL;
	struct pinw_verdict verdict = {.action = PINW_ACTION_NONE};

	if (is_leak(policy, kind, facts)) {
		suppressed = find_suppress(policy, kind, facts);
		if (!suppressed && rule)
			verdict = pinw_rule_verdict(rule, 0, 0);
		if (suppressed || rule)
			pinw_rule_matched(state, suppressed ? suppressed : rule);
	}
	*ret_verdict = verdict;
	*ret_suppressed = suppressed;
}
