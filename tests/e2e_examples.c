/* SPDX-License-Identifier: MIT
 *
 * The programs of examples/ under their policies: what they print, what Pinwarden prints (examples/expected/NAME.txt,
 * normalised), and what the audit counts. So what examples/README.md says stays true.
 *
 * PINW_RECORD=1 writes the expected files anew instead of comparing.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/e2e.h"

TestSuite(examples, .fini = e2e_done);

/* A path of the project, which the tests are started in. */
static const char *project(char *path, const char *file)
{
	char root[PATH_MAX - 256];

	cr_assert_not_null(realpath(".", root));
	snprintf(path, PATH_MAX, "%s/%s", root, file);
	return path;
}

/* The text as a script of sed leaves it. */
static const struct e2e_result *edited(const char *script, const char *text)
{
	char path[PATH_MAX], file[PATH_MAX], command[2 * PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/printed", e2e_dir());
	e2e_write(path, text);
	snprintf(command, sizeof(command), "sed -E -f %s %s", project(file, script), path);
	return e2e_status(0, command);
}

/* What a reader sees, without what differs from run to run. */
static const struct e2e_result *normalised(const char *program, const char *text)
{
	const struct e2e_result *r = edited("examples/expected/normalise.sed", text);

	return strncmp(program, "go_", 3) == 0 ? edited("examples/expected/normalise_go.sed", r->out) : r;
}

static void compare(const char *expected, const char *text)
{
	char path[PATH_MAX], file[PATH_MAX], command[2 * PATH_MAX + 32];
	const char *record = getenv("PINW_RECORD");
	static struct e2e_result diff;

	snprintf(file, sizeof(file), "examples/expected/%s.txt", expected);
	project(path, file);
	if (record && *record) {
		e2e_write(path, text);
		return;
	}
	snprintf(file, sizeof(file), "%s/normal", e2e_dir());
	e2e_write(file, text);
	snprintf(command, sizeof(command), "diff -u %s %s", path, file);
	e2e_run(&diff, command);
	cr_assert_eq(diff.status, 0, "what is printed is not as %s:\n%s", path, diff.out);
}

/* Runs an example under a policy of examples/policies and compares what is printed (`expected` NULL: that differs from
 * run to run): the program's lines, then Pinwarden's. The policy is copied: a checkout's files may be writable by a group, and then Pinwarden refuses them. */
static void show(const char *expected, const char *policy, const char *mode, const char *program)
{
	static char text[2 * E2E_TEXT_BYTES + 1024];
	static struct e2e_result r;
	char build[PATH_MAX - 64], source[PATH_MAX], file[256], command[2 * PATH_MAX];
	const char *env = getenv("PINW_BUILD");

	cr_assert_not_null(realpath(env ? env : "build", build));
	snprintf(file, sizeof(file), "examples/policies/%s.ini", policy);
	snprintf(command, sizeof(command), "install -m 644 %s %%d/%s.ini", project(source, file), policy);
	e2e_status(0, command);
	snprintf(command, sizeof(command), E2E_PINWARDEN " run -p %%d/%s.ini %s -o %%d/t/ -- %s/examples/%s",
	         policy, mode, build, program);
	e2e_run(&r, command);
	if (r.status == 77)
		cr_skip_test("%s", r.err);
	cr_assert_eq(r.status, 0, "%s: status %d\n%s%s", program, r.status, r.out, r.err);
	snprintf(text, sizeof(text),
	         "$ pinwarden run -p examples/policies/%s.ini %s%s-- build/examples/%s\n%s\n%s", policy, mode,
	         *mode ? " " : "", program, r.out, r.err);
	if (expected)
		compare(expected, normalised(program, text)->out);
}

/* What the report says of the traces. */
static void expect_report(const char *options, const char *part)
{
	char command[256];

	snprintf(command, sizeof(command), E2E_PINWARDEN " report %%d/t %s", options);
	const struct e2e_result *r = e2e_status(0, command);
	cr_expect_not_null(strstr(r->out, part), "no \"%s\" in:\n%s", part, r->out);
}

#define VIOLATIONS "[.processes[].violations // {} | to_entries[] | select(.value > 0)] | from_entries"
#define LEAKS "[.totals.leaks | to_entries[] | select(.value > 0)] | from_entries"

Test(examples, a_handler_that_pins_is_denied)
{
	show("handler_pins", "handler_pins", "--enforce", "handler_pins");
	e2e_true(VIOLATIONS " | . == {\"ban:pins on a request handler's stack\": 8}");
	e2e_true(LEAKS " | . == {}");
	e2e_true(".totals.threads.created == 9 and .totals.threads.joined == 9 and .totals.pins.opened == 0");
}

Test(examples, a_handler_that_pins_leaks_where_it_may)
{
	/* A thread's end and the next request's pin come in any order. */
	show(NULL, "handler_pins", "--audit", "handler_pins");
	e2e_true(VIOLATIONS
	         " | . == {\"ban:pins on a request handler's stack\": 8, \"leak:exit_while_pinned\": 8}");
	e2e_true(LEAKS " | . == {\"exit-while-pinned\": 8}");
	expect_report("--scorecard", "FAIL            is its cost bounded, with no pin per request?");
	expect_report("--scorecard", "look at: cpus_pin, called for handle_request");
	expect_report("--scorecard", "threads expected  not known: the program is not Go");
	expect_report("--by=site", "CHURN BY CREATION SITE");
}

Test(examples, a_single_owner_breaks_no_rule)
{
	show("single_owner", "single_owner", "--enforce", "single_owner");
	e2e_true(VIOLATIONS " | . == {}");
	e2e_true(LEAKS " | . == {}");
	e2e_true(
	    ".totals.pins.opened == 1 and .totals.pins.released == 1 and .totals.threads.created == 106");
}

Test(examples, a_dispatcher_breaks_no_rule)
{
	show("dispatcher", "dispatcher", "--enforce", "dispatcher 2");
	e2e_true(VIOLATIONS " | . == {}");
	e2e_true(LEAKS " | . == {}");
	/* Two workers and the replacement of one; a supervisor and four clients. */
	e2e_true(".totals.pins.opened == 3 and .totals.pins.released == 3 and .totals.pins.inherited == 0");
	e2e_true(".totals.threads.created == 8 and .totals.threads.joined == 8");
}

Test(examples, helpers_get_their_mask_back)
{
	show("inheriting_helper", "inheriting_helper", "--enforce", "inheriting_helper");
	e2e_true(VIOLATIONS " | . == {\"leak:inherited\": 3}");
	e2e_true(LEAKS " | . == {}");
	show("inheriting_helper_audit", "inheriting_helper", "--audit", "inheriting_helper");
}

Test(examples, a_leaking_worker_is_logged)
{
	show("leaking_worker", "leaking_worker", "", "leaking_worker");
	e2e_true(VIOLATIONS " | . == {\"leak:exit_while_pinned\": 2}");
	e2e_true(LEAKS " | . == {\"exit-while-pinned\": 2}");
	e2e_true(".totals.pins.opened == 6 and .totals.pins.released == 4 and .totals.threads.created == 3");
}

Test(examples, a_cured_worker_leaks_nothing)
{
	show("leaking_worker_cured", "leaking_worker", "", "leaking_worker cured");
	e2e_true(VIOLATIONS " | . == {}");
	e2e_true(LEAKS " | . == {}");
}

Test(examples, double_booking_is_named)
{
	show("double_booking", "double_booking", "", "double_booking");
	e2e_true(VIOLATIONS " | . == {\"caps:max_pinned_per_cpu\": 1}");
	e2e_true(".totals.pins.opened == 2 and .totals.pins.released == 2");
}

Test(examples, double_booking_is_denied)
{
	show("double_booking_enforced", "double_booking", "--enforce", "double_booking");
	e2e_true(VIOLATIONS " | . == {\"caps:max_pinned_per_cpu\": 1}");
	e2e_true(".totals.pins.opened == 1 and .totals.pins.released == 1");
}

Test(examples, one_plan_books_no_cpu_twice)
{
	show("double_booking_cured", "double_booking", "--enforce", "double_booking cured");
	e2e_true(VIOLATIONS " | . == {}");
	e2e_true(".totals.pins.opened == 2 and .totals.pins.released == 2");
}

/* ---- Go ------------------------------------------------------------------------------------- */

#define PER_REQUEST "[.processes[].per_request | select(.answer == \"yes\")]"

static void needs_go(void)
{
	char path[PATH_MAX];
	const char *build = getenv("PINW_BUILD");

	snprintf(path, sizeof(path), "%s/examples/go_service", build ? build : "build");
	e2e_needs(access(path, X_OK) == 0, "no Go is installed, or it cannot build with cgo");
}

Test(examples, a_go_handler_that_locks_is_denied)
{
	needs_go();
	show("go_handler", "go_handler", "--enforce", "go_service handler");
	e2e_true(VIOLATIONS " | . == {\"ban:locks on a request handler's stack\": 8}");
	e2e_true(LEAKS " | . == {}");
	e2e_true(".processes[0].golocks | .locks == 0 and .denied == 8 and .covered");
}

Test(examples, a_go_handler_that_locks_is_named_where_it_may)
{
	needs_go();
	show("go_handler_audited", "go_handler", "--audit", "go_service handler");
	e2e_true(VIOLATIONS " | . == {\"ban:locks on a request handler's stack\": 8}");
	e2e_true(".processes[0].golocks | .locks == 8 and .unlocks == 8");
}

Test(examples, a_go_handler_that_locks_pins_per_request)
{
	needs_go();
	show(NULL, "go_handler", "--audit", "go_service handler 300");
	e2e_true(LEAKS " | . == {}");
	e2e_true(PER_REQUEST " | length == 1");
	e2e_true(".processes[0] | .golock_list | length == 1 and .[0].locks == 300");
	expect_report("--scorecard", "FAIL            is its cost bounded, with no pin per request?");
	expect_report("--scorecard", "300 Go locks were taken for requests, at 1 place");
}

Test(examples, a_go_handler_that_leaks_destroys_a_thread_for_each_request)
{
	needs_go();
	show("go_leaking", "go_leaking", "", "go_service leaking");
	e2e_true(VIOLATIONS " | . == {\"leak:exit_while_pinned\": 8}");
	e2e_true(LEAKS " | . == {\"exit-while-pinned\": 8}");
	e2e_true(".processes[0].golocks | .locks == 8 and .destroyed == 8 and .open == 0");
}

Test(examples, go_owners_break_no_rule)
{
	needs_go();
	show("go_owner", "go_owner", "--enforce", "go_service owner 100");
	e2e_true(VIOLATIONS " | . == {}");
	e2e_true(LEAKS " | . == {}");
	e2e_true(".processes[0].golocks | .locks == 2 and .unlocks == 2 and .covered");
	expect_report("--scorecard", "PASS            every lock is undone by the function that took it");
	expect_report("--scorecard", "PASS            shutdown drains the workers");
	expect_report("--scorecard", "pins to CPUs take 0 CPUs");
}

Test(examples, go_owners_are_clean_under_the_handlers_policies)
{
	needs_go();
	show(NULL, "go_handler", "--enforce", "go_service owner 100");
	e2e_true(VIOLATIONS " | . == {}");
	e2e_true(LEAKS " | . == {}");
	e2e_true(PER_REQUEST " == []");
	e2e_reread();
	show(NULL, "go_leaking", "", "go_service owner 100");
	e2e_true(VIOLATIONS " | . == {}");
}

/* `pinwarden policy lint` has nothing against any policy of examples/policies. */
Test(examples, lint_has_nothing_against_any_policy)
{
	static const char *const policies[] = {
	    "staging",           "ci",         "go-service",   "openmp",         "audit-only",
	    "handler_pins",      "dispatcher", "single_owner", "leaking_worker", "double_booking",
	    "inheriting_helper", "go_handler", "go_leaking",   "go_owner"};

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		char source[PATH_MAX], file[256], command[2 * PATH_MAX];

		snprintf(file, sizeof(file), "examples/policies/%s.ini", policies[i]);
		snprintf(command, sizeof(command), "install -m 644 %s %%d/%s.ini", project(source, file),
		         policies[i]);
		e2e_status(0, command);
		snprintf(command, sizeof(command), E2E_PINWARDEN " policy lint %%d/%s.ini", policies[i]);
		e2e_status(0, command);
	}
}
