/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/term.h"
#include "tests/report_rig.h"

TestSuite(report, .init = make_folder, .fini = remove_folder);

/* ---- text ----------------------------------------------------------------------------- */

Test(report, gives_the_verdict_first)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_starts(text, "2 leaks: 1 exit-while-pinned, 1 inherited\n");
	free(text);
}

Test(report, says_when_there_is_no_leak)
{
	struct pinw_builder b;

	tell_nothing(&b, 100, 1);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_starts(text, "No leaks: no thread was created and nothing was pinned\n");
	free(text);
}

Test(report, puts_dropped_events_before_everything)
{
	struct pinw_builder b;

	tell_much(&b);
	b.live.counters.events_dropped = 12345;
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_starts(text, "12,345 events were dropped");
	expect_has(text, "12345 events found no room");
	free(text);
	text = render(JSON);
	expect_has(text, "\"dropped\": 12345");
	free(text);
}

Test(report, tells_how_each_process_went)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "killed by SIGTERM (15) after 3 s");
	expect_has(text, "2 created, 1 adopted; peak ");
	expect_has(text, "2 calls: 1 self, 1 failed; 1 attribute");
	expect_has(text, "4 threads listed by the kernel, 3 seen");
	expect_has(text, "1 thread was adopted");
	expect_has(text, "sudo was started without the preload");
	expect_has(text, "sealed itself with seccomp");
	expect_has(text, "truncated: the stack goes on");
	expect_has(text, "libred.so+0x1111 (the file is gone)");
	expect_has(text, "0x1111 (in no module: generated code)");
	expect_has(text, "end to joiner");
	expect_has(text, "exit-while-pinned: threads that ended with a pin still open");
	free(text);
}

Test(report, makes_every_foreign_byte_harmless_and_keeps_to_the_page)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	for (enum format format = TEXT; format <= JSON; format++) {
		if (format == COLORED_TEXT)
			continue;
		char *text = render(format);
		expect_harmless(text, format != JSON);
		free(text);
	}
	char *text = render(TEXT);
	expect_has(text, "bell\\x07\\x1b[5m");
	expect_has(text, "\\xff\\xfe\\xc3");
	free(text);
}

Test(report, wraps_what_is_longer_than_a_line)
{
	static const uint64_t offset = 0x10;
	char path[1001] = "/";
	struct pinw_builder b;

	memset(path + 1, 'x', sizeof(path) - 2);
	pinw_builder_init(&b, 1);
	memset(b.header.exe, 'e', 400);
	b.header.exe_len = 400;
	for (uint32_t i = 0; i < 1400; i++)
		b.header.cmdline[i] = i % 7 == 6 ? '\0' : 'c';
	b.header.cmdline_len = 1400;
	pinw_builder_module(&b, 1, path);
	pinw_builder_site(&b, 1, 1, &offset, 1, 0);
	pinw_builder_pin(&b, 1, 1, 1, 1, PINW_EFFECT_OPEN, 1);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_harmless(text, true);
	free(text);
}

Test(report, prints_a_stack_once_and_then_refers_to_it)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	const char *first = strstr(text, "pinned at (site 2):");
	cr_assert_not_null(first);
	expect_has(first, "pinned at (site 2, above):");
	cr_expect_null(strstr(first + 1, "pinned at (site 2):"));
	free(text);
}

Test(report, cuts_long_lists_and_says_so)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 50; i++)
		pinw_builder_create(&b, i, 1, 1, i + 2, 0);
	/* The one that matters comes last in the trace and first in the list. */
	pinw_builder_create(&b, 51, 1, 1, 99, 0);
	pinw_builder_exit_pinned(&b, 60, 99, PINW_ORIGIN_EXTERNAL, 0, 0, 5);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "... and 32 more threads (--top 0 shows all)");
	expect_has(text, "     99 ");
	free(text);
	text = render(ALL_TEXT);
	expect_has_not(text, "more threads (--top");
	free(text);
}

