/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "preload/ledger.h"
#include "tests/rig_enforce.h"

#define THREADS 64u

TestSuite(enforce_threads, .fini = pinw_rig_done);
TestSuite(enforce_pins, .fini = pinw_rig_done);

/* ---- creations --------------------------------------------------------------------------------- */

static struct {
	struct pinw_thread *self;
	struct pinw_create_trial trials[THREADS];
	uint64_t most; /* the highest number granted, atomic */
	uint64_t wrong; /* atomic */
} crowd;

static void create_one(unsigned index)
{
	crowd.trials[index] = pinw_rig_create(crowd.self, PINW_ORIGIN_NONE);
}

/* Of 64 threads that ask at once, seven are let in beside the main one, with a number each. */
Test(enforce_threads, max_threads_is_exact_under_64_threads)
{
	bool given[THREADS] = {false};
	unsigned granted = 0;

	crowd.self =
	    pinw_rig_policed(PINW_RIG_ENFORCE "[caps]\nmax_threads = 8\nmax_threads_action = deny\n");
	pinw_rig_together(THREADS, create_one);
	for (unsigned i = 0; i < THREADS; i++) {
		if (crowd.trials[i].denied) {
			cr_expect_eq(crowd.trials[i].error, EAGAIN);
			continue;
		}
		granted++;
		cr_assert(crowd.trials[i].live >= 2 && crowd.trials[i].live <= 8, "%lu",
		          crowd.trials[i].live);
		cr_expect_not(given[crowd.trials[i].live], "number %lu twice", crowd.trials[i].live);
		given[crowd.trials[i].live] = true;
	}
	cr_expect_eq(granted, 7);
	cr_expect_eq(pinw_rig_counters()->threads_live, 8);
	cr_expect_eq(pinw_rig_counters()->threads_denied, THREADS - 7);
	cr_expect_eq(pinw_rig_counters()->violations, THREADS - 7);
	pinw_rig_expect_verdicts("caps:max_threads", THREADS - 7, PINW_DONE_DENIED);
	struct pinw_rec_violation last = pinw_rig_verdicts(NULL).last;
	cr_expect_eq(last.attempt, PINW_ATTEMPT_CREATE);
	cr_expect_eq(last.value, 9);
	cr_expect_eq(last.limit, 8);
	cr_expect_eq(last.error, EAGAIN);
}

static void come_and_go(unsigned index)
{
	(void)index;
	for (unsigned i = 0; i < 500; i++) {
		struct pinw_create_trial trial = pinw_rig_create(crowd.self, PINW_ORIGIN_NONE);

		if (trial.denied)
			continue;
		if (trial.live > 8 ||
		    __atomic_load_n(&pinw_rig_counters()->threads_live, __ATOMIC_RELAXED) > 8)
			__atomic_fetch_add(&crowd.wrong, 1, __ATOMIC_RELAXED);
		pinw_uncount(threads_live, 1); /* it ended */
	}
}

Test(enforce_threads, max_threads_is_never_passed_while_threads_come_and_go)
{
	crowd.self =
	    pinw_rig_policed(PINW_RIG_ENFORCE "[caps]\nmax_threads = 8\nmax_threads_action = deny\n");
	pinw_rig_together(THREADS, come_and_go);
	cr_expect_eq(crowd.wrong, 0);
	cr_expect_eq(pinw_rig_counters()->threads_live, 1);
	cr_expect_eq(pinw_rig_cell("caps:max_threads").violations, pinw_rig_counters()->threads_denied);
}

Test(enforce_threads, a_warning_is_told_once_on_the_way_up)
{
	crowd.self = pinw_rig_policed(
	    PINW_RIG_ENFORCE
	    "[caps]\nmax_threads = 100\nmax_threads_action = deny\nmax_threads_warn_at = 20\n");
	pinw_rig_together(THREADS, create_one);
	cr_expect_eq(pinw_rig_counters()->threads_live, 65);
	cr_expect_eq(pinw_rig_counters()->threads_denied, 0);
	pinw_rig_expect_verdicts("caps:max_threads_warn_at", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.value, 20);
	pinw_rig_expect_verdicts("caps:max_threads", 0, PINW_DONE_DENIED);
}

