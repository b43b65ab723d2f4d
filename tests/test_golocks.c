/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "tests/report_rig.h"

TestSuite(golocks, .init = make_folder, .fini = remove_folder);

static void golock(struct pinw_builder *b, uint32_t thread, uint32_t kind, uint32_t site, uint32_t lock_site,
                   uint64_t held_ns, uint32_t depth)
{
	struct pinw_rec_golock rec = {
	    .e = {.time_ns = 1000, .thread = thread, .site = site},
	    .kind = kind,
	    .depth = depth,
	    .held_ns = held_ns,
	    .lock_site = lock_site,
	};

	pinw_builder_event(b, PINW_REC_GOLOCK, &rec, sizeof(rec), NULL, 0);
}

Test(golocks, are_booked_where_they_were_taken)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	golock(&b, 1, PINW_GOLOCK_LOCK, 7, 0, 0, 1);
	golock(&b, 1, PINW_GOLOCK_UNLOCK, 9, 7, 50, 3);
	golock(&b, 2, PINW_GOLOCK_LOCK, 7, 0, 0, 1);
	golock(&b, 2, PINW_GOLOCK_UNLOCK_UNSEEN, 0, 7, 5000, 1); /* nobody knows how long it was held */
	golock(&b, 2, PINW_GOLOCK_LOCK, 8, 0, 0, 1);
	golock(&b, 2, PINW_GOLOCK_DESTROYED, 0, 8, 70, 1);
	pinw_builder_end(&b, PINW_END_EXIT, 0, 9000);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = m->processes[0];

	cr_assert_eq(p->golock_sites.count, 2);
	const struct pinw_golock_site *most = &p->sorted_golock_sites[0], *other = most + 1;
	cr_expect(most->site == 7 && most->locked == 2 && most->unlocked == 2 && most->destroyed == 0);
	cr_expect(most->depth_max == 3 && most->held_count == 1 && most->held_max_ns == 50);
	cr_expect(other->site == 8 && other->locked == 1 && other->unlocked == 0 && other->destroyed == 1);
	cr_expect_eq(pinw_process_site(p, 7)->golocks, 2);
	cr_expect_eq(pinw_process_site(p, 9)->others, 1);
	pinw_model_free(m);
}

Test(golocks, that_end_with_their_thread_are_leaks)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t thread = 2; thread < 6; thread++) {
		golock(&b, thread, PINW_GOLOCK_LOCK, 8, 0, 0, 1);
		golock(&b, thread, PINW_GOLOCK_DESTROYED, 0, 8, 100 * thread, 2);
	}
	b.live.counters.golocks = b.live.counters.golocks_lost = 4;
	pinw_builder_end(&b, PINW_END_EXIT, 0, 9000);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = m->processes[0];

	cr_expect_eq(p->leaks_of[PINW_LEAK_EXIT_WHILE_PINNED], 4, "once each, though counted and told");
	cr_assert_eq(p->leak_count, 1);
	const struct pinw_leak *l = &p->leaks[0];
	cr_expect(l->origin == PINW_ORIGIN_GOLOCK && l->pin_site == 8 && l->count == 4 && l->depth_max == 2);
	cr_expect(l->held_min_ns == 200 && l->held_max_ns == 500);
	cr_expect(l->threads[0] == 2 && l->threads[2] == 4);
	pinw_model_free(m);
}

Test(golocks, that_are_open_at_the_end_are_told_by_the_slots)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	struct pinw_slot *slot = pinw_builder_slot(&b, 3, PINW_SLOT_RUNNING, 103);
	slot->golock_depth = 2;
	slot->golock_site = 6;
	slot->golock_since_ns = 4000;
	b.live.counters.golocks = 1;
	pinw_builder_end(&b, PINW_END_EXIT, 0, 9000);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = m->processes[0];

	cr_assert_eq(p->golock_sites.count, 1, "its event was dropped, its slot was not");
	cr_expect(p->sorted_golock_sites[0].open == 1 && p->sorted_golock_sites[0].depth_max == 2);
	cr_expect_eq(p->leaks_of[PINW_LEAK_PINNED_AT_END], 1);
	cr_expect(p->leaks[0].origin == PINW_ORIGIN_GOLOCK && p->leaks[0].held_max_ns == 5000 &&
	          p->leaks[0].threads[0] == 3);
	pinw_model_free(m);
}

