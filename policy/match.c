/* SPDX-License-Identifier: MIT */
#include "policy/match.h"

#include "policy/hold.h"
#include "policy/predicate.h"

/* ---- state ------------------------------------------------------------------------------------ */

size_t pinw_policy_state_bytes(const struct pinw_policy *policy)
{
	return (size_t)policy->mask_words * 64 * sizeof(uint64_t) +
	       policy->rule_count * sizeof(struct pinw_rule_state);
}

void pinw_policy_state_init(struct pinw_policy_state *state, const struct pinw_policy *policy, void *zeroed)
{
	uint64_t *words = zeroed;

	*state = (struct pinw_policy_state){
	    .cpu_pins = words, .rules = (struct pinw_rule_state *)(words + (size_t)policy->mask_words * 64)};
}

/* ---- candidates: loose rules and those of the stacks, in file order --------------------------------- */

#define NO_RULE UINT16_MAX

/* Three ascending lists, read as one. */
struct candidates {
	const struct pinw_loose_rule *loose, *loose_end;
	uint64_t has; /* PINW_LOOSE_* of the attempt */
	const struct pinw_stack_match *stacks[2];
	unsigned at[2];
};

/* The bit of what the attempt's calls are, a raw one being a setaffinity; none for several calls at once, which no quick
 * test then dismisses. */
static uint64_t calls_bit(uint32_t calls)
{
	uint32_t call = calls & ~(PINW_CALLS_CROSS | PINW_CALLS_RAW);
	unsigned shift = PINW_LOOSE_CALLS_SHIFT + (calls & PINW_CALLS_CROSS ? PINW_LOOSE_CALLS : 0);

	if (!call || (call & (call - 1)))
		return 0;
	return UINT64_C(1) << (shift + (unsigned)__builtin_ctz(call));
}

static uint64_t what_it_has(const struct pinw_attempt *attempt)
{
	unsigned char initial = (unsigned char)attempt->thread_name[0];

	return UINT64_C(1) << initial % PINW_LOOSE_INITIALS | calls_bit(attempt->calls) |
	       (uint64_t)attempt->kind << PINW_LOOSE_KINDS_SHIFT |
	       (attempt->creator && attempt->creator->creator_count ? 0 : PINW_LOOSE_NO_CREATOR);
}

static struct candidates candidates(const struct pinw_attempt *attempt, const struct pinw_loose_rule *loose,
                                    uint32_t loose_count)
{
	return (struct candidates){
	    .loose = loose,
	    .loose_end = loose + loose_count,
	    .has = loose_count ? what_it_has(attempt) : 0,
	    .stacks = {attempt->stack, attempt->second},
	};
}

/* Loose rules that cannot match are dismissed without a look at the rules themselves. */
static uint16_t peek_loose(struct candidates *c)
{
	const struct pinw_loose_rule *loose = c->loose, *end = c->loose_end;
	uint64_t has = c->has;

	while (loose < end && (loose->rejects & has))
		loose++;
	c->loose = loose;
	return loose < end ? loose->id : NO_RULE;
}

static bool has_rules(const struct pinw_stack_match *stack)
{
	return stack && stack->rule_count;
}

bool pinw_policy_may_speak(const uint8_t (*loose_calls)[PINW_LOOSE_INITIALS], uint32_t calls,
                           const char *thread_name, const struct pinw_stack_match *stack,
                           const struct pinw_stack_match *creator)
{
	const uint8_t *loose = loose_calls[creator && creator->creator_count];

	return (loose[(unsigned char)thread_name[0] % PINW_LOOSE_INITIALS] & calls) || has_rules(stack);
}

/* Can any [allow] or [ban] speak about it? */
static bool may_any_match(const struct pinw_policy *policy, const struct pinw_attempt *attempt)
{
	return has_rules(attempt->second) ||
	       pinw_policy_may_speak(policy->index.loose_calls, attempt->calls, attempt->thread_name,
	                             attempt->stack, attempt->creator);
}

static uint16_t peek_stack(const struct candidates *c, unsigned i)
{
	const struct pinw_stack_match *stack = c->stacks[i];

	return stack && c->at[i] < stack->rule_count ? stack->rules[c->at[i]] : NO_RULE;
}

