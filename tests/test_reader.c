/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy.h"
#include "reports/reader.h"
#include "tests/trace_builder.h"

/* What a walk delivered. */
struct seen {
	unsigned records[256];
	unsigned all;
	unsigned slots;
	unsigned rules;
	uint64_t violations; /* in the cells of all rules */
	uint64_t mask_sum; /* first words of every mask */
	unsigned frames;
	char text[PINW_PATH_MAX + 1]; /* last path */
	bool meta_before_event;
	bool meta_before_slot;
	bool slot_before_event;
};

static void see_record(void *arg, const struct pinw_read_record *rec)
{
	struct seen *s = arg;

	s->records[rec->type]++;
	s->all++;
	for (unsigned i = 0; i < rec->mask_count; i++)
		s->mask_sum += rec->masks[i];
	if (rec->text) {
		memcpy(s->text, rec->text, rec->text_len);
		s->text[rec->text_len] = '\0';
	}
	if (rec->type == PINW_REC_SITE)
		s->frames += rec->site->frames;
	bool event = rec->type < PINW_REC_NOTE; /* notes are kept with the metadata here */
	s->slot_before_event = s->slot_before_event || (event && s->slots);
	s->meta_before_event = s->meta_before_event || (event && s->records[PINW_REC_SITE]);
}

static void see_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct seen *s = arg;

	cr_assert_neq(slot->thread, 0);
	s->slots++;
	s->mask_sum += mask[0];
	if (s->records[PINW_REC_SITE])
		s->meta_before_slot = true;
}

static void see_rule(void *arg, const struct pinw_rule_cell *cell)
{
	struct seen *s = arg;

	cr_assert_gt(cell->id, s->rules, "ids ascend");
	s->rules = cell->id;
	s->violations += cell->violations;
}

/* A policy of two rules, of which the first was broken once. */
static void tell_policy(struct pinw_builder *b)
{
	struct pinw_rec_violation v = {.e = {9800, 3, 2},
	                               .rule = 1,
	                               .action = PINW_ACTION_DENY,
	                               .done = PINW_DONE_DENIED,
	                               .attempt = PINW_ATTEMPT_PIN,
	                               .target = 3,
	                               .error = EPERM};

	pinw_builder_policy(b, "/etc/staging.ini", PINW_MODE_ENFORCE, 2);
	pinw_builder_rule(b, 4, PINW_SECTION_BAN, PINW_ACTION_DENY, "ban:handlers");
	pinw_builder_rule(b, 9, PINW_SECTION_CAPS, PINW_ACTION_CRASH, "caps:max_threads");
	pinw_builder_violation(b, &v, 4);
}

/* A story with every record type in it, on two-word masks. */
static void tell_all(struct pinw_builder *b)
{
	static const uint64_t offsets[PINW_FRAMES_MAX] = {0x1000, 0x2000};
	struct pinw_rec_adopt adopt = {.e = {9000, 4, 0}, .tid = 5004, .name = "adopted"};
	struct pinw_rec_external external = {
	    .e = {9500, 4, 0}, .tid = 5004, .effect = PINW_EFFECT_OPEN, .depth = 1};
	const uint64_t masks[4] = {1, 0, 2, 0};

	pinw_builder_init(b, 2);
	pinw_builder_module(b, 1, "/usr/bin/story");
	pinw_builder_site(b, 1, 1, offsets, 2, 0);
	pinw_builder_site(b, 2, 1, offsets, PINW_FRAMES_MAX, PINW_SITE_TRUNCATED);
	pinw_builder_create(b, 1000, 1, 1, 2, PINW_THREAD_ATTR_AFFINITY);
	pinw_builder_start(b, 2000, 2, PINW_ORIGIN_BORN, 1, 1, 1);
	pinw_builder_name(b, 2500, 1, 2, "worker");
	pinw_builder_pin(b, 3000, 2, 2, 2, PINW_EFFECT_MOVE, 2);
	pinw_builder_exit_pinned(b, 4000, 2, PINW_ORIGIN_BORN, 1, 1, 2000);
	pinw_builder_join(b, 5000, 1, 2);
	pinw_builder_create(b, 6000, 1, 1, 3, 0);
	pinw_builder_detach(b, 7000, 1, 3);
	pinw_builder_event(b, PINW_REC_THREAD_ADOPT, &adopt, sizeof(adopt), masks, 16);
	pinw_builder_event(b, PINW_REC_PIN_EXTERNAL, &external, sizeof(external), masks, 32);
	pinw_builder_exec(b, 10000, "/bin/true", 0, 0);
	pinw_builder_note(b, PINW_NOTE_CHROOT, 0);
	tell_policy(b);
	pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 3);
	pinw_builder_slot(b, 3, PINW_SLOT_RUNNING, 3);
}

