/* SPDX-License-Identifier: MIT
 *
 * What is left of damaged traces: copied without the damage, and nothing else left out.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reports/commands.h"
#include "reports/reader.h"
#include "tests/report_rig.h"

TestSuite(recover, .init = make_folder, .fini = remove_folder);

/* What a reader delivers of a file. */
struct content {
	uint64_t records, slots, rules, problems;
	uint64_t sum; /* of records, whatever order kinds come in, and of slots and cells of rules */
};

static uint64_t hash(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

static void see_record(void *arg, const struct pinw_read_record *rec)
{
	struct content *c = arg;

	c->records++;
	c->sum += hash(rec->payload, PINW_CELL_PAYLOAD) * (rec->type + 1u);
	for (unsigned i = 0; i < rec->mask_count; i++)
		c->sum += rec->masks[i] * (i + 3u);
	c->sum += rec->text ? hash(rec->text, rec->text_len) : 0;
	c->sum += rec->frames ? hash(rec->frames, rec->site->frames * sizeof(*rec->frames)) : 0;
}

static void see_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct content *c = arg;

	c->slots++;
	c->sum += hash(slot, sizeof(*slot)) + mask[0];
}

static void see_rule(void *arg, const struct pinw_rule_cell *cell)
{
	struct content *c = arg;

	c->rules++;
	c->sum += hash(cell, sizeof(*cell));
}

static struct content walk(struct pinw_reader *r)
{
	struct content c = {0};
	struct pinw_problem one;

	cr_assert_eq(pinw_reader_walk(r, see_record, see_slot, &c), 0);
	cr_assert_eq(pinw_reader_rules(r, see_rule, &c), 0);
	c.problems = pinw_reader_problems(r, &one, 1);
	return c;
}

static struct content content_of(const char *path)
{
	struct pinw_reader *r;

	cr_assert_eq(pinw_reader_open(path, &r), 0, "%s", path);
	struct content c = walk(r);
	pinw_reader_free(r);
	return c;
}

/* Copies what is left of an image, if it is a trace at all, and holds the copy against it. Returns what was left. */
static struct content expect_clean_copy(const void *image, size_t bytes, const char *what)
{
	struct pinw_reader *r = NULL;
	struct pinw_reader_copied copied;
	struct content before = {0};

	if (pinw_reader_open_fd(pinw_builder_memory_file(image, bytes), &r) < 0)
		return before;
	before = walk(r);
	pinw_reader_free(r);
	cr_assert_eq(pinw_reader_open_fd(pinw_builder_memory_file(image, bytes), &r), 0);
	FILE *out = fopen(in_folder("copy"), "w");
	cr_assert_not_null(out);
	cr_assert_eq(pinw_reader_copy(r, out, &copied), 0, "%s", what);
	cr_assert_eq(fclose(out), 0);
	pinw_reader_free(r);
	struct content after = content_of(in_folder("copy"));
	cr_assert_eq(after.problems, 0, "%s", what);
	cr_assert_eq(after.records, before.records, "%s", what);
	cr_assert_eq(after.slots, before.slots, "%s", what);
	cr_assert_eq(after.rules, before.rules, "%s", what);
	cr_assert_eq(after.sum, before.sum, "%s", what);
	cr_assert_eq(copied.records, before.records, "%s", what);
	return before;
}

/* A process with records over several segments, a policy and live threads, as bytes. */
static unsigned char *whole_image(size_t *ret_bytes)
{
	struct pinw_builder b;

	tell_breaches(&b, PINW_MODE_ENFORCE);
	b.event_segment_bytes = PINW_SEGMENT_ALIGN;
	for (uint32_t i = 0; i < 100; i++)
		pinw_builder_name(&b, 9000 + i, 1, 2, "renamed");
	pinw_builder_exec(&b, 9500, "/usr/bin/next", 0, 2);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 3);
	unsigned char *image = pinw_builder_image(&b, ret_bytes);
	pinw_builder_done(&b);
	return image;
}