Test(report, tells_of_leaks_whose_details_are_lost)
{
	struct pinw_builder b;

	tell_much(&b);
	b.live.counters.leaks_exit_while_pinned = 41;
	b.live.counters.events_dropped = 1000;
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "41 exit-while-pinned");
	expect_has(text, "40 more without details");
	free(text);
}

Test(report, shows_processes_as_a_tree)
{
	struct pinw_builder b;

	tell_nothing(&b, 100, 1);
	write_trace(&b, "a.pwt");
	tell_nothing(&b, 101, 100);
	write_trace(&b, "b.pwt");
	tell_nothing(&b, 102, 101);
	write_trace(&b, "c.pwt");
	tell_nothing(&b, 102, 101);
	b.header.start_mono_ns += SECOND; /* became another program */
	write_trace(&b, "d.pwt");
	char *text = render(TEXT);
	expect_has(text, "\nstory 100 ");
	expect_has(text, "\n  story 101 ");
	expect_has(text, "\n    story 102 ");
	expect_has(text, "\n      => story 102 ");
	free(text);
}

Test(report, does_not_pass_over_what_was_not_seen)
{
	struct pinw_builder b;

	for (uint32_t i = 0; i < 3; i++) {
		tell_nothing(&b, 100 + i, 99 + i);
		b.live.census_kernel = b.live.census_seen = 1;
		if (i == 1)
			pinw_builder_exec(&b, 5, "/bin/elsewhere", PINW_EXEC_UNFOLLOWED, 0);
		write_trace(&b, i == 0 ? "a.pwt" : i == 1 ? "b.pwt" : "c.pwt");
	}
	char *text = render(TEXT);
	expect_has(text, "\nstory (pid 101): exit status 0");
	expect_has(text, "not followed: /bin/elsewhere");
	expect_has_not(text, "\nstory (pid 102)");
	expect_has(text, "2 processes have nothing to look into");
	expect_has_not(text, "baseline of one CPU");
	free(text);
}

Test(report, says_when_the_next_image_is_missing)
{
	struct pinw_builder b;

	for (uint32_t i = 0; i < 2; i++) {
		tell_nothing(&b, 100 + i, 99 + i);
		b.header.session[0] = 7;
		if (i == 0)
			b.live.end_how = PINW_END_EXEC;
		write_trace(&b, i == 0 ? "a.pwt" : "b.pwt");
		char *text = render(TEXT);
		expect_has(text, i == 0 ? "its next image, by exec, is not among these traces"
		                        : "what it became by exec left no trace");
		free(text);
	}
	char *text = render(JSON);
	expect_has(text, "what it became by exec left no trace");
	free(text);
	tell_nothing(&b, 100, 99);
	b.header.session[0] = 7;
	b.header.start_mono_ns += SECOND; /* there it is */
	write_trace(&b, "c.pwt");
	text = render(TEXT);
	expect_has_not(text, "left no trace");
	expect_has_not(text, "not among these traces");
	free(text);
}

Test(report, tells_nothing_of_a_trace_without_its_live_page)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	cr_assert_eq(truncate(in_folder("a.pwt"), PINW_LIVE_OFFSET), 0);
	char *text = render(TEXT);
	expect_has(text, "Whether anything leaked cannot be told");
	expect_has(text, "the live page is not there");
	expect_has_not(text, "No leaks");
	expect_has_not(text, "nothing was pinned");
	free(text);
}

