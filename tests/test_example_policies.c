/* SPDX-License-Identifier: MIT
 *
 * The policies of examples/policies parse without an error, on a machine of one CPU as on one of sixty-four, and say what
 * their comments promise.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

#define FOLDER "examples/policies"

static char text[65536];

static size_t read_policy(const char *name)
{
	char path[512];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), FOLDER "/%s", name);
	f = fopen(path, "r");
	cr_assert_not_null(f, "%s", path);
	len = fread(text, 1, sizeof(text), f);
	fclose(f);
	cr_assert(len > 0 && len < sizeof(text), "%s", path);
	return len;
}

/* The parsed policy; its memory is the test's process's. */
static const struct pinw_policy *parsed(const char *name, unsigned cpus)
{
	uint64_t baseline = cpus == 64 ? ~0ull : (1ull << cpus) - 1;
	struct pinw_policy_host host = {
	    .baseline = &baseline, .present = &baseline, .mask_words = 1, .today = 20260101};
	size_t len = read_policy(name);
	struct pinw_policy_memory memory = {.size = pinw_policy_memory_needed(len, 1)};
	const struct pinw_policy *policy;
	struct pinw_policy_error error;
	char why[1024];
	int r;

	memory.bytes = malloc(memory.size);
	cr_assert_not_null(memory.bytes);
	r = pinw_policy_parse(text, len, name, &host, &memory, &policy, &error);
	if (r < 0)
		pinw_policy_error_print(why, sizeof(why), name, &error);
	cr_assert_eq(r, 0, "on %u CPUs: %s", cpus, r == -EINVAL ? why : "no memory");
	return policy;
}

static unsigned count(const struct pinw_policy *policy, enum pinw_section section)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < policy->rule_count; i++)
		n += policy->rules[i].section == section;
	return n;
}

/* That golock rules are for Go programs is noted of the one policy for Go, and of no other; no policy has a finding. */
static void check_warnings(const char *name, const struct pinw_policy *policy)
{
	bool go = strncmp(name, "go", 2) == 0;

	for (uint32_t i = 0; i < policy->warning_count; i++)
		cr_assert(go && policy->warnings[i].is_note, "%s:%u: %s", name, policy->warnings[i].line,
		          policy->warnings[i].text);
}

Test(example_policies, parse_without_an_error_or_an_unexpected_warning)
{
	struct dirent **names;
	int n = scandir(FOLDER, &names, NULL, alphasort), seen = 0;

	cr_assert_gt(n, 0, "no folder " FOLDER " here");
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] == '.')
			continue;
		for (unsigned cpus = 1; cpus <= 64; cpus *= 2) {
			const struct pinw_policy *policy = parsed(names[i]->d_name, cpus);

			cr_assert_gt(policy->rule_count, 0, "%s", names[i]->d_name);
			check_warnings(names[i]->d_name, policy);
		}
		seen++;
	}
	cr_assert_geq(seen, 14);
}

Test(example_policies, staging_enforces)
{
	const struct pinw_policy *policy = parsed("staging.ini", 8);

	cr_assert_eq(policy->mode, PINW_MODE_ENFORCE);
	cr_assert_eq(count(policy, PINW_SECTION_ALLOW), 1);
	cr_assert_eq(policy->rules[policy->caps[PINW_CAP_MAX_THREADS] - 1].action, PINW_ACTION_CRASH);
	cr_assert_eq(policy->rules[policy->leaks[PINW_PLEAK_INHERITED] - 1].action, PINW_ACTION_RESET);
	cr_assert(policy->needs_watch && policy->needs_churn);
}

Test(example_policies, audit_only_changes_nothing)
{
	const struct pinw_policy *policy = parsed("audit-only.ini", 8);

	cr_assert_eq(policy->mode, PINW_MODE_AUDIT);
	for (uint32_t i = 0; i < policy->rule_count; i++)
		cr_assert_eq(policy->rules[i].action, PINW_ACTION_LOG, "line %u", policy->rules[i].line);
}

Test(example_policies, ci_audits_and_has_rules_that_are_errors)
{
	const struct pinw_policy *policy = parsed("ci.ini", 8);
	unsigned errors = 0;

	cr_assert_eq(policy->mode, PINW_MODE_AUDIT);
	for (uint32_t i = 0; i < policy->rule_count; i++)
		errors += policy->rules[i].action > PINW_ACTION_LOG;
	cr_assert_gt(errors, 0);
}

/* What a refused pthread_create does to a Go process is no staging matter. */
Test(example_policies, go_service_never_refuses_a_thread)
{
	const struct pinw_policy *policy = parsed("go-service.ini", 8);

	cr_assert_eq(policy->rules[policy->caps[PINW_CAP_MAX_THREADS] - 1].action, PINW_ACTION_LOG);
	cr_assert_eq(policy->rules[policy->caps[PINW_CAP_THREAD_RATE] - 1].action, PINW_ACTION_LOG);
}

Test(example_policies, openmp_counts_in_cpus)
{
	const struct pinw_policy *policy = parsed("openmp.ini", 16);

	cr_assert_eq(policy->rules[policy->caps[PINW_CAP_MAX_THREADS] - 1].limit, 64);
	cr_assert_eq(policy->rules[policy->caps[PINW_CAP_MAX_PINNED_PER_CPU] - 1].limit, 1);
	cr_assert_eq(policy->leaks[PINW_PLEAK_PINNED_AT_END], 0);
}
