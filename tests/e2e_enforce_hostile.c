/* SPDX-License-Identifier: MIT
 *
 * A policy over programs whose calls come at bad moments or with bad arguments: the verdict is the same, the limits stay exact,
 * and the program fares as it would without the shim.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/enforce_scene.h"

TestSuite(hostile, .fini = e2e_done);

Test(hostile, bad_pointers_are_the_kernels_to_refuse)
{
	policy("[ban \"b\"]\ncall = setaffinity, pthread_setaffinity\n");
	enforced("@enf_hostile pointers", "14 14 14 14\n", "{}");
	under("--audit", "@enf_hostile pointers");
	cr_assert_str_eq(last.out, "14 14 14 14\n");
}

/* The reset is of the mask that the thread inherited, not of the one its creator then gave it. */
Test(hostile, a_mask_given_before_the_thread_ran_is_not_reset)
{
	cpu_number(1);
	policy("[leak]\ninherited = reset\n");
	under("--enforce", "@enf_hostile explicit 100");
	cr_assert_str_eq(last.out, "100\n", "%s%s", last.out, last.err);
	violations("{\"leak:inherited\": 100}");
}

Test(hostile, a_thread_moved_before_it_ran_is_one_pin)
{
	cpu_number(1);
	policy("[caps]\nmax_pinned = 1\n");
	enforced("@enf_hostile moved 100", "100\n", "{}");
}

Test(hostile, a_handler_that_forks_in_a_call_leaves_its_child_exact_limits)
{
	cpu_number(1);
	policy("[caps]\nmax_pinned = 4\n");
	under("--enforce", "@enf_hostile forks");
	cr_assert_str_eq(last.out, "exact\n", "%s%s", last.out, last.err);
}

Test(hostile, a_seal_does_not_lift_max_threads)
{
	policy("[caps]\nmax_threads = 150\nmax_threads_action = deny\n");
	under("--enforce", "@enf_hostile sealed 400");
	cr_assert_str_eq(last.out, "149\n", "%s%s", last.out, last.err);
}

/* In a chroot, under another user, on a full disk, as here past RLIMIT_FSIZE. */
Test(hostile, a_fork_child_without_a_trace_is_judged)
{
	policy("[ban \"b\"]\ncall = setaffinity\n");
	under("--enforce", "@enf_hostile untraced");
	cr_assert_str_eq(last.out, "1\n", "%s%s", last.out, last.err);
	says("not recorded, but the policy holds");
}

Test(hostile, a_log_that_nobody_reads_stops_nobody)
{
	policy("[ban \"b\"]\ncall = setaffinity\n");
	under("--enforce", "@enf_hostile talk 10");
	cr_assert_eq(last.status, 0, "%s%s", last.out, last.err);
	cr_assert_str_eq(last.out, "done\n");
}

/* The children, of which some were forked in the middle of the report, end by their own crash, within their 20 s. */
Test(hostile, a_child_forked_during_a_crash_has_its_own)
{
	policy("[caps]\nmax_threads = 10\n");
	under("--enforce", "@enf_hostile crash");
	cr_assert_eq(last.status, 134, "status %d\n%s", last.status, last.err);
	e2e_true("(.processes | length) > 1 and all(.processes[]; .end == {how: \"signal\", status: 6})");
}