Test(report, lists_every_process_that_leaks)
{
	struct pinw_builder b;
	char name[16];

	for (uint32_t i = 0; i < 30; i++) {
		tell_nothing(&b, 100 + i, 99);
		if (i == 29) {
			pinw_builder_create(&b, 1, 1, 1, 2, 0);
			pinw_builder_pin(&b, 55, 2, 2, 0, PINW_EFFECT_OPEN, 1);
			pinw_builder_exit_pinned(&b, 60, 2, PINW_ORIGIN_SELF, 0, 0, 5);
		}
		if (i == 3) {
			b.live.end_how = PINW_END_SIGNAL;
			b.live.end_status = 9;
		}
		snprintf(name, sizeof(name), "%02u.pwt", i);
		write_trace(&b, name);
	}
	char *text = render(TEXT);
	expect_has(text, "\nstory 103                       SIGKILL  ");
	expect_has(text, "\nstory 118 ");
	expect_has(text, "\nstory 129 ");
	expect_has_not(text, "\nstory 128 ");
	expect_has(text, "... and 9 more processes (--top 0");
	expect_has(text, "left: the thread ended with it; open: still held at the end");
	expect_harmless(text, true);
	free(text);
}

Test(report, does_not_take_an_unknown_duration_for_none)
{
	struct pinw_builder b;

	tell_nothing(&b, 100, 1);
	b.live.end_how = PINW_END_NONE;
	b.live.end_ns = 0;
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "violent end after ?");
	expect_has_not(text, " 0 ns");
	free(text);
}

Test(report, says_that_one_cpu_leaves_no_room_for_a_pin)
{
	struct pinw_builder b;

	tell_nothing(&b, 100, 1);
	b.header.baseline[0] = 1;
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "pinned\nOn a baseline of one CPU nothing is a pin.\n");
	free(text);
	tell_nothing(&b, 101, 100);
	write_trace(&b, "b.pwt");
	text = render(TEXT);
	expect_has_not(text, "On a baseline of one CPU");
	free(text);
}

Test(report, keeps_to_the_page_however_deep_the_tree)
{
	struct pinw_builder b;
	char name[16];

	for (uint32_t i = 0; i < 40; i++) {
		tell_nothing(&b, 4000100 + i, 4000099 + i);
		b.live.counters.threads_created = UINT64_MAX - i;
		b.live.counters.pins_opened = UINT64_MAX - i;
		snprintf(name, sizeof(name), "%u.pwt", i);
		write_trace(&b, name);
	}
	char *text = render(ALL_TEXT);
	expect_harmless(text, true);
	free(text);
}

Test(report, colors_only_when_told_to)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	char *text = render(COLORED_TEXT);
	expect_starts(text, "\033[1;31m2 leaks");
	free(text);
	text = render(TEXT);
	expect_has_not(text, "\033");
	free(text);
}

/* ---- Go locks ------------------------------------------------------------------------- */

Test(report, tells_go_locks_by_where_they_were_taken)
{
	struct pinw_builder b;

	tell_golocks(&b);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "  Go locks  4 (1 more nested in them, depth up to 2); 2 unlocked, 1 destroyed\n"
	                 "            with their thread, 1 open at the end; 7 denied\n");
	expect_has(text, "         4         2         1      1      250 ms         1 s  2\n"
	                 "    held 1 s in all; 1 locked and pinned to CPUs as well, 3 not bound to a CPU\n");
	expect_has(text, "    locked at (site 1, above): handle_request\n");
	expect_has(text, "    1 x unlocked at (site 2):\n      #0  handle_request+");
	expect_has(text, "    1 x unlocked at (site 3, above): somebody_calls");
	expect_has(
	    text,
	    "  still locked at the end:\n    goroutine 19 on thread 1 story, for 1 s, depth 2: locked and "
	    "pinned to");
	expect_has(text, "self+go");
	free(text);
}

Test(report, tells_leaks_of_go_locks_with_both_stacks)
{
	struct pinw_builder b;

	tell_golocks(&b);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_starts(
	    text, "5 leaks: 1 exit-while-pinned, 2 pinned-at-end, 2 unbalanced\n"
	          "Pinned per request: 4 Go locks by handle_request, 1 thread destroyed while\n  locked\n");
	expect_has(text, "  1 x Go lock held 1 us: thread 2 story (goroutine 18)\n    locked at (site 1):\n");
	expect_has(text, "2 unbalanced: Go locks undone in another function, or not as often as taken\n");
	expect_has(text, "  1 x Go lock: thread 2 story (goroutine 18)\n    locked at (site 1, above): ");
	expect_has(text, "    unlocked at (site 3, above): somebody_calls");
	expect_has(text, ", depth 2: thread 1 story (goroutine 19)\n");
	free(text);
}

