/* SPDX-License-Identifier: MIT
 *
 * `pinwarden run` as a command: its status, its streams, its refusals; `pinwarden report` on traces that are
 * damaged or describe what is no longer there.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e.h"

TestSuite(run, .fini = e2e_done);
TestSuite(report, .fini = e2e_done);

/* A file of the scene; an executable one. */
static void put(const char *name, const char *text)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", e2e_dir(), name);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(text, f);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(chmod(path, 0755), 0);
}

static int lines(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* ---- help ----------------------------------------------------------------------- */

Test(run, shows_the_help_of_each_command)
{
	cr_assert_not_null(strstr(e2e_status(0, "@@ help policy lint")->out, "pinwarden policy lint FILE"));
	cr_assert_not_null(strstr(e2e_status(0, "@@ help run")->out, "pinwarden run ["));
	e2e_status(2, "@@ help no-such-command");
	e2e_status(2, "@@ help hlep");
}

/* The first words of a new user. */
Test(run, all_of_help_fits_a_terminal)
{
	static const char *const commands[] = {
	    "",        "run",    "report",      "check",          "diff",        "top",
	    "metrics", "policy", "policy lint", "policy explain", "policy test", "policy alerts",
	    "info",    "verify", "recover"};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char command[64];
		unsigned lines = 0;
		snprintf(command, sizeof(command), "@@ help %s", commands[i]);
		for (const char *at = e2e_status(0, command)->out; *at; at += *at == '\n', lines++) {
			cr_expect_leq(strcspn(at, "\n"), 80, "help %s: %.90s", commands[i], at);
			at += strcspn(at, "\n");
		}
		cr_expect_leq(lines, 24, "help %s has %u lines", commands[i], lines);
	}
}

Test(run, guesses_what_was_meant)
{
	cr_expect(strstr(e2e_status(2, "@@ hlep")->err, "did you mean: pinwarden help"));
	cr_expect(strstr(e2e_status(2, "@@ reprot")->err, "did you mean: pinwarden report"));
	cr_expect(strstr(e2e_status(3, "@@ report 999999999")->err, "type: pinwarden top 999999999"));
	cr_expect(strstr(e2e_status(3, "@@ report %d")->err, "made by: pinwarden run"));
	e2e_status(0, "@@ run -q -o %d/t.pwt -- true");
	cr_expect(
	    strstr(e2e_status(2, "@@ check %d/t.pwt -p %d/t.pwt")->err, "is a trace; expected a policy"));
	cr_expect(strstr(e2e_status(2, "@@ run -p %d/t.pwt -- true")->err, "is a trace; expected a policy"));
}

Test(run, sums_up_in_80_columns)
{
	const char *lines = e2e_status(0, "@@ run -v -o %d/t/ -- @children")->err;
	unsigned long_ones = 0;

	for (const char *at = lines; *at; at += strcspn(at, "\n"), at += *at == '\n')
		if (strcspn(at, "\n") > 80 && !memchr(at, '/', strcspn(at, "\n")))
			long_ones++;
	cr_expect_eq(long_ones, 0, "%s", lines);
	cr_expect(strstr(lines, "\npinwarden:   "), "nothing was folded: %s", lines);
}

Test(run, says_when_its_help_does_not_arrive)
{
	put("full", "#!/bin/sh\nexec \"$@\" >/dev/full\n");
	cr_assert_not_null(strstr(e2e_status(2, "%d/full @@ help")->err, "No space left"));
	cr_assert_not_null(strstr(e2e_status(2, "%d/full @@ --version")->err, "No space left"));
}

/* Else the next file that is opened would be standard output, and a report would go into that. */
Test(run, writes_to_no_file_of_its_own_when_standard_output_is_closed)
{
	put("closed", "#!/bin/sh\nexec \"$@\" >&-\n");
	put("silent", "#!/bin/sh\nexec \"$@\" 2>&-\n");
	put("is_closed", "#!/bin/sh\n[ ! -e /proc/$$/fd/1 ]\n");
	e2e_status(0, "%d/closed @@ run -q -o %d/t/ -- %d/is_closed");
	cr_assert_not_null(strstr(e2e_status(2, "%d/closed @@ --version")->err, "Bad file descriptor"));
	cr_assert_not_null(
	    strstr(e2e_status(2, "%d/closed @@ report -f json %d/t")->err, "Bad file descriptor"));
	e2e_status(3, "%d/silent @@ report -f json %d/missing.pwt %d/t -o %d/document");
	e2e_status(0, "jq -e .totals %d/document");
}

