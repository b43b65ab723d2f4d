/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mask.h"
#include "preload/ledger.h"
#include "preload/registry.h"
#include "tests/rig.h"

#define TID 4711u

static const struct pinw_pinner self = {.origin = PINW_ORIGIN_SELF, .site = 7, .by = 1};

TestSuite(ledger, .fini = pinw_rig_done);

/* ---- the pure transition ---------------------------------------------------------------- */

/* One-word masks; `depth` 0 is a thread that is not pinned. */
struct row {
	const char *what;
	uint64_t baseline, before, after;
	uint32_t depth;
	enum pinw_effect effect;
};

static const struct row rows[] = {
    {"a proper subset opens", 0xf, 0xf, 0x1, 0, PINW_EFFECT_OPEN},
    {"any proper subset opens, however wide", 0xf, 0xf, 0x7, 0, PINW_EFFECT_OPEN},
    {"the baseline itself is no pin", 0xf, 0xf, 0xf, 0, PINW_EFFECT_NONE},
    {"a mask that covers the baseline is no pin", 0xf, 0xf, 0xff, 0, PINW_EFFECT_NONE},
    {"disjoint from the baseline is a pin", 0xf, 0xf, 0xf0, 0, PINW_EFFECT_OPEN},
    {"overlapping the baseline in part is a pin", 0xf, 0xf, 0x3c, 0, PINW_EFFECT_OPEN},
    {"further narrowing raises the depth", 0xf, 0x3, 0x1, 1, PINW_EFFECT_NARROW},
    {"and again", 0xff, 0x7, 0x3, 2, PINW_EFFECT_NARROW},
    {"the same mask again changes nothing", 0xf, 0x1, 0x1, 1, PINW_EFFECT_NONE},
    {"to another CPU is a move", 0xf, 0x1, 0x2, 1, PINW_EFFECT_MOVE},
    {"to an overlapping set is a move", 0xf, 0x3, 0x6, 1, PINW_EFFECT_MOVE},
    {"wider, but not the baseline, is a move", 0xf, 0x1, 0x3, 2, PINW_EFFECT_MOVE},
    {"out of the baseline is a move", 0xf, 0x1, 0xf0, 1, PINW_EFFECT_MOVE},
    {"narrower outside of the baseline narrows", 0xf, 0xf0, 0x30, 1, PINW_EFFECT_NARROW},
    {"back to the baseline releases", 0xf, 0x1, 0xf, 1, PINW_EFFECT_RELEASE},
    {"one release for every depth", 0xf, 0x1, 0xf, 9, PINW_EFFECT_RELEASE},
    {"covering the baseline releases", 0xf, 0x1, 0xff, 1, PINW_EFFECT_RELEASE},
    {"from outside back over the baseline releases", 0xf, 0xf0, 0xff, 3, PINW_EFFECT_RELEASE},
    {"one-CPU baseline: its own CPU is no pin", 0x4, 0x4, 0x4, 0, PINW_EFFECT_NONE},
    {"one-CPU baseline: another CPU is no pin", 0x4, 0x4, 0x8, 0, PINW_EFFECT_NONE},
    {"one-CPU baseline: more CPUs are no pin", 0x4, 0x4, 0xc, 0, PINW_EFFECT_NONE},
};

Test(ledger, changes_pins_as_the_words_say)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(
		    pinw_pin_change(rows[i].depth, &rows[i].before, &rows[i].after, &rows[i].baseline, 1),
		    rows[i].effect, "%s", rows[i].what);
}

/* The same rows with the CPUs beyond 64, beyond 1,024 and at the very end of what a kernel can have. */
Test(ledger, does_so_for_cpus_beyond_64_and_1024)
{
	static const unsigned words[] = {2, 17, 33, PINW_MASK_WORDS_MAX};

	for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			uint64_t baseline[PINW_MASK_WORDS_MAX] = {0}, before[PINW_MASK_WORDS_MAX] = {0};
			uint64_t after[PINW_MASK_WORDS_MAX] = {0};
			unsigned last = words[w] - 1;

			baseline[last] = rows[i].baseline;
			before[last] = rows[i].before;
			after[last] = rows[i].after;
			cr_expect_eq(pinw_pin_change(rows[i].depth, before, after, baseline, words[w]),
			             rows[i].effect, "%s, in word %u", rows[i].what, last);
		}
}

