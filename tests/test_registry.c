/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "preload/registry.h"
#include "preload/trace.h"
#include "tests/rig.h"

TestSuite(registry, .fini = pinw_rig_done);

/* ---- one thread ------------------------------------------------------------------------ */

Test(registry, gives_fresh_threads_in_sequence)
{
	pinw_rig_bench_small();
	for (uint32_t i = 1; i <= 10; i++) {
		struct pinw_thread *t = pinw_registry_take();

		cr_assert_not_null(t);
		cr_expect_eq(t->slot->thread, i, "sequences start at 1");
		cr_expect_eq(t->slot->state, PINW_SLOT_CREATED);
		cr_expect_eq(t->index, i - 1);
	}
	cr_expect_eq(pinw_shim.live->counters.slots_unfiled, 0);
}

/* A struct that served another thread remembers nothing of it; its sequence is new. */
Test(registry, gives_a_struct_again_without_its_past)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = pinw_rig_thread(77, NULL);

	t->slot->pin_depth = 3;
	t->slot->flags = PINW_THREAD_DETACHED;
	t->slot->exit_ns = 5;
	t->life = PINW_LIFE_OVER;
	t->stack_hi = t->stack_lo = 9;
	pinw_registry_set_handle(t, 0x1000);
	pinw_registry_give(t);
	cr_expect_eq(t->slot->state, PINW_SLOT_FREE);
	struct pinw_thread *again = pinw_registry_take();
	cr_assert_eq(again, t);
	cr_expect_eq(t->slot->thread, 2);
	cr_expect_eq(t->slot->tid, 0);
	cr_expect_eq(t->slot->pthread, 0);
	cr_expect_eq(t->slot->pin_depth | t->slot->flags, 0);
	cr_expect_eq(t->slot->exit_ns, 0);
	cr_expect_eq(t->life | t->birth | t->out_state, 0);
	cr_expect_eq(t->stack_hi | t->stack_lo, 0);
	cr_expect_eq(t->handle, 0);
}

/* Thread, creator and joiner let go in any order, also twice: the last of the three frees. */
Test(registry, frees_a_thread_when_all_three_let_go)
{
	static const uint32_t bits[3] = {PINW_LIFE_ENDED, PINW_LIFE_RELEASED, PINW_LIFE_CREATOR};

	pinw_rig_bench_small();
	for (unsigned order = 0; order < 6; order++) {
		uint32_t first = bits[order / 2], second = bits[(order / 2 + 1 + order % 2) % 3];
		uint32_t third = PINW_LIFE_OVER & ~(first | second);
		struct pinw_thread *t = pinw_rig_thread(77, NULL);

		pinw_registry_let_go(t, first);
		pinw_registry_let_go(t, first);
		cr_expect_eq(t->slot->state, PINW_SLOT_RUNNING);
		pinw_registry_let_go(t, second);
		pinw_registry_let_go(t, first);
		cr_expect_eq(t->slot->state, PINW_SLOT_RUNNING);
		pinw_registry_let_go(t, third);
		cr_expect_eq(t->slot->state, PINW_SLOT_FREE);
		pinw_registry_let_go(t, third); /* a detach after the join: no second freeing */
		struct pinw_thread *a = pinw_registry_take(), *b = pinw_registry_take();
		cr_assert_neq(a, b, "order %u", order);
		pinw_registry_give(a);
		pinw_registry_give(b);
	}
}

static void count_one(struct pinw_thread *thread, void *arg)
{
	cr_assert_neq(thread->slot->state, PINW_SLOT_FREE);
	(*(unsigned *)arg)++;
}

static unsigned known(void)
{
	unsigned count = 0;

	pinw_registry_each(count_one, &count);
	return count;
}

Test(registry, visits_whoever_is_not_free)
{
	struct pinw_thread *threads[200];

	pinw_rig_bench_small();
	cr_expect_eq(known(), 0);
	for (unsigned i = 0; i < 200; i++)
		threads[i] = pinw_rig_thread(i + 1, NULL);
	cr_expect_eq(known(), 200);
	for (unsigned i = 0; i < 200; i += 2)
		pinw_registry_give(threads[i]);
	cr_expect_eq(known(), 100);
}

/* ---- looking up --------------------------------------------------------------------------- */

Test(registry, finds_by_tid_who_lives)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = pinw_rig_thread(4711, NULL);

	cr_expect_eq(pinw_registry_by_tid(4711), t);
	cr_expect_null(pinw_registry_by_tid(4712));
	cr_expect_null(pinw_registry_by_tid(4711 + 65536), "a place in the table is no proof");
	t->slot->state = PINW_SLOT_EXITED;
	cr_expect_null(pinw_registry_by_tid(4711), "the kernel may give the number out again");
	t->slot->state = PINW_SLOT_FREE;
	cr_expect_null(pinw_registry_by_tid(4711));
}