/* ---- status --------------------------------------------------------------------- */

Test(run, passes_on_the_exit_status)
{
	put("leave", "#!/bin/sh\nexit 42\n");
	e2e_status(42, "@@ run -q -o %d/t/ -- %d/leave");
}

Test(run, tells_a_signal_as_a_shell_does)
{
	put("die", "#!/bin/sh\nkill -TERM $$\n");
	e2e_status(143, "@@ run -q -o %d/t/ -- %d/die");
	e2e_true(".processes[0].end == {how: \"signal\", status: 15}");
}

Test(run, ends_127_when_there_is_no_such_program)
{
	e2e_status(127, "@@ run -q -o %d/t/ -- no-such-program-anywhere");
	e2e_status(127, "@@ run -q -o %d/t/ -- ./no-such-file");
}

Test(run, ends_126_when_it_cannot_be_executed)
{
	put("plain", "no program\n");
	chmod(e2e_dir(), 0755);
	e2e_status(0, "chmod 644 %d/plain");
	e2e_status(126, "@@ run -q -o %d/t/ -- %d/plain");
	e2e_status(126, "@@ run -q -o %d/t/ -- %d/t");
}

Test(run, ends_125_on_its_own_mistakes)
{
	e2e_status(125, "@@ run");
	e2e_status(125, "@@ run --no-such-option -- true");
	e2e_status(125, "@@ run --max-size much -- true");
}

Test(run, refuses_programs_no_preload_reaches)
{
	cr_assert_not_null(strstr(e2e_status(125, "@@ run -q -o %d/t/ -- @static")->err, "static"));
	cr_assert_not_null(strstr(e2e_status(125, "@@ run -q -o %d/t/ -- @static_pie")->err, "static"));
	cr_assert_eq(e2e_trace_count(), 0);
}

Test(run, refuses_a_script_with_such_an_interpreter)
{
	char text[5000];

	snprintf(text, sizeof(text), "#!%s/targets/static\n",
	         getenv("PINW_BUILD") ? getenv("PINW_BUILD") : "build");
	e2e_needs(text[2] == '/', "needs PINW_BUILD as an absolute path");
	put("script", text);
	cr_assert_not_null(strstr(e2e_status(125, "@@ run -q -o %d/t/ -- %d/script")->err, "static"));
}

Test(run, refuses_setuid_programs)
{
	e2e_needs(getuid() != 0 || access("/usr/bin/passwd", X_OK) == 0, "needs a setuid program");
	e2e_status(0, "cp @create_join %d/raised");
	if (getuid() == 0)
		e2e_status(0, "chown nobody %d/raised");
	e2e_status(0, "chmod 4755 %d/raised");
	/* One's own file with the bit set raises nothing; another's does. */
	if (getuid() == 0)
		cr_assert_not_null(strstr(e2e_status(125, "@@ run -q -o %d/t/ -- %d/raised")->err, "set"));
	else
		e2e_status(125, "@@ run -q -o %d/t/ -- /usr/bin/passwd");
}

Test(run, starts_nothing_when_there_is_no_place_for_the_trace)
{
	const struct e2e_result *r = e2e_status(125, "@@ run -o /proc/nowhere/x.pwt -- @create_join");

	cr_assert_str_eq(r->out, "");
	cr_assert_not_null(strstr(r->err, "/proc/nowhere"), "%s", r->err);
}

/* ---- streams, environment, signals -------------------------------------------------- */

