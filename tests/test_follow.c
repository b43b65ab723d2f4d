/* SPDX-License-Identifier: MIT
 *
 * A trace read again and again while it is written: every record comes once, whatever was half done at a look.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/reader.h"
#include "tests/trace_builder.h"

TestSuite(follow, .timeout = 120);

#define EVENTS 500u

static struct scene {
	unsigned char *image;
	size_t bytes;
	int fd; /* the file; the reader has its own */
	struct pinw_reader *reader;
	unsigned seen[EVENTS + 1]; /* by site */
	unsigned all, slots;
	uint64_t problems;
} scene;

static void on_record(void *arg, const struct pinw_read_record *rec)
{
	(void)arg;
	scene.all++;
	if (rec->type == PINW_REC_AFFINITY && rec->event->site <= EVENTS)
		scene.seen[rec->event->site]++;
}

static void on_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	(void)arg;
	(void)slot;
	(void)mask;
	scene.slots++;
}

/* EVENTS pins at sites 1, 2, ..., in segments of 16 KiB; some of their masks make them two cells long. */
static void build(void)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 4);
	b.event_segment_bytes = 16384;
	for (uint32_t i = 1; i <= EVENTS; i++)
		pinw_builder_pin(&b, i * 1000, 1, 1, i, PINW_EFFECT_OPEN, 1);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 1);
	scene.image = pinw_builder_image(&b, &scene.bytes);
	pinw_builder_done(&b);
}

static void put(size_t from, size_t to)
{
	cr_assert_eq(pwrite(scene.fd, scene.image + from, to - from, (off_t)from), (ssize_t)(to - from));
}

/* Offset of the nth segment of events, from 0. */
static size_t events_at(unsigned nth)
{
	for (size_t at = PINW_SEGMENTS_OFFSET; at < scene.bytes;) {
		const struct pinw_segment *s = (const void *)(scene.image + at);
		if (s->kind == PINW_SEG_EVENTS && nth-- == 0)
			return at;
		at += s->bytes;
	}
	cr_assert_fail("no such segment");
	return 0;
}

static uint64_t problems(void)
{
	struct pinw_problem p[PINW_PROBLEMS_MAX];

	return pinw_reader_problems(scene.reader, p, PINW_PROBLEMS_MAX);
}

static void open_trace(size_t bytes)
{
	scene.fd = pinw_builder_memory_file(scene.image, bytes);
	cr_assert_geq(scene.fd, 0);
	cr_assert_eq(pinw_reader_open_fd(dup(scene.fd), &scene.reader), 0);
	scene.problems = problems(); /* a file that is shorter than its live page says */
}

static unsigned look(void)
{
	unsigned before = scene.all;

	cr_assert_eq(pinw_reader_follow(scene.reader, PINW_SEG_EVENTS, on_record, NULL), 0);
	return scene.all - before;
}

static void expect_each_once(void)
{
	for (unsigned i = 1; i <= EVENTS; i++)
		cr_expect_eq(scene.seen[i], 1, "event %u came %u times", i, scene.seen[i]);
}

Test(follow, delivers_all_at_first_and_then_nothing)
{
	build();
	open_trace(scene.bytes);
	cr_assert_eq(look(), EVENTS);
	cr_assert_eq(look(), 0);
	expect_each_once();
	cr_assert_eq(problems(), scene.problems);
}

Test(follow, goes_on_in_segments_that_came_since)
{
	build();
	open_trace(events_at(1));
	cr_assert_lt(look(), EVENTS);
	put(events_at(1), events_at(2));
	cr_assert_gt(look(), 0);
	put(events_at(2), scene.bytes);
	look();
	expect_each_once();
	cr_assert_eq(problems(), scene.problems);
}

/* A record reserved before others and committed after them. */
Test(follow, comes_back_for_what_was_half_written)
{
	build();
	size_t cells = events_at(0) + sizeof(struct pinw_segment);
	size_t holes[] = {cells, cells + 2 * PINW_CELL_BYTES, cells + 10 * PINW_CELL_BYTES};
	uint64_t heads[3], zero = 0;

	for (unsigned i = 0; i < 3; i++) {
		memcpy(&heads[i], scene.image + holes[i], 8);
		memcpy(scene.image + holes[i], &zero, 8);
	}
	open_trace(scene.bytes);
	cr_assert_eq(look(), EVENTS - 3);
	cr_assert_eq(look(), 0);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(pwrite(scene.fd, &heads[i], 8, (off_t)holes[i]), 8);
	cr_assert_eq(look(), 3);
	cr_assert_eq(look(), 0);
	expect_each_once();
	cr_assert_eq(problems(), scene.problems);
}

Test(follow, waits_where_no_cell_was_handed_out)
{
	build();
	struct pinw_segment *s = (void *)(scene.image + events_at(0));
	uint64_t reserved = s->reserved_cells;

	s->reserved_cells = 8;
	open_trace(scene.bytes);
	unsigned first = look();
	cr_assert_lt(first, EVENTS);
	cr_assert_eq(look(), 0);
	cr_assert_eq(pwrite(scene.fd, &reserved, 8,
	                    (off_t)(events_at(0) + offsetof(struct pinw_segment, reserved_cells))),
	             8);
	cr_assert_eq(look(), EVENTS - first);
	expect_each_once();
}

/* A hole of a terabyte that claims to be handed out takes no time, and what is given up is counted. */
Test(follow, steps_over_what_a_hostile_file_claims)
{
	build();
	uint64_t huge = UINT64_C(1) << 40;
	struct pinw_segment s = {.magic = PINW_SEGMENT_MAGIC,
	                         .kind = PINW_SEG_EVENTS,
	                         .bytes = huge,
	                         .reserved_cells = UINT64_MAX};

	s.check = s.kind ^ (uint32_t)s.bytes ^ s.first ^ PINW_SEGMENT_MAGIC;
	open_trace(events_at(0));
	cr_assert_eq(pwrite(scene.fd, &s, sizeof(s), (off_t)events_at(0)), (ssize_t)sizeof(s));
	cr_assert_eq(ftruncate(scene.fd, (off_t)(events_at(0) + huge)), 0);
	look();
	look();
	cr_assert_gt(pinw_reader_tally(scene.reader).in_flight_cells, 1000);
}

Test(follow, takes_a_cut_segment_further_when_it_comes)
{
	build();
	size_t cut = events_at(0) + 4096;
	open_trace(cut);
	cr_assert_gt(look(), 0);
	put(cut, scene.bytes);
	look();
	expect_each_once();
}

Test(follow, reads_slots_that_came_since)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 1);
	scene.image = pinw_builder_image(&b, &scene.bytes);
	open_trace(scene.bytes);
	cr_assert_eq(pinw_reader_slots(scene.reader, on_slot, NULL), 0);
	cr_assert_eq(scene.slots, 1);
	pinw_builder_slot(&b, 2, PINW_SLOT_RUNNING, 1);
	free(scene.image);
	scene.image = pinw_builder_image(&b, &scene.bytes);
	put(0, scene.bytes);
	scene.slots = 0;
	cr_assert_eq(pinw_reader_slots(scene.reader, on_slot, NULL), 0);
	cr_assert_eq(scene.slots, 2);
	pinw_builder_done(&b);
}