/* A pin may lie in one word and the CPU that makes it a proper subset in another. */
Test(ledger, looks_at_every_word)
{
	uint64_t baseline[3] = {~0ull, 0, 1}, first[3] = {~0ull, 0, 0}, last[3] = {0, 0, 1};

	cr_expect_eq(pinw_pin_change(0, baseline, first, baseline, 3), PINW_EFFECT_OPEN);
	cr_expect_eq(pinw_pin_change(1, first, last, baseline, 3), PINW_EFFECT_MOVE);
	cr_expect_eq(pinw_pin_change(1, baseline, last, baseline, 3), PINW_EFFECT_NARROW);
	cr_expect_eq(pinw_pin_change(1, last, baseline, baseline, 3), PINW_EFFECT_RELEASE);
}

/* ---- one thread ------------------------------------------------------------------------- */

static struct pinw_booking set(struct pinw_thread *thread, uint64_t after, uint64_t now_ns)
{
	uint64_t before;

	return pinw_ledger_set(thread, thread->slot->thread, &after, self, now_ns, &before);
}

Test(ledger, books_open_narrow_move_release)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = pinw_rig_thread(TID, NULL);
	const struct pinw_counters *c = &pinw_shim.live->counters;
	struct pinw_booking b = set(t, 0x3, 100);

	cr_expect_eq(b.effect, PINW_EFFECT_OPEN);
	cr_expect_eq(b.depth, 1);
	cr_expect_eq(t->slot->pin_origin, PINW_ORIGIN_SELF);
	cr_expect_eq(t->slot->pin_site, 7);
	cr_expect_eq(t->slot->pin_by, 1);
	cr_expect_eq(t->slot->pin_since_ns, 100);
	cr_expect_eq(set(t, 0x1, 200).depth, 2);
	b = set(t, 0x8, 300);
	cr_expect_eq(b.effect, PINW_EFFECT_MOVE);
	cr_expect_eq(b.depth, 2, "a move leaves the depth");
	cr_expect_eq(t->slot->pin_since_ns, 100, "a pin is as old as its opening");
	cr_expect_eq(c->pins_open, 1, "one pin however deep");
	b = set(t, 0xf, 400);
	cr_expect_eq(b.effect, PINW_EFFECT_RELEASE);
	cr_expect_eq(b.depth, 0);
	cr_expect_eq(t->slot->pin_depth, 0);
	cr_expect_eq(t->slot->pins_opened, 1);
	cr_expect_eq(t->slot->affinity_calls, 4);
	cr_expect_eq(c->pins_opened, 1);
	cr_expect_eq(c->pins_released, 1);
	cr_expect_eq(c->pins_open, 0);
	pinw_rig_balance();
}

Test(ledger, gives_the_mask_known_before_and_keeps_the_new_one)
{
	const uint64_t baseline[2] = {~0ull, ~0ull};

	pinw_rig_bench(2, baseline, 1 << 20);
	struct pinw_thread *t = pinw_rig_thread(TID, NULL);
	uint64_t after[2] = {0, 1ull << 63}, before[2] = {0, 0};

	pinw_ledger_set(t, t->slot->thread, after, self, 1, before);
	cr_expect(pinw_mask_equal(before, baseline, 2));
	cr_expect(pinw_mask_equal(t->mask, after, 2));
	pinw_ledger_set(t, t->slot->thread, baseline, self, 2, before);
	cr_expect(pinw_mask_equal(before, after, 2));
}

