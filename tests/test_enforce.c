/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/mask.h"
#include "preload/clock.h"
#include "preload/ledger.h"
#include "preload/proc.h"
#include "tests/rig_enforce.h"

#define THREADS 64u
#define SECOND UINT64_C(1000000000)

TestSuite(enforce_threads, .fini = pinw_rig_done);
TestSuite(enforce_pins, .fini = pinw_rig_done);
TestSuite(enforce_births, .fini = pinw_rig_done);
TestSuite(enforce_leaks, .fini = pinw_rig_done);
TestSuite(enforce_require, .fini = pinw_rig_done);

/* A recorder on CPUs 0-3 under a policy, and the calling thread in it. */
static struct pinw_thread *start(const char *policy)
{
	pinw_rig_bench_small();
	pinw_rig_obey(policy);
	return pinw_rig_self();
}

#define ENFORCE "[policy]\nmode = enforce\n"

static const struct pinw_counters *counters(void)
{
	return &pinw_shim.live->counters;
}

static void expect_verdicts(const char *label, unsigned records, enum pinw_done done)
{
	struct pinw_rig_verdicts verdicts = pinw_rig_verdicts(label);
	struct pinw_rule_cell cell = pinw_rig_cell(label);
	bool carried_out = done == PINW_DONE_DENIED || done == PINW_DONE_RESET || done == PINW_DONE_CRASHED;

	cr_expect_eq(verdicts.count, records, "%s: %u records, %u expected", label, verdicts.count, records);
	cr_expect_eq(cell.violations, records, "%s: %lu in the cell, %u expected", label, cell.violations,
	             records);
	cr_expect_eq(cell.done, carried_out ? records : 0, "%s: %lu carried out", label, cell.done);
	if (records)
		cr_expect_eq(verdicts.last.done, done, "%s: done %u", label, verdicts.last.done);
}

/* ---- creations --------------------------------------------------------------------------------- */

static struct pinw_create_trial create(const struct pinw_thread *self, enum pinw_origin origin)
{
	struct pinw_create_trial trial = {.denied = false};
	struct pinw_create_request request = {
	    .self = (struct pinw_thread *)self, .origin = origin, .mask = self->mask};

	pinw_enforce_create(&trial, &request);
	return trial;
}

static struct {
	struct pinw_thread *self;
	struct pinw_create_trial trials[THREADS];
	uint64_t most; /* the highest number granted, atomic */
	uint64_t wrong; /* atomic */
} crowd;

static void create_one(unsigned index)
{
	crowd.trials[index] = create(crowd.self, PINW_ORIGIN_NONE);
}

/* Of 64 threads that ask at once, seven are let in beside the main one, with a number each. */
Test(enforce_threads, max_threads_is_exact_under_64_threads)
{
	bool given[THREADS] = {false};
	unsigned granted = 0;

	crowd.self = start(ENFORCE "[caps]\nmax_threads = 8\nmax_threads_action = deny\n");
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
	cr_expect_eq(counters()->threads_live, 8);
	cr_expect_eq(counters()->threads_denied, THREADS - 7);
	cr_expect_eq(counters()->violations, THREADS - 7);
	expect_verdicts("caps:max_threads", THREADS - 7, PINW_DONE_DENIED);
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
		struct pinw_create_trial trial = create(crowd.self, PINW_ORIGIN_NONE);

		if (trial.denied)
			continue;
		if (trial.live > 8 || __atomic_load_n(&counters()->threads_live, __ATOMIC_RELAXED) > 8)
			__atomic_fetch_add(&crowd.wrong, 1, __ATOMIC_RELAXED);
		pinw_uncount(threads_live, 1); /* it ended */
	}
}

Test(enforce_threads, max_threads_is_never_passed_while_threads_come_and_go)
{
	crowd.self = start(ENFORCE "[caps]\nmax_threads = 8\nmax_threads_action = deny\n");
	pinw_rig_together(THREADS, come_and_go);
	cr_expect_eq(crowd.wrong, 0);
	cr_expect_eq(counters()->threads_live, 1);
	cr_expect_eq(pinw_rig_cell("caps:max_threads").violations, counters()->threads_denied);
}