Test(registry, finds_by_handle_who_waits_to_be_joined)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = pinw_rig_thread(1, NULL);

	pinw_registry_set_handle(t, 0x7f0000001640);
	cr_expect_eq(pinw_registry_by_handle(0x7f0000001640), t);
	cr_expect_eq(t->slot->pthread, 0x7f0000001640);
	t->slot->state = PINW_SLOT_EXITED;
	cr_expect_eq(pinw_registry_by_handle(0x7f0000001640), t);
	pinw_registry_give(t);
	cr_expect_null(pinw_registry_by_handle(0x7f0000001640));
}

/* A thread may have ended unseen, or its joiner not have let go of it yet, when its number is given out again. */
Test(registry, gives_a_number_used_again_to_its_last_owner)
{
	pinw_rig_bench_small();
	struct pinw_thread *first = pinw_rig_thread(5, NULL), *second = pinw_rig_thread(5, NULL);

	cr_expect_eq(pinw_registry_by_tid(5), second);
	pinw_registry_set_handle(second, 0x40);
	pinw_registry_set_handle(first, 0x40);
	cr_expect_eq(pinw_registry_by_handle(0x40), first,
	             "not the newer thread: the one that was named later");
	pinw_registry_give(first);
	cr_expect_eq(pinw_registry_by_handle(0x40), second);
}

Test(registry, finds_who_has_not_reached_its_start_routine)
{
	pinw_rig_bench_small();
	struct pinw_thread *t = pinw_registry_take();

	t->handle = 0x7f0000000040; /* as the C library writes it */
	cr_expect_eq(pinw_registry_starting(0x7f0000000040), t);
	cr_expect_null(pinw_registry_starting(0x7f0000000080));
	t->slot->state = PINW_SLOT_RUNNING;
	cr_expect_null(pinw_registry_starting(0x7f0000000040));
}

/* More than fit in one neighbourhood of the table: the last resort is to look at all. */
Test(registry, finds_tids_that_share_a_place)
{
	enum { COUNT = 40 };
	struct pinw_thread *threads[COUNT];

	pinw_rig_bench_small();
	for (uint32_t i = 0; i < COUNT; i++)
		threads[i] = pinw_rig_thread(100 + i * 65536, NULL);
	for (uint32_t i = 0; i < COUNT; i++)
		cr_expect_eq(pinw_registry_by_tid(100 + i * 65536), threads[i], "%u", i);
	cr_expect_null(pinw_registry_by_tid(100 + COUNT * 65536));
	for (uint32_t i = 0; i < COUNT; i += 2)
		pinw_registry_give(threads[i]);
	for (uint32_t i = 0; i < COUNT; i++)
		cr_expect_eq(pinw_registry_by_tid(100 + i * 65536), i % 2 ? threads[i] : NULL, "%u", i);
}

Test(registry, finds_handles_that_share_a_place)
{
	enum { COUNT = 24 };
	struct pinw_thread *threads[COUNT];
	pthread_t handles[COUNT];
	unsigned found = 0;

	pinw_rig_bench_small();
	/* Handles with one and the same hash. */
	for (uint64_t handle = UINT64_C(0x7f0000000000); found < COUNT; handle += 64)
		if ((handle >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 48 == 1234)
			handles[found++] = handle;
	for (unsigned i = 0; i < COUNT; i++) {
		threads[i] = pinw_rig_thread(i + 1, NULL);
		pinw_registry_set_handle(threads[i], handles[i]);
	}
	for (unsigned i = 0; i < COUNT; i++)
		cr_expect_eq(pinw_registry_by_handle(handles[i]), threads[i], "%u", i);
	cr_expect_null(pinw_registry_by_handle(handles[0] + 64));
}

/* Both tables full of hints, most of them stale: threads are found and strangers are not. */
Test(registry, finds_threads_after_a_long_time)
{
	struct pinw_thread *stays = NULL;

	pinw_rig_bench_small();
	for (uint32_t tid = 1; tid <= 300000; tid++) {
		struct pinw_thread *t = pinw_rig_thread(tid, NULL);

		pinw_registry_set_handle(t, tid * UINT64_C(4096));
		if (tid == 1000)
			stays = t;
		else
			pinw_registry_give(t);
	}
	cr_expect_eq(pinw_registry_by_tid(1000), stays);
	cr_expect_eq(pinw_registry_by_handle(1000 * 4096), stays);
	for (uint32_t tid = 299000; tid <= 300000; tid++)
		cr_assert_null(pinw_registry_by_tid(tid));
	cr_expect_leq(known(), 1);
	cr_expect_eq(pinw_shim.live->counters.slots_unfiled, 0,
	             "nothing leaked: the first slots were enough");
}

/* ---- growth --------------------------------------------------------------------------------- */

static void mark_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	uint8_t *seen = arg;

	cr_assert_not(seen[slot->thread], "thread %u is in two slots", slot->thread);
	seen[slot->thread] = 1;
	cr_assert_eq(slot->tid, slot->thread + 100000);
	cr_assert_eq(mask[0], slot->thread);
}

