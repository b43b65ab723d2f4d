/* SPDX-License-Identifier: MIT
 *
 * Rules about time under `pinwarden run -p`: the programs go on until the log says what is expected, so no test
 * depends on how long anything takes.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e.h"
#include "tests/go_programs.h"

TestSuite(watch, .fini = e2e_done, .timeout = 180);

/* The scene's policy; its log is the scene's file "log". */
static void policy(const char *rules)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/p.ini", e2e_dir());
	FILE *f = fopen(path, "w");
	cr_assert_not_null(f);
	fprintf(f, "[policy]\nversion = 1\n%s", rules);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(chmod(path, 0600), 0);
}

static const char *log_text(void)
{
	static char text[1 << 17];
	char path[4096];

	snprintf(path, sizeof(path), "%s/log", e2e_dir());
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = '\0';
	return text;
}

static void logged(const char *part)
{
	cr_expect_not_null(strstr(log_text(), part), "\"%s\" is not in the log:\n%s", part, log_text());
}

static void not_logged(const char *part)
{
	cr_expect_null(strstr(log_text(), part), "\"%s\" is in the log:\n%s", part, log_text());
}

/* Where an idle thread sleeps; a machine that gave it no time to stop is told instead. */
static void logged_stack(void)
{
	if (!strstr(log_text(), "the thread did not stop in time and was let go"))
		logged("watch_sleep_here");
}

