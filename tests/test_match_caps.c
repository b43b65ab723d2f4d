/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "tests/policy_rig.h"

static struct policy_rig rig;

static const uint64_t cpu0[2] = {1}, cpu1[2] = {2}, cpu70[2] = {0, 1u << 6};
static const uint64_t four[2] = {0xf};

static uint16_t cap(enum pinw_cap which, uint64_t limit)
{
	return rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_CAPS, .cap = which, .limit = limit});
}

static uint16_t warn(enum pinw_cap which, uint64_t limit)
{
	return rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_CAPS,
	                                        .cap = which,
	                                        .limit = limit,
	                                        .is_warning = true,
	                                        .action = PINW_ACTION_LOG});
}

static struct pinw_attempt pin_to(const uint64_t *mask, struct pinw_hold held)
{
	return (struct pinw_attempt){.calls = PINW_CALLS_SETAFFINITY,
	                             .kind = PINW_KINDS_CPU,
	                             .mask = mask,
	                             .thread_name = "",
	                             .held = held};
}

static struct pinw_hold try_pin(const uint64_t *mask, struct pinw_hold held, uint16_t rule)
{
	struct pinw_attempt a = pin_to(mask, held);

	return rig_pin(&rig, &a, rule);
}

static const struct pinw_hold nothing;

static void release(struct pinw_hold *held)
{
	*held = pinw_policy_rehold(&rig.policy, &rig.state, held, NULL);
}

static uint64_t on_cpus(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < RIG_CPUS; i++)
		sum += rig.state.cpu_pins[i];
	return sum;
}

Test(match_caps, max_pinned_is_reached_and_not_passed)
{
	struct pinw_hold a, b;

	cap(PINW_CAP_MAX_PINNED, 2);
	rig_ready(&rig);
	a = try_pin(cpu0, nothing, 0);
	b = try_pin(four, nothing, 0);
	try_pin(cpu1, nothing, 1);
	cr_expect_eq(rig.state.pinned, 2);
	release(&a);
	try_pin(cpu1, b, 0);
	try_pin(cpu0, nothing, 0);
	try_pin(cpu0, nothing, 1);
}

/* Narrowing and moving raise the depth, not the number of pinned threads. */
Test(match_caps, a_pinned_thread_that_pins_itself_again_counts_once)
{
	struct pinw_hold a;

	cap(PINW_CAP_MAX_PINNED, 1);
	cap(PINW_CAP_MAX_PINNED_PER_CPU, 1);
	rig_ready(&rig);
	a = try_pin(four, nothing, 0);
	a = try_pin(cpu0, a, 0);
	a = try_pin(cpu0, a, 0);
	a = try_pin(cpu1, a, 0);
	cr_expect_eq(rig.state.pinned, 1);
	cr_expect_eq(on_cpus(), 1);
	release(&a);
	cr_expect_eq(rig.state.pinned, 0);
	cr_expect_eq(on_cpus(), 0);
}

Test(match_caps, double_booking_of_a_cpu)
{
	struct pinw_hold a;

	cap(PINW_CAP_MAX_PINNED_PER_CPU, 1);
	rig_ready(&rig);
	a = try_pin(cpu70, nothing, 0);
	cr_expect_eq(a.cpu, 71);
	try_pin(cpu70, nothing, 1);
	try_pin(cpu0, nothing, 0);
	release(&a);
	try_pin(cpu70, nothing, 0);
}

Test(match_caps, a_move_takes_the_new_place_before_the_old_is_given_back)
{
	struct pinw_hold a, now;
	struct pinw_verdict verdict;
	struct pinw_attempt move;

	cap(PINW_CAP_MAX_PINNED_PER_CPU, 1);
	rig_ready(&rig);
	a = try_pin(cpu0, nothing, 0);
	move = pin_to(cpu1, a);
	pinw_policy_judge_pin(&rig.policy, &rig.state, &move, &verdict, &now);
	cr_expect_eq(verdict.action, PINW_ACTION_NONE);
	cr_expect(rig.state.cpu_pins[0] == 1 && rig.state.cpu_pins[1] == 1, "both are taken");
	pinw_policy_cancel(&rig.state, &a, &now);
	cr_expect(rig.state.cpu_pins[0] == 1 && rig.state.cpu_pins[1] == 0, "the call failed: it stays");
	a = try_pin(cpu1, a, 0);
	cr_expect(rig.state.cpu_pins[0] == 0 && rig.state.cpu_pins[1] == 1, "it went");
	try_pin(cpu1, nothing, 1);
	try_pin(cpu0, a, 0);
}

