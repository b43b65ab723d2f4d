/* SPDX-License-Identifier: MIT
 *
 * Leaks, requirements and crashes under a policy. The figures are those of the targets' sources
 * (tests/targets/enf_*.c).
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/enforce_scene.h"

TestSuite(leak_rules, .fini = e2e_done);
TestSuite(requirements, .fini = e2e_done);
TestSuite(crash, .fini = e2e_done);

/* ---- leaks ---------------------------------------------------------------------------------- */

Test(leak_rules, exit_while_pinned)
{
	policy("[leak]\nexit_while_pinned = log\n");
	enforced("@enf_leave exit 3", "exit\n", "{\"leak:exit_while_pinned\": 3}");
	says("leak:exit_while_pinned");
	says("pin_and_leave");
	policy("[leak]\nexit_while_pinned = off\n");
	enforced("@enf_leave exit 3", "exit\n", "{}");
	e2e_true(".totals.leaks[\"exit-while-pinned\"] == 3");
}

Test(leak_rules, pinned_at_end)
{
	policy("[leak]\npinned_at_end = log\n");
	enforced("@enf_leave end 3", "end\n", "{\"leak:pinned_at_end\": 3}");
	says("pin_and_leave");
}

Test(leak_rules, pinned_at_end_is_none_of_declared_workers)
{
	policy("[leak]\npinned_at_end = log\n[allow \"a\"]\nthread_name = leaver-1\n"
	       "[require \"r\"]\nthread_name = leaver-2\npinned = yes\n");
	enforced("@enf_leave end 3", "end\n", "{\"leak:pinned_at_end\": 1}");
}

Test(leak_rules, unjoined)
{
	policy("[leak]\nunjoined = log\ngrace = 1us\n");
	enforced("@enf_leave unjoined 3", "unjoined\n", "{\"leak:unjoined\": 3}");
}

/* That many leaks were suppressed by the rule "known". */
static void suppressed(int n)
{
	char expression[256];

	snprintf(
	    expression, sizeof(expression),
	    "[.processes[].policy.rules[] | select(.label == \"suppress:known\") | .matched] | add == %d", n);
	e2e_true(expression);
}

Test(leak_rules, suppressed_leaks_are_counted)
{
	policy("[leak]\nexit_while_pinned = log\n"
	       "[suppress \"known\"]\nleak = exit_while_pinned\nthread_name = leaver-1\nreason = tested\n");
	enforced("@enf_leave exit 3", "exit\n", "{\"leak:exit_while_pinned\": 2}");
	suppressed(1);
	policy("[leak]\nexit_while_pinned = log\n[suppress \"known\"]\nfunction = pin_and_leave\n");
	enforced("@enf_leave exit 3", "exit\n", "{}");
	suppressed(3);
	policy("[leak]\nexit_while_pinned = log\n[suppress \"known\"]\ncreated_by = make_leaver\nleak = "
	       "unjoined\n");
	enforced("@enf_leave exit 3", "exit\n", "{\"leak:exit_while_pinned\": 3}");
}

Test(leak_rules, suppressions_that_expired_hide_nothing)
{
	policy(
	    "[leak]\nexit_while_pinned = log\n[suppress \"old\"]\nthread_name = *\nexpires = 2020-01-31\n");
	under("--enforce", "@enf_leave exit 3");
	violations("{\"leak:exit_while_pinned\": 3}");
	policy(
	    "[leak]\nexit_while_pinned = log\n[suppress \"new\"]\nthread_name = *\nexpires = 2999-12-31\n");
	under("--enforce", "@enf_leave exit 3");
	violations("{}");
}

/* ---- require ---------------------------------------------------------------------------------- */

Test(requirements, pinned)
{
	policy("[require \"r\"]\nthread_name = worker-*\npinned = yes\n");
	enforced("@enf_workers 4 apart", ALL_WORK, "{}");
	enforced("@enf_workers 4 none", ALL_WORK, "{\"require:r\": 2}");
	says("require:r");
}

Test(requirements, not_pinned)
{
	policy("[require \"r\"]\nthread_name = other-*\npinned = no\nmessage = others are free\n");
	enforced("@enf_workers 4 none", ALL_WORK, "{}");
	enforced("@enf_workers 4 apart", ALL_WORK, "{\"require:r\": 2}");
	says("others are free");
}

