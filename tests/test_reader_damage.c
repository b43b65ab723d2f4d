/* SPDX-License-Identifier: MIT
 *
 * What is damaged in a trace is named, stepped over, and believed nowhere.
 */
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"
#include "tests/reader_rig.h"

/* ---- cut off, or a bit flipped ------------------------------------------------------- */

Test(reader_damage, survives_and_names_every_truncation)
{
	struct pinw_builder b;
	struct seen seen, whole;
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	walk_bytes(image, bytes, &whole, NULL, NULL);
	unsigned before = 0;
	for (size_t cut = 0; cut < bytes; cut += PINW_CELL_BYTES) {
		if (cut < PINW_HEADER_BYTES) {
			int error;
			cr_assert_null(open_bytes(image, cut, &error));
			cr_assert_eq(error, PINW_READ_EMPTY, "cut at %zu", cut);
			continue;
		}
		cr_assert_gt(walk_bytes(image, cut, &seen, NULL, NULL), 0, "cut at %zu not noticed", cut);
		cr_assert_geq(seen.all, before, "cut at %zu", cut);
		before = seen.all;
	}
	cr_expect_eq(before, whole.all, "only the empty end of the last segment was missing");
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, names_the_record_in_which_a_bit_flipped_and_delivers_the_others)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_problem problem = {0};
	size_t bytes;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 100; i++)
		pinw_builder_join(&b, i, 1, i + 2);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	size_t first = segment_at(image, bytes, PINW_SEG_EVENTS) + sizeof(struct pinw_segment);
	for (size_t bit = 0; bit < PINW_CELL_BYTES * 8; bit++) {
		size_t cell = first + (bit % 98 + 1) * PINW_CELL_BYTES;
		image[cell + bit / 8] ^= (unsigned char)(1u << bit % 8);
		uint64_t problems = walk_bytes(image, bytes, &seen, NULL, &problem);
		cr_assert_eq(seen.all, 99, "bit %zu: %u records", bit, seen.all);
		cr_assert_eq(problems, 1, "bit %zu: %lu problems", bit, (unsigned long)problems);
		cr_assert_eq(problem.offset, cell, "bit %zu named at %lu", bit,
		             (unsigned long)problem.offset);
		image[cell + bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, survives_a_flip_of_any_bit_of_the_first_bytes_of_every_cell)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	for (size_t at = PINW_LIVE_OFFSET; at < bytes; at += PINW_CELL_BYTES)
		for (unsigned bit = 0; bit < 128; bit += 3) {
			image[at + bit / 8] ^= (unsigned char)(1u << bit % 8);
			walk_bytes(image, bytes, &seen, NULL, NULL);
			image[at + bit / 8] ^= (unsigned char)(1u << bit % 8);
		}
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 0);
	free(image);
	pinw_builder_done(&b);
}

/* ---- records that cannot be ---------------------------------------------------------- */

/* The sum of a record that a test changed, put right again. */
static void reseal(unsigned char *first_cell)
{
	struct pinw_cell cell;
	uint64_t sum;

	memcpy(&cell, first_cell, sizeof(cell));
	unsigned cells = cell.head.cells;
	cell.head.check = 0;
	memcpy(&sum, &cell.head, sizeof(sum));
	sum = pinw_check_step(0, sum);
	for (unsigned i = 0; i < cells; i++) {
		struct pinw_cell c;
		memcpy(&c, first_cell + (size_t)i * sizeof(c), sizeof(c));
		for (unsigned w = 0; w < PINW_CELL_PAYLOAD / 8; w++)
			sum = pinw_check_step(sum, c.payload[w]);
	}
	cell.head.check = pinw_check_fold(sum);
	memcpy(first_cell, &cell.head, sizeof(cell.head));
}

