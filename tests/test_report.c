/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy.h"
#include "reports/commands.h"
#include "reports/json.h"
#include "reports/report.h"
#include "reports/term.h"
#include "reports/utf8.h"
#include "tests/trace_builder.h"

#define SECOND UINT64_C(1000000000)

static char folder[64];

static void make_folder(void)
{
	strcpy(folder, "/tmp/pinw-report-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(report, .init = make_folder, .fini = remove_folder);
TestSuite(cmd_report, .init = make_folder, .fini = remove_folder);

/* ---- helpers -------------------------------------------------------------------------- */

static const char *in_folder(const char *name)
{
	static char paths[4][160];
	static unsigned at;
	char *path = paths[at++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void write_trace(struct pinw_builder *b, const char *name)
{
	cr_assert_eq(pinw_builder_write(b, in_folder(name)), 0);
	pinw_builder_done(b);
}

enum format { TEXT, COLORED_TEXT, ALL_TEXT, JSON };

/* The report on every trace in the folder. The caller frees it. */
static char *render(enum format format)
{
	struct pinw_text_options options = {.color = format == COLORED_TEXT,
	                                    .top = format == ALL_TEXT ? 0 : 20};
	struct pinw_model *m;
	struct pinw_stacks *stacks;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	cr_assert_not_null(out);
	cr_assert_eq(pinw_model_new(&m), 0);
	cr_assert_geq(pinw_model_add_directory(m, folder), 0);
	cr_assert_eq(pinw_model_finish(m), 0);
	cr_assert_eq(pinw_stacks_open(&stacks), 0);
	if (format == JSON)
		cr_assert_eq(pinw_report_json(m, stacks, out), 0);
	else
		cr_assert_eq(pinw_report_text(m, stacks, &options, out), 0);
	pinw_stacks_free(stacks);
	pinw_model_free(m);
	fclose(out);
	return text;
}

/* Nothing in it can act on a terminal, and no line is longer than the page. */
static void expect_harmless(const char *text, bool limited)
{
	unsigned columns = 0;

	for (size_t left = strlen(text); left;) {
		uint32_t code;
		size_t n = pinw_utf8_next(text, left, &code);
		cr_assert_neq(n, 0, "not UTF-8: %.20s", text);
		cr_assert(code == '\n' || pinw_utf8_plain(code), "U+%04X in the report", code);
		columns = code == '\n' ? 0 : columns + pinw_utf8_columns(code);
		cr_assert(!limited || columns <= PINW_TERM_COLUMNS, "a line is too long before: %.20s", text);
		text += n;
		left -= n;
	}
}

static void expect_has(const char *text, const char *part)
{
	cr_expect_not_null(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

static void expect_has_not(const char *text, const char *part)
{
	cr_expect_null(strstr(text, part), "\"%s\" in:\n%s", part, text);
}

static void expect_starts(const char *text, const char *part)
{
	cr_expect_eq(strncmp(text, part, strlen(part)), 0, "not \"%s\" first in:\n%s", part, text);
}

/* A process with some of everything in it, hostile names included. */
static void tell_much(struct pinw_builder *b)
{
	static const uint64_t offsets[] = {0x1111, 0x2222, 0x3333};
	struct pinw_rec_adopt adopt = {.e = {400, 9, 0}, .tid = 5009, .flags = PINW_THREAD_CENSUS};
	const uint64_t mask[1] = {0xf};

	pinw_builder_init(b, 1);
	pinw_builder_set_exe(b, "/opt/\033]0;owned\007/pro\xff");
	pinw_builder_set_cmdline(b, "pro\033[2J\0two words\0\xe2\x80\xae",
	                         sizeof("pro\033[2J\0two words\0\xe2\x80\xae"));
	pinw_builder_module(b, 1, "/opt/\033[31mred/libred.so");
	for (uint32_t id = 1; id <= 4; id++)
		pinw_builder_site(b, id, id == 4 ? 0 : 1, offsets, 3, id == 2 ? PINW_SITE_TRUNCATED : 0);
	pinw_builder_create(b, 100, 1, 1, 2, 0);
	pinw_builder_start(b, 110, 2, PINW_ORIGIN_NONE, 0, 0, 0xf);
	pinw_builder_name(b, 115, 2, 2, "bell\007\x1b[5m");
	pinw_builder_pin(b, 120, 2, 2, 2, PINW_EFFECT_OPEN, 1);
	pinw_builder_exit_pinned(b, 200, 2, PINW_ORIGIN_SELF, 2, 2, 80);
	pinw_builder_join(b, 210, 1, 2);
	pinw_builder_create(b, 300, 1, 1, 3, PINW_THREAD_BORN_DETACHED | PINW_THREAD_ATTR_AFFINITY);
	pinw_builder_start(b, 310, 3, PINW_ORIGIN_INHERITED, 4, 1, 1);
	pinw_builder_name(b, 320, 3, 3, "\xff\xfe\xc3");
	pinw_builder_pin_failed(b, 330, 3, 3, EINVAL);
	pinw_builder_event(b, PINW_REC_THREAD_ADOPT, &adopt, sizeof(adopt), mask, sizeof(mask));
	b->live.counters.threads_adopted = 1;
	pinw_builder_exec(b, 500, "/bin/\x9b\x33\x31msudo", PINW_EXEC_UNFOLLOWED, 0);
	pinw_builder_note(b, PINW_NOTE_SECCOMP, 0);
	pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 0xf);
	struct pinw_slot *slot = pinw_builder_slot(b, 3, PINW_SLOT_RUNNING, 1);
	slot->pin_depth = 1;
	slot->pin_origin = PINW_ORIGIN_INHERITED;
	slot->pin_site = 4;
	b->live.census_kernel = 4;
	b->live.census_seen = 3;
	b->live.exit_ns.count = 1;
	b->live.exit_ns.sum_ns = 5000;
	b->live.exit_ns.bucket[12] = 1;
	pinw_builder_end(b, PINW_END_SIGNAL, 15, 3 * SECOND);
}

static void tell_nothing(struct pinw_builder *b, uint32_t pid, uint32_t parent)
{
	pinw_builder_init(b, 1);
	b->header.self.pid = pid;
	b->header.self.start_ticks = pid;
	b->header.parent.pid = parent;
	b->header.parent.start_ticks = parent;
	b->header.start_mono_ns += pid * SECOND;
	b->header.start_real_ns += pid * SECOND;
	memset(b->header.self.nonce, (int)pid, sizeof(b->header.self.nonce));
	pinw_builder_end(b, PINW_END_EXIT, 0, SECOND);
}

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

/* ---- policies ------------------------------------------------------------------------- */

static void tell_violation(struct pinw_builder *b, uint64_t at, uint32_t thread, uint32_t rule,
                           uint8_t action, uint8_t done, uint8_t attempt, uint64_t value, uint64_t mask)
{
	bool late = attempt == PINW_ATTEMPT_EXIT || attempt == PINW_ATTEMPT_RUN;
	struct pinw_rec_violation v = {.e = {at, thread,
	                                     late        ? 0
	                                     : rule == 1 ? 2
	                                                 : 3},
	                               .rule = rule,
	                               .action = action,
	                               .done = done,
	                               .attempt = attempt,
	                               .target = attempt == PINW_ATTEMPT_CREATE ? 0 : thread,
	                               .error = done == PINW_DONE_DENIED ? EPERM : 0,
	                               .value = value,
	                               .limit = value ? 64 : 0};

	pinw_builder_violation(b, &v, mask);
}

/* A process under a policy: rules broken in every way, rules that never matched, suppressions used and unused. */
static void tell_breaches(struct pinw_builder *b, enum pinw_mode mode)
{
	bool enforcing = mode == PINW_MODE_ENFORCE;

	tell_much(b);
	pinw_builder_policy(b, "/etc/pin\033[31m/staging.ini", mode, 8);
	pinw_builder_rule(b, 6, PINW_SECTION_BAN, PINW_ACTION_DENY, "ban:per\033[2J-request");
	pinw_builder_rule(b, 11, PINW_SECTION_CAPS, PINW_ACTION_CRASH, "caps:max_threads");
	pinw_builder_rule(b, 15, PINW_SECTION_LEAK, PINW_ACTION_LOG, "leak:exit_while_pinned");
	pinw_builder_rule(b, 16, PINW_SECTION_LEAK, PINW_ACTION_RESET, "leak:inherited");
	pinw_builder_rule(b, 20, PINW_SECTION_BAN, PINW_ACTION_LOG, "ban:never");
	pinw_builder_rule(b, 24, PINW_SECTION_SUPPRESS, PINW_ACTION_NONE, "suppress:pool");
	pinw_builder_rule(b, 29, PINW_SECTION_SUPPRESS, PINW_ACTION_NONE, "suppress:old");
	pinw_builder_rule(b, 33, PINW_SECTION_REQUIRE, PINW_ACTION_LOG, "require:workers");
	b->rules[5].matched = 4;
	b->rules[7].matched = 9;
	for (uint32_t i = 0; i < 5; i++)
		tell_violation(b, (100 + i) * 10000000, 2 + i, 1, PINW_ACTION_DENY,
		               enforcing ? PINW_DONE_DENIED : PINW_DONE_WOULD, PINW_ATTEMPT_PIN, 0,
		               2 + i % 2);
	tell_violation(b, 2 * SECOND, 1, 2, PINW_ACTION_CRASH,
	               enforcing ? PINW_DONE_CRASHED : PINW_DONE_WOULD, PINW_ATTEMPT_CREATE, 65, 0);
	tell_violation(b, 200, 2, 3, PINW_ACTION_LOG, PINW_DONE_LOGGED, PINW_ATTEMPT_EXIT, 0, 1);
	tell_violation(b, 310, 3, 4, PINW_ACTION_RESET, enforcing ? PINW_DONE_FAILED : PINW_DONE_WOULD,
	               PINW_ATTEMPT_INHERIT, 0, 1);
	b->rules[7].watch_violations = 2;
	b->rules[7].watch_ns = 1500000000;
	b->rules[7].watch_thread = 3;
	b->live.counters.affinity_denied = enforcing ? 5 : 0;
	b->live.counters.stack_rules_unknown = 1;
}

Test(report, gives_the_verdict_on_the_policy)
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

Test(report, lists_violations_by_rule_the_most_severe_first)
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

Test(report, says_would_in_audit)
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

Test(report, names_rules_that_never_matched_in_any_process)
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

Test(report, says_that_a_policy_was_kept)
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

Test(report, says_nothing_of_policies_where_none_was)
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

Test(report, tells_of_violations_whose_records_are_lost)
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

Test(report, says_when_counts_of_rules_are_lost)
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

Test(report, keeps_to_the_page_however_deep_the_tree_under_a_policy)
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

/* ---- stacks --------------------------------------------------------------------------- */

static int first_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(uintptr_t *)arg = info->dlpi_addr;
	return 1;
}

/* A function of this program, to be found in its symbols. */
__attribute__((noinline)) static void somebody_calls(void (*fn)(void))
{
	fn();
	__asm__ volatile("" ::: "memory");
}

/* A story whose only pin was made from somebody_calls(), in this very program. */
static void tell_of_myself(struct pinw_builder *b, uint16_t build_id_len)
{
	char path[PINW_PATH_MAX];
	uintptr_t bias = 0;
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path));
	struct pinw_rec_module module = {.id = 1, .build_id_len = build_id_len};

	cr_assert_gt(len, 0);
	dl_iterate_phdr(first_object, &bias);
	uint64_t offset = (uint64_t)(uintptr_t)somebody_calls - bias + 5;
	module.path_len = (uint16_t)len;
	memset(module.build_id, 0x5a, sizeof(module.build_id));
	pinw_builder_init(b, 1);
	pinw_builder_meta(b, PINW_REC_MODULE, &module, sizeof(module), path, (size_t)len);
	pinw_builder_site(b, 1, 1, &offset, 1, 0);
	pinw_builder_pin(b, 1, 1, 1, 1, PINW_EFFECT_OPEN, 1);
	pinw_builder_end(b, PINW_END_EXIT, 0, SECOND);
}

Test(report, names_functions_and_lines)
{
	struct pinw_builder b;

	tell_of_myself(&b, 0);
	write_trace(&b, "a.pwt");
	char *text = render(TEXT);
	expect_has(text, "somebody_calls+0x5 at tests/test_report.c:");
	free(text);
	text = render(JSON);
	expect_has(text, "\"function\": \"somebody_calls\", \"file\": \"tests/test_report.c\", \"line\": ");
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

/* ---- JSON ----------------------------------------------------------------------------- */

Test(report, sums_processes_up_in_the_totals)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	tell_much(&b);
	memset(b.header.self.nonce, 7, 16);
	b.header.self.pid = 9;
	write_trace(&b, "b.pwt");
	char *text = render(JSON);
	const char *totals = strstr(text, "\"totals\"");
	cr_assert_not_null(totals);
	expect_has(totals, "\"created\": 4, \"adopted\": 2,");
	expect_has(totals, "\"exit-while-pinned\": 2, \"pinned-at-end\": 0, \"unjoined\": 0, \"inherited\": "
	                   "2, \"growth\": 0");
	free(text);
}

Test(report, names_the_parent_only_when_its_trace_is_there)
{
	struct pinw_builder b;

	tell_nothing(&b, 100, 1);
	write_trace(&b, "a.pwt");
	tell_nothing(&b, 101, 100);
	write_trace(&b, "b.pwt");
	tell_nothing(&b, 101, 100);
	b.header.start_mono_ns += SECOND; /* by exec: the parent is still 100 */
	write_trace(&b, "c.pwt");
	char *text = render(JSON);
	expect_has(text, "\"parent\": null");
	const char *child = strstr(text, "\"pid\": 101,");
	cr_assert_not_null(child);
	expect_has(child, "\"parent\": {\"pid\": 100}");
	const char *image = strstr(child + 1, "\"pid\": 101,");
	cr_assert_not_null(image);
	expect_has(image, "\"parent\": {\"pid\": 100}");
	expect_has_not(text, "\"parent\": {\"pid\": 101}");
	free(text);
}

Test(report, counts_violations_by_label_in_every_process_and_in_the_totals)
{
	struct pinw_builder b;

	tell_breaches(&b, PINW_MODE_ENFORCE);
	write_trace(&b, "a.pwt");
	tell_breaches(&b, PINW_MODE_AUDIT);
	memset(b.header.self.nonce, 7, 16);
	b.header.self.pid = 9;
	b.live.counters.violations += 2;
	write_trace(&b, "b.pwt");
	char *text = render(JSON);
	expect_has(text, "\"violations\": {\"ban:per\\u001b[2J-request\": 5, \"caps:max_threads\": 1, "
	                 "\"leak:exit_while_pinned\": 1, \"leak:inherited\": 1, \"require:workers\": 2}");
	expect_has(text,
	           "\"label\": \"caps:max_threads\", \"line\": 11, \"action\": \"crash\", \"matched\": 1, "
	           "\"violations\": 1, \"done\": 1, \"watched\": 0, \"last_ns\": 2000000000, "
	           "\"last_thread\": null, \"exact\": true");
	expect_has(text, "{\"rule\": \"caps:max_threads\", \"action\": \"crash\", \"done\": \"would\", "
	                 "\"attempt\": \"create\", \"site\": 3, \"count\": 1, \"threads\": [1], "
	                 "\"first_ns\": 2000000000, \"last_ns\": 2000000000, \"mask\": null, \"value\": 65, "
	                 "\"limit\": 64, \"errno\": null}");
	expect_has(text, "\"done\": \"denied\", \"attempt\": \"pin\", \"site\": 2, \"count\": 5, "
	                 "\"threads\": [2, 3, 4], \"first_ns\": 1000000000, \"last_ns\": 1040000000, "
	                 "\"mask\": \"1\", \"value\": null, \"limit\": null, \"errno\": 1}");
	const char *totals = strstr(text, "\"totals\"");
	cr_assert_not_null(totals);
	expect_has(totals, "\"violations\": {\"ban:per\\u001b[2J-request\": 10, \"caps:max_threads\": 2, "
	                   "\"leak:exit_while_pinned\": 2, \"leak:inherited\": 2, \"require:workers\": 4, "
	                   "\"unknown\": 2}");
	expect_has(totals, "\"external\": 0, \"denied\": 5}");
	free(text);
}

/* Every shape a document can have, against the schema. */
Test(report, keeps_the_contract)
{
	static const char script[] =
	    "import json,sys,jsonschema\n"
	    "schema=json.load(open('tests/report.schema.json'))\n"
	    "jsonschema.Draft202012Validator.check_schema(schema)\n"
	    "jsonschema.Draft202012Validator(schema).validate(json.load(open(sys.argv[1])))\n";
	char command[1024];
	struct pinw_builder b;

	if (system("python3 -c 'import jsonschema; jsonschema.Draft202012Validator' 2>/dev/null") != 0)
		cr_skip_test("python3-jsonschema is not installed");
	if (access("tests/report.schema.json", R_OK) != 0)
		cr_skip_test("not run from the top of the source tree");
	tell_much(&b);
	b.live.counters.events_dropped = 3;
	write_trace(&b, "a.pwt");
	tell_nothing(&b, 101, 4711);
	b.live.end_how = PINW_END_NONE;
	write_trace(&b, "b.pwt");
	tell_nothing(&b, 102, 101);
	b.live.end_how = PINW_END_EXEC;
	b.header.baseline[0] = 1;
	write_trace(&b, "c.pwt");
	tell_of_myself(&b, 0);
	write_trace(&b, "d.pwt");
	cr_assert_eq(truncate(in_folder("d.pwt"), 13000), 0);
	fclose(fopen(in_folder("e.pwt"), "we"));
	tell_breaches(&b, PINW_MODE_ENFORCE);
	b.header.self.pid = 5;
	write_trace(&b, "f.pwt");
	tell_breaches(&b, PINW_MODE_AUDIT);
	b.header.self.pid = 6;
	b.live.counters.violations = 99;
	write_trace(&b, "g.pwt");
	tell_breaches(&b, PINW_MODE_AUDIT);
	b.header.self.pid = 7;
	b.meta.count = 0;
	write_trace(&b, "h.pwt");
	char *text = render(JSON);
	FILE *f = fopen(in_folder("out.json"), "we");
	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
	free(text);
	snprintf(command, sizeof(command), "python3 -c \"%s\" %s", script, in_folder("out.json"));
	cr_expect_eq(system(command), 0);
}

Test(json, writes_nothing_but_json)
{
	static const char nasty[] = "q\"b\\n\nu\xc3\xa9w\xf0\x9f\x98\x80"
	                            "bad\xff"
	                            "cut\xe2\x82";
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct pinw_json j;

	pinw_json_init(&j, out);
	pinw_json_begin_object(&j, NULL);
	pinw_json_begin_array(&j, "empty");
	pinw_json_end_array(&j);
	pinw_json_begin_line_array(&j, "line");
	pinw_json_number(&j, NULL, 0);
	pinw_json_number(&j, NULL, UINT64_MAX);
	pinw_json_bool(&j, NULL, true);
	pinw_json_null(&j, NULL);
	pinw_json_end_array(&j);
	pinw_json_text(&j, "te\txt", nasty);
	pinw_json_end_object(&j);
	cr_expect_eq(pinw_json_done(&j), 0);
	fclose(out);
	cr_expect_str_eq(text, "{\n \"empty\": [],\n \"line\": [0, 18446744073709551615, true, null],\n"
	                       " \"te\\u0009xt\": \"q\\\"b\\\\n\\u000au\xc3\xa9w\xf0\x9f\x98\x80"
	                       "bad\xef\xbf\xbd"
	                       "cut\xef\xbf\xbd\xef\xbf\xbd\"\n}\n");
	free(text);
}

Test(json, keeps_the_error_of_a_full_disk)
{
	FILE *full = fopen("/dev/full", "we");
	struct pinw_json j;

	cr_assert_not_null(full);
	pinw_json_init(&j, full);
	pinw_json_begin_object(&j, NULL);
	pinw_json_end_object(&j);
	cr_expect_eq(pinw_json_done(&j), -ENOSPC);
	fclose(full);
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

/* ---- the command ---------------------------------------------------------------------- */

/* Runs the command with everything it says going to files in the folder. */
static int run_report(const char *one, const char *two, const char *three)
{
	const char *argv[] = {"report", one, two, three, NULL};
	int argc = 1;

	while (argv[argc])
		argc++;
	fflush(stdout);
	fflush(stderr);
	cr_assert_not_null(freopen(in_folder("out"), "we", stdout));
	cr_assert_not_null(freopen(in_folder("err"), "we", stderr));
	int status = pinw_cmd_report(argc, (char **)argv);
	fflush(stdout);
	fflush(stderr);
	return status;
}

static char *content_of(const char *name)
{
	FILE *f = fopen(in_folder(name), "re");
	char *text = calloc(1, 65536);

	cr_assert_not_null(f);
	cr_assert_not_null(text);
	fread(text, 1, 65535, f);
	fclose(f);
	return text;
}

static void expect_content(const char *name, const char *part)
{
	char *text = content_of(name);

	cr_expect_not_null(strstr(text, part), "no \"%s\" in %s: %s", part, name, text);
	free(text);
}

Test(cmd_report, exits_with_what_it_could_read)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "good.pwt");
	cr_expect_eq(run_report(in_folder("good.pwt"), NULL, NULL), 0);
	expect_content("out", "2 leaks");
	cr_expect_eq(run_report(folder, "-f", "json"), 0);
	expect_content("out", "\"exit-while-pinned\": 1");

	cr_expect_eq(run_report(in_folder("missing.pwt"), NULL, NULL), 3);
	expect_content("out", "missing.pwt: No such file or directory");
	expect_content("err", "missing.pwt: No such file or directory");
	cr_expect_eq(run_report(in_folder("good.pwt"), in_folder("missing.pwt"), NULL), 3);
	expect_content("out", "2 leaks");
	cr_expect_eq(run_report(in_folder("missing.pwt"), "--format", "json"), 3);
	expect_content("out", "\"error\": \"No such file or directory\"");
	expect_content("err", "missing.pwt: No such file");

	cr_assert_eq(truncate(in_folder("good.pwt"), 13000), 0);
	cr_expect_eq(run_report(folder, NULL, NULL), 3);
	expect_content("out", "1 trace is damaged");
}

Test(cmd_report, does_not_take_an_empty_folder_for_a_clean_one)
{
	cr_expect_eq(run_report(folder, NULL, NULL), 3);
	expect_content("err", "no *.pwt in this directory");
}

Test(cmd_report, refuses_what_it_does_not_know_and_says_what_it_knows)
{
	static const struct {
		const char *one, *two, *says;
	} cases[] = {
	    {"-f", "html", "-f html: the formats are text and json"},
	    {"--by", "site", "--by is no option here; there are -f, -o, --color, --top and --help"},
	    {"-z", NULL, "-z is no option here"},
	    {"--color=blue", NULL, "--color=blue: expected auto, always or never"},
	    {"--top=many", NULL, "--top=many: expected a number, 0 for all"},
	    {"--top=-1", NULL, "--top=-1: expected a number"},
	    {"-o", NULL, "-o needs a value"},
	    {NULL, NULL, "name a trace, or a directory"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(run_report(cases[i].one, cases[i].two, NULL), 2, "%s", cases[i].says);
		expect_content("err", cases[i].says);
	}
}

Test(cmd_report, helps)
{
	cr_expect_eq(run_report("--help", NULL, NULL), 0);
	expect_content("out", "Usage: pinwarden report TRACE...");
}

Test(cmd_report, writes_to_a_file_but_never_over_a_trace)
{
	struct pinw_builder b;
	char option[192];

	tell_much(&b);
	write_trace(&b, "a.pwt");
	snprintf(option, sizeof(option), "-o%s", in_folder("report.txt"));
	cr_expect_eq(run_report(in_folder("a.pwt"), option, NULL), 0);
	expect_content("report.txt", "2 leaks");
	snprintf(option, sizeof(option), "-o%s", in_folder("a.pwt"));
	cr_expect_eq(run_report(in_folder("a.pwt"), option, NULL), 2);
	cr_expect_eq(run_report(in_folder("a.pwt"), NULL, NULL), 0, "it is still a trace");
	cr_expect_eq(run_report(in_folder("a.pwt"), "-o/dev/full", NULL), 2);
	expect_content("err", "/dev/full: No space left on device");
	cr_expect_eq(run_report(in_folder("a.pwt"), "-o/nowhere/at/all", NULL), 2);
}

Test(cmd_report, honours_no_color_and_the_option)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	setenv("NO_COLOR", "1", 1);
	cr_expect_eq(run_report(in_folder("a.pwt"), "--color=always", NULL), 0);
	expect_content("out", "\033[1;31m");
	cr_expect_eq(run_report(in_folder("a.pwt"), "--color", "auto"), 0);
	char *text = content_of("out");
	expect_has_not(text, "\033");
	free(text);
}
