/* SPDX-License-Identifier: MIT
 *
 * Go programs tell what their functions are called while they run. What a report says of them does not depend on the
 * program's file: `go test` and `go run` remove it before anybody can read the trace.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/enforce_scene.h"
#include "tests/go_programs.h"

TestSuite(gonames, .fini = e2e_done, .timeout = 600);

/* Go's frames in all stacks, as the report on what is in the folder has them. */
static void list_frames(const char *list)
{
	static const char frames[] =
	    "[.processes[].sites[] | {id, frames: [.frames[] | select(.function // \"\" | "
	    "test(\"^(main|runtime|syscall|sync|internal)[./]\")) | {offset, function, file, line, "
	    "inlined}]}]";
	char command[1024];

	e2e_write("frames.jq", frames);
	snprintf(command, sizeof(command), "@@ report -f json -o %%d/report %%d/t");
	e2e_status(0, command);
	snprintf(command, sizeof(command), "jq -f %%d/frames.jq %%d/report");
	e2e_write(list, e2e_status(0, command)->out);
}

static void expect_kept(const char *program, const char *arguments)
{
	char command[8192];

	snprintf(command, sizeof(command), "cp %s %%d/gone", program);
	e2e_status(0, command);
	snprintf(command, sizeof(command), "@@ run -q -o %%d/t/ -- %%d/gone %s", arguments);
	e2e_status(0, command);
	list_frames("before");
	e2e_status(0, "rm %d/gone");
	list_frames("after");
	e2e_status(0, "cmp %d/before %d/after");
	e2e_status(0, "grep -q main.left %d/after");
	e2e_status(0, "grep -q stacks.go %d/after");
	policy("[ban \"b\"]\nfunction = main.left\n");
	e2e_has(e2e_status(1, "@@ check -p %d/policy.ini %d/t")->out, "ban:b");
	e2e_status(0, "rm -r %d/t");
}

Test(gonames, are_the_same_when_the_program_is_gone)
{
	cpu_number(1);
	each_go_program("stacks", expect_kept, "calls 4 4");
}

/* It builds the program in a temporary directory and removes it. */
Test(gonames, what_go_run_ran_can_be_read_afterwards)
{
	char command[8192], source[PATH_MAX];
	const struct e2e_result *r;

	e2e_needs(access("/usr/bin/go", X_OK) == 0, "needs go");
	cr_assert_not_null(realpath("tests/go/locks.go", source));
	snprintf(
	    command, sizeof(command),
	    "env GOCACHE=%s/go/cache GOTOOLCHAIN=local GO111MODULE=off GOFLAGS= CGO_ENABLED=1 @@ run -q -o "
	    "%%d/t/ -- go run %s destroyed 2 3",
	    getenv("PINW_BUILD"), source);
	e2e_status(0, command);
	r = e2e_status(0, "@@ report --filter leak:any %d/t");
	e2e_has(r->out, "exit-while-pinned");
	e2e_has(r->out, "main.");
	e2e_has(r->out, "locks.go:");
}