/* The next candidate's id, NO_RULE after the last. *ret_window: where its site_rate counts for this call's site, or NULL. */
static uint16_t next(struct candidates *c, uint64_t **ret_window)
{
	uint16_t loose = peek_loose(c);
	uint16_t first = peek_stack(c, 0), second = peek_stack(c, 1);
	uint16_t id = first < second ? first : second;

	if (loose < id)
		id = loose;
	*ret_window = NULL;
	if (id == NO_RULE)
		return id;
	if (second == id) {
		uint64_t *windows = c->stacks[1]->windows;

		*ret_window = windows ? &windows[c->at[1]] : NULL;
		c->at[1]++;
	}
	if (first == id) {
		uint64_t *windows = c->stacks[0]->windows;

		*ret_window = windows ? &windows[c->at[0]] : NULL;
		c->at[0]++;
	}
	if (loose == id)
		c->loose++;
	return id;
}

/* All predicates but those on the stack, which the candidates have satisfied. */
static bool holds(const struct pinw_policy *policy, const struct pinw_rule *rule,
                  const struct pinw_attempt *attempt)
{
	return attempt->now_ns >= rule->after_ns && (!rule->calls || (rule->calls & attempt->calls)) &&
	       (!rule->kinds || (rule->kinds & attempt->kind)) &&
	       pinw_rule_suits_cpus(policy, rule, attempt->mask) &&
	       pinw_strings_match(&rule->thread_names, attempt->thread_name) &&
	       pinw_rule_suits_creator(rule, attempt->creator);
}

/* ---- allow, then ban ---------------------------------------------------------------------------------- */

/* The id of the first [allow] that holds and has room, 0 if none; a place in it is taken. */
static uint16_t find_allow(const struct pinw_policy *policy, struct pinw_policy_state *state,
                           const struct pinw_attempt *attempt)
{
	struct candidates c =
	    candidates(attempt, policy->index.loose_allows, policy->index.loose_allow_count);
	uint64_t *window;

	for (uint16_t id; (id = next(&c, &window)) != NO_RULE;) {
		const struct pinw_rule *rule = pinw_rule_by_id(policy, id);

		if (rule->section != PINW_SECTION_ALLOW || !holds(policy, rule, attempt))
			continue;
		pinw_rule_matched(state, rule);
		if (attempt->held.allow == id || pinw_hold_allow(state, rule))
			return id;
	}
	return 0;
}

/* Does a ban whose predicates hold fire? One without detectors does at once. */
static bool fires(struct pinw_policy_state *state, const struct pinw_rule *rule, uint64_t *window,
                  uint64_t now_ns, struct pinw_verdict *ret_verdict)
{
	uint64_t in_window = 0;

	if (rule->rate.count && window)
		in_window = pinw_window_count(window, now_ns, rule->rate.window_ns);
	*ret_verdict = pinw_rule_verdict(rule, in_window, in_window ? rule->rate.count : 0);
	if (rule->rate.count && in_window > rule->rate.count)
		return true;
	if (rule->churn.count && pinw_churn_tripped(state, rule, now_ns)) {
		*ret_verdict = pinw_rule_verdict(rule, 0, 0);
		return true;
	}
	return !rule->rate.count && !rule->churn.count;
}

/* The verdict of the first [ban] that holds and fires. */
static bool find_ban(const struct pinw_policy *policy, struct pinw_policy_state *state,
                     const struct pinw_attempt *attempt, struct pinw_verdict *ret_verdict)
{
	struct candidates c = candidates(attempt, policy->index.loose_bans, policy->index.loose_ban_count);
	uint64_t *window;

	for (uint16_t id; (id = next(&c, &window)) != NO_RULE;) {
		const struct pinw_rule *rule = pinw_rule_by_id(policy, id);
		struct pinw_verdict verdict;

		if (rule->section != PINW_SECTION_BAN || !holds(policy, rule, attempt))
			continue;
		pinw_rule_matched(state, rule);
		if (fires(state, rule, window, attempt->now_ns, &verdict)) {
			*ret_verdict = verdict;
			return true;
		}
	}
	return false;
}

/* ---- the verdict ------------------------------------------------------------------------------------- */

void pinw_policy_judge_pin(const struct pinw_policy *policy, struct pinw_policy_state *state,
                           const struct pinw_attempt *attempt, struct pinw_verdict *ret_verdict,
                           struct pinw_hold *ret_hold)
{
	struct pinw_verdict verdict = {.action = PINW_ACTION_NONE};
	bool may = may_any_match(policy, attempt);
	uint16_t allow = may ? find_allow(policy, state, attempt) : 0;
	bool banned = may && !allow && find_ban(policy, state, attempt, &verdict);
	/* Reserved whatever the verdict is: it may be only logged, and then the pin comes about. */
	struct pinw_reservation reservation = pinw_hold_reserve(policy, state, attempt, allow);

	if (!allow && !banned)
		pinw_hold_judge(policy, state, attempt, &reservation, &verdict);
	*ret_verdict = verdict;
	*ret_hold = reservation.hold;
}