Test(ledger, a_change_from_outside_is_a_pin_but_no_call)
{
	const struct pinw_pinner outside = {.origin = PINW_ORIGIN_EXTERNAL};
	const uint64_t one = 1;
	uint64_t before;

	pinw_rig_bench_small();
	struct pinw_thread *t = pinw_rig_thread(TID, NULL);
	pinw_ledger_set(t, t->slot->thread, &one, outside, 1, &before);
	cr_expect_eq(t->slot->affinity_calls, 0);
	cr_expect_eq(t->slot->pin_origin, PINW_ORIGIN_EXTERNAL);
	cr_expect_eq(pinw_shim.live->counters.pins_external, 1);
	cr_expect_eq(pinw_shim.live->counters.pins_opened, 1);
}

/* A cross call may come back when its target has ended, and the struct may serve another thread by then. */
Test(ledger, books_nothing_on_who_is_gone)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = pinw_rig_thread(TID, NULL);
	uint32_t seq = t->slot->thread;
	const uint64_t one = 1;
	uint64_t before = 0;

	pinw_ledger_end(t, PINW_EXIT_RETURN, 10);
	cr_expect_eq(set(t, 0x1, 20).effect, PINW_EFFECT_NONE);
	cr_expect_eq(t->slot->pin_depth, 0);
	pinw_registry_give(t);
	cr_expect_eq(set(t, 0x1, 20).effect, PINW_EFFECT_NONE);
	struct pinw_thread *next = pinw_rig_thread(TID + 1, NULL);
	cr_assert_eq(next, t, "the struct serves another thread");
	struct pinw_booking b = pinw_ledger_set(t, seq, &one, self, 30, &before);
	cr_expect_eq(b.effect, PINW_EFFECT_NONE);
	cr_expect_not(b.contended);
	cr_expect_eq(t->slot->pin_depth, 0);
	cr_expect_eq(t->slot->affinity_calls, 0);
	cr_expect_eq(*t->mask, 0xf);
	cr_expect_eq(before, 0xf);
	cr_expect_eq(pinw_shim.live->counters.pins_opened, 0);
}

/* ---- birth -------------------------------------------------------------------------------- */

static struct pinw_thread *born(uint32_t origin, uint64_t mask)
{
	struct pinw_thread *t = pinw_rig_thread(TID, &mask);

	t->birth = 0;
	t->birth_origin = origin;
	t->birth_site = 9;
	t->birth_by = 3;
	return t;
}

Test(ledger, books_the_pin_at_birth_once)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = born(PINW_ORIGIN_BORN, 0x1);

	pinw_ledger_birth(t, t->slot->thread, 5);
	pinw_ledger_birth(t, t->slot->thread, 6);
	cr_expect_eq(t->slot->pin_depth, 1);
	cr_expect_eq(t->slot->pin_origin, PINW_ORIGIN_BORN);
	cr_expect_eq(t->slot->pin_site, 9);
	cr_expect_eq(t->slot->pin_by, 3);
	cr_expect_eq(t->slot->pin_since_ns, 5);
	cr_expect_eq(pinw_shim.live->counters.pins_opened, 1);
	cr_expect_eq(pinw_shim.live->counters.pins_born, 1);
	/* Nor again when it was released meanwhile. */
	set(t, 0xf, 7);
	pinw_ledger_birth(t, t->slot->thread, 8);
	cr_expect_eq(t->slot->pin_depth, 0);
	pinw_rig_balance();
}

Test(ledger, counts_an_inherited_pin_as_the_leak_it_is)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = born(PINW_ORIGIN_INHERITED, 0x1);
	const struct pinw_counters *c = &pinw_shim.live->counters;

	pinw_ledger_birth(t, t->slot->thread, 5);
	cr_expect_eq(c->pins_inherited, 1);
	cr_expect_eq(c->leaks_inherited, 1);
	pinw_ledger_end(t, PINW_EXIT_RETURN, 6);
	cr_expect_eq(c->leaks_inherited, 1);
	cr_expect_eq(c->leaks_exit_while_pinned, 0, "a leak is of one kind");
	cr_expect_eq(c->pins_lost, 1);
	pinw_rig_balance();
}

