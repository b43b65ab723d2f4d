/* SPDX-License-Identifier: MIT
 *
 * Audit and enforce; policies that are not to be trusted; the shim without `pinwarden run`. The figures are those of the targets' sources
 * (tests/targets/enf_*.c).
 */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/enforce_scene.h"

TestSuite(modes, .fini = e2e_done);
TestSuite(trust, .fini = e2e_done);

/* ---- modes ---------------------------------------------------------------------------------------- */

/* Rules of every kind that do not match: the program cannot tell. */
Test(modes, a_policy_that_matches_nothing_changes_nothing)
{
	static const char *const targets[] = {"@enf_pin",           "@enf_workers 4 apart",
	                                      "@enf_create 8",      "@enf_born attr inherit chain",
	                                      "@enf_rate churn 20", "@enf_leave exit 3"};
	struct e2e_result bare;

	policy("[policy]\nmode = enforce\n"
	       "[ban \"f\"]\nfunction = no_such_*\n[ban \"m\"]\nmodule = libnothing.so\n[ban "
	       "\"t\"]\nthread_name = nobody\n"
	       "[ban \"c\"]\ncreated_by = no_such_*\n[ban \"r\"]\nsite_rate = 1000/s\n[ban "
	       "\"h\"]\nchurn_rate = 100000/s\n"
	       "[allow \"a\"]\nthread_name = somebody\n[require \"q\"]\nthread_name = nobody\n"
	       "[caps]\nmax_threads = 1000\nmax_pinned = 1000\nmax_pinned_per_cpu = 1000\nthread_rate = "
	       "100000/s\n"
	       "[suppress \"s\"]\nthread_name = nobody\n[leak]\ninherited = off\n");
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		e2e_run(&bare, targets[i]);
		under("", targets[i]);
		cr_assert_eq(last.status, bare.status, "%s: status %d, bare %d\n%s", targets[i], last.status,
		             bare.status, last.err);
		cr_assert_str_eq(last.out, bare.out, "%s", targets[i]);
		cr_assert_str_eq(last.err, bare.err, "%s", targets[i]);
		violations("{}");
	}
}

/* Every action in audit: the same output as bare, recorded as what would have been done. */
static void audited(const char *target, const char *expected, const char *word)
{
	struct e2e_result bare;

	e2e_run(&bare, target);
	under("--audit", target);
	cr_assert_eq(last.status, bare.status, "%s: status %d\n%s", target, last.status, last.err);
	cr_assert_str_eq(last.out, bare.out, "%s\n%s", target, last.err);
	says(word);
	violations(expected);
	e2e_true("[.processes[].policy | .mode == \"audit\" and ([.rules[].done] | add == 0)] | all");
}

Test(modes, audit_only_says_what_would_be_done)
{
	policy("[policy]\nmode = enforce\n[ban \"b\"]\nfunction = pin_by_*\n");
	audited("@enf_pin", "{\"ban:b\": 3}", "would deny");
	policy("[ban \"b\"]\nfunction = pin_by_sched\naction = crash\n");
	audited("@enf_pin", "{\"ban:b\": 1}", "would crash");
	policy("[leak]\ninherited = reset\n");
	audited("@enf_born inherit fork chain", "{\"leak:inherited\": 4}", "would reset");
	policy("[caps]\nmax_threads = 5\n");
	audited("@enf_create 8", "{\"caps:max_threads\": 8}", "would crash");
	policy("[caps]\nmax_threads = 5\nmax_threads_action = deny\n");
	audited("@enf_create 8", "{\"caps:max_threads\": 8}", "would deny");
	policy("[caps]\nmax_pinned_per_cpu = 1\n");
	audited("@enf_workers 3 same", "{\"caps:max_pinned_per_cpu\": 2}", "would deny");
	policy("[leak]\nexit_while_pinned = crash\n");
	audited("@enf_leave exit 3", "{\"leak:exit_while_pinned\": 3}", "would crash");
}

Test(modes, the_file_decides_unless_run_does)
{
	policy("[policy]\nmode = enforce\n[ban \"b\"]\nfunction = pin_by_*\n");
	under("", "@enf_pin");
	cr_assert_str_eq(last.out, "sched 1 free\npthread 1 free\nsyscall 1 free\n");
	under("--audit", "@enf_pin");
	cr_assert_str_eq(last.out, ALL_PINNED);
	policy("[policy]\nmode = audit\n[ban \"b\"]\nfunction = pin_by_*\n");
	under("", "@enf_pin");
	cr_assert_str_eq(last.out, ALL_PINNED);
	under("--enforce", "@enf_pin");
	cr_assert_str_eq(last.out, "sched 1 free\npthread 1 free\nsyscall 1 free\n");
}

