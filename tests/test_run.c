/* SPDX-License-Identifier: MIT
 *
 * The parts of `pinwarden run`: how it finds the shim, makes the environment, runs a program and stays out
 * of its way, finds the traces and names the next command.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "policy/policy.h"
#include "preload/trace_format.h"
#include "reports/child_env.h"
#include "reports/commands.h"
#include "reports/find_shim.h"
#include "reports/launch.h"
#include "reports/reader.h"
#include "reports/run_private.h"
#include "reports/say.h"
#include "reports/session.h"
#include "reports/summary.h"
#include "tests/trace_builder.h"

static char dir[64];

static void setup(void)
{
	strcpy(dir, "/tmp/pinwarden-run-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

static const char *in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static void put(const char *name, const void *data, size_t len, mode_t mode)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(in_dir(name), &st) == 0;
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

TestSuite(shim, .init = setup, .fini = teardown);

/* Any shared library will do. */
static void put_library(const char *name)
{
	char command[2 * PATH_MAX];

	snprintf(command, sizeof(command),
	         "cp \"$(ldd /bin/sh | sed -n 's/.*=> \\(.*libc.so[^ ]*\\).*/\\1/p')\" '%s'", in_dir(name));
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
	cr_assert_eq(mkdir(in_dir("bin"), 0755) | mkdir(in_dir("lib"), 0755) | mkdir(in_dir("opt"), 0755), 0);
	expect_no_shim(in_dir("bin"), in_dir("opt"), -ENOENT, "make");
	put_library("opt/libpinwarden.so");
	expect_shim(in_dir("bin"), in_dir("opt"), in_dir("opt/libpinwarden.so"));
	put_library("lib/libpinwarden.so");
	expect_shim(in_dir("bin"), in_dir("opt"), in_dir("lib/libpinwarden.so"));
	put_library("bin/libpinwarden.so");
	expect_shim(in_dir("bin"), in_dir("opt"), in_dir("bin/libpinwarden.so"));
}