Test(enforce_threads, a_warning_is_told_once_on_the_way_up)
{
	crowd.self =
	    start(ENFORCE "[caps]\nmax_threads = 100\nmax_threads_action = deny\nmax_threads_warn_at = 20\n");
	pinw_rig_together(THREADS, create_one);
	cr_expect_eq(counters()->threads_live, 65);
	cr_expect_eq(counters()->threads_denied, 0);
	expect_verdicts("caps:max_threads_warn_at", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.value, 20);
	expect_verdicts("caps:max_threads", 0, PINW_DONE_DENIED);
}

Test(enforce_threads, audit_lets_every_thread_in_and_says_what_it_would_have_done)
{
	crowd.self = start("[policy]\nmode = audit\n[caps]\nmax_threads = 8\nmax_threads_action = crash\n");
	pinw_rig_together(THREADS, create_one);
	cr_expect_eq(counters()->threads_live, 65);
	cr_expect_eq(counters()->threads_denied, 0);
	expect_verdicts("caps:max_threads", THREADS - 7, PINW_DONE_WOULD);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.error, 0);
}

Test(enforce_threads, a_creation_beyond_the_rate_is_not_counted_in)
{
	crowd.self = start(ENFORCE "[caps]\nthread_rate = 10/1h\nthread_rate_warn_at = 5/1h\n");
	pinw_rig_together(THREADS, create_one);
	cr_expect_eq(counters()->threads_live, 11);
	cr_expect_eq(counters()->threads_denied, THREADS - 10);
	expect_verdicts("caps:thread_rate", THREADS - 10, PINW_DONE_DENIED);
	expect_verdicts("caps:thread_rate_warn_at", 1, PINW_DONE_LOGGED);
}

/* ---- pins: what they hold of the counters ---------------------------------------------------------- */

/* What the policy counts: pinned threads, and single-CPU pins on CPUs 0 and 1. */
static void expect_held(uint64_t pinned, uint64_t on_0, uint64_t on_1)
{
	const struct pinw_policy_state *state = &pinw_enforce.state;

	cr_expect_eq(state->pinned, pinned, "%lu pinned, %lu expected", state->pinned, pinned);
	cr_expect_eq(state->cpu_pins[0], on_0, "%lu on CPU 0, %lu expected", state->cpu_pins[0], on_0);
	cr_expect_eq(state->cpu_pins[1], on_1, "%lu on CPU 1, %lu expected", state->cpu_pins[1], on_1);
}

#define COUNTED ENFORCE "[caps]\nmax_pinned = 100\nmax_pinned_per_cpu = 100\n"

