/* SPDX-License-Identifier: MIT
 *
 * `pinwarden run` under a policy: what it refuses before anything starts, what it warns of, hands
 * on and sums up.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy.h"
#include "reports/child_env.h"
#include "reports/run_private.h"
#include "reports/summary.h"
#include "tests/report_rig.h"
#include "tests/run_rig.h"

/* ---- policies: refused before anything else -------------------------------------------------- */

TestSuite(run_policy, .init = make_folder, .fini = remove_folder);

static const char *put_policy(const char *name, const char *text)
{
	put(name, text, strlen(text), 0644);
	return in_folder(name);
}

/* The whole command, on a program that is not there: a policy that is refused is refused first. */
static void expect_policy_refused(const char *text, const char *words)
{
	const char *path = put_policy("p.ini", text);
	char expected[PATH_MAX + 64];

	expect_said(refuse(3, "-p", path, "no-such-program-anywhere"), 2, "nothing was started");
	snprintf(expected, sizeof(expected), "%s%s", path, words);
	cr_expect_not_null(strstr(said, expected), "\"%s\" does not say \"%s\"", said, expected);
}

Test(run_policy, is_refused_with_2_before_the_program_is_looked_for)
{
	expect_policy_refused("[policy]\nversion = 1\n\n[caps]\nmax_thread = 4\n", ":5: max_thread: ");
	expect_policy_refused("[caps]\nmax_threads = many\n", ":2: max_threads: ");
	expect_policy_refused("max_threads = 1\n", ":1: max_threads: ");
	expect_said(refuse(3, "-p", in_folder("none.ini"), "true"), 2, "none.ini: No such file");
	expect_said(refuse(3, "-p", folder, "true"), 2, "directory");
	put_policy("open.ini", "[policy]\nversion = 1\n");
	cr_assert_eq(chmod(in_folder("open.ini"), 0666), 0);
	expect_said(refuse(3, "-p", in_folder("open.ini"), "true"), 2, "writable by other users");
}

Test(run_policy, lets_a_good_one_pass_on_to_the_program)
{
	const char *path = put_policy("p.ini", "[policy]\nversion = 1\n[caps]\nmax_threads = 8\n");

	expect_said(refuse(3, "-p", path, "no-such-program-anywhere"), 127, "PATH");
	cr_expect_null(strstr(said, "p.ini"), "%s", said);
}

Test(run_policy, of_the_environment_is_read_checked_and_named)
{
	setenv("PINWARDEN_POLICY", put_policy("p.ini", "[caps]\nmax_threads = x\n"), 1);
	expect_said(refuse(1, "true"), 2, "p.ini:2: max_threads");
	put_policy("p.ini", "[policy]\nversion = 1\nmode = enforce\n");
	expect_said(refuse(1, "no-such-program-anywhere"), 127,
	            "is used (enforce), as PINWARDEN_POLICY names it");
	expect_said(refuse(2, "--audit", "no-such-program-anywhere"), 127, "is used (audit)");
	setenv("PINWARDEN_MODE", "audit", 1);
	expect_said(refuse(1, "no-such-program-anywhere"), 127, "is used (audit)");
	setenv("PINWARDEN_MODE", "often", 1);
	expect_said(refuse(1, "true"), 2, "PINWARDEN_MODE: often is no mode; expected audit or enforce");
	expect_said(refuse(2, "-q", "no-such-program-anywhere"), 2, "PINWARDEN_MODE");
	unsetenv("PINWARDEN_MODE");
	cr_expect_eq(refuse(2, "-q", "no-such-program-anywhere"), 127);
	cr_expect_null(strstr(said, "is used"), "quiet: %s", said);
	setenv("PINWARDEN_POLICY", "", 1);
	expect_said(refuse(2, "--audit", "true"), 125, "needs a policy");
	setenv("PINWARDEN_MODE", "enforce", 1);
	expect_said(refuse(1, "no-such-program-anywhere"), 127,
	            "PINWARDEN_MODE=enforce means nothing without");
}

