/* SPDX-License-Identifier: MIT
 *
 * Threads after their creation: exit, join in all its forms, detach, names; the same for
 * thrd_*. The join wrappers stay cancellation points and hold nothing while they
 * wait; none of the others becomes one.
 */
#include <errno.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>

#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/ledger.h"
#include "preload/life.h"
#include "preload/proc.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/registry.h"
#include "preload/site.h"
#include "preload/trace.h"
#include "preload/wrap.h"

/* ---- exit ------------------------------------------------------------------------------------ */

/* A thread without our trampoline (main, adopted) ends here; the others when the unwinder passes it. */
static void leave(void)
{
	if (!pinw_enter() || pinw_tls.in_vfork)
		return;
	pinw_tls.exit_called = 1;
	if (pinw_tls.trampolined)
		pinw_life_watch_end(); /* a frame without unwind information keeps the unwinder from our trampoline */
	else
		pinw_life_end(PINW_EXIT_PTHREAD_EXIT);
}

PINW_WRAPPER("pthread_exit@@GLIBC_2.2.5")
void pthread_exit_225(void *result)
{
	leave();
	pinw_real.pthread_exit(result);
	__builtin_unreachable();
}

PINW_WRAPPER("thrd_exit@@GLIBC_2.34")
void thrd_exit_234(int result)
{
	leave();
	pinw_real.thrd_exit(result);
	__builtin_unreachable();
}
PINW_ALSO(thrd_exit_234, v228, "thrd_exit@GLIBC_2.28");

/* ---- join ------------------------------------------------------------------------------------- */

/* One join or detach under way. */
struct release {
	struct pinw_thread *self;
	struct pinw_thread *target;
	uint32_t target_seq;
	uint64_t start_ns;
};

/* Before the real call: afterwards the handle may belong to another thread. */
static struct release begin_release(pthread_t handle)
{
	struct release r = {.self = pinw_enter()};

	if (r.self) {
		r.target = pinw_registry_by_handle(handle);
		r.target_seq = r.target ? r.target->slot->thread : 0;
		r.start_ns = pinw_now();
	}
	return r;
}

static void record_release(const struct release *r, unsigned type, struct pinw_where where,
                           uint64_t waited_ns)
{
	struct pinw_rec_join record = {
	    .e = {.time_ns = r->start_ns + waited_ns,
	          .thread = pinw_tls.seq,
	          .site = pinw_site(r->self, where)},
	    .target = r->target_seq,
	    .waited_ns = waited_ns,
	};

	pinw_trace_event(type, &record, sizeof(record), NULL, 0);
}

/* The counts of joined and detached threads are of those counted as created. The structs of the others (main, adopted)
 * are given back at their end and may serve somebody else by now. */
static bool is_created(const struct release *r)
{
	return r->target && r->target->slot->thread == r->target_seq &&
	       !(r->target->slot->flags & (PINW_THREAD_MAIN | PINW_THREAD_ADOPTED));
}

static void joined(const struct release *r, struct pinw_where where)
{
	if (!r->self)
		return;
	uint64_t now = pinw_now();
	record_release(r, PINW_REC_THREAD_JOIN, where, now - r->start_ns);
	if (!is_created(r))
		return;
	pinw_life_end_unseen(r->target, now);
	pinw_count(threads_joined, 1);
	if (r->start_ns < r->target->slot->exit_ns && r->target->slot->exit_ns <= now)
		pinw_ledger_histogram(&pinw_shim.live->exit_ns, now - r->target->slot->exit_ns);
	pinw_registry_let_go(r->target, PINW_LIFE_RELEASED);
}

static void detached(const struct release *r, struct pinw_where where)
{
	if (!r->self)
		return;
	record_release(r, PINW_REC_THREAD_DETACH, where, 0);
	if (!is_created(r))
		return;
	pinw_count(threads_detached, 1);
	__atomic_fetch_or(&r->target->slot->flags, PINW_THREAD_DETACHED, __ATOMIC_RELAXED);
	pinw_registry_let_go(r->target, PINW_LIFE_RELEASED);
}

PINW_WRAPPER("pthread_join@@GLIBC_2.34")
int pthread_join_234(pthread_t thread, void **result)
{
	struct release release = begin_release(thread);
	int r = pinw_real.pthread_join ? pinw_real.pthread_join(thread, result) : ENOSYS;

	if (r == 0)
		joined(&release, PINW_WHERE());
	return r;
}
PINW_ALSO(pthread_join_234, v225, "pthread_join@GLIBC_2.2.5");

PINW_WRAPPER("pthread_tryjoin_np@@GLIBC_2.34")
int pthread_tryjoin_np_234(pthread_t thread, void **result)
{
	struct release release = begin_release(thread);
	int r = pinw_real.pthread_tryjoin_np ? pinw_real.pthread_tryjoin_np(thread, result) : ENOSYS;

	if (r == 0)
		joined(&release, PINW_WHERE());
	return r;
}
PINW_ALSO(pthread_tryjoin_np_234, v233, "pthread_tryjoin_np@GLIBC_2.3.3");