Test(enforce_pins, holds_follow_a_pin_from_open_to_end)
{
	struct pinw_thread *self = start(COUNTED);

	cr_expect_eq(pinw_rig_pin(self, 0x3, 0), 0);
	expect_held(1, 0, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	expect_held(1, 1, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0); /* once more: nothing is held twice */
	expect_held(1, 1, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x2, 0), 0);
	expect_held(1, 0, 1);
	cr_expect_eq(pinw_rig_pin(self, 0xf, 0), 0);
	expect_held(0, 0, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	expect_held(1, 1, 0);
	pinw_ledger_end(self, PINW_EXIT_RETURN, 1);
	expect_held(0, 0, 0);
	cr_expect_eq(counters()->violations, 0);
	pinw_rig_balance();
}

Test(enforce_pins, a_call_that_fails_holds_nothing_and_breaks_no_rule)
{
	struct pinw_thread *self = start(COUNTED "[ban \"all\"]\naction = log\nthread_name = loud\n");

	strcpy(self->slot->name, "loud");
	cr_expect_eq(pinw_rig_pin(self, 0x1, EINVAL), EINVAL);
	expect_held(0, 0, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	cr_expect_eq(pinw_rig_pin(self, 0x2, EINVAL), EINVAL); /* the old pin goes on, with what it holds */
	expect_held(1, 1, 0);
	expect_verdicts("ban:all", 1, PINW_DONE_LOGGED);
}

Test(enforce_pins, a_pin_that_is_denied_changes_nothing)
{
	struct pinw_thread *self = start(COUNTED "[ban \"cpu 1\"]\ncpus = 1\nerrno = EACCES\n");

	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	cr_expect_eq(pinw_rig_pin(self, 0x2, 0), EACCES);
	expect_held(1, 1, 0);
	cr_expect_eq(self->mask[0], 0x1);
	cr_expect_eq(self->slot->pin_depth, 1);
	cr_expect_eq(counters()->affinity_denied, 1);
	expect_verdicts("ban:cpu 1", 1, PINW_DONE_DENIED);
	struct pinw_rig_verdicts verdicts = pinw_rig_verdicts(NULL);
	cr_expect_eq(verdicts.last.error, EACCES);
	cr_expect_eq(verdicts.last.e.thread, self->slot->thread);
	cr_expect_eq(verdicts.last.target, self->slot->thread);
	cr_expect_eq(verdicts.mask, 0x2);
}

Test(enforce_pins, a_release_is_never_judged)
{
	struct pinw_thread *self = start(COUNTED);

	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	pinw_rig_obey(COUNTED "[ban \"all\"]\nthread_name = *\n");
	cr_expect_eq(pinw_rig_pin(self, 0xf, 0), 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), EPERM);
}

Test(enforce_pins, a_pin_from_outside_is_counted_too)
{
	const struct pinw_pinner outside = {.origin = PINW_ORIGIN_EXTERNAL};
	struct pinw_thread *self = start(ENFORCE "[caps]\nmax_pinned_per_cpu = 1\n"), *other;
	uint64_t one[PINW_MASK_WORDS_MAX] = {0x1}, before[PINW_MASK_WORDS_MAX];

	other = pinw_rig_thread(4711, NULL);
	pinw_ledger_set(other, other->slot->thread, one, outside, 1, before);
	expect_held(1, 1, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), EPERM);
	cr_expect_eq(pinw_rig_pin(self, 0x2, 0), 0);
	pinw_ledger_end(other, PINW_EXIT_RETURN, 2);
	expect_held(1, 0, 1);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	expect_held(1, 1, 0);
}

/* A wide mask of two CPUs holds as many threads as both together. */
Test(enforce_pins, wide_masks_are_held_against_the_threads_inside_them)
{
	struct pinw_thread *self = start(ENFORCE "[caps]\nmax_pinned_per_cpu = 1\n");

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
	    start(ENFORCE "[allow \"some\"]\nmax = 2\n[ban \"rest\"]\nthread_name = *\n");
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
	struct pinw_thread *self = start(ENFORCE "pin_width = 1\n[ban \"all\"]\nthread_name = *\n");

	cr_expect_eq(pinw_rig_pin(self, 0x3, 0), 0, "wider than pin_width");
	cr_expect_eq(pinw_rig_pin(self, 0, EINVAL), EINVAL, "the kernel's to refuse");
	pinw_enforce.present = &present;
	cr_expect_eq(pinw_rig_pin(self, 0x8, EINVAL), EINVAL, "a CPU that is not there");
	cr_expect_eq(counters()->violations, 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), EPERM);
	cr_expect_eq(pinw_rig_pin(self, 0x9, 0), EPERM, "what is there of it is one CPU");
}

Test(enforce_pins, a_mask_that_cannot_be_read_is_left_to_the_kernel)
{
	struct pinw_thread *self = start(ENFORCE "[ban \"all\"]\nthread_name = *\n");
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
	cr_expect_eq(counters()->violations, 0);
}

