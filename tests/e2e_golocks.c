/* SPDX-License-Identifier: MIT
 *
 * Go programs, as every Go of this machine builds them: what the report counts is what tests/go/locks.go says it did,
 * to the last lock, each time.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e.h"
#include "tests/go_programs.h"

TestSuite(golocks, .fini = e2e_done, .timeout = 600);

static void each_program(void (*fn)(const char *program, const char *arguments), const char *arguments)
{
	each_go_program("locks", fn, arguments);
}

Test(golocks, locks_and_unlocks_are_counted)
{
	each_program(expect_exact_golocks, "pairs 64 50");
}

Test(golocks, nested_locks_are_counted_and_end_with_the_last)
{
	each_program(expect_exact_golocks, "nested 8 50");
}

Test(golocks, panics_that_are_recovered_unlock)
{
	each_program(expect_exact_golocks, "panics 8 20");
}

Test(golocks, threads_destroyed_with_their_lock_are_counted)
{
	each_program(expect_exact_golocks, "destroyed 8 20");
}

Test(golocks, locks_in_callbacks_from_c_end_with_them)
{
	each_program(expect_exact_golocks, "callbacks 8 10");
}

Test(golocks, nested_locks_end_with_their_thread)
{
	each_program(expect_exact_golocks, "destroyednested 8 6");
}

Test(golocks, the_main_goroutine_ends_locked_and_its_thread_parks)
{
	each_program(expect_exact_golocks, "goexit");
}

Test(golocks, unlocks_without_a_lock_are_none)
{
	each_program(expect_exact_golocks, "unmatched 8 20");
}

Test(golocks, callbacks_within_callbacks_are_counted)
{
	each_program(expect_exact_golocks, "deep 8 10");
}

Test(golocks, locks_are_held_over_long_calls)
{
	each_program(expect_exact_golocks, "blocked 4 2");
}

Test(golocks, two_hundred_locked_threads_at_once)
{
	each_program(expect_exact_golocks, "crowd 200");
}

Test(golocks, locks_that_the_process_leaves_behind_are_open)
{
	each_program(expect_exact_golocks, "leave 8");
}

Test(golocks, garbage_and_growing_stacks_do_not_matter)
{
	each_program(expect_exact_golocks, "garbage 16 50");
	each_program(expect_exact_golocks, "tall 4 5");
}

Test(golocks, locks_are_held_over_the_start_of_programs)
{
	each_program(expect_exact_golocks, "exec 4 5");
}

Test(golocks, locks_in_init_are_counted)
{
	each_program(expect_exact_golocks, "init");
	each_program(expect_exact_golocks, "initheld");
}

Test(golocks, everything_at_once_under_signals_and_profiling)
{
	each_program(expect_exact_golocks, "storm 64 20");
}

Test(golocks, the_profilers_signals_do_not_matter)
{
	each_program(expect_exact_golocks, "profiles 16 20");
}

Test(golocks, preemptions_of_every_thread_do_not_matter)
{
	each_program(expect_exact_golocks, "preemptions 16 20");
}

Test(golocks, everything_at_once_on_one_processor)
{
	go_environment = "env GOMAXPROCS=1";
	each_program(expect_exact_golocks, "storm 32 5");
}

Test(golocks, everything_at_once_on_more_processors_than_there_are)
{
	go_environment = "env GOMAXPROCS=8";
	each_program(expect_exact_golocks, "storm 32 5");
}

Test(golocks, everything_at_once_without_preemption)
{
	go_environment = "env GODEBUG=asyncpreemptoff=1";
	each_program(expect_exact_golocks, "storm 32 5");
}

Test(golocks, everything_at_once_under_the_race_detector)
{
	each_go_program("race-locks", expect_exact_golocks, "storm 32 5");
}

static void expect_runtime_lock(const char *program, const char *arguments)
{
	run_go_audited(program, arguments);
	e2e_reread();
	e2e_true(".processes[0].golocks | .locks == 40 and .unlocks == 40 and .runtime == 1 and .open == 0");
}

Test(golocks, the_lock_of_os_signal_is_the_runtimes_own)
{
	each_program(expect_runtime_lock, "signals 4 10");
}

static void expect_untimed(const char *program, const char *arguments)
{
	setenv("PINWARDEN_HOLD_TIMES", "0", 1);
	run_go_audited(program, arguments);
	unsetenv("PINWARDEN_HOLD_TIMES");
	e2e_reread();
	e2e_true(
	    ".processes[0] | .golocks.unlocks == 40 and ([.golock_list[].unlocks] | add) == 40 and "
	    "all(.golock_list[]; .held_mean_ns == null and .held_max_ns == null and .held_total_ns == null)");
	run_go_audited(program, arguments);
	e2e_reread();
	e2e_true("[.processes[] | select(all(.golock_list[]; .held_max_ns > 0))] | length == 1");
}

Test(golocks, how_long_they_are_held_is_not_measured_on_request)
{
	each_program(expect_untimed, "pairs 4 10");
}

static void expect_held(const char *program, const char *arguments)
{
	run_go_audited(program, arguments);
	e2e_reread();
	e2e_true(".processes[0] | .golocks.open == 1 and .golocks.max_depth == 2 and "
	         ".leaks[\"pinned-at-end\"] == 1 and .golock_list[0].open == 1 and .golock_list[0].max_depth "
	         "== 2");
}

Test(golocks, a_lock_open_at_the_end_is_told_with_its_depth)
{
	each_program(expect_held, "held");
}

/* Names from Go's own table where the program is stripped. */
static void expect_names(const char *program, const char *arguments)
{
	run_go_audited(program, arguments);
	e2e_reread();
	e2e_true(".processes[0] | .golock_list[0].site as $s | .sites[] | select(.id == $s) | .kind == "
	         "\"golock\" and "
	         ".count > 0 and (.truncated | not) and ([.frames[].function] | "
	         "index(\"main.destroyed.func1\") == 0 and index(\"runtime.goexit\") == 1)");
}

