/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/report_rig.h"

TestSuite(model, .init = make_folder, .fini = remove_folder);

/* A worker's whole life: created by main at site 1, pinned at site 2 unless `pin_site` is 0. */
static void tell_life(struct pinw_builder *b, uint64_t at, uint32_t thread, uint32_t pin_site, bool releases)
{
	pinw_builder_create(b, at, 1, 1, thread, 0);
	pinw_builder_start(b, at + 10, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
	if (pin_site)
		pinw_builder_pin(b, at + 20, thread, thread, pin_site, PINW_EFFECT_OPEN, 1);
	if (pin_site && releases)
		pinw_builder_pin(b, at + 50, thread, thread, pin_site + 100, PINW_EFFECT_RELEASE, 0xf);
	if (pin_site && !releases)
		pinw_builder_exit_pinned(b, at + 60, thread, PINW_ORIGIN_SELF, pin_site, thread, 40);
	else
		pinw_builder_exit(b, at + 60, thread, PINW_EXIT_RETURN, 0xf);
	pinw_builder_join(b, at + 70, 1, thread);
}

/* ---- leaks ---------------------------------------------------------------------------- */

Test(model, finds_no_leak_where_everything_was_released_and_joined)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 10; i++)
		tell_life(&b, i * 100, i + 2, 2, true);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	cr_expect_eq(pinw_process_leaks(only(m)), 0);
	cr_expect_eq(only(m)->leak_count, 0);
	cr_expect_eq(pinw_process_open_at_end(only(m)), 0);
	cr_expect_eq(pinw_process_unjoined(only(m)), 0);
	cr_expect_not(m->damaged);
	pinw_model_free(m);
}

Test(model, counts_leaks_of_one_stack_once_with_their_hold_times)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 5; i++)
		tell_life(&b, i * 100, i + 2, 2, false);
	tell_life(&b, 600, 7, 3, false);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert_eq(p->leak_count, 2);
	cr_expect_eq(p->leaks_of[PINW_LEAK_EXIT_WHILE_PINNED], 6);
	cr_expect_eq(p->leaks[0].count, 5, "the most frequent one first");
	cr_expect_eq(p->leaks[0].kind, PINW_LEAK_EXIT_WHILE_PINNED);
	cr_expect_eq(p->leaks[0].origin, PINW_ORIGIN_SELF);
	cr_expect_eq(p->leaks[0].pin_site, 2);
	cr_expect_eq(p->leaks[0].creator_count, 1);
	cr_expect_eq(p->leaks[0].creators[0].site, 1);
	cr_expect_eq(p->leaks[0].creators[0].count, 5);
	cr_expect_eq(p->leaks[0].held_min_ns, 40);
	cr_expect_eq(p->leaks[0].held_max_ns, 40);
	cr_expect_eq(p->leaks[0].threads[0], 2);
	cr_expect_eq(p->leaks[0].threads[2], 4);
	cr_expect_eq(p->leaks[1].count, 1);
	pinw_model_free(m);
}

Test(model, lists_the_creators_of_threads_that_leak_at_one_place)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 30; i++) {
		uint32_t thread = i + 2;
		pinw_builder_create(&b, i * 10, 1, i < 10 ? 50 : 51 + i % 15, thread, 0);
		pinw_builder_start(&b, i * 10 + 1, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
		pinw_builder_pin(&b, i * 10 + 2, thread, thread, 2, PINW_EFFECT_OPEN, 1);
		pinw_builder_exit_pinned(&b, i * 10 + 3, thread, PINW_ORIGIN_SELF, 2, thread, 1);
	}
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert_eq(p->leak_count, 1);
	cr_expect_eq(p->leaks[0].count, 30);
	cr_expect_eq(p->leaks[0].creators[0].site, 50);
	cr_expect_eq(p->leaks[0].creators[0].count, 10);
	uint64_t told = p->leaks[0].created_elsewhere;
	for (uint32_t i = 0; i < p->leaks[0].creator_count; i++)
		told += p->leaks[0].creators[i].count;
	cr_expect_eq(told, 30);
	pinw_model_free(m);
}

