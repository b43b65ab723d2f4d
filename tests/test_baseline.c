/* SPDX-License-Identifier: MIT */
#include "reports/baseline.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/report_rig.h"

static struct pinw_table keys;

static void start(void)
{
	make_folder();
	pinw_table_init(&keys, sizeof(bool));
}

static void stop(void)
{
	pinw_table_done(&keys);
	remove_folder();
}

TestSuite(baseline, .init = start, .fini = stop);

static int read_text(const char *text, size_t len)
{
	FILE *f = fopen(in_folder("old.json"), "we");

	cr_assert_not_null(f);
	fwrite(text, 1, len, f);
	fclose(f);
	return pinw_baseline_read(in_folder("old.json"), &keys);
}

static const char whole[] =
    "{\n \"pinwarden\": \"0.1\", \"limits\": [\"a ] \\\" } b\", [], {\"findings\": 1}],\n"
    " \"summary\": {\"new\": 2, \"findings\": [{\"key\": \"ffffffffffffffff\", \"state\": \"new\"}]},\n"
    " \"findings\": [{\"key\": \"00000000000000a1\", \"state\": \"new\", \"message\": \"\\\"key\\\": "
    "\\\"0\\\"\",\n"
    "  \"stack\": [{\"key\": \"1111111111111111\", \"line\": null}]},\n"
    "  {\"rule\": \"ban:x\", \"state\": \"known\", \"key\": \"00000000000000a2\"},\n"
    "  {\"key\": \"00000000000000a3\", \"state\": \"gone\"}]}\n";

Test(baseline, knows_the_findings_that_were_there)
{
	cr_assert_eq(read_text(whole, sizeof(whole) - 1), 0);
	cr_expect_eq(keys.count, 2u);
	cr_expect_not_null(pinw_table_find(&keys, 0xa1));
	cr_expect_not_null(pinw_table_find(&keys, 0xa2));
}

Test(baseline, that_found_nothing_is_one)
{
	static const char none[] = "{\"pinwarden\": \"0.1\", \"findings\": []}";

	cr_expect_eq(read_text(none, sizeof(none) - 1), 0);
	cr_expect_eq(keys.count, 0u);
}

/* Whatever was cut off or altered, it ends, and half a document is none. */
Test(baseline, cut_short_is_none)
{
	for (size_t len = 0; len + 2 < sizeof(whole) - 1; len++)
		cr_expect_eq(read_text(whole, len), -EBADMSG, "%zu bytes", len);
}

Test(baseline, with_any_byte_altered_is_read_to_an_end)
{
	for (size_t i = 0; i < sizeof(whole) - 1; i++)
		for (const char *to = "\"{}[],:\\ \n"; *to; to++) {
			char text[sizeof(whole)];
			memcpy(text, whole, sizeof(whole));
			text[i] = *to;
			int error = read_text(text, sizeof(text) - 1);
			cr_expect(error == 0 || error == -EBADMSG, "%zu: %d", i, error);
		}
}

Test(baseline, is_a_regular_file)
{
	cr_assert_eq(mkfifo(in_folder("fifo"), 0600), 0);
	cr_expect(!pinw_baseline_is_document(in_folder("fifo")));
	cr_expect(!pinw_baseline_is_document(folder));
	cr_expect(!pinw_baseline_is_document(in_folder("nowhere")));
	cr_expect_eq(pinw_baseline_read(in_folder("fifo"), &keys), -EBADMSG);
}