Test(enforce_pins, limits_warn_when_they_are_reached_not_before_and_not_beyond)
{
	struct pinw_thread *self =
	    start(ENFORCE "[caps]\nmax_pinned = 9\nmax_pinned_warn_at = 2\nmax_pinned_per_cpu = 9\n"
	                  "max_pinned_per_cpu_warn_at = 3\n");

	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	expect_verdicts("caps:max_pinned_warn_at", 0, PINW_DONE_LOGGED);
	for (uint32_t tid = 11; tid < 14; tid++)
		cr_expect_eq(pinw_rig_pin(pinw_rig_thread(tid, NULL), 0x1, 0), 0);
	cr_expect_eq(pinw_rig_pin(self, 0x1, 0), 0);
	expect_verdicts("caps:max_pinned_warn_at", 1, PINW_DONE_LOGGED);
	expect_verdicts("caps:max_pinned_per_cpu_warn_at", 1, PINW_DONE_LOGGED);
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
		if (__atomic_load_n(&counters()->pins_open, __ATOMIC_RELAXED) > 10)
			__atomic_fetch_add(&crowd.wrong, 1, __ATOMIC_RELAXED);
	}
	pinw_tls.thread = NULL;
}

Test(enforce_pins, holds_add_up_after_64_threads_pinned_at_random)
{
	uint64_t pinned = 0, on[2] = {0, 0};

	start(ENFORCE "[caps]\nmax_pinned = 10\nmax_pinned_per_cpu = 4\n");
	for (uint32_t i = 0; i < THREADS; i++)
		pinning[i] = pinw_rig_thread(1000 + i, NULL);
	pinw_rig_together(THREADS, pin_at_random);
	cr_expect_eq(crowd.wrong, 0, "%lu times more than ten pins were open", crowd.wrong);
	for (unsigned i = 0; i < THREADS; i++) {
		pinned += pinning[i]->slot->pin_depth > 0;
		on[0] += pinning[i]->slot->pin_depth && pinning[i]->mask[0] == 0x1;
		on[1] += pinning[i]->slot->pin_depth && pinning[i]->mask[0] == 0x2;
	}
	cr_expect_gt(counters()->affinity_denied, 0);
	expect_held(pinned, on[0], on[1]);
	for (unsigned i = 0; i < THREADS; i++)
		pinw_ledger_end(pinning[i], PINW_EXIT_RETURN, 1);
	expect_held(0, 0, 0);
	pinw_rig_balance();
}

/* ---- births ------------------------------------------------------------------------------------------ */

/* The new thread of a creation, as the pthread_create wrapper makes it. */
static struct pinw_thread *bear(const struct pinw_create_trial *trial, const struct pinw_thread *creator)
{
	struct pinw_thread *thread = pinw_rig_thread(4711, creator->mask);

	pinw_uncount(threads_live, 1); /* the creation has counted it */
	thread->birth = 0;
	thread->birth_origin = PINW_ORIGIN_INHERITED;
	thread->birth_by = creator->slot->thread;
	thread->ruled = (struct pinw_ruled){
	    .birth_hold = trial->birth_hold,
	    .birth_judged = trial->birth_judged,
	    .reset = trial->reset,
	    .inherit_rule = trial->inherit_rule,
	    .inherit_leak = trial->inherit_leak,
	};
	return thread;
}

Test(enforce_births, an_inherited_pin_holds_what_the_creation_reserved)
{
	struct pinw_thread *self = start(COUNTED);

	pinw_rig_pin(self, 0x1, 0);
	struct pinw_create_trial trial = create(self, PINW_ORIGIN_INHERITED);
	cr_expect(trial.birth_judged && !trial.denied);
	expect_held(2, 2, 0);
	struct pinw_thread *thread = bear(&trial, self);
	pinw_ledger_birth(thread, thread->slot->thread, 1);
	expect_held(2, 2, 0);
	pinw_ledger_end(thread, PINW_EXIT_RETURN, 2);
	expect_held(1, 1, 0);
	cr_expect_eq(counters()->threads_live, 1);
}

Test(enforce_births, a_creation_that_fails_gives_back_its_birth)
{
	struct pinw_thread *self = start(COUNTED);

	pinw_rig_pin(self, 0x1, 0);
	struct pinw_create_trial trial = create(self, PINW_ORIGIN_INHERITED);
	pinw_enforce_uncreate(&trial);
	expect_held(1, 1, 0);
}