Test(run, says_little_at_the_end_and_nothing_when_quiet)
{
	const struct e2e_result *r = e2e_status(0, "@@ run -o %d/t/ -- @create_join");

	cr_assert_str_eq(r->out, "4 threads\n");
	cr_assert(lines(r->err) >= 3 && lines(r->err) <= 5, "%d lines:\n%s", lines(r->err), r->err);
	cr_assert_not_null(strstr(r->err, "pinwarden report"));
	cr_assert_str_eq(e2e_status(0, "@@ run -q -o %d/t/ -- @create_join")->err, "");
}

Test(run, leaves_stdin_to_the_program)
{
	put("feed", "#!/bin/sh\necho fed | \"$1\" run -q -o \"$2\" -- cat\n");
	cr_assert_str_eq(e2e_status(0, "%d/feed @@ %d/t/")->out, "fed\n");
}

Test(run, keeps_a_preload_that_was_there)
{
	put("maps", "#!/bin/sh\ngrep -c -e libpinner -e libpinwarden /proc/self/maps\n");
	put("own", "#!/bin/sh\nASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD=$3 exec \"$1\" run -q -o "
	           "\"$2\" -- cat /proc/self/maps\n");
	const char *maps = e2e_status(0, "%d/own @@ %d/t/ @libpinner.so")->out;
	cr_assert_not_null(strstr(maps, "/libpinner.so"));
	cr_assert_not_null(strstr(maps, "/libpinwarden.so"));
}