Test(run_policy, warns_line_by_line_unless_quiet)
{
	const char *path = put_policy("p.ini", "[policy]\nversion = 1\n[suppress \"old\"]\nleak = unjoined\n"
	                                       "expires = 2020-01-01\n");

	expect_said(refuse(3, "-p", path, "no-such-program-anywhere"), 127, "p.ini:3: warning: ");
	cr_expect_not_null(strstr(said, "expired"), "%s", said);
	cr_expect_eq(refuse(4, "-q", "-p", path, "no-such-program-anywhere"), 127);
	cr_expect_null(strstr(said, "p.ini"), "%s", said);
}

static void load(struct pinw_run_plan *p, const char *text)
{
	*p = (struct pinw_run_plan){.cwd = folder,
	                            .opt = {.policy = put_policy("p.ini", text), .quiet = true}};
	cr_assert_eq(pinw_run_policy_read(p), 0);
}

static const char *warn_go(const char *text, bool go)
{
	struct pinw_target target = {.go = go, .culprit = "/bin/service"};
	struct pinw_run_plan p;

	load(&p, text);
	listen_to_stderr();
	pinw_run_policy_warn_of_target(&p.policy, &target);
	heard();
	pinw_run_policy_done(&p.policy);
	return said;
}

static void expect_warned(const char *text, const char *part)
{
	cr_expect_not_null(strstr(warn_go(text, true), part), "no \"%s\" in %s", part, said);
	cr_expect_str_eq(warn_go(text, false), "", "other programs have no such locks");
}

Test(run_policy, says_what_a_denied_lock_does_to_a_go_program)
{
	static const char deny[] = "[policy]\nmode = enforce\ndeny_golocks = yes\n[ban \"g\"]\nkind = go\n";
	static const char audit[] = "[policy]\nmode = audit\ndeny_golocks = yes\n[ban \"g\"]\nkind = go\n";

	expect_warned(deny, "p.ini:4: [ban:g]: a denied runtime.LockOSThread returns and locks nothing");
	cr_expect_str_eq(warn_go(audit, true), "", "nothing is denied");
	cr_expect_str_eq(warn_go("[policy]\nmode = enforce\n[ban \"g\"]\nkind = go\naction = crash\n", true),
	                 "");
	cr_expect_str_eq(
	    warn_go("[policy]\nmode = enforce\n[ban \"g\"]\ncall = golock\naction = log\n", true), "");
}

Test(run_policy, says_once_that_go_locks_are_spared)
{
	static const char both[] =
	    "[policy]\nmode = enforce\n[ban \"c\"]\nfunction = *Handler\n[caps]\nmax_pinned = 4\n";

	expect_warned(both, "p.ini:3: [ban:c] (and 1 more): CPU pins are denied, Go locks are only recorded");
	cr_expect_str_eq(
	    warn_go("[policy]\nmode = enforce\n[ban \"c\"]\nfunction = *Handler\nkind = cpu\n", true), "");
}

Test(run_policy, says_what_a_denied_thread_does_to_a_go_program)
{
	expect_warned("[policy]\nversion = 1\n[caps]\nmax_threads = 8\nmax_threads_action = deny\n",
	              "p.ini:4: max_threads: a Go program that is denied a thread (EAGAIN)");
	cr_expect_str_eq(warn_go("[policy]\nversion = 1\n[caps]\nmax_threads = 8\n", true), "",
	                 "to crash is what Go does itself");
}

