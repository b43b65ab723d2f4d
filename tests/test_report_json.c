/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/json.h"
#include "tests/report_rig.h"

TestSuite(report_json, .init = make_folder, .fini = remove_folder);

Test(report_json, sums_processes_up_in_the_totals)
{
	struct pinw_builder b;

	tell_much(&b);
	write_trace(&b, "a.pwt");
	tell_much(&b);
	memset(b.header.self.nonce, 7, 16);
	b.header.self.pid = 9;
	write_trace(&b, "b.pwt");
	char *text = render(JSON);
	const char *totals = strstr(text, "\"totals\"");
	cr_assert_not_null(totals);
	expect_has(totals, "\"created\": 4, \"adopted\": 2,");
	expect_has(totals, "\"exit-while-pinned\": 2, \"pinned-at-end\": 0, \"unjoined\": 0, \"inherited\": "
	                   "2, \"growth\": 0");
	free(text);
}

Test(report_json, names_the_parent_only_when_its_trace_is_there)
{
	struct pinw_builder b;

	tell_nothing(&b, 100, 1);
	write_trace(&b, "a.pwt");
	tell_nothing(&b, 101, 100);
	write_trace(&b, "b.pwt");
	tell_nothing(&b, 101, 100);
	b.header.start_mono_ns += SECOND; /* by exec: the parent is still 100 */
	write_trace(&b, "c.pwt");
	char *text = render(JSON);
	expect_has(text, "\"parent\": null");
	const char *child = strstr(text, "\"pid\": 101,");
	cr_assert_not_null(child);
	expect_has(child, "\"parent\": {\"pid\": 100}");
	const char *image = strstr(child + 1, "\"pid\": 101,");
	cr_assert_not_null(image);
	expect_has(image, "\"parent\": {\"pid\": 100}");
	expect_has_not(text, "\"parent\": {\"pid\": 101}");
	free(text);
}

Test(report_json, counts_violations_by_label_in_every_process_and_in_the_totals)
{
	struct pinw_builder b;

	tell_breaches(&b, PINW_MODE_ENFORCE);
	write_trace(&b, "a.pwt");
	tell_breaches(&b, PINW_MODE_AUDIT);
	memset(b.header.self.nonce, 7, 16);
	b.header.self.pid = 9;
	b.live.counters.violations += 2;
	write_trace(&b, "b.pwt");
	char *text = render(JSON);
	expect_has(text, "\"violations\": {\"ban:per\\u001b[2J-request\": 5, \"caps:max_threads\": 1, "
	                 "\"leak:exit_while_pinned\": 1, \"leak:inherited\": 1, \"require:workers\": 2}");
	expect_has(text,
	           "\"label\": \"caps:max_threads\", \"line\": 11, \"action\": \"crash\", \"matched\": 1, "
	           "\"violations\": 1, \"done\": 1, \"watched\": 0, \"last_ns\": 2000000000, "
	           "\"last_thread\": null, \"exact\": true");
	expect_has(text, "{\"rule\": \"caps:max_threads\", \"action\": \"crash\", \"done\": \"would\", "
	                 "\"attempt\": \"create\", \"site\": 3, \"count\": 1, \"threads\": [1], "
	                 "\"first_ns\": 2000000000, \"last_ns\": 2000000000, \"mask\": null, \"value\": 65, "
	                 "\"limit\": 64, \"errno\": null}");
	expect_has(text, "\"done\": \"denied\", \"attempt\": \"pin\", \"site\": 2, \"count\": 5, "
	                 "\"threads\": [2, 3, 4], \"first_ns\": 1000000000, \"last_ns\": 1040000000, "
	                 "\"mask\": \"1\", \"value\": null, \"limit\": null, \"errno\": 1}");
	const char *totals = strstr(text, "\"totals\"");
	cr_assert_not_null(totals);
	expect_has(totals, "\"violations\": {\"ban:per\\u001b[2J-request\": 10, \"caps:max_threads\": 2, "
	                   "\"leak:exit_while_pinned\": 2, \"leak:inherited\": 2, \"require:workers\": 4, "
	                   "\"unknown\": 2}");
	expect_has(totals, "\"external\": 0, \"denied\": 5}");
	free(text);
}