Test(recover, copies_all_of_a_whole_trace)
{
	size_t bytes;
	unsigned char *image = whole_image(&bytes);
	struct content all = expect_clean_copy(image, bytes, "whole");

	cr_expect_eq(all.problems, 0);
	cr_expect_gt(all.records, 100);
	cr_expect_gt(all.slots, 0);
	cr_expect_gt(all.rules, 1);
	free(image);
}

Test(recover, keeps_what_checks_when_any_cell_is_damaged, .timeout = 300)
{
	size_t bytes;
	unsigned char *image = whole_image(&bytes);
	struct content all = expect_clean_copy(image, bytes, "whole");
	unsigned damaged = 0, lost = 0;

	for (size_t at = PINW_SEGMENTS_OFFSET; at < bytes; at += PINW_CELL_BYTES) {
		static const unsigned char offsets[] = {0, 1, 2, 6, 17, 40};
		size_t place = at + offsets[at / PINW_CELL_BYTES % sizeof(offsets)];
		char what[64];

		snprintf(what, sizeof(what), "bit at %zu", place);
		image[place] ^= 0x10;
		struct content left = expect_clean_copy(image, bytes, what);
		image[place] ^= 0x10;
		damaged += left.problems != 0;
		lost += left.records < all.records;
	}
	cr_expect_gt(damaged, 100);
	cr_expect_gt(lost, 100);
	free(image);
}

Test(recover, keeps_what_is_before_the_end_of_a_cut_file, .timeout = 300)
{
	size_t bytes;
	unsigned char *image = whole_image(&bytes);
	uint64_t most = expect_clean_copy(image, bytes, "whole").records;
	uint64_t last = 0;

	for (size_t len = PINW_HEADER_BYTES; len < bytes; len += 520) {
		char what[64];

		snprintf(what, sizeof(what), "cut to %zu", len);
		struct content left = expect_clean_copy(image, len, what);
		cr_assert_geq(left.records, last, "a longer rest has no less");
		cr_assert_leq(left.records, most);
		last = left.records;
	}
	cr_expect_gt(last, 100);
	free(image);
}

Test(recover, mends_the_header)
{
	size_t bytes;
	unsigned char *image = whole_image(&bytes);

	image[offsetof(struct pinw_trace_header, cpus_online)] ^= 1;
	cr_expect_eq(expect_clean_copy(image, bytes, "sum").problems, 1);
	memset(image + offsetof(struct pinw_trace_header, exe_len), 0xff, 4);
	cr_expect_eq(expect_clean_copy(image, bytes, "length").problems, 2);
	free(image);
}

/* ---- the commands ---------------------------------------------------------------------------- */

static void put_file(const char *name, const void *data, size_t len)
{
	FILE *f = fopen(in_folder(name), "w");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(data, 1, len, f), len);
	cr_assert_eq(fclose(f), 0);
}

static void put_traces(void)
{
	size_t bytes;
	unsigned char *image = whole_image(&bytes);

	put_file("whole.pwt", image, bytes);
	image[bytes - PINW_SEGMENT_ALIGN + PINW_CELL_BYTES + 20] ^= 1;
	put_file("bad.pwt", image, bytes);
	put_file("text", "no trace", 8);
	free(image);
}

Test(recover, is_told_by_verify)
{
	put_traces();
	cr_expect_eq(run_command(pinw_cmd_verify, in_folder("whole.pwt"), NULL, NULL), 0);
	expect_has(said_in("out"), "whole.pwt: no damage, 1");
	cr_expect_eq(run_command(pinw_cmd_verify, "-q", in_folder("whole.pwt"), NULL), 0);
	cr_expect_str_empty(said_in("out"));
	cr_expect_eq(run_command(pinw_cmd_verify, in_folder("bad.pwt"), NULL, NULL), 1);
	expect_has(said_in("out"), "bad.pwt: 1 problem, ");
	expect_has(said_in("out"), ": record check wrong\n");
	cr_expect_eq(run_command(pinw_cmd_verify, folder, NULL, NULL), 1);
	expect_has(said_in("out"), "bad.pwt: 1 problem");
	expect_has(said_in("out"), "whole.pwt: no damage");
	cr_expect_eq(run_command(pinw_cmd_verify, in_folder("bad.pwt"), in_folder("text"), NULL), 3);
	expect_has(said_in("err"), "text: not a Pinwarden trace");
	cr_expect_eq(run_command(pinw_cmd_verify, in_folder("none"), NULL, NULL), 3);
	cr_expect_eq(run_command(pinw_cmd_verify, NULL, NULL, NULL), 2);
	cr_expect_eq(run_command(pinw_cmd_verify, "-x", in_folder("whole.pwt"), NULL), 2);
}