Test(model, counts_an_inherited_pin_once_and_under_its_own_kind)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	/* Thread 2 ends with it; thread 3 releases it; thread 4 still has it at the end. */
	for (uint32_t thread = 2; thread <= 4; thread++) {
		pinw_builder_create(&b, thread * 100, 1, 1, thread, 0);
		pinw_builder_start(&b, thread * 100 + 10, thread, PINW_ORIGIN_INHERITED, 9, 1, 1);
	}
	pinw_builder_exit_pinned(&b, 900, 2, PINW_ORIGIN_INHERITED, 9, 1, 690);
	pinw_builder_join(&b, 910, 1, 2);
	pinw_builder_pin(&b, 920, 3, 3, 5, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_exit(&b, 930, 3, PINW_EXIT_RETURN, 0xf);
	pinw_builder_join(&b, 940, 1, 3);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf);
	struct pinw_slot *slot = pinw_builder_slot(&b, 4, PINW_SLOT_RUNNING, 1);
	slot->pin_depth = 1;
	slot->pin_origin = PINW_ORIGIN_INHERITED;
	slot->pin_site = 9;
	slot->pin_since_ns = 410;
	slot->pins_opened = 1;
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect_eq(p->leaks_of[PINW_LEAK_INHERITED], 3);
	cr_expect_eq(p->leaks_of[PINW_LEAK_EXIT_WHILE_PINNED], 0);
	cr_expect_eq(p->leaks_of[PINW_LEAK_PINNED_AT_END], 0);
	cr_assert_eq(p->leak_count, 1);
	cr_expect_eq(p->leaks[0].pin_site, 9);
	cr_expect_eq(p->leaks[0].held_min_ns, 690, "the released one has no hold time of a leak");
	cr_expect_eq(p->leaks[0].held_max_ns, SECOND - 410);
	pinw_model_free(m);
}

/* A thread that is still pinned, by itself, when the story breaks off. */
static void tell_open_pin(struct pinw_builder *b)
{
	pinw_builder_init(b, 1);
	pinw_builder_create(b, 100, 1, 1, 2, 0);
	pinw_builder_start(b, 110, 2, PINW_ORIGIN_NONE, 0, 0, 0xf);
	pinw_builder_pin(b, 120, 2, 2, 7, PINW_EFFECT_OPEN, 2);
	pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 0xf);
	struct pinw_slot *slot = pinw_builder_slot(b, 2, PINW_SLOT_RUNNING, 2);
	slot->pin_depth = 1;
	slot->pin_origin = PINW_ORIGIN_SELF;
	slot->pin_site = 7;
	slot->pin_by = 2;
	slot->pin_since_ns = 120;
}

