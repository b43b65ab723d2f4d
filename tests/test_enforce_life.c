/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy/mask.h"
#include "preload/ledger.h"
#include "preload/proc.h"
#include "tests/rig_enforce.h"

#define SECOND UINT64_C(1000000000)

TestSuite(enforce_births, .fini = pinw_rig_done);
TestSuite(enforce_leaks, .fini = pinw_rig_done);
TestSuite(enforce_require, .fini = pinw_rig_done);

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
	struct pinw_thread *self = pinw_rig_policed(PINW_RIG_COUNTED);

	pinw_rig_pin(self, 0x1, 0);
	struct pinw_create_trial trial = pinw_rig_create(self, PINW_ORIGIN_INHERITED);
	cr_expect(trial.birth_judged && !trial.denied);
	pinw_rig_expect_held(2, 2, 0);
	struct pinw_thread *thread = bear(&trial, self);
	pinw_ledger_birth(thread, thread->slot->thread, 1);
	pinw_rig_expect_held(2, 2, 0);
	pinw_ledger_end(thread, PINW_EXIT_RETURN, 2);
	pinw_rig_expect_held(1, 1, 0);
	cr_expect_eq(pinw_rig_counters()->threads_live, 1);
}

Test(enforce_births, a_creation_that_fails_gives_back_its_birth)
{
	struct pinw_thread *self = pinw_rig_policed(PINW_RIG_COUNTED);

	pinw_rig_pin(self, 0x1, 0);
	struct pinw_create_trial trial = pinw_rig_create(self, PINW_ORIGIN_INHERITED);
	pinw_enforce_uncreate(&trial);
	pinw_rig_expect_held(1, 1, 0);
}

Test(enforce_births, a_birth_beyond_a_limit_denies_the_creation)
{
	struct pinw_thread *self = pinw_rig_policed(PINW_RIG_ENFORCE "[caps]\nmax_pinned_per_cpu = 1\n");

	pinw_rig_pin(self, 0x1, 0);
	struct pinw_create_trial trial = pinw_rig_create(self, PINW_ORIGIN_INHERITED);
	cr_expect(trial.denied && !trial.birth_judged);
	cr_expect_eq(trial.error, EPERM);
	pinw_rig_expect_held(1, 1, 0);
	cr_expect_eq(pinw_rig_counters()->threads_live, 1);
	cr_expect_eq(pinw_rig_counters()->threads_denied, 1);
	pinw_rig_expect_verdicts("caps:max_pinned_per_cpu", 1, PINW_DONE_DENIED);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.attempt, PINW_ATTEMPT_INHERIT);
	cr_expect_eq(pinw_rig_verdicts(NULL).mask, 0x1);
	trial = pinw_rig_create(self, PINW_ORIGIN_BORN); /* the same mask, from an attribute */
	cr_expect(trial.denied);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.attempt, PINW_ATTEMPT_BORN);
	cr_expect_not(pinw_rig_create(self, PINW_ORIGIN_NONE).denied);
}

Test(enforce_births, a_reset_is_left_to_the_new_thread_and_reserves_nothing)
{
	struct pinw_thread *self =
	    pinw_rig_policed(PINW_RIG_COUNTED "[ban \"heirs\"]\ncall = inherit\naction = reset\n");

	pinw_rig_pin(self, 0x1, 0);
	struct pinw_create_trial trial = pinw_rig_create(self, PINW_ORIGIN_INHERITED);
	cr_expect(!trial.denied && !trial.birth_judged && trial.reset);
	cr_expect_eq(trial.inherit_rule, pinw_rig_rule("ban:heirs"));
	cr_expect_eq(trial.inherit_leak, 0);
	pinw_rig_expect_held(1, 1, 0);
	pinw_rig_expect_verdicts("ban:heirs", 0, PINW_DONE_RESET);
}