Test(run_policy, is_handed_over_by_absolute_path_and_mode)
{
	struct pinw_run_plan p;
	char *none[] = {NULL};

	load(&p, "[policy]\nversion = 1\nmode = audit\n");
	cr_assert_eq(pinw_child_env_init(&p.env, none), 0);
	cr_assert_eq(pinw_run_policy_set_variables(&p), 0);
	cr_expect_str_eq(pinw_child_env_get(&p.env, "PINWARDEN_POLICY"), in_folder("p.ini"));
	cr_expect_null(pinw_child_env_get(&p.env, "PINWARDEN_MODE"), "the file's own mode holds");
	p.opt.mode = PINW_MODE_ENFORCE;
	cr_assert_eq(pinw_run_policy_set_variables(&p), 0);
	cr_expect_str_eq(pinw_child_env_get(&p.env, "PINWARDEN_MODE"), "enforce");
	pinw_child_env_done(&p.env);
	pinw_run_policy_done(&p.policy);

	p = (struct pinw_run_plan){.cwd = folder,
	                           .opt = {.policy = "p.ini", .mode = PINW_MODE_ENFORCE, .quiet = true}};
	cr_assert_eq(chdir(folder), 0);
	cr_assert_eq(pinw_run_policy_read(&p), 0);
	cr_expect_str_eq(p.policy.path, in_folder("p.ini"));
	cr_expect_eq(p.policy.mode, PINW_MODE_ENFORCE, "the option beats the file");
	pinw_run_policy_done(&p.policy);
}

Test(run_policy, logs_where_the_environment_then_the_policy_says_else_to_stderr)
{
	struct pinw_run_plan p = {.cwd = folder};

	unsetenv("PINWARDEN_LOG");
	cr_expect_null(pinw_run_policy_log(&p), "no policy, no log");
	load(&p, "[policy]\nversion = 1\n");
	cr_expect_str_eq(pinw_run_policy_log(&p), "stderr");
	pinw_run_policy_done(&p.policy);
	load(&p, "[policy]\nversion = 1\nlog = /var/log/pins\n");
	cr_expect_str_eq(pinw_run_policy_log(&p), "/var/log/pins");
	setenv("PINWARDEN_LOG", "/tmp/pins", 1);
	cr_expect_str_eq(pinw_run_policy_log(&p), "/tmp/pins");
	pinw_run_policy_done(&p.policy);
}

