/* SPDX-License-Identifier: MIT */
#include "policy/match.h"

#include <string.h>

#include "policy/predicate.h"

static bool function_matches(const struct pinw_strings *globs, const char *const *names, unsigned name_count)
{
	for (unsigned i = 0; i < name_count; i++)
		if (pinw_strings_match(globs, names[i]))
			return true;
	return false;
}

/* A path as a whole, or its last component. */
static bool module_matches(const struct pinw_strings *globs, const char *module)
{
	if (!module)
		return false;
	const char *slash = strrchr(module, '/');
	return pinw_strings_match(globs, module) || (slash && pinw_strings_match(globs, slash + 1));
}

/* Function and module of one rule must be those of one frame. */
static bool frame_satisfies(const struct pinw_rule *rule, const char *module, const char *const *names,
                            unsigned name_count)
{
	return (!rule->modules.count || module_matches(&rule->modules, module)) &&
	       (!rule->functions.count || function_matches(&rule->functions, names, name_count));
}

void pinw_policy_frame(const struct pinw_policy *policy, const char *module, const char *const *names,
                       unsigned name_count, uint16_t *rules, unsigned *ret_rules, uint16_t *creators,
                       unsigned *ret_creators)
{
	const struct pinw_rule_ids *stacked = &policy->index.stacked, *created = &policy->index.created;
	unsigned rule_count = 0, creator_count = 0;

	for (uint32_t i = 0; i < stacked->count; i++)
		if (frame_satisfies(pinw_rule_by_id(policy, stacked->id[i]), module, names, name_count))
			rules[rule_count++] = stacked->id[i];
	for (uint32_t i = 0; i < created->count; i++)
		if (function_matches(&pinw_rule_by_id(policy, created->id[i])->created_by, names, name_count))
			creators[creator_count++] = created->id[i];
	*ret_rules = rule_count;
	*ret_creators = creator_count;
}

/* Puts `id` at its place, unless it is there. */
static unsigned insert(uint16_t *set, unsigned count, uint16_t id)
{
	unsigned at = count;

	while (at && set[at - 1] > id)
		at--;
	if (at && set[at - 1] == id)
		return count;
	memmove(&set[at + 1], &set[at], (count - at) * sizeof(*set));
	set[at] = id;
	return count + 1;
}

unsigned pinw_policy_merge(uint16_t *set, unsigned count, const uint16_t *more, unsigned more_count)
{
	for (unsigned i = 0; i < more_count; i++)
		count = insert(set, count, more[i]);
	return count;
}

unsigned pinw_policy_stack_always(const struct pinw_policy *policy, uint16_t *set, unsigned count)
{
	const struct pinw_loose_rule *bans = policy->index.loose_bans;

	for (uint32_t i = 0; i < policy->index.loose_ban_count; i++)
		if (pinw_rule_by_id(policy, bans[i].id)->rate.count)
			count = insert(set, count, bans[i].id);
	return count;
}

bool pinw_policy_keeps_windows(const struct pinw_policy *policy, const uint16_t *rules, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct pinw_rule *rule = pinw_rule_by_id(policy, rules[i]);

		if (rule->section == PINW_SECTION_BAN && rule->rate.count)
			return true;
	}
	return false;
}
