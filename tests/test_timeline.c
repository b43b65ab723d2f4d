/* SPDX-License-Identifier: MIT
 *
 * Counts over time and blocks of the HTML report, of stories that end out of order or at times that cannot be.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "reports/timeline.h"
#include "tests/report_rig.h"

TestSuite(timeline, .init = make_folder, .fini = remove_folder, .timeout = 60);

static struct pinw_model *read_story(struct pinw_builder *b)
{
	write_trace(b, "a.pwt");
	struct pinw_model *m = NULL;
	cr_assert_eq(pinw_model_new(&m), 0);
	m->with_history = true;
	cr_assert_eq(pinw_model_add(m, in_folder("a.pwt")), 0);
	cr_assert_eq(pinw_model_finish(m), 0);
	return m;
}

static void begin_story(struct pinw_builder *b, uint64_t end_ns)
{
	static const uint64_t offset = 0x1111;

	pinw_builder_init(b, 1);
	pinw_builder_module(b, 1, "/opt/lib.so");
	pinw_builder_site(b, 1, 1, &offset, 1, 0);
	pinw_builder_end(b, PINW_END_EXIT, 0, end_ns);
}

static void golock(struct pinw_builder *b, uint64_t time_ns, uint32_t kind, uint64_t held_ns)
{
	struct pinw_rec_golock rec = {.e = {.time_ns = time_ns, .thread = 1, .site = 1},
	                              .kind = kind,
	                              .depth = 1,
	                              .goid = 7,
	                              .held_ns = held_ns,
	                              .lock_site = 1};

	pinw_builder_event(b, PINW_REC_GOLOCK, &rec, sizeof(rec), NULL, 0);
}

Test(timeline, a_lock_whose_end_was_not_seen_ends_no_pin_around_it)
{
	struct pinw_builder b;
	struct pinw_timeline t;

	begin_story(&b, 10000);
	pinw_builder_pin(&b, 1000, 1, 1, 1, PINW_EFFECT_OPEN, 1);
	golock(&b, 2000, PINW_GOLOCK_LOCK, 0);
	golock(&b, 3000, PINW_GOLOCK_UNLOCK_UNSEEN, 0);
	pinw_builder_pin(&b, 9000, 1, 1, 1, PINW_EFFECT_RELEASE, 0xf);
	struct pinw_model *m = read_story(&b);
	cr_assert_eq(pinw_timeline_make(only(m), &t), 0);
	for (size_t i = 0; i < PINW_TIMELINE_POINTS; i++)
		cr_expect_eq(t.pinned[i], i >= 60 && i <= 540, "point %zu: %u", i, t.pinned[i]);
	pinw_timeline_done(&t);
	pinw_model_free(m);
}

Test(timeline, an_end_before_its_begin_takes_away_nothing)
{
	struct pinw_builder b;
	struct pinw_timeline t;

	begin_story(&b, 10000);
	for (uint32_t thread = 2; thread <= 4; thread++) {
		pinw_builder_start(&b, 8000, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
		pinw_builder_exit(&b, 1000, thread, PINW_EXIT_RETURN, 0xf);
	}
	struct pinw_model *m = read_story(&b);
	cr_assert_eq(pinw_timeline_make(only(m), &t), 0);
	for (size_t i = 0; i < PINW_TIMELINE_POINTS; i++)
		cr_expect(t.live[i] >= 1 && t.live[i] <= 4, "point %zu: %u", i, t.live[i]);
	pinw_timeline_done(&t);
	pinw_model_free(m);
}

Test(timeline, times_at_the_end_of_the_clock_become_few_blocks)
{
	struct pinw_builder b;
	struct pinw_blocks blocks;
	struct pinw_table lanes;

	begin_story(&b, (UINT64_C(1) << 62) - (UINT64_C(1) << 56));
	for (uint64_t i = 0; i < 8; i++)
		golock(&b, UINT64_MAX - 1000 + 10 * i, PINW_GOLOCK_UNLOCK, 1);
	struct pinw_model *m = read_story(&b);
	pinw_table_init(&lanes, 1);
	cr_assert_not_null(pinw_table_get(&lanes, 1, NULL));
	cr_assert_eq(pinw_blocks_make(only(m), &lanes, 2, &blocks), 0);
	cr_expect_eq(blocks.count, 1);
	cr_expect_eq(blocks.blocks[0].count, 8);
	free(blocks.blocks);
	pinw_table_done(&lanes);
	pinw_model_free(m);
}

Test(timeline, a_pin_that_moves_is_a_block_at_each_mask)
{
	struct pinw_builder b;
	struct pinw_blocks blocks;
	struct pinw_table lanes;

	begin_story(&b, 10000);
	pinw_builder_pin(&b, 1000, 1, 1, 1, PINW_EFFECT_OPEN, 1);
	pinw_builder_pin(&b, 4000, 1, 1, 1, PINW_EFFECT_MOVE, 2);
	pinw_builder_pin(&b, 9000, 1, 1, 1, PINW_EFFECT_RELEASE, 0xf);
	struct pinw_model *m = read_story(&b);
	pinw_table_init(&lanes, 1);
	cr_assert_not_null(pinw_table_get(&lanes, 1, NULL));
	cr_assert_eq(pinw_blocks_make(only(m), &lanes, 100, &blocks), 0);
	cr_assert_eq(blocks.count, 2u);
	cr_expect_eq(blocks.blocks[0].end_ns, 4000u);
	cr_expect_eq(*pinw_process_mask(only(m), blocks.blocks[0].mask), 1u);
	cr_expect_eq(blocks.blocks[1].end_ns, 9000u);
	cr_expect_eq(*pinw_process_mask(only(m), blocks.blocks[1].mask), 2u);
	free(blocks.blocks);
	pinw_table_done(&lanes);
	pinw_model_free(m);
}