Test(watch, an_idle_pinned_thread_is_told_with_where_it_sleeps)
{
	policy("[leak]\npinned_idle = log\nidle_after = 1s\n");
	e2e_status(0, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_idle %d/log pinned_idle");
	logged("leak:pinned_idle");
	logged("thread \"idler\"");
	logged("called by read()");
	logged("watch_pin_self");
	not_logged("pinned_idle: thread \"busy\"");
}

Test(watch, an_idle_stack_shows_what_the_thread_waits_for)
{
	policy("[leak]\npinned_idle = log\nidle_after = 1s\n");
	e2e_status(0,
	           "@@ run -q --idle-stacks -p %d/p.ini --log %d/log -o %d/t/ -- @watch_idle %d/log created");
	logged("present stack");
	logged_stack();
}

/* The shim, the watch and a policy tried on the trace know functions by their symbols, which an inlined one has not. */
Test(watch, an_inlined_function_is_unknown_to_every_judge)
{
	policy("[ban \"inlined\"]\nfunction = watch_pin_inlined\naction = log\n"
	       "[suppress \"inlined\"]\nfunction = watch_pin_inlined\nreason = none\n"
	       "[leak]\npinned_idle = log\nidle_after = 1s\n");
	e2e_status(0, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_idle %d/log created 0");
	e2e_true("[.processes[].violations] == [{\"leak:pinned_idle\": 1}]");
	e2e_status(0, "@@ policy test -p %d/p.ini %d/t");
	policy("[ban \"outer\"]\nfunction = watch_pin_self\naction = log\n");
	e2e_status(1, "@@ policy test -p %d/p.ini %d/t");
}

/* To be stopped for its stack is no work, and the program's end is no second look at the same pin. */
Test(watch, an_idle_thread_is_told_once_for_each_pin)
{
	policy("[leak]\npinned_idle = log\nidle_after = 1s\n");
	e2e_status(0, "@@ run -q --idle-stacks -p %d/p.ini --log %d/log -o %d/t/ -- @watch_idle %d/log "
	              "created 3500");
	logged_stack();
	not_logged("pinned_idle: thread \"busy\"");
	e2e_true("[.processes[].violations] == [{\"leak:pinned_idle\": 1}]");
}

Test(watch, an_ended_thread_nobody_joins_is_told)
{
	policy("[leak]\nunjoined = log\ngrace = 1s\n");
	e2e_status(0,
	           "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads unjoined %d/log unjoined");
	logged("thread \"leaver\"");
	logged("nobody joined or detached it");
}

Test(watch, a_thread_that_should_be_pinned_is_told_by_its_function)
{
	policy("[require \"workers\"]\nfunction = watch_waits\npinned = yes\nwithin = 1s\n");
	e2e_status(0,
	           "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads unpinned %d/log workers");
	logged("require:workers");
	logged("thread \"worker\"");
	logged("is not pinned and should be");
}

#define ONCE "{\"leak:unjoined\": 1, \"require:workers\": 1}"

static void once_policy(void)
{
	policy("[require \"workers\"]\nfunction = watch_leaves_late\npinned = yes\nwithin = 1s\n"
	       "[leak]\nunjoined = log\ngrace = 1s\n");
}

static void told_once(void)
{
	e2e_true("[.processes[].violations] == [" ONCE "]");
}

/* The watch speaks while the thread runs and after it ended; at its end and the program's the shim would. */
Test(watch, what_was_told_from_outside_is_not_told_again_inside)
{
	once_policy();
	e2e_status(0, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads once %d/log "
	              "require:workers leak:unjoined");
	told_once();
	logged("after its start; the rule gives it 1.000 s");
	logged("nobody joined or detached it");
}

Test(watch, without_run_the_program_tells_itself)
{
	char command[4096];

	once_policy();
	snprintf(
	    command, sizeof(command),
	    "env LD_PRELOAD=%s/libpinwarden.so PINWARDEN_OUTPUT=%s/%%e.%%p.pwt PINWARDEN_POLICY=%%d/p.ini "
	    "PINWARDEN_LOG=%%d/log @watch_threads once - - -",
	    getenv("PINW_BUILD"), e2e_traces());
	e2e_status(0, command);
	told_once();
}

Test(watch, a_program_that_grows_is_told)
{
	policy("[leak]\ngrowth = log\n");
	e2e_status(0, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads growth %d/log growth");
	logged("live threads rise steadily");
}

Test(watch, a_crash_is_carried_out_when_enforcing)
{
	policy("mode = enforce\n[leak]\nunjoined = crash\ngrace = 1s\n");
	e2e_status(
	    134, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads unjoined %d/log never-there");
	logged("the process is aborted");
	logged("threads of process");
}

Test(watch, a_crash_is_only_told_in_audit)
{
	policy("[leak]\nunjoined = crash\ngrace = 1s\n");
	e2e_status(0,
	           "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads unjoined %d/log unjoined");
	logged("would crash (audit)");
}

/* Neither the default action nor the handler ends it, so the kernel has to. */
Test(watch, a_program_that_catches_the_crash_is_killed)
{
	policy("mode = enforce\n[leak]\nunjoined = crash\ngrace = 1s\n");
	e2e_status(137, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads caught unjoined "
	                "%d/log never-there");
	logged("the process is aborted");
	logged("still runs 5 s after SIGABRT: it is killed");
	e2e_true("[.processes[].violations] == [{\"leak:unjoined\": 1}]");
}

/* ---- children --------------------------------------------------------------------------------- */

Test(watch, a_fork_child_is_watched)
{
	once_policy();
	e2e_status(0, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads fork once %d/log "
	              "require:workers leak:unjoined");
	e2e_true("[.processes[] | select(.parent) | .violations] == [" ONCE "]");
	e2e_true("[.processes[] | select(.parent | not) | .violations] == [{}]");
	logged("leave_once");
}

Test(watch, a_program_that_a_child_executes_is_watched)
{
	once_policy();
	e2e_status(0, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads exec once %d/log "
	              "require:workers leak:unjoined");
	e2e_true("[.processes[].violations | select(length > 0)] == [" ONCE "]");
}

static void expect_idle_lock(const char *program, const char *arguments)
{
	char command[4096];

	snprintf(command, sizeof(command), "@@ run -q -p %%d/p.ini --log %%d/log -o %%d/t/ -- %s %s", program,
	         arguments);
	e2e_status(0, command);
	logged("holds a Go lock and used no CPU time for");
	logged("locked by goroutine 1, held ");
	logged("#0 main.take");
	for (const char *line = log_text(); (line = strstr(line, "(#1, tid")); line++)
		cr_expect_null(memmem(line, strcspn(line, "\n"), "is not locked", strlen("is not locked")),
		               "it is locked as long as the watch looks:\n%s", log_text());
}

/* What the watch writes down about a thread leaves the thread's lock alone. */
Test(watch, an_idle_go_lock_is_told_and_still_held)
{
	policy("[leak]\npinned_idle = log\nidle_after = 1s\n"
	       "[require \"locked\"]\nthread_name = ruled*\nkind = go\nwithin = 1500ms\nmessage = nobody\n");
	each_go_program("ruled", expect_idle_lock, "idle 4000");
}

Test(watch, idleness_in_another_pid_namespace_is_said_to_be_unknown)
{
	struct e2e_result r;

	e2e_run(&r, "unshare -Urpf true");
	e2e_needs(r.status == 0, "no new pid namespace can be had here");
	policy("[leak]\npinned_idle = log\nidle_after = 1s\n");
	e2e_status(0, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- unshare -Urpf @watch_idle %d/log "
	              "namespace 1000");
	const char *said = strstr(log_text(), "it is in another pid namespace");
	cr_assert_not_null(said, "%s", log_text());
	cr_expect_null(strstr(said + 1, "it is in another pid namespace"), "said again:\n%s", log_text());
}

/* ---- suppressions ------------------------------------------------------------------------------- */

/* A thread that nobody joins, and no word about it; the suppression is counted once. */
static void suppressed(const char *by)
{
	char rules[512];

	snprintf(rules, sizeof(rules),
	         "[leak]\nunjoined = log\ngrace = 1s\n"
	         "[suppress \"known\"]\nleak = unjoined\n%s\nreason = joined later\n",
	         by);
	policy(rules);
	e2e_status(0, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads once - - -");
	e2e_true("[.processes[].violations] == [{}]");
	not_logged("unjoined");
	e2e_true("[.processes[].policy.rules[] | select(.label == \"suppress:known\") | .matched] == [1]");
}

Test(watch, a_leak_is_suppressed_by_its_thread_name)
{
	suppressed("thread_name = leave*");
}

Test(watch, a_leak_is_suppressed_by_its_function)
{
	suppressed("function = leave_once");
}

Test(watch, a_leak_is_suppressed_by_who_created_the_thread)
{
	suppressed("created_by = leave_once");
}

Test(watch, another_suppression_suppresses_nothing)
{
	policy("[leak]\nunjoined = log\ngrace = 1s\n"
	       "[suppress \"other\"]\nleak = unjoined\nfunction = watch_waits\nreason = another\n");
	e2e_status(0, "@@ run -q -p %d/p.ini --log %d/log -o %d/t/ -- @watch_threads once - - -");
	e2e_true("[.processes[].violations] == [{\"leak:unjoined\": 1}]");
}
