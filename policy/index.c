/* SPDX-License-Identifier: MIT */
#include "policy/match.h"

#include <errno.h>

#include "policy/predicate.h"

/* Lists of ids that a rule can be in: pinw_policy_index has six, and two of loose rules. */
#define ID_LISTS 6u
#define ALIGNMENT 8u

size_t pinw_policy_index_bytes(uint32_t rule_count)
{
	size_t lists = ID_LISTS + 2;

	return rule_count * (sizeof(struct pinw_loose_rule) + ID_LISTS * sizeof(uint16_t)) +
	       lists * ALIGNMENT;
}

static void *take(struct pinw_policy_memory *memory, size_t bytes)
{
	size_t padding = -((uintptr_t)memory->bytes + memory->used) % ALIGNMENT;

	if (memory->size - memory->used < padding + bytes)
		return NULL;
	void *taken = memory->bytes + memory->used + padding;
	memory->used += padding + bytes;
	return taken;
}

/* ---- lists of ids ---------------------------------------------------------------------------- */

static bool is_created(const struct pinw_rule *rule)
{
	return rule->created_by.count;
}

static bool is_allow(const struct pinw_rule *rule)
{
	return rule->section == PINW_SECTION_ALLOW;
}

static bool is_require(const struct pinw_rule *rule)
{
	return rule->section == PINW_SECTION_REQUIRE;
}

static bool is_suppress(const struct pinw_rule *rule)
{
	return rule->section == PINW_SECTION_SUPPRESS && !rule->expired;
}

static bool is_churn(const struct pinw_rule *rule)
{
	return rule->section == PINW_SECTION_BAN && rule->churn.count;
}

static uint32_t count(const struct pinw_policy *policy, bool (*belongs)(const struct pinw_rule *))
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < policy->rule_count; i++)
		n += belongs(&policy->rules[i]);
	return n;
}