Test(enforce_births, a_birth_beyond_a_limit_denies_the_creation)
{
	struct pinw_thread *self = start(ENFORCE "[caps]\nmax_pinned_per_cpu = 1\n");

	pinw_rig_pin(self, 0x1, 0);
	struct pinw_create_trial trial = create(self, PINW_ORIGIN_INHERITED);
	cr_expect(trial.denied && !trial.birth_judged);
	cr_expect_eq(trial.error, EPERM);
	expect_held(1, 1, 0);
	cr_expect_eq(counters()->threads_live, 1);
	cr_expect_eq(counters()->threads_denied, 1);
	expect_verdicts("caps:max_pinned_per_cpu", 1, PINW_DONE_DENIED);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.attempt, PINW_ATTEMPT_INHERIT);
	cr_expect_eq(pinw_rig_verdicts(NULL).mask, 0x1);
	trial = create(self, PINW_ORIGIN_BORN); /* the same mask, from an attribute */
	cr_expect(trial.denied);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.attempt, PINW_ATTEMPT_BORN);
	cr_expect_not(create(self, PINW_ORIGIN_NONE).denied);
}

Test(enforce_births, a_reset_is_left_to_the_new_thread_and_reserves_nothing)
{
	struct pinw_thread *self = start(COUNTED "[ban \"heirs\"]\ncall = inherit\naction = reset\n");

	pinw_rig_pin(self, 0x1, 0);
	struct pinw_create_trial trial = create(self, PINW_ORIGIN_INHERITED);
	cr_expect(!trial.denied && !trial.birth_judged && trial.reset);
	cr_expect_eq(trial.inherit_rule, pinw_rig_rule("ban:heirs"));
	cr_expect_eq(trial.inherit_leak, 0);
	expect_held(1, 1, 0);
	expect_verdicts("ban:heirs", 0, PINW_DONE_RESET);
}

Test(enforce_births, audit_keeps_the_inherited_pin)
{
	struct pinw_thread *self = start("[policy]\nmode = audit\n[caps]\nmax_pinned = 9\n"
	                                 "[ban \"heirs\"]\ncall = inherit\naction = reset\n");

	pinw_rig_pin(self, 0x1, 0);
	struct pinw_create_trial trial = create(self, PINW_ORIGIN_INHERITED);
	cr_expect(trial.birth_judged && !trial.reset);
	struct pinw_thread *thread = bear(&trial, self);
	pinw_enforce_birth(thread, 1);
	pinw_ledger_birth(thread, thread->slot->thread, 1);
	cr_expect_eq(thread->slot->pin_depth, 1);
	expect_held(2, 2, 0);
	expect_verdicts("ban:heirs", 1, PINW_DONE_WOULD);
}

/* On this machine's CPUs: the kernel has to be asked. */
static struct pinw_thread *start_really_pinned(const char *policy, uint64_t *ret_one)
{
	cpu_set_t set;

	pinw_rig_image(NULL);
	if (pinw_mask_width(pinw_shim.baseline, pinw_shim.mask_words) < 2)
		cr_skip_test("needs two CPUs");
	pinw_rig_obey(policy);
	*ret_one = pinw_shim.baseline[0] & -pinw_shim.baseline[0];
	CPU_ZERO(&set);
	memcpy(&set, ret_one, sizeof(*ret_one));
	cr_assert_eq(sched_setaffinity(0, sizeof(set), &set), 0);
	pinw_tls.thread->mask[0] = *ret_one;
	return pinw_tls.thread;
}

static bool is_on_baseline(void)
{
	uint64_t mask[PINW_MASK_WORDS_MAX] = {0};

	cr_assert_eq(pinw_proc_affinity(0, mask, pinw_shim.mask_words), 0);
	return pinw_mask_equal(mask, pinw_shim.baseline, pinw_shim.mask_words);
}