Test(model, counts_an_open_pin_as_leak_when_the_process_ends_but_not_across_exec)
{
	static const struct {
		enum pinw_end end;
		enum pinw_how how;
		uint64_t leaks;
		enum pinw_thread_how thread_how;
	} cases[] = {
	    {PINW_END_EXIT, PINW_HOW_EXIT, 1, PINW_THOW_PROCESS_END},
	    {PINW_END_SIGNAL, PINW_HOW_SIGNAL, 1, PINW_THOW_KILLED},
	    {PINW_END_EXEC, PINW_HOW_EXEC, 0, PINW_THOW_PROCESS_END},
	    {PINW_END_NONE, PINW_HOW_VIOLENT, 1, PINW_THOW_KILLED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pinw_builder b;
		tell_open_pin(&b);
		pinw_builder_end(&b, cases[i].end, 9, cases[i].end ? SECOND : 0);
		struct pinw_model *m = model_of(&b);
		const struct pinw_process *p = only(m);
		cr_expect_eq(p->how, cases[i].how);
		cr_expect_eq(p->leaks_of[PINW_LEAK_PINNED_AT_END], cases[i].leaks, "end %d", cases[i].end);
		cr_expect_eq(pinw_process_open_at_end(p), 1);
		const struct pinw_thread *t = pinw_process_thread(p, 2);
		cr_expect_eq(t->how, cases[i].thread_how);
		cr_expect_eq(t->pin.site, 7);
		cr_expect_eq(t->pin.held_ns, p->duration_ns - 120);
		pinw_model_free(m);
	}
}

Test(model, finds_ended_threads_nobody_joined_or_detached)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t thread = 2; thread <= 5; thread++) {
		pinw_builder_create(&b, thread, 1, 1, thread, 0);
		pinw_builder_exit(&b, thread + 100, thread, PINW_EXIT_PTHREAD_EXIT, 0xf);
		struct pinw_slot *slot = pinw_builder_slot(&b, thread, PINW_SLOT_EXITED, 0xf);
		slot->exit_how = PINW_EXIT_PTHREAD_EXIT;
		slot->exit_ns = thread + 100;
		slot->flags |= thread == 5 ? PINW_THREAD_DETACHED : 0; /* its slot is just being given back */
	}
	pinw_builder_join(&b, 200, 1, 4); /* so is this one's */
	pinw_builder_slot(&b, 1, PINW_SLOT_EXITED, 0xf); /* main left by pthread_exit */
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect_eq(p->leaks_of[PINW_LEAK_UNJOINED], 2);
	cr_assert_eq(p->leak_count, 1);
	cr_expect_eq(p->leaks[0].creators[0].site, 1);
	cr_expect_eq(p->leaks[0].threads[0], 2);
	cr_expect_eq(p->leaks[0].threads[1], 3);
	cr_expect_eq(pinw_process_thread(p, 2)->how, PINW_THOW_PTHREAD_EXIT);
	pinw_model_free(m);
}

Test(model, takes_counts_from_the_live_page_when_events_were_dropped)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	tell_life(&b, 0, 2, 2, false);
	b.live.counters.threads_created = 1000;
	b.live.counters.threads_joined = 990;
	b.live.counters.leaks_exit_while_pinned = 800;
	b.live.counters.events_dropped = 5000;
	/* A thread whose events found no room: only its slot tells of it. */
	struct pinw_slot *slot = pinw_builder_slot(&b, 900, PINW_SLOT_RUNNING, 1);
	slot->creator = 1;
	slot->create_site = 1;
	slot->create_ns = 77;
	slot->start_ns = 88;
	slot->pin_depth = 2;
	slot->pin_origin = PINW_ORIGIN_CROSS;
	slot->pin_site = 4;
	slot->pin_by = 1;
	slot->pin_since_ns = 99;
	memcpy(slot->name, "late", 5);
	b.live.counters.pins_open = 1;
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect_eq(p->leaks_of[PINW_LEAK_EXIT_WHILE_PINNED], 800);
	cr_expect_eq(p->leaks_of[PINW_LEAK_PINNED_AT_END], 1);
	cr_expect_eq(pinw_process_unjoined(p), 10);
	const struct pinw_thread *t = pinw_process_thread(p, 900);
	cr_assert_not_null(t);
	cr_expect_eq(t->created_ns, 77);
	cr_expect_eq(t->started_ns, 88);
	cr_expect_eq(t->pin.depth, 2);
	cr_expect_eq(t->pin.by, 1);
	cr_expect_str_eq(t->name, "late");
	cr_expect_eq(p->sorted_pin_sites[0].open + p->sorted_pin_sites[1].open, 1);
	cr_expect_not(p->growth.judged);
	pinw_model_free(m);
}

/* ---- threads and pins ----------------------------------------------------------------- */

Test(model, books_records_in_whatever_order_they_come)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	/* The child was faster than its creator's record, and its end is there before its start. */
	pinw_builder_exit(&b, 300, 2, PINW_EXIT_CANCEL, 0xf);
	pinw_builder_start(&b, 100, 2, PINW_ORIGIN_NONE, 0, 0, 3);
	pinw_builder_join(&b, 400, 3, 2);
	pinw_builder_create(&b, 50, 1, 8, 2, PINW_THREAD_ATTR_AFFINITY);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_thread *t = pinw_process_thread(only(m), 2);
	cr_assert_not_null(t);
	cr_expect_eq(t->created_ns, 50);
	cr_expect_eq(t->started_ns, 100);
	cr_expect_eq(t->ended_ns, 300);
	cr_expect_eq(t->how, PINW_THOW_CANCEL);
	cr_expect(t->joined);
	cr_expect_eq(t->joined_by, 3);
	cr_expect_eq(t->creator, 1);
	cr_expect_eq(t->create_site, 8);
	cr_expect(t->flags & PINW_THREAD_ATTR_AFFINITY);
	cr_expect_eq(pinw_process_site(only(m), 8)->created, 1);
	pinw_model_free(m);
}

