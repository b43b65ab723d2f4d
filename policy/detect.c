/* SPDX-License-Identifier: MIT
 *
 * Detectors: rates, churn, and the caps on threads.
 *
 * A window is one 64-bit word, so counting is one compare-and-swap and needs no lock:
 *
 *     bits 63..24   when it started, in units of 2^14 ns (16.384 us), modulo 2^40 (208 days)
 *     bits 23..0    how many events it holds, 1..16,777,215; 0 = it never started
 *
 * The first event starts the window; the first event a window's length later starts the next. So no run of events
 * inside one window is ever seen as fewer than it is, while N events just before and N just after a boundary are
 * seen as two times N: exact within one window. Ranges: windows are rounded up to whole units and
 * end at 2^38 units (52 days); beyond 16,777,215 events the count stands still. A word untouched for a whole
 * multiple of 208 days is taken for a current one, which is one late count in the life of a process.
 */
#include "policy/match.h"

#include "policy/hold.h"
#include "policy/predicate.h"

#define UNIT_SHIFT 14u
#define COUNT_BITS 24u
#define COUNT_MAX ((UINT64_C(1) << COUNT_BITS) - 1)
#define START_MASK ((UINT64_C(1) << (64 - COUNT_BITS)) - 1)
#define WINDOW_UNITS_MAX (UINT64_C(1) << 38)
/* How far behind the window's start a thread's clock reading may lie, for it may be preempted between reading the clock and
 * counting: 68 s. Its event then belongs to the window, which somebody else has started since. */
#define LATE_UNITS (UINT64_C(1) << 22)

static uint64_t window_units(uint64_t window_ns)
{
	uint64_t units = (window_ns >> UNIT_SHIFT) + !!(window_ns & ((UINT64_C(1) << UNIT_SHIFT) - 1));

	return units < WINDOW_UNITS_MAX ? units : WINDOW_UNITS_MAX;
}

static bool is_inside(uint64_t word, uint64_t now_units, uint64_t units)
{
	uint64_t start = word >> COUNT_BITS;

	return (word & COUNT_MAX) && (((now_units - start) & START_MASK) < units ||
	                              ((start - now_units) & START_MASK) <= LATE_UNITS);
}