Test(match_caps, masks_of_several_cpus_are_held_against_as_many_times_the_limit)
{
	struct pinw_attempt a = pin_to(four, nothing);
	struct pinw_verdict verdict;
	struct pinw_hold hold;

	cap(PINW_CAP_MAX_PINNED_PER_CPU, 2);
	rig_ready(&rig);
	cr_expect(pinw_policy_wants_inside(&rig.policy, four));
	cr_expect_not(pinw_policy_wants_inside(&rig.policy, cpu0));
	cr_expect_not(pinw_policy_wants_inside(&rig.policy, NULL));
	a.inside = 7;
	pinw_policy_judge_pin(&rig.policy, &rig.state, &a, &verdict, &hold);
	cr_expect_eq(verdict.action, PINW_ACTION_NONE);
	cr_expect_eq(hold.cpu, 0);
	a.inside = 8;
	pinw_policy_judge_pin(&rig.policy, &rig.state, &a, &verdict, &hold);
	cr_expect_eq(verdict.action, PINW_ACTION_DENY);
	cr_expect_eq(verdict.value, 9);
	cr_expect_eq(verdict.limit, 8);
	rig.rules[0].limit = UINT64_MAX / 2;
	pinw_policy_judge_pin(&rig.policy, &rig.state, &a, &verdict, &hold);
	cr_expect_eq(verdict.action, PINW_ACTION_NONE, "a limit too large to multiply is no limit");
}

Test(match_caps, reserved_cpus_may_not_be_touched)
{
	rig_add(&rig,
	        (struct pinw_rule){.section = PINW_SECTION_CAPS, .cap = PINW_CAP_RESERVE_CPUS, .cpus = cpu1});
	rig_ready(&rig);
	try_pin(cpu0, nothing, 0);
	try_pin(cpu1, nothing, 1);
	try_pin(four, nothing, 1);
	try_pin(cpu70, nothing, 0);
}

/* What is allowed or only logged is there all the same, and counts. */
Test(match_caps, pins_beyond_a_cap_are_counted_too)
{
	struct pinw_hold a;

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_CAPS,
	                                 .cap = PINW_CAP_MAX_PINNED,
	                                 .limit = 1,
	                                 .action = PINW_ACTION_LOG});
	rig_ready(&rig);
	try_pin(cpu0, nothing, 0);
	a = try_pin(cpu0, nothing, 1);
	cr_expect_eq(rig.state.pinned, 2);
	release(&a);
	cr_expect_eq(rig.state.pinned, 1);
}

Test(match_caps, an_external_change_moves_the_counters_without_a_verdict)
{
	struct pinw_hold a = nothing;

	rig_ready(&rig);
	rig.policy.pin_width = 2;
	a = pinw_policy_rehold(&rig.policy, &rig.state, &a, cpu0);
	cr_expect_eq(rig.state.pinned, 1);
	cr_expect_eq(rig.state.cpu_pins[0], 1);
	a = pinw_policy_rehold(&rig.policy, &rig.state, &a, cpu70);
	cr_expect_eq(rig.state.pinned, 1);
	cr_expect_eq(rig.state.cpu_pins[0], 0);
	cr_expect_eq(rig.state.cpu_pins[70], 1);
	a = pinw_policy_rehold(&rig.policy, &rig.state, &a, four);
	cr_expect_eq(rig.state.pinned, 0, "too wide for pin_width");
	cr_expect_eq(on_cpus(), 0);
	cr_expect_eq(memcmp(&a, &nothing, sizeof(a)), 0);
}