/* Changes one record of the story and expects it, and only it, to be refused with this phrase. */
static void expect_refused(uint32_t segment, size_t record_cell, size_t field, uint16_t value,
                           const char *phrase)
{
	struct pinw_builder b;
	struct seen seen, whole;
	struct pinw_problem problem = {0};
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	walk_bytes(image, bytes, &whole, NULL, NULL);
	unsigned char *cell = image + segment_at(image, bytes, segment) + (1 + record_cell) * PINW_CELL_BYTES;
	memcpy(cell + field, &value, sizeof(value));
	reseal(cell);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, &problem), 1, "%s", phrase);
	cr_expect_str_eq(problem.what, phrase);
	cr_expect_eq(problem.offset, (uint64_t)(cell - image));
	cr_expect_eq(seen.all, whole.all - 1);
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, refuses_counts_larger_than_their_record)
{
	size_t payload = sizeof(struct pinw_cell_head);
	size_t site_cell = 2; /* after the module's two cells */

	expect_refused(PINW_SEG_META, 0, payload + offsetof(struct pinw_rec_module, path_len), 60000,
	               "path longer than its record");
	expect_refused(PINW_SEG_META, 0, payload + offsetof(struct pinw_rec_module, build_id_len), 33,
	               "build id longer than its field");
	expect_refused(PINW_SEG_META, site_cell, payload + offsetof(struct pinw_rec_site, frames), 3,
	               "more frames than fit their record");
	expect_refused(PINW_SEG_META, site_cell, payload + offsetof(struct pinw_rec_site, frames), 65535,
	               "more frames than fit their record");
	expect_refused(PINW_SEG_META, site_cell, offsetof(struct pinw_cell_head, bytes), 7,
	               "record too short for its type");
	expect_refused(PINW_SEG_META, site_cell, offsetof(struct pinw_cell_head, bytes), 65535,
	               "record head damaged");
	expect_refused(PINW_SEG_EVENTS, 1, offsetof(struct pinw_cell_head, bytes), 40,
	               "record too short for its masks");
}

/* Number of the story's first cell of that type, among events or metadata. */
static size_t cell_of(uint8_t type)
{
	struct pinw_builder b;

	tell_every_record(&b);
	const struct pinw_builder_region *region = type < PINW_REC_MODULE ? &b.events : &b.meta;
	for (size_t i = 0; i < region->count; i++)
		if (region->cells[i].head.type == type) {
			pinw_builder_done(&b);
			return i;
		}
	cr_assert_fail("no record of type %u", type);
	return 0;
}

Test(reader_damage, refuses_what_no_policy_can_have_said)
{
	size_t payload = sizeof(struct pinw_cell_head);
	size_t policy_cell = cell_of(PINW_REC_POLICY);
	size_t rule_cell = cell_of(PINW_REC_RULE);
	size_t violation_cell = cell_of(PINW_REC_VIOLATION);

	expect_refused(PINW_SEG_META, policy_cell, payload + offsetof(struct pinw_rec_policy, path_len),
	               60000, "path longer than its record");
	expect_refused(PINW_SEG_META, policy_cell, payload + offsetof(struct pinw_rec_policy, rules), 4097,
	               "more rules than a policy can have");
	expect_refused(PINW_SEG_META, rule_cell, payload + offsetof(struct pinw_rec_rule, label_len), 60000,
	               "label longer than its record");
	expect_refused(PINW_SEG_META, rule_cell, payload + offsetof(struct pinw_rec_rule, id), 0,
	               "rule with an id that no rule has");
	expect_refused(PINW_SEG_META, rule_cell, payload + offsetof(struct pinw_rec_rule, id), 4097,
	               "rule with an id that no rule has");
	expect_refused(PINW_SEG_META, rule_cell, payload + offsetof(struct pinw_rec_rule, section), 8,
	               "rule of an unknown section");
	expect_refused(PINW_SEG_META, rule_cell, payload + offsetof(struct pinw_rec_rule, section), 0x0501,
	               "rule with an unknown action");
	expect_refused(PINW_SEG_EVENTS, violation_cell, payload + offsetof(struct pinw_rec_violation, rule),
	               0, "violation of a rule that no policy has");
	expect_refused(PINW_SEG_EVENTS, violation_cell, payload + offsetof(struct pinw_rec_violation, action),
	               0x0702, "violation that says what cannot be");
	expect_refused(PINW_SEG_EVENTS, violation_cell,
	               payload + offsetof(struct pinw_rec_violation, attempt), 9,
	               "violation that says what cannot be");
	expect_refused(PINW_SEG_EVENTS, violation_cell, offsetof(struct pinw_cell_head, bytes), 48,
	               "record too short for its masks");
}

/* ---- the table of rules -------------------------------------------------------------- */

/* The cells of rules of a story whose table a test damaged; returns the problems. */
static uint64_t walk_damaged_rules(size_t cell, size_t field, uint32_t value, struct seen *seen,
                                   struct pinw_problem *first)
{
	struct pinw_builder b;
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	size_t at = segment_at(image, bytes, PINW_SEG_RULES) + (1 + cell) * PINW_CELL_BYTES;
	memcpy(image + at + field, &value, sizeof(value));
	uint64_t problems = walk_bytes(image, bytes, seen, NULL, first);
	if (problems)
		cr_expect_eq(first->offset, at);
	free(image);
	pinw_builder_done(&b);
	return problems;
}

