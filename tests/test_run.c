/* SPDX-License-Identifier: MIT
 *
 * The parts of `pinwarden run`: how it finds the shim, makes the environment, finds the traces, names the
 * next command and refuses wrong use.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/trace_format.h"
#include "reports/child_env.h"
#include "reports/find_shim.h"
#include "reports/reader.h"
#include "reports/say.h"
#include "reports/session.h"
#include "reports/summary.h"
#include "tests/report_rig.h"
#include "tests/run_rig.h"
#include "tests/trace_builder.h"

static bool exists(const char *name)
{
	struct stat st;

	return lstat(in_folder(name), &st) == 0;
}

/* ---- words --------------------------------------------------------------------------- */

Test(say, escapes_what_steers_a_terminal)
{
	char buf[64];

	pinw_say_escape("a\033[2Jb\n\x7f\xc2\x9b\xff\xe2\x80\xae z\xc3\xa4", buf, sizeof(buf));
	cr_assert_str_eq(buf, "a\\x1b[2Jb\\x0a\\x7f\\xc2\\x9b\\xff\\xe2\\x80\\xae z\xc3\xa4");
	pinw_say_escape("abcdef", buf, 4);
	cr_assert_str_eq(buf, "abc");
	pinw_say_escape("ab\033", buf, 6);
	cr_assert_str_eq(buf, "ab", "an escape is not cut in two");
}

Test(say, quotes_words_for_the_shell)
{
	char buf[64];

	pinw_say_quote("/tmp/a-b_c.1+2,%p", buf, sizeof(buf));
	cr_assert_str_eq(buf, "/tmp/a-b_c.1+2,%p");
	pinw_say_quote("it's", buf, sizeof(buf));
	cr_assert_str_eq(buf, "'it'\\''s'");
	pinw_say_quote("", buf, sizeof(buf));
	cr_assert_str_eq(buf, "''");
	pinw_say_quote("a b", buf, sizeof(buf));
	cr_assert_str_eq(buf, "'a b'");
}

/* ---- the shim and the environment ------------------------------------------------------- */

TestSuite(shim, .init = make_folder, .fini = remove_folder);

/* Any shared library will do. */
static void put_library(const char *name)
{
	char command[2 * PATH_MAX];

	snprintf(command, sizeof(command),
	         "cp \"$(ldd /bin/sh | sed -n 's/.*=> \\(.*libc.so[^ ]*\\).*/\\1/p')\" '%s'",
	         in_folder(name));
	cr_assert_eq(system(command), 0);
}

static void expect_shim(const char *program_dir, const char *installed, const char *expected)
{
	char why[4 * PATH_MAX], *path = NULL;

	cr_assert_eq(pinw_find_shim(program_dir, installed, &path, why, sizeof(why)), 0, "%s", why);
	cr_expect_str_eq(path, expected);
	free(path);
}

static void expect_no_shim(const char *program_dir, const char *installed, int error, const char *words)
{
	char why[4 * PATH_MAX] = "", *path = NULL;

	cr_expect_eq(pinw_find_shim(program_dir, installed, &path, why, sizeof(why)), error, "%s",
	             program_dir);
	cr_expect_null(path);
	cr_expect_not_null(strstr(why, words), "\"%s\" does not say \"%s\"", why, words);
}

Test(shim, is_found_beside_the_program_then_in_lib_then_where_installed)
{
	cr_assert_eq(
	    mkdir(in_folder("bin"), 0755) | mkdir(in_folder("lib"), 0755) | mkdir(in_folder("opt"), 0755), 0);
	expect_no_shim(in_folder("bin"), in_folder("opt"), -ENOENT, "make");
	put_library("opt/libpinwarden.so");
	expect_shim(in_folder("bin"), in_folder("opt"), in_folder("opt/libpinwarden.so"));
	put_library("lib/libpinwarden.so");
	expect_shim(in_folder("bin"), in_folder("opt"), in_folder("lib/libpinwarden.so"));
	put_library("bin/libpinwarden.so");
	expect_shim(in_folder("bin"), in_folder("opt"), in_folder("bin/libpinwarden.so"));
}