Test(enforce_births, the_new_thread_takes_the_baseline_from_the_kernel)
{
	uint64_t one;
	struct pinw_thread *self = start_really_pinned(ENFORCE "[leak]\ninherited = reset\n", &one);

	self->birth_by = 7;
	self->ruled.inherit_rule = pinw_rig_rule("leak:inherited");
	self->ruled.inherit_leak = 1 + PINW_PLEAK_INHERITED;
	self->ruled.reset = true;
	pinw_enforce_birth(self, 1);
	cr_expect(is_on_baseline());
	cr_expect(pinw_mask_equal(self->mask, pinw_shim.baseline, pinw_shim.mask_words));
	cr_expect_eq(counters()->pins_reset, 1);
	expect_verdicts("leak:inherited", 1, PINW_DONE_RESET);
	struct pinw_rig_verdicts verdicts = pinw_rig_verdicts(NULL);
	cr_expect_eq(verdicts.mask, one, "the mask it would have had");
	cr_expect_eq(verdicts.last.e.thread, 7, "who passed it on");
	cr_expect_eq(verdicts.last.target, self->slot->thread);
	cr_expect_eq(verdicts.last.leak, 1 + PINW_PLEAK_INHERITED);
}

Test(enforce_births, a_sealed_process_cannot_reset_and_says_so)
{
	uint64_t one;
	struct pinw_thread *self = start_really_pinned(ENFORCE "[leak]\ninherited = reset\n", &one);

	self->ruled.inherit_rule = pinw_rig_rule("leak:inherited");
	self->ruled.reset = true;
	pinw_shim.sealed = true;
	pinw_enforce_birth(self, 1);
	cr_expect_not(is_on_baseline());
	cr_expect_eq(counters()->pins_reset, 0);
	expect_verdicts("leak:inherited", 1, PINW_DONE_FAILED);
}

Test(enforce_births, a_fork_child_is_reset_too)
{
	uint64_t one;
	struct pinw_thread *self = start_really_pinned(ENFORCE "[leak]\ninherited = reset\n", &one);

	cr_expect(pinw_enforce_fork(self, 0));
	cr_expect(is_on_baseline());
	expect_verdicts("leak:inherited", 1, PINW_DONE_RESET);
	cr_expect_not(pinw_enforce_fork(self, 0), "now it has nothing to take away");
}

Test(enforce_births, a_suppressed_fork_child_keeps_its_pin)
{
	uint64_t one;
	struct pinw_thread *self = start_really_pinned(
	    ENFORCE "[leak]\ninherited = reset\n[suppress \"mine\"]\nleak = inherited\n", &one);

	cr_expect_not(pinw_enforce_fork(self, 0));
	cr_expect_not(is_on_baseline());
	cr_expect_eq(counters()->leaks_suppressed, 1);
	cr_expect_eq(pinw_rig_cell("suppress:mine").matched, 1);
	expect_verdicts("leak:inherited", 0, PINW_DONE_RESET);
}

/* ---- leaks -------------------------------------------------------------------------------------------- */

Test(enforce_leaks, a_thread_that_ends_pinned)
{
	struct pinw_thread *self = start("[leak]\nexit_while_pinned = log\n");
	struct pinw_thread *idle = pinw_rig_thread(11, NULL);

	pinw_rig_pin(self, 0x1, 0);
	cr_expect(pinw_enforce_thread_end(self, 5));
	cr_expect_not(pinw_enforce_thread_end(idle, 6), "it has no pin");
	expect_verdicts("leak:exit_while_pinned", 1, PINW_DONE_LOGGED);
	struct pinw_rig_verdicts verdicts = pinw_rig_verdicts(NULL);
	cr_expect_eq(verdicts.last.attempt, PINW_ATTEMPT_EXIT);
	cr_expect_eq(verdicts.last.leak, 1 + PINW_PLEAK_EXIT_WHILE_PINNED);
	cr_expect_eq(verdicts.last.target, self->slot->thread);
	cr_expect_eq(verdicts.mask, 0x1);
	pinw_rig_pin(self, 0xf, 0);
	cr_expect_not(pinw_enforce_thread_end(self, 7), "it gave its pin back");
}

