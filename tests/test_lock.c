/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "preload/clock.h"
#include "preload/lock.h"
#include "tests/rig.h"

#define MS UINT64_C(1000000)

static struct pinw_lock lock;

static sigset_t blocked(void)
{
	sigset_t set;

	cr_assert_eq(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
	return set;
}

static bool is_blocked(int number)
{
	sigset_t set = blocked();

	return sigismember(&set, number);
}

/* ---- one thread ---------------------------------------------------------------------- */

Test(lock, blocks_signals_while_it_is_held_and_puts_them_back)
{
	struct pinw_lock_state state;
	sigset_t before, one;

	sigemptyset(&one);
	sigaddset(&one, SIGUSR2);
	cr_assert_eq(sigprocmask(SIG_SETMASK, &one, NULL), 0);
	before = blocked();
	cr_assert_eq(pinw_lock_take(&lock, 0, &state), 0);
	cr_expect(is_blocked(SIGUSR1) && is_blocked(SIGALRM) && is_blocked(SIGSEGV) && is_blocked(SIGRTMAX));
	pinw_lock_give(&lock, &state);
	sigset_t after = blocked();
	cr_expect_eq(memcmp(&before, &after, 8), 0);
	cr_expect(is_blocked(SIGUSR2));
	cr_expect_not(is_blocked(SIGUSR1));
}

Test(lock, gives_up_with_signals_as_before)
{
	struct pinw_lock_state first, second = {.masked = true};

	cr_assert_eq(pinw_lock_take(&lock, 0, &first), 0);
	cr_assert_eq(pinw_lock_take(&lock, 5 * MS, &second), -EBUSY, "waits, but not for ever");
	cr_expect(is_blocked(SIGUSR1), "the holder's signals");
	cr_expect_not(second.masked);
	pinw_lock_give(&lock, &first);
	cr_expect_not(is_blocked(SIGUSR1));
	cr_assert_eq(pinw_lock_take(&lock, 0, &second), 0);
	pinw_lock_give(&lock, &second);
}

static void *find_held(void *arg)
{
	struct pinw_lock_state state;
	sigset_t before = blocked();
	int *result = arg;

	*result = pinw_lock_take(&lock, MS, &state);
	sigset_t after = blocked();
	return memcmp(&before, &after, 8) ? NULL : arg;
}

Test(lock, leaves_another_threads_signals_alone_when_it_is_busy)
{
	struct pinw_lock_state state;
	pthread_t thread;
	void *same;
	int result = 0;

	cr_assert_eq(pinw_lock_take(&lock, 0, &state), 0);
	cr_assert_eq(pthread_create(&thread, NULL, find_held, &result), 0);
	cr_assert_eq(pthread_join(thread, &same), 0);
	cr_expect_eq(result, -EBUSY);
	cr_expect_not_null(same, "signals were not put back");
	pinw_lock_give(&lock, &state);
}

static volatile sig_atomic_t handled;

static void handle(int number)
{
	(void)number;
	handled++;
}

/* A signal that comes meanwhile is delivered when the lock is given back: no handler ever meets a held lock. */
Test(lock, holds_signals_back_until_it_is_given)
{
	struct pinw_lock_state state;

	signal(SIGUSR1, handle);
	cr_assert_eq(pinw_lock_take(&lock, 0, &state), 0);
	raise(SIGUSR1);
	cr_expect_eq(handled, 0);
	pinw_lock_give(&lock, &state);
	cr_expect_eq(handled, 1);
}

/* After the target sealed itself a system call may kill it: tried once, no signal touched. */
Test(lock, makes_no_system_call_for_a_sealed_target)
{
	struct pinw_lock_state state, other;

	pinw_shim.sealed = true;
	cr_assert_eq(pinw_lock_take(&lock, 1000 * MS, &state), 0);
	cr_expect_not(is_blocked(SIGUSR1));
	cr_expect_not(state.masked);
	uint64_t start = pinw_clock_mono();
	cr_expect_eq(pinw_lock_take(&lock, 60000 * MS, &other), -EBUSY);
	cr_expect_lt(pinw_clock_mono() - start, 60000 * MS, "without waiting");
	pinw_lock_give(&lock, &state);
	cr_expect_eq(pinw_lock_take(&lock, 0, &state), 0);
	pinw_lock_give(&lock, &state);
}

/* The target seals itself while the lock is held: the signals were blocked and are put back all the same. */
Test(lock, puts_signals_back_after_a_seal_in_between)
{
	struct pinw_lock_state state;

	cr_assert_eq(pinw_lock_take(&lock, 0, &state), 0);
	pinw_shim.sealed = true;
	pinw_lock_give(&lock, &state);
	cr_expect_not(is_blocked(SIGUSR1));
}

Test(lock, is_broken_open_in_a_fork_child)
{
	struct pinw_lock_state state;

	cr_expect_not(pinw_lock_reset(&lock), "nobody held it");
	cr_assert_eq(pinw_lock_take(&lock, 0, &state), 0);
	pthread_sigmask(SIG_SETMASK, &(sigset_t){{0}}, NULL);
	cr_expect(pinw_lock_reset(&lock), "somebody held it");
	cr_expect_not(pinw_lock_reset(&lock));
	cr_expect_eq(pinw_lock_take(&lock, 0, &state), 0);
	pinw_lock_give(&lock, &state);
}

/* ---- many ------------------------------------------------------------------------------- */

static uint64_t guarded, taken, busy;

static void count_under_lock(unsigned index)
{
	(void)index;
	for (unsigned i = 0; i < 20000; i++) {
		struct pinw_lock_state state;

		if (pinw_lock_take(&lock, 10000 * MS, &state) < 0) {
			__atomic_fetch_add(&busy, 1, __ATOMIC_RELAXED);
			continue;
		}
		guarded++; /* not atomic: the lock is what is tested */
		pinw_lock_give(&lock, &state);
		__atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
	}
}

Test(lock, lets_one_in_at_a_time)
{
	pinw_rig_together(8, count_under_lock);
	cr_expect_eq(guarded, taken);
	cr_expect_eq(taken + busy, 8 * 20000);
	cr_expect_gt(taken, 0);
}

/* Handlers that take the lock themselves, over threads that hold it. */
static uint64_t in_handler;

static void take_in_handler(int number)
{
	struct pinw_lock_state state;

	(void)number;
	if (pinw_lock_take(&lock, 10000 * MS, &state) == 0) {
		guarded++;
		pinw_lock_give(&lock, &state);
		__atomic_fetch_add(&in_handler, 1, __ATOMIC_RELAXED);
	}
}

static void count_and_be_interrupted(unsigned index)
{
	for (unsigned i = 0; i < 5000; i++) {
		struct pinw_lock_state state;

		if (index == 0)
			kill(getpid(), SIGUSR1);
		if (pinw_lock_take(&lock, 10000 * MS, &state) == 0) {
			guarded++;
			pinw_lock_give(&lock, &state);
			__atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
		}
	}
}

Test(lock, is_safe_from_handlers)
{
	struct sigaction action = {.sa_handler = take_in_handler, .sa_flags = SA_RESTART};

	cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
	pinw_rig_together(4, count_and_be_interrupted);
	cr_expect_gt(in_handler, 0);
	cr_expect_eq(guarded, taken + in_handler);
}
