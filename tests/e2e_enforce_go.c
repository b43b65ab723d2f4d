/* SPDX-License-Identifier: MIT
 *
 * Rules on Go locks, in tests/go/ruled.go as every Go of this machine builds it: what is denied, logged and limited is what the
 * program says it tried, to the last lock.
 */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/enforce_scene.h"

#define GO_DENIED "[policy]\ndeny_golocks = yes\n"

TestSuite(enforce_go, .fini = e2e_done, .timeout = 300);

static void each_program(void (*fn)(const char *program))
{
	char pattern[4096];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/go/ruled-*", getenv("PINW_BUILD"));
	int r = glob(pattern, 0, NULL, &found);
	e2e_needs(r == 0 && found.gl_pathc > 0, "no Go is installed, or it cannot build with cgo");
	for (size_t i = 0; i < found.gl_pathc; i++)
		fn(found.gl_pathv[i]);
	globfree(&found);
}

static const char *call(const char *program, const char *arguments)
{
	static char command[4608];

	snprintf(command, sizeof(command), "%s %s", program, arguments);
	return command;
}

/* The locks of the last run, all processes together. */
static void locks(unsigned granted, unsigned unlocked, unsigned destroyed)
{
	char expression[256];

	snprintf(
	    expression, sizeof(expression),
	    "[.processes[].golocks | [.locks, .unlocks, .destroyed]] | transpose | map(add) == [%u, %u, %u]",
	    granted, unlocked, destroyed);
	e2e_true(expression);
}

/* ---- bans --------------------------------------------------------------------------------- */

#define SERVED "handled=6400 worked=3200\n"

/* 9600: a nested lock behind one that was denied is the outermost again. */
static void deny_handlers(const char *program)
{
	static const char *const functions[] = {"*Handler", "main.(*server).*Handler", "(*server).*Handler"};

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		policy(GO_DENIED "[ban \"b\"]\nfunction = %s\ncall = golock\nmessage = use a worker\n",
		       functions[i]);
		enforced(call(program, "serve 64 50"), SERVED, "{\"ban:b\": 9600}");
		locks(3200, 3200, 0);
		says("denied: the goroutine is not locked\n");
		says("use a worker\n");
		says(" main.(*server).pinHandler+0x");
		says(" main.(*server).nestingHandler+0x");
	}
}

Test(enforce_go, a_ban_denies_the_locks_of_handlers_and_no_others)
{
	each_program(deny_handlers);
}

static void log_handlers(const char *program)
{
	policy("[ban \"b\"]\nfunction = *Handler\ncall = golock\naction = log\n");
	enforced(call(program, "serve 8 50"), "handled=800 worked=400\n", "{\"ban:b\": 800}");
	locks(1200, 1200, 0);
	e2e_true(".processes[0].golocks.nested == 400");
	says(": logged\n");
}

Test(enforce_go, a_ban_that_logs_lets_all_through)
{
	each_program(log_handlers);
}

/* What covers pins as well denies no lock without the key; what audits denies nothing at all. */
static void would_deny(const char *program)
{
	policy("[ban \"b\"]\nfunction = *Handler\n");
	enforced(call(program, "serve 8 50"), "handled=800 worked=400\n", "{\"ban:b\": 800}");
	locks(1200, 1200, 0);
	says("would deny (deny_golocks is not set)\n");
	policy(GO_DENIED "[ban \"b\"]\nfunction = *Handler\n");
	under("--audit", call(program, "serve 8 50"));
	violations("{\"ban:b\": 800}");
	locks(1200, 1200, 0);
	says("would deny (audit)\n");
}

Test(enforce_go, without_the_key_and_under_audit_a_lock_would_be_denied)
{
	each_program(would_deny);
}

static void refuse(const char *program)
{
	policy("[policy]\nmode = enforce\n[ban \"b\"]\ncall = golock\n");
	under("", call(program, "serve"));
	cr_assert_eq(last.status, 2, "%s", last.err);
	cr_assert_str_eq(last.out, "");
	says("policy.ini:3: [ban \"b\"]: it would deny Go locks");
	says("say deny_golocks = yes in [policy]");
}

Test(enforce_go, a_rule_that_denies_them_by_name_needs_the_key)
{
	each_program(refuse);
}

static void crash(const char *program)
{
	policy("[ban \"b\"]\nfunction = pinHandler\ncall = golock\naction = crash\n");
	under("--enforce", call(program, "serve 8 50"));
	cr_assert_eq(last.status, 134, "status %d: %s", last.status, last.err);
	violations("{\"ban:b\": 1}");
	e2e_true(".processes[0].end == {how: \"signal\", status: 6}");
	says("pinwarden: fatal: ban:b");
	says(" was to be locked by goroutine ");
	says(" main.(*server).pinHandler+0x");
	says("threads alive, by their stacks:\n");
	says("pinwarden: aborted\n");
	says_not("SIGABRT: abort"); /* Go's own handler has no say */
}

Test(enforce_go, a_ban_that_crashes_ends_the_program_at_once)
{
	each_program(crash);
}

