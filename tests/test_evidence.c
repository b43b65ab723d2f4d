/* SPDX-License-Identifier: MIT
 *
 * What is pinned per request, and the other items of the checklists. Names are given by hand: how they are found is
 * another test's matter.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "reports/evidence.h"
#include "tests/report_rig.h"

enum { SITE_LOCK = 1, SITE_UNLOCK = 2 };

static struct pinw_builder b;
static struct pinw_model *m;
static struct pinw_per_request requests;

static void start_story(void)
{
	static const uint64_t offsets[] = {0x1111};

	make_folder();
	pinw_builder_init(&b, 1);
	pinw_builder_module(&b, 1, "/opt/service");
	for (uint32_t id = SITE_LOCK; id <= SITE_UNLOCK; id++)
		pinw_builder_site(&b, id, 1, offsets, 1, 0);
}

static void end_story(void)
{
	pinw_per_request_done(&requests);
	pinw_model_free(m);
	remove_folder();
}

TestSuite(evidence, .init = start_story, .fini = end_story);

/* The process, whose stacks have these names; NULL: none. */
static const struct pinw_process *told(const char *function, const char *handler)
{
	pinw_builder_end(&b, PINW_END_EXIT, 0, 100 * SECOND);
	m = model_of(&b);
	for (uint32_t id = SITE_LOCK; id <= SITE_UNLOCK; id++) {
		struct pinw_site *s = pinw_table_find(&m->processes[0]->sites, id);
		cr_assert_not_null(s);
		s->names = calloc(1, sizeof(*s->names));
		cr_assert_not_null(s->names);
		s->names->function = function ? strdup(function) : NULL;
		s->names->handler = handler ? strdup(handler) : NULL;
		s->names->unnamed = !function;
	}
	cr_assert_eq(pinw_evidence_per_request(m->processes[0], &requests), 0);
	return m->processes[0];
}

static void lock_and_unlock(uint64_t at, uint32_t thread, uint64_t held_ns)
{
	pinw_builder_golock(&b, at, thread, 18 + thread, SITE_LOCK);
	pinw_builder_gounlock(&b, at + held_ns, thread, 18 + thread, SITE_LOCK, SITE_UNLOCK, held_ns);
}

static void expect_answers(enum pinw_answer all, enum pinw_answer stack, enum pinw_answer rate,
                           enum pinw_answer churn)
{
	cr_expect_eq(requests.answer, all, "%s", pinw_answer_words(requests.answer));
	cr_expect_eq(requests.by_stack, stack, "by stack: %s", pinw_answer_words(requests.by_stack));
	cr_expect_eq(requests.by_rate, rate, "by rate: %s", pinw_answer_words(requests.by_rate));
	cr_expect_eq(requests.by_churn, churn, "by churn: %s", pinw_answer_words(requests.by_churn));
}

#define NO PINW_ANSWER_NO
#define YES PINW_ANSWER_YES
#define UNKNOWN PINW_ANSWER_UNKNOWN

/* ---- stacks --------------------------------------------------------------------------------- */

Test(evidence, one_lock_in_a_handler_is_enough)
{
	lock_and_unlock(SECOND, 2, SECOND);
	told("main.work", "net/http.(*conn).serve");
	expect_answers(YES, YES, NO, NO);
	cr_assert_eq(requests.site_count, 1u);
	cr_expect(requests.sites[0].golock && requests.sites[0].by_stack && !requests.sites[0].by_rate);
	cr_expect_eq(requests.sites[0].site->rate.count, 1u);
}

Test(evidence, a_stack_without_names_cannot_clear)
{
	lock_and_unlock(SECOND, 2, SECOND);
	told(NULL, NULL);
	expect_answers(UNKNOWN, UNKNOWN, NO, NO);
	cr_expect_str_eq(requests.unknown[0], "1 of 1 stacks has frames without a name");
}

Test(evidence, a_stack_without_names_does_not_hide_the_rate)
{
	for (uint64_t i = 0; i < 120; i++)
		lock_and_unlock(SECOND + i * 5000000, 2, 1000);
	told(NULL, NULL);
	expect_answers(YES, UNKNOWN, YES, NO);
}

/* ---- rates ---------------------------------------------------------------------------------- */

Test(evidence, a_site_that_threads_come_back_to_is_by_rate)
{
	for (uint64_t i = 0; i < 24; i++) /* 12 a second, two seconds long, by two threads */
		lock_and_unlock(SECOND + i * SECOND / 12, 2 + i % 2, 1000);
	told("main.work", NULL);
	expect_answers(YES, NO, YES, NO);
	cr_expect_eq(requests.sites[0].site->rate.peak, 12u);
	cr_expect_eq(requests.sites[0].site->rate.repeats, 22u);
}