/* Whatever a file says: no count of it may lead astray. */
Test(golocks, of_impossible_kinds_harm_nothing)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	golock(&b, UINT32_MAX, 0, UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT32_MAX);
	golock(&b, 0, UINT32_MAX, 0, 0, UINT64_MAX, 0);
	golock(&b, 0, PINW_GOLOCK_DESTROYED, 0, 0, UINT64_MAX, 0);
	struct pinw_model *m = model_of(&b);

	cr_expect_eq(m->processes[0]->golock_sites.count, 2);
	cr_expect_eq(m->processes[0]->leaks_of[PINW_LEAK_EXIT_WHILE_PINNED], 1);
	pinw_model_free(m);
}

/* A lock says nothing of CPUs, and a pin nothing of locks: whether both held at once is booked with the lock. */
Test(golocks, tell_whether_their_thread_was_pinned_too)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_golock(&b, 1000, 2, 18, 7); /* pinned while it is locked */
	pinw_builder_pin(&b, 1100, 2, 2, 9, PINW_EFFECT_OPEN, 1);
	pinw_builder_pin(&b, 1200, 2, 2, 9, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_gounlock(&b, 1300, 2, 18, 7, 8, 300);
	pinw_builder_golock(&b, 1400, 2, 18, 7); /* not any more */
	pinw_builder_gounlock(&b, 1500, 2, 18, 7, 8, 100);
	pinw_builder_pin(&b, 1600, 3, 3, 9, PINW_EFFECT_OPEN, 2); /* pinned before */
	struct pinw_slot *slot = pinw_builder_slot(&b, 3, PINW_SLOT_RUNNING, 2);
	slot->pin_depth = 1;
	slot->pin_site = 9;
	pinw_builder_goheld(&b, slot, 1700, 19, 7, 1);
	pinw_builder_end(&b, PINW_END_EXIT, 0, 9000);
	struct pinw_model *m = model_of(&b);
	const struct pinw_golock_site *row = &m->processes[0]->sorted_golock_sites[0];

	cr_expect(row->locked == 3 && row->unlocked == 2 && row->open == 1 && row->on_cpus == 2);
	cr_expect(row->unlock_sites == 1 && row->unlocks[0].site == 8 && row->unlocks[0].count == 2);
	cr_expect_eq(row->held_max_ns, 7300, "those that are held count");
	const struct pinw_golock *held = pinw_process_thread(m->processes[0], 3)->lock;
	cr_expect(held->depth == 1 && held->goid == 19 && held->held_ns == 7300 && held->on_cpus &&
	          !held->destroyed);
	cr_expect_eq(pinw_process_thread(m->processes[0], 2)->lock->depth, 0);
	cr_expect_eq(pinw_process_thread(m->processes[0], 2)->golocks, 2);
	pinw_model_free(m);
}

Test(golocks, that_are_locked_too_often_at_the_end_are_unbalanced)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_goheld(&b, pinw_builder_slot(&b, 3, PINW_SLOT_RUNNING, 0xf), 1000, 18, 7, 2);
	pinw_builder_goheld(&b, pinw_builder_slot(&b, 4, PINW_SLOT_RUNNING, 0xf), 1000, 19, 7, 1);
	pinw_builder_end(&b, PINW_END_EXIT, 0, 9000);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = m->processes[0];

	cr_expect_eq(p->leaks_of[PINW_LEAK_UNBALANCED], 1);
	cr_expect_eq(p->leaks_of[PINW_LEAK_PINNED_AT_END], 2);
	const struct pinw_leak *l = &p->leaks[p->leak_count - 1];
	cr_expect(l->kind == PINW_LEAK_UNBALANCED && l->pin_site == 7 && l->depth_max == 2 &&
	          l->threads[0] == 3);
	pinw_model_free(m);
}