Test(requirements, on_these_cpus)
{
	policy("[require \"r\"]\nthread_name = worker-*\npinned = yes\ncpus = %d\n", cpu_number(0));
	enforced("@enf_workers 4 apart", ALL_WORK, "{}");
	policy("[require \"r\"]\nthread_name = worker-*\npinned = yes\ncpus = %d\n", cpu_number(1));
	enforced("@enf_workers 4 apart", ALL_WORK, "{\"require:r\": 2}");
}

Test(requirements, by_function_and_creator)
{
	policy("[require \"r\"]\nfunction = make_other\npinned = yes\n");
	enforced("@enf_workers 4 none", ALL_WORK, "{\"require:r\": 2}");
	policy("[require \"r\"]\nfunction = work\npinned = yes\n");
	enforced("@enf_workers 4 none", ALL_WORK, "{\"require:r\": 4}");
	policy("[require \"r\"]\ncreated_by = make_worker\npinned = yes\n");
	enforced("@enf_workers 4 none", ALL_WORK, "{\"require:r\": 2}");
}

Test(requirements, crash)
{
	policy("[require \"r\"]\nthread_name = other-*\npinned = no\naction = crash\n");
	under("--enforce", "@enf_workers 4 apart");
	cr_assert_eq(last.status, 134, "status %d\n%s", last.status, last.err);
	violations("{\"require:r\": 1}");
}

/* ---- crash -------------------------------------------------------------------------------------- */

/* Go's form: which limit, then every thread's stacks, then an abort; the trace is complete. */
Test(crash, says_the_rule_and_every_threads_stacks)
{
	policy("[ban \"b\"]\nfunction = pin_in_main\naction = crash\nmessage = never in main\n");
	under("--enforce", "@enf_leave park 3");
	cr_assert_eq(last.status, 134, "status %d\n%s", last.status, last.err);
	cr_assert_str_eq(last.out, "");
	says("ban:b");
	says("never in main");
	says("pin_in_main");
	says("all 4 threads alive");
	says("3 threads: #2 \"leaver-");
	says("make_leaver");
	violations("{\"ban:b\": 1}");
	e2e_true(".processes[0].end == {how: \"signal\", status: 6}");
	e2e_true(".totals.threads.created == 3 and .processes[0].threads.alive_at_end == 4");
	e2e_true(".totals.pins.opened == 0 and .processes[0].dropped == 0");
}

Test(crash, shows_the_pins_that_are_open)
{
	policy("[ban \"b\"]\nthread_name = other-3\naction = crash\n");
	under("--enforce", "@enf_workers 4 apart");
	cr_assert_eq(last.status, 134, "status %d\n%s", last.status, last.err);
	says("worker-0");
	says("make_worker");
	says("make_other");
	says("pin_here");
	e2e_true(".totals.pins.opened == 3");
	e2e_true(".totals.leaks[\"pinned-at-end\"] == 3");
}

Test(crash, at_a_leak)
{
	policy("[leak]\nexit_while_pinned = crash\n");
	under("--enforce", "@enf_leave exit 3");
	cr_assert_eq(last.status, 134, "status %d\n%s", last.status, last.err);
	says(" ended\n  pinned by itself to ");
	says("pin_and_leave");
	violations("{\"leak:exit_while_pinned\": 1}");
	e2e_true(".totals.threads.created == 1");
}

/* A handler that could jump out, or a signal that does not come, saves no program. */
Test(crash, whatever_the_program_does_with_sigabrt)
{
	static const char *const targets[] = {"@enf_abort plain", "@enf_abort handled", "@enf_abort ignored",
	                                      "@enf_abort blocked"};

	policy("[ban \"b\"]\nfunction = pin_in_main\naction = crash\n");
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		under("--enforce", targets[i]);
		cr_assert_eq(last.status, 134, "%s: status %d\n%s", targets[i], last.status, last.err);
		cr_assert_str_eq(last.out, "", "%s", targets[i]);
		violations("{\"ban:b\": 1}");
		e2e_true(".processes[0].end == {how: \"signal\", status: 6} and .totals.pins.opened == 0");
	}
	under("--audit", "@enf_abort plain");
	cr_assert_eq(last.status, 0);
	cr_assert_str_eq(last.out, "went on\n");
	says("would crash");
}
