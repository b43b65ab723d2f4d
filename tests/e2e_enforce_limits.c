/* SPDX-License-Identifier: MIT
 *
 * Limits of a policy: rates of sites, of short-lived threads, of creations; caps. The figures are those of the targets' sources
 * (tests/targets/enf_*.c).
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/enforce_scene.h"

TestSuite(rates, .fini = e2e_done);
TestSuite(caps, .fini = e2e_done);

/* ---- rates -------------------------------------------------------------------------------- */

Test(rates, of_one_site)
{
	policy("[ban \"b\"]\nsite_rate = 4/60s\n");
	enforced("@enf_rate repeat 10", "repeat: 4 done, 6 refused\nelsewhere: 3 done, 0 refused\n",
	         "{\"ban:b\": 6}");
	policy("[ban \"b\"]\nsite_rate = 10/60s\n");
	enforced("@enf_rate repeat 10", "repeat: 10 done, 0 refused\nelsewhere: 3 done, 0 refused\n", "{}");
}

Test(rates, of_one_site_with_a_function)
{
	policy("[ban \"b\"]\nfunction = pin_elsewhere\nsite_rate = 1/60s\n");
	enforced("@enf_rate repeat 10", "repeat: 10 done, 0 refused\nelsewhere: 1 done, 2 refused\n",
	         "{\"ban:b\": 2}");
}

Test(rates, of_one_site_from_eight_threads_at_once)
{
	policy("[ban \"b\"]\nfunction = pin_again\nsite_rate = 30/60s\n");
	for (int i = 0; i < 5; i++)
		enforced("@enf_rate threads 10", "threads: 30 done, 50 refused\n", "{\"ban:b\": 50}");
}

/* The fourth thread that lived only to pin itself exceeds the rate: from then on pins are refused. */
Test(rates, of_threads_that_live_to_be_pinned)
{
	policy("[ban \"b\"]\nchurn_rate = 3/60s\nshort_lived = 30s\n");
	under("--enforce", "@enf_rate churn 10");
	cr_assert_str_eq(last.out, "churn: 4 done, 6 refused\n", "%s%s", last.out, last.err);
	policy("[ban \"b\"]\nchurn_rate = 3/60s\nshort_lived = 1us\n");
	enforced("@enf_rate churn 10", "churn: 10 done, 0 refused\n", "{}");
	policy("[ban \"b\"]\nchurn_rate = 10/60s\nshort_lived = 30s\n");
	enforced("@enf_rate churn 10", "churn: 10 done, 0 refused\n", "{}");
}

Test(rates, of_creations)
{
	policy("[caps]\nthread_rate = 3/60s\n");
	enforced("@enf_create 8", "3 made, 5 refused\n0 made, 8 refused\n", "{\"caps:thread_rate\": 13}");
	policy("[caps]\nthread_rate = 3/60s\nthread_rate_action = log\n");
	enforced("@enf_create 8", "8 made, 0 refused\n8 made, 0 refused\n", "{\"caps:thread_rate\": 13}");
	policy("[caps]\nthread_rate = 16/60s\n");
	enforced("@enf_create 8", "8 made, 0 refused\n8 made, 0 refused\n", "{}");
}

/* ---- caps ---------------------------------------------------------------------------------- */

Test(caps, max_threads_denies_and_counts_what_is_alive)
{
	policy("[caps]\nmax_threads = 5\nmax_threads_action = deny\n");
	enforced("@enf_create 8", "4 made, 4 refused\n4 made, 4 refused\n", "{\"caps:max_threads\": 8}");
	e2e_true(
	    ".totals.threads.created == 8 and .totals.threads.joined == 8 and .totals.threads.peak == 5");
	e2e_true(".processes[0].thread_list | length == 9");
	says("caps:max_threads");
	says("EAGAIN");
}

Test(caps, max_threads_logs)
{
	policy("[caps]\nmax_threads = 5\nmax_threads_action = log\n");
	enforced("@enf_create 8", "8 made, 0 refused\n8 made, 0 refused\n", "{\"caps:max_threads\": 8}");
}

