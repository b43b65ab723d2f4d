/* SPDX-License-Identifier: MIT
 *
 * Stacks that change between Go and C, as every Go of this machine builds them: each frame of tests/go/stacks.go, in C
 * code without frame pointers too, whoever calls whom, each time, also when it is recognised instead of walked.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/enforce_scene.h"
#include "tests/go_programs.h"

#define RUNS 20

/* What Go puts between. */
#define INTO_C "\"runtime.asmcgocall\", "
#define INTO_GO                                                                                              \
	"\"runtime.cgocallbackg1\", \"runtime.cgocallbackg\", \"runtime.cgocallback\", \"crosscall2\", "
#define PINS_IN_C(function)                                                                                  \
	"\"c_pin\", \"c_pins\", \"_cgo_Cfunc_c_pins\", " INTO_C "\"main._Cfunc_c_pins\", \"main." function   \
	"\", \"main.worker\", "
#define PINS_IN_GO                                                                                           \
	"\"syscall.RawSyscall6\", \"syscall.RawSyscall\", \"main.raw\", \"main.go_pins\", \"_cgoexp_go_"     \
	"pins\", " INTO_GO "\"go_pins\", \"c_calls\", "
#define CALLED_IN_C PINS_IN_C("left") "\"_cgoexp_go_pins_in_c\", " INTO_GO "\"go_pins_in_c\", \"c_calls\", "
#define FROM_GO "\"_cgo_Cfunc_c_calls\", " INTO_C "\"main._Cfunc_c_calls\", \"main.calls\", "
#define GOROUTINE(closure) "\"main.main." closure "\", \"main.each.func1\", \"runtime.goexit\""

TestSuite(gostack, .fini = e2e_done, .timeout = 600);

static void run(const char *program, const char *mode)
{
	char command[8192];

	snprintf(command, sizeof(command), "@@ run -q -o %%d/t/ -- %s %s", program, mode);
	e2e_status(0, command);
}

/* In all processes the stacks of pins are these, each as often. What inlined calls and versions add is left out, as are the C
 * library's frames; of a stripped program C code has no names. */
static void expect_pins(const char *program, unsigned count, const char *first, const char *second)
{
	static const char frames[] =
	    "def name: (. // \"C\") | sub(\"^(?<a>_cgo|_cgoexp)_[0-9a-f]+_\"; \"\\(.a)_\") | if $stripped "
	    "and "
	    "test(\"^(c_|_cgo_)\") then \"C\" else . end; "
	    "def once: reduce .[] as $f ([]; if .[-1] == $f then . else . + [$f] end); ";
	char expression[8192];

	snprintf(
	    expression, sizeof(expression),
	    "%s as $stripped | %s[.processes[] | [.sites[] | select(.kind == \"pin\") | {count, "
	    "truncated, frames: [.frames[] | select((.inlined | not) and (.module | "
	    "contains(\"/go/stacks-\"))) | .function | name | select(. != \"runtime.cgocall\")] | once}] | "
	    "sort] | length == %d and all(. == ([[%s]%s%s%s | {count: %u, truncated: false, frames: "
	    "[.[] | name] | once}] | sort))",
	    strstr(program, "-pie") ? "true" : "false", frames, RUNS, first, second ? ", [" : "",
	    second ? second : "", second ? "]" : "", count);
	e2e_reread();
	e2e_true(expression);
}

static void expect_calls(const char *program, const char *arguments)
{
	for (int i = 0; i < RUNS; i++)
		run(program, arguments);
	expect_pins(program, 160, PINS_IN_C("left") GOROUTINE("func1"),
	            PINS_IN_C("right") GOROUTINE("func1"));
	e2e_true("[.processes[] | .pins] | all(.opened == 320 and .released == 320)");
}

Test(gostack, c_called_by_go_is_in_the_goroutines_stack)
{
	cpu_number(1); /* on one CPU nothing is pinned */
	each_go_program("stacks", expect_calls, "calls 16 20");
}

static void expect_callbacks(const char *program, const char *arguments)
{
	for (int i = 0; i < RUNS; i++)
		run(program, arguments);
	expect_pins(program, 40, PINS_IN_GO FROM_GO GOROUTINE("func3"), NULL);
}

Test(gostack, go_called_by_c_is_in_the_stack_of_the_go_code_that_called_it)
{
	cpu_number(1);
	each_go_program("stacks", expect_callbacks, "callbacks 4 10");
}

static void expect_inner(const char *program, const char *arguments)
{
	for (int i = 0; i < RUNS; i++)
		run(program, arguments);
	expect_pins(program, 20, CALLED_IN_C FROM_GO GOROUTINE("func4"), NULL);
}

Test(gostack, c_called_by_go_called_by_c_called_by_go_too)
{
	cpu_number(1);
	each_go_program("stacks", expect_inner, "inner 1 20");
}

static void expect_threads(const char *program, const char *arguments)
{
	for (int i = 0; i < RUNS; i++)
		run(program, arguments);
	expect_pins(program, 20, PINS_IN_GO "\"c_thread\"", NULL);
	e2e_true("[.processes[] | .golock_list | map(.locks) | sort] | all(. == [2, 20])");
}

Test(gostack, go_called_by_threads_of_c_is_in_their_stacks)
{
	cpu_number(1);
	each_go_program("stacks", expect_threads, "threads 2 10");
}

static void expect_inner_threads(const char *program, const char *arguments)
{
	for (int i = 0; i < RUNS; i++)
		run(program, arguments);
	expect_pins(program, 10, CALLED_IN_C "\"c_thread\"", NULL);
}

Test(gostack, c_called_by_go_called_by_threads_of_c_too)
{
	cpu_number(1);
	each_go_program("stacks", expect_inner_threads, "innerthreads 1 10");
}

/* Longer than what is kept: the innermost 64, marked. */
static void expect_deep(const char *program, const char *arguments)
{
	run(program, arguments);
	e2e_reread();
	e2e_true(".processes[0].sites | map(select(.kind == \"pin\")) | length == 2 and all(.count == 20 and "
	         ".truncated and ([.frames[] | select(.inlined | not)] | length == 64 and (.[:3] + .[4:] | "
	         ".[-1].function == \"main.deep\")))");
}

Test(gostack, stacks_deeper_than_what_is_kept_are_cut_and_marked)
{
	cpu_number(1);
	each_go_program("stacks", expect_deep, "deep 4 10");
}

/* A rule about Go functions is one about the C code that they call, and the other way round. */
static void expect_judged(const char *program, const char *arguments)
{
	char command[8192];

	snprintf(command, sizeof(command), "%s %s", program, arguments);
	policy("[ban \"b\"]\nfunction = main.worker\n");
	enforced(command, "", "{\"ban:b\": 80}");
	e2e_true("[.processes[] | .affinity.denied] == [80] and .processes[0].pins.opened == 0");
	policy("[ban \"b\"]\nfunction = main.left\n");
	enforced(command, "", "{\"ban:b\": 40}");
	e2e_true("[.processes[] | .affinity.denied] == [40] and .processes[0].pins.opened == 40");
	snprintf(command, sizeof(command), "%s callbacks 4 10", program);
	policy("[ban \"b\"]\nfunction = main.calls\n");
	enforced(command, "", "{\"ban:b\": 40}");
	policy("[ban \"b\"]\nfunction = crosscall2\ncall = raw\n[allow \"a\"]\nfunction = main.worker\n");
	enforced(command, "", "{\"ban:b\": 40}");
}

Test(gostack, rules_on_functions_reach_across)
{
	cpu_number(1);
	each_go_program("stacks", expect_judged, "calls 8 10");
}