Test(enforce_leaks, an_inherited_pin_is_its_creators)
{
	struct pinw_thread *self = start("[leak]\nexit_while_pinned = log\npinned_at_end = log\n");

	pinw_rig_pin(self, 0x1, 0);
	self->slot->pin_origin = PINW_ORIGIN_INHERITED;
	cr_expect_not(pinw_enforce_thread_end(self, 5));
	cr_expect_not(pinw_enforce_image_end(self, 5));
	cr_expect_eq(counters()->violations, 0);
}

Test(enforce_leaks, nobody_asked)
{
	struct pinw_thread *self = start("[leak]\ninherited = log\n");

	pinw_rig_pin(self, 0x1, 0);
	cr_expect_not(pinw_enforce_thread_end(self, 5));
	cr_expect_not(pinw_enforce_image_end(self, 5));
	cr_expect_eq(counters()->violations, 0);
}

Test(enforce_leaks, suppressed_is_counted_and_kept_out_of_the_log)
{
	struct pinw_thread *self = start("[leak]\nexit_while_pinned = log\npinned_at_end = log\n"
	                                 "[suppress \"old\"]\nthread_name = old-*\n");
	struct pinw_thread *other = pinw_rig_thread(11, NULL);

	strcpy(self->slot->name, "old-1");
	pinw_rig_pin(self, 0x1, 0);
	pinw_rig_pin(other, 0x1, 0);
	cr_expect(pinw_enforce_thread_end(self, 5));
	cr_expect(pinw_enforce_image_end(self, 6));
	cr_expect_eq(counters()->violations, 0);
	cr_expect_eq(counters()->leaks_suppressed, 2);
	cr_expect_eq(pinw_rig_cell("suppress:old").matched, 2);
	cr_expect(pinw_enforce_thread_end(other, 7));
	expect_verdicts("leak:exit_while_pinned", 1, PINW_DONE_LOGGED);
}

Test(enforce_leaks, pinned_at_the_end_unless_declared)
{
	struct pinw_thread *self = start("[leak]\npinned_at_end = log\n[require \"r\"]\nthread_name = owner\n"
	                                 "pinned = yes\n[allow \"a\"]\nthread_name = worker\n");
	struct pinw_thread *owner = pinw_rig_thread(11, NULL), *worker = pinw_rig_thread(12, NULL);

	strcpy(owner->slot->name, "owner");
	strcpy(worker->slot->name, "worker");
	pinw_rig_pin(self, 0x1, 0);
	pinw_rig_pin(owner, 0x2, 0);
	pinw_rig_pin(worker, 0x4, 0);
	cr_expect(pinw_enforce_image_end(self, 5));
	cr_expect_not(pinw_enforce_image_end(owner, 5));
	cr_expect_not(pinw_enforce_image_end(worker, 5));
	expect_verdicts("leak:pinned_at_end", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.target, self->slot->thread);
}

Test(enforce_leaks, unjoined_once_the_grace_is_over)
{
	struct pinw_thread *gone;

	start("[leak]\nunjoined = log\ngrace = 2s\n");
	gone = pinw_rig_thread(11, NULL);
	pinw_ledger_end(gone, PINW_EXIT_RETURN, 3 * SECOND);
	cr_expect_not(pinw_enforce_image_end(gone, 5 * SECOND - 1));
	cr_expect_not(pinw_enforce_image_end(gone, 2 * SECOND), "it ended while the clock was read");
	expect_verdicts("leak:unjoined", 0, PINW_DONE_LOGGED);
	cr_expect(pinw_enforce_image_end(gone, 5 * SECOND));
	expect_verdicts("leak:unjoined", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts(NULL).mask, 0);
	gone->slot->flags |= PINW_THREAD_MAIN;
	cr_expect_not(pinw_enforce_image_end(gone, 5 * SECOND), "nobody joins the main thread");
}

static struct {
	uint32_t tid; /* atomic */
	int ends[2];
} sleeper;