static struct pinw_reader *open_bytes(const void *data, size_t bytes, int *ret_error)
{
	struct pinw_reader *r = NULL;
	int fd = pinw_builder_memory_file(data, bytes);

	cr_assert_geq(fd, 0);
	*ret_error = pinw_reader_open_fd(fd, &r);
	return r;
}

/* Reads an image; returns how many problems it had. Fails the test when it cannot be opened. */
static uint64_t walk_bytes(const void *data, size_t bytes, struct seen *seen, struct pinw_reader_tally *tally,
                           struct pinw_problem *first)
{
	int error;
	struct pinw_reader *r = open_bytes(data, bytes, &error);

	cr_assert_eq(error, 0);
	memset(seen, 0, sizeof(*seen));
	cr_assert_eq(pinw_reader_walk(r, see_record, see_slot, seen), 0);
	cr_assert_eq(pinw_reader_rules(r, see_rule, seen), 0);
	if (tally)
		*tally = pinw_reader_tally(r);
	struct pinw_problem problems[PINW_PROBLEMS_MAX];
	uint64_t count = pinw_reader_problems(r, problems, PINW_PROBLEMS_MAX);
	if (first && count)
		*first = problems[0];
	pinw_reader_free(r);
	return count;
}

/* Where the first segment of a kind starts in an image. */
static size_t segment_at(const unsigned char *image, size_t bytes, uint32_t kind)
{
	size_t at = PINW_SEGMENTS_OFFSET;
	struct pinw_segment s;

	while (at < bytes) {
		memcpy(&s, image + at, sizeof(s));
		if (s.kind == kind)
			return at;
		at += s.bytes;
	}
	cr_assert_fail("no segment of kind %u", kind);
	return 0;
}

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

/* ---- what is there is delivered ------------------------------------------------------ */

Test(reader, delivers_every_record_as_it_was_written)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_reader_tally tally;
	size_t bytes;

	tell_all(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, &tally, NULL), 0);
	for (int type = PINW_REC_THREAD_CREATE; type <= PINW_REC_VIOLATION; type++)
		cr_expect_geq(seen.records[type], 1, "no record of type %d", type);
	cr_expect_eq(seen.records[PINW_REC_THREAD_CREATE], 2);
	cr_expect_eq(seen.records[PINW_REC_MODULE], 1);
	cr_expect_eq(seen.records[PINW_REC_SITE], 2);
	cr_expect_eq(seen.frames, 2 + PINW_FRAMES_MAX);
	cr_expect_eq(seen.slots, 2);
	cr_expect_eq(seen.records[PINW_REC_POLICY], 1);
	cr_expect_eq(seen.records[PINW_REC_RULE], 2);
	cr_expect_eq(seen.rules, 2);
	cr_expect_eq(seen.violations, 1);
	cr_expect_eq(tally.records, b.live.counters.events_written + 7);
	cr_expect_eq(tally.unknown, 0);
	cr_expect_eq(tally.in_flight_cells, 0);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, delivers_events_then_slots_then_metadata)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	tell_all(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	walk_bytes(image, bytes, &seen, NULL, NULL);
	cr_expect_not(seen.meta_before_event);
	cr_expect_not(seen.meta_before_slot);
	cr_expect_not(seen.slot_before_event);
	free(image);
	pinw_builder_done(&b);
}

