/* SPDX-License-Identifier: MIT
 *
 * Affinity calls that Go code makes without the C library, as every Go of this machine builds them: what the report counts
 * is what tests/go/raw.go says it did and what strace saw, to the last call, each time; and a policy judges them.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/enforce_scene.h"
#include "tests/go_programs.h"

#define RUNS 20

TestSuite(goraw, .fini = e2e_done, .timeout = 600);

struct said {
	unsigned self, cross, other, failed, opened;
};

static struct said said_in(const char *out)
{
	struct said said;

	cr_assert_eq(sscanf(out, "self=%u cross=%u other=%u failed=%u opened=%u", &said.self, &said.cross,
	                    &said.other, &said.failed, &said.opened),
	             5, "the program said: %s", out);
	return said;
}

/* The program, with what it is told to do, after `before`. */
static const char *with(const char *before, const char *program, const char *arguments)
{
	static char command[8192];

	snprintf(command, sizeof(command), "%s%s %s", before, program, arguments);
	return command;
}

static const char *of(const char *program, const char *arguments)
{
	return with("", program, arguments);
}

static const char *audited(const char *program, const char *arguments)
{
	return with("@@ run -q -o %d/t/ -- ", program, arguments);
}

static unsigned count_lines(const char *path, const char *part)
{
	char line[1024];
	unsigned n = 0;
	FILE *f = fopen(path, "r");

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, part) != NULL;
	fclose(f);
	return n;
}

/* What the program says of itself is what the kernel was asked. */
static struct said expect_truth(const char *program, const char *arguments)
{
	static struct e2e_result bare;
	char command[8192], path[4096];

	e2e_run(&bare, "strace -qq -o /dev/null -e trace=none /bin/true");
	if (bare.status == 0)
		snprintf(command, sizeof(command),
		         "strace -f -qq -e trace=sched_setaffinity -e signal=none -o %%d/calls %s %s",
		         program, arguments);
	else
		snprintf(command, sizeof(command), "%s %s", program, arguments);
	bool traced = bare.status == 0;
	e2e_run(&bare, command);
	cr_assert_eq(bare.status, 0, "%s: %s", command, bare.err);
	struct said said = said_in(bare.out);
	snprintf(path, sizeof(path), "%s/calls", e2e_dir());
	if (traced) {
		cr_assert_eq(count_lines(path, "= 0"), said.self + said.cross + said.other);
		cr_assert_eq(count_lines(path, "= -1 E"), said.failed);
	}
	return said;
}

static void expect_exact(const char *program, const char *arguments)
{
	struct said said = expect_truth(program, arguments);
	char expression[1024];

	for (int i = 0; i < RUNS; i++) {
		struct said again = said_in(e2e_status(0, audited(program, arguments))->out);
		cr_assert_eq(memcmp(&said, &again, sizeof(said)), 0,
		             "the program does not do the same twice");
	}
	snprintf(expression, sizeof(expression),
	         "[.processes[] | select(.affinity.self > 0)] | length == %d and all("
	         ".affinity == {self: %u, cross: %u, other_process: %u, attr: 0, failed: %u, external: 0, "
	         "denied: 0} and .pins.opened == %u and .pins.released == %u and .pins.open_at_end == 0 and "
	         ".dropped == 0 and .end.how == \"exit\")",
	         RUNS, said.self, said.cross, said.other, said.failed, said.opened, said.opened);
	e2e_reread();
	e2e_true(expression);
}

Test(goraw, every_call_is_counted_as_the_kernel_answered_it)
{
	cpu_number(1); /* on one CPU nothing is pinned */
	each_go_program("raw", expect_exact, "calls 64 10");
	each_go_program("raw", expect_exact, "calls 2 200");
}

/* Where the calls were made. The compiler is free to put main.raw into its callers. */
static void expect_stacks(const char *program, const char *arguments)
{
	e2e_status(0, audited(program, arguments));
	e2e_reread();
	e2e_true(".processes[0].sites | [.[] | select(.kind == \"pin\") | {truncated, frames: ([.frames[] | "
	         "select(.inlined | not) | .function] - [\"main.raw\"])}] == [{truncated: false, frames: "
	         "[\"syscall.RawSyscall6\", \"syscall.RawSyscall\", \"main.main\", \"runtime.main\", "
	         "\"runtime.goexit\"]}]");
	e2e_true(".processes[0] | .golocks.open == 2 and .pins.open_at_end == 1 and "
	         ".leaks[\"pinned-at-end\"] == 3 and ([.thread_list[] | select(.pin)] | length == 1 and "
	         "(.[0] | .pin.origin == \"self\" and .affinity_calls == 1))");
}

Test(goraw, a_pin_on_a_locked_thread_and_a_lock_alone_are_told_apart)
{
	cpu_number(1);
	each_go_program("raw", expect_stacks, "both");
}

static void expect_denied(const char *program, const char *arguments)
{
	static const char denied[] = "1 1 1 true 1 true 0\n"; /* EPERM, and the kernel's masks as they were */
	static const char *const words[] = {"raw", "setaffinity", "setaffinity, cross", "attr, raw"};
	struct e2e_result r;

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		policy("[ban \"b\"]\ncall = %s\n", words[i]);
		enforced(of(program, arguments), denied, "{\"ban:b\": 4}");
		says("main.main+0x");
		says("runtime.goexit");
	}
	policy("[ban \"b\"]\ncall = raw\nfunction = main.cooked\nerrno = EINVAL\n");
	enforced(of(program, arguments), "0 0 22 false 22 true 0\n", "{\"ban:b\": 2}");
	policy("[ban \"b\"]\ncall = raw\n");
	under("--audit", of(program, arguments));
	e2e_run(&r, of(program, arguments));
	cr_expect_str_eq(last.out, r.out);
	violations("{\"ban:b\": 4}");
	policy("[ban \"b\"]\ncall = pthread_setaffinity\n");
	enforced(of(program, arguments), r.out, "{}");
}

Test(goraw, a_ban_gives_its_error_to_go_and_the_mask_stays)
{
	cpu_number(1);
	each_go_program("raw", expect_denied, "denied");
}

/* A child of a clone that no wrapper saw: one with a copy of the memory has a trace of its own, one that borrows it for a
 * while is told apart by the kernel's number of its thread, and pins nobody of ours. */
static void expect_child(const char *program, const char *arguments)
{
	for (int i = 0; i < RUNS; i++)
		cr_assert_str_eq(e2e_status(0, audited(program, arguments))->out,
		                 "child=0 wait=<nil> same=true\n");
	e2e_reread();
	if (strcmp(arguments, "fork") == 0)
		e2e_true("[.processes[] | .affinity.self] | (add == 20 and length == 40)");
	else
		e2e_true("[.processes[] | .affinity.self] == [range(20) | 1]");
	e2e_true("[.processes[] | select(.affinity.self == 0) | .pins.opened] | all(. == 0)");
	e2e_true(
	    "[.processes[] | select(.end.how == \"exit\") | .pins.opened] | length == 20 and all(. == 0)");
}

Test(goraw, children_that_nobody_saw_are_told_apart)
{
	cpu_number(1);
	each_go_program("raw", expect_child, "fork");
	each_go_program("raw", expect_child, "vfork");
}