Test(modes, the_policy_names_its_log)
{
	char path[4096], text[4096];
	size_t n;
	FILE *f;

	policy("[policy]\nlog = %s/log\n[ban \"b\"]\nfunction = pin_by_sched\n", e2e_dir());
	enforced("@enf_pin", "sched 1 free\npthread 0 pinned\nsyscall 0 pinned\n", "{\"ban:b\": 1}");
	cr_assert_str_eq(last.err, "");
	snprintf(path, sizeof(path), "%s/log", e2e_dir());
	f = fopen(path, "r");
	cr_assert_not_null(f, "no log");
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	cr_assert_not_null(strstr(text, "ban:b"), "%s", text);
}

/* Programs that the program starts are held to it too, wherever they are. */
Test(modes, a_policy_follows_into_what_is_started)
{
	policy("[policy]\nmode = enforce\n[ban \"b\"]\nfunction = pin_by_*\n");
	enforced("env -C / @enf_pin", "sched 1 free\npthread 1 free\nsyscall 1 free\n", "{\"ban:b\": 3}");
	go(E2E_PINWARDEN " run -q -p policy.ini -o %d/t/ -- env -C / @enf_pin");
	cr_assert_str_eq(last.out, "sched 1 free\npthread 1 free\nsyscall 1 free\n", "%s", last.err);
	violations("{\"ban:b\": 3}");
}

Test(modes, fail_on_sets_the_status)
{
	policy("[ban \"b\"]\nfunction = pin_by_*\n");
	under("--audit --fail-on error", "@enf_pin");
	cr_assert_eq(last.status, 99, "%d", last.status);
	under("--enforce --fail-on error", "@enf_pin");
	cr_assert_eq(last.status, 99, "%d", last.status);
	under("--enforce --fail-on never", "@enf_pin");
	cr_assert_eq(last.status, 0, "%d", last.status);
	policy("[ban \"b\"]\nfunction = pin_by_*\naction = log\n");
	under("--enforce --fail-on error", "@enf_pin");
	cr_assert_eq(last.status, 0, "%d", last.status);
	under("--enforce --fail-on warning", "@enf_pin");
	cr_assert_eq(last.status, 99, "%d", last.status);
	policy("[ban \"b\"]\nfunction = no_such_*\n");
	under("--enforce --fail-on warning", "@enf_pin");
	cr_assert_eq(last.status, 0, "%d", last.status);
}

/* ---- the shim on its own, and policies not to be trusted --------------------------------------------- */

/* The target with the shim preloaded by hand. `mode` is audit, enforce or NULL: the file's. */
static void by_environment(const char *mode, const char *target)
{
	const char *build = getenv("PINW_BUILD");
	char path[4096], command[8192];

	cr_assert_not_null(realpath(build ? build : "build", path));
	snprintf(command, sizeof(command),
	         "env LD_PRELOAD=%s/libpinwarden.so PINWARDEN_OUTPUT=%s/%%e.%%p.pwt "
	         "PINWARDEN_POLICY=%s/policy.ini "
	         "PINWARDEN_LOG=stderr %s%s %s",
	         path, e2e_traces(), e2e_dir(), mode ? "PINWARDEN_MODE=" : "", mode ? mode : "", target);
	go(command);
}

Test(trust, a_policy_by_environment_is_enforced)
{
	policy("[policy]\nmode = enforce\n[ban \"b\"]\nfunction = pin_by_*\n");
	by_environment(NULL, "@enf_pin");
	cr_assert_eq(last.status, 0, "%d\n%s", last.status, last.err);
	cr_assert_str_eq(last.out, "sched 1 free\npthread 1 free\nsyscall 1 free\n", "%s%s", last.out,
	                 last.err);
	violations("{\"ban:b\": 3}");
	by_environment("audit", "@enf_pin");
	cr_assert_str_eq(last.out, ALL_PINNED);
	violations("{\"ban:b\": 3}");
}

/* Ended before main, or went on: with the line that says why. */
static void invalid(const char *mode, bool stops, const char *why)
{
	by_environment(mode, "@enf_pin");
	cr_assert_eq(last.status, stops ? 2 : 0, "%s: status %d\n%s", why, last.status, last.err);
	cr_assert_str_eq(last.out, stops ? "" : ALL_PINNED, "%s", why);
	says("policy.ini");
	says(why);
}