Test(evidence, a_burst_is_no_rate)
{
	for (uint64_t i = 0; i < 24; i++)
		lock_and_unlock(SECOND + i * 1000000, 2, 1000);
	told("main.measure", NULL);
	expect_answers(NO, NO, NO, NO);
	cr_expect_eq(requests.site_count, 0u);
}

Test(evidence, the_start_of_a_large_pool_is_no_rate)
{
	for (uint32_t i = 2; i < 500; i++)
		pinw_builder_golock(&b, SECOND + i * 1000, i, i, SITE_LOCK);
	for (uint32_t i = 2; i < 500; i++)
		pinw_builder_gounlock(&b, 50 * SECOND, i, i, SITE_LOCK, SITE_UNLOCK, 49 * SECOND);
	told("main.(*pool).work", NULL);
	expect_answers(NO, NO, NO, NO);
}

/* Records of many threads come nearly in order only. */
Test(evidence, the_order_of_records_does_not_matter)
{
	for (uint64_t i = 24; i-- > 0;)
		lock_and_unlock(SECOND + i * SECOND / 12, 2, 1000);
	told("main.work", NULL);
	expect_answers(YES, NO, YES, NO);
}

/* ---- churn ---------------------------------------------------------------------------------- */

static void short_life(uint64_t at, uint32_t thread, bool locked)
{
	pinw_builder_create(&b, at, 1, 0, thread, 0);
	pinw_builder_start(&b, at + 1000, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
	if (locked)
		pinw_builder_golock(&b, at + 2000, thread, 18 + thread, SITE_LOCK);
	if (locked)
		pinw_builder_godestroyed(&b, at + 3000, thread, 18 + thread, SITE_LOCK, 1000);
	pinw_builder_exit(&b, at + 4000, thread, PINW_EXIT_RETURN, 0xf);
	pinw_builder_join(&b, at + 5000, 1, thread);
}

static void name_the_unlock(void)
{
	lock_and_unlock(90 * SECOND, 1, 1000);
}

Test(evidence, threads_that_end_locked_and_are_replaced_are_churn)
{
	for (uint32_t i = 0; i < 24; i++)
		short_life(SECOND + i * SECOND / 12, 2 + i, true);
	name_the_unlock();
	const struct pinw_process *p = told("main.work", NULL);
	expect_answers(YES, NO, NO, YES);
	cr_expect(p->churn.count == 24 && p->churn.locked == 24 && p->churn.replaced == 23 &&
	          p->churn.peak == 12);
}

Test(evidence, short_lives_without_a_pin_are_no_churn)
{
	for (uint32_t i = 0; i < 300; i++)
		short_life(SECOND + i * 1000000, 2 + i, false);
	name_the_unlock();
	told("main.work", NULL);
	expect_answers(NO, NO, NO, NO);
}

Test(evidence, a_pool_that_ends_soon_is_no_churn)
{
	for (uint32_t i = 2; i < 300; i++) {
		pinw_builder_create(&b, SECOND + i, 1, 0, i, 0);
		pinw_builder_start(&b, SECOND + i, i, PINW_ORIGIN_NONE, 0, 0, 0xf);
		pinw_builder_golock(&b, SECOND + 1000 + i, i, i, SITE_LOCK);
	}
	for (uint32_t i = 2; i < 300; i++) {
		pinw_builder_gounlock(&b, SECOND + 2000 + i, i, i, SITE_LOCK, SITE_UNLOCK, 1000);
		pinw_builder_exit(&b, SECOND + 3000 + i, i, PINW_EXIT_RETURN, 0xf);
	}
	told("main.work", NULL);
	expect_answers(NO, NO, NO, NO);
}

/* ---- what cannot be told ------------------------------------------------------------------------ */

Test(evidence, dropped_events_leave_nothing_certain)
{
	lock_and_unlock(SECOND, 2, SECOND);
	b.live.counters.events_dropped = 1;
	told("main.work", NULL);
	expect_answers(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN);
}

Test(evidence, go_locks_that_are_not_seen_leave_nothing_certain)
{
	lock_and_unlock(SECOND, 2, SECOND);
	pinw_builder_note(&b, PINW_NOTE_GO_UNKNOWN, 0);
	told("main.work", NULL);
	expect_answers(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN);
}

Test(evidence, go_locks_that_may_go_by_unseen_leave_nothing_certain)
{
	static const enum pinw_note notes[] = {PINW_NOTE_GO_COPIES, PINW_NOTE_GO_PLUGINS,
	                                       PINW_NOTE_GO_LIBRARY};

	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		if (i) {
			end_story();
			start_story();
		}
		lock_and_unlock(SECOND, 2, SECOND);
		pinw_builder_note(&b, notes[i], 1);
		told("main.work", NULL);
		expect_answers(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN);
	}
}