Test(shim, is_refused_where_the_dynamic_linker_cannot_take_it)
{
	static const char *const names[] = {"a b", "a:b", "a$LIB"};

	for (size_t i = 0; i < 3; i++) {
		char file[64];

		cr_assert_eq(mkdir(in_dir(names[i]), 0755), 0);
		snprintf(file, sizeof(file), "%s/libpinwarden.so", names[i]);
		put_library(file);
		expect_no_shim(in_dir(names[i]), "/nowhere", -EINVAL, "LD_PRELOAD");
	}
	put("libpinwarden.so", "text", 4, 0644);
	expect_no_shim(dir, "/nowhere", -ENOEXEC, "not a shared library");
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

TestSuite(session, .init = setup, .fini = teardown);

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

	cr_assert_eq(pinw_reader_open(in_dir(name), &r), 0);
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
	cr_assert_eq(mkdir(in_dir("h.pwt"), 0700), 0);
	cr_assert_eq(symlink("b.pwt", in_dir("i.pwt")), 0);
	cr_assert_eq(pinw_session_find(&s, dir, &outcome, &t), 0);
	cr_assert_eq(t.count, 4);
	cr_assert_str_eq(t.paths[0], in_dir("a.pwt"));
	cr_assert_str_eq(t.paths[3], in_dir("d"));
	cr_assert_eq(t.foreign, 3);
	cr_assert_eq(t.root, 1);
	cr_assert_not(t.root_execs);
	pinw_traces_done(&t);
	outcome.pid = 102;
	cr_assert_eq(pinw_session_find(&s, dir, &outcome, &t), 0);
	cr_assert_eq(t.root, t.count, "no trace of that process");
	pinw_traces_done(&t);
	cr_assert_eq(pinw_session_find(&s, in_dir("none"), &outcome, &t), -ENOENT);
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
	cr_assert_eq(pinw_session_find(&s, dir, &outcome, &t), 0);
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
	cr_assert_eq(symlink("old.pwt", in_dir("link.pwt")), 0);
	put("text.pwt", "PINWTRC", 7, 0600);
	cr_assert_eq(pinw_session_clear(in_dir("link.pwt")), -EEXIST);
	cr_assert_eq(pinw_session_clear(in_dir("text.pwt")), -EEXIST);
	cr_assert_eq(pinw_session_clear(dir), -EEXIST);
	cr_assert_eq(pinw_session_clear(in_dir("none")), 0);
	cr_assert_eq(pinw_session_clear(in_dir("old.pwt")), 0);
	cr_assert_not(exists("old.pwt"));
	cr_assert(exists("link.pwt") && exists("text.pwt"));
	put_trace("mine.pwt", &s, (struct made){.pid = (uint32_t)getpid(), .start_ticks = own_start()});
	cr_assert_eq(pinw_session_clear(in_dir("mine.pwt")), -EBUSY);
	cr_assert(exists("mine.pwt"));
	if (geteuid() == 0) {
		put_trace("theirs.pwt", &s, (struct made){.pid = 1});
		cr_assert_eq(chown(in_dir("theirs.pwt"), 65534, 65534), 0);
		cr_assert_eq(pinw_session_clear(in_dir("theirs.pwt")), -EEXIST);
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

static char said[8192];
static int said_fds[2], said_saved;

/* What is said from here to heard() ends up in `said`. */
static void listen_to_stderr(void)
{
	said_saved = dup(STDERR_FILENO);
	cr_assert_eq(pipe(said_fds), 0);
	dup2(said_fds[1], STDERR_FILENO);
	close(said_fds[1]);
}

static void heard(void)
{
	dup2(said_saved, STDERR_FILENO);
	close(said_saved);
	size_t len = 0;
	for (ssize_t n; (n = read(said_fds[0], said + len, sizeof(said) - 1 - len)) > 0;)
		len += (size_t)n;
	said[len] = '\0';
	close(said_fds[0]);
}

static int refuse(int argc, ...)
{
	char *argv[8] = {"run"};
	va_list args;
	int code;

	va_start(args, argc);
	for (int i = 1; i <= argc; i++)
		argv[i] = va_arg(args, char *);
	va_end(args);
	listen_to_stderr();
	code = pinw_cmd_run(argc + 1, argv);
	heard();
	return code;
}

static void expect_said(int code, int expected, const char *words)
{
	cr_expect_eq(code, expected, "%d, not %d: %s", code, expected, said);
	cr_expect_eq(strncmp(said, "pinwarden: ", 11), 0);
	cr_expect_not_null(strstr(said, words), "\"%s\" does not say \"%s\"", said, words);
}

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

/* ---- policies: refused before anything else -------------------------------------------------- */

TestSuite(run_policy, .init = setup, .fini = teardown);

static const char *put_policy(const char *name, const char *text)
{
	put(name, text, strlen(text), 0644);
	return in_dir(name);
}

/* The whole command, on a program that is not there: a policy that is refused is refused first. */
static void expect_policy_refused(const char *text, const char *words)
{
	const char *path = put_policy("p.ini", text);
	char expected[PATH_MAX + 64];

	expect_said(refuse(3, "-p", path, "no-such-program-anywhere"), 2, "nothing was started");
	snprintf(expected, sizeof(expected), "%s%s", path, words);
	cr_expect_not_null(strstr(said, expected), "\"%s\" does not say \"%s\"", said, expected);
}

Test(run_policy, is_refused_with_2_before_the_program_is_looked_for)
{
	expect_policy_refused("[policy]\nversion = 1\n\n[caps]\nmax_thread = 4\n", ":5: max_thread: ");
	expect_policy_refused("[caps]\nmax_threads = many\n", ":2: max_threads: ");
	expect_policy_refused("max_threads = 1\n", ":1: max_threads: ");
	expect_said(refuse(3, "-p", in_dir("none.ini"), "true"), 2, "none.ini: No such file");
	expect_said(refuse(3, "-p", dir, "true"), 2, "directory");
	put_policy("open.ini", "[policy]\nversion = 1\n");
	cr_assert_eq(chmod(in_dir("open.ini"), 0666), 0);
	expect_said(refuse(3, "-p", in_dir("open.ini"), "true"), 2, "writable by other users");
}

Test(run_policy, lets_a_good_one_pass_on_to_the_program)
{
	const char *path = put_policy("p.ini", "[policy]\nversion = 1\n[caps]\nmax_threads = 8\n");

	expect_said(refuse(3, "-p", path, "no-such-program-anywhere"), 127, "PATH");
	cr_expect_null(strstr(said, "p.ini"), "%s", said);
}

Test(run_policy, of_the_environment_is_read_checked_and_named)
{
	setenv("PINWARDEN_POLICY", put_policy("p.ini", "[caps]\nmax_threads = x\n"), 1);
	expect_said(refuse(1, "true"), 2, "p.ini:2: max_threads");
	put_policy("p.ini", "[policy]\nversion = 1\nmode = enforce\n");
	expect_said(refuse(1, "no-such-program-anywhere"), 127,
	            "is used (enforce), as PINWARDEN_POLICY names it");
	expect_said(refuse(2, "--audit", "no-such-program-anywhere"), 127, "is used (audit)");
	setenv("PINWARDEN_MODE", "audit", 1);
	expect_said(refuse(1, "no-such-program-anywhere"), 127, "is used (audit)");
	setenv("PINWARDEN_MODE", "often", 1);
	expect_said(refuse(1, "true"), 2, "PINWARDEN_MODE: often is no mode; expected audit or enforce");
	expect_said(refuse(2, "-q", "no-such-program-anywhere"), 2, "PINWARDEN_MODE");
	unsetenv("PINWARDEN_MODE");
	cr_expect_eq(refuse(2, "-q", "no-such-program-anywhere"), 127);
	cr_expect_null(strstr(said, "is used"), "quiet: %s", said);
	setenv("PINWARDEN_POLICY", "", 1);
	expect_said(refuse(2, "--audit", "true"), 125, "needs a policy");
	setenv("PINWARDEN_MODE", "enforce", 1);
	expect_said(refuse(1, "no-such-program-anywhere"), 127,
	            "PINWARDEN_MODE=enforce means nothing without");
}

Test(run_policy, warns_line_by_line_unless_quiet)
{
	const char *path = put_policy("p.ini", "[policy]\nversion = 1\n[suppress \"old\"]\nleak = unjoined\n"
	                                       "expires = 2020-01-01\n");

	expect_said(refuse(3, "-p", path, "no-such-program-anywhere"), 127, "p.ini:3: warning: ");
	cr_expect_not_null(strstr(said, "expired"), "%s", said);
	cr_expect_eq(refuse(4, "-q", "-p", path, "no-such-program-anywhere"), 127);
	cr_expect_null(strstr(said, "p.ini"), "%s", said);
}

static void load(struct pinw_run_plan *p, const char *text)
{
	*p = (struct pinw_run_plan){.cwd = dir, .opt = {.policy = put_policy("p.ini", text), .quiet = true}};
	cr_assert_eq(pinw_run_policy_read(p), 0);
}

static const char *warn_go(const char *text, bool go)
{
	struct pinw_target target = {.go = go, .culprit = "/bin/service"};
	struct pinw_run_plan p;

	load(&p, text);
	listen_to_stderr();
	pinw_run_policy_warn_of_target(&p.policy, &target);
	heard();
	pinw_run_policy_done(&p.policy);
	return said;
}

static void expect_warned(const char *text, const char *part)
{
	cr_expect_not_null(strstr(warn_go(text, true), part), "no \"%s\" in %s", part, said);
	cr_expect_str_eq(warn_go(text, false), "", "other programs have no such locks");
}

Test(run_policy, says_what_a_denied_lock_does_to_a_go_program)
{
	static const char deny[] = "[policy]\nmode = enforce\ndeny_golocks = yes\n[ban \"g\"]\nkind = go\n";
	static const char audit[] = "[policy]\nmode = audit\ndeny_golocks = yes\n[ban \"g\"]\nkind = go\n";

	expect_warned(deny, "p.ini:4: [ban:g]: a denied runtime.LockOSThread returns and locks nothing");
	cr_expect_str_eq(warn_go(audit, true), "", "nothing is denied");
	cr_expect_str_eq(warn_go("[policy]\nmode = enforce\n[ban \"g\"]\nkind = go\naction = crash\n", true),
	                 "");
	cr_expect_str_eq(
	    warn_go("[policy]\nmode = enforce\n[ban \"g\"]\ncall = golock\naction = log\n", true), "");
}

Test(run_policy, says_once_that_go_locks_are_spared)
{
	static const char both[] =
	    "[policy]\nmode = enforce\n[ban \"c\"]\nfunction = *Handler\n[caps]\nmax_pinned = 4\n";

	expect_warned(both, "p.ini:3: [ban:c] (and 1 more): CPU pins are denied, Go locks are only recorded");
	cr_expect_str_eq(
	    warn_go("[policy]\nmode = enforce\n[ban \"c\"]\nfunction = *Handler\nkind = cpu\n", true), "");
}

Test(run_policy, says_what_a_denied_thread_does_to_a_go_program)
{
	expect_warned("[policy]\nversion = 1\n[caps]\nmax_threads = 8\nmax_threads_action = deny\n",
	              "p.ini:4: max_threads: a Go program that is denied a thread (EAGAIN)");
	cr_expect_str_eq(warn_go("[policy]\nversion = 1\n[caps]\nmax_threads = 8\n", true), "",
	                 "to crash is what Go does itself");
}

Test(run_policy, is_handed_over_by_absolute_path_and_mode)
{
	struct pinw_run_plan p;
	char *none[] = {NULL};

	load(&p, "[policy]\nversion = 1\nmode = audit\n");
	cr_assert_eq(pinw_child_env_init(&p.env, none), 0);
	cr_assert_eq(pinw_run_policy_set_variables(&p), 0);
	cr_expect_str_eq(pinw_child_env_get(&p.env, "PINWARDEN_POLICY"), in_dir("p.ini"));
	cr_expect_null(pinw_child_env_get(&p.env, "PINWARDEN_MODE"), "the file's own mode holds");
	p.opt.mode = PINW_MODE_ENFORCE;
	cr_assert_eq(pinw_run_policy_set_variables(&p), 0);
	cr_expect_str_eq(pinw_child_env_get(&p.env, "PINWARDEN_MODE"), "enforce");
	pinw_child_env_done(&p.env);
	pinw_run_policy_done(&p.policy);

	p = (struct pinw_run_plan){.cwd = dir,
	                           .opt = {.policy = "p.ini", .mode = PINW_MODE_ENFORCE, .quiet = true}};
	cr_assert_eq(chdir(dir), 0);
	cr_assert_eq(pinw_run_policy_read(&p), 0);
	cr_expect_str_eq(p.policy.path, in_dir("p.ini"));
	cr_expect_eq(p.policy.mode, PINW_MODE_ENFORCE, "the option beats the file");
	pinw_run_policy_done(&p.policy);
}

Test(run_policy, logs_where_the_environment_then_the_policy_says_else_to_stderr)
{
	struct pinw_run_plan p = {.cwd = dir};

	unsetenv("PINWARDEN_LOG");
	cr_expect_null(pinw_run_policy_log(&p), "no policy, no log");
	load(&p, "[policy]\nversion = 1\n");
	cr_expect_str_eq(pinw_run_policy_log(&p), "stderr");
	pinw_run_policy_done(&p.policy);
	load(&p, "[policy]\nversion = 1\nlog = /var/log/pins\n");
	cr_expect_str_eq(pinw_run_policy_log(&p), "/var/log/pins");
	setenv("PINWARDEN_LOG", "/tmp/pins", 1);
	cr_expect_str_eq(pinw_run_policy_log(&p), "/tmp/pins");
	pinw_run_policy_done(&p.policy);
}

Test(run_policy, fails_a_run_by_the_strongest_rule_that_was_broken)
{
	static const struct {
		enum pinw_fail_on fail_on;
		enum pinw_action worst;
		bool breach;
	} cases[] = {
	    {PINW_FAIL_NEVER, PINW_ACTION_CRASH, false},  {PINW_FAIL_ERROR, PINW_ACTION_NONE, false},
	    {PINW_FAIL_ERROR, PINW_ACTION_LOG, false},    {PINW_FAIL_ERROR, PINW_ACTION_DENY, true},
	    {PINW_FAIL_ERROR, PINW_ACTION_RESET, true},   {PINW_FAIL_ERROR, PINW_ACTION_CRASH, true},
	    {PINW_FAIL_WARNING, PINW_ACTION_NONE, false}, {PINW_FAIL_WARNING, PINW_ACTION_LOG, true},
	    {PINW_FAIL_WARNING, PINW_ACTION_DENY, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(pinw_run_is_breach(cases[i].fail_on, cases[i].worst), cases[i].breach,
		             "case %zu", i);
}

/* ---- the summary under a policy --------------------------------------------------------------- */

static void tell_process(struct pinw_builder *b, uint32_t pid, enum pinw_mode mode)
{
	pinw_builder_init(b, 1);
	b->header.self.pid = pid;
	b->header.self.nonce[0] = (uint8_t)pid;
	pinw_builder_policy(b, "/etc/s.ini", mode, 4);
	pinw_builder_rule(b, 3, PINW_SECTION_BAN, PINW_ACTION_DENY, "ban:handlers");
	pinw_builder_rule(b, 7, PINW_SECTION_CAPS, PINW_ACTION_CRASH, "caps:max_threads");
	pinw_builder_rule(b, 9, PINW_SECTION_LEAK, PINW_ACTION_LOG, "leak:pinned_idle");
	pinw_builder_rule(b, 12, PINW_SECTION_SUPPRESS, PINW_ACTION_NONE, "suppress:pool");
	pinw_builder_end(b, PINW_END_EXIT, 0, 1000);
}

static void write_process(struct pinw_builder *b, const char *name)
{
	cr_assert_eq(pinw_builder_write(b, in_dir(name)), 0);
	pinw_builder_done(b);
}

static struct pinw_summary_result summarize(size_t count, bool policy, bool quiet)
{
	struct pinw_summary_options options = {
	    .directory = dir, .cwd = dir, .policy = policy, .quiet = quiet};
	char *paths[] = {(char *)in_dir("a.pwt"), (char *)in_dir("b.pwt")};
	struct pinw_traces traces = {.paths = paths, .count = count};
	struct pinw_summary_result result = {0};

	listen_to_stderr();
	int r = pinw_summary_print(&traces, &options, &result);
	heard();
	cr_assert_eq(r, 0);
	return result;
}

static void expect_line(const char *line)
{
	cr_expect_not_null(strstr(said, line), "no \"%s\" in:\n%s", line, said);
}

Test(run_policy, sums_violations_up_by_rule_over_all_processes)
{
	struct pinw_builder b;

	tell_process(&b, 100, PINW_MODE_ENFORCE);
	b.rules[0].violations = b.rules[0].done = 7;
	b.rules[3].matched = 3;
	write_process(&b, "a.pwt");
	tell_process(&b, 101, PINW_MODE_AUDIT);
	b.rules[0].violations = 5;
	b.rules[1].violations = 1;
	b.rules[2].watch_violations = 2;
	write_process(&b, "b.pwt");
	struct pinw_summary_result result = summarize(2, true, false);
	expect_line("pinwarden: violations: 1 would crash by caps:max_threads, 7 denied by\n"
	            "pinwarden:   ban:handlers, 5 would deny by ban:handlers, 2 found over time by\n"
	            "pinwarden:   leak:pinned_idle; leaks suppressed: 3\n");
	cr_expect_null(strstr(said, "was aborted"), "%s", said);
	cr_expect_eq(result.worst, PINW_ACTION_CRASH);
	cr_expect_not(result.unjudged);
	result = summarize(1, true, true);
	cr_expect_str_eq(said, "");
	cr_expect_eq(result.worst, PINW_ACTION_DENY);
}

Test(run_policy, counts_what_was_found_over_time_as_broken)
{
	struct pinw_builder b;

	tell_process(&b, 100, PINW_MODE_AUDIT);
	b.rules[2].watch_violations = 1;
	write_process(&b, "a.pwt");
	cr_expect_eq(summarize(1, true, true).worst, PINW_ACTION_LOG);
}

Test(run_policy, says_which_rule_aborted_the_program)
{
	struct pinw_builder b;

	tell_process(&b, 100, PINW_MODE_ENFORCE);
	b.rules[1].violations = b.rules[1].done = 1;
	pinw_builder_end(&b, PINW_END_SIGNAL, SIGABRT, 1000);
	write_process(&b, "a.pwt");
	summarize(1, true, false);
	expect_line("pinwarden: process 100 was aborted by the rule caps:max_threads (/etc/s.ini:7)\n");
	expect_line("pinwarden: violations: 1 crashed by caps:max_threads\n");
}

Test(run_policy, never_takes_silence_for_a_policy_that_was_kept)
{
	struct pinw_builder b;

	tell_process(&b, 100, PINW_MODE_ENFORCE);
	write_process(&b, "a.pwt");
	cr_expect_not(summarize(1, true, false).unjudged);
	expect_line("pinwarden: violations: none\n");
	pinw_builder_init(&b, 1); /* the shim went on without the policy */
	b.header.self.pid = 101;
	b.header.self.nonce[0] = 101;
	write_process(&b, "b.pwt");
	cr_expect(summarize(2, true, false).unjudged);
	expect_line("pinwarden: violations: none seen; of 1 of 2 images it cannot be told\n");
	cr_expect_not(summarize(2, false, false).unjudged, "nobody asked");
	cr_expect_null(strstr(said, "violations"), "%s", said);
	tell_process(&b, 101, PINW_MODE_ENFORCE);
	b.rules[1].id = 99;
	write_process(&b, "b.pwt");
	cr_expect(summarize(2, true, false).unjudged);
	expect_line("of 1 of 2 images it cannot be told");
}
