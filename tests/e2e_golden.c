/* SPDX-License-Identifier: MIT
 *
 * Traces of real programs, recorded once (tests/golden/record), and what the report said of them: a change of the reader, the
 * model or the text shows here. Their programs are looked for where there are none, so that the names of functions do not
 * depend on the machine.
 *
 * PINW_RECORD=1 writes what is expected anew.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

TestSuite(golden, .fini = e2e_done);

static void compare(const char *name, const char *extension, const char *text)
{
	char folder[PATH_MAX - 512], path[PATH_MAX], now[PATH_MAX], command[2 * PATH_MAX + 32];
	const char *record = getenv("PINW_RECORD");
	static struct e2e_result diff;

	cr_assert_not_null(realpath("tests/golden", folder));
	snprintf(path, sizeof(path), "%s/%s/expected.%s", folder, name, extension);
	if (record && *record) {
		e2e_write(path, text);
		return;
	}
	snprintf(now, sizeof(now), "%s/now.%s", e2e_dir(), extension);
	e2e_write(now, text);
	snprintf(command, sizeof(command), "diff -u %s %s", path, now);
	e2e_run(&diff, command);
	cr_assert_eq(diff.status, 0, "the report is not as %s:\n%s", path, diff.out);
}

/* Unpacks the traces of a name and compares the reports on them, made in the scene's directory: paths are short and the same
 * everywhere. */
static void expect(const char *name)
{
	char folder[PATH_MAX - 512], command[2 * PATH_MAX];
	const struct e2e_result *r;

	cr_assert_not_null(realpath("tests/golden", folder));
	snprintf(command, sizeof(command), "cp -r %s/%s %%d/traces", folder, name);
	e2e_status(0, command);
	e2e_status(0, "mkdir %d/nothing");
	e2e_status(0, "gunzip -r %d/traces");
	r = e2e_status(0, "@@ report --sysroot=nothing traces");
	compare(name, "txt", r->out);
	r = e2e_status(0, "@@ report -f json --sysroot=nothing traces");
	compare(name, "json", r->out);
}

Test(golden, redis)
{
	expect("redis");
}

Test(golden, nginx)
{
	expect("nginx");
}

Test(golden, iperf3)
{
	expect("iperf3");
}

Test(golden, java)
{
	expect("java");
}

Test(golden, a_go_service_that_leaks)
{
	expect("go_leaking");
}
