/* SPDX-License-Identifier: MIT
 *
 * Who pinned whom, what was released, what leaked. The figures are those of the targets' sources.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/e2e.h"

#define NO_LEAK "[.totals.leaks[]] | add == 0"

TestSuite(pins, .fini = e2e_done);

/* All leaks of the report are `n` of this kind. */
static void only_leak(const char *kind, int n)
{
	char expression[256];

	snprintf(expression, sizeof(expression), ".totals.leaks | (.[\"%s\"] == %d and ([.[]] | add) == %d)",
	         kind, n, n);
	e2e_true(expression);
}

Test(pins, opened_moved_and_released)
{
	e2e_same("@pin_self 10");
	e2e_true(
	    ".totals.affinity.self == 40 and .totals.affinity.cross == 0 and .totals.affinity.external == 0");
	e2e_true(
	    ".totals.pins.opened == 10 and .totals.pins.released == 10 and .totals.pins.open_at_end == 0");
	e2e_true(NO_LEAK);
}

Test(pins, nested)
{
	e2e_same("@pin_nested");
	e2e_true(".totals.affinity.self == 3 and .totals.pins.opened == 1 and .totals.pins.released == 1");
	e2e_true(NO_LEAK);
}

Test(pins, set_by_another_thread)
{
	e2e_same("@pin_cross");
	e2e_true(".totals.affinity.cross == 4 and .totals.affinity.self == 0");
	e2e_true(".totals.pins.opened == 2 and .totals.pins.released == 2");
	e2e_true(NO_LEAK);
}

Test(pins, set_by_another_process)
{
	e2e_same("@pin_process");
	e2e_true(".totals.affinity.other_process == 2 and .totals.affinity.external == 2");
	e2e_true("[.processes[] | .affinity.other_process] == [1, 1]");
	e2e_true(".totals.pins.opened == 2 and .totals.pins.open_at_end == 2");
	only_leak("pinned-at-end", 2);
}

Test(pins, born_through_an_attribute)
{
	e2e_same("@pin_attr");
	e2e_true(".totals.threads.created == 4 and .totals.threads.joined == 4");
	e2e_true(
	    ".totals.affinity.attr == 3 and .totals.affinity.self == 0 and .totals.affinity.failed == 0");
	e2e_true(".totals.pins.born == 2 and .totals.pins.opened == 2");
	only_leak("exit-while-pinned", 2);
}

Test(pins, born_through_the_default_attribute)
{
	e2e_same("@pin_default_attr");
	e2e_true(".totals.threads.created == 4 and .totals.affinity.attr == 2");
	e2e_true(".totals.pins.born == 2 and .totals.pins.opened == 2");
	only_leak("exit-while-pinned", 2);
}

Test(pins, inherited_from_the_creator)
{
	e2e_same("@pin_inherited");
	e2e_true(".totals.affinity.self == 2 and .totals.pins.opened == 3 and .totals.pins.inherited == 2");
	e2e_true(".totals.pins.released == 1 and .totals.pins.open_at_end == 2");
	only_leak("inherited", 2);
}

Test(pins, open_when_their_thread_ends)
{
	e2e_same("@pin_exit");
	e2e_true(".totals.affinity.self == 7 and .totals.affinity.cross == 1");
	e2e_true(".totals.pins.opened == 7 and .totals.pins.released == 1 and .totals.pins.open_at_end == 6");
	only_leak("exit-while-pinned", 6);
}

/* The main thread and a worker are pinned when the process ends, whichever way it ends. */
static void pinned_at_end(const char *command, int status, const char *end)
{
	cr_assert_eq(e2e_same(command)->status, status);
	e2e_true(end);
	e2e_true(".totals.affinity.self == 2 and .totals.pins.opened == 2 and .totals.pins.open_at_end == 2");
	e2e_true(".totals.leaks[\"pinned-at-end\"] == 2 and .totals.leaks[\"exit-while-pinned\"] == 0");
	e2e_true(".processes[0].threads.alive_at_end == 2");
}

Test(pins, open_at_return_from_main)
{
	pinned_at_end("@pin_at_end return", 7, ".processes[0].end == {how: \"exit\", status: 7}");
}

Test(pins, open_at_exit)
{
	pinned_at_end("@pin_at_end exit", 7, ".processes[0].end == {how: \"exit\", status: 7}");
}

Test(pins, open_at_bare_exit)
{
	pinned_at_end("@pin_at_end _exit", 7, ".processes[0].end == {how: \"exit\", status: 7}");
}

Test(pins, open_at_quick_exit)
{
	pinned_at_end("@pin_at_end quick_exit", 7, ".processes[0].end == {how: \"exit\", status: 7}");
}

Test(pins, open_at_a_raw_exit)
{
	pinned_at_end("@pin_at_end exit_group", 7, ".processes[0].end == {how: \"exit\", status: 7}");
}

Test(pins, open_at_abort)
{
	pinned_at_end("@pin_at_end abort", 134, ".processes[0].end == {how: \"signal\", status: 6}");
}

