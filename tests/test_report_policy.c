/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/report_rig.h"

TestSuite(report_policy, .init = make_folder, .fini = remove_folder);

Test(report_policy, gives_the_verdict_on_the_policy)
{
	struct pinw_builder b;

	tell_breaches(&b, PINW_MODE_ENFORCE);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_starts(text,
	              "2 leaks: 1 exit-while-pinned, 1 inherited\n"
	              "10 violations: caps:max_threads 1 crashed; leak:inherited 1 not reset;\n"
	              "  ban:per\\x1b[2J-request 5 denied; require:workers 2 found over time; and 1 more\n"
	              "  rule\n");
	free(text);
}

Test(report_policy, lists_violations_by_rule_the_most_severe_first)
{
	struct pinw_builder b;

	tell_breaches(&b, PINW_MODE_ENFORCE);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	const char *list = strstr(text, "\nVIOLATIONS\n");
	cr_assert_not_null(list);
	cr_expect_gt(list, strstr(text, "\nLEAKS\n"));
	expect_starts(list,
	              "\nVIOLATIONS\ncaps:max_threads (staging.ini:11): 1 crashed\n"
	              "  1 x creating a thread: the program was aborted; 65 counted, limit 64; thread 1\n");
	const char *ban = strstr(list, "\nban:per\\x1b[2J-request (staging.ini:6): 5 denied\n");
	cr_assert_not_null(ban);
	expect_has(ban, "  5 x pinning to CPUs 1 and others: denied with EPERM; threads 2\n"
	                "      bell\\x07\\x1b[5m, 3 \\xff\\xfe\\xc3, 4, ...; from 1 s to 1.04 s\n");
	expect_has(ban, "    called at (site 2, above): libred.so+0x1111");
	expect_has(list, "\nleak:inherited (staging.ini:16): 1 not reset\n"
	                 "  1 x a mask inherited at creation, CPU 0: the kernel refused the reset; thread\n"
	                 "      3 \\xff\\xfe\\xc3; at 310 ns\n"
	                 "    its creator was pinned at (site 3");
	expect_has(list, "  1 x end of a thread, CPU 0: logged; thread 2");
	expect_has(list, "\nrequire:workers (staging.ini:33): 2 found over time\n"
	                 "  2 found over time by pinwarden run, last at 1.5 s: thread 3 ");
	expect_has(text, "  policy    /etc/pin\\x1b[31m/staging.ini, enforce: 10 violations, 4 leaks\n       "
	                 "     suppressed\n");
	expect_has(text, "1 failed, 5 denied");
	expect_has(text, "1 stack was not wholly named");
	free(text);
	text = render(ALL_TEXT);
	expect_harmless(text, true);
	free(text);
}

Test(report_policy, says_would_in_audit)
{
	struct pinw_builder b;

	tell_breaches(&b, PINW_MODE_AUDIT);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "caps:max_threads (staging.ini:11): 1 would crash\n");
	expect_has(text, "pinning to CPUs 1 and others: would deny; threads 2 ");
	expect_has(text, "1 x a mask inherited at creation, CPU 0: would reset;");
	expect_has_not(text, "denied");
	expect_has_not(text, "aborted");
	free(text);
}

Test(report_policy, names_rules_that_never_matched_in_any_process)
{
	struct pinw_builder b;

	tell_breaches(&b, PINW_MODE_ENFORCE);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "\nPOLICY\n/etc/pin\\x1b[31m/staging.ini, enforce: 8 rules, 5 broken\n"
	                 "  never matched: ban:never (line 20)\n"
	                 "  unused suppressions: suppress:old (line 29)\n"
	                 "  leaks suppressed: 4 by suppress:pool\n");
	free(text);
	tell_breaches(&b, PINW_MODE_AUDIT);
	memset(b.header.self.nonce, 7, 16);
	b.header.self.pid = 9;
	b.rules[4].matched = 1;
	b.rules[6].matched = 1;
	write_trace(&b, "b.pwt");
	text = render(TEXT);
	expect_has_not(text, "never matched");
	expect_has_not(text, "unused suppressions");
	expect_has(text, "20 violations in 2 of 2 processes: ");
	expect_has(text, "staging.ini, in several modes: 8 rules, 5 broken\n");
	expect_has(text, "  leaks violated\n");
	expect_harmless(text, true);
	free(text);
}

