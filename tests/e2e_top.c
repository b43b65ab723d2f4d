/* SPDX-License-Identifier: MIT
 *
 * `pinwarden top`, seen in a terminal and as plain text, on programs that run.
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
#include "tests/go_programs.h"
#include "tests/live_rig.h"

TestSuite(top, .fini = live_done, .timeout = 180);

static void has_not(const char *text, const char *part)
{
	cr_expect_null(strstr(text, part), "\"%s\" is in:\n%s", part, text);
}

static size_t widest(const char *screen)
{
	size_t most = 0;

	for (const char *at = screen; *at; at += strcspn(at, "\n") + (at[strcspn(at, "\n")] != '\0'))
		if (strcspn(at, "\n") > most)
			most = strcspn(at, "\n");
	return most;
}

static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)) != NULL; text++)
		n++;
	return n;
}

/* A screen can be captured half drawn: how often the text is there, once it is there so often, or after 5 s. */
static unsigned await_count(const char *part, unsigned wanted)
{
	for (int i = 0; i < 100 && count(live_screen(), part) != wanted; i++)
		usleep(50000);
	return count(live_screen(), part);
}

static const char *batch(int status, const char *arguments)
{
	char command[2048];

	snprintf(command, sizeof(command), "@@ top -b %s", arguments);
	return e2e_status(status, command)->out;
}

static const char *batch_pid(const char *arguments, pid_t pid)
{
	char text[256];

	snprintf(text, sizeof(text), "%s %d", arguments, (int)pid);
	return batch(0, text);
}

/* ---- in a terminal -------------------------------------------------------------------------------- */

Test(top, shows_who_is_pinned_in_80_columns_and_24_rows)
{
	live_start("", 3, 2);
	live_terminal(80, 24);
	live_type("@@ top -d 0.3 %p");
	const char *screen = live_await("spinner");

	e2e_has(screen, "pinwarden top - live_scene ");
	e2e_has(screen, "threads  6 alive, peak 6; created 5 (");
	e2e_has(screen, "pins     5 CPU, 0 Go; opened 5 (");
	e2e_has(screen, "create   p50 <");
	e2e_has(screen, "pinned   5 threads: ");
	e2e_has(screen, "TID NAME            PIN       CPUS      HELD  RUN% WAIT% STATE  MIGR");
	e2e_has(screen, "q quit  h help");
	cr_expect_eq(count(screen, "idler"), 3);
	cr_expect_eq(count(screen, "spinner"), 2);
	cr_expect_eq(count(screen, " self "), 5);
	cr_expect_leq(widest(screen), 80u);
	e2e_has(live_line("idler"), "idle");
	/* Two that never sleep share a CPU: what one does not get it waits for. */
	has_not(live_line("spinner"), " idle ");
}

Test(top, tells_the_busy_from_the_idle_and_sorts_by_it)
{
	live_start("", 2, 1);
	live_terminal(80, 24);
	live_type("@@ top -d 0.3 %p");
	const char *screen = live_await("spinner");

	cr_expect_lt(strstr(screen, "spinner"), strstr(screen, "idler"), "most run first:\n%s", screen);
	live_keys("r");
	live_await("sort run reversed");
	screen = live_screen();
	cr_expect_gt(strstr(screen, "spinner"), strstr(screen, "idler"), "reversed:\n%s", screen);
	live_keys("r");
	live_keys("T");
	live_await("sort tid");
	live_keys("N");
	screen = live_await("sort name");
	cr_expect_gt(strstr(screen, "spinner"), strstr(screen, "idler"), "by name:\n%s", screen);
}

Test(top, shows_all_threads_and_those_of_a_name_when_asked)
{
	live_start("", 2, 1);
	live_terminal(80, 24);
	live_type("@@ top -d 0.3 %p");
	live_await("spinner");
	has_not(live_screen(), "\n      1 ");
	live_keys("a");
	live_await("a only pinned");
	e2e_has(live_await("live_scene      -"), "idler");
	live_keys("f");
	live_keys("spin");
	live_await("names with: spin");
	live_keys("Enter");
	live_await_gone("idler");
	e2e_has(live_screen(), "spinner");
	live_keys("f");
	live_keys("nobody");
	live_keys("Enter");
	live_await("no thread of that name");
	live_keys("f");
	live_keys("Escape");
	live_await("idler");
}

Test(top, takes_the_key_that_comes_at_once_after_escape)
{
	live_start("", 2, 1);
	live_terminal(80, 24);
	live_type("@@ top -d 0.3 %p");
	live_await("idler");
	live_keys("f");
	live_keys("nobody");
	live_await("nobody");
	live_keys("Escape h");
	live_await("sort by RUN%");
	live_keys("x");
	live_await("idler");
}

