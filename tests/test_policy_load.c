/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "preload/image.h"
#include "tests/rig_enforce.h"

TestSuite(policy_load, .fini = pinw_rig_done);

#define STOPPED 2
#define BANS "[ban \"all\"]\nthread_name = *\n"

/* ---- a process that starts under a policy --------------------------------------------------------- */

/* What the child says of itself by its exit status, when it goes on. */
enum { ENFORCES = 40, AUDITS = 41, WITHOUT = 42, EXPIRED = 43 };

struct start {
	const char *policy; /* path */
	const char *mode; /* PINWARDEN_MODE, NULL not set */
	const char *log; /* PINWARDEN_LOG, NULL not set */
	const char *expect_log; /* NULL: any */
};

static bool has_expired(const struct pinw_policy *policy)
{
	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (policy->rules[i].expired)
			return true;
	return false;
}

static void start_child(void *arg)
{
	const struct start *start = arg;
	static char policy[1100], mode[64], log[1100];
	const char *settings[4] = {policy};
	unsigned n = 1;

	snprintf(policy, sizeof(policy), "PINWARDEN_POLICY=%s", start->policy);
	snprintf(mode, sizeof(mode), "PINWARDEN_MODE=%s", start->mode ? start->mode : "");
	snprintf(log, sizeof(log), "PINWARDEN_LOG=%s", start->log ? start->log : "");
	if (start->mode)
		settings[n++] = mode;
	if (start->log)
		settings[n] = log;
	pinw_rig_image(settings);
	if (start->expect_log && strcmp(pinw_config.log, start->expect_log) != 0)
		_exit(1);
	if (!pinw_enforce.policy)
		_exit(WITHOUT);
	if (has_expired(pinw_enforce.policy))
		_exit(EXPIRED);
	_exit(pinw_enforce.enforcing ? ENFORCES : AUDITS);
}

/* Expects the exit status, and that each of the texts (NULL at the end) is told on stderr. */
static void expect_start(const struct start *start, int status, ...)
{
	va_list texts;
	const char *told, *text;

	pinw_rig_dir();
	int ended = pinw_rig_child(start_child, (void *)start, &told);
	cr_expect(WIFEXITED(ended) && WEXITSTATUS(ended) == status, "%s: %d expected, wait status %x: %s",
	          start->policy, status, (unsigned)ended, told);
	va_start(texts, status);
	while ((text = va_arg(texts, const char *)))
		cr_expect(strstr(told, text), "'%s' expected: %s", text, told);
	va_end(texts);
}

#define GOES_ON "WARNING: this program runs WITHOUT A POLICY"
#define STOPS "stopped before main"

/* Writes a policy that its owner alone can write, and returns its path. */
static const char *write_policy(const char *text)
{
	const char *path = pinw_rig_path("policy.ini");
	FILE *out = fopen(path, "w");

	cr_assert_not_null(out);
	cr_assert_geq(fputs(text, out), 0);
	cr_assert_eq(fclose(out), 0);
	cr_assert_eq(chmod(path, 0600), 0);
	return path;
}

/* ---- modes ---------------------------------------------------------------------------------------------- */

Test(policy_load, the_mode_asked_for_from_outside_wins)
{
	struct start start = {.policy = write_policy("[policy]\nmode = enforce\n" BANS)};

	expect_start(&start, ENFORCES, (char *)NULL);
	start.mode = "audit";
	expect_start(&start, AUDITS, (char *)NULL);
	write_policy(BANS);
	start.mode = NULL;
	expect_start(&start, AUDITS, (char *)NULL);
	start.mode = "enforce";
	expect_start(&start, ENFORCES, (char *)NULL);
}

Test(policy_load, a_mode_that_is_none_stops)
{
	struct start start = {.policy = write_policy(BANS), .mode = "enforced"};

	expect_start(&start, STOPPED, "PINWARDEN_MODE is neither", STOPS, (char *)NULL);
}

Test(policy_load, the_log_is_the_environments_else_the_policys_else_stderr)
{
	struct start start = {.policy = write_policy(BANS), .expect_log = "stderr"};
	char text[1200];

	expect_start(&start, AUDITS, (char *)NULL);
	start.expect_log = pinw_rig_path("rules.log");
	snprintf(text, sizeof(text), "[policy]\nlog = %s\n" BANS, start.expect_log);
	write_policy(text);
	expect_start(&start, AUDITS, (char *)NULL);
	start.log = start.expect_log = pinw_rig_path("mine.log");
	expect_start(&start, AUDITS, (char *)NULL);
}

/* ---- files that are not obeyed ------------------------------------------------------------------------------ */

/* Stops a program that may have wanted enforcement, and lets one go on that asked for an audit. */
static void expect_refused(const char *policy, const char *why)
{
	struct start start = {.policy = policy};

	expect_start(&start, STOPPED, policy, why, STOPS, (char *)NULL);
	start.mode = "enforce";
	expect_start(&start, STOPPED, policy, why, STOPS, (char *)NULL);
	start.mode = "audit";
	expect_start(&start, WITHOUT, policy, why, GOES_ON, (char *)NULL);
}