Test(ledger, is_born_free_on_the_baseline_or_without_an_origin)
{
	pinw_rig_bench_small();
	struct pinw_thread *whole = born(PINW_ORIGIN_BORN, 0xf), *plain = born(PINW_ORIGIN_NONE, 0x1);

	pinw_ledger_birth(whole, whole->slot->thread, 5);
	pinw_ledger_birth(plain, plain->slot->thread, 5);
	cr_expect_eq(whole->slot->pin_depth, 0);
	cr_expect_eq(plain->slot->pin_depth, 0);
	cr_expect_eq(pinw_shim.live->counters.pins_opened, 0);
}

/* Whoever finds the slot in use leaves the birth to the next: the pin is not forgotten. */
Test(ledger, books_a_birth_later_when_its_slot_is_in_use)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = born(PINW_ORIGIN_BORN, 0x1);

	t->slot->busy = 1;
	pinw_ledger_birth(t, t->slot->thread, 5);
	t->slot->busy = 0;
	pinw_ledger_birth(t, t->slot->thread, 6);
	cr_expect_eq(t->slot->pin_depth, 1);
	cr_expect_eq(pinw_shim.live->counters.pins_opened, 1);
	pinw_rig_balance();
}

#define NEWBORNS 20000u

static struct pinw_thread *newborns[NEWBORNS];
static uint32_t arrived[NEWBORNS];

/* The thread itself books its birth; another one sets its mask, as a cross call does, which books it first. */
static void be_born_or_set(unsigned index)
{
	for (unsigned i = 0; i < NEWBORNS; i++) {
		const uint64_t mask = i % 2 ? 0xf : 0x2;
		uint64_t before;

		__atomic_fetch_add(&arrived[i], 1, __ATOMIC_ACQ_REL);
		for (unsigned spins = 0; __atomic_load_n(&arrived[i], __ATOMIC_ACQUIRE) < 2; spins++)
			if (spins % 1000 == 999)
				sched_yield();
		pinw_ledger_birth(newborns[i], newborns[i]->slot->thread, 1);
		if (index)
			pinw_ledger_set(newborns[i], newborns[i]->slot->thread, &mask, self, 2, &before);
	}
}

Test(ledger, is_born_once_whoever_comes_first)
{
	pinw_rig_bench_small();
	for (unsigned i = 0; i < NEWBORNS; i++)
		newborns[i] = born(PINW_ORIGIN_BORN, 0x1);
	pinw_rig_together(2, be_born_or_set);
	for (unsigned i = 0; i < NEWBORNS; i++) {
		cr_assert_eq(newborns[i]->slot->pins_opened, 1, "thread %u", i);
		cr_assert_eq(newborns[i]->slot->pin_depth, i % 2 ? 0 : 1, "thread %u", i);
	}
	cr_expect_eq(pinw_shim.live->counters.pins_born, NEWBORNS);
	cr_expect_eq(pinw_shim.live->counters.pins_open, NEWBORNS / 2);
	pinw_rig_balance();
}

/* Between two threads a struct has no birth to book. */
Test(ledger, books_no_birth_for_who_is_gone)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = born(PINW_ORIGIN_NONE, 0x1);
	uint32_t seq = t->slot->thread;

	pinw_registry_give(t);
	pinw_ledger_birth(t, seq, 5);
	t = born(PINW_ORIGIN_BORN, 0x1);
	pinw_ledger_birth(t, seq, 6);
	cr_expect_eq(pinw_shim.live->counters.pins_opened, 0);
	pinw_ledger_birth(t, t->slot->thread, 7);
	cr_expect_eq(t->slot->pin_since_ns, 7);
}

/* ---- a slot in use ------------------------------------------------------------------------- */