Test(run_policy, fails_a_run_by_the_strongest_rule_that_was_broken)
{
	static const struct {
		enum pinw_fail_on fail_on;
		enum pinw_action worst;
		bool breach;
	} cases[] = {
	    {PINW_FAIL_NEVER, PINW_ACTION_CRASH, false},  {PINW_FAIL_ERROR, PINW_ACTION_NONE, false},
	    {PINW_FAIL_ERROR, PINW_ACTION_LOG, false},    {PINW_FAIL_ERROR, PINW_ACTION_DENY, true},
	    {PINW_FAIL_ERROR, PINW_ACTION_RESET, true},   {PINW_FAIL_ERROR, PINW_ACTION_CRASH, true},
	    {PINW_FAIL_WARNING, PINW_ACTION_NONE, false}, {PINW_FAIL_WARNING, PINW_ACTION_LOG, true},
	    {PINW_FAIL_WARNING, PINW_ACTION_DENY, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(pinw_run_is_breach(cases[i].fail_on, cases[i].worst), cases[i].breach,
		             "case %zu", i);
}

/* ---- the summary under a policy --------------------------------------------------------------- */

static void tell_process(struct pinw_builder *b, uint32_t pid, enum pinw_mode mode)
{
	pinw_builder_init(b, 1);
	b->header.self.pid = pid;
	b->header.self.nonce[0] = (uint8_t)pid;
	pinw_builder_policy(b, "/etc/s.ini", mode, 4);
	pinw_builder_rule(b, 3, PINW_SECTION_BAN, PINW_ACTION_DENY, "ban:handlers");
	pinw_builder_rule(b, 7, PINW_SECTION_CAPS, PINW_ACTION_CRASH, "caps:max_threads");
	pinw_builder_rule(b, 9, PINW_SECTION_LEAK, PINW_ACTION_LOG, "leak:pinned_idle");
	pinw_builder_rule(b, 12, PINW_SECTION_SUPPRESS, PINW_ACTION_NONE, "suppress:pool");
	pinw_builder_end(b, PINW_END_EXIT, 0, 1000);
}

static struct pinw_summary_result summarize(size_t count, bool policy, bool quiet)
{
	struct pinw_summary_options options = {
	    .directory = folder, .cwd = folder, .policy = policy, .quiet = quiet};
	char *paths[] = {(char *)in_folder("a.pwt"), (char *)in_folder("b.pwt")};
	struct pinw_traces traces = {.paths = paths, .count = count};
	struct pinw_summary_result result = {0};

	listen_to_stderr();
	int r = pinw_summary_print(&traces, &options, &result);
	heard();
	cr_assert_eq(r, 0);
	return result;
}

static void expect_line(const char *line)
{
	cr_expect_not_null(strstr(said, line), "no \"%s\" in:\n%s", line, said);
}

Test(run_policy, sums_violations_up_by_rule_over_all_processes)
{
	struct pinw_builder b;

	tell_process(&b, 100, PINW_MODE_ENFORCE);
	b.rules[0].violations = b.rules[0].done = 7;
	b.rules[3].matched = 3;
	write_trace(&b, "a.pwt");
	tell_process(&b, 101, PINW_MODE_AUDIT);
	b.rules[0].violations = 5;
	b.rules[1].violations = 1;
	b.rules[2].watch_violations = 2;
	write_trace(&b, "b.pwt");
	struct pinw_summary_result result = summarize(2, true, false);
	expect_line("pinwarden: violations: 1 would crash by caps:max_threads, 7 denied by\n"
	            "pinwarden:   ban:handlers, 5 would deny by ban:handlers, 2 found over time by\n"
	            "pinwarden:   leak:pinned_idle; leaks suppressed: 3\n");
	cr_expect_null(strstr(said, "was aborted"), "%s", said);
	cr_expect_eq(result.worst, PINW_ACTION_CRASH);
	cr_expect_not(result.unjudged);
	result = summarize(1, true, true);
	cr_expect_str_eq(said, "");
	cr_expect_eq(result.worst, PINW_ACTION_DENY);
}

Test(run_policy, counts_what_was_found_over_time_as_broken)
{
	struct pinw_builder b;

	tell_process(&b, 100, PINW_MODE_AUDIT);
	b.rules[2].watch_violations = 1;
	write_trace(&b, "a.pwt");
	cr_expect_eq(summarize(1, true, true).worst, PINW_ACTION_LOG);
}

Test(run_policy, says_which_rule_aborted_the_program)
{
	struct pinw_builder b;

	tell_process(&b, 100, PINW_MODE_ENFORCE);
	b.rules[1].violations = b.rules[1].done = 1;
	pinw_builder_end(&b, PINW_END_SIGNAL, SIGABRT, 1000);
	write_trace(&b, "a.pwt");
	summarize(1, true, false);
	expect_line("pinwarden: process 100 was aborted by the rule caps:max_threads (/etc/s.ini:7)\n");
	expect_line("pinwarden: violations: 1 crashed by caps:max_threads\n");
}

Test(run_policy, never_takes_silence_for_a_policy_that_was_kept)
{
	struct pinw_builder b;

	tell_process(&b, 100, PINW_MODE_ENFORCE);
	write_trace(&b, "a.pwt");
	cr_expect_not(summarize(1, true, false).unjudged);
	expect_line("pinwarden: violations: none\n");
	pinw_builder_init(&b, 1); /* the shim went on without the policy */
	b.header.self.pid = 101;
	b.header.self.nonce[0] = 101;
	write_trace(&b, "b.pwt");
	cr_expect(summarize(2, true, false).unjudged);
	expect_line("pinwarden: violations: none seen; of 1 of 2 images it cannot be told\n");
	cr_expect_not(summarize(2, false, false).unjudged, "nobody asked");
	cr_expect_null(strstr(said, "violations"), "%s", said);
	tell_process(&b, 101, PINW_MODE_ENFORCE);
	b.rules[1].id = 99;
	write_trace(&b, "b.pwt");
	cr_expect(summarize(2, true, false).unjudged);
	expect_line("of 1 of 2 images it cannot be told");
}