PINW_WRAPPER("pthread_timedjoin_np@@GLIBC_2.34")
int pthread_timedjoin_np_234(pthread_t thread, void **result, const struct timespec *deadline)
{
	struct release release = begin_release(thread);
	int r = pinw_real.pthread_timedjoin_np ? pinw_real.pthread_timedjoin_np(thread, result, deadline)
	                                       : ENOSYS;

	if (r == 0)
		joined(&release, PINW_WHERE());
	return r;
}
PINW_ALSO(pthread_timedjoin_np_234, v233, "pthread_timedjoin_np@GLIBC_2.3.3");

PINW_WRAPPER("pthread_clockjoin_np@@GLIBC_2.34")
int pthread_clockjoin_np_234(pthread_t thread, void **result, clockid_t clock,
                             const struct timespec *deadline)
{
	struct release release = begin_release(thread);
	int r = pinw_real.pthread_clockjoin_np
	            ? pinw_real.pthread_clockjoin_np(thread, result, clock, deadline)
	            : ENOSYS;

	if (r == 0)
		joined(&release, PINW_WHERE());
	return r;
}
PINW_ALSO(pthread_clockjoin_np_234, v231, "pthread_clockjoin_np@GLIBC_2.31");

PINW_WRAPPER("thrd_join@@GLIBC_2.34")
int thrd_join_234(thrd_t thread, int *result)
{
	struct release release = begin_release(thread);
	int r = pinw_real.thrd_join ? pinw_real.thrd_join(thread, result) : thrd_error;

	if (r == thrd_success)
		joined(&release, PINW_WHERE());
	return r;
}
PINW_ALSO(thrd_join_234, v228, "thrd_join@GLIBC_2.28");

PINW_WRAPPER("pthread_detach@@GLIBC_2.34")
int pthread_detach_234(pthread_t thread)
{
	struct release release = begin_release(thread);
	int r = pinw_real.pthread_detach ? pinw_real.pthread_detach(thread) : ENOSYS;

	if (r == 0)
		detached(&release, PINW_WHERE());
	return r;
}
PINW_ALSO(pthread_detach_234, v225, "pthread_detach@GLIBC_2.2.5");

PINW_WRAPPER("thrd_detach@@GLIBC_2.34")
int thrd_detach_234(thrd_t thread)
{
	struct release release = begin_release(thread);
	int r = pinw_real.thrd_detach ? pinw_real.thrd_detach(thread) : thrd_error;

	if (r == thrd_success)
		detached(&release, PINW_WHERE());
	return r;
}
PINW_ALSO(thrd_detach_234, v228, "thrd_detach@GLIBC_2.28");

/* ---- names ------------------------------------------------------------------------------------- */

static void named(struct pinw_thread *target, const char *name)
{
	struct pinw_rec_name record = {
	    .e = {.time_ns = pinw_now(), .thread = pinw_tls.seq},
	    .target = target ? target->slot->thread : 0,
	};

	/* The kernel keeps 15 bytes (prctl(2), PR_SET_NAME). */
	for (unsigned i = 0; i + 1 < PINW_NAME_BYTES && name[i]; i++)
		record.name[i] = name[i];
	if (target)
		memcpy(target->slot->name, record.name, sizeof(record.name));
	pinw_trace_event(PINW_REC_THREAD_NAME, &record, sizeof(record), NULL, 0);
}

PINW_WRAPPER("pthread_setname_np@@GLIBC_2.34")
int pthread_setname_np_234(pthread_t thread, const char *name)
{
	struct pinw_thread *self = pinw_enter();

	if (!pinw_real.pthread_setname_np)
		return ENOSYS;
	int saved = errno;
	int r = pinw_real.pthread_setname_np(thread, name);
	if (r == 0 && self)
		named(thread == self->handle ? self : pinw_registry_by_handle(thread), name);
	errno = saved;
	return r;
}
PINW_ALSO(pthread_setname_np_234, v212, "pthread_setname_np@GLIBC_2.12");

/* prctl is variadic in C only: the kernel's five arguments travel in registers. */
PINW_WRAPPER("prctl@@GLIBC_2.2.5")
int prctl_225(int option, ...)
{
	struct pinw_thread *self = pinw_enter();
	unsigned long a, b, c, d;
	va_list args;

	va_start(args, option);
	a = va_arg(args, unsigned long);
	b = va_arg(args, unsigned long);
	c = va_arg(args, unsigned long);
	d = va_arg(args, unsigned long);
	va_end(args);
	if (!pinw_real.prctl)
		return pinw_missing();
	bool seals = option == PR_SET_SECCOMP && pinw_may_seal();
	bool strict = seals && a == SECCOMP_MODE_STRICT;
	if (strict)
		pinw_clock_stop(true);
	int r = pinw_real.prctl(option, a, b, c, d);
	if (seals && r == 0)
		pinw_seal();
	else if (strict)
		pinw_clock_stop(false);
	if (option == PR_SET_NAME && r == 0 && self && !pinw_tls.in_vfork) {
		int saved = errno;
		named(self, (const char *)a);
		errno = saved;
	}
	return r;
}