static void see_affinity(void *arg, const struct pinw_read_record *rec)
{
	if (rec->type != PINW_REC_AFFINITY)
		return;
	cr_expect_eq(rec->mask_count, 2);
	cr_expect_eq(rec->masks[0], 0xf);
	cr_expect_eq(rec->masks[128], 4);
	cr_expect_eq(rec->affinity->target, 7);
	cr_expect_eq(rec->affinity->e.time_ns, 123);
	*(bool *)arg = true;
}

Test(reader, puts_long_records_together_from_their_cells)
{
	struct pinw_builder b;
	bool met = false;
	size_t bytes;
	int error;

	pinw_builder_init(&b, PINW_MASK_WORDS_MAX); /* 8,192 CPUs: a record of 38 cells */
	pinw_builder_pin(&b, 123, 1, 7, 1, PINW_EFFECT_OPEN, 4);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	struct pinw_reader *r = open_bytes(image, bytes, &error);
	cr_assert_eq(error, 0);
	cr_assert_eq(pinw_reader_walk(r, see_affinity, NULL, &met), 0);
	cr_expect(met);
	pinw_reader_free(r);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, keeps_the_longest_path)
{
	char path[PINW_PATH_MAX + 1];
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	memset(path, 'p', sizeof(path) - 1);
	path[PINW_PATH_MAX] = '\0';
	pinw_builder_init(&b, 1);
	pinw_builder_exec(&b, 1, path, 0, 0);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 0);
	cr_expect_str_eq(seen.text, path);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, reads_events_over_many_segments)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	pinw_builder_init(&b, 3); /* affinity records of two cells: some do not fit the end of a segment */
	b.event_segment_bytes = 4096;
	for (uint32_t i = 0; i < 5000; i++)
		pinw_builder_pin(&b, i, 1, 1, 1, PINW_EFFECT_MOVE, 1);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 0);
	cr_expect_eq(seen.records[PINW_REC_AFFINITY], 5000);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, counts_cells_in_flight_and_calls_them_no_damage)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_reader_tally tally;
	size_t bytes;

	pinw_builder_init(&b, 3);
	pinw_builder_join(&b, 1, 1, 2);
	pinw_builder_in_flight(&b, 1);
	pinw_builder_pin(&b, 2, 1, 1, 1, PINW_EFFECT_MOVE, 1);
	pinw_builder_join(&b, 3, 1, 2);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	/* The first cell of the affinity record was not committed, its second one was already written. */
	size_t at = segment_at(image, bytes, PINW_SEG_EVENTS) + 3 * PINW_CELL_BYTES;
	cr_assert_eq(image[at], PINW_REC_AFFINITY);
	memset(image + at, 0, sizeof(struct pinw_cell_head));
	cr_expect_eq(walk_bytes(image, bytes, &seen, &tally, NULL), 0);
	cr_expect_eq(seen.records[PINW_REC_THREAD_JOIN], 2);
	cr_expect_eq(tally.records, 2);
	cr_expect_eq(tally.in_flight_cells, 3);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, does_not_count_what_was_never_handed_out)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_reader_tally tally;
	size_t bytes;

	pinw_builder_init(&b, 1);
	pinw_builder_join(&b, 1, 1, 2);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	walk_bytes(image, bytes, &seen, &tally, NULL);
	cr_expect_eq(tally.in_flight_cells, 0);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, steps_over_types_it_does_not_know)
{
	static const char text[200] = "from a later version";
	struct pinw_builder b;
	struct seen seen;
	struct pinw_reader_tally tally;
	size_t bytes;

	pinw_builder_init(&b, 1);
	pinw_builder_join(&b, 1, 1, 2);
	pinw_builder_event(&b, 40, text, sizeof(text), NULL, 0);
	pinw_builder_join(&b, 2, 1, 3);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, &tally, NULL), 0);
	cr_expect_eq(seen.all, 2);
	cr_expect_eq(tally.unknown, 1);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, accepts_records_that_grew_at_their_end)
{
	struct {
		struct pinw_rec_note note;
		uint64_t later[20];
	} longer = {.note.code = PINW_NOTE_CHROOT};
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	pinw_builder_init(&b, 1);
	pinw_builder_event(&b, PINW_REC_NOTE, &longer, sizeof(longer), NULL, 0);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 0);
	cr_expect_eq(seen.records[PINW_REC_NOTE], 1);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, accepts_slots_that_grew_at_their_end)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	pinw_builder_init(&b, 1);
	b.header.slot_bytes += 64;
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 1);
	pinw_builder_slot(&b, 2, PINW_SLOT_EXITED, 2);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 0);
	cr_expect_eq(seen.slots, 2);
	cr_expect_eq(seen.mask_sum, 3);
	free(image);
	pinw_builder_done(&b);
}