static int list(const struct pinw_policy *policy, struct pinw_policy_memory *memory,
                bool (*belongs)(const struct pinw_rule *), struct pinw_rule_ids *ret_ids)
{
	uint32_t n = 0;
	uint16_t *ids = take(memory, count(policy, belongs) * sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (belongs(&policy->rules[i]))
			ids[n++] = policy->rules[i].id;
	*ret_ids = (struct pinw_rule_ids){ids, n};
	return 0;
}

/* ---- rules that no stack is asked about --------------------------------------------------------- */

static bool is_loose_allow(const struct pinw_rule *rule)
{
	return rule->section == PINW_SECTION_ALLOW && !pinw_rule_is_stacked(rule);
}

static bool is_loose_ban(const struct pinw_rule *rule)
{
	return rule->section == PINW_SECTION_BAN && !pinw_rule_is_stacked(rule);
}

/* What the first character of a name that none of these globs matches can be; the end of an empty name is one too. */
static uint64_t rejected_initials(const struct pinw_strings *globs)
{
	uint64_t rejected = globs->count ? (UINT64_C(1) << PINW_LOOSE_INITIALS) - 1 : 0;

	for (uint32_t i = 0; i < globs->count; i++) {
		unsigned char first = (unsigned char)globs->text[i][0];

		if (first == '*' || first == '?')
			return 0;
		rejected &= ~(UINT64_C(1) << first % PINW_LOOSE_INITIALS);
	}
	return rejected;
}

static uint64_t rejected_calls(const struct pinw_rule *rule)
{
	uint64_t rejected = 0;
	uint32_t calls = rule->calls | (rule->calls & PINW_CALLS_RAW ? PINW_CALLS_SETAFFINITY : 0);

	for (unsigned i = 0; calls && i < PINW_LOOSE_CALLS; i++) {
		if (!(calls & 1u << i))
			rejected |= UINT64_C(1) << (PINW_LOOSE_CALLS_SHIFT + i);
		if (!(calls & (1u << i | PINW_CALLS_CROSS)))
			rejected |= UINT64_C(1) << (PINW_LOOSE_CALLS_SHIFT + PINW_LOOSE_CALLS + i);
	}
	return rejected;
}

static uint64_t rejected(const struct pinw_rule *rule)
{
	uint64_t kinds = rule->kinds ? ~rule->kinds & (PINW_KINDS_CPU | PINW_KINDS_GO) : 0;

	return rejected_initials(&rule->thread_names) | rejected_calls(rule) |
	       kinds << PINW_LOOSE_KINDS_SHIFT | (is_created(rule) ? PINW_LOOSE_NO_CREATOR : 0);
}

static int list_loose(const struct pinw_policy *policy, struct pinw_policy_memory *memory,
                      bool (*belongs)(const struct pinw_rule *), const struct pinw_loose_rule **ret_loose,
                      uint32_t *ret_count)
{
	uint32_t n = 0;
	struct pinw_loose_rule *loose = take(memory, count(policy, belongs) * sizeof(*loose));

	if (!loose)
		return -ENOMEM;
	for (uint32_t i = 0; i < policy->rule_count; i++) {
		const struct pinw_rule *rule = &policy->rules[i];

		if (belongs(rule))
			loose[n++] = (struct pinw_loose_rule){
			    .rejects = rejected(rule),
			    .id = rule->id,
			};
	}
	*ret_loose = loose;
	*ret_count = n;
	return 0;
}

/* The calls that a rule may match. */
static uint8_t calls_of(const struct pinw_rule *rule)
{
	uint8_t calls = rule->calls ? (uint8_t)rule->calls : UINT8_MAX;

	if (rule->kinds == PINW_KINDS_CPU || rule->cpus)
		return (uint8_t)(calls & ~PINW_CALLS_GOLOCK);
	return rule->kinds == PINW_KINDS_GO ? calls & PINW_CALLS_GOLOCK : calls;
}

/* Which calls loose rules may match, by the first character of the thread's name. */
static void sum_up(const struct pinw_policy *policy, struct pinw_policy_index *x,
                   const struct pinw_loose_rule *loose, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct pinw_rule *rule = &policy->rules[loose[i].id - 1];
		uint8_t calls = calls_of(rule);

		for (unsigned c = 0; c < PINW_LOOSE_INITIALS; c++) {
			if (loose[i].rejects >> c & 1)
				continue;
			x->loose_calls[1][c] |= calls;
			if (!is_created(rule))
				x->loose_calls[0][c] |= calls;
		}
	}
}

static bool has_cap(const struct pinw_policy *policy, enum pinw_cap cap)
{
	return policy->caps[cap] || policy->warns[cap];
}

int pinw_policy_index(struct pinw_policy *policy, struct pinw_policy_memory *memory)
{
	struct pinw_policy_index x = {0};
	size_t used = memory->used;

	if (list(policy, memory, pinw_rule_is_stacked, &x.stacked) < 0 ||
	    list(policy, memory, is_created, &x.created) < 0 ||
	    list(policy, memory, is_allow, &x.allows) < 0 ||
	    list(policy, memory, is_require, &x.requires) < 0 ||
	    list(policy, memory, is_suppress, &x.suppresses) < 0 ||
	    list(policy, memory, is_churn, &x.churns) < 0 ||
	    list_loose(policy, memory, is_loose_allow, &x.loose_allows, &x.loose_allow_count) < 0 ||
	    list_loose(policy, memory, is_loose_ban, &x.loose_bans, &x.loose_ban_count) < 0) {
		memory->used = used;
		return -ENOMEM;
	}
	sum_up(policy, &x, x.loose_allows, x.loose_allow_count);
	sum_up(policy, &x, x.loose_bans, x.loose_ban_count);
	x.counts_pins = has_cap(policy, PINW_CAP_MAX_PINNED) || has_cap(policy, PINW_CAP_MAX_PINNED_PER_CPU);
	x.caps_pins = x.counts_pins || has_cap(policy, PINW_CAP_RESERVE_CPUS);
	for (uint32_t i = 0; i < x.allows.count; i++)
		x.counts_pins |= policy->rules[x.allows.id[i] - 1].limit > 0;
	policy->index = x;
	return 0;
}