Test(pins, open_at_kill)
{
	pinned_at_end("@pin_at_end kill", 137, ".processes[0].end == {how: \"signal\", status: 9}");
}

Test(pins, refused_calls_change_nothing)
{
	e2e_same("@pin_failed");
	e2e_true(getuid() == 0 ? ".totals.affinity.failed == 9" : ".totals.affinity.failed == 8");
	e2e_true(".totals.affinity | .self + .cross + .other_process + .external == 0");
	e2e_true(".totals.pins.opened == 0");
	e2e_true(NO_LEAK);
}

Test(pins, masks_of_every_size)
{
	e2e_same("@mask_sizes");
	e2e_true(".totals.affinity.self == 10 and .totals.affinity.failed == 0");
	e2e_true(".totals.pins.opened == 5 and .totals.pins.released == 5");
	e2e_true(NO_LEAK);
}

Test(pins, through_symbol_versions_of_old)
{
	e2e_same("@old_abi");
	e2e_true(
	    ".totals.affinity.self == 6 and .totals.affinity.failed == 2 and .totals.affinity.attr == 1");
	e2e_true(
	    ".totals.threads.created == 2 and .totals.threads.joined == 1 and .totals.threads.detached == 1");
	e2e_true(".totals.pins.opened == 4 and .totals.pins.released == 3 and .totals.pins.born == 1");
}

Test(pins, through_syscall)
{
	e2e_same("@syscall_pin");
	e2e_true(
	    ".totals.affinity.self == 2 and .totals.affinity.cross == 1 and .totals.affinity.failed == 0");
	e2e_true(".totals.pins.opened == 2 and .totals.pins.released == 1");
	e2e_true(".processes[0].coverage | .notes == [] and .kernel_threads == 1"); /* not sealed */
	only_leak("exit-while-pinned", 1);
}

Test(pins, through_no_call_we_can_see)
{
	e2e_same("@raw_pin");
	e2e_true(".totals.affinity.self == 0 and .totals.affinity.external == 4");
	e2e_true(".totals.pins.opened == 4 and .totals.pins.released == 0 and .totals.pins.open_at_end == 4");
	e2e_true(".totals.leaks[\"exit-while-pinned\"] == 3 and .totals.leaks[\"pinned-at-end\"] == 1");
}

Test(pins, from_a_signal_handler_every_200_microseconds)
{
	e2e_same("@signal_storm 2000");
	/* A handler that comes after its thread's recorded end is counted as a call and as late; it opens no pin. */
	e2e_true(".totals.affinity.self == 4000 and .totals.pins.opened == .totals.pins.released");
	e2e_true("([.processes[0].coverage.notes[] | capture(\"^(?<n>[0-9]+) events? came after\").n | "
	         "tonumber] | add // 0) "
	         "as $late | .totals.pins.opened * 2 + $late == 4000");
	e2e_true(".totals.threads | .created == .joined");
	e2e_true(NO_LEAK);
}

Test(pins, under_a_narrow_baseline_the_same_mask_is_none)
{
	e2e_needs(sysconf(_SC_NPROCESSORS_ONLN) > 1, "needs two CPUs");
	e2e_same("taskset -c 0 taskset -c 0 true");
	e2e_true(".processes | length == 3");
	e2e_true(".totals.affinity.self == 2 and .totals.pins.opened == 1");
	e2e_true(NO_LEAK);
}

Test(sites, name_the_function_that_pinned, .fini = e2e_done)
{
	e2e_same("@pin_exit");
	e2e_true("[.processes[0].sites[] | select(.frames[0].function == \"pin_and_forget\")] | length > 0");
	e2e_true("[.processes[0].sites[] | select(.frames[0].function == \"pin_and_forget\") | "
	         ".frames[1].function] | sort | "
	         "unique | contains([\"returns\", \"exits\", \"is_cancelled\"])");
	e2e_true("[.processes[0].sites[].frames[0] | select(.function == \"pin_and_forget\") | .file] | "
	         "all(endswith(\"pin_exit.c\"))");
}

Test(sites, hold_sixty_four_frames_and_say_that_more_follow, .fini = e2e_done)
{
	e2e_same("@deep_stack 100");
	e2e_true("[.processes[0].sites[] | select(.frames[0].function == \"pin_here\") | .frames | length] | "
	         "max >= 64");
	e2e_true("[.processes[0].sites[] | select(.frames[0].function == \"pin_here\") | "
	         ".frames[1:60][].function] | "
	         "unique == [\"descend\"]");
}

Test(sites, find_the_module_of_a_library_loaded_again, .fini = e2e_done)
{
	e2e_same("@dlopen_pin 6");
	e2e_true(
	    ".totals.threads.created == 6 and .totals.affinity.self == 12 and .totals.pins.released == 6");
	e2e_true("[.processes[0].sites[].frames[0] | select(.function == \"pinner_pin\") | .module] | "
	         "length > 0 and all(endswith(\"libpinner.so\"))");
	e2e_true(
	    "[.processes[0].sites[] | select(.frames[0].function == \"pinner_pin\") | .count] | add == 6");
	e2e_true(NO_LEAK);
}