Test(ledger, books_nothing_on_a_contended_slot_and_says_so)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = pinw_rig_thread(TID, NULL);
	const uint64_t narrower = 0x1;
	uint64_t before = 0;

	set(t, 0x3, 1);
	t->slot->busy = 1; /* as left by a change that a signal interrupted */
	struct pinw_booking b = pinw_ledger_set(t, t->slot->thread, &narrower, self, 2, &before);
	cr_expect(b.contended);
	cr_expect_eq(b.effect, PINW_EFFECT_NONE);
	cr_expect_eq(b.depth, 1);
	cr_expect_eq(before, 0x3);
	cr_expect_eq(*t->mask, 0x3);
	cr_expect_eq(t->slot->busy, 1, "it stays with its holder");
	t->slot->busy = 0;
	cr_expect_eq(set(t, 0x1, 3).depth, 2);
	cr_expect_eq(t->slot->busy, 0);
	pinw_rig_balance();
}

Test(ledger, ends_a_thread_in_the_middle_of_its_own_change)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = pinw_rig_thread(TID, NULL);

	set(t, 0x3, 1);
	t->slot->busy = 1;
	pinw_ledger_end(t, PINW_EXIT_CANCEL, 9);
	cr_expect_eq(t->slot->state, PINW_SLOT_EXITED);
	cr_expect_eq(t->slot->exit_how, PINW_EXIT_CANCEL);
	cr_expect_eq(t->slot->exit_ns, 9);
	cr_expect_eq(pinw_shim.live->counters.pins_lost, 1);
	pinw_rig_balance();
}

static struct pinw_thread *shared;
static uint64_t contended;

static void fight(unsigned index)
{
	unsigned seed = index + 1;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t mask = (uint64_t)(rand_r(&seed) % 15 + 1), before;
		struct pinw_booking b =
		    pinw_ledger_set(shared, shared->slot->thread, &mask, self, i, &before);

		__atomic_fetch_add(&contended, b.contended, __ATOMIC_RELAXED);
	}
}

Test(ledger, keeps_its_counts_when_threads_fight_over_one_slot)
{
	pinw_rig_bench_small();
	shared = pinw_rig_thread(TID, NULL);
	pinw_rig_together(8, fight);
	const struct pinw_counters *c = &pinw_shim.live->counters;
	cr_expect_eq(shared->slot->affinity_calls + contended, 8 * 20000);
	cr_expect_eq(c->pins_open, shared->slot->pin_depth ? 1 : 0);
	cr_expect_eq(shared->slot->pin_depth != 0, *shared->mask != 0xf);
	cr_expect_eq(shared->slot->pins_opened, c->pins_opened);
	pinw_rig_balance();
}

/* ---- many threads --------------------------------------------------------------------------- */

/* A random mask of `words` words: whole, empty and full words all come up. */
static void random_mask(uint64_t *mask, unsigned words, unsigned *seed)
{
	for (unsigned w = 0; w < words; w++) {
		unsigned kind = (unsigned)rand_r(seed) % 4;

		mask[w] = kind == 0   ? 0
		          : kind == 1 ? ~0ull
		                      : (uint64_t)rand_r(seed) << 32 | (unsigned)rand_r(seed);
	}
	if (rand_r(seed) % 3 == 0)
		pinw_mask_copy(mask, pinw_shim.baseline, words);
	else
		mask[0] |= 1; /* the kernel takes no empty mask */
}

/* What a slot says and what its mask says must be one: pinned = misses a CPU of the baseline. */
static void expect_truth(const struct pinw_thread *t, unsigned words)
{
	cr_assert_eq(t->slot->pin_depth > 0, pinw_mask_is_pin(t->mask, pinw_shim.baseline, words));
}