/* ---- damage is named and stepped over ------------------------------------------------ */

Test(reader, survives_and_names_every_truncation)
{
	struct pinw_builder b;
	struct seen seen, whole;
	size_t bytes;

	tell_all(&b);
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

Test(reader, names_the_record_in_which_a_bit_flipped_and_delivers_the_others)
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

Test(reader, survives_a_flip_of_any_bit_of_the_first_bytes_of_every_cell)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	tell_all(&b);
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

/* Changes one record of the story and expects it, and only it, to be refused with this phrase. */
static void expect_refused(uint32_t segment, size_t record_cell, size_t field, uint16_t value,
                           const char *phrase)
{
	struct pinw_builder b;
	struct seen seen, whole;
	struct pinw_problem problem = {0};
	size_t bytes;

	tell_all(&b);
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

Test(reader, refuses_counts_larger_than_their_record)
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

	tell_all(&b);
	const struct pinw_builder_region *region = type < PINW_REC_MODULE ? &b.events : &b.meta;
	for (size_t i = 0; i < region->count; i++)
		if (region->cells[i].head.type == type) {
			pinw_builder_done(&b);
			return i;
		}
	cr_assert_fail("no record of type %u", type);
	return 0;
}

Test(reader, refuses_what_no_policy_can_have_said)
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

/* The cells of rules of a story whose table a test damaged; returns the problems. */
static uint64_t walk_damaged_rules(size_t cell, size_t field, uint32_t value, struct seen *seen,
                                   struct pinw_problem *first)
{
	struct pinw_builder b;
	size_t bytes;

	tell_all(&b);
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

Test(reader, leaves_out_damaged_cells_of_rules_and_names_them)
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
Test(reader, bounds_the_table_of_rules)
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

	tell_all(&b);
	image = pinw_builder_image(&b, &bytes);
	size_t slots = segment_at(image, bytes, PINW_SEG_SLOTS);
	memcpy(image + slots, image + segment_at(image, bytes, PINW_SEG_RULES), PINW_SEGMENT_ALIGN);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, &problem), 1);
	cr_expect_str_eq(problem.what, "a second table of rules");
	cr_expect_eq(seen.violations, 1);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, finds_no_rules_without_a_policy)
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

Test(reader, refuses_a_record_that_runs_past_its_segment)
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