static struct pinw_attempt lock_on(uint32_t *pins)
{
	return (struct pinw_attempt){
	    .calls = PINW_CALLS_GOLOCK, .kind = PINW_KINDS_GO, .thread_name = "", .held = {.pins = pins}};
}

Test(match_caps, a_thread_with_a_pin_and_a_go_lock_counts_once)
{
	uint32_t pins = 0, others = 0;
	struct pinw_hold pin, golock;
	struct pinw_attempt a = pin_to(cpu0, (struct pinw_hold){.pins = &pins});

	cap(PINW_CAP_MAX_PINNED, 1);
	rig_ready(&rig);
	pin = rig_pin(&rig, &a, 0);
	a = lock_on(&pins);
	golock = rig_pin(&rig, &a, 0);
	cr_expect(rig.state.pinned == 1 && pins == 2);
	a = lock_on(&others);
	rig_pin(&rig, &a, 1);
	cr_expect(rig.state.pinned == 1 && others == 0, "denied");
	release(&pin);
	cr_expect(rig.state.pinned == 1 && pins == 1, "the lock goes on");
	release(&golock);
	cr_expect(rig.state.pinned == 0 && pins == 0);
	rig_pin(&rig, &a, 0);
	cr_expect_eq(rig.state.pinned, 1);
}

Test(match_caps, an_allow_counts_go_locks_apart_from_the_pins_of_their_threads)
{
	uint32_t pins = 0;
	struct pinw_hold pin, golock;
	struct pinw_attempt a = pin_to(cpu0, (struct pinw_hold){.pins = &pins});

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_ALLOW, .kinds = PINW_KINDS_GO, .limit = 1});
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_ALLOW, .kinds = PINW_KINDS_CPU, .limit = 1});
	cap(PINW_CAP_MAX_PINNED, 0);
	cap(PINW_CAP_MAX_PINNED_PER_CPU, 1);
	rig_ready(&rig);
	pin = rig_pin(&rig, &a, 0);
	a = lock_on(&pins);
	golock = rig_pin(&rig, &a, 0);
	cr_expect(pin.allow == 2 && pin.cpu == 1);
	cr_expect(golock.allow == 1 && golock.cpu == 0);
	cr_expect(rig.state.rules[0].open == 1 && rig.state.rules[1].open == 1 && on_cpus() == 1);
	release(&golock);
	cr_expect(rig.state.rules[0].open == 0 && rig.state.rules[1].open == 1 && on_cpus() == 1);
	a = lock_on(NULL);
	golock = rig_pin(&rig, &a, 0);
	cr_expect_eq(golock.allow, 1);
	rig_pin(&rig, &a, 3);
}

/* ---- threads and warnings ------------------------------------------------------------------------------ */

Test(match_caps, live_threads_are_judged_with_the_new_one)
{
	struct pinw_verdict verdict;

	rig_ready(&rig);
	pinw_policy_judge_threads(&rig.policy, UINT64_MAX, &verdict);
	cr_expect_eq(verdict.action, PINW_ACTION_NONE, "no such cap");
	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_CAPS,
	                                 .cap = PINW_CAP_MAX_THREADS,
	                                 .limit = 8,
	                                 .action = PINW_ACTION_CRASH});
	pinw_policy_judge_threads(&rig.policy, 8, &verdict);
	cr_expect_eq(verdict.action, PINW_ACTION_NONE);
	pinw_policy_judge_threads(&rig.policy, 9, &verdict);
	cr_expect_eq(verdict.action, PINW_ACTION_CRASH);
	cr_expect_eq(verdict.value, 9);
	cr_expect_eq(verdict.limit, 8);
}

Test(match_caps, a_warning_speaks_when_its_number_is_reached)
{
	struct pinw_verdict verdict;

	warn(PINW_CAP_MAX_PINNED, 5);
	rig_ready(&rig);
	for (uint64_t value = 0; value < 10; value++) {
		pinw_policy_judge_warning(&rig.policy, PINW_CAP_MAX_PINNED, value, &verdict);
		cr_expect_eq(verdict.action, value == 5 ? PINW_ACTION_LOG : PINW_ACTION_NONE);
		pinw_policy_judge_warning(&rig.policy, PINW_CAP_MAX_THREADS, value, &verdict);
		cr_expect_eq(verdict.action, PINW_ACTION_NONE);
	}
}