Test(run, passes_signals_on)
{
	char text[256] = "";
	int out, status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	put("trap", "#!/bin/sh\ntrap 'echo caught; exit 9' TERM\necho ready\nwhile :; do sleep 0.05; done\n");
	pid = e2e_start("@@ run -q -o %d/t/ -- %d/trap", &out);
	cr_assert_eq(read(out, text, sizeof(text)), 6);
	cr_assert_eq(kill(pid, SIGTERM), 0);
	while ((n = read(out, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(out);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_str_eq(text, "caught\n");
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

Test(run, replaces_a_trace_of_the_name_asked_for)
{
	e2e_status(0, "@@ run -q -o %d/t/one.pwt -- @create_join 1");
	e2e_status(0, "@@ run -q -o %d/t/one.pwt -- @create_join 2");
	cr_assert_eq(e2e_trace_count(), 1);
	e2e_true(".totals.threads.created == 2");
}

Test(run, writes_over_nothing_but_a_trace)
{
	put("t/kept.pwt", "Precious.\n");
	cr_assert_str_eq(e2e_status(125, "@@ run -q -o %d/t/kept.pwt -- @create_join")->out, "");
	cr_assert_str_eq(e2e_status(0, "cat %d/t/kept.pwt")->out, "Precious.\n");
}

Test(run, gives_children_names_of_their_own)
{
	e2e_status(0, "@@ run -q -o %d/t/one.pwt -- @children fork");
	cr_assert_eq(e2e_trace_count(), 11);
	e2e_trace("one-2.pwt");
	e2e_trace("one-11.pwt");
	e2e_true(".processes | length == 11");
}

Test(run, fills_in_the_name_of_the_trace)
{
	e2e_status(0, "@@ run -q -o %d/t/a.%e.%n.%%.pwt -- @create_join");
	e2e_trace("a.create_join.1.%.pwt");
}

Test(run, makes_traces_nobody_else_reads)
{
	struct stat st;

	e2e_status(0, "@@ run -q -o %d/t/ -- @create_join");
	cr_assert_eq(stat(e2e_trace(NULL), &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
}

Test(run, logs_leaks_as_they_happen)
{
	const struct e2e_result *r = e2e_status(0, "@@ run -q --log stderr -o %d/t/ -- @pin_exit");

	cr_assert_not_null(strstr(r->err, "exit-while-pinned"), "%s", r->err);
	cr_assert_not_null(strstr(r->err, "pin_and_forget"), "%s", r->err);
	cr_assert_str_eq(e2e_status(0, "@@ run -q --log stderr -o %d/t/ -- @pin_self")->err, "");
}

/* ---- report ----------------------------------------------------------------------- */

Test(report, is_text_of_80_columns_without_color)
{
	const char *text, *line;

	e2e_same("@pin_exit");
	text = e2e_status(0, "@@ report --color=never %d/t")->out;
	cr_assert_null(strchr(text, '\033'));
	cr_assert_not_null(strstr(text, "exit-while-pinned"), "%s", text);
	cr_assert_not_null(strstr(text, "pin_and_forget"), "%s", text);
	for (line = text; *line; line += strcspn(line, "\n") + 1)
		cr_expect_leq(strcspn(line, "\n"), 80, "too long: %.*s", (int)strcspn(line, "\n"), line);
}

Test(report, reads_the_same_from_a_file_and_from_its_folder)
{
	static char whole[E2E_TEXT_BYTES];

	e2e_same("@pin_self");
	snprintf(whole, sizeof(whole), "%s", e2e_status(0, "@@ report -f json %d/t")->out);
	put("one", "#!/bin/sh\nexec \"$1\" report -f json \"$2\"/*.pwt\n");
	cr_assert_str_eq(e2e_status(0, "%d/one @@ %d/t")->out, whole);
}

Test(report, says_that_the_program_was_replaced)
{
	const struct e2e_result *r;

	e2e_status(0, "cp @pin_exit %d/program");
	e2e_status(0, "@@ run -q -o %d/t/ -- %d/program");
	e2e_status(0, "cp --remove-destination @pin_self %d/program");
	r = e2e_status(0, "@@ report %d/t");
	cr_assert_not_null(strstr(r->out, "the file changed since"), "%s", r->out);
	cr_assert_null(strstr(r->out, "pin_and_forget"), "no name may come from another build");
	e2e_true(".totals.leaks[\"exit-while-pinned\"] == 6");
}

Test(report, ends_2_on_a_wrong_command_line)
{
	e2e_status(2, "@@ report");
	e2e_status(2, "@@ report -f nothing %d/t");
	e2e_status(2, "@@ report --no-such-option %d/t");
}

Test(report, ends_3_on_what_is_no_trace)
{
	put("t/text.pwt", "This is not a trace.\n");
	put("t/empty.pwt", "");
	e2e_status(3, "@@ report %d/t/text.pwt");
	e2e_status(3, "@@ report %d/t/empty.pwt");
	e2e_status(3, "@@ report %d/t/missing.pwt");
	e2e_status(3, "@@ report /dev/null");
}

/* The bytes of a trace, and a copy of it damaged: `size` bytes long, with 64 bytes at `at` inverted when at >= 0. */
static char *read_trace(const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	char *bytes;

	cr_assert(fd >= 0 && fstat(fd, &st) == 0);
	bytes = malloc((size_t)st.st_size);
	cr_assert_not_null(bytes);
	cr_assert_eq(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	*ret_size = (size_t)st.st_size;
	return bytes;
}

static void write_damaged(const char *name, const char *bytes, size_t size, long at)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", e2e_dir(), name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
	for (long i = at; at >= 0 && i < at + 64 && i < (long)size; i++) {
		char flipped = (char)~bytes[i];

		cr_assert_eq(pwrite(fd, &flipped, 1, i), 1);
	}
	close(fd);
}

Test(report, shows_what_is_left_of_a_damaged_trace)
{
	struct e2e_result r;
	size_t size;
	char *bytes;

	e2e_same("@pin_exit");
	bytes = read_trace(e2e_trace(NULL), &size);
	/* A damaged header leaves nothing to read; what follows it can be stepped over. */
	write_damaged("cut.pwt", bytes, 4000, -1);
	e2e_status(3, "@@ report %d/cut.pwt");
	write_damaged("cut.pwt", bytes, size, 100);
	e2e_status(3, "@@ report %d/cut.pwt");
	for (size_t at = 4096; at < size; at += 1999) {
		write_damaged("cut.pwt", bytes, size, (long)at);
		e2e_run(&r, "@@ report %d/cut.pwt");
		cr_expect(r.status == 0 || r.status == 3, "inverted at %zu: status %d\n%s", at, r.status,
		          r.err);
		write_damaged("cut.pwt", bytes, at, -1);
		e2e_run(&r, "@@ report -f json %d/cut.pwt");
		cr_expect(r.status == 0 || r.status == 3, "cut at %zu: status %d\n%s", at, r.status, r.err);
	}
	free(bytes);
}