Test(evidence, an_event_that_was_being_written_leaves_nothing_certain)
{
	lock_and_unlock(SECOND, 2, SECOND);
	pinw_builder_in_flight(&b, 2);
	told("main.work", NULL);
	expect_answers(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN);
}

/* Stacks that found no room. */
Test(evidence, pins_without_a_stack_leave_nothing_certain)
{
	lock_and_unlock(SECOND, 2, SECOND);
	pinw_builder_pin(&b, 4 * SECOND, 2, 2, 0, PINW_EFFECT_OPEN, 0x1);
	pinw_builder_pin(&b, 5 * SECOND, 2, 2, 0, PINW_EFFECT_RELEASE, 0xf);
	told("main.work", NULL);
	expect_answers(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN);
	cr_expect_str_eq(requests.unknown[0], "1 pin or Go lock has no stack");
}

Test(evidence, a_stack_that_may_be_short_cannot_clear)
{
	lock_and_unlock(SECOND, 2, SECOND);
	b.live.counters.unwinds_fp_only = 1;
	told("main.work", NULL);
	expect_answers(UNKNOWN, UNKNOWN, NO, NO);
}

/* ---- pairs, and workers --------------------------------------------------------------------------- */

static struct pinw_evidence paired(const struct pinw_process *p)
{
	struct pinw_evidence e;

	pinw_evidence_paired(p, &e);
	return e;
}

static struct pinw_evidence encapsulated(const struct pinw_process *p)
{
	struct pinw_evidence e;

	pinw_evidence_encapsulated(p, &requests, &e);
	return e;
}

Test(evidence, locks_that_all_end_are_paired_and_made_by_workers)
{
	lock_and_unlock(SECOND, 2, SECOND);
	const struct pinw_process *p = told("main.work", NULL);
	cr_expect_eq(paired(p).answer, YES, "%s", paired(p).text);
	cr_expect_eq(encapsulated(p).answer, YES, "%s", encapsulated(p).text);
}

Test(evidence, a_lock_that_ended_with_its_thread_is_not_paired)
{
	pinw_builder_golock(&b, SECOND, 2, 18, SITE_LOCK);
	pinw_builder_godestroyed(&b, 2 * SECOND, 2, 18, SITE_LOCK, SECOND);
	name_the_unlock();
	struct pinw_evidence e = paired(told("main.work", NULL));
	cr_expect_eq(e.answer, NO);
	cr_expect_str_eq(e.text, "of 2 Go locks 1 ended with their thread, 0 are unbalanced");
}

Test(evidence, an_unlock_that_nobody_saw_decides_nothing)
{
	pinw_builder_golock(&b, SECOND, 2, 18, SITE_LOCK);
	pinw_builder_gounlock(&b, 2 * SECOND, 2, 18, SITE_LOCK, 0, 0);
	name_the_unlock();
	cr_expect_eq(paired(told("main.work", NULL)).answer, UNKNOWN);
}

Test(evidence, a_lock_that_is_still_held_decides_nothing)
{
	name_the_unlock();
	pinw_builder_goheld(&b, pinw_builder_slot(&b, 3, PINW_SLOT_RUNNING, 0xf), SECOND, 18, SITE_LOCK, 1);
	cr_expect_eq(paired(told("main.work", NULL)).answer, UNKNOWN);
}

Test(evidence, a_lock_of_the_main_goroutine_is_no_workers)
{
	lock_and_unlock(SECOND, 2, SECOND);
	pinw_builder_golock(&b, 3 * SECOND, 2, 1, SITE_LOCK);
	pinw_builder_gounlock(&b, 4 * SECOND, 2, 1, SITE_LOCK, SITE_UNLOCK, SECOND);
	struct pinw_evidence e = encapsulated(told("main.main", NULL));
	cr_expect_eq(e.answer, NO);
	cr_expect_str_eq(e.text, "1 of 2 pins and Go locks were made by the main thread");
}

Test(evidence, locks_for_requests_are_no_workers)
{
	lock_and_unlock(SECOND, 2, SECOND);
	cr_expect_eq(encapsulated(told("main.work", "main.handler")).answer, NO);
}
