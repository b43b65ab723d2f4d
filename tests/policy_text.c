/* SPDX-License-Identifier: MIT */
#include "tests/policy_text.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int text_parse(const char *text, size_t len, const struct pinw_policy **ret_policy,
               struct pinw_policy_error *ret_error)
{
	static const uint64_t baseline[2] = {0x0f}, present[2] = {0xff};
	const struct pinw_policy_host host = {
	    .baseline = baseline, .present = present, .mask_words = 2, .today = TEXT_TODAY};
	struct pinw_policy_memory memory = {.size = pinw_policy_memory_needed(len, 2)};

	memory.bytes = malloc(memory.size);
	cr_assert_not_null(memory.bytes);
	/* What the parser does not write must not be taken for zero. */
	memset(memory.bytes, 0xa5, memory.size);
	return pinw_policy_parse(text, len, "test.ini", &host, &memory, ret_policy, ret_error);
}

const struct pinw_policy *text_policy(const char *text)
{
	const struct pinw_policy *policy;
	struct pinw_policy_error error;
	char line[700];
	int r = text_parse(text, strlen(text), &policy, &error);

	if (r < 0)
		pinw_policy_error_print(line, sizeof(line), "test.ini", &error);
	cr_assert_eq(r, 0, "%s\nin\n%s", r == -EINVAL ? line : "no memory", text);
	return policy;
}

const struct pinw_rule *text_rule(const char *text, const char *label)
{
	const struct pinw_policy *policy = text_policy(text);

	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (!strcmp(policy->rules[i].label, label))
			return &policy->rules[i];
	cr_assert_fail("no rule %s in\n%s", label, text);
	return NULL;
}

void text_refused(const char *text, uint32_t line, const char *key, const char *part)
{
	static const struct pinw_policy before;
	const struct pinw_policy *policy = &before;
	struct pinw_policy_error error;
	int r = text_parse(text, strlen(text), &policy, &error);

	cr_assert_eq(r, -EINVAL, "%d for\n%s", r, text);
	cr_assert_eq(policy, &before, "a policy was returned for\n%s", text);
	cr_assert_eq(error.line, line, "line %u, not %u: %s\nfor\n%s", error.line, line, error.text, text);
	cr_assert_str_eq(error.key, key, "%s\nfor\n%s", error.text, text);
	cr_assert(strstr(error.text, part), "\"%s\" lacks \"%s\"", error.text, part);
}