Test(enforce_threads, audit_lets_every_thread_in_and_says_what_it_would_have_done)
{
	crowd.self =
	    pinw_rig_policed("[policy]\nmode = audit\n[caps]\nmax_threads = 8\nmax_threads_action = crash\n");
	pinw_rig_together(THREADS, create_one);
	cr_expect_eq(pinw_rig_counters()->threads_live, 65);
	cr_expect_eq(pinw_rig_counters()->threads_denied, 0);
	pinw_rig_expect_verdicts("caps:max_threads", THREADS - 7, PINW_DONE_WOULD);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.error, 0);
}

Test(enforce_threads, a_creation_beyond_the_rate_is_not_counted_in)
{
	crowd.self =
	    pinw_rig_policed(PINW_RIG_ENFORCE "[caps]\nthread_rate = 10/1h\nthread_rate_warn_at = 5/1h\n");
	pinw_rig_together(THREADS, create_one);
	cr_expect_eq(pinw_rig_counters()->threads_live, 11);
	cr_expect_eq(pinw_rig_counters()->threads_denied, THREADS - 10);
	pinw_rig_expect_verdicts("caps:thread_rate", THREADS - 10, PINW_DONE_DENIED);
	pinw_rig_expect_verdicts("caps:thread_rate_warn_at", 1, PINW_DONE_LOGGED);
}

/* ---- pins: what they hold of the counters ---------------------------------------------------------- */

Test(enforce_pins, holds_follow_a_pin_from_open_to_end)
{
	struct pinw_thread *self = pinw_rig_policed(PINW_RIG_COUNTED);

	cr_expect_eq(pinw_rig_pin(self, 0x3, 0), 0);
	pinw_rig_expect_held(1, 0, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	pinw_rig_expect_held(1, 1, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0); /* once more: nothing is held twice */
	pinw_rig_expect_held(1, 1, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x2, 0), 0);
	pinw_rig_expect_held(1, 0, 1);
	cr_expect_eq(pinw_rig_pin(self, 0xf, 0), 0);
	pinw_rig_expect_held(0, 0, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	pinw_rig_expect_held(1, 1, 0);
	pinw_ledger_end(self, PINW_EXIT_RETURN, 1);
	pinw_rig_expect_held(0, 0, 0);
	cr_expect_eq(pinw_rig_counters()->violations, 0);
	pinw_rig_balance();
}

Test(enforce_pins, a_call_that_fails_holds_nothing_and_breaks_no_rule)
{
	struct pinw_thread *self =
	    pinw_rig_policed(PINW_RIG_COUNTED "[ban \"all\"]\naction = log\nthread_name = loud\n");

	strcpy(self->slot->name, "loud");
	cr_expect_eq(pinw_rig_pin(self, 0x1, EINVAL), EINVAL);
	pinw_rig_expect_held(0, 0, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	cr_expect_eq(pinw_rig_pin(self, 0x2, EINVAL), EINVAL); /* the old pin goes on, with what it holds */
	pinw_rig_expect_held(1, 1, 0);
	pinw_rig_expect_verdicts("ban:all", 1, PINW_DONE_LOGGED);
}

Test(enforce_pins, a_pin_that_is_denied_changes_nothing)
{
	struct pinw_thread *self =
	    pinw_rig_policed(PINW_RIG_COUNTED "[ban \"cpu 1\"]\ncpus = 1\nerrno = EACCES\n");

	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	cr_expect_eq(pinw_rig_pin(self, 0x2, 0), EACCES);
	pinw_rig_expect_held(1, 1, 0);
	cr_expect_eq(self->mask[0], 0x1);
	cr_expect_eq(self->slot->pin_depth, 1);
	cr_expect_eq(pinw_rig_counters()->affinity_denied, 1);
	pinw_rig_expect_verdicts("ban:cpu 1", 1, PINW_DONE_DENIED);
	struct pinw_rig_verdicts verdicts = pinw_rig_verdicts(NULL);
	cr_expect_eq(verdicts.last.error, EACCES);
	cr_expect_eq(verdicts.last.e.thread, self->slot->thread);
	cr_expect_eq(verdicts.last.target, self->slot->thread);
	cr_expect_eq(verdicts.mask, 0x2);
}

Test(enforce_pins, a_release_is_never_judged)
{
	struct pinw_thread *self = pinw_rig_policed(PINW_RIG_COUNTED);

	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	pinw_rig_obey(PINW_RIG_COUNTED "[ban \"all\"]\nthread_name = *\n");
	cr_expect_eq(pinw_rig_pin(self, 0xf, 0), 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), EPERM);
}

Test(enforce_pins, a_pin_from_outside_is_counted_too)
{
	const struct pinw_pinner outside = {.origin = PINW_ORIGIN_EXTERNAL};
	struct pinw_thread *self = pinw_rig_policed(PINW_RIG_ENFORCE "[caps]\nmax_pinned_per_cpu = 1\n"),
	                   *other;
	uint64_t one[PINW_MASK_WORDS_MAX] = {0x1}, before[PINW_MASK_WORDS_MAX];

	other = pinw_rig_thread(4711, NULL);
	pinw_ledger_set(other, other->slot->thread, one, outside, 1, before);
	pinw_rig_expect_held(1, 1, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), EPERM);
	cr_expect_eq(pinw_rig_pin(self, 0x2, 0), 0);
	pinw_ledger_end(other, PINW_EXIT_RETURN, 2);
	pinw_rig_expect_held(1, 0, 1);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	pinw_rig_expect_held(1, 1, 0);
}

