/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "reports/export.h"
#include "reports/samples.h"
#include "tests/export_story.h"
#include "tests/report_rig.h"

TestSuite(history, .init = make_folder, .fini = remove_folder);
TestSuite(samples, .init = make_folder, .fini = remove_folder);

static void expect_span(const struct pinw_span *s, uint64_t begin, uint64_t end, uint32_t thread,
                        uint32_t site, uint8_t origin, enum pinw_span_end how)
{
	cr_expect_eq(s->begin_ns, begin);
	cr_expect_eq(s->end_ns, end, "%lu: ends at %lu", (unsigned long)begin, (unsigned long)s->end_ns);
	cr_expect_eq(s->thread, thread);
	cr_expect_eq(s->site, site);
	cr_expect_eq(s->origin, origin);
	cr_expect_eq(s->end, how, "%lu: %s", (unsigned long)begin, pinw_span_end_name(s->end));
}

Test(history, has_each_pin_and_lock_with_its_time_and_end)
{
	struct pinw_builder b;

	tell_all(&b);
	struct pinw_model *m = model_of(&b);
	const struct pinw_history *h = only(m)->history;

	cr_assert_eq(h->span_count, 7);
	expect_span(&h->spans[0], 210, STORY_END, 3, 1, PINW_ORIGIN_BORN, PINW_SPAN_OPEN);
	expect_span(&h->spans[1], 300, 800, 3, 5, PINW_ORIGIN_GOLOCK, PINW_SPAN_RELEASED);
	expect_span(&h->spans[2], 750, STORY_END, 5, 0, PINW_ORIGIN_EXTERNAL, PINW_SPAN_OPEN);
	expect_span(&h->spans[3], 900, 1900, 3, 5, PINW_ORIGIN_GOLOCK, PINW_SPAN_THREAD_ENDED);
	expect_span(&h->spans[4], 1000, 3000, 2, 2, PINW_ORIGIN_SELF, PINW_SPAN_RELEASED);
	expect_span(&h->spans[5], 2000, STORY_END, 1, 5, PINW_ORIGIN_GOLOCK, PINW_SPAN_OPEN);
	expect_span(&h->spans[6], 4000, 5000, 2, 2, PINW_ORIGIN_SELF, PINW_SPAN_THREAD_ENDED);
	cr_expect_eq(h->spans[1].end_site, 3);
	cr_expect_eq(h->spans[1].goid, 19);
	cr_expect_eq(*pinw_process_mask(only(m), h->spans[4].mask), 2);
	cr_expect_eq(*pinw_process_mask(only(m), h->spans[6].mask), 4);
	cr_expect_eq(*pinw_process_mask(only(m), h->spans[0].mask), 1);
	cr_assert_eq(h->violation_count, 1);
	cr_expect_eq(h->violations[0].time_ns, 1000);
	cr_expect_eq(*pinw_process_mask(only(m), h->violations[0].mask), 2);
	pinw_model_free(m);
}

