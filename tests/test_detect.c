/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "tests/policy_rig.h"

#define SECOND UINT64_C(1000000000)
#define UNIT (UINT64_C(1) << 14) /* of a window's clock */
#define DAY (86400 * SECOND)

static struct policy_rig rig;

/* ---- windows ----------------------------------------------------------------------------------------- */

Test(detect, a_window_starts_with_its_first_event)
{
	uint64_t window = 0, t = 5 * SECOND + 400000000;

	cr_expect_eq(pinw_window_count(&window, t, SECOND), 1);
	cr_expect_eq(pinw_window_count(&window, t, SECOND), 2);
	cr_expect_eq(pinw_window_count(&window, t + SECOND - UNIT, SECOND), 3, "just inside");
	cr_expect_eq(pinw_window_count(&window, t + SECOND + UNIT, SECOND), 1, "just behind");
	cr_expect_eq(pinw_window_count(&window, t + 2 * SECOND, SECOND), 2, "counted from the new start");
	cr_expect_eq(pinw_window_count(&window, t + 9 * SECOND, SECOND), 1);
}

Test(detect, the_first_instant_of_all_is_a_time_like_others)
{
	uint64_t window = 0;

	cr_expect_eq(pinw_window_count(&window, 0, SECOND), 1);
	cr_expect_eq(pinw_window_count(&window, 0, SECOND), 2);
}

/* A thread may read the clock, be preempted, and count after others have begun a window. */
Test(detect, an_event_from_before_the_window_is_counted_in_it)
{
	uint64_t window = 0, t = 100 * SECOND;

	cr_expect_eq(pinw_window_count(&window, t, SECOND), 1);
	cr_expect_eq(pinw_window_count(&window, t - SECOND / 2, SECOND), 2);
	cr_expect_eq(pinw_window_count(&window, t - 30 * SECOND, SECOND), 3);
	cr_expect_eq(pinw_window_count(&window, t + SECOND / 2, SECOND), 4, "and does not move its start");
}

Test(detect, windows_work_in_their_whole_range)
{
	static const uint64_t lengths[] = {1, 100000, SECOND, 3600 * SECOND, 30 * DAY};
	static const uint64_t times[] = {0, DAY, 207 * DAY, 209 * DAY, 4000 * DAY};

	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
		uint64_t window = 0;

		for (size_t t = 0; t < sizeof(times) / sizeof(times[0]); t++) {
			uint64_t now = times[t] + SECOND;

			cr_expect_eq(pinw_window_count(&window, now, lengths[l]), 1, "%zu %zu", l, t);
			cr_expect_eq(pinw_window_count(&window, now, lengths[l]), 2, "%zu %zu", l, t);
			/* Behind its end, so that the next time finds it over. */
			cr_expect_eq(pinw_window_count(&window, now + lengths[l] + UNIT, lengths[l]), 1,
			             "%zu %zu", l, t);
			window = t % 2 ? 0 : window;
		}
	}
}

Test(detect, a_full_window_stands_still)
{
	uint64_t window = 0;
	uint64_t full = (UINT64_C(1) << 24) - 1;

	pinw_window_count(&window, SECOND, SECOND);
	window += full - 2;
	cr_expect_eq(pinw_window_count(&window, SECOND, SECOND), full);
	cr_expect_eq(pinw_window_count(&window, SECOND, SECOND), full);
	cr_expect_eq(pinw_window_count(&window, 3 * SECOND, SECOND), 1, "until it ends");
}

#define THREADS 64u
#define EVENTS 2000u

static pthread_barrier_t barrier;
static uint64_t shared_window;
static uint8_t given[THREADS * EVENTS + 1];