Test(caps, max_threads_warns_when_it_is_reached)
{
	policy("[caps]\nmax_threads = 100\nmax_threads_warn_at = 4\n");
	enforced("@enf_create 8", "8 made, 0 refused\n8 made, 0 refused\n",
	         "{\"caps:max_threads_warn_at\": 2}");
	enforced("@enf_create 3", "3 made, 0 refused\n3 made, 0 refused\n",
	         "{\"caps:max_threads_warn_at\": 2}");
	enforced("@enf_create 2", "2 made, 0 refused\n2 made, 0 refused\n", "{}");
}

Test(caps, max_threads_crashes_by_default)
{
	policy("[caps]\nmax_threads = 5\n");
	under("--enforce", "@enf_create 8");
	cr_assert_eq(last.status, 134, "status %d\n%s", last.status, last.err);
	cr_assert_str_eq(last.out, "");
	says("caps:max_threads");
	says("round_of");
	violations("{\"caps:max_threads\": 1}");
	e2e_true(".processes[0].end == {how: \"signal\", status: 6}");
	e2e_true(".totals.threads.created == 4 and .processes[0].threads.alive_at_end == 5");
	e2e_true(".processes[0].dropped == 0");
}

/* As many lines as rounds, each the number made. */
static const char *repeated(int n, int rounds)
{
	static char text[4096];

	text[0] = '\0';
	for (int i = 0; i < rounds; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d\n", n);
	return text;
}

/* Never exceeded by one, never refused below: the target also compares with the kernel's count. */
static void storm(int room, int rounds)
{
	char expected[128], command[64];

	policy("[caps]\nmax_threads = %d\nmax_threads_action = deny\n", 65 + room);
	snprintf(command, sizeof(command), "@enf_storm %d", rounds);
	snprintf(expected, sizeof(expected), "{\"caps:max_threads\": %d}", rounds * (256 - room));
	enforced(command, repeated(room, rounds), expected);
	snprintf(expected, sizeof(expected), ".totals.threads.peak == %d", 65 + room);
	e2e_true(expected);
}

Test(caps, max_threads_is_exact_under_64_threads_creating_at_once)
{
	storm(1, 20);
	storm(10, 20);
	storm(255, 10);
}

Test(caps, max_pinned)
{
	policy("[caps]\nmax_pinned = 2\n");
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 0\nworker-2 1\nother-3 1\n",
	         "{\"caps:max_pinned\": 2}");
	/* One pin at a time is never two. */
	policy("[caps]\nmax_pinned = 1\n");
	enforced("@enf_pin", ALL_PINNED, "{}");
	policy("[caps]\nmax_pinned = 0\n");
	enforced("@enf_pin", "sched 1 free\npthread 1 free\nsyscall 1 free\n", "{\"caps:max_pinned\": 3}");
}

/* A thread that ends with its pin open gives its place back. */
Test(caps, max_pinned_is_given_back_by_threads_that_end)
{
	policy("[caps]\nmax_pinned = 1\n");
	enforced("@enf_leave exit 5", "exit\n", "{}");
}

Test(caps, max_pinned_logs_and_warns)
{
	policy("[caps]\nmax_pinned = 3\nmax_pinned_action = log\nmax_pinned_warn_at = 2\n");
	enforced("@enf_workers 4 apart", ALL_WORK,
	         "{\"caps:max_pinned\": 1, \"caps:max_pinned_warn_at\": 1}");
}

Test(caps, max_pinned_per_cpu)
{
	policy("[caps]\nmax_pinned_per_cpu = 1\n");
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 0\nworker-2 1\nother-3 1\n",
	         "{\"caps:max_pinned_per_cpu\": 2}");
	enforced("@enf_workers 3 same", "worker-0 0\nother-1 1\nworker-2 1\n",
	         "{\"caps:max_pinned_per_cpu\": 2}");
	policy("[caps]\nmax_pinned_per_cpu = 2\nmax_pinned_per_cpu_action = log\n");
	enforced("@enf_workers 4 same", ALL_WORK, "{\"caps:max_pinned_per_cpu\": 2}");
	enforced("@enf_workers 4 apart", ALL_WORK, "{}");
}

