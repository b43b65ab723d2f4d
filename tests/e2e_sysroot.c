/* SPDX-License-Identifier: MIT
 *
 * Names from somewhere else: a program and its libraries below another root, and debug information from a server.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e.h"

static pid_t server;

static void done(void)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	e2e_done();
}

TestSuite(sysroot, .fini = done, .timeout = 120);

/* A program that pins in a library of its own, and threads that leak. Both are built in the scene's home/. */
static const char sources[] =
    "mkdir home; cat >pin.c <<'E'\n"
    "#define _GNU_SOURCE\n"
    "#include <sched.h>\n"
    "void pin_here(void) {\n"
    "	cpu_set_t s; CPU_ZERO(&s); CPU_SET(sched_getcpu(), &s);\n"
    "	sched_setaffinity(0, sizeof(s), &s);\n"
    "	__asm__ volatile(\"\");\n"
    "}\n"
    "E\n"
    "cat >prog.c <<'E'\n"
    "#include <pthread.h>\n"
    "void pin_here(void);\n"
    "static void *leaks(void *arg) { pin_here(); return arg; }\n"
    "int main(void) { pthread_t t; pthread_create(&t, 0, leaks, 0); return pthread_join(t, 0); }\n"
    "E\n"
    "gcc -O1 -g -shared -fPIC -o home/libpin.so pin.c && "
    "gcc -O1 -g -o home/prog prog.c -Lhome -lpin -pthread '-Wl,-rpath,$ORIGIN'";

__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...)
{
	char text[4096], command[8192];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(command, sizeof(command), "cd %s && { %s; }", e2e_dir(), text);
	cr_assert_eq(system(command), 0, "%s", text);
}

static void record(void)
{
	shell("%s", sources);
	e2e_status(0, "@@ run -q -o %d/t/ -- %d/home/prog");
}

/* What the report is with these words before and after it; good for three calls more. */
static const char *report(const char *before, const char *options)
{
	static char texts[4][E2E_TEXT_BYTES];
	static unsigned next;
	char command[1024];

	snprintf(command, sizeof(command), "%s @@ report %%d/t --color never %s", before, options);
	return strcpy(texts[next++ % 4], e2e_status(0, command + (before[0] == '\0'))->out);
}

