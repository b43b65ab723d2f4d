/* SPDX-License-Identifier: MIT */
#include "tests/enforce_scene.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct e2e_result last;

void policy(const char *format, ...)
{
	char path[4096];
	va_list args;
	FILE *f;

	snprintf(path, sizeof(path), "%s/policy.ini", e2e_dir());
	f = fopen(path, "w");
	cr_assert_not_null(f);
	va_start(args, format);
	vfprintf(f, format, args);
	va_end(args);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(chmod(path, 0644), 0);
}

void go(const char *command)
{
	e2e_status(0, "rm -rf %d/t");
	e2e_status(0, "mkdir %d/t");
	e2e_run(&last, command);
	if (last.status == 77)
		cr_skip_test("%s", last.err);
	e2e_reread();
}

void under(const char *mode, const char *target)
{
	char command[512];

	snprintf(command, sizeof(command), E2E_PINWARDEN " run -q -p %%d/policy.ini %s -o %%d/t/ -- %s", mode,
	         target);
	go(command);
}

void violations(const char *expected)
{
	char expression[1024];

	snprintf(expression, sizeof(expression),
	         "[.processes[].violations // {} | to_entries[] | select(.value > 0)] | group_by(.key) | "
	         "map({(.[0].key): map(.value) | add}) | add // {} | . == %s",
	         expected);
	e2e_true(expression);
}

void enforced(const char *target, const char *out, const char *expected)
{
	under("--enforce", target);
	cr_assert_eq(last.status, 0, "%s: status %d\n%s", target, last.status, last.err);
	cr_assert_str_eq(last.out, out, "%s: another output:\n%s\nwanted:\n%s\n%s", target, last.out, out,
	                 last.err);
	violations(expected);
}

void says(const char *text)
{
	cr_assert_not_null(strstr(last.err, text), "no \"%s\" in:\n%s", text, last.err);
}

void says_not(const char *text)
{
	cr_assert_null(strstr(last.err, text), "\"%s\" in:\n%s", text, last.err);
}

int cpu_number(int n)
{
	cpu_set_t all;

	cr_assert_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	e2e_needs(CPU_COUNT(&all) > n, "needs more CPUs");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all) && n-- == 0)
			return cpu;
	return -1;
}