Test(report_policy, says_that_a_policy_was_kept)
{
	struct pinw_builder b;

	tell_nothing(&b, 100, 1);
	pinw_builder_policy(&b, "/etc/a.ini", PINW_MODE_AUDIT, 1);
	pinw_builder_rule(&b, 3, PINW_SECTION_CAPS, PINW_ACTION_CRASH, "caps:max_threads");
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "\nNo violations of the policy.\n");
	expect_has(text, "/etc/a.ini, audit: 1 rule, none broken\n");
	expect_has_not(text, "VIOLATIONS");
	expect_has_not(text, "never matched");
	free(text);
}

Test(report_policy, says_nothing_of_policies_where_none_was)
{
	struct pinw_builder b;

	tell_nothing(&b, 100, 1);
	write_trace(&b, "a.pwt");
	tell_nothing(&b, 101, 100);
	write_trace(&b, "b.pwt");
	char *text = render(TEXT);
	expect_has_not(text, "iolation");
	expect_has_not(text, "olicy");
	expect_has_not(text, "violated");
	free(text);
	text = render(JSON);
	expect_has(text, "\"policy\": null");
	expect_has(text, "\"violation_list\": []");
	free(text);
}

Test(report_policy, tells_of_violations_whose_records_are_lost)
{
	struct pinw_builder b;

	tell_breaches(&b, PINW_MODE_ENFORCE);
	b.rules[0].violations = 1005;
	b.rules[0].done = 1005;
	b.live.counters.violations += 1000;
	b.live.counters.events_dropped = 1000;
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "\n1,010 violations: ");
	expect_has(text, "(staging.ini:6): 1,005 denied\n");
	expect_has(text, "  1,000 more whose records were dropped or lost\n");
	free(text);
}

Test(report_policy, says_when_counts_of_rules_are_lost)
{
	struct pinw_builder b;

	tell_breaches(&b, PINW_MODE_ENFORCE);
	b.rules[0].id = 77;
	b.live.counters.violations = 12;
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "\n14 violations: ");
	expect_has(text, "(staging.ini:6): 5 denied\n");
	expect_has(text, "4 more, of which rule is not known");
	expect_has(text, "damaged: rule cell damaged");
	expect_has(text, "the counts of 1 rule are not in the trace");
	free(text);
	tell_nothing(&b, 100, 1);
	pinw_builder_policy(&b, "/etc/a.ini", PINW_MODE_AUDIT, 3);
	write_trace(&b, "a.pwt");
	text = render(TEXT);
	expect_has(text, "Whether the policy was kept cannot be told");
	expect_has_not(text, "No violations");
	free(text);
}

Test(report_policy, keeps_to_the_page_however_deep_the_tree_under_a_policy)
{
	struct pinw_builder b;
	char name[16];

	for (uint32_t i = 0; i < 12; i++) {
		tell_nothing(&b, 4000100 + i, 4000099 + i);
		b.live.counters.threads_created = UINT64_MAX - i;
		pinw_builder_policy(&b, "/etc/a.ini", PINW_MODE_AUDIT, 1);
		pinw_builder_rule(&b, 3, PINW_SECTION_CAPS, PINW_ACTION_CRASH, "caps:max_threads");
		b.rules[0].violations = UINT64_MAX;
		snprintf(name, sizeof(name), "%u.pwt", i);
		write_trace(&b, name);
	}
	char *text = render(ALL_TEXT);
	expect_harmless(text, true);
	expect_has(text, "\nstory 4000100 ");
	free(text);
}