Test(caps, reserve_cpus)
{
	policy("[caps]\nreserve_cpus = %d\n", cpu_number(1));
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 1\nworker-2 0\nother-3 1\n",
	         "{\"caps:reserve_cpus\": 2}");
}

Test(caps, born_pins_count)
{
	policy("[caps]\nmax_pinned = 0\n");
	enforced("@enf_born attr", "attr 1 none\n", "{\"caps:max_pinned\": 1}");
}

/* Caps and allowances on pins under 64 threads at once: as many as the limit, each time, and given back each time. */
static void pin_storm(const char *where, int pinned, const char *rule)
{
	char command[64], expected[128];

	snprintf(command, sizeof(command), "@enf_pin_storm 20 %s", where);
	snprintf(expected, sizeof(expected), "{\"%s\": %d}", rule, 20 * (64 - pinned));
	enforced(command, repeated(pinned, 20), expected);
}

Test(caps, on_pins_are_exact_under_64_threads_pinning_at_once)
{
	policy("[caps]\nmax_pinned = 5\n");
	pin_storm("apart", 5, "caps:max_pinned");
	policy("[caps]\nmax_pinned_per_cpu = 3\n");
	pin_storm("same", 3, "caps:max_pinned_per_cpu");
	pin_storm("apart", 6, "caps:max_pinned_per_cpu");
	policy("[allow \"a\"]\nfunction = pin\nmax = 7\n[ban \"b\"]\nfunction = pin\n");
	pin_storm("same", 7, "ban:b");
}

Test(caps, on_pins_warn)
{
	policy("[caps]\nmax_pinned_per_cpu = 9\nmax_pinned_per_cpu_warn_at = 3\n");
	enforced("@enf_workers 4 same", ALL_WORK, "{\"caps:max_pinned_per_cpu_warn_at\": 1}");
	enforced("@enf_workers 4 apart", ALL_WORK, "{}");
}

Test(caps, thread_rate_warns)
{
	policy("[caps]\nthread_rate = 1000/60s\nthread_rate_warn_at = 5/60s\n");
	enforced("@enf_create 8", "8 made, 0 refused\n8 made, 0 refused\n",
	         "{\"caps:thread_rate_warn_at\": 1}");
}

/* Each cap crashes where it is told to: the first time that its limit is passed. */
static void crashes(const char *target, const char *rule)
{
	char expected[128];

	under("--enforce", target);
	cr_assert_eq(last.status, 134, "%s: status %d\n%s", rule, last.status, last.err);
	cr_assert_str_eq(last.out, "");
	says(rule);
	snprintf(expected, sizeof(expected), "{\"%s\": 1}", rule);
	violations(expected);
	e2e_true(".processes[0].end == {how: \"signal\", status: 6}");
}

Test(caps, crash_where_they_are_told_to)
{
	policy("[caps]\nmax_pinned = 1\nmax_pinned_action = crash\n");
	crashes("@enf_workers 4 apart", "caps:max_pinned");
	policy("[caps]\nmax_pinned_per_cpu = 1\nmax_pinned_per_cpu_action = crash\n");
	crashes("@enf_workers 4 same", "caps:max_pinned_per_cpu");
	policy("[caps]\nthread_rate = 2/60s\nthread_rate_action = crash\n");
	crashes("@enf_create 8", "caps:thread_rate");
	policy("[caps]\nreserve_cpus = %d\nreserve_cpus_action = crash\n", cpu_number(1));
	crashes("@enf_workers 4 apart", "caps:reserve_cpus");
}

Test(caps, reserve_cpus_logs)
{
	cpu_number(1); /* on a machine of one none can be reserved */
	policy("[caps]\nreserve_cpus = %d\nreserve_cpus_action = log\n", cpu_number(0));
	enforced("@enf_workers 4 apart", ALL_WORK, "{\"caps:reserve_cpus\": 2}");
}