/* ---- many at once -------------------------------------------------------------------------------------- */

#define THREADS 64u
#define ROUNDS 200000u /* a lost count needs two threads in the same few nanoseconds */
#define LIMIT 7u

static pthread_barrier_t barrier;
static uint64_t inside[RIG_CPUS + 1], most[RIG_CPUS + 1], granted;

static void enter(unsigned place)
{
	uint64_t n = __atomic_add_fetch(&inside[place], 1, __ATOMIC_SEQ_CST);
	uint64_t seen = __atomic_load_n(&most[place], __ATOMIC_SEQ_CST);

	while (seen < n && !__atomic_compare_exchange_n(&most[place], &seen, n, false, __ATOMIC_SEQ_CST,
	                                                __ATOMIC_SEQ_CST))
		;
	__atomic_add_fetch(&granted, 1, __ATOMIC_SEQ_CST);
}

/* Pins, moves and releases, and counts for itself how many are pinned at once, in all and on each CPU. */
static void *pins(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t mask[2] = {UINT64_C(1) << ((me + i) % 4), 0};
		struct pinw_attempt a = pin_to(mask, nothing);
		struct pinw_verdict verdict;
		struct pinw_hold hold;

		pinw_policy_judge_pin(&rig.policy, &rig.state, &a, &verdict, &hold);
		if (verdict.action != PINW_ACTION_NONE) {
			pinw_policy_cancel(&rig.state, &a.held, &hold);
			continue;
		}
		enter(RIG_CPUS);
		enter(hold.cpu - 1);
		pinw_policy_keep(&rig.state, &a.held, &hold);
		__atomic_sub_fetch(&inside[hold.cpu - 1], 1, __ATOMIC_SEQ_CST);
		__atomic_sub_fetch(&inside[RIG_CPUS], 1, __ATOMIC_SEQ_CST);
		pinw_policy_rehold(&rig.policy, &rig.state, &hold, NULL);
	}
	return NULL;
}

static void run(void *(*routine)(void *))
{
	pthread_t threads[THREADS];

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, routine, (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

Test(match_caps, no_cap_is_passed_under_sixty_four_threads)
{
	cap(PINW_CAP_MAX_PINNED, LIMIT);
	cap(PINW_CAP_MAX_PINNED_PER_CPU, 2);
	rig_ready(&rig);
	run(pins);
	cr_expect_leq(most[RIG_CPUS], LIMIT);
	for (unsigned cpu = 0; cpu < 4; cpu++)
		cr_expect_leq(most[cpu], 2);
	cr_expect_gt(granted, 0);
	cr_expect_eq(rig.state.pinned, 0);
	cr_expect_eq(on_cpus(), 0);
}

static struct pinw_hold holds[THREADS];

static void *pins_and_stays(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	struct pinw_attempt a = pin_to(cpu0, nothing);
	struct pinw_verdict verdict;

	pthread_barrier_wait(&barrier);
	pinw_policy_judge_pin(&rig.policy, &rig.state, &a, &verdict, &holds[me]);
	return NULL;
}

Test(match_caps, an_allow_grants_exactly_its_max_under_sixty_four_threads)
{
	unsigned n = 0;

	rig_add(&rig, (struct pinw_rule){.section = PINW_SECTION_ALLOW, .limit = LIMIT});
	rig_ready(&rig);
	run(pins_and_stays);
	for (unsigned i = 0; i < THREADS; i++)
		n += holds[i].allow == 1;
	cr_expect_eq(n, LIMIT);
	cr_expect_eq(rig.state.rules[0].open, LIMIT);
	cr_expect_eq(rig.state.pinned, THREADS);
	cr_expect_eq(rig.state.rules[0].matched, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		pinw_policy_cancel(&rig.state, &nothing, &holds[i]);
	cr_expect_eq(rig.state.rules[0].open, 0);
	cr_expect_eq(rig.state.pinned, 0);
	cr_expect_eq(on_cpus(), 0);
}