Test(recover, writes_another_file_and_says_what_is_lost)
{
	put_traces();
	cr_expect_eq(run_command(pinw_cmd_recover, in_folder("bad.pwt"), "-o", in_folder("new")), 1);
	expect_has(said_in("out"), ": record check wrong\n");
	cr_expect_eq(run_command(pinw_cmd_verify, in_folder("new"), NULL, NULL), 0);
	cr_expect_eq(content_of(in_folder("new")).records, content_of(in_folder("bad.pwt")).records);
	cr_expect_eq(run_command(pinw_cmd_recover, in_folder("whole.pwt"), "-o", in_folder("new")), 0);
	expect_has(said_in("out"), "; nothing was lost\n");
	cr_expect_eq(run_command(pinw_cmd_recover, in_folder("text"), "-o", in_folder("other")), 3);
	cr_expect_neq(access(in_folder("other"), F_OK), 0, "no half file");
	cr_expect_eq(run_command(pinw_cmd_recover, in_folder("bad.pwt"), "-o", in_folder("bad.pwt")), 2);
	expect_has(said_in("err"), "this is the trace itself");
	cr_expect_eq(run_command(pinw_cmd_recover, in_folder("bad.pwt"), "-o", "/dev/null"), 2);
	cr_expect_eq(run_command(pinw_cmd_recover, in_folder("bad.pwt"), "-o", "-"), 2);
	cr_expect_eq(run_command(pinw_cmd_recover, in_folder("bad.pwt"), NULL, NULL), 2);
	expect_has(said_in("err"), "type: pinwarden recover TRACE -o FILE");
}

Test(recover, leaves_facts_that_info_shows)
{
	put_traces();
	cr_expect_eq(run_command(pinw_cmd_info, in_folder("whole.pwt"), NULL, NULL), 0);
	char *text = said_in("out");
	expect_harmless(text, true);
	expect_has(text, "  format    version 1, written by ");
	expect_has(text, ", 102 name, ");
	expect_has(text, "  damage    none\n");
	cr_expect_eq(run_command(pinw_cmd_info, in_folder("bad.pwt"), NULL, NULL), 3);
	expect_has(said_in("out"), "  damage    1 problem; see: pinwarden verify\n");
	cr_expect_eq(run_command(pinw_cmd_info, "-fjson", in_folder("bad.pwt"), NULL), 3);
	expect_has(said_in("out"), "\"what\": \"record check wrong\"");
	cr_expect_eq(run_command(pinw_cmd_info, in_folder("text"), NULL, NULL), 3);
	cr_expect_eq(run_command(pinw_cmd_info, folder, NULL, NULL), 3);
	expect_has(said_in("out"), "bad.pwt\n");
	expect_has(said_in("out"), "whole.pwt\n");
	cr_expect_eq(run_command(pinw_cmd_info, in_folder("bad.pwt"), "-o", in_folder("bad.pwt")), 2);
	cr_expect_eq(run_command(pinw_cmd_info, folder, "-o", in_folder("bad.pwt")), 2,
	             "it is in the folder");
	cr_expect_eq(run_command(pinw_cmd_info, "-fxml", in_folder("bad.pwt"), NULL), 2);
	cr_expect_eq(run_command(pinw_cmd_info, NULL, NULL, NULL), 2);
}