/* A wide mask of two CPUs holds as many threads as both together. */
Test(enforce_pins, wide_masks_are_held_against_the_threads_inside_them)
{
	struct pinw_thread *self = pinw_rig_policed(PINW_RIG_ENFORCE "[caps]\nmax_pinned_per_cpu = 1\n");

	cr_expect_eq(pinw_rig_pin(pinw_rig_thread(11, NULL), 0x1, 0), 0);
	cr_expect_eq(pinw_rig_pin(self, 0x3, 0), 0);
	cr_expect_eq(pinw_rig_pin(self, 0x3, 0), 0); /* it does not stand in its own way */
	cr_expect_eq(pinw_rig_pin(pinw_rig_thread(12, NULL), 0x3, 0), EPERM);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.value, 3);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.limit, 2);
}

Test(enforce_pins, an_allow_has_room_for_so_many_and_gets_it_back)
{
	struct pinw_thread *self =
	    pinw_rig_policed(PINW_RIG_ENFORCE "[allow \"some\"]\nmax = 2\n[ban \"rest\"]\nthread_name = *\n");
	struct pinw_thread *second = pinw_rig_thread(11, NULL), *third = pinw_rig_thread(12, NULL);
	const uint64_t *open = &pinw_enforce.state.rules[pinw_rig_rule("allow:some") - 1].open;

	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	cr_expect_eq(pinw_rig_pin(second, 0x1, 0), 0);
	cr_expect_eq(pinw_rig_pin(third, 0x1, 0), EPERM);
	cr_expect_eq(pinw_rig_pin(self, 0x2, 0), 0); /* what it has, it keeps */
	cr_expect_eq(*open, 2);
	cr_expect_eq(pinw_rig_pin(second, 0xf, 0), 0);
	cr_expect_eq(*open, 1);
	cr_expect_eq(pinw_rig_pin(third, 0x1, 0), 0);
	pinw_ledger_end(self, PINW_EXIT_RETURN, 1);
	pinw_ledger_end(third, PINW_EXIT_RETURN, 1);
	cr_expect_eq(*open, 0);
}

Test(enforce_pins, masks_that_pin_nobody_are_not_judged)
{
	static const uint64_t present = 0x3;
	struct pinw_thread *self =
	    pinw_rig_policed(PINW_RIG_ENFORCE "pin_width = 1\n[ban \"all\"]\nthread_name = *\n");

	cr_expect_eq(pinw_rig_pin(self, 0x3, 0), 0, "wider than pin_width");
	cr_expect_eq(pinw_rig_pin(self, 0, EINVAL), EINVAL, "the kernel's to refuse");
	pinw_enforce.present = &present;
	cr_expect_eq(pinw_rig_pin(self, 0x8, EINVAL), EINVAL, "a CPU that is not there");
	cr_expect_eq(pinw_rig_counters()->violations, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), EPERM);
	cr_expect_eq(pinw_rig_pin(self, 0x9, 0), EPERM, "what is there of it is one CPU");
}

