/* SPDX-License-Identifier: MIT
 *
 * Every child process records into a trace of its own and is found below its parent.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/e2e.h"

#define NO_LEAK "[.totals.leaks[]] | add == 0"
#define ROUNDS 10

TestSuite(children, .fini = e2e_done);

/* Of `images` images one is the root's, every other has a parent among the processes of the report. */
static void a_tree_of(int images)
{
	char expression[64];

	snprintf(expression, sizeof(expression), ".processes | length == %d", images);
	e2e_true(expression);
	e2e_true("[.processes[] | select(.parent == null)] | length == 1");
	e2e_true("([.processes[].pid] | unique) as $pids | "
	         "[.processes[] | select(.parent) | .parent.pid] | all(IN($pids[]))");
}

Test(children, by_fork)
{
	e2e_same("@children fork");
	a_tree_of(1 + ROUNDS);
	e2e_true("[.processes[] | select(.parent)] | all(.threads.created == 1 and .affinity.self == 2)");
	e2e_true("[.processes[] | select(.parent)] | all(.end == {how: \"exit\", status: 11})");
	e2e_true(NO_LEAK);
}

Test(children, by_fork_without_handlers)
{
	e2e_same("@children _Fork");
	a_tree_of(1 + ROUNDS);
	e2e_true("[.processes[] | select(.parent)] | all(.affinity.self == 2 and .pins.released == 1)");
	e2e_true(NO_LEAK);
}

Test(children, by_vfork)
{
	e2e_same("@children vfork");
	/* A vfork child is no image until it executes: its calls stand in its parent's trace. */
	a_tree_of(1 + ROUNDS);
	e2e_true(".totals.affinity.self == 60");
	e2e_true("[.processes[] | select(.parent)] | all(.affinity.self == 2 and .end.status == 14)");
	e2e_true(NO_LEAK);
}

Test(children, by_posix_spawn)
{
	e2e_same("@children spawn");
	a_tree_of(1 + ROUNDS);
	e2e_true("[.processes[] | select(.parent)] | all(.affinity.self == 2 and .end.status == 15)");
	e2e_true(NO_LEAK);
}

Test(children, by_system)
{
	e2e_same("@children system");
	e2e_true("[.processes[] | select(.end.status == 16 and .affinity.self == 2)] | length == 10");
	e2e_true("[.processes[] | select(.parent == null)] | length == 1");
	e2e_true(NO_LEAK);
}

Test(children, by_popen)
{
	e2e_same("@children popen");
	e2e_true("[.processes[] | select(.end.status == 17 and .affinity.self == 2)] | length == 10");
	e2e_true("[.processes[] | select(.parent == null)] | length == 1");
	e2e_true(NO_LEAK);
}

Test(children, by_fork_and_exec)
{
	e2e_same("@children exec");
	a_tree_of(1 + 2 * ROUNDS);
	e2e_true("[.processes[] | select(.end.how == \"exec\")] | length == 10 and all(.affinity.self == 2)");
	e2e_true("[.processes[] | select(.end.status == 18)] | length == 10 and all(.affinity.self == 2)");
	e2e_true(NO_LEAK);
}

Test(children, a_pin_that_crosses_exec_is_no_leak)
{
	cr_assert_eq(e2e_same("@children chain")->status, 19);
	e2e_true(".processes | length == 3");
	e2e_true("[.processes[].pid] | unique | length == 1");
	e2e_true("[.processes[].end.how] | sort == [\"exec\", \"exec\", \"exit\"]");
	e2e_true(".totals.affinity.self == 3 and .totals.pins.opened == 1 and .totals.pins.open_at_end == 1");
	e2e_true(NO_LEAK);
}

Test(children, that_drop_the_preload_are_named)
{
	e2e_same("env -i @create_join");
	e2e_true(".processes | length == 1");
	e2e_true(".processes[0].end.how == \"exec\" and (.processes[0].coverage.notes | length > 0)");
	e2e_true(".totals.threads.created == 0");
}

Test(children, are_left_alone_with_no_follow)
{
	e2e_status(0, "@@ run -q --no-follow -o %d/t/ -- @children fork");
	cr_assert_eq(e2e_trace_count(), 1);
	e2e_true(".processes | length == 1");
	e2e_true(".processes[0].threads.created == .processes[0].threads.joined");
}

Test(children, are_shown_below_their_parent)
{
	const char *text;

	e2e_same("@children fork");
	text = e2e_status(0, "@@ report %d/t")->out;
	cr_assert_not_null(strstr(text, "children"), "%s", text);
}