Test(enforce_births, audit_keeps_the_inherited_pin)
{
	struct pinw_thread *self = pinw_rig_policed("[policy]\nmode = audit\n[caps]\nmax_pinned = 9\n"
	                                            "[ban \"heirs\"]\ncall = inherit\naction = reset\n");

	pinw_rig_pin(self, 0x1, 0);
	struct pinw_create_trial trial = pinw_rig_create(self, PINW_ORIGIN_INHERITED);
	cr_expect(trial.birth_judged && !trial.reset);
	struct pinw_thread *thread = bear(&trial, self);
	pinw_enforce_birth(thread, 1);
	pinw_ledger_birth(thread, thread->slot->thread, 1);
	cr_expect_eq(thread->slot->pin_depth, 1);
	pinw_rig_expect_held(2, 2, 0);
	pinw_rig_expect_verdicts("ban:heirs", 1, PINW_DONE_WOULD);
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
	struct pinw_thread *self = start_really_pinned(PINW_RIG_ENFORCE "[leak]\ninherited = reset\n", &one);

	self->birth_by = 7;
	self->ruled.inherit_rule = pinw_rig_rule("leak:inherited");
	self->ruled.inherit_leak = 1 + PINW_PLEAK_INHERITED;
	self->ruled.reset = true;
	pinw_enforce_birth(self, 1);
	cr_expect(is_on_baseline());
	cr_expect(pinw_mask_equal(self->mask, pinw_shim.baseline, pinw_shim.mask_words));
	cr_expect_eq(pinw_rig_counters()->pins_reset, 1);
	pinw_rig_expect_verdicts("leak:inherited", 1, PINW_DONE_RESET);
	struct pinw_rig_verdicts verdicts = pinw_rig_verdicts(NULL);
	cr_expect_eq(verdicts.mask, one, "the mask it would have had");
	cr_expect_eq(verdicts.last.e.thread, 7, "who passed it on");
	cr_expect_eq(verdicts.last.target, self->slot->thread);
	cr_expect_eq(verdicts.last.leak, 1 + PINW_PLEAK_INHERITED);
}

Test(enforce_births, a_sealed_process_cannot_reset_and_says_so)
{
	uint64_t one;
	struct pinw_thread *self = start_really_pinned(PINW_RIG_ENFORCE "[leak]\ninherited = reset\n", &one);

	self->ruled.inherit_rule = pinw_rig_rule("leak:inherited");
	self->ruled.reset = true;
	pinw_shim.sealed = true;
	pinw_enforce_birth(self, 1);
	cr_expect_not(is_on_baseline());
	cr_expect_eq(pinw_rig_counters()->pins_reset, 0);
	pinw_rig_expect_verdicts("leak:inherited", 1, PINW_DONE_FAILED);
}

Test(enforce_births, a_fork_child_is_reset_too)
{
	uint64_t one;
	struct pinw_thread *self = start_really_pinned(PINW_RIG_ENFORCE "[leak]\ninherited = reset\n", &one);

	cr_expect(pinw_enforce_fork(self, 0));
	cr_expect(is_on_baseline());
	pinw_rig_expect_verdicts("leak:inherited", 1, PINW_DONE_RESET);
	cr_expect_not(pinw_enforce_fork(self, 0), "now it has nothing to take away");
}

Test(enforce_births, a_suppressed_fork_child_keeps_its_pin)
{
	uint64_t one;
	struct pinw_thread *self = start_really_pinned(
	    PINW_RIG_ENFORCE "[leak]\ninherited = reset\n[suppress \"mine\"]\nleak = inherited\n", &one);

	cr_expect_not(pinw_enforce_fork(self, 0));
	cr_expect_not(is_on_baseline());
	cr_expect_eq(pinw_rig_counters()->leaks_suppressed, 1);
	cr_expect_eq(pinw_rig_cell("suppress:mine").matched, 1);
	pinw_rig_expect_verdicts("leak:inherited", 0, PINW_DONE_RESET);
}

/* ---- leaks -------------------------------------------------------------------------------------------- */

Test(enforce_leaks, a_thread_that_ends_pinned)
{
	struct pinw_thread *self = pinw_rig_policed("[leak]\nexit_while_pinned = log\n");
	struct pinw_thread *idle = pinw_rig_thread(11, NULL);

	pinw_rig_pin(self, 0x1, 0);
	cr_expect(pinw_enforce_thread_end(self, 5));
	cr_expect_not(pinw_enforce_thread_end(idle, 6), "it has no pin");
	pinw_rig_expect_verdicts("leak:exit_while_pinned", 1, PINW_DONE_LOGGED);
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
	struct pinw_thread *self = pinw_rig_policed("[leak]\nexit_while_pinned = log\npinned_at_end = log\n");

	pinw_rig_pin(self, 0x1, 0);
	self->slot->pin_origin = PINW_ORIGIN_INHERITED;
	cr_expect_not(pinw_enforce_thread_end(self, 5));
	cr_expect_not(pinw_enforce_image_end(self, 5));
	cr_expect_eq(pinw_rig_counters()->violations, 0);
}

Test(enforce_leaks, nobody_asked)
{
	struct pinw_thread *self = pinw_rig_policed("[leak]\ninherited = log\n");

	pinw_rig_pin(self, 0x1, 0);
	cr_expect_not(pinw_enforce_thread_end(self, 5));
	cr_expect_not(pinw_enforce_image_end(self, 5));
	cr_expect_eq(pinw_rig_counters()->violations, 0);
}