Test(enforce_pins, a_mask_that_cannot_be_read_is_left_to_the_kernel)
{
	struct pinw_thread *self = pinw_rig_policed(PINW_RIG_ENFORCE "[ban \"all\"]\nthread_name = *\n");
	struct pinw_trial trial = {.judged = false};
	uint64_t room[1];
	struct pinw_pin_request request = {
	    .self = self,
	    .target = self,
	    .target_seq = self->slot->thread,
	    .calls = PINW_CALLS_SETAFFINITY,
	    .user_mask = (const void *)8,
	    .cpusetsize = 8,
	    .where = PINW_WHERE(),
	};

	cr_expect(pinw_enforce_pin(&trial, &request, room));
	cr_expect_not(trial.judged);
	pinw_enforce_settle(&trial, self, false);
	cr_expect_eq(pinw_rig_counters()->violations, 0);
}

Test(enforce_pins, limits_warn_when_they_are_reached_not_before_and_not_beyond)
{
	struct pinw_thread *self = pinw_rig_policed(
	    PINW_RIG_ENFORCE "[caps]\nmax_pinned = 9\nmax_pinned_warn_at = 2\nmax_pinned_per_cpu = 9\n"
	                     "max_pinned_per_cpu_warn_at = 3\n");

	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	pinw_rig_expect_verdicts("caps:max_pinned_warn_at", 0, PINW_DONE_LOGGED);
	for (uint32_t tid = 11; tid < 14; tid++)
		cr_expect_eq(pinw_rig_pin(pinw_rig_thread(tid, NULL), 0x1, 0), 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	pinw_rig_expect_verdicts("caps:max_pinned_warn_at", 1, PINW_DONE_LOGGED);
	pinw_rig_expect_verdicts("caps:max_pinned_per_cpu_warn_at", 1, PINW_DONE_LOGGED);
}

/* Each of 64 threads pins, moves, fails and releases at random; what is held is what is there. */

static struct pinw_thread *pinning[THREADS];

static void pin_at_random(unsigned index)
{
	struct pinw_thread *thread = pinning[index];
	unsigned seed = index + 1;

	pinw_tls = (struct pinw_tls){.thread = thread, .seq = thread->slot->thread};
	for (unsigned i = 0; i < 400; i++) {
		static const uint64_t masks[] = {0x1, 0x1, 0x2, 0x3, 0x7, 0xf, 0xf, 0xf};
		uint64_t mask = masks[rand_r(&seed) / 16 % 8];

		pinw_rig_pin(thread, mask, rand_r(&seed) / 16 % 4 == 0 ? EINVAL : 0);
		if (__atomic_load_n(&pinw_rig_counters()->pins_open, __ATOMIC_RELAXED) > 10)
			__atomic_fetch_add(&crowd.wrong, 1, __ATOMIC_RELAXED);
	}
	pinw_tls.thread = NULL;
}

Test(enforce_pins, holds_add_up_after_64_threads_pinned_at_random)
{
	uint64_t pinned = 0, on[2] = {0, 0};

	pinw_rig_policed(PINW_RIG_ENFORCE "[caps]\nmax_pinned = 10\nmax_pinned_per_cpu = 4\n");
	for (uint32_t i = 0; i < THREADS; i++)
		pinning[i] = pinw_rig_thread(1000 + i, NULL);
	pinw_rig_together(THREADS, pin_at_random);
	cr_expect_eq(crowd.wrong, 0, "%lu times more than ten pins were open", crowd.wrong);
	for (unsigned i = 0; i < THREADS; i++) {
		pinned += pinning[i]->slot->pin_depth > 0;
		on[0] += pinning[i]->slot->pin_depth && pinning[i]->mask[0] == 0x1;
		on[1] += pinning[i]->slot->pin_depth && pinning[i]->mask[0] == 0x2;
	}
	cr_expect_gt(pinw_rig_counters()->affinity_denied, 0);
	pinw_rig_expect_held(pinned, on[0], on[1]);
	for (unsigned i = 0; i < THREADS; i++)
		pinw_ledger_end(pinning[i], PINW_EXIT_RETURN, 1);
	pinw_rig_expect_held(0, 0, 0);
	pinw_rig_balance();
}