/* Each mask of a pin for as long as it was there: a thread that left a CPU is not on it any more. */
Test(history, follows_a_pin_from_mask_to_mask)
{
	struct pinw_builder b;
	size_t count;

	pinw_builder_init(&b, 1);
	pinw_builder_pin(&b, 1000, 2, 2, 1, PINW_EFFECT_OPEN, 1);
	pinw_builder_pin(&b, 2000, 2, 2, 2, PINW_EFFECT_MOVE, 2);
	pinw_builder_pin(&b, 2500, 2, 2, 2, PINW_EFFECT_MOVE, 2);
	pinw_builder_pin(&b, 3000, 3, 3, 1, PINW_EFFECT_OPEN, 6);
	pinw_builder_pin(&b, 4000, 3, 3, 1, PINW_EFFECT_NARROW, 4);
	pinw_builder_pin(&b, 5000, 2, 2, 1, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_pin(&b, 6000, 2, 2, 1, PINW_EFFECT_OPEN, 8);
	pinw_builder_exit_pinned(&b, 7000, 3, PINW_ORIGIN_SELF, 1, 3, 4000);
	pinw_builder_exit_pinned(&b, 8000, 2, PINW_ORIGIN_SELF, 1, 2, 2000);
	pinw_builder_end(&b, PINW_END_EXIT, 0, 9000);
	struct pinw_model *m = model_of(&b);
	const struct pinw_history *h = only(m)->history;

	cr_assert_eq(h->span_count, 3);
	expect_span(&h->spans[0], 1000, 5000, 2, 1, PINW_ORIGIN_SELF, PINW_SPAN_RELEASED);
	expect_span(&h->spans[1], 3000, 7000, 3, 1, PINW_ORIGIN_SELF, PINW_SPAN_THREAD_ENDED);
	expect_span(&h->spans[2], 6000, 8000, 2, 1, PINW_ORIGIN_SELF, PINW_SPAN_THREAD_ENDED);
	const struct pinw_span *stays = pinw_history_stays(h, &h->spans[0], &count);
	cr_assert_eq(count, 2u);
	expect_span(&stays[0], 1000, 2000, 2, 1, PINW_ORIGIN_SELF, PINW_SPAN_RELEASED);
	expect_span(&stays[1], 2000, 5000, 2, 1, PINW_ORIGIN_SELF, PINW_SPAN_RELEASED);
	cr_expect_eq(*pinw_process_mask(only(m), stays[0].mask), 1);
	cr_expect_eq(*pinw_process_mask(only(m), stays[1].mask), 2);
	stays = pinw_history_stays(h, &h->spans[1], &count);
	cr_assert_eq(count, 2u);
	expect_span(&stays[1], 4000, 7000, 3, 1, PINW_ORIGIN_SELF, PINW_SPAN_THREAD_ENDED);
	cr_expect_eq(*pinw_process_mask(only(m), stays[1].mask), 4);
	cr_expect(!h->spans[2].moved);
	cr_assert_eq(pinw_history_places(h), 7u);
	cr_expect_null(pinw_history_place(h, 0));
	cr_expect_eq(pinw_history_place(h, 2), &h->spans[2]);
	pinw_model_free(m);
}

/* Records can be dropped. A pin whose end nobody saw is one span of its own, and not the beginning of the next. */
Test(history, does_not_guess_an_end_that_was_dropped)
{
	struct pinw_rec_golock unseen = {
	    .e = {5000, 2, 0}, .kind = PINW_GOLOCK_UNLOCK_UNSEEN, .lock_site = 7};
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_pin(&b, 1000, 1, 1, 1, PINW_EFFECT_OPEN, 1);
	pinw_builder_pin(&b, 2000, 1, 1, 2, PINW_EFFECT_OPEN, 2);
	pinw_builder_pin(&b, 3000, 2, 2, 3, PINW_EFFECT_OPEN, 2);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf); /* not pinned any more */
	pinw_builder_exit(&b, 4000, 2, PINW_EXIT_RETURN, 0xf); /* neither was this one */
	pinw_builder_event(&b, PINW_REC_GOLOCK, &unseen, sizeof(unseen), NULL, 0);
	pinw_builder_end(&b, PINW_END_EXIT, 0, 9000);
	struct pinw_model *m = model_of(&b);
	const struct pinw_history *h = only(m)->history;

	cr_assert_eq(h->span_count, 4);
	expect_span(&h->spans[0], 1000, PINW_TIME_UNKNOWN, 1, 1, PINW_ORIGIN_SELF, PINW_SPAN_UNSEEN);
	expect_span(&h->spans[1], 2000, PINW_TIME_UNKNOWN, 1, 2, PINW_ORIGIN_SELF, PINW_SPAN_UNSEEN);
	expect_span(&h->spans[2], 3000, 4000, 2, 3, PINW_ORIGIN_SELF, PINW_SPAN_RELEASED);
	expect_span(&h->spans[3], PINW_TIME_UNKNOWN, PINW_TIME_UNKNOWN, 2, 7, PINW_ORIGIN_GOLOCK,
	            PINW_SPAN_UNSEEN);
	cr_expect_eq(pinw_span_held_ns(&h->spans[0]), 0);
	pinw_model_free(m);
}

Test(history, is_kept_only_where_it_is_asked_for)
{
	struct pinw_builder b;
	struct pinw_model *m;

	tell_all(&b);
	write_trace(&b, "a.pwt");
	cr_assert_eq(pinw_model_new(&m), 0);
	cr_assert_eq(pinw_model_add(m, in_folder("a.pwt")), 0);
	cr_assert_eq(pinw_model_finish(m), 0);
	cr_expect_null(only(m)->history);
	pinw_model_free(m);
}

static void count_kind(void *arg, const struct pinw_leaked *leaked)
{
	uint64_t *counts = arg;

	counts[leaked->kind]++;
}

Test(history, leaks_one_by_one_are_as_many_as_the_report_counts)
{
	uint64_t counts[PINW_LEAK_KINDS] = {0};
	struct pinw_builder b;

	tell_all(&b);
	struct pinw_model *m = model_of(&b);

	cr_assert_eq(pinw_export_leaks(only(m), count_kind, counts), 0);
	for (size_t i = 0; i < PINW_LEAK_KINDS; i++)
		cr_expect_eq(counts[i], only(m)->leaks_of[i], "%s",
		             pinw_leak_kind_name((enum pinw_leak_kind)i));
	cr_expect_eq(counts[PINW_LEAK_EXIT_WHILE_PINNED], 2);
	cr_expect_eq(counts[PINW_LEAK_PINNED_AT_END], 3);
	cr_expect_eq(counts[PINW_LEAK_UNJOINED], 1);
	pinw_model_free(m);
}

Test(samples, add_up_to_what_happened)
{
	uint64_t sums[PINW_WEIGHTS] = {0};
	struct pinw_samples samples;
	struct pinw_builder b;

	tell_all(&b);
	struct pinw_model *m = model_of(&b);

	cr_assert_eq(pinw_samples_collect(only(m), &samples), 0);
	for (size_t i = 0; i < samples.count; i++)
		for (size_t w = 0; w < PINW_WEIGHTS; w++)
			sums[w] += samples.sorted[i]->values[w];
	cr_expect_eq(sums[PINW_WEIGHT_CREATIONS], 3);
	cr_expect_eq(sums[PINW_WEIGHT_THREADS], 3); /* 1, 3, 5 */
	cr_expect_eq(sums[PINW_WEIGHT_PINS], 7);
	cr_expect_eq(sums[PINW_WEIGHT_HOLD], 8790 + 500 + 8250 + 1000 + 2000 + 7000 + 1000);
	cr_expect_eq(sums[PINW_WEIGHT_LEAKS], 6);
	pinw_samples_done(&samples);
	pinw_model_free(m);
}
