/* SPDX-License-Identifier: MIT */
#include "policy/hold.h"

#include "policy/mask.h"
#include "policy/predicate.h"

/* ---- which masks are meant ---------------------------------------------------------------------- */

bool pinw_policy_counts(const struct pinw_policy *policy, const uint64_t *mask)
{
	return !policy->pin_width || pinw_mask_width(mask, policy->mask_words) <= policy->pin_width;
}

bool pinw_policy_wants_inside(const struct pinw_policy *policy, const uint64_t *mask)
{
	return mask && policy->caps[PINW_CAP_MAX_PINNED_PER_CPU] &&
	       pinw_mask_width(mask, policy->mask_words) > 1;
}

/* ---- taking and giving back ------------------------------------------------------------------------ */

/* A number is taken first and judged afterwards, so no two attempts get the same one: of those that find a limit's worth taken
 * before them each is told so, and nobody else. */
static uint64_t take(uint64_t *counter)
{
	return __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL);
}

static void give_back(uint64_t *counter)
{
	__atomic_sub_fetch(counter, 1, __ATOMIC_ACQ_REL);
}

/* Unlike a cap, a full allow is no verdict yet: nothing may stay taken, not even for a moment, or another attempt would fall
 * through to the bans for no reason. */
bool pinw_hold_allow(struct pinw_policy_state *state, const struct pinw_rule *rule)
{
	uint64_t *open = &state->rules[rule->id - 1].open;
	uint64_t seen = __atomic_load_n(open, __ATOMIC_RELAXED);

	do
		if (rule->limit && seen >= rule->limit)
			return false;
	while (!__atomic_compare_exchange_n(open, &seen, seen + 1, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return true;
}

/* One more pin of a thread. Returns the thread's number among those with a pin, 0 when it was one of them already. */
static uint64_t take_pin(struct pinw_policy_state *state, uint32_t *pins)
{
	return pins && __atomic_fetch_add(pins, 1, __ATOMIC_ACQ_REL) ? 0 : take(&state->pinned);
}

static void give_back_pin(struct pinw_policy_state *state, uint32_t *pins)
{
	if (!pins || __atomic_sub_fetch(pins, 1, __ATOMIC_ACQ_REL) == 0)
		give_back(&state->pinned);
}

/* Gives back what `from` holds and `but` does not. */
static void give_back_all(struct pinw_policy_state *state, const struct pinw_hold *from,
                          const struct pinw_hold *but)
{
	if (from->allow && from->allow != but->allow)
		give_back(&state->rules[from->allow - 1].open);
	if (from->pinned && !but->pinned)
		give_back_pin(state, from->pins);
	if (from->cpu && from->cpu != but->cpu)
		give_back(&state->cpu_pins[from->cpu - 1]);
}

void pinw_policy_keep(struct pinw_policy_state *state, const struct pinw_hold *held,
                      const struct pinw_hold *now)
{
	give_back_all(state, held, now);
}

void pinw_policy_cancel(struct pinw_policy_state *state, const struct pinw_hold *held,
                        const struct pinw_hold *now)
{
	give_back_all(state, now, held);
}

/* Takes what `hold` holds and `held` does not, but for the allow, which is taken where it is found. */
static struct pinw_reservation reserve(struct pinw_policy_state *state, const struct pinw_hold *held,
                                       struct pinw_hold hold)
{
	return (struct pinw_reservation){
	    .hold = hold,
	    .pinned = hold.pinned && !held->pinned ? take_pin(state, hold.pins) : 0,
	    .on_cpu = hold.cpu && hold.cpu != held->cpu ? take(&state->cpu_pins[hold.cpu - 1]) : 0,
	};
}

struct pinw_reservation pinw_hold_reserve(const struct pinw_policy *policy, struct pinw_policy_state *state,
                                          const struct pinw_attempt *attempt, uint16_t allow)
{
	struct pinw_hold hold = {.allow = allow, .pinned = 1, .pins = attempt->held.pins};

	if (attempt->mask)
		hold.cpu = pinw_mask_single(attempt->mask, policy->mask_words);
	return reserve(state, &attempt->held, hold);
}

struct pinw_hold pinw_policy_rehold(const struct pinw_policy *policy, struct pinw_policy_state *state,
                                    const struct pinw_hold *held, const uint64_t *mask)
{
	struct pinw_hold now = {.pins = held->pins};

	if (mask && pinw_policy_counts(policy, mask)) {
		now.pinned = 1;
		now.cpu = pinw_mask_single(mask, policy->mask_words);
	}
	reserve(state, held, now);
	pinw_policy_keep(state, held, &now);
	return now;
}

/* ---- the caps on pins ----------------------------------------------------------------------------------- */

static bool beyond_pinned(const struct pinw_rule *rule, const struct pinw_reservation *reservation,
                          struct pinw_verdict *ret_verdict)
{
	if (!rule || reservation->pinned <= rule->limit)
		return false;
	*ret_verdict = pinw_rule_verdict(rule, reservation->pinned, rule->limit);
	return true;
}

/* One CPU: the pins on it. Several: the threads pinned inside them, held against as many times the limit. */
static bool beyond_per_cpu(const struct pinw_policy *policy, const struct pinw_rule *rule,
                           const struct pinw_attempt *attempt, const struct pinw_reservation *reservation,
                           struct pinw_verdict *ret_verdict)
{
	uint64_t value = reservation->on_cpu, limit;

	if (!rule || !attempt->mask)
		return false;
	limit = rule->limit;
	if (!reservation->hold.cpu) {
		value = attempt->inside + 1;
		if (__builtin_mul_overflow(limit, pinw_mask_width(attempt->mask, policy->mask_words), &limit))
			limit = UINT64_MAX;
	}
	if (value <= limit)
		return false;
	*ret_verdict = pinw_rule_verdict(rule, value, limit);
	return true;
}

static bool on_reserved_cpus(const struct pinw_policy *policy, const struct pinw_rule *rule,
                             const struct pinw_attempt *attempt, struct pinw_verdict *ret_verdict)
{
	if (!rule || !rule->cpus || !pinw_rule_suits_cpus(policy, rule, attempt->mask))
		return false;
	*ret_verdict = pinw_rule_verdict(rule, 0, 0);
	return true;
}

void pinw_hold_judge(const struct pinw_policy *policy, struct pinw_policy_state *state,
                     const struct pinw_attempt *attempt, const struct pinw_reservation *reservation,
                     struct pinw_verdict *ret_verdict)
{
	const struct pinw_rule *pinned = pinw_rule_by_id(policy, policy->caps[PINW_CAP_MAX_PINNED]);
	const struct pinw_rule *per_cpu = pinw_rule_by_id(policy, policy->caps[PINW_CAP_MAX_PINNED_PER_CPU]);
	const struct pinw_rule *reserved = pinw_rule_by_id(policy, policy->caps[PINW_CAP_RESERVE_CPUS]);
	struct pinw_verdict verdicts[3];
	unsigned n = 0, first = 0;

	n += beyond_pinned(pinned, reservation, &verdicts[n]);
	n += beyond_per_cpu(policy, per_cpu, attempt, reservation, &verdicts[n]);
	n += on_reserved_cpus(policy, reserved, attempt, &verdicts[n]);
	for (unsigned i = 0; i < n; i++) {
		pinw_rule_matched(state, verdicts[i].rule);
		if (verdicts[i].rule->id < verdicts[first].rule->id)
			first = i;
	}
	if (n)
		*ret_verdict = verdicts[first];
}