Test(reader_damage, leaves_out_damaged_cells_of_rules_and_names_them)
{
	struct pinw_problem problem = {0};
	struct seen seen;

	cr_expect_eq(walk_damaged_rules(0, 0, 7, &seen, &problem), 1);
	cr_expect_str_eq(problem.what, "rule cell damaged");
	cr_expect_eq(seen.rules, 2, "the second one is whole");
	cr_expect_eq(seen.violations, 0);
	cr_expect_eq(walk_damaged_rules(1, 0, 0, &seen, &problem), 0, "all zero: a rule's place, unused");
	cr_expect_eq(seen.rules, 1);
	cr_expect_eq(walk_damaged_rules(5, 8, 1, &seen, &problem), 1, "counts of nobody");
	cr_expect_eq(seen.violations, 1);
}

/* Tables of rules that nobody wrote: too long, or two of them. */
Test(reader_damage, bounds_the_table_of_rules)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_problem problem = {0};
	size_t bytes;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < PINW_POLICY_RULES_MAX + 200; i++)
		pinw_builder_rule(&b, 1, PINW_SECTION_BAN, PINW_ACTION_LOG, "ban:x");
	b.meta.count = 0;
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, &problem), 1);
	cr_expect_str_eq(problem.what, "more rules than a policy can have");
	cr_expect_eq(seen.rules, PINW_POLICY_RULES_MAX);
	free(image);
	pinw_builder_done(&b);

	tell_every_record(&b);
	image = pinw_builder_image(&b, &bytes);
	size_t slots = segment_at(image, bytes, PINW_SEG_SLOTS);
	memcpy(image + slots, image + segment_at(image, bytes, PINW_SEG_RULES), PINW_SEGMENT_ALIGN);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, &problem), 1);
	cr_expect_str_eq(problem.what, "a second table of rules");
	cr_expect_eq(seen.violations, 1);
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, finds_no_rules_without_a_policy)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	pinw_builder_init(&b, 1);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 0);
	cr_expect_eq(seen.rules, 0);
	free(image);
	pinw_builder_done(&b);
}

/* ---- segments and slots -------------------------------------------------------------- */