Test(top, has_a_page_of_help)
{
	live_start("", 1, 0);
	live_terminal(80, 24);
	live_type("@@ top -d 0.3 %p");
	live_await("idler");
	live_keys("h");
	e2e_has(live_await("sort by RUN%"), "WAIT%  it could have run and waited for one");
	cr_expect_leq(widest(live_screen()), 80u);
	live_keys("x");
	live_await("idler");
}

Test(top, shows_where_threads_are_when_asked)
{
	live_start("", 1, 0);
	live_terminal(80, 24);
	live_type("@@ top -d 0.3 %p");
	live_await("idler");
	live_keys("v");
	live_await("live_pin < idle");
	e2e_has(live_line("idler"), "futex");
}

Test(top, follows_the_size_of_the_terminal)
{
	live_start("", 30, 0);
	live_terminal(80, 24);
	live_type("@@ top -d 0.3 %p");
	live_await("idler");
	live_resize(120, 40);
	live_await("live_pin < idle");
	cr_expect_eq(await_count("idler", 30), 30);
	live_resize(38, 10);
	live_await_gone("live_pin");
	const char *screen = live_await("RUN%");
	cr_expect_leq(widest(screen), 38u);
	cr_expect_leq(count(screen, "\n"), 10u);
	e2e_has(live_await("RUN%"), "idler");
	live_resize(5, 2);
	live_resize(80, 12);
	live_await("q quit");
	e2e_has(live_screen(), "idler");
	has_not(live_screen(), "sigsegv");
}

/* Thirty threads in twelve rows. */
Test(top, scrolls)
{
	live_start("", 30, 0); /* two spaces after an id: a count of migrations has one */
	live_terminal(100, 12);
	live_type("@@ top -d 0.3 -s tid %p");
	live_await("    2  ");
	live_keys("End");
	live_await("   31  ");
	live_await_gone("    2  ");
	live_keys("Home");
	live_await("    2  ");
	live_keys("Down");
	live_await_gone("    2  ");
	live_keys("Up");
	live_await("    2  ");
	live_keys("NPage");
	live_await_gone("    2  ");
}

/* ---- leaving ------------------------------------------------------------------------------------------ */

/* The shell's screen is back, and so are its terminal's settings. */
static void expect_left(void)
{
	live_await_gone("pinwarden top - ");
	live_type("stty -g >%d/after; cmp %d/before %d/after && echo 'as it'' was'");
	e2e_has(live_await("as it was"), "$");
}

static void enter(void)
{
	live_start("", 1, 0);
	live_terminal(80, 24);
	live_type("stty -g >%d/before");
	live_type("exec 3>&2; echo shell");
	live_await("shell\n");
	live_type("@@ top -d 0.3 %p");
	live_await("idler");
}

/* Sends the signal to the top that the terminal shows. */
static void kill_top(const char *name)
{
	char command[512];

	snprintf(
	    command, sizeof(command),
	    "{ for p in $(cat /proc/[0-9]*/task/*/children); do "
	    "tr '\\0' ' ' <\"/proc/$p/cmdline\" | grep -q \"^$PINW_BUILD/pinwarden top\" && "
	    "grep -zq '^TMUX=%s/tmux' \"/proc/$p/environ\" && kill -%s \"$p\"; done; true; } 2>/dev/null",
	    e2e_dir(), name);
	cr_assert_eq(system(command), 0);
}

Test(top, leaves_the_terminal_as_it_was_with_q)
{
	enter();
	live_keys("q");
	expect_left();
	live_type("@@ top %p; echo \\\"left with $?\\\"");
	live_await("idler");
	live_keys("q");
	live_await("left with 0");
}

Test(top, leaves_the_terminal_as_it_was_with_an_interrupt)
{
	enter();
	live_keys("C-c");
	expect_left();
}

Test(top, leaves_the_terminal_as_it_was_when_it_is_terminated)
{
	enter();
	kill_top("TERM");
	expect_left();
}

Test(top, leaves_the_terminal_as_it_was_when_it_crashes)
{
	enter();
	kill_top("SEGV");
	expect_left();
}

Test(top, leaves_the_terminal_as_it_was_with_a_signal_it_has_no_use_for)
{
	enter();
	kill_top("USR1");
	expect_left();
}

Test(top, gives_the_terminal_back_while_it_is_stopped)
{
	enter();
	live_keys("C-z");
	expect_left();
	live_type("fg");
	live_await("idler");
	live_keys("q");
	live_await_gone("pinwarden top - ");
}

/* ---- what comes after ------------------------------------------------------------------------------------ */

