/* SPDX-License-Identifier: MIT
 *
 * Go in shared libraries, as every Go of this machine builds them: linked, opened while threads run, several in one program, and in
 * Python. What the report counts is what tests/go/lib/host.c and host.py say they did.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/e2e.h"
#include "tests/go_programs.h"

TestSuite(golibs, .fini = e2e_done, .timeout = 600);

static void each_library(void (*fn)(const char *library, const char *arguments), const char *arguments)
{
	each_go_program("golib", fn, arguments);
}

static const char *host(void)
{
	static char path[1024];

	snprintf(path, sizeof(path), "%s/go/host", getenv("PINW_BUILD"));
	return path;
}

Test(golibs, locks_in_a_library_that_is_linked_are_counted)
{
	each_go_program("linked", expect_exact_golocks, "8 20");
}

static void expect_opened(const char *library, const char *arguments)
{
	char all[8192];

	snprintf(all, sizeof(all), "%s %s", arguments, library);
	expect_exact_golocks(host(), all);
}

Test(golibs, locks_in_a_library_opened_while_threads_run_are_counted)
{
	each_library(expect_opened, "8 20");
}

/* Two copies are two runtimes. */
static void expect_both(const char *library, const char *arguments)
{
	char command[9000], all[8192];

	snprintf(command, sizeof(command), "cp %s %s/other.so", library, e2e_dir());
	e2e_status(0, command);
	snprintf(all, sizeof(all), "%s %s %s/other.so", arguments, library, e2e_dir());
	expect_exact_golocks(host(), all);
}

Test(golibs, two_runtimes_in_one_program_are_both_counted)
{
	each_library(expect_both, "4 20");
}

static void expect_in_python(const char *library, const char *arguments)
{
	char all[8192];

	snprintf(all, sizeof(all), "%s.py %s %s", host(), arguments, library);
	expect_exact_golocks("python3", all);
}

Test(golibs, locks_in_a_library_that_python_opens_are_counted)
{
	e2e_needs(access("/usr/bin/python3", X_OK) == 0, "needs python3");
	each_library(expect_in_python, "4 20");
}

/* Bare and audited, the program does and says the same. */
static void expect_same(const char *program, const char *arguments)
{
	char command[16384];

	snprintf(command, sizeof(command), "%s %s", program, arguments);
	e2e_same(command);
}

static void expect_same_opened(const char *library, const char *arguments)
{
	char all[8192];

	snprintf(all, sizeof(all), "%s %s", arguments, library);
	expect_same(host(), all);
}

Test(golibs, programs_do_what_they_do_bare)
{
	each_go_program("linked", expect_same, "4 20");
	each_library(expect_same_opened, "4 20");
}