Test(golocks, stacks_have_the_names_of_go_functions)
{
	each_program(expect_names, "destroyed 1 30");
}

/* Bare and audited, the program does and says the same. */
static void expect_same(const char *program, const char *arguments)
{
	char command[8192];

	snprintf(command, sizeof(command), "%s %s", program, arguments);
	e2e_same(command);
}

Test(golocks, programs_do_what_they_do_bare)
{
	each_program(expect_same, "storm 8 20");
	each_program(expect_same, "exec 2 2");
}

/* A copy whose LockOSThread is another version's: one instruction differs. */
static void make_stranger(const char *program)
{
	static const unsigned char counting[] = {0x49, 0x8b, 0x4e, 0x30, 0xff, 0x81};
	static const unsigned char looking[] = {0x49, 0x8b, 0x4e, 0x30, 0x83, 0xb9};
	static unsigned char bytes[16u << 20];
	char path[4096];

	FILE *f = fopen(program, "r");
	cr_assert_not_null(f);
	size_t len = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	cr_assert(len > 0 && len < sizeof(bytes), "%s is too large for this test", program);
	/* incl EXT(%rcx), and a look at it again: the runtime's own count is not looked at */
	unsigned char *at = memmem(bytes, len, counting, sizeof(counting));
	while (at && memcmp(at + 10, looking, sizeof(looking)) != 0)
		at = memmem(at + 1, len - (size_t)(at + 1 - bytes), counting, sizeof(counting));
	cr_assert_not_null(at);
	at[5] = 0x89; /* decl */
	snprintf(path, sizeof(path), "%s/stranger", e2e_dir());
	f = fopen(path, "w");
	cr_assert_not_null(f);
	cr_assert_eq(fwrite(bytes, 1, len, f), len);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(chmod(path, 0700), 0);
}

static void expect_left_alone(const char *program, const char *arguments)
{
	make_stranger(program);
	const struct e2e_result *r = e2e_status(0, "@@ run -q -o %d/t/ -- %d/stranger nothing");
	cr_expect_str_eq(r->out, arguments);
	e2e_reread();
	e2e_true(".processes[0] | (.golocks.covered | not) and .end == {how: \"exit\", status: 0} and "
	         "(.coverage.notes | any(startswith(\"Go locks are not counted: runtime.LockOSThread is not "
	         "as\")))");
}

Test(golocks, a_table_of_functions_that_lie_anywhere_is_not_followed)
{
	e2e_same("@fake_go");
	e2e_true("[.processes[] | select(.coverage.notes | any(startswith(\"Go locks are not counted: \")))] "
	         "| length == 1");
}

Test(golocks, code_that_is_not_known_is_left_alone)
{
	each_program(expect_left_alone, "locks=0 nested=0 unlocks=0 lost=0\n");
}

static void write_policy(const char *name, const char *text)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", e2e_dir(), name);
	FILE *f = fopen(path, "w");
	cr_assert_not_null(f);
	cr_assert_geq(fputs(text, f), 0);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(chmod(path, 0600), 0);
}

/* A rule that must act on locks which cannot be seen ends the program before Go runs; others do not mind. */
static void expect_refused(const char *program, const char *arguments)
{
	make_stranger(program);
	write_policy("deny.ini",
	             "[policy]\nmode = enforce\ndeny_golocks = yes\n[ban \"locks\"]\nkind = go\n");
	const struct e2e_result *r =
	    e2e_status(2, "@@ run -q -p %d/deny.ini -o %d/t/ -- %d/stranger nothing");
	cr_expect_str_eq(r->out, "");
	e2e_has(r->err, "deny.ini:4: [ban:locks]: this rule is to act on Go locks");
	r = e2e_status(0, "@@ run -q --audit -p %d/deny.ini -o %d/t/ -- %d/stranger nothing");
	cr_expect_str_eq(r->out, arguments);
	write_policy("log.ini", "[policy]\nmode = enforce\n[ban \"locks\"]\nkind = go\naction = log\n");
	r = e2e_status(0, "@@ run -p %d/log.ini -o %d/t/ -- %d/stranger nothing");
	e2e_has(r->err, "1 of 1 images it cannot be told");
}

Test(golocks, rules_that_must_act_on_unknown_code_end_the_program)
{
	each_program(expect_refused, "locks=0 nested=0 unlocks=0 lost=0\n");
}