static void *count_events(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < EVENTS; i++) {
		uint64_t n = pinw_window_count(&shared_window, SECOND + i, SECOND);

		if (n <= THREADS * EVENTS)
			__atomic_fetch_add(&given[n], 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

Test(detect, sixty_four_threads_get_each_number_once)
{
	pthread_t threads[THREADS];

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, count_events, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(given[0], 0);
	for (unsigned n = 1; n <= THREADS * EVENTS; n++)
		cr_assert_eq(given[n], 1, "number %u was given %u times", n, given[n]);
}

/* ---- creation rate --------------------------------------------------------------------------------------- */

static uint16_t created_at(uint64_t now)
{
	struct pinw_verdict verdict;

	pinw_policy_judge_rate(&rig.policy, &rig.state, now, &verdict);
	return verdict.rule ? verdict.rule->id : 0;
}

Test(detect, creations_beyond_the_rate_are_refused_until_the_window_ends)
{
	struct pinw_verdict verdict;

	rig_add(&rig, (struct pinw_rule){
	                  .section = PINW_SECTION_CAPS, .cap = PINW_CAP_THREAD_RATE, .rate = {3, SECOND}});
	rig_ready(&rig);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(created_at(SECOND), 0);
	cr_expect_eq(created_at(SECOND), 1);
	pinw_policy_judge_rate(&rig.policy, &rig.state, SECOND, &verdict);
	cr_expect(verdict.action == PINW_ACTION_DENY && verdict.value == 5 && verdict.limit == 3);
	cr_expect_eq(created_at(2 * SECOND + UNIT), 0);
	cr_expect_eq(rig.state.rules[0].matched, 2);
}

Test(detect, a_warning_of_the_rate_has_a_window_of_its_own)
{
	rig_add(&rig, (struct pinw_rule){
	                  .section = PINW_SECTION_CAPS, .cap = PINW_CAP_THREAD_RATE, .rate = {3, SECOND}});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_CAPS,
	                                 .cap = PINW_CAP_THREAD_RATE,
	                                 .rate = {5, 60 * SECOND},
	                                 .is_warning = true,
	                                 .action = PINW_ACTION_LOG});
	rig_ready(&rig);
	for (unsigned i = 1; i <= 10; i++)
		cr_expect_eq(created_at(2 * i * SECOND), i == 5 ? 2 : 0, "creation %u", i);
	for (unsigned i = 1; i <= 5; i++)
		cr_expect_eq(created_at(100 * SECOND), i > 3 ? 1 : 0, "the rate itself goes before");
}

/* ---- churn ----------------------------------------------------------------------------------------------- */

static struct rig_stack handler, other;

static struct pinw_thread_facts ended(const struct rig_stack *pin, uint64_t lived)
{
	return (struct pinw_thread_facts){.thread_name = "app",
	                                  .pin = &pin->match,
	                                  .now_ns = 100 * SECOND,
	                                  .started_ns = 100 * SECOND - lived,
	                                  .has_pinned = true,
	                                  .ended = true};
}

static uint16_t churned(const struct pinw_thread_facts *facts)
{
	struct pinw_verdict verdict;

	pinw_policy_judge_churn(&rig.policy, &rig.state, facts, &verdict);
	return verdict.rule ? verdict.rule->id : 0;
}

static void churn_rule(struct pinw_rule rule)
{
	rule.section = PINW_SECTION_BAN;
	rule.churn = (struct pinw_rate){2, 10 * SECOND};
	rule.short_lived_ns = SECOND;
	rig_add(&rig, rule);
}

static void churn_ready(void)
{
	rig_ready(&rig);
	RIG_STACK(&rig, &handler, "app!LoginHandler");
	RIG_STACK(&rig, &other, "app!elsewhere");
}

Test(detect, churn_trips_once_and_for_one_window)
{
	struct pinw_thread_facts facts;

	churn_rule((struct pinw_rule){0});
	churn_ready();
	facts = ended(&handler, SECOND / 2);
	for (unsigned i = 1; i <= 6; i++)
		cr_expect_eq(churned(&facts), i == 3 ? 1 : 0, "end %u", i);
	cr_expect_eq(rig.state.rules[0].churn_until_ns, 110 * SECOND);
	facts.now_ns += 11 * SECOND;
	facts.started_ns += 11 * SECOND;
	for (unsigned i = 1; i <= 3; i++)
		cr_expect_eq(churned(&facts), i == 3 ? 1 : 0, "next window, end %u", i);
	cr_expect_eq(rig.state.rules[0].churn_until_ns, 121 * SECOND);
}