static void after(const char *program)
{
	policy(GO_DENIED "[ban \"b\"]\nfunction = *Handler\nkind = go\nafter = 1h\n");
	enforced(call(program, "serve 4 10"), "handled=80 worked=40\n", "{}");
	policy(GO_DENIED "[ban \"b\"]\nfunction = worker\nkind = go\nsite_rate = 7/1h\n");
	enforced(call(program, "serve 4 10"), "handled=80 worked=40\n", "{\"ban:b\": 33}");
	policy(GO_DENIED "[ban \"b\"]\nmodule = ruled-*\nthread_name = ruled*\nkind = go\n");
	enforced(call(program, "serve 4 10"), "handled=80 worked=40\n", "{\"ban:b\": 160}");
	locks(0, 0, 0);
}

Test(enforce_go, bans_take_rates_times_modules_and_thread_names)
{
	each_program(after);
}

/* Two threads that locked and ended are within the rate; the third one's end is beyond it. */
static void churn(const char *program)
{
	policy("[ban \"b\"]\nkind = go\nchurn_rate = 2/1h\nshort_lived = 1h\naction = log\n");
	under("--enforce", call(program, "leak 1 40"));
	cr_assert_str_eq(last.out, "leaked=40\n");
	e2e_true(".processes[0].violations[\"ban:b\"] >= 30");
	policy("[ban \"b\"]\nkind = cpu\nchurn_rate = 2/1h\nshort_lived = 1h\naction = log\n");
	enforced(call(program, "leak 1 40"), "leaked=40\n", "{}");
}

