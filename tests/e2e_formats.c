/* SPDX-License-Identifier: MIT
 *
 * Formats for tools, as those tools read them: tests/formats holds each against the JSON report. The same is done for
 * every packaged program in tests/programs.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e.h"
#include "tests/export_story.h"

TestSuite(formats, .fini = e2e_done, .timeout = 300);

/* These formats (empty: all) of the scene's traces say the same, to their own consumers. */
static void expect_consistent(const char *formats)
{
	char command[8192], sources[4096];
	const char *build = getenv("PINW_BUILD");

	e2e_needs(build && build[0] == '/', "needs PINW_BUILD as an absolute path");
	cr_assert_not_null(getcwd(sources, sizeof(sources)));
	snprintf(command, sizeof(command), "%s/tests/formats %s %s %%d/work %s", sources, build, e2e_traces(),
	         formats);
	const struct e2e_result *r = e2e_status(0, command);
	cr_expect_str_empty(r->out);
	cr_expect_str_empty(r->err);
}

static void write_story(struct pinw_builder *b, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", e2e_traces(), name);
	cr_assert_eq(pinw_builder_write(b, path), 0);
	pinw_builder_done(b);
}

static void expect_line(const char *text, const char *part)
{
	cr_expect_not_null(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

Test(formats, agree_on_pins_that_leak)
{
	e2e_same("@pin_exit");
	expect_consistent("");
}

Test(formats, agree_on_processes_and_on_threads_of_every_form)
{
	e2e_same("@children");
	e2e_same("@join_forms");
	e2e_same("@names");
	e2e_same("@pin_inherited");
	e2e_same("@exit_ways");
	expect_consistent("");
}

Test(formats, agree_on_hostile_names)
{
	struct pinw_builder b;

	tell_all(&b);
	write_story(&b, "a.pwt");
	expect_consistent("");
}

Test(formats, agree_on_a_thousand_processes)
{
	static const char *const formats[] = {"jsonl", "folded", "pprof", "sqlite", "chrome"};

	for (unsigned i = 0; i < 1000; i++) {
		struct pinw_builder b;
		char name[32];
		tell_all(&b);
		b.header.self.pid = 1000 + i;
		memcpy(b.header.self.nonce, &i, sizeof(i));
		snprintf(name, sizeof(name), "%u.pwt", i);
		write_story(&b, name);
	}
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		expect_consistent(formats[i]);
}

/* ---- pprof ------------------------------------------------------------------------------ */

Test(formats, pprof_shows_who_created_and_who_pinned)
{
	char command[8192], sources[4096];

	e2e_needs(access("/usr/bin/go", X_OK) == 0, "go is not installed");
	e2e_same("@pin_exit");
	e2e_status(0, "@@ report -f pprof -o %d/x.pb.gz %d/t");
	const struct e2e_result *r = e2e_status(0, "go tool pprof -top %d/x.pb.gz");
	expect_line(r->out, "Type: creations");
	expect_line(r->out, "5 71.43% 71.43%          5 71.43%  run");
	r = e2e_status(0, "go tool pprof -top -sample_index=leaks %d/x.pb.gz");
	expect_line(r->out, "5 83.33% 83.33%          5 83.33%  pin_and_forget");
	cr_assert_not_null(getcwd(sources, sizeof(sources)));
	snprintf(command, sizeof(command),
	         "go tool pprof -source_path=%s -list=pin_and_forget -sample_index=pins %%d/x.pb.gz",
	         sources);
	r = e2e_status(0, command);
	expect_line(r->out, "CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);");
	r = e2e_status(0, "go tool pprof -tags -sample_index=pins %d/x.pb.gz");
	expect_line(r->out, "kind: Total 7.0");
	expect_line(r->out, "6.0 (85.71%): self");
	expect_line(r->out, "1.0 (14.29%): cross");
	r = e2e_status(0, "go tool pprof -top -sample_index=leaks -tagfocus=leak=pinned-at-end %d/x.pb.gz");
	expect_line(r->out, "Showing nodes accounting for 0");
}

Test(formats, pprof_adds_up_what_differs_between_two_runs)
{
	e2e_needs(access("/usr/bin/go", X_OK) == 0, "go is not installed");
	e2e_same("@create_join 3");
	e2e_status(0, "@@ report -f pprof -o %d/three.pb.gz %d/t");
	e2e_same("@create_join 5");
	e2e_status(0, "@@ report -f pprof -o %d/eight.pb.gz %d/t");
	const struct e2e_result *r =
	    e2e_status(0, "go tool pprof -top -diff_base=%d/three.pb.gz %d/eight.pb.gz");
	expect_line(r->out, "main");
}

/* ---- sqlite ------------------------------------------------------------------------------- */

Test(formats, sqlite_answers_the_questions_of_the_manual)
{
	char command[8192], sources[4096];

	e2e_needs(access("/usr/bin/sqlite3", X_OK) == 0, "sqlite3 is not installed");
	e2e_same("@pin_exit");
	e2e_status(0, "@@ report -f sqlite -o %d/x.db %d/t");
	cr_assert_not_null(getcwd(sources, sizeof(sources)));
	snprintf(command, sizeof(command), "%s/tests/formats --queries %%d/x.db", sources);
	const struct e2e_result *r = e2e_status(0, command);
	expect_line(r->out, "pin_and_forget|cpu|6|");
	expect_line(r->out, "main|cpu|1|");
	expect_line(r->out, "exit-while-pinned|3|pin_exit|pin_and_forget < returns < start_thread");
	expect_line(r->out, "exit-while-pinned|1|pin_exit|pin_and_forget < exits < start_thread");
	expect_line(r->out, "exit-while-pinned|1|pin_exit|main < ");
	expect_line(r->out, "run|5|0|");
	expect_line(r->out, "main|2|0|");
}

/* The database of the scene, sent by a shell to `redirection` of %d/directed.db. Returns the exit status. */
static int direct(const char *redirection)
{
	char command[4096];
	const char *build = getenv("PINW_BUILD");

	e2e_needs(build && build[0] == '/', "needs PINW_BUILD as an absolute path");
	snprintf(command, sizeof(command), "%s/pinwarden report -f sqlite %s %s %s/directed.db 2>/dev/null",
	         build, e2e_traces(), redirection, e2e_dir());
	return WEXITSTATUS(system(command));
}

Test(formats, sqlite_goes_to_files_only)
{
	struct pinw_builder b;

	tell_all(&b);
	write_story(&b, "a.pwt");
	const struct e2e_result *r = e2e_status(2, "@@ report -f sqlite %d/t");
	expect_line(r->err, "a database goes to a file: -o FILE, or > FILE that is empty");
	cr_expect_str_empty(r->out);
	e2e_status(2, "@@ report -f sqlite -o /dev/full %d/t");
	e2e_status(0, "@@ report -f sqlite -o %d/named.db %d/t");
	cr_expect_eq(direct(">"), 0);
	e2e_status(0, "cmp %d/named.db %d/directed.db");
	cr_expect_eq(direct(">>"), 2); /* it holds something */
	e2e_status(0, "cmp %d/named.db %d/directed.db");
}

/* ---- where it goes ------------------------------------------------------------------------ */

Test(formats, a_disk_that_is_full_is_no_silent_success)
{
	static const char *const names[] = {"jsonl", "folded", "pprof", "chrome"};

	e2e_same("@pin_exit");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char command[128];
		snprintf(command, sizeof(command), "@@ report -f %s -o /dev/full %%d/t", names[i]);
		const struct e2e_result *r = e2e_status(2, command);
		expect_line(r->err, "/dev/full: No space left on device");
	}
}