Test(shim, is_refused_where_the_dynamic_linker_cannot_take_it)
{
	static const char *const names[] = {"a b", "a:b", "a$LIB"};

	for (size_t i = 0; i < 3; i++) {
		char file[64];

		cr_assert_eq(mkdir(in_folder(names[i]), 0755), 0);
		snprintf(file, sizeof(file), "%s/libpinwarden.so", names[i]);
		put_library(file);
		expect_no_shim(in_folder(names[i]), "/nowhere", -EINVAL, "LD_PRELOAD");
	}
	put("libpinwarden.so", "text", 4, 0644);
	expect_no_shim(folder, "/nowhere", -ENOEXEC, "not a shared library");
}

Test(shim, stands_first_in_a_preload_that_was_there)
{
	static const struct {
		const char *existing, *value;
	} cases[] = {
	    {NULL, "/s.so"},
	    {"", "/s.so"},
	    {"/a.so", "/s.so:/a.so"},
	    {"/a.so:/b.so", "/s.so:/a.so:/b.so"},
	    {" a.so  /b.so ", "/s.so:a.so:/b.so"},
	    {"/s.so", "/s.so"},
	    {"/a.so:/s.so:/b.so", "/s.so:/a.so:/b.so"},
	    {"/s.so.1", "/s.so:/s.so.1"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *value = pinw_preload_value("/s.so", cases[i].existing);

		cr_assert_str_eq(value, cases[i].value);
		free(value);
	}
}

Test(child_env, sets_replaces_and_leaves_out)
{
	char a[] = "A=1", ab[] = "AB=2", again[] = "A=3", odd[] = "odd";
	char *from[] = {a, ab, again, odd, NULL};
	struct pinw_child_env env;

	cr_assert_eq(pinw_child_env_init(&env, from), 0);
	cr_assert_str_eq(pinw_child_env_get(&env, "A"), "1");
	cr_assert_eq(pinw_child_env_set(&env, "A", "4"), 0);
	cr_assert_str_eq(pinw_child_env_get(&env, "A"), "4");
	cr_assert_str_eq(pinw_child_env_get(&env, "AB"), "2");
	cr_assert_eq(env.count, 3, "the second A went too");
	cr_assert_null(env.vars[3]);
	cr_assert_eq(pinw_child_env_set(&env, "AB", NULL), 0);
	cr_assert_null(pinw_child_env_get(&env, "AB"));
	cr_assert_null(env.vars[2]);
	cr_assert_str_eq(env.vars[0], "odd");
	cr_assert_str_eq(a, "A=1", "ours is untouched");
	pinw_child_env_done(&env);
}

/* ---- traces of a session --------------------------------------------------------------------- */

TestSuite(session, .init = make_folder, .fini = remove_folder);

struct made {
	uint32_t pid;
	uint64_t start_ticks, start_ns;
	uint32_t end_how, end_status;
	uint64_t end_ns;
};

static void put_trace(const char *name, const struct pinw_session *s, struct made m)
{
	static struct {
		struct pinw_trace_header header;
		struct pinw_trace_live live;
	} file;

	memset(&file, 0, sizeof(file));
	memcpy(file.header.magic, PINW_TRACE_MAGIC, 8);
	file.header.version = PINW_TRACE_VERSION;
	file.header.header_bytes = PINW_HEADER_BYTES;
	file.header.cell_bytes = PINW_CELL_BYTES;
	file.header.mask_words = 1;
	file.header.slot_bytes = sizeof(struct pinw_slot) + 8;
	file.header.max_bytes = 1 << 20;
	file.header.self.pid = m.pid;
	file.header.self.start_ticks = m.start_ticks;
	file.header.start_mono_ns = m.start_ns;
	if (s)
		memcpy(file.header.session, s->id, sizeof(s->id));
	file.header.check = pinw_reader_header_check(&file.header);
	file.live.end_how = m.end_how;
	file.live.end_status = m.end_status;
	file.live.end_ns = m.end_ns;
	file.live.file_bytes = sizeof(file);
	put(name, &file, sizeof(file), 0600);
}

static struct pinw_trace_live live_of(const char *name)
{
	struct pinw_reader *r;
	struct pinw_trace_live live;

	cr_assert_eq(pinw_reader_open(in_folder(name), &r), 0);
	live = *pinw_reader_live(r);
	pinw_reader_free(r);
	return live;
}

Test(session, is_new_each_time)
{
	struct pinw_session a, b;

	cr_assert_eq(pinw_session_new(&a), 0);
	cr_assert_eq(pinw_session_new(&b), 0);
	cr_assert_eq(strlen(a.text), 32);
	cr_assert_eq(strspn(a.text, "0123456789abcdef"), 32);
	cr_assert_str_neq(a.text, b.text);
}

Test(session, finds_its_traces_and_the_last_image_of_the_program)
{
	struct pinw_outcome outcome = {.pid = 100, .start_ticks = 5};
	struct pinw_session s, other;
	struct pinw_traces t;

	cr_assert_eq(pinw_session_new(&s) | pinw_session_new(&other), 0);
	put_trace("b.pwt", &s, (struct made){.pid = 100, .start_ticks = 5, .start_ns = 200});
	put_trace("c.pwt", &s,
	          (struct made){.pid = 100, .start_ticks = 5, .start_ns = 100, .end_how = PINW_END_EXEC});
	put_trace(
	    "a.pwt", &s,
	    (struct made){.pid = 100, .start_ticks = 6, .start_ns = 300}); /* the pid came round again */
	put_trace("d", &s, (struct made){.pid = 101, .start_ns = 400});
	put_trace("e.pwt", &other, (struct made){.pid = 100, .start_ticks = 5, .start_ns = 500});
	put_trace("f.pwt", NULL, (struct made){.pid = 100, .start_ticks = 5, .start_ns = 600});
	put("g.pwt", "text", 4, 0600);
	put("text", "text", 4, 0600);
	cr_assert_eq(mkdir(in_folder("h.pwt"), 0700), 0);
	cr_assert_eq(symlink("b.pwt", in_folder("i.pwt")), 0);
	cr_assert_eq(pinw_session_find(&s, folder, &outcome, &t), 0);
	cr_assert_eq(t.count, 4);
	cr_assert_str_eq(t.paths[0], in_folder("a.pwt"));
	cr_assert_str_eq(t.paths[3], in_folder("d"));
	cr_assert_eq(t.foreign, 3);
	cr_assert_eq(t.root, 1);
	cr_assert_not(t.root_execs);
	pinw_traces_done(&t);
	outcome.pid = 102;
	cr_assert_eq(pinw_session_find(&s, folder, &outcome, &t), 0);
	cr_assert_eq(t.root, t.count, "no trace of that process");
	pinw_traces_done(&t);
	cr_assert_eq(pinw_session_find(&s, in_folder("none"), &outcome, &t), -ENOENT);
}

static void conclude(const char *name, struct made m, struct pinw_outcome outcome)
{
	struct pinw_session s;
	struct pinw_traces t;

	m.pid = 100;
	m.start_ns = 1000;
	outcome.pid = 100;
	outcome.ended_ns = 5000;
	cr_assert_eq(pinw_session_new(&s), 0);
	put_trace(name, &s, m);
	cr_assert_eq(pinw_session_find(&s, folder, &outcome, &t), 0);
	cr_assert_eq(pinw_session_write_end(&t, &outcome), 0);
	pinw_traces_done(&t);
}

static void expect_end(const char *name, uint32_t how, uint32_t status, uint64_t end_ns)
{
	struct pinw_trace_live live = live_of(name);

	cr_expect_eq(live.end_how, how, "%s", name);
	cr_expect_eq(live.end_status, status, "%s", name);
	cr_expect_eq(live.end_ns, end_ns, "%s", name);
}

Test(session, writes_the_end_that_the_shim_did_not_see)
{
	conclude("killed", (struct made){0}, (struct pinw_outcome){.status = SIGKILL});
	expect_end("killed", PINW_END_SIGNAL, SIGKILL, 4000);
	conclude("raw", (struct made){0}, (struct pinw_outcome){.status = 3 << 8});
	expect_end("raw", PINW_END_EXIT, 3, 4000);
}

Test(session, corrects_an_end_and_leaves_a_right_one_alone)
{
	struct made exited = {.end_how = PINW_END_EXIT, .end_status = 3, .end_ns = 77};

	conclude("same", exited, (struct pinw_outcome){.status = 3 << 8});
	expect_end("same", PINW_END_EXIT, 3, 77);
	conclude("changed", exited, (struct pinw_outcome){.status = 4 << 8});
	expect_end("changed", PINW_END_EXIT, 4, 77);
	conclude("died-exiting", exited, (struct pinw_outcome){.status = SIGSEGV});
	expect_end("died-exiting", PINW_END_SIGNAL, SIGSEGV, 4000);
	conclude("replaced", (struct made){.end_how = PINW_END_EXEC, .end_ns = 77},
	         (struct pinw_outcome){.status = SIGKILL});
	expect_end("replaced", PINW_END_EXEC, 0, 77);
}

/* Field 22 of /proc/self/stat: our own name holds neither spaces nor brackets. */
static uint64_t own_start(void)
{
	unsigned long long ticks = 0;
	FILE *f = fopen("/proc/self/stat", "r");

	cr_assert_not_null(f);
	for (int field = 1; field < 22; field++)
		cr_assert_eq(fscanf(f, "%*s"), 0);
	cr_assert_eq(fscanf(f, "%llu", &ticks), 1);
	fclose(f);
	return ticks;
}

Test(session, clears_a_trace_and_nothing_else)
{
	struct pinw_session s;

	cr_assert_eq(pinw_session_new(&s), 0);
	put_trace("old.pwt", &s, (struct made){.pid = 1});
	cr_assert_eq(symlink("old.pwt", in_folder("link.pwt")), 0);
	put("text.pwt", "PINWTRC", 7, 0600);
	cr_assert_eq(pinw_session_clear(in_folder("link.pwt")), -EEXIST);
	cr_assert_eq(pinw_session_clear(in_folder("text.pwt")), -EEXIST);
	cr_assert_eq(pinw_session_clear(folder), -EEXIST);
	cr_assert_eq(pinw_session_clear(in_folder("none")), 0);
	cr_assert_eq(pinw_session_clear(in_folder("old.pwt")), 0);
	cr_assert_not(exists("old.pwt"));
	cr_assert(exists("link.pwt") && exists("text.pwt"));
	put_trace("mine.pwt", &s, (struct made){.pid = (uint32_t)getpid(), .start_ticks = own_start()});
	cr_assert_eq(pinw_session_clear(in_folder("mine.pwt")), -EBUSY);
	cr_assert(exists("mine.pwt"));
	if (geteuid() == 0) {
		put_trace("theirs.pwt", &s, (struct made){.pid = 1});
		cr_assert_eq(chown(in_folder("theirs.pwt"), 65534, 65534), 0);
		cr_assert_eq(pinw_session_clear(in_folder("theirs.pwt")), -EEXIST);
	}
}

/* ---- the next command ------------------------------------------------------------------------ */

static void expect_command(const char *names, size_t foreign, const char *cwd, const char *expected)
{
	char text[256], *save, *paths[8];
	struct pinw_traces t = {.paths = paths, .foreign = foreign};
	char *command;

	snprintf(text, sizeof(text), "%s", names);
	for (char *p = strtok_r(text, "|", &save); p; p = strtok_r(NULL, "|", &save))
		paths[t.count++] = p;
	command = pinw_summary_command(&t, "/d", cwd);
	cr_expect_str_eq(command, expected);
	free(command);
}

Test(summary, names_the_command_that_shows_the_traces)
{
	expect_command("/d/a.pwt", 0, "/d", "pinwarden report a.pwt");
	expect_command("/d/a.pwt", 5, "/e", "pinwarden report /d/a.pwt");
	expect_command("/d/-a b.pwt", 0, "/d", "pinwarden report ./'-a b.pwt'");
	expect_command("/d/a.1.pwt|/d/a.2.pwt", 0, "/d", "pinwarden report .");
	expect_command("/d/a.1.pwt|/d/a.2.pwt", 0, "/e", "pinwarden report /d");
	expect_command("/d/a.1.pwt|/d/a.2.pwt", 1, "/d", "pinwarden report a.1.pwt a.2.pwt");
	expect_command("/d/t.1|/d/t.2", 0, "/d", "pinwarden report t.1 t.2");
	expect_command("/d/t.1|/d/t.2|/d/t.3|/d/t.4", 0, "/e", "pinwarden report /d/t.*");
	expect_command("/d/a|/d/b|/d/c|/d/d", 0, "/d", "pinwarden report *");
}

/* ---- refusals: nothing is started ------------------------------------------------------------ */

Test(run_command, refuses_wrong_use_with_125_and_says_what_to_type)
{
	expect_said(refuse(0), 125, "pinwarden run -- PROGRAM");
	expect_said(refuse(1, "--"), 125, "pinwarden run -- PROGRAM");
	expect_said(refuse(2, "--nonsense", "true"), 125, "--nonsense");
	expect_said(refuse(2, "-Z", "true"), 125, "-Z");
	expect_said(refuse(1, "-o"), 125, "-o needs a value");
	expect_said(refuse(1, "--log"), 125, "--log needs a value");
	expect_said(refuse(3, "-o", "", "true"), 125, "-o");
	expect_said(refuse(3, "--max-size", "lots", "true"), 125, "64M");
	expect_said(refuse(3, "--max-size", "1K", "true"), 125, "128K");
	expect_said(refuse(1, "-p"), 125, "-p needs a value");
	expect_said(refuse(3, "-p", "", "true"), 125, "-p needs the name of a policy file");
	expect_said(refuse(2, "--audit", "true"), 125, "--audit needs a policy");
	expect_said(refuse(2, "--enforce", "true"), 125, "--enforce needs a policy");
	expect_said(refuse(3, "--fail-on", "error", "true"), 125, "--fail-on needs a policy");
	expect_said(refuse(2, "--idle-stacks", "true"), 125, "--idle-stacks needs a policy");
	expect_said(refuse(5, "-p", "x.ini", "--audit", "--enforce", "true"), 125, "exclude each other");
	expect_said(refuse(3, "--fail-on", "often", "true"), 125, "expected error, warning or never");
}

Test(run_command, refuses_programs_before_it_needs_anything_else)
{
	expect_said(refuse(1, "no-such-program-anywhere"), 127, "PATH");
	expect_said(refuse(2, "--", "/no/such/program"), 127, "/no/such/program");
	expect_said(refuse(1, "/tmp"), 126, "directory");
	expect_said(refuse(1, "/dev/null"), 126, "/dev/null");
}

Test(run_command, takes_options_only_before_the_program)
{
	expect_said(refuse(2, "no-such-program-anywhere", "--nonsense"), 127, "PATH");
	expect_said(refuse(3, "--", "--nonsense", "-q"), 127, "--nonsense");
}