Test(enforce_go, threads_that_lock_and_end_are_churn)
{
	each_program(churn);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void cap(const char *program)
{
	policy(GO_DENIED "[caps]\nmax_pinned = 3\n");
	enforced(call(program, "hold 8 20"), "held=160\n", "{\"caps:max_pinned\": 100}");
	locks(60, 60, 0);
	/* Each time there are two, which may be more than once in a round. */
	policy(GO_DENIED "[caps]\nmax_pinned = 3\nmax_pinned_warn_at = 2\n");
	under("--enforce", call(program, "hold 8 20"));
	e2e_true(".processes[0].violations | .[\"caps:max_pinned\"] == 100 and "
	         ".[\"caps:max_pinned_warn_at\"] >= 20");
	policy("[caps]\nmax_pinned = 3\n");
	enforced(call(program, "hold 8 20"), "held=160\n", "{\"caps:max_pinned\": 100}");
	locks(160, 160, 0);
}

Test(enforce_go, max_pinned_counts_threads_that_are_locked)
{
	each_program(cap);
}

/* Locks that are destroyed, or undone where nobody looks, give back what they held. */
static void cap_returns(const char *program)
{
	policy(GO_DENIED "[caps]\nmax_pinned = 4\n");
	enforced(call(program, "leak 4 20"), "leaked=80\n", "{}");
	locks(80, 0, 80);
}

Test(enforce_go, a_destroyed_lock_is_out_of_the_count)
{
	each_program(cap_returns);
}

static void cap_once(const char *program)
{
	cpu_number(1);
	policy(GO_DENIED "[caps]\nmax_pinned = 8\n");
	enforced(call(program, "both 8"), "both=8\n", "{}");
	locks(8, 8, 0);
	policy("[caps]\nmax_pinned = 7\nmax_pinned_action = log\n");
	enforced(call(program, "both 8"), "both=8\n", "{\"caps:max_pinned\": 1}");
}

Test(enforce_go, a_thread_that_is_pinned_and_locked_counts_once)
{
	each_program(cap_once);
}

static void allow(const char *program)
{
	policy(GO_DENIED "[allow \"a\"]\nfunction = holder\nkind = go\nmax = 4\n"
	                 "[ban \"b\"]\nkind = go\n");
	enforced(call(program, "hold 8 20"), "held=160\n", "{\"ban:b\": 80}");
	locks(80, 80, 0);
	enforced(call(program, "leak 4 5"), "leaked=20\n", "{\"ban:b\": 20}");
	locks(0, 0, 0);
}

Test(enforce_go, an_allow_has_so_many_places_and_no_more)
{
	each_program(allow);
}

/* Every thread but the template thread and the one that the rate lets through. */
static void exempt(const char *program)
{
	policy("[caps]\nthread_rate = 1/1h\nthread_rate_action = log\n");
	under("--enforce", call(program, "quiet 8 2"));
	cr_assert_str_eq(last.out, "held=16\n");
	e2e_true(".processes[0] | .threads.created > 8 and "
	         ".violations[\"caps:thread_rate\"] == .threads.created - 2");
}

Test(enforce_go, the_template_thread_is_no_matter_of_limits)
{
	each_program(exempt);
}

static void give_up(const char *program)
{
	policy("[caps]\nmax_threads = 6\nmax_threads_action = deny\n");
	under("--enforce", call(program, "hold 32 1"));
	cr_assert_neq(last.status, 0);
	cr_assert_str_eq(last.out, "");
	says("denied with EAGAIN\n");
	says("a Go program tries 20 times, for about 0.2 s, and then aborts\n");
	cr_assert_null(strstr(strstr(last.err, "tries 20 times") + 1, "tries 20 times"), "once");
}

Test(enforce_go, what_a_denied_thread_does_to_go_is_said)
{
	each_program(give_up);
}

/* ---- require --------------------------------------------------------------------------------- */

static void require(const char *program)
{
	policy("[require \"r\"]\nthread_name = device\nkind = go\n");
	enforced(call(program, "devices 20"), "devices=10\n", "{}");
	policy("[require \"r\"]\nthread_name = device\n");
	enforced(call(program, "devices 20"), "devices=10\n", "{}");
	policy("[require \"r\"]\nthread_name = device\nkind = cpu\n");
	enforced(call(program, "devices 20"), "devices=10\n", "{\"require:r\": 10}");
	policy("[require \"r\"]\nthread_name = device\nkind = go\npinned = no\n");
	enforced(call(program, "devices 20"), "devices=10\n", "{\"require:r\": 10}");
}

Test(enforce_go, a_required_pin_may_be_a_go_lock)
{
	each_program(require);
}

/* ---- leaks ------------------------------------------------------------------------------------ */

static void leaks(const char *program)
{
	policy("[leak]\nexit_while_pinned = log\n");
	enforced(call(program, "leak 4 5"), "leaked=20\n", "{\"leak:exit_while_pinned\": 20}");
	says(" is destroyed: its goroutine ended\n  locked by goroutine ");
	says(" main.forgetful+0x");
	policy("[leak]\nexit_while_pinned = log\n[suppress \"s\"]\nfunction = main.forgetful\n");
	enforced(call(program, "leak 4 5"), "leaked=20\n", "{}");
	says_not("destroyed");
	policy("[leak]\nexit_while_pinned = crash\n");
	under("--enforce", call(program, "leak 1 1"));
	cr_assert_eq(last.status, 134, "status %d: %s", last.status, last.err);
	says(" is destroyed: its goroutine ended\n  locked by goroutine ");
	says(" main.forgetful+0x");
}

Test(enforce_go, a_destroyed_lock_is_a_leak)
{
	each_program(leaks);
}

/* Of the trace that the last run left. */
static void metered_unbalanced(unsigned count)
{
	char command[512], sample[64];

	snprintf(command, sizeof(command), "@@ metrics %s", e2e_trace(NULL));
	snprintf(sample, sizeof(sample), ",kind=\"unbalanced\"} %u\n", count);
	const char *page = e2e_status(0, command)->out;
	cr_expect_not_null(strstr(page, sample), "no %s in %s", sample, page);
}

static void at_end(const char *program)
{
	policy("[leak]\npinned_at_end = log\nunbalanced = log\n");
	enforced(call(program, "end 1"), "depth=1\n", "{\"leak:pinned_at_end\": 1}");
	enforced(call(program, "end 3"), "depth=3\n", "{\"leak:pinned_at_end\": 1, \"leak:unbalanced\": 1}");
	says(", depth 3\n");
	metered_unbalanced(1);
	policy("[leak]\npinned_at_end = log\n[allow \"a\"]\nkind = go\nfunction = take\n");
	enforced(call(program, "end 1"), "depth=1\n", "{}");
	policy("[leak]\npinned_at_end = log\n[allow \"a\"]\nkind = cpu\nfunction = take\n");
	enforced(call(program, "end 1"), "depth=1\n", "{\"leak:pinned_at_end\": 1}");
}

Test(enforce_go, a_lock_open_at_the_end_is_a_leak_and_its_depth_is_another)
{
	each_program(at_end);
}

static void unbalanced(const char *program)
{
	policy("[leak]\nunbalanced = log\n");
	enforced(call(program, "unbalanced 8 20"), "unbalanced=160 balanced=320\n",
	         "{\"leak:unbalanced\": 160}");
	says(" was unlocked by another function\n");
	says(" main.take+0x");
	says_not(" main.inOne+0x");
	metered_unbalanced(160);
	policy("[leak]\nunbalanced = log\n[suppress \"s\"]\nleak = unbalanced\nfunction = take\n");
	enforced(call(program, "unbalanced 8 20"), "unbalanced=160 balanced=320\n", "{}");
}

Test(enforce_go, a_lock_that_another_function_undoes_is_unbalanced)
{
	each_program(unbalanced);
}

static void log_leaks(const char *program)
{
	char command[4608];

	snprintf(command, sizeof(command), "@@ run -q --log stderr -o %%d/t/ -- %s leak 1 1", program);
	go(command);
	says("pinwarden: leak: exit-while-pinned: thread ");
	says(": M destroyed while locked\n  locked by goroutine ");
	snprintf(command, sizeof(command), "@@ run -q --log stderr -o %%d/t/ -- %s end 1", program);
	go(command);
	says("pinwarden: leak: pinned-at-end: thread ");
	says(" is locked when the process ends\n  locked by goroutine 1, held ");
}

Test(enforce_go, leaks_of_locks_are_logged_as_they_happen)
{
	each_program(log_leaks);
}