Test(top, follows_exec)
{
	live_start("", 3, 0);
	live_terminal(80, 24);
	live_type("@@ top -d 0.3 %p");
	live_await("pins     3 CPU");
	live_tell("exec");
	live_await("pins     1 CPU");
	cr_expect_eq(count(live_screen(), "idler"), 1);
}

Test(top, says_how_it_ended_and_goes_on_with_its_next_start)
{
	live_start("", 2, 0);
	live_terminal(80, 24);
	live_type("@@ top -d 0.3 %p");
	live_await("idler");
	live_tell("quit");
	cr_assert_eq(live_end(), 0);
	e2e_has(live_await("ENDED: exit status 0"), "its next start is waited for");
	live_start("", 5, 0);
	live_await("pins     5 CPU");
	has_not(live_screen(), "ENDED");
}

/* ---- as text ------------------------------------------------------------------------------------------- */

Test(top, is_plain_text_in_batch)
{
	pid_t pid = live_start("", 2, 1);
	const char *out = batch_pid("-d 0.2 -n 3", pid);

	cr_expect_eq(count(out, "pinwarden top - live_scene"), 3);
	cr_expect_eq(count(out, "(means since its start)"), 1, "only the first look has nothing before it");
	cr_expect_eq(count(out, "idler"), 6);
	cr_expect_eq(count(out, "live_pin < spin"), 3);
	has_not(out, "\033");
	has_not(out, "\r");
	out = batch_pid("-n 1 -a -f live", pid);
	cr_expect_eq(count(out, "idler"), 0);
	e2e_has(out, " live_scene ");
}

Test(top, counts_between_two_looks)
{
	pid_t pid = live_start("", 1, 0);

	live_tell("churn");
	e2e_has(batch_pid("-n 1", pid), "created 101 (");
	e2e_has(batch_pid("-n 1", pid), "ended 100 (");
	live_tell("leak");
	e2e_has(batch_pid("-n 1", pid), "LEAKED 1");
	live_tell("drop");
	e2e_has(batch_pid("-n 1 -a", pid), " ended ");
}

Test(top, shows_the_violations_of_a_policy)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/p.ini", e2e_dir());
	FILE *f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs("[policy]\nversion = 1\n[ban \"no idlers\"]\nfunction = idle\naction = log\n", f);
	cr_assert_eq(fclose(f), 0);
	pid_t pid = live_start("-p %d/p.ini --log %d/log", 4, 0);
	const char *out = batch_pid("-n 1", pid);

	e2e_has(out, "policy   audit p.ini; violations 4 (");
	e2e_has(out, "ban:no idlers (line 3), 4 times, log, thread ");
}