uint64_t pinw_window_count(uint64_t *window, uint64_t now_ns, uint64_t window_ns)
{
	uint64_t now_units = now_ns >> UNIT_SHIFT & START_MASK;
	uint64_t units = window_units(window_ns);
	uint64_t seen = __atomic_load_n(window, __ATOMIC_RELAXED), next;

	do {
		if (!is_inside(seen, now_units, units))
			next = now_units << COUNT_BITS | 1;
		else if ((seen & COUNT_MAX) < COUNT_MAX)
			next = seen + 1;
		else
			return COUNT_MAX;
	} while (!__atomic_compare_exchange_n(window, &seen, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return next & COUNT_MAX;
}

/* ---- churn ---------------------------------------------------------------------------------------- */

bool pinw_churn_tripped(const struct pinw_policy_state *state, const struct pinw_rule *rule, uint64_t now_ns)
{
	return now_ns < __atomic_load_n(&state->rules[rule->id - 1].churn_until_ns, __ATOMIC_RELAXED);
}

/* Kinds of pins that the thread had and no [allow] speaks for. */
static uint32_t judged_kinds(const struct pinw_policy *policy, const struct pinw_thread_facts *facts)
{
	uint32_t kinds = (facts->has_pinned ? PINW_KINDS_CPU : 0) | (facts->has_golocked ? PINW_KINDS_GO : 0);

	for (uint32_t kind = PINW_KINDS_CPU; kind <= PINW_KINDS_GO; kind <<= 1)
		if ((kinds & kind) && pinw_policy_allows(policy, facts, kind))
			kinds &= ~kind;
	return kinds;
}

/* Is this the end of a thread that the rule counts? Once, whatever it had. */
static bool is_churn(const struct pinw_policy *policy, const struct pinw_rule *rule,
                     const struct pinw_thread_facts *facts, uint32_t kinds)
{
	return facts->now_ns >= rule->after_ns && pinw_facts_age(facts) < rule->short_lived_ns &&
	       pinw_strings_match(&rule->thread_names, facts->thread_name) &&
	       pinw_rule_suits_creator(rule, facts->creator) &&
	       (((kinds & PINW_KINDS_CPU) && pinw_rule_suits_pin(policy, rule, facts, PINW_KINDS_CPU)) ||
	        ((kinds & PINW_KINDS_GO) && pinw_rule_suits_pin(policy, rule, facts, PINW_KINDS_GO)));
}

/* Counts one such end. The event that passes the rate trips the rule and is the one reported. */
static bool count_churn(struct pinw_policy_state *state, const struct pinw_rule *rule, uint64_t now_ns,
                        struct pinw_verdict *ret_verdict)
{
	struct pinw_rule_state *s = &state->rules[rule->id - 1];
	uint64_t in_window = pinw_window_count(&s->window, now_ns, rule->churn.window_ns);

	if (in_window != rule->churn.count + 1)
		return false;
	__atomic_store_n(&s->churn_until_ns, now_ns + rule->churn.window_ns, __ATOMIC_RELAXED);
	*ret_verdict = pinw_rule_verdict(rule, in_window, rule->churn.count);
	return true;
}

void pinw_policy_judge_churn(const struct pinw_policy *policy, struct pinw_policy_state *state,
                             const struct pinw_thread_facts *facts, struct pinw_verdict *ret_verdict)
{
	const struct pinw_rule_ids *ids = &policy->index.churns;
	uint32_t kinds = ids->count && facts->ended ? judged_kinds(policy, facts) : 0;
	struct pinw_verdict found = {.action = PINW_ACTION_NONE};

	for (uint32_t i = 0; kinds && i < ids->count; i++) {
		const struct pinw_rule *rule = pinw_rule_by_id(policy, ids->id[i]);
		struct pinw_verdict verdict;

		if (is_churn(policy, rule, facts, kinds) &&
		    count_churn(state, rule, facts->now_ns, &verdict) && !found.rule)
			found = verdict;
	}
	*ret_verdict = found;
}

/* ---- threads --------------------------------------------------------------------------------------- */

void pinw_policy_judge_threads(const struct pinw_policy *policy, uint64_t live,
                               struct pinw_verdict *ret_verdict)
{
	const struct pinw_rule *rule = pinw_rule_by_id(policy, policy->caps[PINW_CAP_MAX_THREADS]);

	*ret_verdict = rule && live > rule->limit ? pinw_rule_verdict(rule, live, rule->limit)
	                                          : (struct pinw_verdict){.action = PINW_ACTION_NONE};
}

void pinw_policy_judge_rate(const struct pinw_policy *policy, struct pinw_policy_state *state,
                            uint64_t now_ns, struct pinw_verdict *ret_verdict)
{
	const struct pinw_rule *rule = pinw_rule_by_id(policy, policy->caps[PINW_CAP_THREAD_RATE]);
	const struct pinw_rule *warn = pinw_rule_by_id(policy, policy->warns[PINW_CAP_THREAD_RATE]);
	struct pinw_verdict verdict = {.action = PINW_ACTION_NONE};
	uint64_t n;

	if (warn) {
		n = pinw_window_count(&state->rules[warn->id - 1].window, now_ns, warn->rate.window_ns);
		if (n == warn->rate.count)
			verdict = pinw_rule_verdict(warn, n, warn->rate.count);
	}
	if (rule) {
		n = pinw_window_count(&state->thread_window, now_ns, rule->rate.window_ns);
		if (n > rule->rate.count)
			verdict = pinw_rule_verdict(rule, n, rule->rate.count);
	}
	if (verdict.rule)
		pinw_rule_matched(state, verdict.rule);
	*ret_verdict = verdict;
}

void pinw_policy_judge_warning(const struct pinw_policy *policy, enum pinw_cap cap, uint64_t value,
                               struct pinw_verdict *ret_verdict)
{
	const struct pinw_rule *warn =
	    cap == PINW_CAP_THREAD_RATE ? NULL : pinw_rule_by_id(policy, policy->warns[cap]);

	*ret_verdict = warn && value == warn->limit ? pinw_rule_verdict(warn, value, warn->limit)
	                                            : (struct pinw_verdict){.action = PINW_ACTION_NONE};
}