Test(reader, believes_no_segment_length)
{
	static const uint64_t lengths[] = {
	    0, 1, 64, 4095, 4097, 1u << 30, UINT64_MAX, UINT64_MAX - 4095, 1ull << 63};
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	tell_all(&b);
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

Test(reader, believes_no_count_of_reserved_cells)
{
	struct pinw_builder b;
	struct seen seen, whole;
	struct pinw_reader_tally tally;
	size_t bytes;

	tell_all(&b);
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

Test(reader, finds_the_segments_behind_a_damaged_one)
{
	struct pinw_builder b;
	struct seen seen, whole;
	struct pinw_problem problem = {0};
	size_t bytes;

	tell_all(&b);
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

Test(reader, takes_zeros_at_the_end_for_growth_not_for_damage)
{
	struct pinw_builder b;
	struct seen seen, whole;
	size_t bytes;

	tell_all(&b);
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

Test(reader, names_slots_that_cannot_be)
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

Test(reader, keeps_a_bounded_list_of_problems_and_counts_all)
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

Test(reader, steps_over_holes_however_long)
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

/* ---- the header ---------------------------------------------------------------------- */

/* What opening says after `len` bytes at `offset` of the header were changed and its sum put right. */
static int open_with(size_t offset, const void *value, size_t len)
{
	struct pinw_builder b;
	struct pinw_trace_header h;
	size_t bytes;
	int error;

	tell_all(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	memcpy(image + offset, value, len);
	memcpy(&h, image, sizeof(h));
	h.check = pinw_reader_header_check(&h);
	memcpy(image, &h, sizeof(h));
	struct pinw_reader *r = open_bytes(image, bytes, &error);
	pinw_reader_free(r);
	free(image);
	pinw_builder_done(&b);
	return error;
}

static int open_with_u32(size_t offset, uint32_t value)
{
	return open_with(offset, &value, sizeof(value));
}

Test(reader, refuses_what_is_no_trace_of_this_version)
{
	cr_expect_eq(open_with(0,
	                       "\x7f"
	                       "ELF\2\1\1\0",
	                       8),
	             PINW_READ_NOT_A_TRACE);
	cr_expect_eq(open_with(0, "\0\0\0\0\0\0\0\0", 8), PINW_READ_EMPTY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, version), 2), PINW_READ_VERSION);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, version), 0), PINW_READ_VERSION);
}

Test(reader, refuses_sizes_that_cannot_be)
{
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, mask_words), 0), PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, mask_words), 129), PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, mask_words), UINT32_MAX),
	             PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, slot_bytes), 0), PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, slot_bytes), 199), PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, slot_bytes), UINT32_MAX - 7),
	             PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, cell_bytes), 128), PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, header_bytes), 8192),
	             PINW_READ_GEOMETRY);
}

Test(reader, bounds_lengths_in_the_header_and_names_them)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;
	int error;

	tell_all(&b);
	b.header.exe_len = 0xffffffff;
	b.header.cmdline_len = 1409;
	b.header.version_len = 33;
	unsigned char *image = pinw_builder_image(&b, &bytes);
	struct pinw_reader *r = open_bytes(image, bytes, &error);
	cr_assert_eq(error, 0);
	cr_expect_eq(pinw_reader_header(r)->exe_len, 512);
	cr_expect_eq(pinw_reader_header(r)->cmdline_len, 1408);
	cr_expect_eq(pinw_reader_header(r)->version_len, 32);
	pinw_reader_free(r);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 3);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, names_a_wrong_header_sum_and_reads_on)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_problem problem = {0};
	size_t bytes;

	tell_all(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	image[offsetof(struct pinw_trace_header, start_real_ns)] ^= 1;
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, &problem), 1);
	cr_expect_str_eq(problem.what, "header checksum wrong");
	cr_expect_gt(seen.all, 10);
	free(image);
	pinw_builder_done(&b);
}

/* ---- files that are none ------------------------------------------------------------- */

static int open_path(const char *path)
{
	struct pinw_reader *r = NULL;
	int error = pinw_reader_open(path, &r);

	pinw_reader_free(r);
	return error;
}

Test(reader, refuses_what_is_not_a_regular_file)
{
	char dir[] = "/tmp/pinw-reader-XXXXXX";
	char path[64];

	cr_assert_not_null(mkdtemp(dir));
	cr_expect_eq(open_path(dir), PINW_READ_NOT_REGULAR);
	cr_expect_eq(open_path("/dev/zero"), PINW_READ_NOT_REGULAR);
	snprintf(path, sizeof(path), "%s/fifo", dir);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_expect_eq(open_path(path), PINW_READ_NOT_REGULAR, "and without waiting for a writer");
	unlink(path);
	snprintf(path, sizeof(path), "%s/empty", dir);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	cr_expect_eq(open_path(path), PINW_READ_EMPTY);
	unlink(path);
	cr_expect_eq(open_path(path), -ENOENT);
	rmdir(dir);
}

