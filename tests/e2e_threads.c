/* SPDX-License-Identifier: MIT
 *
 * How threads come and go: every figure here is what the target's source says it does.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/e2e.h"

#define NO_LEAK "[.totals.leaks[]] | add == 0"

TestSuite(threads, .fini = e2e_done);

Test(threads, created_and_joined)
{
	e2e_same("@create_join 5 2");
	e2e_true(".totals.threads.created == 10 and .totals.threads.joined == 10");
	e2e_true(".totals.threads.adopted == 0 and .totals.threads.detached == 0");
	e2e_true(".totals.threads.unjoined == 0");
	e2e_true(".processes[0].threads.alive_at_end == 1");
	e2e_true(".processes[0].threads.peak >= 2 and .processes[0].threads.peak <= 6");
	e2e_true(".processes[0].end == {how: \"exit\", status: 0}");
	e2e_true(NO_LEAK);
}

Test(threads, main_alone_is_not_a_thread_created)
{
	e2e_same("true");
	e2e_true(".totals.threads.created == 0 and .totals.threads.adopted == 0");
	e2e_true(".processes[0].threads.peak == 1 and .processes[0].threads.alive_at_end == 1");
	e2e_true(NO_LEAK);
}

Test(threads, a_slot_is_used_again_and_again)
{
	e2e_same("@create_join 1 50000");
	e2e_true(".totals.threads.created == 50000 and .totals.threads.joined == 50000");
	e2e_true(".processes[0].threads.peak == 2 and .processes[0].threads.alive_at_end == 1");
	e2e_true(".processes[0].dropped == 0");
	e2e_true(NO_LEAK);
}

/* How many more tasks the kernel has numbers for. */
static long tasks_left(void)
{
	FILE *limit = fopen("/proc/sys/kernel/pid_max", "r"), *load = fopen("/proc/loadavg", "r");
	long most = 0, now = 0;

	cr_assert(limit && load);
	cr_assert(fscanf(limit, "%ld", &most) == 1 && fscanf(load, "%*s %*s %*s %*d/%ld", &now) == 1);
	fclose(limit);
	fclose(load);
	return most - now;
}

Test(threads, thirty_thousand_at_once)
{
	e2e_needs(tasks_left() > 31000, "the kernel has too few task numbers left");
	e2e_same("@many_live 30000");
	e2e_true(".totals.threads.created == 30000 and .totals.threads.joined == 30000");
	e2e_true(".processes[0].threads.peak == 30001 and .processes[0].threads.alive_at_end == 1");
	e2e_true(NO_LEAK);
}

Test(threads, detached_in_every_way)
{
	e2e_same("@detach");
	e2e_true(".totals.threads.created == 4 and .totals.threads.detached == 4");
	e2e_true(".totals.threads.joined == 0 and .totals.threads.unjoined == 0");
	e2e_true(NO_LEAK);
}

Test(threads, end_by_return_exit_and_cancellation)
{
	e2e_same("@exit_ways");
	e2e_true(".totals.threads.created == 5 and .totals.threads.joined == 5");
	e2e_true(NO_LEAK);
}

Test(threads, every_form_of_join)
{
	e2e_same("@join_forms");
	e2e_true(".totals.threads.created == 5 and .totals.threads.joined == 5");
	e2e_true(NO_LEAK);
}

Test(threads, c11_threads)
{
	e2e_same("@thrd_family");
	e2e_true(".totals.threads.created == 4 and .totals.threads.adopted == 0");
	e2e_true(".totals.threads.joined == 3 and .totals.threads.detached == 1");
	e2e_true(NO_LEAK);
}

Test(threads, unjoined_ended_ones_leak_running_ones_do_not)
{
	e2e_same("@unjoined 4");
	e2e_true(".totals.threads.created == 3 and .totals.threads.joined == 0");
	e2e_true(".totals.threads.unjoined == 3");
	e2e_true(".processes[0].threads.alive_at_end == 2");
	e2e_true(".totals.leaks.unjoined == 2");
	e2e_true(".processes[0].end.status == 4");
}

Test(threads, detached_ones_still_at_work_when_the_process_exits)
{
	for (int i = 0; i < 20; i++)
		e2e_same("@alive_at_end");
	e2e_true("[.processes[] | select(.threads.detached == 4)] | length == 20");
	e2e_true("[.processes[] | select(.end == {how: \"exit\", status: 3})] | length == 20");
}