Test(detect, only_short_lived_threads_that_pinned_are_churn)
{
	static const struct {
		const char *what;
		bool has_pinned, ended, counts;
		uint64_t lived;
	} cases[] = {
	    {"short-lived, pinned", true, true, true, SECOND - 1},
	    {"not short-lived", true, true, false, SECOND},
	    {"never pinned", false, true, false, 1},
	    {"not over", true, false, false, 1},
	    {"a start later than its end", true, true, true, (uint64_t)-5},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pinw_thread_facts facts;

		memset(&rig, 0, sizeof(rig));
		churn_rule((struct pinw_rule){0});
		churn_ready();
		facts = ended(&handler, cases[i].lived);
		facts.has_pinned = cases[i].has_pinned;
		facts.ended = cases[i].ended;
		churned(&facts);
		churned(&facts);
		cr_expect_eq(churned(&facts), cases[i].counts, "%s", cases[i].what);
	}
}

Test(detect, churn_counts_by_the_rules_own_predicates)
{
	struct pinw_thread_facts facts;

	churn_rule((struct pinw_rule){.functions = GLOBS("*Handler")});
	churn_rule((struct pinw_rule){.thread_names = GLOBS("web")});
	churn_rule((struct pinw_rule){.after_ns = 101 * SECOND});
	churn_ready();
	facts = ended(&other, 1);
	for (unsigned i = 0; i < 9; i++)
		cr_expect_eq(churned(&facts), 0);
	facts.pin = &handler.match;
	churned(&facts);
	churned(&facts);
	cr_expect_eq(churned(&facts), 1);
	facts.pin = NULL;
	facts.thread_name = "web";
	churned(&facts);
	churned(&facts);
	cr_expect_eq(churned(&facts), 2);
}

/* With which of the two ends a thread is churn for a rule. */
Test(detect, threads_that_locked_are_churn_as_those_that_pinned)
{
	const struct {
		const char *what;
		struct pinw_rule rule;
		bool by_pin, by_lock;
	} cases[] = {
	    {"any", {0}, true, true},
	    {"kind = cpu", {.kinds = PINW_KINDS_CPU}, true, false},
	    {"kind = go", {.kinds = PINW_KINDS_GO}, false, true},
	    {"call = golock", {.calls = PINW_CALLS_GOLOCK}, false, true},
	    {"call = attr, golock", {.calls = PINW_CALLS_GOLOCK | PINW_CALLS_ATTR}, true, true},
	    {"function of the pin", {.functions = GLOBS("*Handler")}, true, false},
	    {"function of the lock", {.functions = GLOBS("elsewhere")}, false, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&rig, 0, sizeof(rig));
		churn_rule(cases[i].rule);
		churn_ready();
		struct pinw_thread_facts facts = ended(&handler, 1);
		facts.golock = &other.match;
		for (unsigned n = 1; n <= 3; n++)
			cr_expect_eq(churned(&facts), n == 3 && cases[i].by_pin, "%s, pin", cases[i].what);
		rig.state.rules[0] = (struct pinw_rule_state){0};
		facts.has_pinned = false;
		facts.has_golocked = true;
		for (unsigned n = 1; n <= 3; n++)
			cr_expect_eq(churned(&facts), n == 3 && cases[i].by_lock, "%s, lock", cases[i].what);
		rig.state.rules[0] = (struct pinw_rule_state){0};
		facts.has_pinned = true;
		for (unsigned n = 1; n <= 3; n++)
			cr_expect_eq(churned(&facts), n == 3, "%s, both, counted once", cases[i].what);
	}
}

Test(detect, threads_that_an_allow_speaks_for_are_no_churn)
{
	struct pinw_thread_facts facts;

	churn_rule((struct pinw_rule){0});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_ALLOW, .functions = GLOBS("*Handler")});
	churn_ready();
	facts = ended(&handler, 1);
	for (unsigned i = 0; i < 9; i++)
		cr_expect_eq(churned(&facts), 0);
	facts.pin = &other.match;
	for (unsigned i = 1; i <= 3; i++)
		cr_expect_eq(churned(&facts), i == 3 ? 1 : 0);
}