Test(reader, gives_a_reason_for_every_error)
{
	static const int errors[] = {PINW_READ_NOT_REGULAR, PINW_READ_EMPTY,    PINW_READ_NOT_A_TRACE,
	                             PINW_READ_VERSION,     PINW_READ_GEOMETRY, -ENOENT};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		for (size_t k = 0; k < i; k++)
			cr_expect_str_neq(pinw_reader_strerror(errors[i]), pinw_reader_strerror(errors[k]));
}

/* ---- a file that is being written ----------------------------------------------------- */

struct writer {
	struct pinw_segment *segment;
	struct pinw_cell *cells;
	uint64_t records;
	bool stop;
};

/* Commits two-cell records as the format says: the head of the first cell last. */
static void *write_on(void *arg)
{
	struct writer *w = arg;
	struct pinw_builder b;

	pinw_builder_init(&b, 3);
	pinw_builder_pin(&b, 1, 1, 1, 1, PINW_EFFECT_MOVE, 1);
	for (uint64_t i = 0; i < w->records && !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); i++) {
		__atomic_fetch_add(&w->segment->reserved_cells, 2, __ATOMIC_RELAXED);
		struct pinw_cell *to = w->cells + i * 2;
		to[1] = b.events.cells[1];
		memcpy(to[0].payload, b.events.cells[0].payload, sizeof(to[0].payload));
		uint64_t head;
		memcpy(&head, &b.events.cells[0].head, sizeof(head));
		__atomic_store_n((uint64_t *)(void *)to, head, __ATOMIC_RELEASE);
	}
	pinw_builder_done(&b);
	return NULL;
}

Test(reader, reads_a_trace_that_is_being_written)
{
	const uint64_t records = 200000;
	struct writer w = {.records = records};
	struct pinw_builder b;
	pthread_t thread;
	size_t bytes;

	pinw_builder_init(&b, 3);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	size_t segment_bytes = (64 + records * 128 + 4095) / 4096 * 4096;
	struct pinw_segment s = {
	    .magic = PINW_SEGMENT_MAGIC, .kind = PINW_SEG_EVENTS, .bytes = segment_bytes};
	s.check = s.kind ^ (uint32_t)s.bytes ^ PINW_SEGMENT_MAGIC;
	int fd = pinw_builder_memory_file(image, bytes);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, &s, sizeof(s), (off_t)bytes), (ssize_t)sizeof(s));
	cr_assert_eq(ftruncate(fd, (off_t)(bytes + segment_bytes)), 0);
	char *map = mmap(NULL, bytes + segment_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(map, MAP_FAILED);
	w.segment = (struct pinw_segment *)(void *)(map + bytes);
	w.cells = (struct pinw_cell *)(void *)(map + bytes + 64);
	cr_assert_eq(pthread_create(&thread, NULL, write_on, &w), 0);
	while (!__atomic_load_n(&w.segment->reserved_cells, __ATOMIC_RELAXED))
		sched_yield();

	unsigned last = 0;
	for (int round = 0; round < 50; round++) {
		struct pinw_reader *r;
		struct pinw_problem problem = {.what = "none"};
		struct seen seen = {0};
		cr_assert_eq(pinw_reader_open_fd(dup(fd), &r), 0);
		pinw_reader_walk(r, see_record, NULL, &seen);
		cr_assert_eq(pinw_reader_problems(r, &problem, 1), 0, "round %d: %s", round, problem.what);
		cr_assert_geq(seen.all, last);
		last = seen.all;
		pinw_reader_free(r);
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	munmap(map, bytes + segment_bytes);
	close(fd);
	free(image);
	pinw_builder_done(&b);
}