Test(reader_damage, refuses_a_record_that_runs_past_its_segment)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_problem problem = {0};
	size_t bytes;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 63; i++) /* one page: the segment head and 63 cells */
		pinw_builder_join(&b, i, 1, 2);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_assert_eq(bytes - segment_at(image, bytes, PINW_SEG_EVENTS), 4096);
	image[bytes - PINW_CELL_BYTES + offsetof(struct pinw_cell_head, cells)] = 255;
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, &problem), 1);
	cr_expect_str_eq(problem.what, "record runs past its segment");
	cr_expect_eq(seen.all, 62);
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, believes_no_segment_length)
{
	static const uint64_t lengths[] = {
	    0, 1, 64, 4095, 4097, 1u << 30, UINT64_MAX, UINT64_MAX - 4095, 1ull << 63};
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	size_t at = segment_at(image, bytes, PINW_SEG_SLOTS);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct pinw_segment s;
		memcpy(&s, image + at, sizeof(s));
		s.bytes = lengths[i];
		s.check = s.kind ^ (uint32_t)s.bytes ^ s.first ^ PINW_SEGMENT_MAGIC;
		memcpy(image + at, &s, sizeof(s));
		cr_expect_gt(walk_bytes(image, bytes, &seen, NULL, NULL), 0, "length %lx",
		             (unsigned long)lengths[i]);
	}
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, believes_no_count_of_reserved_cells)
{
	struct pinw_builder b;
	struct seen seen, whole;
	struct pinw_reader_tally tally;
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	walk_bytes(image, bytes, &whole, NULL, NULL);
	size_t at = segment_at(image, bytes, PINW_SEG_EVENTS) + offsetof(struct pinw_segment, reserved_cells);
	memset(image + at, 0xff, 8);
	cr_expect_eq(walk_bytes(image, bytes, &seen, &tally, NULL), 0);
	cr_expect_eq(seen.all, whole.all);
	memset(image + at, 0, 8);
	cr_expect_eq(walk_bytes(image, bytes, &seen, &tally, NULL), 0);
	cr_expect_eq(seen.all, whole.all, "committed records count, whatever the segment says");
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, finds_the_segments_behind_a_damaged_one)
{
	struct pinw_builder b;
	struct seen seen, whole;
	struct pinw_problem problem = {0};
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	walk_bytes(image, bytes, &whole, NULL, NULL);
	size_t at = segment_at(image, bytes, PINW_SEG_SLOTS);
	image[at] ^= 1;
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, &problem), 1);
	cr_expect_str_eq(problem.what, "segment header damaged");
	cr_expect_eq(problem.offset, at);
	cr_expect_eq(seen.all, whole.all);
	cr_expect_eq(seen.slots, 0);
	memset(image + at, 0, 4);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, &problem), 1);
	cr_expect_str_eq(problem.what, "segment header missing");
	cr_expect_eq(seen.all, whole.all);
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, takes_zeros_at_the_end_for_growth_not_for_damage)
{
	struct pinw_builder b;
	struct seen seen, whole;
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	walk_bytes(image, bytes, &whole, NULL, NULL);
	unsigned char *longer = calloc(1, bytes + 100000);
	cr_assert_not_null(longer);
	memcpy(longer, image, bytes);
	cr_expect_eq(walk_bytes(longer, bytes + 100000, &seen, NULL, NULL), 0);
	cr_expect_eq(seen.all, whole.all);
	/* A segment that was being made: all but its magic is there. */
	memcpy(longer + bytes, image + PINW_SEGMENTS_OFFSET, sizeof(struct pinw_segment));
	memset(longer + bytes, 0, 4);
	cr_expect_eq(walk_bytes(longer, bytes + 100000, &seen, NULL, NULL), 0);
	free(longer);
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, names_slots_that_cannot_be)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_problem problem = {0};
	size_t bytes;

	pinw_builder_init(&b, 1);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 1);
	pinw_builder_slot(&b, 2, PINW_SLOT_RUNNING, 1)->state = 77;
	pinw_builder_slot(&b, 0, PINW_SLOT_RUNNING, 1);
	pinw_builder_slot(&b, 0, PINW_SLOT_CREATED, 1)->busy = 1; /* killed while it was filled */
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, &problem), 2);
	cr_expect_str_eq(problem.what, "slot in an unknown state");
	cr_expect_eq(seen.slots, 1);
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, keeps_a_bounded_list_of_problems_and_counts_all)
{
	struct pinw_problem problems[PINW_PROBLEMS_MAX];
	struct pinw_builder b;
	size_t bytes;
	int error;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 1000; i++)
		pinw_builder_join(&b, i, 1, 2);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	size_t first = segment_at(image, bytes, PINW_SEG_EVENTS) + sizeof(struct pinw_segment);
	for (size_t i = 0; i < 1000; i++)
		image[first + i * PINW_CELL_BYTES + 20] ^= 0x40;
	struct pinw_reader *r = open_bytes(image, bytes, &error);
	cr_assert_eq(error, 0);
	pinw_reader_walk(r, NULL, NULL, NULL);
	memset(problems, 0, sizeof(problems));
	cr_expect_eq(pinw_reader_problems(r, problems, 2), 1000);
	cr_expect_eq(problems[1].offset, first + PINW_CELL_BYTES);
	cr_expect_null(problems[2].what);
	pinw_reader_free(r);
	free(image);
	pinw_builder_done(&b);
}

Test(reader_damage, steps_over_holes_however_long)
{
	struct pinw_segment s = {.magic = PINW_SEGMENT_MAGIC, .kind = PINW_SEG_EVENTS, .bytes = 1ull << 40};
	struct seen seen = {0};
	struct pinw_builder b;
	struct pinw_reader *r;
	size_t bytes;

	pinw_builder_init(&b, 1);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	int fd = pinw_builder_memory_file(image, bytes);
	cr_assert_geq(fd, 0);
	s.reserved_cells = UINT64_MAX;
	s.check = s.kind ^ (uint32_t)s.bytes ^ s.first ^ PINW_SEGMENT_MAGIC;
	for (unsigned i = 0; i < 4; i++) {
		s.kind = i + 1;
		s.check = s.kind ^ (uint32_t)s.bytes ^ s.first ^ PINW_SEGMENT_MAGIC;
		cr_assert_eq(pwrite(fd, &s, sizeof(s), (off_t)(bytes + i * s.bytes)), (ssize_t)sizeof(s));
	}
	cr_assert_eq(ftruncate(fd, (off_t)(bytes + 4 * s.bytes)), 0);
	cr_assert_eq(pinw_reader_open_fd(fd, &r), 0);
	cr_expect_eq(pinw_reader_walk(r, see_record, see_slot, &seen), 0);
	cr_expect_eq(seen.all, 0);
	pinw_reader_free(r);
	free(image);
	pinw_builder_done(&b);
}
