/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/commands.h"
#include "tests/report_rig.h"

TestSuite(cmd_report, .init = make_folder, .fini = remove_folder);

static void expect_content(const char *name, const char *part)
{
	char *text = said_in(name);

	cr_expect_not_null(strstr(text, part), "no \"%s\" in %s: %s", part, name, text);
	free(text);
}

Test(cmd_report, exits_with_what_it_could_read)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "good.pwt");
	cr_expect_eq(run_command(pinw_cmd_report, in_folder("good.pwt"), NULL, NULL), 0);
	expect_content("out", "2 leaks");
	cr_expect_eq(run_command(pinw_cmd_report, folder, "-f", "json"), 0);
	expect_content("out", "\"exit-while-pinned\": 1");

	cr_expect_eq(run_command(pinw_cmd_report, in_folder("missing.pwt"), NULL, NULL), 3);
	expect_content("out", "missing.pwt: No such file or directory");
	expect_content("err", "missing.pwt: No such file or directory");
	cr_expect_eq(run_command(pinw_cmd_report, in_folder("good.pwt"), in_folder("missing.pwt"), NULL), 3);
	expect_content("out", "2 leaks");
	cr_expect_eq(run_command(pinw_cmd_report, in_folder("missing.pwt"), "--format", "json"), 3);
	expect_content("out", "\"error\": \"No such file or directory\"");
	expect_content("err", "missing.pwt: No such file");

	cr_assert_eq(truncate(in_folder("good.pwt"), 13000), 0);
	cr_expect_eq(run_command(pinw_cmd_report, folder, NULL, NULL), 3);
	expect_content("out", "1 trace is damaged");
}

Test(cmd_report, does_not_take_an_empty_folder_for_a_clean_one)
{
	cr_expect_eq(run_command(pinw_cmd_report, folder, NULL, NULL), 3);
	expect_content("err", "no *.pwt in this directory");
}

Test(cmd_report, refuses_what_it_does_not_know_and_says_what_it_knows)
{
	static const struct {
		const char *one, *two, *says;
	} cases[] = {
	    {"-f", "yaml", "-f yaml: the formats are text, json"},
	    {"--by", "name", "--by=name: expected site, thread or cpu"},
	    {"--filter=nose:x", NULL, "--filter=nose:x: nose: is none of function:, module:, thread:"},
	    {"--filter=kind:x", NULL, "kind: is self, cross, born, inherited, external, cpu"},
	    {"--filter=leak:x", NULL, "leak: is any, exit-while-pinned, pinned-at-end"},
	    {"--filter=cpu:x", NULL, "cpu: is the number of one CPU"},
	    {"--filter=thread:", NULL, "thread: needs a value"},
	    {"--filter= ", NULL, "expected words, or terms such as thread:worker"},
	    {"--filter=x", "-fjson", "--filter is for the lists of text"},
	    {"--bye", NULL, "--bye is no option here; there are -f, -o, --by, --color"},
	    {"--by=cpu", "-fjson", "--by is a view of text"},
	    {"-z", NULL, "-z is no option here"},
	    {"--color=blue", NULL, "--color=blue: expected auto, always or never"},
	    {"--top=many", NULL, "--top=many: expected a number, 0 for all"},
	    {"--top=-1", NULL, "--top=-1: expected a number"},
	    {"-o", NULL, "-o needs a value"},
	    {NULL, NULL, "name a trace, or a directory"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(run_command(pinw_cmd_report, cases[i].one, cases[i].two, NULL), 2, "%s",
		             cases[i].says);
		expect_content("err", cases[i].says);
	}
}

Test(cmd_report, shows_the_scorecard_in_text_and_json_only)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	cr_expect_eq(run_command(pinw_cmd_report, folder, "--scorecard", NULL), 0);
	expect_content("out", "2 leaks");
	expect_content("out", "NOT OBSERVABLE  a comment at every lock says why");
	expect_content("out", "FAIL            are locks and unlocks balanced?");
	expect_content("out", "threads expected  not known");
	cr_expect_eq(run_command(pinw_cmd_report, folder, "--scorecard", "-fjson"), 0);
	expect_content("out", "\"item\": \"balanced\", \"checklist\": \"review\"");
	cr_expect_eq(run_command(pinw_cmd_report, folder, "-fjson", NULL), 0);
	char *text = said_in("out");
	expect_has_not(text, "scorecard");
	free(text);
	cr_expect_eq(run_command(pinw_cmd_report, folder, "--scorecard", "-fpprof"), 2);
	expect_content("err", "--scorecard is in text and json, not in pprof");
}

Test(cmd_report, shows_tables_by_site_thread_or_cpu_alone)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	cr_expect_eq(run_command(pinw_cmd_report, folder, "--by=site", NULL), 0);
	expect_content("out", "2 leaks");
	expect_content("out", "\nPINS BY SITE\n");
	expect_content("out", "\nCHURN BY CREATION SITE\n");
	char *text = said_in("out");
	expect_has_not(text, "\nTHREADS\n");
	expect_has_not(text, "\nLEAKS\n");
	free(text);
	cr_expect_eq(run_command(pinw_cmd_report, folder, "--by=thread", NULL), 0);
	expect_content("out", "\nBY THREAD\n");
	cr_expect_eq(run_command(pinw_cmd_report, folder, "--by=cpu", NULL), 0);
	expect_content("out", "\nBY CPU\n");
	expect_content("out", "     CPU      pins     alone   at once      pinned\n       0");
}

Test(cmd_report, helps)
{
	cr_expect_eq(run_command(pinw_cmd_report, "--help", NULL, NULL), 0);
	expect_content("out", "Usage: pinwarden report TRACE...");
}

Test(cmd_report, writes_to_a_file_but_never_over_a_trace)
{
	struct pinw_builder b;
	char option[192];

	tell_much(&b);
	write_trace(&b, "a.pwt");
	snprintf(option, sizeof(option), "-o%s", in_folder("report.txt"));
	cr_expect_eq(run_command(pinw_cmd_report, in_folder("a.pwt"), option, NULL), 0);
	expect_content("report.txt", "2 leaks");
	snprintf(option, sizeof(option), "-o%s", in_folder("a.pwt"));
	cr_expect_eq(run_command(pinw_cmd_report, in_folder("a.pwt"), option, NULL), 2);
	cr_expect_eq(run_command(pinw_cmd_report, in_folder("a.pwt"), NULL, NULL), 0, "it is still a trace");
	cr_expect_eq(run_command(pinw_cmd_report, in_folder("a.pwt"), "-o/dev/full", NULL), 2);
	expect_content("err", "/dev/full: No space left on device");
	cr_expect_eq(run_command(pinw_cmd_report, in_folder("a.pwt"), "-o/nowhere/at/all", NULL), 2);
}

Test(cmd_report, honours_no_color_and_the_option)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	setenv("NO_COLOR", "1", 1);
	cr_expect_eq(run_command(pinw_cmd_report, in_folder("a.pwt"), "--color=always", NULL), 0);
	expect_content("out", "\033[1;31m");
	cr_expect_eq(run_command(pinw_cmd_report, in_folder("a.pwt"), "--color", "auto"), 0);
	char *text = said_in("out");
	expect_has_not(text, "\033");
	free(text);
}
