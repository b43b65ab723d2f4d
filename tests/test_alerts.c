/* SPDX-License-Identifier: MIT
 *
 * The alerting rules, held against the program that will read them. promtool (Debian: prometheus) may be missing.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reports/alerts.h"

static char folder[] = "/tmp/pinw-alerts-XXXXXX";

static void make_folder(void)
{
	cr_assert_not_null(mkdtemp(folder));
}

static int run(const char *format, const char *argument)
{
	char command[512];

	snprintf(command, sizeof(command), format, folder, argument);
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void remove_folder(void)
{
	run("rm -r %s%s", "");
}

TestSuite(alerts, .init = make_folder, .fini = remove_folder);

static void need_promtool(void)
{
	if (run("cd %s && promtool --version >/dev/null 2>&1%s", "") != 0)
		cr_skip_test("promtool is not installed (Debian: prometheus)");
}

/* The rules for a policy, NULL for none; valid until the test ends. */
static const char *rules_of(const char *text)
{
	static const uint64_t cpus[1] = {0xf};
	static const struct pinw_policy_host host = {
	    .baseline = cpus, .present = cpus, .mask_words = 1, .today = 20261121};
	const struct pinw_policy *policy = NULL;
	struct pinw_policy_error wrong;
	char *rules = NULL;
	size_t len;

	if (text) {
		size_t size = pinw_policy_memory_needed(strlen(text), 1);
		struct pinw_policy_memory memory = {.bytes = malloc(size), .size = size};
		cr_assert_eq(pinw_policy_parse(text, strlen(text), "evil\n{{ .path }}.ini", &host, &memory,
		                               &policy, &wrong),
		             0, "%s", wrong.text);
	}
	FILE *out = open_memstream(&rules, &len);
	cr_assert_not_null(out);
	cr_assert_eq(pinw_alerts_print(policy, 4, out), 0);
	fclose(out);
	return rules;
}

static void save(const char *rules)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/alerts.yml", folder);
	FILE *f = fopen(path, "we");
	cr_assert_not_null(f);
	fputs(rules, f);
	cr_assert_eq(fclose(f), 0);
}

static void expect_has(const char *text, const char *part)
{
	cr_expect_not_null(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

/* The same in folded text, where a blank may be the end of a line. */
static void expect_says(const char *text, const char *part)
{
	char *flat = strdup(text), *to = flat;

	for (const char *at = text; *at; at++)
		if (*at != '\n')
			*to++ = *at;
		else {
			at += strspn(at, "\n ") - 1;
			*to++ = ' ';
		}
	*to = '\0';
	expect_has(flat, part);
	free(flat);
}

static const char every_limit[] =
    "[caps]\nmax_threads = 300\nmax_threads_action = deny\nmax_threads_warn_at = cpus*50\n"
    "thread_rate = 600/m\nmax_pinned = 7\n[ban \"a pin a request\"]\nsite_rate = 100/10s\naction = log\n";

Test(alerts, are_rules_that_prometheus_takes)
{
	need_promtool();
	const char *const policies[] = {NULL, every_limit, "[caps]\nmax_threads = 10\n",
	                                "[leak]\ngrowth = log\n"};
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		save(rules_of(policies[i]));
		cr_expect_eq(run("promtool check rules %s/alerts.yml >/dev/null%s", ""), 0, "policy %zu", i);
	}
}

Test(alerts, fire_on_what_rises_and_keep_silent_on_what_does_not)
{
	need_promtool();
	save(rules_of(NULL));
	cr_assert_eq(run("cp tests/alerts.promtool.yml %s/%s", ""), 0);
	cr_expect_eq(run("cd %s && promtool test rules alerts.promtool.yml%s", ""), 0);
}

Test(alerts, have_the_limits_of_the_policy)
{
	const char *rules = rules_of(every_limit);

	expect_has(rules, "pinwarden_threads >= 200\n"); /* max_threads_warn_at */
	expect_has(rules, "pinwarden_threads > 240\n"); /* 0.8 of max_threads */
	expect_says(rules, "lets no further thread be created");
	expect_has(rules, "rate(pinwarden_threads_created_total[5m]) > 10\n");
	expect_has(rules, "sum without (kind) (pinwarden_pinned_threads) >= 7\n");
	expect_has(rules, "rate(pinwarden_pins_total[5m]) > 10\n");
}

Test(alerts, have_defaults_that_say_so)
{
	const char *rules = rules_of(NULL);

	expect_has(rules, "Without a policy");
	expect_has(rules, "tune it to your service");
	expect_has(rules, "process_threads_total");
	cr_expect_null(strstr(rules, "alert: PinwardenThreadsNearLimit"), "there is no limit to be near to");
	cr_expect_null(strstr(rules, "alert: PinwardenPinnedThreads"));
}

Test(alerts, say_what_each_is_and_what_to_do)
{
	unsigned count = 0;

	for (const char *at = rules_of(every_limit); (at = strstr(at, "- alert: ")); count++) {
		const char *next = strstr(++at, "- alert: ");
		size_t len = next ? (size_t)(next - at) : strlen(at);
		static const char *const parts[] = {
		    "expr: >-", "for: ", "severity: ", "summary: >-", "description: >-", "runbook: >-"};
		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
			cr_expect_not_null(memmem(at, len, parts[i], strlen(parts[i])), "no %s in: %.60s",
			                   parts[i], at);
	}
	cr_expect_eq(count, 11u);
}

Test(alerts, are_one_file_whatever_the_policy_is_called)
{
	const char *rules = rules_of(every_limit);

	expect_has(rules, "# Limits are those of evil\\x0a{{ .path }}.ini");
}