Test(report, says_what_is_pinned_per_request)
{
	struct pinw_builder b;

	tell_golocks(&b);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "  requests  pinned per request: yes, by stack\n");
	expect_has(text, "PINNED PER REQUEST\n"
	                 "  4 Go locks by handle_request, 1 thread destroyed while locked\n"
	                 "    by stack: handle_request serves requests (site 1)\n"
	                 "    rate: up to 4 in 1 s, 2 of them by threads that had done it before\n"
	                 "  churn: 1 thread was pinned or locked and ended within 1 s, up to 1 in 1 s\n"
	                 "  cure: let workers that are pinned once");
	expect_harmless(text, true);
	free(text);
	tell_much(&b);
	write_trace(&b, "a.pwt");
	text = render(TEXT);
	expect_has(text, "  requests  pinned per request: not observable: ");
	expect_has_not(text, "PINNED PER REQUEST");
	free(text);
}

/* ---- stacks --------------------------------------------------------------------------- */

Test(report, names_functions_and_lines)
{
	struct pinw_builder b;

	tell_of_myself(&b, 0);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "somebody_calls+0x5 at tests/report_rig.c:");
	free(text);
	text = render(JSON);
	expect_has(text, "\"function\": \"somebody_calls\", \"file\": \"tests/report_rig.c\", \"line\": ");
	free(text);
}

Test(report, does_not_guess_when_the_program_was_replaced)
{
	struct pinw_builder b;

	tell_of_myself(&b, 20);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "(the file changed since)");
	expect_has_not(text, "somebody_calls");
	free(text);
	text = render(JSON);
	expect_has(text, "\"function\": null");
	free(text);
}

/* ---- lines ---------------------------------------------------------------------------- */

static char *line_of(const char *foreign, size_t len, unsigned indent)
{
	char *text = NULL;
	size_t text_len;
	FILE *out = open_memstream(&text, &text_len);
	struct pinw_term t;

	pinw_term_init(&t, out, false);
	pinw_term_put_foreign(&t, foreign, len);
	pinw_term_end(&t, indent, PINW_STYLE_PLAIN);
	cr_assert_eq(pinw_term_done(&t), 0);
	fclose(out);
	return text;
}

Test(term, escapes_what_is_not_plain_text)
{
	static const char nasty[] = "a\033[31mb\x9b"
	                            "1mc\n\td\\x41\x7f\xc2\x9b\xe2\x80\xae\0z";
	char *text = line_of(nasty, sizeof(nasty) - 1, 0);

	cr_expect_str_eq(text, "a\\x1b[31mb\\x9b1mc\\n\\td\\\\x41\\x7f\\xc2\\x9b\\xe2\\x80\\xae\\x00z\n");
	free(text);
	text = line_of("gr\xc3\xbc\xc3\x9f dich", 11, 0);
	cr_expect_str_eq(text, "gr\xc3\xbc\xc3\x9f dich\n");
	free(text);
}

Test(term, breaks_lines_at_spaces_and_indents_the_rest)
{
	char words[400] = "";

	for (int i = 0; i < 30; i++)
		strcat(words, i ? " eightlet" : "eightlet");
	char *text = line_of(words, strlen(words), 4);
	expect_harmless(text, true);
	expect_has(text, "eightlet\n    eightlet");
	free(text);
	memset(words, 'x', 300);
	words[300] = '\0';
	text = line_of(words, 300, 4);
	expect_harmless(text, true);
	cr_expect_eq(strcspn(text, "\n"), 80);
	free(text);
}
