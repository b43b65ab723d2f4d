/* SPDX-License-Identifier: MIT
 *
 * The HTML report in a real browser, without a network: tests/consumers/page.js uses it as a person would. In the same
 * browser, speedscope opens chrome and folded.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e.h"

TestSuite(html, .fini = e2e_done);
TestSuite(speedscope, .fini = e2e_done, .timeout = 180);

static void needs_browser(void)
{
	char path[PATH_MAX];

	cr_assert_not_null(realpath(getenv("PINW_BUILD") ? getenv("PINW_BUILD") : "build", path));
	strncat(path, "/consumers/node_modules", sizeof(path) - strlen(path) - 1);
	setenv("PINW_CONSUMERS", path, 1);
	strncat(path, "/playwright-core", sizeof(path) - strlen(path) - 1);
	e2e_needs(access(path, R_OK) == 0, "playwright-core is not installed (tests/consumers/install)");
	e2e_needs(access("/usr/bin/chromium", X_OK) == 0, "there is no chromium");
}

/* Opens the page; `expression` (without spaces) must be true of what is found. */
static void expect_page(const char *arguments, const char *expression)
{
	static struct e2e_result r;
	char script[PATH_MAX], command[2 * PATH_MAX];

	cr_assert_not_null(realpath("tests/consumers/page.js", script));
	snprintf(command, sizeof(command), "node %s %%d/report.html %s", script, arguments);
	const struct e2e_result *page = e2e_status(0, command);
	e2e_write("found.json", page->out);
	snprintf(command, sizeof(command), "jq -e %s %%d/found.json", expression);
	e2e_run(&r, command);
	cr_assert_eq(r.status, 0, "%s is not true of %s", expression, page->out);
}

Test(html, draws_unfolds_and_filters)
{
	needs_browser();
	e2e_status(0, "@@ run -q -o %d/t/ -- @pin_exit");
	e2e_status(0, "@@ report -f html -o %d/report.html %d/t");
	expect_page("pin_and_forget returns",
	            "[.errors==[],.requests==0,.drawn==.canvases,.drawn>=2,.folded,.unfolded,.folds,"
	            ".rows>.filtered,.filtered>0,.others==0,.back==.rows,.zoomed,.unzoomed,"
	            "(.verdict|contains(\"nothing\"))]|all");
}

Test(html, is_whole_without_a_script_and_for_every_kind_of_program)
{
	needs_browser();
	e2e_status(0, "@@ run -q -o %d/t/ -- @pin_exit");
	e2e_status(0, "@@ run -q -o %d/t/ -- @children");
	e2e_status(0, "@@ run -q -o %d/t/ -- /bin/true");
	e2e_status(0, "@@ report -f html -o %d/report.html %d/t");
	expect_page("", ".errors==[]and.requests==0and.plain_tables>=4");
}

/* Names that would end the script, open a tag or hide what follows. */
Test(html, takes_hostile_names_for_text)
{
	needs_browser();
	e2e_write(
	    "odd.c",
	    "#include <sys/prctl.h>\nint main(void) { return prctl(PR_SET_NAME, \"</script>&<b>\"); }\n");
	e2e_write("odd.sh", "mkdir -p $1/odd && gcc -o \"$1/odd/$(printf '<img src=x "
	                    "onerror=alert(1)>\\001\\377')\" $1/odd.c &&\n"
	                    "$2 run -q -o $1/t/odd.pwt -- \"$1\"/odd/*\n");
	e2e_status(0, "bash %d/odd.sh %d @@");
	e2e_status(0, "@@ report -f html -o %d/report.html %d/t");
	expect_page("", ".errors==[]and.requests==0and(.title|contains(\"<img\"))");
}

/* The page of a trace that tests/bench/make_trace makes. */
static void make_page(const char *what)
{
	char path[PATH_MAX], command[2 * PATH_MAX], *build = getenv("PINW_BUILD");

	snprintf(path, sizeof(path), "%s/bench/make_trace", build ? build : "build");
	e2e_needs(access(path, X_OK) == 0, "make_trace is not built");
	snprintf(command, sizeof(command), "%s %s %%d/made.pwt", path, what);
	e2e_status(0, command);
	e2e_status(0, "@@ report -f html -o %d/report.html %d/made.pwt");
}

/* 10,000 threads, of which every tenth leaks its pin: lanes are of the whole run, and of leaks alone. */
Test(html, has_lanes_of_the_whole_run_and_says_what_is_left_out)
{
	make_page("threads 40000");
	e2e_write("lanes.sh",
	          "sed -n '/class=\"data\"/,/<.script>/p' $1/report.html | sed '1d;$d' | jq -e \"$2\"\n");
	e2e_status(0, "bash %d/lanes.sh %d .lanes|length==500");
	e2e_status(0, "bash %d/lanes.sh %d .left_out==9501");
	e2e_status(0, "bash %d/lanes.sh %d [.lanes[][0]]|first<100and(last>9900)and(map(.%10==2)|all)");
	e2e_status(0, "grep -q Coverage:.not.compared %d/report.html");
	e2e_status(0, "grep -q <h3>Advice</h3> %d/report.html");
}

/* 500 threads and 20,000 pins of theirs: a page stays small, however long the trace. */
Test(html, stays_small)
{
	struct stat st;
	char path[PATH_MAX];

	make_page("lanes 200000");
	snprintf(path, sizeof(path), "%s/report.html", e2e_dir());
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_lt(st.st_size, 5 << 20);
	e2e_status(0, "grep -qE .apart.:.[1-9] %d/report.html");
	needs_browser();
	expect_page("", ".errors==[]and.drawn==3");
}

/* ---- another page that reads profiles ----------------------------------------------------------- */

static const char *shown_by_speedscope(const char *file)
{
	char script[PATH_MAX], command[2 * PATH_MAX];

	cr_assert_not_null(realpath("tests/consumers/speedscope.js", script));
	snprintf(command, sizeof(command), "node %s %%d/%s", script, file);
	return e2e_status(0, command)->out;
}

static void expect_shown(const char *file, const char *part)
{
	const char *shown = shown_by_speedscope(file);

	cr_expect_not_null(strstr(shown, "{\"errors\":[]"), "%s: %s", file, shown);
	cr_expect_not_null(strstr(shown, part), "%s: no %s in %s", file, part, shown);
}

Test(speedscope, opens_what_is_meant_for_it_and_nothing_else)
{
	char path[PATH_MAX + 16];

	needs_browser();
	snprintf(path, sizeof(path), "%s/speedscope", getenv("PINW_CONSUMERS"));
	e2e_needs(access(path, R_OK) == 0, "speedscope is not installed (tests/consumers/install)");
	e2e_status(0, "@@ run -q -o %d/t/ -- @pin_exit");
	e2e_status(0, "@@ report -f chrome -o %d/chrome.json %d/t");
	e2e_status(0, "@@ report -f folded --weight=pins -o %d/folded.txt %d/t");
	expect_shown("chrome.json", "pin_exit (tid ");
	expect_shown("folded.txt", "folded.txt");
	e2e_write("none.txt", "no profile");
	cr_expect_null(strstr(shown_by_speedscope("none.txt"), "{\"errors\":[]"));
}