Test(trust, an_invalid_policy_that_enforces_stops_the_program)
{
	policy("[policy]\nmode = enforce\n[ban \"b\"]\nfunktion = pin_by_*\n");
	invalid(NULL, true, "funktion");
	says("policy.ini:4");
	says("function");
	policy("[policy]\nmode = audit\n[ban \"b\"]\nfunktion = pin_by_*\n");
	invalid("enforce", true, "funktion");
	policy("[policy]\nmode = audit\non_invalid = stop\n[ban \"b\"]\nfunktion = pin_by_*\n");
	invalid(NULL, true, "funktion");
}

Test(trust, an_invalid_policy_that_audits_is_loud)
{
	policy("[policy]\nmode = audit\n[ban \"b\"]\nfunktion = pin_by_*\n");
	invalid(NULL, false, "funktion");
	policy("[policy]\nmode = enforce\n[ban \"b\"]\nfunktion = pin_by_*\n");
	invalid("audit", false, "funktion");
	policy("[policy]\nmode = enforce\non_invalid = continue\n[ban \"b\"]\nfunktion = pin_by_*\n");
	invalid(NULL, false, "funktion");
}

Test(trust, a_missing_policy_stops_the_program)
{
	policy("[policy]\nmode = audit\n");
	e2e_status(0, "rm %d/policy.ini");
	invalid(NULL, true, "policy.ini");
	invalid("enforce", true, "policy.ini");
}

Test(trust, run_refuses_an_invalid_policy_before_the_program_starts)
{
	policy("[ban \"b\"]\nfunktion = pin_by_*\n");
	under("--audit", "@enf_pin");
	cr_assert_eq(last.status, 2, "status %d\n%s", last.status, last.err);
	cr_assert_str_eq(last.out, "");
	says("policy.ini:2");
	says("funktion");
	says("function");
	cr_assert_eq(e2e_trace_count(), 0);
}

Test(trust, a_policy_that_others_may_write_is_refused)
{
	policy("[policy]\nmode = enforce\n[ban \"b\"]\nfunction = pin_by_*\n");
	e2e_status(0, "chmod o+w %d/policy.ini");
	under("", "@enf_pin");
	cr_assert_eq(last.status, 2, "status %d\n%s", last.status, last.err);
	cr_assert_str_eq(last.out, "");
	says("writable");
	invalid(NULL, true, "writable");
	e2e_status(0, "chmod 664 %d/policy.ini");
	invalid(NULL, true, "writable");
}

Test(trust, a_policy_of_another_user_is_refused)
{
	e2e_needs(getuid() == 0, "needs root");
	policy("[policy]\nmode = enforce\n[ban \"b\"]\nfunction = pin_by_*\n");
	e2e_status(0, "chown nobody %d/policy.ini");
	under("", "@enf_pin");
	cr_assert_eq(last.status, 2, "status %d\n%s", last.status, last.err);
	invalid(NULL, true, "own");
}

/* The shell says so when the kernel has written one, or has handed it to who collects them. */
static void write_script(const char *path, const char *library)
{
	FILE *f = fopen(path, "we");

	cr_assert_not_null(f);
	fprintf(f,
	        "cd \"$2\" || exit 1\n"
	        "ulimit -c unlimited 2>/dev/null || exit 77\n"
	        "LD_PRELOAD=%s PINWARDEN_OUTPUT=$2/t/ PINWARDEN_POLICY=$2/policy.ini \"$1\" exit 1\n"
	        "exit $?\n",
	        library);
	cr_assert_eq(fclose(f), 0);
}

Test(trust, a_crash_leaves_a_core)
{
	const char *build = getenv("PINW_BUILD");
	char library[4096], script[4096], command[8192];

	snprintf(script, sizeof(script), "%s/libpinwarden.so", build ? build : "build");
	cr_assert_not_null(realpath(script, library));
	policy("[policy]\nmode = enforce\n[leak]\nexit_while_pinned = crash\n");
	snprintf(script, sizeof(script), "%s/core.sh", e2e_dir());
	write_script(script, library);
	snprintf(command, sizeof(command), "bash %s @enf_leave %%d", script);
	go(command);
	cr_assert_eq(last.status, 134, "status %d\n%s", last.status, last.err);
	says("core dumped");
}