static void expect_has(const char *text, const char *part)
{
	cr_expect_not_null(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

static void expect_lacks(const char *text, const char *part)
{
	cr_expect_null(strstr(text, part), "\"%s\" in:\n%s", part, text);
}

/* Moves the program below root/, with copies of all its libraries, as on another machine. */
static void move_away(void)
{
	shell("mkdir -p root/usr/lib root/usr/lib64 && ln -s usr/lib root/lib && ln -s /usr/lib64 root/lib64 "
	      "&& "
	      "for f in $(ldd home/prog | grep -o '/[^ ]*'); do cp -L --parents $(realpath $f) $f root/ "
	      "2>/dev/null || cp -L --parents $(realpath $f) root/; done");
	shell("mkdir -p root%s/home && rm -f root%s/home/* && mv home/* root%s/home/", e2e_dir(), e2e_dir(),
	      e2e_dir());
}

Test(sysroot, gives_the_names_of_another_machine)
{
	record();
	const char *at_home = report("", "");
	expect_has(at_home, "pin_here");
	expect_has(at_home, "pin.c:5");
	move_away();
	const char *gone = report("", "");
	expect_lacks(gone, "pin_here");
	expect_has(gone, "the file is gone");
	cr_expect_str_eq(report("", "--sysroot=%d/root"), at_home);
	/* The same behind links, which are those of the other machine. */
	shell("mv root%s/home root%s/real && ln -s %s/real root%s/home", e2e_dir(), e2e_dir(), e2e_dir(),
	      e2e_dir());
	cr_expect_str_eq(report("", "--sysroot=%d/root/"), at_home);
}

Test(sysroot, is_never_left)
{
	record();
	move_away();
	shell("mv root%s/home outside && ln -s %s/outside root%s/home", e2e_dir(), e2e_dir(), e2e_dir());
	expect_lacks(report("", "--sysroot=%d/root"), "pin_here");
	shell("rm root%s/home && ln -s ../../../../../../../..%s/outside root%s/home", e2e_dir(), e2e_dir(),
	      e2e_dir());
	expect_lacks(report("", "--sysroot=%d/root"), "pin_here");
	shell("rm root%s/home && cp -r outside root%s/home", e2e_dir(), e2e_dir());
	expect_has(report("", "--sysroot=%d/root"), "pin_here");
}

Test(sysroot, does_not_guess_from_other_builds)
{
	record();
	move_away();
	shell("gcc -O2 -g -DOTHER -shared -fPIC -o root%s/home/libpin.so pin.c", e2e_dir());
	const char *text = report("", "--sysroot=%d/root");
	expect_lacks(text, "pin_here");
	expect_has(text, "the file changed since");
}

Test(sysroot, finds_separate_debug_files_below_it)
{
	record();
	const char *at_home = report("", "");
	move_away();
	shell("cd root%s/home && mkdir -p ../../../usr/lib/debug && for f in prog libpin.so; do "
	      "objcopy --only-keep-debug $f $f.debug && strip $f && objcopy --add-gnu-debuglink=$f.debug $f; "
	      "done",
	      e2e_dir());
	cr_expect_str_eq(report("", "--sysroot=%d/root"), at_home);
	/* By build id, in the place of packages. */
	shell(
	    "h=root%s/home; for f in prog libpin.so; do id=$(readelf -n $h/$f | sed -n 's/.*Build ID: //p'); "
	    "d=root/usr/lib/debug/.build-id/$(echo $id | cut -c1-2); mkdir -p $d; "
	    "mv $h/$f.debug $d/$(echo $id | cut -c3-).debug; done",
	    e2e_dir());
	cr_expect_str_eq(report("", "--sysroot=%d/root"), at_home);
}

/* Without a build id a debug file is known by its checksum alone. */
static void record_with_debug_link(void)
{
	shell("%s", sources);
	shell("cd home && gcc -O1 -g -shared -fPIC -Wl,--build-id=none -o libpin.so ../pin.c && "
	      "objcopy --only-keep-debug libpin.so in_pin.debug && strip -x libpin.so && "
	      "objcopy --strip-unneeded --add-gnu-debuglink=in_pin.debug libpin.so");
	e2e_status(0, "@@ run -q -o %d/t/ -- %d/home/prog");
	expect_has(report("", ""), "pin.c:5");
}

Test(sysroot, a_debug_link_is_a_name_and_no_path)
{
	record_with_debug_link();
	shell("cd home && LC_ALL=C sed -i 's,in_pin\\.debug,in/pin.debug,' libpin.so && mkdir in && "
	      "mv in_pin.debug in/pin.debug");
	const char *text = report("", "");
	expect_has(text, "pin_here");
	expect_lacks(text, "pin.c:5");
}

/* Nobody writes into it: a report that waited would be ended by the test. */
Test(sysroot, a_debug_file_that_is_a_pipe_is_not_waited_for)
{
	record_with_debug_link();
	shell("cd home && rm in_pin.debug && mkfifo in_pin.debug");
	expect_has(report("", ""), "pin_here");
	shell("cd home && rm in_pin.debug && mkdir .debug && mkfifo .debug/in_pin.debug");
	expect_has(report("", ""), "pin_here");
}

Test(sysroot, has_to_be_a_directory)
{
	static const char *const commands[] = {"report",      "check -p %d/p", "diff", "policy test -p %d/p",
	                                       "top -b -n 1", "metrics"};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char command[256];

		snprintf(command, sizeof(command), "@@ %s %%d/t --sysroot=%%d/nowhere", commands[i]);
		expect_has(e2e_status(2, command)->err,
		           "/nowhere: No such file or directory; name a directory");
		snprintf(command, sizeof(command), "@@ %s %%d/t --sysroot=/dev/null", commands[i]);
		expect_has(e2e_status(2, command)->err,
		           "--sysroot=/dev/null: Not a directory; name a directory");
	}
}

/* ---- a server of debug information ------------------------------------------------------- */

/* Strips the program and its library, and serves what that took away. Returns the server's port. */
static int serve_debug_files(void)
{
	char line[256] = "";
	int out, port = 0;

	shell("for f in home/prog home/libpin.so; do id=$(readelf -n $f | sed -n 's/.*Build ID: //p'); "
	      "mkdir -p srv/buildid/$id && objcopy --only-keep-debug $f srv/buildid/$id/debuginfo && "
	      "strip --strip-all $f; done");
	server = e2e_start("python3 -u -m http.server 0 --bind 127.0.0.1 --directory %d/srv", &out);
	for (size_t n = 0; n < sizeof(line) - 1 && !strchr(line, '\n'); n++)
		if (read(out, line + n, 1) != 1)
			break;
	cr_assert_eq(sscanf(line, "Serving HTTP on 127.0.0.1 port %d", &port), 1, "%s", line);
	return port;
}

static const char *with_server(int port, const char *cache)
{
	static char words[512];

	snprintf(words, sizeof(words),
	         "env no_proxy=127.0.0.1 DEBUGINFOD_URLS=http://127.0.0.1:%d DEBUGINFOD_CACHE_PATH=%%d/%s",
	         port, cache);
	return words;
}

Test(sysroot, asks_debuginfod_servers_once_and_keeps_what_they_say)
{
	e2e_needs(system("command -v python3 >/dev/null && ldconfig -p | grep -q libdebuginfod.so.1") == 0,
	          "needs python3 and libdebuginfod1");
	record();
	const char *at_home = report("", "");
	int port = serve_debug_files();
	expect_lacks(report("env -u DEBUGINFOD_URLS", ""), "pin.c:5");
	cr_expect_str_eq(report(with_server(port, "cache"), ""), at_home);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	server = 0;
	cr_expect_str_eq(report(with_server(port, "cache"), ""), at_home, "the cache has it");
	/* Another cache, and nobody answers. */
	char command[1024];
	snprintf(command, sizeof(command), "%s @@ report %%d/t", with_server(port, "empty"));
	const struct e2e_result *r = e2e_status(0, command);
	const char *said = strstr(r->err, "no debug information from DEBUGINFOD_URLS: ");
	cr_assert_not_null(said, "%s", r->err);
	cr_expect_null(strstr(said + 1, "no debug information"), "said once: %s", r->err);
	expect_has(r->out, "pin_here");
	expect_lacks(r->out, "pin.c:5");
}
