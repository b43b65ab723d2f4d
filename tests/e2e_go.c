/* SPDX-License-Identifier: MIT
 *
 * Go programs, stripped and not: functions in policies, in the log and in the report, with files and lines. Built here
 * by every Go there is: the one in PATH, and those whose roots PINW_GO_TOOLCHAINS lists ("/a/go-1.21:/b/go-1.26").
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/enforce_scene.h"

TestSuite(golang, .fini = e2e_done);

#define ROOTS_MAX 16u
/* Lines of tests/targets/go/pins.go: where each pins, or calls what was inlined. */
#define METHOD_LINE 37
#define INLINED_LINE 42
#define OTHER_LINE 47
#define CLOSURE_LINE 55

/* ---- toolchains ------------------------------------------------------------------------ */

/* Commands that are `go`, each with its environment. */
static char toolchains[ROOTS_MAX][PATH_MAX];
static unsigned toolchain_count;

static void add_toolchain(const char *root)
{
	char go[PATH_MAX];

	cr_assert_lt(toolchain_count, ROOTS_MAX, "too many Go toolchains");
	snprintf(go, sizeof(go), "%s/bin/go", root);
	cr_assert(access(go, X_OK) == 0, "no Go toolchain in %s", root);
	snprintf(toolchains[toolchain_count++], PATH_MAX, "GOROOT=%s %.*s/bin/go", root, PATH_MAX / 2, root);
}

static void find_toolchains(void)
{
	const char *listed = getenv("PINW_GO_TOOLCHAINS");
	char roots[4096];

	toolchain_count = 0;
	if (system("command -v go >/dev/null 2>&1") == 0)
		snprintf(toolchains[toolchain_count++], PATH_MAX, "go");
	snprintf(roots, sizeof(roots), "%s", listed ? listed : "");
	for (char *root = strtok(roots, ":"); root; root = strtok(NULL, ":"))
		add_toolchain(root);
}

/* Builds tests/targets/go/pins.go into the scene, however long it takes. Compiled packages are shared by the tests of one run. */
static void build(const char *toolchain, const char *options)
{
	const char *tmp = getenv("TMPDIR");
	char command[4 * PATH_MAX], here[PATH_MAX], said[4096] = "";
	size_t len = 0;
	ssize_t n;
	int out, status = -1;

	cr_assert_not_null(getcwd(here, sizeof(here)));
	snprintf(command, sizeof(command),
	         "env GO111MODULE=off GOENV=off GOTOOLCHAIN=local GOFLAGS= CGO_ENABLED=1 GOPATH=%%d/path "
	         "GOCACHE=%s/go-cache %s "
	         "build %s -o %%d/pins %s/tests/targets/go/pins.go",
	         tmp ? tmp : e2e_dir(), toolchain, options, here);
	pid_t pid = e2e_start(command, &out);
	while ((n = read(out, said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	close(out);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "%s: status %d\n%s", command, status, said);
}

/* ---- what is the same of every program ---------------------------------------------------- */

static void frames_of(const char *function, int line, bool inlined)
{
	char expression[512];

	snprintf(expression, sizeof(expression),
	         "[.. | objects | select(.function? == \"%s\" and .line == %d and .inlined == %s)] | length "
	         "> 0 and "
	         "all(.file | endswith(\"/tests/targets/go/pins.go\"))",
	         function, line, inlined ? "true" : "false");
	e2e_true(expression);
}

static void expect_names(void)
{
	policy("[ban \"b\"]\nfunction = main.(*server).pin*\nkind = cpu\n");
	enforced("%d/pins", "method 1\nclosure 0\ngoroutine 1\nother 0\n", "{\"ban:b\": 2}");
	says("main.(*server).pinHandler+0x");
	says("main.main.func1+0x");
	says("runtime.main+0x");
	frames_of("main.(*server).pinHandler", METHOD_LINE, false);
	frames_of("main.main.func1", CLOSURE_LINE, false);
	policy("[ban \"b\"]\nfunction = main.main.func?\nkind = cpu\n");
	enforced("%d/pins", "method 0\nclosure 1\ngoroutine 1\nother 0\n", "{\"ban:b\": 2}");
	policy("[ban \"b\"]\nfunction = main.*\nkind = cpu\n[allow \"a\"]\nfunction = main.other\n");
	enforced("%d/pins", "method 1\nclosure 1\ngoroutine 1\nother 0\n", "{\"ban:b\": 3}");
}

/* Names are of the function that has the code; calls inlined into it have frames of their own, from Go 1.18 on. */
static void expect_inlined_calls(const char *toolchain)
{
	char command[PATH_MAX + 32];
	struct e2e_result version;

	snprintf(command, sizeof(command), "env %s version", toolchain);
	e2e_run(&version, command);
	if (strstr(version.out, "go1.15") || strstr(version.out, "go1.16") || strstr(version.out, "go1.17"))
		return;
	frames_of("main.inlined", INLINED_LINE, true);
	frames_of("main.other", OTHER_LINE, false);
}

static void names_functions(int toolchain, const char *options)
{
	cpu_number(1); /* on one CPU everything is pinned to it */
	find_toolchains();
	e2e_needs(toolchain_count > 0, "needs Go (Debian package golang-go, or PINW_GO_TOOLCHAINS)");
	build(toolchains[toolchain], options);
	expect_names();
	expect_inlined_calls(toolchains[toolchain]);
}

/* One test for each toolchain; without any, one that says so. */
static struct criterion_test_params all_toolchains(void)
{
	static int numbers[ROOTS_MAX];

	find_toolchains();
	for (unsigned i = 0; i < toolchain_count; i++)
		numbers[i] = (int)i;
	return cr_make_param_array(int, numbers, toolchain_count ? toolchain_count : 1);
}

ParameterizedTestParameters(golang, functions_are_named_as_built)
{
	return all_toolchains();
}

ParameterizedTest(int *toolchain, golang, functions_are_named_as_built)
{
	names_functions(*toolchain, "");
}

ParameterizedTestParameters(golang, functions_are_named_when_stripped)
{
	return all_toolchains();
}

ParameterizedTest(int *toolchain, golang, functions_are_named_when_stripped)
{
	names_functions(*toolchain, "-ldflags=-s");
}

ParameterizedTestParameters(golang, functions_are_named_in_position_independent_programs)
{
	return all_toolchains();
}

ParameterizedTest(int *toolchain, golang, functions_are_named_in_position_independent_programs)
{
	names_functions(*toolchain, "-buildmode=pie");
}

ParameterizedTestParameters(golang, functions_are_named_in_stripped_position_independent_programs)
{
	return all_toolchains();
}

ParameterizedTest(int *toolchain, golang, functions_are_named_in_stripped_position_independent_programs)
{
	names_functions(*toolchain, "-buildmode=pie -ldflags=-s");
}