static void live_lives(unsigned words)
{
	enum { THREADS = 50, STEPS = 20000 };
	uint64_t baseline[PINW_MASK_WORDS_MAX], mask[PINW_MASK_WORDS_MAX] = {0}, before[PINW_MASK_WORDS_MAX];
	struct pinw_thread *threads[THREADS] = {NULL};
	unsigned seed = words;
	uint64_t ended = 0, ended_pinned = 0;

	memset(baseline, 0xff, sizeof(baseline));
	baseline[words - 1] = 0xffff; /* not all CPUs of the last word exist */
	pinw_rig_bench(words, baseline, UINT64_C(64) << 20);
	for (unsigned step = 0; step < STEPS; step++) {
		struct pinw_thread **t = &threads[(unsigned)rand_r(&seed) % THREADS];
		if (!*t)
			*t = pinw_rig_thread(TID + step, NULL);
		random_mask(mask, words, &seed);
		pinw_ledger_set(*t, (*t)->slot->thread, mask, self, step, before);
		expect_truth(*t, words);
		if (rand_r(&seed) % 20)
			continue;
		ended++;
		ended_pinned += (*t)->slot->pin_depth > 0;
		pinw_ledger_end(*t, PINW_EXIT_RETURN, step);
		pinw_registry_give(*t);
		*t = NULL;
	}
	uint64_t open = 0, live = 0;
	for (unsigned i = 0; i < THREADS; i++) {
		open += threads[i] && threads[i]->slot->pin_depth;
		live += threads[i] != NULL;
	}
	const struct pinw_counters *c = &pinw_shim.live->counters;
	cr_expect_eq(c->pins_open, open);
	cr_expect_eq(c->pins_lost, ended_pinned);
	cr_expect_eq(c->leaks_exit_while_pinned, ended_pinned);
	cr_expect_eq(c->threads_exited, ended);
	cr_expect_eq(c->threads_live, live);
	cr_expect_gt(c->pins_released, 100, "the story has every kind of change in it");
	pinw_rig_balance();
}

Test(ledger, balances_over_many_lives)
{
	live_lives(1);
}

Test(ledger, balances_on_more_than_1024_cpus)
{
	live_lives(17);
}

Test(ledger, balances_on_the_largest_machine)
{
	live_lives(PINW_MASK_WORDS_MAX);
}

static void come_and_go(unsigned index)
{
	(void)index;
	for (unsigned i = 0; i < 1000; i++) {
		pinw_ledger_peak(pinw_ledger_live());
		if (i % 2)
			sched_yield();
		pinw_uncount(threads_live, 1);
	}
}

Test(ledger, knows_the_most_threads_alive_at_once)
{
	pinw_rig_bench_small();
	pinw_ledger_peak(5);
	pinw_ledger_peak(3);
	cr_expect_eq(pinw_shim.live->counters.threads_peak, 5, "a peak does not fall");
	pinw_rig_together(8, come_and_go);
	cr_expect_eq(pinw_shim.live->counters.threads_live, 0);
	cr_expect_leq(pinw_shim.live->counters.threads_peak, 8);
	cr_expect_geq(pinw_shim.live->counters.threads_peak, 5);
}

/* ---- histograms ------------------------------------------------------------------------------ */

Test(ledger, counts_durations_by_powers_of_two)
{
	static const struct {
		uint64_t ns;
		unsigned bucket;
	} cases[] = {
	    {0, 0},
	    {1, 0},
	    {2, 1},
	    {3, 1},
	    {4, 2},
	    {1023, 9},
	    {1024, 10},
	    {(UINT64_C(1) << 39) - 1, 38},
	    {UINT64_C(1) << 39, 39},
	    {UINT64_C(1) << 40, 39},
	    {UINT64_MAX, 39},
	};
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pinw_histogram h = {0};

		pinw_ledger_histogram(&h, cases[i].ns);
		cr_expect_eq(h.bucket[cases[i].bucket], 1, "%lu", cases[i].ns);
		cr_expect_eq(h.count, 1);
		cr_expect_eq(h.sum_ns, cases[i].ns);
	}
	struct pinw_histogram all = {0};
	for (unsigned i = 1; i <= 5000; i++) {
		pinw_ledger_histogram(&all, i);
		sum += i;
	}
	uint64_t counted = 0;
	for (unsigned b = 0; b < PINW_HIST_BUCKETS; b++)
		counted += all.bucket[b];
	cr_expect_eq(counted, 5000);
	cr_expect_eq(all.count, 5000);
	cr_expect_eq(all.sum_ns, sum);
}