Test(enforce_leaks, suppressed_is_counted_and_kept_out_of_the_log)
{
	struct pinw_thread *self = pinw_rig_policed("[leak]\nexit_while_pinned = log\npinned_at_end = log\n"
	                                            "[suppress \"old\"]\nthread_name = old-*\n");
	struct pinw_thread *other = pinw_rig_thread(11, NULL);

	strcpy(self->slot->name, "old-1");
	pinw_rig_pin(self, 0x1, 0);
	pinw_rig_pin(other, 0x1, 0);
	cr_expect(pinw_enforce_thread_end(self, 5));
	cr_expect(pinw_enforce_image_end(self, 6));
	cr_expect_eq(pinw_rig_counters()->violations, 0);
	cr_expect_eq(pinw_rig_counters()->leaks_suppressed, 2);
	cr_expect_eq(pinw_rig_cell("suppress:old").matched, 2);
	cr_expect(pinw_enforce_thread_end(other, 7));
	pinw_rig_expect_verdicts("leak:exit_while_pinned", 1, PINW_DONE_LOGGED);
}

Test(enforce_leaks, pinned_at_the_end_unless_declared)
{
	struct pinw_thread *self =
	    pinw_rig_policed("[leak]\npinned_at_end = log\n[require \"r\"]\nthread_name = owner\n"
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
	pinw_rig_expect_verdicts("leak:pinned_at_end", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.target, self->slot->thread);
}

Test(enforce_leaks, unjoined_once_the_grace_is_over)
{
	struct pinw_thread *gone;

	pinw_rig_policed("[leak]\nunjoined = log\ngrace = 2s\n");
	gone = pinw_rig_thread(11, NULL);
	pinw_ledger_end(gone, PINW_EXIT_RETURN, 3 * SECOND);
	cr_expect_not(pinw_enforce_image_end(gone, 5 * SECOND - 1));
	cr_expect_not(pinw_enforce_image_end(gone, 2 * SECOND), "it ended while the clock was read");
	pinw_rig_expect_verdicts("leak:unjoined", 0, PINW_DONE_LOGGED);
	cr_expect(pinw_enforce_image_end(gone, 5 * SECOND));
	pinw_rig_expect_verdicts("leak:unjoined", 1, PINW_DONE_LOGGED);
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

	pinw_rig_policed("[leak]\npinned_idle = log\nidle_after = 2s\n");
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
	pinw_rig_expect_verdicts("leak:pinned_idle", 0, PINW_DONE_LOGGED);
	pinw_enforce_image_end(idle, now);
	pinw_rig_expect_verdicts("leak:pinned_idle", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.target, idle->slot->thread);
	close(sleeper.ends[1]);
	pthread_join(thread, NULL);
}

/* ---- require --------------------------------------------------------------------------------------------- */

Test(enforce_require, is_told_once_about_a_thread)
{
	struct pinw_thread *self =
	    pinw_rig_policed("[require \"unpinned\"]\nthread_name = io\npinned = no\n"
	                     "[require \"on 1\"]\nthread_name = io\npinned = yes\ncpus = 1\n");
	struct pinw_thread *other = pinw_rig_thread(11, NULL);

	strcpy(self->slot->name, "io");
	strcpy(other->slot->name, "io");
	pinw_rig_pin(self, 0x1, 0);
	pinw_rig_pin(self, 0x1, 0);
	pinw_rig_pin(self, 0x4, 0);
	pinw_rig_expect_verdicts("require:unpinned", 1, PINW_DONE_LOGGED);
	pinw_rig_expect_verdicts("require:on 1", 1, PINW_DONE_LOGGED);
	pinw_enforce_thread_end(self, 5);
	pinw_enforce_image_end(self, 6);
	pinw_rig_expect_verdicts("require:unpinned", 1, PINW_DONE_LOGGED);
	pinw_rig_pin(other, 0x2, 0);
	pinw_rig_expect_verdicts("require:unpinned", 2, PINW_DONE_LOGGED);
	pinw_rig_expect_verdicts("require:on 1", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts("require:unpinned").last.target, other->slot->thread);
}

Test(enforce_require, a_worker_that_never_pinned_is_told_at_its_end)
{
	struct pinw_thread *self =
	    pinw_rig_policed("[require \"pinned\"]\nthread_name = worker\npinned = yes\n");
	struct pinw_thread *other = pinw_rig_thread(11, NULL);

	strcpy(self->slot->name, "worker");
	strcpy(other->slot->name, "other");
	pinw_enforce_thread_end(other, 5);
	pinw_rig_expect_verdicts("require:pinned", 0, PINW_DONE_LOGGED);
	pinw_enforce_thread_end(self, 5);
	pinw_rig_expect_verdicts("require:pinned", 1, PINW_DONE_LOGGED);
	cr_expect_eq(pinw_rig_verdicts(NULL).last.attempt, PINW_ATTEMPT_EXIT);
}
