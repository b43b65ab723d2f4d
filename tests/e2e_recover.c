/* SPDX-License-Identifier: MIT
 *
 * Traces of real programs, damaged as disks and hasty copies do it, then checked and mended.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

TestSuite(mend, .fini = e2e_done, .timeout = 120);

static void expect_out(const struct e2e_result *r, const char *part)
{
	cr_expect_not_null(strstr(r->out, part), "no \"%s\" in:\n%s", part, r->out);
}

static void shell(const char *format)
{
	char command[1024];

	snprintf(command, sizeof(command), format, e2e_trace(NULL), e2e_dir());
	cr_assert_eq(system(command), 0, "%s", command);
}

Test(mend, changes_no_report_of_a_whole_trace)
{
	e2e_same("@pin_exit");
	shell("mv %s %s/a.pwt");
	expect_out(e2e_status(0, "@@ verify %d/a.pwt"), "a.pwt: no damage, ");
	expect_out(e2e_status(0, "@@ recover %d/a.pwt -o %d/b.pwt"), "nothing was lost");
	static char before[E2E_TEXT_BYTES];

	strcpy(before, e2e_status(0, "@@ report -f jsonl %d/a.pwt")->out);
	const char *after = e2e_status(0, "@@ report -f jsonl %d/b.pwt")->out;
	cr_assert_gt(strlen(before), 1000);
	char *path = strstr(before, "a.pwt");
	if (path)
		*path = 'b';
	cr_expect_str_eq(before, after);
}

Test(mend, makes_a_clean_trace_of_one_with_a_bad_block_and_no_end)
{
	e2e_same("@pin_exit");
	shell("head -c -3072 %s >%s/a.pwt");
	/* The payload of the first record of the first segment of events. */
	shell("f=%s; cd %s && at=$(LC_ALL=C grep -obUaP 'PSEG\\x03' a.pwt | head -1 | cut -d: -f1) && "
	      "printf DAMAGED! | dd of=a.pwt bs=1 seek=$((at + 72)) conv=notrunc status=none");
	const struct e2e_result *r = e2e_status(1, "@@ verify %d/a.pwt");
	expect_out(r, ": file is shorter than it was when written");
	expect_out(r, ": record check wrong");
	e2e_status(3, "@@ report %d/a.pwt");
	expect_out(e2e_status(1, "@@ recover %d/a.pwt -o %d/b.pwt"),
	           "file is shorter than it was when written");
	expect_out(e2e_status(0, "@@ verify %d/b.pwt"), "b.pwt: no damage, ");
	expect_out(e2e_status(0, "@@ report %d/b.pwt"), "exit-while-pinned");
	expect_out(e2e_status(0, "@@ info %d/b.pwt"), "  damage    none");
}