static void *sleep_on_pipe(void *unused)
{
	char byte;

	__atomic_store_n(&sleeper.tid, (uint32_t)gettid(), __ATOMIC_RELEASE);
	cr_assert_eq(read(sleeper.ends[0], &byte, 1), 0);
	return unused;
}

static bool is_asleep(uint32_t tid)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "/proc/self/task/%u/stat", tid);
	long n = pinw_proc_read(path, text, sizeof(text) - 1);
	cr_assert_gt(n, 0);
	text[n] = '\0';
	return strncmp(strrchr(text, ')'), ") S", 3) == 0;
}

Test(enforce_leaks, a_pin_of_a_thread_that_used_no_cpu_time)
{
	struct pinw_thread *busy, *idle;
	pthread_t thread;

	start("[leak]\npinned_idle = log\nidle_after = 2s\n");
	cr_assert_eq(pipe(sleeper.ends), 0);
	cr_assert_eq(pthread_create(&thread, NULL, sleep_on_pipe, NULL), 0);
	while (!__atomic_load_n(&sleeper.tid, __ATOMIC_ACQUIRE) || !is_asleep(sleeper.tid))
		sched_yield();
	idle = pinw_rig_thread(sleeper.tid, NULL);
	busy = pinw_rig_thread(sleeper.tid, NULL);
	pinw_rig_pin(idle, 0x1, 0);
	pinw_rig_pin(busy, 0x1, 0);
	busy->ruled.pin_cpu_ns -= SECOND / 100; /* as if it had worked since */
	uint64_t now = busy->slot->pin_since_ns + 2 * SECOND;
	pinw_enforce_image_end(busy, now);
	pinw_enforce_image_end(idle, idle->slot->pin_since_ns + 2 * SECOND - 1);
	expect_verdicts("leak:pinned_idle", 0, PINW_DONE_LOGGED);
	pinw_enforce_image_end(idle, now);
	expect_verdicts("leak:pinned_idle", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.target, idle->slot->thread);
	close(sleeper.ends[1]);
	pthread_join(thread, NULL);
}

/* ---- require --------------------------------------------------------------------------------------------- */

Test(enforce_require, is_told_once_about_a_thread)
{
	struct pinw_thread *self = start("[require \"unpinned\"]\nthread_name = io\npinned = no\n"
	                                 "[require \"on 1\"]\nthread_name = io\npinned = yes\ncpus = 1\n");
	struct pinw_thread *other = pinw_rig_thread(11, NULL);

	strcpy(self->slot->name, "io");
	strcpy(other->slot->name, "io");
	pinw_rig_pin(self, 0x1, 0);
	pinw_rig_pin(self, 0x1, 0);
	pinw_rig_pin(self, 0x4, 0);
	expect_verdicts("require:unpinned", 1, PINW_DONE_LOGGED);
	expect_verdicts("require:on 1", 1, PINW_DONE_LOGGED);
	pinw_enforce_thread_end(self, 5);
	pinw_enforce_image_end(self, 6);
	expect_verdicts("require:unpinned", 1, PINW_DONE_LOGGED);
	pinw_rig_pin(other, 0x2, 0);
	expect_verdicts("require:unpinned", 2, PINW_DONE_LOGGED);
	expect_verdicts("require:on 1", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts("require:unpinned").last.target, other->slot->thread);
}

Test(enforce_require, a_worker_that_never_pinned_is_told_at_its_end)
{
	struct pinw_thread *self = start("[require \"pinned\"]\nthread_name = worker\npinned = yes\n");
	struct pinw_thread *other = pinw_rig_thread(11, NULL);

	strcpy(self->slot->name, "worker");
	strcpy(other->slot->name, "other");
	pinw_enforce_thread_end(other, 5);
	expect_verdicts("require:pinned", 0, PINW_DONE_LOGGED);
	pinw_enforce_thread_end(self, 5);
	expect_verdicts("require:pinned", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.attempt, PINW_ATTEMPT_EXIT);
}