Test(model, gives_threads_the_name_their_creator_had_then)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_create(&b, 10, 1, 1, 2, 0);
	pinw_builder_name(&b, 20, 1, 1, "boss");
	pinw_builder_create(&b, 30, 1, 1, 3, 0);
	pinw_builder_name(&b, 40, 3, 3, "own");
	pinw_builder_create(&b, 50, 3, 1, 4, 0);
	memcpy(pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf)->name, "boss", 5);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	cr_expect_str_eq(pinw_process_thread(only(m), 1)->name, "boss");
	cr_expect_str_eq(pinw_process_thread(only(m), 2)->name, "story", "the program's own");
	cr_expect_str_eq(pinw_process_thread(only(m), 3)->name, "own");
	cr_expect_str_eq(pinw_process_thread(only(m), 4)->name, "own");
	pinw_model_free(m);
}

Test(model, follows_depth_moves_and_hold_times_of_pins)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_pin(&b, 100, 1, 1, 5, PINW_EFFECT_OPEN, 7);
	pinw_builder_pin(&b, 150, 1, 1, 6, PINW_EFFECT_NARROW, 3);
	pinw_builder_pin(&b, 160, 1, 1, 6, PINW_EFFECT_MOVE, 6);
	pinw_builder_pin(&b, 400, 1, 1, 7, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_pin(&b, 500, 1, 1, 5, PINW_EFFECT_OPEN, 1);
	pinw_builder_pin(&b, 600, 1, 1, 7, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_pin_failed(&b, 700, 1, 5, EINVAL);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert_eq(p->pin_sites.count, 1);
	cr_expect_eq(p->sorted_pin_sites[0].site, 5);
	cr_expect_eq(p->sorted_pin_sites[0].opened, 2);
	cr_expect_eq(p->sorted_pin_sites[0].released, 2);
	cr_expect_eq(p->sorted_pin_sites[0].held_max_ns, 300);
	cr_expect_eq(p->sorted_pin_sites[0].held_sum_ns, 400);
	const struct pinw_thread *t = pinw_process_thread(p, 1);
	cr_expect_eq(t->pin.depth, 0);
	cr_expect_eq(t->pins_opened, 2);
	cr_expect_eq(t->affinity_calls, 6, "failed ones are not counted");
	cr_expect_eq(pinw_process_site(p, 5)->pins, 2);
	cr_expect_eq(pinw_process_site(p, 5)->failed, 1);
	cr_expect_eq(pinw_process_site(p, 6)->uses, PINW_USE_AFFINITY);
	pinw_model_free(m);
}

Test(model, keeps_masks_of_any_size_apart)
{
	uint64_t far_cpu[2][PINW_MASK_WORDS_MAX] = {{0}};
	struct pinw_rec_start start = {.e = {10, 2, 0}, .tid = 5002};
	struct pinw_builder b;

	pinw_builder_init(&b, PINW_MASK_WORDS_MAX);
	far_cpu[0][127] = 1ull << 63;
	far_cpu[1][127] = 1ull << 62;
	for (uint32_t i = 0; i < 8; i++) {
		start.e.thread = 2 + i;
		pinw_builder_event(&b, PINW_REC_THREAD_START, &start, sizeof(start), far_cpu[i % 2],
		                   sizeof(far_cpu[0]));
	}
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect_eq(p->masks.count, 2);
	cr_expect_eq(pinw_process_mask(p, pinw_process_thread(p, 2)->mask)[127], 1ull << 63);
	cr_expect_eq(pinw_process_mask(p, pinw_process_thread(p, 3)->mask)[127], 1ull << 62);
	cr_expect_eq(pinw_process_thread(p, 2)->mask, pinw_process_thread(p, 8)->mask);
	cr_expect_null(pinw_process_mask(p, 0));
	cr_expect_null(pinw_process_mask(p, 3));
	pinw_model_free(m);
}

Test(model, stores_by_what_is_there_not_by_the_numbers_it_is_given)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 1000; i++) /* numbers spread over all of 32 bits */
		pinw_builder_create(&b, i, i * 4294967u, i * 4294961u + 1, i * 4294963u + 7, 0);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	cr_expect_leq(only(m)->threads.count, 2002);
	cr_expect_not_null(pinw_process_thread(only(m), 999u * 4294963u + 7));
	pinw_model_free(m);
}