Test(policy_load, files_that_others_may_write_are_refused)
{
	const char *policy = write_policy("[policy]\nmode = audit\n" BANS);

	cr_assert_eq(chmod(policy, 0602), 0);
	expect_refused(policy, "is writable by other users");
	cr_assert_eq(chmod(policy, 0620), 0);
	expect_refused(policy, "is writable by its group");
}

Test(policy_load, what_is_no_file_is_refused)
{
	expect_refused(pinw_rig_path("none.ini"), "cannot be opened: No such file or directory");
	cr_assert_eq(mkdir(pinw_rig_path("dir.ini"), 0700), 0);
	expect_refused(pinw_rig_path("dir.ini"), "is a directory");
}

Test(policy_load, a_pipe_is_refused_and_not_waited_for)
{
	cr_assert_eq(mkfifo(pinw_rig_path("pipe.ini"), 0600), 0);
	expect_refused(pinw_rig_path("pipe.ini"), "is not a regular file");
}

Test(policy_load, a_file_that_is_too_large_is_refused)
{
	const char *policy = write_policy(BANS);

	cr_assert_eq(truncate(policy, PINW_POLICY_BYTES_MAX), 0);
	expect_refused(policy, "policy.ini:");
	cr_assert_eq(truncate(policy, PINW_POLICY_BYTES_MAX + 1), 0);
	expect_refused(policy, "is larger than 1 MiB");
}

/* ---- texts that are not understood ----------------------------------------------------------------------------- */

Test(policy_load, an_invalid_text_stops_what_it_would_enforce)
{
	struct start start = {.policy =
	                          write_policy("[policy]\nmode = enforce\n[ban \"x\"]\nacton = deny\n")};

	expect_start(&start, STOPPED, "policy.ini:4: acton: ", STOPS, (char *)NULL);
	start.mode = "audit";
	expect_start(&start, WITHOUT, "policy.ini:4: acton: ", GOES_ON, (char *)NULL);
}

Test(policy_load, an_invalid_text_lets_an_audit_go_on)
{
	struct start start = {.policy = write_policy("[policy]\nmode = audit\n[ban \"x\"]\nacton = deny\n")};

	expect_start(&start, WITHOUT, "policy.ini:4: acton: ", GOES_ON, (char *)NULL);
	start.mode = "enforce";
	expect_start(&start, STOPPED, "policy.ini:4: acton: ", STOPS, (char *)NULL);
}

Test(policy_load, on_invalid_says_otherwise)
{
	struct start start = {.policy = write_policy("[policy]\nmode = audit\non_invalid = stop\nx = 1\n")};

	expect_start(&start, STOPPED, "policy.ini:4: x: ", STOPS, (char *)NULL);
	write_policy("[policy]\nmode = enforce\non_invalid = continue\nx = 1\n");
	expect_start(&start, WITHOUT, "policy.ini:4: x: ", GOES_ON, (char *)NULL);
}

/* ---- today ------------------------------------------------------------------------------------------------------- */

static void format_day(time_t now, char *text, size_t size)
{
	struct tm day;

	cr_assert_not_null(gmtime_r(&now, &day));
	cr_assert_gt(strftime(text, size, "%Y-%m-%d", &day), 0);
}

static void expect_expiry(time_t day, int status)
{
	struct start start = {.policy = pinw_rig_path("policy.ini")};
	char text[256], date[16];

	format_day(day, date, sizeof(date));
	snprintf(text, sizeof(text), "[suppress \"s\"]\nthread_name = x\nexpires = %s\n", date);
	write_policy(text);
	expect_start(&start, status, (char *)NULL);
}

Test(policy_load, a_suppression_expires_after_its_last_day)
{
	time_t now = time(NULL), day = 24 * 60 * 60;

	if (now % day > day - 60) /* let midnight pass */
		sleep((unsigned)(day - now % day));
	now = time(NULL);
	expect_expiry(now - day, EXPIRED);
	expect_expiry(now, AUDITS);
	expect_expiry(now + day, AUDITS);
}

/* ---- without a trace ------------------------------------------------------------------------------------------------ */

static void lose_first(void *text)
{
	pinw_rig_image(NULL);
	pinw_rig_obey(text);
	pinw_enforce_lost(true);
}

static void lose_child(void *text)
{
	pinw_rig_image(NULL);
	pinw_rig_obey(text);
	pinw_enforce_lost(false);
}

static void expect_lost(void (*lose)(void *), const char *policy, int status, const char *told)
{
	const char *text;
	int ended = pinw_rig_child(lose, (void *)policy, &text);

	cr_expect(WIFEXITED(ended) && WEXITSTATUS(ended) == status, "wait status %x: %s", (unsigned)ended,
	          text);
	cr_expect(told ? strstr(text, told) != NULL : !*text, "%s", text);
	pinw_rig_done();
}

Test(policy_load, a_process_that_cannot_be_judged_is_stopped_or_told)
{
	static const char enforce[] = "[policy]\nmode = enforce\n" BANS;

	pinw_rig_dir();
	expect_lost(lose_first, enforce, 125, STOPS);
	pinw_rig_dir();
	expect_lost(lose_child, enforce, PINW_RIG_RETURNED, "is NOT ENFORCED in this forked process");
	pinw_rig_dir();
	expect_lost(lose_first, BANS, PINW_RIG_RETURNED, NULL);
}
