/* SPDX-License-Identifier: MIT */
#include "tests/go_programs.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

#define RUNS 20

const char *go_environment = "";

void each_go_program(const char *name, void (*fn)(const char *program, const char *arguments),
                     const char *arguments)
{
	char pattern[4096], command[8192];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/go/%s-*", getenv("PINW_BUILD"), name);
	int r = glob(pattern, 0, NULL, &found);
	e2e_needs(r == 0 && found.gl_pathc > 0, "no Go is installed that can build this program");
	for (size_t i = 0; i < found.gl_pathc; i++) {
		snprintf(command, sizeof(command), "rm -rf %s", e2e_traces());
		e2e_status(0, command);
		snprintf(command, sizeof(command), "mkdir %s", e2e_traces());
		e2e_status(0, command);
		fn(found.gl_pathv[i], arguments);
	}
	globfree(&found);
}

struct go_said run_go_audited(const char *program, const char *arguments)
{
	char command[8192];
	struct go_said said;

	snprintf(command, sizeof(command), "%s @@ run -q -o %%d/t/ -- %s %s", go_environment, program,
	         arguments);
	const struct e2e_result *r = e2e_status(0, command);
	cr_assert_eq(sscanf(r->out, "locks=%u nested=%u unlocks=%u lost=%u", &said.locks, &said.nested,
	                    &said.unlocks, &said.lost),
	             4, "%s %s said: %s%s", program, arguments, r->out, r->err);
	return said;
}

/* RUNS runs, each of which says the same, and each of which is counted so. The lists lack what is counted as dropped: a hook
 * does not wait for ever for a file that somebody else makes grow, on a machine that has no time for either. */
void expect_exact_golocks(const char *program, const char *arguments)
{
	struct go_said said = run_go_audited(program, arguments);
	char expression[1024];

	for (int i = 1; i < RUNS; i++) {
		struct go_said again = run_go_audited(program, arguments);
		cr_assert_eq(memcmp(&said, &again, sizeof(said)), 0,
		             "the program does not do the same twice");
	}
	snprintf(expression, sizeof(expression),
	         "[.processes[] | select(.golocks.covered and .golocks.locks > 0)] | length == %d and all("
	         ".golocks.locks == %u and .golocks.nested == %u and .golocks.unlocks == %u and "
	         ".golocks.destroyed == %u and .golocks.open == %u and .end.how == \"exit\" and "
	         "([.golock_list[].locks] | add) <= %u and ([.golock_list[].unlocks] | add) <= %u and "
	         "([.golock_list[].destroyed] | add) <= %u and .leaks[\"exit-while-pinned\"] == %u and "
	         "([.golock_list[] | .locks, .unlocks, .destroyed] | add) + .dropped >= %u)",
	         RUNS, said.locks, said.nested, said.unlocks, said.lost,
	         said.locks - said.unlocks - said.lost, said.locks, said.unlocks, said.lost, said.lost,
	         said.locks + said.unlocks + said.lost);
	e2e_reread();
	e2e_true(expression);
}
