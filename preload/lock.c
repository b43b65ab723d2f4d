/* SPDX-License-Identifier: MIT */
#include "preload/lock.h"

#include <errno.h>
#include <signal.h>

#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/shim.h"

/* A program under the thread sanitizer has its memcpy and memset in the shim as well, and must be told that this is a
 * lock (compiler-rt, sanitizer/tsan_interface.h). NULL in any other program. */
extern void __tsan_acquire(void *addr) __attribute__((weak));
extern void __tsan_release(void *addr) __attribute__((weak));
extern void *__tsan_get_current_fiber(void) __attribute__((weak));

/* Go's race detector is the same library under other conventions: it has functions of these names with other arguments, and
 * does not look at C. */
extern void __tsan_go_start(void) __attribute__((weak));

/* Is there a sanitizer that knows this thread? With libtsan before the shim, a thread comes to the trampoline first: the sanitizer
 * has nothing for it then, and does not look whether it has. */
static bool is_watched(void)
{
	return __tsan_acquire && __tsan_release && !__tsan_go_start && __tsan_get_current_fiber &&
	       __tsan_get_current_fiber();
}

static bool try_take(struct pinw_lock *lock)
{
	uint32_t free = 0;

	if (!__atomic_compare_exchange_n(&lock->held, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	if (is_watched())
		__tsan_acquire(lock);
	return true;
}

static bool is_sealed(void)
{
	return __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED);
}

int pinw_lock_take(struct pinw_lock *lock, uint64_t wait_ns, struct pinw_lock_state *ret_state)
{
	uint64_t all = ~UINT64_C(0), before = 0, start;

	ret_state->masked = false;
	if (is_sealed())
		return try_take(lock) ? 0 : -EBUSY;
	pinw_sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	if (!try_take(lock)) {
		start = pinw_clock_mono();
		while (!try_take(lock)) {
			struct {
				int64_t sec, nsec;
			} nap = {0, 20000};

			if (pinw_clock_mono() - start >= wait_ns) {
				pinw_sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof(before));
				return -EBUSY;
			}
			/* Asleep, so that a holder of lower real-time priority runs. */
			pinw_sys2(SYS_nanosleep, &nap, 0);
		}
	}
	ret_state->sigmask = before;
	ret_state->masked = true;
	return 0;
}

void pinw_lock_give(struct pinw_lock *lock, const struct pinw_lock_state *state)
{
	if (is_watched())
		__tsan_release(lock);
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
	if (state->masked)
		pinw_sys4(SYS_rt_sigprocmask, SIG_SETMASK, &state->sigmask, 0, sizeof(state->sigmask));
}

bool pinw_lock_reset(struct pinw_lock *lock)
{
	return __atomic_exchange_n(&lock->held, 0, __ATOMIC_RELAXED) != 0;
}