Test(registry, grows_and_every_thread_has_a_slot_in_the_file)
{
	enum { COUNT = 40000 }; /* ten chunks */
	static struct pinw_thread *threads[COUNT];
	static uint8_t seen_slots[COUNT + 1];
	struct pinw_rig_seen seen;

	pinw_rig_bench_small();
	for (uint32_t i = 0; i < COUNT; i++) {
		const uint64_t mask = i + 1;
		threads[i] = pinw_rig_thread(i + 100001, &mask);
		cr_assert_eq(threads[i]->index, i);
	}
	pinw_rig_read(NULL, mark_slot, seen_slots, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	cr_expect_eq(seen.slots, COUNT);
	cr_expect_eq(seen.live.counters.slots_unfiled, 0);
	for (uint32_t i = 0; i < COUNT; i += 997)
		cr_expect_eq(pinw_registry_by_tid(i + 100001), threads[i]);
}

/* Every struct has room for its mask: writing one disturbs no other. */
Test(registry, keeps_large_masks_apart)
{
	enum { COUNT = 500 };
	static struct pinw_thread *threads[COUNT];
	uint64_t baseline[PINW_MASK_WORDS_MAX];

	memset(baseline, 0xff, sizeof(baseline));
	pinw_rig_bench(PINW_MASK_WORDS_MAX, baseline, UINT64_C(64) << 20);
	for (unsigned i = 0; i < COUNT; i++) {
		threads[i] = pinw_rig_thread(i + 1, NULL);
		for (unsigned w = 0; w < PINW_MASK_WORDS_MAX; w++)
			threads[i]->mask[w] = i * 1000 + w;
	}
	for (unsigned i = 0; i < COUNT; i++) {
		cr_assert_eq(threads[i]->slot->tid, i + 1);
		for (unsigned w = 0; w < PINW_MASK_WORDS_MAX; w++)
			cr_assert_eq(threads[i]->mask[w], i * 1000 + w);
	}
}

/* Threads beyond the bound of the file are known all the same, only their slots cannot be read. */
Test(registry, goes_on_in_private_memory_when_the_file_is_full)
{
	enum { COUNT = 20000 };
	const uint64_t baseline = 0xf;
	struct pinw_rig_seen seen;

	pinw_rig_bench(1, &baseline, 128 << 10);
	for (uint32_t i = 0; i < COUNT; i++) {
		struct pinw_thread *t = pinw_rig_thread(i + 1, NULL);
		cr_assert_eq(t->slot->thread, i + 1);
	}
	pinw_rig_read(NULL, NULL, NULL, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	cr_expect_gt(seen.slots, 0);
	cr_expect_gt(seen.live.counters.slots_unfiled, 0);
	cr_expect_eq(seen.slots + seen.live.counters.slots_unfiled, COUNT, "in the file or counted");
	cr_expect_eq(pinw_registry_by_tid(COUNT)->slot->thread, COUNT);
	cr_expect_leq(seen.live.file_bytes, 128 << 10);
}

/* After the target sealed itself no system call is made, so there is no more room: said by NULL, never by a crash. */
Test(registry, gives_what_it_has_after_a_seal)
{
	unsigned taken = 0;

	pinw_rig_bench_small();
	pinw_shim.sealed = true;
	while (taken < 1000 && pinw_registry_take())
		taken++;
	cr_expect_gt(taken, 10);
	cr_expect_lt(taken, 1000);
	pinw_shim.sealed = false;
	cr_expect_not_null(pinw_registry_take());
}

/* Without memory for one more struct the thread goes unseen, and the file does not grow at each attempt. */
Test(registry, does_not_grow_the_file_without_memory)
{
	struct rlimit limit;

	pinw_rig_bench_small();
	cr_assert_eq(getrlimit(RLIMIT_AS, &limit), 0);
	while (pinw_registry_take()->index + 1 < 63 + 128 + 256 + 512)
		;
	uint64_t before = pinw_shim.live->file_bytes;
	rlim_t most = limit.rlim_cur;
	limit.rlim_cur = 1 << 20; /* long exceeded: no mapping is made any more */
	cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
	for (unsigned i = 0; i < 20; i++)
		cr_expect_null(pinw_registry_take());
	limit.rlim_cur = most;
	cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
	cr_expect_eq(pinw_shim.live->file_bytes, before);
	cr_expect_not_null(pinw_registry_take(), "growth is tried again");
}

/* ---- many at once ------------------------------------------------------------------------------ */

#define OWNERS 8192u

static uint32_t owner[OWNERS]; /* by struct: who has it, 0 = nobody */
static uint32_t handed_out_twice;

static struct pinw_thread *take_for(unsigned who)
{
	struct pinw_thread *t = pinw_registry_take();

	if (__atomic_exchange_n(&owner[t->index % OWNERS], who + 1, __ATOMIC_ACQ_REL))
		__atomic_fetch_add(&handed_out_twice, 1, __ATOMIC_RELAXED);
	return t;
}

static void give_for(struct pinw_thread *t)
{
	__atomic_store_n(&owner[t->index % OWNERS], 0, __ATOMIC_RELEASE);
	pinw_registry_give(t);
}

static void take_and_give(unsigned index)
{
	struct pinw_thread *mine[64];
	unsigned count = 0, seed = index;

	for (unsigned step = 0; step < 100000; step++) {
		if (count < 64 && (!count || rand_r(&seed) % 2))
			mine[count++] = take_for(index);
		else {
			unsigned which = (unsigned)rand_r(&seed) % count;
			give_for(mine[which]);
			mine[which] = mine[--count];
		}
		if (step % 64 == 0)
			sched_yield();
	}
	while (count)
		give_for(mine[--count]);
}

Test(registry, loses_none_and_gives_none_twice_to_eight_threads)
{
	pinw_rig_bench_small();
	pinw_rig_together(8, take_and_give);
	cr_expect_eq(handed_out_twice, 0);
	cr_expect_eq(known(), 0);
	/* All of them are there to be taken again: no more structs exist than eight times 64. */
	for (unsigned i = 0; i < 8 * 64; i++)
		cr_assert_lt(take_for(0)->index, 8 * 64, "%u", i);
	cr_expect_eq(handed_out_twice, 0);
}

static uint8_t sequences[8 * 5000 + 1];

static void take_many(unsigned index)
{
	(void)index;
	for (unsigned i = 0; i < 5000; i++)
		__atomic_fetch_add(&sequences[pinw_registry_take()->slot->thread], 1, __ATOMIC_RELAXED);
}

Test(registry, grows_while_eight_threads_take)
{
	struct pinw_rig_seen seen;

	pinw_rig_bench_small();
	pinw_rig_together(8, take_many);
	cr_expect_eq(known(), 8 * 5000);
	for (unsigned i = 1; i <= 8 * 5000; i++)
		cr_assert_eq(sequences[i], 1, "sequence %u", i);
	pinw_rig_read(NULL, NULL, NULL, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	cr_expect_eq(seen.slots, 8 * 5000);
}

/* Threads come and go under tids and handles that are soon used again, while others look for those who stay. */
static struct pinw_thread *resident[16];
static uint32_t lost;

static void look_and_churn(unsigned index)
{
	for (unsigned i = 0; i < 20000; i++) {
		if (index < 4) {
			uint32_t tid = 50000 + index * 100 + i % 50;
			struct pinw_thread *t = pinw_registry_take();

			pinw_registry_set_tid(t, tid);
			pinw_registry_set_handle(t, tid * UINT64_C(64));
			__atomic_store_n(&t->slot->state, PINW_SLOT_RUNNING, __ATOMIC_RELEASE);
			pinw_registry_give(t);
		} else if (pinw_registry_by_tid(50000 + i % 16 * 7 + 1000000) != resident[i % 16] ||
		           pinw_registry_by_handle((i % 16 + 1) * UINT64_C(0x100000)) != resident[i % 16])
			__atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
	}
}

Test(registry, finds_who_stays_while_others_come_and_go)
{
	pinw_rig_bench_small();
	for (unsigned i = 0; i < 16; i++) {
		resident[i] = pinw_rig_thread(50000 + i * 7 + 1000000, NULL);
		pinw_registry_set_handle(resident[i], (i + 1) * UINT64_C(0x100000));
	}
	pinw_rig_together(8, look_and_churn);
	cr_expect_eq(lost, 0);
	cr_expect_eq(known(), 16);
}
