/* SPDX-License-Identifier: MIT
 *
 * The checklists, what pins leave of a machine, and advice. Names are given by hand, as in test_evidence.c.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "reports/advice.h"
#include "reports/scorecard.h"
#include "tests/report_rig.h"

enum { SITE_LOCK = 1, SITE_UNLOCK = 2, SITE_PIN = 3, SITES = 3 };

static struct pinw_builder b;
static struct pinw_model *m;
static struct pinw_capacity capacity;
static struct pinw_scorecard card;
static struct pinw_advices advices;

/* CPUs 0-3, as trace_builder.h says. */
static void start_story(void)
{
	static const uint64_t offsets[] = {0x1111};

	make_folder();
	pinw_builder_init(&b, 1);
	pinw_builder_module(&b, 1, "/opt/service");
	for (uint32_t id = 1; id <= SITES; id++)
		pinw_builder_site(&b, id, 1, offsets, 1, 0);
}

static void end_story(void)
{
	pinw_model_free(m);
	remove_folder();
}

TestSuite(scorecard, .init = start_story, .fini = end_story);

static void tell(void)
{
	m = model_of(&b);
	for (uint32_t id = 1; id <= SITES; id++) {
		struct pinw_site *s = pinw_table_find(&m->processes[0]->sites, id);
		cr_assert_not_null(s);
		s->names = calloc(1, sizeof(*s->names));
		cr_assert_not_null(s->names);
		s->names->function = strdup("main.work");
	}
	cr_assert_eq(pinw_capacity_of(m->processes[0], &capacity), 0);
	cr_assert_eq(pinw_scorecard_of(m->processes[0], &capacity, &card), 0);
	cr_assert_eq(pinw_advices_of(m->processes[0], &capacity, &advices), 0);
	cr_expect_eq(card.passed + card.failed + card.unseen, PINW_CARD_ITEMS);
}

static void end_and_tell(void)
{
	pinw_builder_end(&b, PINW_END_EXIT, 0, 100 * SECOND);
	tell();
}