Test(top, ends_with_the_process_and_says_how)
{
	pid_t pid = live_start("", 1, 0);
	char command[128];
	int out;

	snprintf(command, sizeof(command), "@@ top -b -d 0.2 %d", (int)pid);
	pid_t top = e2e_start(command, &out);
	char text[1 << 16];
	size_t len = (size_t)read(out, text, sizeof(text) - 1);
	cr_assert_leq(len, sizeof(text), "no first look");
	live_tell("crash");
	cr_expect_eq(live_end(), 128 + SIGSEGV);
	for (ssize_t n; (n = read(out, text + len, sizeof(text) - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = '\0';
	close(out);
	int status;
	cr_assert_eq(waitpid(top, &status, 0), top);
	cr_expect_eq(status, 0);
	e2e_has(text, "ENDED: killed by SIGSEGV (11) after ");
}

Test(top, shows_a_trace_whose_process_is_gone)
{
	live_start("", 2, 0);
	live_tell("quit");
	cr_assert_eq(live_end(), 0);
	char command[1024];
	snprintf(command, sizeof(command), "-n 5 %s", e2e_trace(NULL));
	const char *out = batch(0, command);
	cr_expect_eq(count(out, "pinwarden top - "), 1, "nothing changes any more:\n%s", out);
	e2e_has(out, "ENDED: exit status 0 after ");
	e2e_has(out, "created 2 (");
}

Test(top, finds_the_one_process_that_is_recorded_or_lists_them)
{
	pid_t pid = live_start("", 1, 0);
	struct e2e_result r;
	char number[32];

	/* others on this machine may be recorded too */
	e2e_run(&r, "@@ top -b -n 1");
	snprintf(number, sizeof(number), "%d", (int)pid);
	e2e_has(r.status == 0 ? r.out : r.err, number);
	cr_expect(r.status == 0 || r.status == 2);
}

/* ---- programs that others wrote ------------------------------------------------------------------------- */

static void await_line(int out, const char *start)
{
	char text[256];
	size_t len = 0;

	while (len + 1 < sizeof(text) && read(out, text + len, 1) == 1 && text[len] != '\n')
		len++;
	text[len] = '\0';
	cr_assert_eq(strncmp(text, start, strlen(start)), 0, "it said: %s", text);
}

static void show_golocks(const char *program, const char *arguments)
{
	char command[1024];
	int out, status;

	(void)arguments;
	snprintf(command, sizeof(command), "rm -f %%d/fifo");
	e2e_status(0, command);
	snprintf(command, sizeof(command), "%s/fifo", e2e_dir());
	cr_assert_eq(mkfifo(command, 0600), 0);
	snprintf(command, sizeof(command), "@@ run -q -o %%d/t/ -- %s %%d/fifo", program);
	pid_t pid = e2e_start(command, &out);
	await_line(out, "ready ");
	snprintf(command, sizeof(command), "-n 1 %s", e2e_trace(NULL));
	const char *text = batch(0, command);
	e2e_has(text, "pins     0 CPU, 3 Go; ");
	cr_expect_eq(count(text, " go x2 "), 1, "%s", text);
	cr_expect_eq(count(text, " go  "), 2, "%s", text);
	cr_expect_eq(count(text, "main.holdOnce"), 2, "%s", text);
	snprintf(command, sizeof(command), "@@ metrics %s", e2e_trace(NULL));
	text = e2e_status(0, command)->out;
	e2e_has(text, ",kind=\"go\"} 3\n");
	e2e_has(text, ",kind=\"go\",site=\"main.holdOnce");
	snprintf(command, sizeof(command), "%s/fifo", e2e_dir());
	close(open(command, O_WRONLY));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	close(out);
}

Test(top, shows_goroutines_that_lock_their_threads)
{
	each_go_program("hold", show_golocks, "");
}

Test(top, shows_a_packaged_server)
{
	const char *text = "";
	char command[1024];
	int out, status;

	e2e_needs(system("redis-server --version >/dev/null 2>&1") == 0, "redis-server is not installed");
	pid_t pid =
	    e2e_start("@@ run -q -o %d/t/ -- redis-server --port 0 --unixsocket %d/s --save --io-threads 2 "
	              "--server_cpulist 0 --bio_cpulist 1",
	              &out);
	for (unsigned i = 0; i < 500 && !(strstr(text, "io_thd_1") && strstr(text, "bio_close_file")); i++) {
		usleep(20000);
		if (e2e_trace_count() == 0)
			continue;
		snprintf(command, sizeof(command), "@@ top -b -n 1 %s", e2e_trace(NULL));
		static struct e2e_result r;
		e2e_run(&r, command);
		text = r.out;
	}
	e2e_has(text, "pinwarden top - redis-server ");
	e2e_has(text, "bio_close_file");
	e2e_has(text, "setcpuaffinity < bioProcessBackgroundJobs");
	kill(pid, SIGTERM);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	close(out);
}

/* ---- refusals ------------------------------------------------------------------------------------------------ */

Test(top, refuses_what_is_no_terminal_and_says_what_to_do)
{
	pid_t pid = live_start("", 1, 0);
	char command[128];

	snprintf(command, sizeof(command), "@@ top %d", (int)pid);
	e2e_refuses(2, command, "is no terminal: use -b");
}

Test(top, refuses_what_is_not_recorded)
{
	char command[128];

	snprintf(command, sizeof(command), "@@ top -b %d", (int)getpid());
	e2e_refuses(3, command, "is not recorded; start it with: pinwarden run -- PROGRAM");
	e2e_refuses(3, "@@ top -b 2147483646", "there is no process 2147483646");
	e2e_refuses(3, "@@ top -b /dev/null", "not a trace");
	e2e_refuses(3, "@@ top -b /etc/passwd", "no");
	e2e_refuses(3, "@@ top -b %d/none.pwt", "No such file");
	e2e_refuses(3, "@@ top -b %d", "not a trace");
}

Test(top, refuses_wrong_usage)
{
	e2e_refuses(2, "@@ top -d 0", "expected seconds");
	e2e_refuses(2, "@@ top -d nan", "expected seconds");
	e2e_refuses(2, "@@ top -n 0", "expected a number");
	e2e_refuses(2, "@@ top -n", "-n needs a value");
	e2e_refuses(2, "@@ top -s cpu", "expected run, wait, migrations, held, tid or name");
	e2e_refuses(2, "@@ top -f 01234567890123456789012345678901", "at most 15 bytes");
	e2e_refuses(2, "@@ top --wide", "--wide is no option here");
	e2e_refuses(2, "@@ top 1 2", "2 is one too many");
}