/* ---- growth --------------------------------------------------------------------------- */

/* Threads created at `from`, `from + every`, ... before `until`, each alive for `alive` (0 = to the end). */
static void tell_threads(struct pinw_builder *b, uint32_t first, uint64_t from, uint64_t every,
                         uint64_t until, uint64_t alive)
{
	uint32_t thread = first;

	for (uint64_t at = from; at < until; at += every, thread++) {
		pinw_builder_create(b, at, 1, 3, thread, 0);
		pinw_builder_start(b, at, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
		if (alive) {
			pinw_builder_exit(b, at + alive, thread, PINW_EXIT_RETURN, 0xf);
			pinw_builder_join(b, at + alive, 1, thread);
		} else {
			pinw_builder_slot(b, thread, PINW_SLOT_RUNNING, 0xf)->start_ns = at;
		}
	}
}

static struct pinw_growth growth_of(struct pinw_builder *b, uint64_t end, uint64_t *ret_leaks)
{
	pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 0xf);
	pinw_builder_end(b, PINW_END_EXIT, 0, end);
	struct pinw_model *m = model_of(b);
	struct pinw_growth growth = only(m)->growth;
	*ret_leaks = only(m)->leaks_of[PINW_LEAK_GROWTH];
	cr_expect_eq(growth.found, *ret_leaks > 0);
	pinw_model_free(m);
	return growth;
}

Test(model, sees_live_threads_rise_steadily)
{
	struct pinw_builder b;
	uint64_t leaks;

	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 10, 10 * SECOND, 0); /* ten a second that stay */
	tell_threads(&b, 1000, SECOND / 20, SECOND / 10, 9 * SECOND,
	             SECOND / 100); /* beside ten that do not */
	struct pinw_growth growth = growth_of(&b, 10 * SECOND, &leaks);
	cr_expect(growth.judged);
	cr_expect(growth.found);
	cr_expect_geq(leaks, 65);
	cr_expect_leq(leaks, 75);
}

Test(model, takes_no_burst_at_the_start_for_growth)
{
	struct pinw_builder b;
	uint64_t leaks;

	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 100, SECOND, 0);
	struct pinw_growth growth = growth_of(&b, 10 * SECOND, &leaks);
	cr_expect(growth.judged);
	cr_expect_not(growth.found);
}

Test(model, takes_no_pool_and_no_coming_and_going_for_growth)
{
	struct pinw_builder b;
	uint64_t leaks;

	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 5, 5 * SECOND, 0); /* fills over half of the run, then stays */
	growth_of(&b, 10 * SECOND, &leaks);
	cr_expect_eq(leaks, 0);
	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 50, 9 * SECOND, SECOND / 2);
	growth_of(&b, 10 * SECOND, &leaks);
	cr_expect_eq(leaks, 0);
	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND, 8 * SECOND, 0); /* a handful of threads over the run */
	growth_of(&b, 10 * SECOND, &leaks);
	cr_expect_eq(leaks, 0);
}

Test(model, does_not_judge_growth_where_it_cannot)
{
	struct pinw_builder b;
	uint64_t leaks;

	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 100, SECOND, 0);
	cr_expect_not(growth_of(&b, SECOND, &leaks).judged, "all start-up");
	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 10, 10 * SECOND, 0);
	b.live.counters.events_dropped = 1;
	cr_expect_not(growth_of(&b, 10 * SECOND, &leaks).judged, "events are missing");
}