Test(threads, main_leaves_first_and_the_other_returns)
{
	e2e_same("@main_exits");
	e2e_true(".totals.threads.created == 2 and .totals.threads.unjoined == 0");
	e2e_true(".totals.affinity.self == 4 and .totals.pins.released == 2");
	e2e_true(".processes | length == 1");
	e2e_true(".processes[0].end == {how: \"exit\", status: 0}");
	e2e_true(NO_LEAK);
}

Test(threads, main_leaves_first_and_the_other_exits)
{
	e2e_same("@main_exits exit");
	e2e_true(".totals.threads.created == 1 and .processes[0].end == {how: \"exit\", status: 5}");
	e2e_true(NO_LEAK);
}

Test(threads, main_is_joined)
{
	e2e_same("@main_exits joins");
	e2e_true(".totals.threads.created == 1 and .totals.threads.unjoined == 0");
	e2e_true(NO_LEAK);
}

Test(threads, names_by_whoever_gave_them)
{
	e2e_same("@names");
	e2e_true("[.processes[0].thread_list[].name] | contains([\"itself\", \"by-prctl-and-cu\"])");
	e2e_true("[.processes[0].thread_list[].name] | any(startswith(\"\\u001b[31mred\"))");
}

Test(threads, a_name_cannot_speak_to_the_terminal)
{
	e2e_same("@names");
	cr_assert_null(strchr(e2e_status(0, "@@ report %d/t")->out, '\033'));
}

Test(threads, made_inside_libc_are_adopted)
{
	e2e_same("@sigev_thread");
	e2e_true(".totals.threads.created == 0 and .totals.threads.adopted == 3");
	e2e_true(".totals.affinity.self == 4 and .totals.pins.opened == 2 and .totals.pins.released == 2");
}

Test(threads, of_libcs_own_pools_are_adopted)
{
	e2e_same("@internal_threads");
	e2e_true(".totals.threads.created == 0 and .totals.threads.adopted == 2");
	e2e_true(".processes[0].coverage | .kernel_threads == 3 and .seen_threads == 1");
	e2e_true(NO_LEAK);
}

Test(threads, made_by_raw_clone_are_adopted)
{
	e2e_same("@raw_clone");
	e2e_true(".totals.threads.created == 0 and .totals.threads.adopted == 3");
	e2e_true("[.processes[] | select(.parent) | .end.status] | sort == [3, 4]");
	e2e_true(".totals.affinity.self == 1 and .totals.leaks[\"pinned-at-end\"] == 1");
	e2e_true("[.processes[] | select(.parent | not) | .coverage] | length == 1");
}

Test(threads, on_the_smallest_stack)
{
	e2e_same_output("@small_stack fill");
	e2e_true(".totals.threads.created == 2 and .totals.threads.joined == 2");
	e2e_true(".totals.affinity.self == 2 and .totals.pins.released == 1");
}

/* How many bytes of its 16 KiB stack a thread touched, as the target says on stderr. */
static long touched(const char *command)
{
	const char *said = strstr(e2e_status(0, command)->err, "touched ");

	cr_assert_not_null(said);
	return atol(said + strlen("touched "));
}

Test(threads, a_small_stack_loses_at_most_a_kilobyte)
{
	long bare = touched("@small_stack"), audited = touched("@@ run -q -o %d/t/ -- @small_stack");

	cr_assert_leq(audited - bare, 1024, "bare %ld bytes, audited %ld", bare, audited);
}

Test(threads, before_the_shims_own_constructor)
{
	e2e_same("@early_call");
	e2e_true(
	    ".totals.threads.created == 2 and .totals.threads.joined == 2 and .totals.threads.adopted == 0");
	e2e_true(".totals.affinity.self == 4 and .totals.pins.inherited == 2");
}

Test(threads, cxx_destructors_and_catch_all)
{
	e2e_same("@cxx_unwind");
	e2e_true(".totals.threads.created == 4 and .totals.threads.joined == 4");
	e2e_true(".totals.pins.opened == 3 and .totals.pins.released == 3");
	e2e_true(NO_LEAK);
}

Test(threads, cxx_uncaught_exception_aborts)
{
	cr_assert_eq(e2e_same("@cxx_unwind uncaught")->status, 134);
	e2e_true(".processes[0].end == {how: \"signal\", status: 6}");
}

Test(threads, cxx_exit_through_noexcept_aborts)
{
	cr_assert_eq(e2e_same("@cxx_unwind noexcept")->status, 134);
}