static void begin_thread(uint64_t at, uint32_t thread)
{
	pinw_builder_create(&b, at, 1, 0, thread, 0);
	pinw_builder_start(&b, at, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
}

static void end_thread(uint64_t at, uint32_t thread)
{
	pinw_builder_exit(&b, at, thread, PINW_EXIT_RETURN, 0xf);
	pinw_builder_join(&b, at, 1, thread);
}

/* One locked for nearly all of the run. */
static void worker(uint32_t thread)
{
	begin_thread(SECOND, thread);
	pinw_builder_golock(&b, 2 * SECOND, thread, 18 + thread, SITE_LOCK);
	pinw_builder_gounlock(&b, 98 * SECOND, thread, 18 + thread, SITE_LOCK, SITE_UNLOCK, 96 * SECOND);
	end_thread(99 * SECOND, thread);
}

/* One pinned to a mask for a while. */
static void pinned(uint32_t thread, uint64_t from, uint64_t to, uint64_t mask)
{
	begin_thread(SECOND, thread);
	pinw_builder_pin(&b, from, thread, thread, SITE_PIN, PINW_EFFECT_OPEN, mask);
	pinw_builder_pin(&b, to, thread, thread, SITE_PIN, PINW_EFFECT_RELEASE, 0xf);
	end_thread(99 * SECOND, thread);
}

static void expect_item(const char *key, enum pinw_answer answer, const char *evidence)
{
	for (size_t i = 0; i < PINW_CARD_ITEMS; i++) {
		const struct pinw_card_item *item = &card.items[i];
		if (strcmp(item->key, key) != 0)
			continue;
		cr_expect_eq(item->evidence.answer, answer, "%s: %s: %s", key,
		             pinw_card_words(item->evidence.answer), item->evidence.text);
		cr_expect_not_null(strstr(item->evidence.text, evidence), "%s: %s", key, item->evidence.text);
		return;
	}
	cr_assert_fail("no item %s", key);
}

static const struct pinw_advice *advice_of(enum pinw_advice_kind kind)
{
	for (unsigned i = 0; i < advices.count; i++)
		if (advices.list[i].kind == kind)
			return &advices.list[i];
	return NULL;
}

#define PASS PINW_ANSWER_YES
#define FAIL PINW_ANSWER_NO
#define UNSEEN PINW_ANSWER_UNKNOWN

/* ---- the checklists ------------------------------------------------------------------------- */

Test(scorecard, a_pool_of_owners_passes_what_a_trace_can_decide)
{
	worker(2);
	worker(3);
	end_and_tell();
	expect_item("locks-paired", PASS, "2 Go locks");
	expect_item("pinned-by-workers", PASS, "none in the main thread");
	expect_item("shutdown-drains", PASS, "before the process did");
	expect_item("threads-expected", PASS, "threads most of the time: 3, expected 9 to 11");
	expect_item("cost-bounded", PASS, "at most 2 threads pinned at once");
	expect_item("balanced", PASS, "2 Go locks");
	cr_expect_eq(card.failed, 0u);
	cr_expect_eq(advices.count, 0u);
}

Test(scorecard, what_no_trace_can_show_is_never_passed)
{
	static const char *const keys[] = {
	    "commented",       "callers-unpinned",  "state-after-lock", "cleanup-before-unlock",
	    "startup-logged",  "threads-monitored", "justified",        "lifecycle-managed",
	    "failure-handled", "observable"};

	worker(2);
	end_and_tell();
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		expect_item(keys[i], UNSEEN, "");
	cr_expect_eq(card.passed, PINW_CARD_ITEMS - sizeof(keys) / sizeof(keys[0]));
}

Test(scorecard, a_process_that_does_nothing_passes_nothing)
{
	end_and_tell();
	cr_expect_eq(card.passed, 0u);
	cr_expect_eq(card.failed, 0u);
}

Test(scorecard, a_trace_with_gaps_passes_nothing)
{
	worker(2);
	b.live.counters.events_dropped = 3;
	end_and_tell();
	cr_expect_eq(card.passed, 0u);
	cr_expect_str_eq(capacity.gap, "events were dropped");
}

/* PINWARDEN_HOLD_TIMES=0: the records of unlocks say neither when nor how long. */
Test(scorecard, locks_whose_times_were_not_measured_are_not_taken_for_none_at_once)
{
	static const struct pinw_rec_golock unlock = {.e = {2 * SECOND, 2, SITE_UNLOCK},
	                                              .kind = PINW_GOLOCK_UNLOCK,
	                                              .flags = PINW_GOLOCK_UNTIMED,
	                                              .depth = 1,
	                                              .goid = 20,
	                                              .lock_site = SITE_LOCK};

	begin_thread(SECOND, 2);
	pinw_builder_golock(&b, 2 * SECOND, 2, 20, SITE_LOCK);
	pinw_builder_event(&b, PINW_REC_GOLOCK, &unlock, sizeof(unlock), NULL, 0);
	b.live.counters.gounlocks++;
	b.live.counters.golocks_open--;
	for (uint32_t i = 3; i < 20; i++) {
		begin_thread(SECOND, i);
		end_thread(99 * SECOND, i);
	}
	end_thread(99 * SECOND, 2);
	end_and_tell();
	cr_expect_str_eq(capacity.gap, "until when pins and Go locks were held is not known of all");
	expect_item("threads-expected", UNSEEN, "not known of all");
	expect_item("cost-bounded", PASS, "at least 1 thread pinned at once");
	expect_item("balanced", PASS, "1 Go lock");
}

Test(scorecard, dropped_events_do_not_show_too_many_threads)
{
	for (uint32_t i = 3; i < 20; i++) {
		begin_thread(SECOND, i);
		end_thread(99 * SECOND, i);
	}
	worker(2);
	b.live.counters.events_dropped = 3;
	end_and_tell();
	expect_item("threads-expected", UNSEEN, "events were dropped");
}

Test(scorecard, a_pin_that_was_only_inherited_is_not_undone)
{
	begin_thread(SECOND, 2);
	pinw_builder_create(&b, SECOND, 1, 0, 3, 0);
	pinw_builder_start(&b, SECOND, 3, PINW_ORIGIN_INHERITED, SITE_PIN, 1, 0x1);
	pinw_builder_exit_pinned(&b, 9 * SECOND, 3, PINW_ORIGIN_INHERITED, SITE_PIN, 1, 8 * SECOND);
	end_thread(99 * SECOND, 2);
	end_and_tell();
	expect_item("balanced", UNSEEN, "none was made");
}

Test(scorecard, a_pin_over_an_inherited_one_is_not_passed_as_undone)
{
	pinned(2, 2 * SECOND, 3 * SECOND, 0x1);
	pinw_builder_create(&b, SECOND, 1, 0, 3, 0);
	pinw_builder_start(&b, SECOND, 3, PINW_ORIGIN_INHERITED, SITE_PIN, 1, 0x1);
	pinw_builder_pin(&b, 2 * SECOND, 3, 3, SITE_PIN, PINW_EFFECT_MOVE, 0x2);
	pinw_builder_exit_pinned(&b, 9 * SECOND, 3, PINW_ORIGIN_INHERITED, SITE_PIN, 1, 8 * SECOND);
	end_and_tell();
	expect_item("balanced", UNSEEN, "changed the mask they inherited, and ended so: 1");
}

Test(scorecard, locks_that_end_with_their_threads_fail)
{
	worker(2);
	begin_thread(SECOND, 3);
	pinw_builder_golock(&b, 2 * SECOND, 3, 21, SITE_LOCK);
	pinw_builder_godestroyed(&b, 9 * SECOND, 3, 21, SITE_LOCK, 7 * SECOND);
	end_thread(9 * SECOND, 3);
	end_and_tell();
	expect_item("locks-paired", FAIL, "1 ended with their thread");
	expect_item("balanced", FAIL, "1 Go lock ended with their thread");
}

Test(scorecard, pins_of_cpus_that_end_with_their_threads_fail)
{
	begin_thread(SECOND, 2);
	pinw_builder_pin(&b, 2 * SECOND, 2, 2, SITE_PIN, PINW_EFFECT_OPEN, 0x1);
	pinw_builder_exit_pinned(&b, 9 * SECOND, 2, PINW_ORIGIN_SELF, SITE_PIN, 2, 7 * SECOND);
	end_and_tell();
	expect_item("locks-paired", FAIL, "of 1 pins of CPUs 1 ended");
	expect_item("balanced", FAIL, "1 pin and 0 Go locks");
}

Test(scorecard, a_worker_that_is_there_at_the_end_was_not_drained)
{
	begin_thread(SECOND, 2);
	pinw_builder_goheld(&b, pinw_builder_slot(&b, 2, PINW_SLOT_RUNNING, 0xf), SECOND, 20, SITE_LOCK, 1);
	end_and_tell();
	expect_item("shutdown-drains", FAIL, "1 pinned thread was still there");
	expect_item("lifecycle-managed", FAIL, "still there");
	expect_item("balanced", UNSEEN, "still held");
}

Test(scorecard, a_killed_process_had_no_chance_to_drain)
{
	worker(2);
	pinw_builder_end(&b, PINW_END_SIGNAL, 15, 100 * SECOND);
	tell();
	expect_item("shutdown-drains", UNSEEN, "did not end by itself");
}

/* ---- capacity ----------------------------------------------------------------------------------- */

/* Exercise B: as many owners as CPUs. */
Test(scorecard, as_many_owners_as_cpus_leave_none)
{
	for (uint32_t i = 2; i < 6; i++)
		worker(i);
	end_and_tell();
	cr_expect_eq(capacity.cpus, 4u);
	cr_expect_eq(capacity.pinned, 4u);
	cr_expect_eq(capacity.used, 0u, "a Go lock binds to no CPU");
	cr_expect_eq(capacity.left, 4u);
	cr_expect_eq(capacity.left_busy, 0u);
	cr_expect_eq(capacity.expected_min, 11u);
	cr_expect_eq(capacity.expected_max, 13u);
	cr_expect_eq(capacity.steady, 5u);
	cr_assert_not_null(advice_of(PINW_ADVICE_ALL_CPUS));
	cr_expect_str_eq(advice_of(PINW_ADVICE_ALL_CPUS)->what,
	                 "up to 4 threads were pinned at once, and while they are busy take all 4 CPUs");
}

Test(scorecard, more_threads_than_expected_fail)
{
	worker(2);
	for (uint32_t i = 3; i < 20; i++) {
		begin_thread(SECOND, i);
		end_thread(99 * SECOND, i);
	}
	end_and_tell();
	expect_item("threads-expected", FAIL, "19 threads most of the time, at most 10 expected");
}

Test(scorecard, a_short_crowd_is_not_the_steady_count)
{
	worker(2);
	for (uint32_t i = 3; i < 20; i++) {
		begin_thread(SECOND, i);
		end_thread(20 * SECOND, i);
	}
	end_and_tell();
	expect_item("threads-expected", PASS, "threads most of the time: 2, expected 8 to 10");
}

Test(scorecard, what_a_program_that_is_not_go_should_have_is_not_known)
{
	pinned(2, 2 * SECOND, 3 * SECOND, 0x1);
	end_and_tell();
	cr_expect(!capacity.is_go);
	expect_item("threads-expected", UNSEEN, "2 threads most of the time");
	expect_item("balanced", PASS, "1 pin, 0 Go locks");
	expect_item("locks-paired", UNSEEN, "which function releases");
}

Test(scorecard, pins_one_after_the_other_take_one_cpu_at_a_time)
{
	pinned(2, 2 * SECOND, 3 * SECOND, 0x1);
	pinned(3, 4 * SECOND, 5 * SECOND, 0x2);
	end_and_tell();
	cr_expect_eq(capacity.pinned, 1u);
	cr_expect_eq(capacity.taken, 2u);
	cr_expect_eq(capacity.left, 3u);
	cr_expect_eq(capacity.left_busy, 3u);
	cr_expect_eq(advices.count, 0u);
}

/* ---- advice ----------------------------------------------------------------------------------- */

Test(scorecard, two_threads_alone_on_a_cpu_are_double_booked)
{
	pinned(2, 2 * SECOND, 10 * SECOND, 0x4);
	pinned(3, 4 * SECOND, 5 * SECOND, 0x4);
	end_and_tell();
	cr_expect_eq(capacity.used, 1u);
	cr_expect_eq(capacity.left, 3u);
	cr_assert_not_null(advice_of(PINW_ADVICE_DOUBLE_BOOKED));
	cr_expect_str_eq(advice_of(PINW_ADVICE_DOUBLE_BOOKED)->what,
	                 "CPU 2 was the only one of up to 2 threads at once");
	cr_expect_eq(advices.count, 1u);
}

/* As where a thread is created by one that is pinned, and then takes a CPU of its own. */
Test(scorecard, a_thread_that_moved_to_another_cpu_books_the_first_one_no_more)
{
	begin_thread(SECOND, 2);
	pinw_builder_pin(&b, 2 * SECOND, 2, 2, SITE_PIN, PINW_EFFECT_OPEN, 0x4);
	pinw_builder_pin(&b, 3 * SECOND, 2, 2, SITE_PIN, PINW_EFFECT_MOVE, 0x2);
	pinned(3, 4 * SECOND, 5 * SECOND, 0x4);
	pinw_builder_pin(&b, 10 * SECOND, 2, 2, SITE_PIN, PINW_EFFECT_RELEASE, 0xf);
	end_thread(99 * SECOND, 2);
	end_and_tell();
	cr_expect_eq(capacity.doubled, 1u);
	cr_expect_eq(capacity.taken, 2u);
	cr_expect_eq(capacity.used, 2u);
	cr_expect_null(advice_of(PINW_ADVICE_DOUBLE_BOOKED));
}

Test(scorecard, two_threads_that_meet_on_a_cpu_are_double_booked)
{
	begin_thread(SECOND, 2);
	pinw_builder_pin(&b, 2 * SECOND, 2, 2, SITE_PIN, PINW_EFFECT_OPEN, 0x4);
	pinw_builder_pin(&b, 3 * SECOND, 2, 2, SITE_PIN, PINW_EFFECT_MOVE, 0x2);
	pinned(3, 4 * SECOND, 5 * SECOND, 0x2);
	pinw_builder_pin(&b, 10 * SECOND, 2, 2, SITE_PIN, PINW_EFFECT_RELEASE, 0xf);
	end_thread(99 * SECOND, 2);
	end_and_tell();
	cr_expect_eq(capacity.doubled, 2u);
	cr_expect_eq(capacity.doubled_cpu, 1u);
	cr_assert_not_null(advice_of(PINW_ADVICE_DOUBLE_BOOKED));
}

Test(scorecard, an_inherited_mask_is_named_with_the_pin_it_came_from)
{
	pinw_builder_pin(&b, SECOND, 1, 1, SITE_PIN, PINW_EFFECT_OPEN, 0x1);
	pinw_builder_create(&b, 2 * SECOND, 1, 0, 2, 0);
	pinw_builder_start(&b, 2 * SECOND, 2, PINW_ORIGIN_INHERITED, SITE_PIN, 1, 0x1);
	end_and_tell();
	const struct pinw_advice *a = advice_of(PINW_ADVICE_INHERITED);
	cr_assert_not_null(a);
	cr_assert_not_null(a->site);
	cr_expect_eq(a->site->id, (uint32_t)SITE_PIN);
}

Test(scorecard, a_lock_without_affinity_is_named_where_others_are_pinned)
{
	worker(2);
	pinned(3, 2 * SECOND, 3 * SECOND, 0x1);
	end_and_tell();
	const struct pinw_advice *a = advice_of(PINW_ADVICE_NO_AFFINITY);
	cr_assert_not_null(a);
	cr_assert_not_null(a->site);
	cr_expect_eq(a->site->id, (uint32_t)SITE_LOCK);
	cr_expect_null(advice_of(PINW_ADVICE_NO_LOCK), "its call was not Go's");
}

Test(scorecard, requests_get_the_cure_and_the_place)
{
	for (uint64_t i = 0; i < 24; i++) {
		uint32_t thread = 2 + i % 2;
		pinw_builder_golock(&b, SECOND + i * SECOND / 12, thread, 18, SITE_LOCK);
		pinw_builder_gounlock(&b, SECOND + i * SECOND / 12 + 1000, thread, 18, SITE_LOCK, SITE_UNLOCK,
		                      1000);
	}
	end_and_tell();
	const struct pinw_advice *a = advice_of(PINW_ADVICE_PER_REQUEST);
	cr_assert_not_null(a);
	cr_expect_str_eq(a->what, "24 Go locks were taken for requests, at 1 place");
	cr_expect_str_eq(a->cure, PINW_PER_REQUEST_CURE);
	cr_assert_not_null(a->site);
	cr_expect_eq(a->site->id, (uint32_t)SITE_LOCK);
	expect_item("cost-bounded", FAIL, "pinned per request: at 1 stack");
}

Test(scorecard, requests_are_counted_at_all_their_places)
{
	for (uint64_t i = 0; i < 24; i++) {
		uint64_t at = SECOND + i * SECOND / 12;
		pinw_builder_golock(&b, at, 2, 18, SITE_LOCK);
		pinw_builder_gounlock(&b, at + 1000, 2, 18, SITE_LOCK, SITE_UNLOCK, 1000);
		pinw_builder_pin(&b, at, 3, 3, SITE_PIN, PINW_EFFECT_OPEN, 0x1);
		pinw_builder_pin(&b, at + 1000, 3, 3, SITE_PIN, PINW_EFFECT_RELEASE, 0xf);
	}
	end_and_tell();
	const struct pinw_advice *a = advice_of(PINW_ADVICE_PER_REQUEST);
	cr_assert_not_null(a);
	cr_expect_str_eq(a->what, "48 pins and Go locks were made for requests, at 2 places");
}