/* Every shape a document can have, against the schema. */
Test(report_json, keeps_the_contract)
{
	static const char script[] =
	    "import json,sys,jsonschema\n"
	    "schema=json.load(open('tests/report.schema.json'))\n"
	    "jsonschema.Draft202012Validator.check_schema(schema)\n"
	    "jsonschema.Draft202012Validator(schema).validate(json.load(open(sys.argv[1])))\n";
	char command[1024];
	struct pinw_builder b;

	if (system("python3 -c 'import jsonschema; jsonschema.Draft202012Validator' 2>/dev/null") != 0)
		cr_skip_test("python3-jsonschema is not installed");
	if (access("tests/report.schema.json", R_OK) != 0)
		cr_skip_test("not run from the top of the source tree");
	tell_much(&b);
	b.live.counters.events_dropped = 3;
	write_trace(&b, "a.pwt");
	tell_nothing(&b, 101, 4711);
	b.live.end_how = PINW_END_NONE;
	write_trace(&b, "b.pwt");
	tell_nothing(&b, 102, 101);
	b.live.end_how = PINW_END_EXEC;
	b.header.baseline[0] = 1;
	write_trace(&b, "c.pwt");
	tell_of_myself(&b, 0);
	write_trace(&b, "d.pwt");
	cr_assert_eq(truncate(in_folder("d.pwt"), 13000), 0);
	fclose(fopen(in_folder("e.pwt"), "we"));
	tell_breaches(&b, PINW_MODE_ENFORCE);
	b.header.self.pid = 5;
	write_trace(&b, "f.pwt");
	tell_breaches(&b, PINW_MODE_AUDIT);
	b.header.self.pid = 6;
	b.live.counters.violations = 99;
	write_trace(&b, "g.pwt");
	tell_breaches(&b, PINW_MODE_AUDIT);
	b.header.self.pid = 7;
	b.meta.count = 0;
	write_trace(&b, "h.pwt");
	tell_golocks(&b);
	b.header.self.pid = 8;
	write_trace(&b, "i.pwt");
	char *text = render(JSON);
	FILE *f = fopen(in_folder("out.json"), "we");
	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
	free(text);
	snprintf(command, sizeof(command), "python3 -c \"%s\" %s", script, in_folder("out.json"));
	cr_expect_eq(system(command), 0);
}

Test(json, writes_nothing_but_json)
{
	static const char nasty[] = "q\"b\\n\nu\xc3\xa9w\xf0\x9f\x98\x80"
	                            "bad\xff"
	                            "cut\xe2\x82";
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct pinw_json j;

	pinw_json_init(&j, out);
	pinw_json_begin_object(&j, NULL);
	pinw_json_begin_array(&j, "empty");
	pinw_json_end_array(&j);
	pinw_json_begin_line_array(&j, "line");
	pinw_json_number(&j, NULL, 0);
	pinw_json_number(&j, NULL, UINT64_MAX);
	pinw_json_bool(&j, NULL, true);
	pinw_json_null(&j, NULL);
	pinw_json_end_array(&j);
	pinw_json_text(&j, "te\txt", nasty);
	pinw_json_end_object(&j);
	cr_expect_eq(pinw_json_done(&j), 0);
	fclose(out);
	cr_expect_str_eq(text, "{\n \"empty\": [],\n \"line\": [0, 18446744073709551615, true, null],\n"
	                       " \"te\\u0009xt\": \"q\\\"b\\\\n\\u000au\xc3\xa9w\xf0\x9f\x98\x80"
	                       "bad\xef\xbf\xbd"
	                       "cut\xef\xbf\xbd\xef\xbf\xbd\"\n}\n");
	free(text);
}

Test(json, keeps_the_error_of_a_full_disk)
{
	FILE *full = fopen("/dev/full", "we");
	struct pinw_json j;

	cr_assert_not_null(full);
	pinw_json_init(&j, full);
	pinw_json_begin_object(&j, NULL);
	pinw_json_end_object(&j);
	cr_expect_eq(pinw_json_done(&j), -ENOSPC);
	fclose(full);
}
