/* SPDX-License-Identifier: MIT
 *
 * Threads: pthread_create, exit, join in all its forms, detach, names; the same for
 * thrd_*. A new thread starts in pinw_trampoline, which sees its end however it
 * comes. The join wrappers stay cancellation points and hold nothing while they
 * wait; none of the others becomes one.
 */
#include <errno.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/attr.h"
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

/* ---- create ------------------------------------------------------------------------------- */

/* One creation under way. */
struct creation {
	struct pinw_thread *self;
	struct pinw_thread *thread;
	uint32_t thread_seq; /* stays valid once the thread may be gone */
	uint32_t site;
	uint16_t flags; /* PINW_THREAD_* of the record */
	uint64_t start_ns;
	uint64_t *attr_mask; /* the creator's memory: the new thread may destroy its attribute */
};

/* What the new thread gets from its creator or its attribute. */
static void set_birth(struct creation *c, const pthread_attr_t *attr)
{
	struct pinw_slot *creator = c->self->slot;
	struct pinw_thread *thread = c->thread;

	if (pinw_attr_mask(attr, c->attr_mask)) {
		c->flags |= PINW_THREAD_ATTR_AFFINITY;
		pinw_mask_copy(thread->mask, c->attr_mask, pinw_shim.mask_words);
		thread->birth_origin = PINW_ORIGIN_BORN;
		thread->birth_site = pinw_attr_site(attr, c->attr_mask);
		if (!thread->birth_site)
			thread->birth_site = c->site;
	} else if (pinw_tls.ended && !__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) &&
	           pinw_proc_affinity(0, thread->mask, pinw_shim.mask_words) == 0) {
		/* The creator's ledger is closed, but destructors still run: what it passes on, the kernel knows. */
		thread->birth_origin = PINW_ORIGIN_INHERITED;
	} else {
		pinw_mask_copy(thread->mask, c->self->mask, pinw_shim.mask_words);
		thread->birth_origin = creator->pin_depth ? PINW_ORIGIN_INHERITED : PINW_ORIGIN_NONE;
		thread->birth_site = creator->pin_site;
	}
	thread->birth_by = pinw_tls.seq;
}

/* Prepares the new thread's struct. False: no memory, create it unseen. */
static bool prepare(struct creation *c, const pthread_attr_t *attr, pthread_t *out, struct pinw_where where)
{
	int detach_state = PTHREAD_CREATE_JOINABLE;
	struct pinw_thread *thread = pinw_registry_take();

	c->site = pinw_site(c->self, where);
	if (!thread)
		return false;
	c->thread = thread;
	c->thread_seq = thread->slot->thread;
	if (attr)
		pthread_attr_getdetachstate(attr, &detach_state);
	if (detach_state == PTHREAD_CREATE_DETACHED) {
		c->flags |= PINW_THREAD_DETACHED | PINW_THREAD_BORN_DETACHED;
		thread->life = PINW_LIFE_RELEASED;
	}
	set_birth(c, attr);
	thread->stack_lo = pinw_attr_stack(attr); /* a size; the thread itself makes it an address */
	thread->out = out;
	memcpy(thread->slot->name, c->self->slot->name, sizeof(thread->slot->name));
	thread->slot->flags = c->flags;
	thread->slot->creator = pinw_tls.seq;
	thread->slot->create_site = c->site;
	c->start_ns = thread->slot->create_ns = pinw_now();
	return true;
}

/* Counted before the call, taken back if it fails: a thread may end the process before its creator returns. */
static void count_creation(const struct creation *c, uint64_t one)
{
	pinw_count(threads_created, one);
	if (c->flags & PINW_THREAD_BORN_DETACHED) {
		pinw_count(threads_detached, one);
		pinw_count(threads_born_detached, one);
	}
	if (c->flags & PINW_THREAD_ATTR_AFFINITY)
		pinw_count(affinity_attr, one);
}

/* Books a creation that returned. The new thread may be gone by now: only its sequence is used. */
static void record_creation(const struct creation *c, int error)
{
	uint64_t latency = pinw_now() - c->start_ns;
	struct pinw_rec_create record = {
	    .e = {.time_ns = c->start_ns, .thread = pinw_tls.seq, .site = c->site},
	    .new_thread = error ? 0 : c->thread_seq,
	    .error = (uint16_t)error,
	    .flags = c->flags,
	    .latency_ns = latency,
	};

	if (error)
		pinw_count(threads_create_failed, 1);
	else
		pinw_ledger_histogram(&pinw_shim.live->create_ns, latency);
	pinw_trace_event(PINW_REC_THREAD_CREATE, &record, sizeof(record), c->attr_mask,
	                 c->flags & PINW_THREAD_ATTR_AFFINITY ? 8u * pinw_shim.mask_words : 0);
}

static void give_up(struct creation *c)
{
	c->thread->life = PINW_LIFE_OVER;
	pinw_registry_give(c->thread);
}

/* The last step before the real call. Returns how many threads live with it. */
static uint64_t announce(const struct creation *c)
{
	count_creation(c, 1);
	return pinw_ledger_live();
}

/* Books the outcome: `error` is 0 or what the creator will be told. */
static void conclude(struct creation *c, uint64_t live, int error)
{
	if (error == 0) {
		pinw_ledger_peak(live);
		pinw_life_hand_over(c->thread);
		pinw_registry_let_go(c->thread, PINW_LIFE_CREATOR);
	} else {
		count_creation(c, (uint64_t)-1);
		pinw_uncount(threads_live, 1);
		give_up(c);
	}
	record_creation(c, error);
}

static int create(pthread_t *out, const pthread_attr_t *attr, void *(*routine)(void *), void *arg,
                  struct pinw_where where)
{
	uint64_t attr_mask[pinw_shim.mask_words + 1];
	struct creation c = {.self = pinw_enter(), .attr_mask = attr_mask};

	if (!pinw_real.pthread_create)
		return ENOSYS;
	if (!c.self || !prepare(&c, attr, out, where))
		return pinw_real.pthread_create(out, attr, routine, arg);
	c.thread->start = routine;
	c.thread->arg = arg;
	uint64_t live = announce(&c);
	int r = pinw_real.pthread_create(&c.thread->handle, attr, pinw_trampoline, c.thread);
	conclude(&c, live, r);
	return r;
}

PINW_WRAPPER("pthread_create@@GLIBC_2.34")
int pthread_create_234(pthread_t *out, const pthread_attr_t *attr, void *(*routine)(void *), void *arg)
{
	return create(out, attr, routine, arg, PINW_WHERE());
}
PINW_ALSO(pthread_create_234, v225, "pthread_create@GLIBC_2.2.5");

static int errno_of_thrd(int result)
{
	return result == thrd_success ? 0 : result == thrd_nomem ? ENOMEM : EAGAIN;
}

PINW_WRAPPER("thrd_create@@GLIBC_2.34")
int thrd_create_234(thrd_t *out, thrd_start_t routine, void *arg)
{
	uint64_t attr_mask[pinw_shim.mask_words + 1];
	struct creation c = {.self = pinw_enter(), .flags = PINW_THREAD_THRD, .attr_mask = attr_mask};

	if (!pinw_real.thrd_create)
		return thrd_error;
	if (!c.self || !prepare(&c, NULL, out, PINW_WHERE()))
		return pinw_real.thrd_create(out, routine, arg);
	c.thread->start_thrd = routine;
	c.thread->arg = arg;
	uint64_t live = announce(&c);
	/* The C library reads the low half of what the start routine returns: the trampoline serves both kinds. */
	int r = pinw_real.thrd_create(&c.thread->handle, (thrd_start_t)(void *)pinw_trampoline, c.thread);
	conclude(&c, live, errno_of_thrd(r));
	return r;
}
PINW_ALSO(thrd_create_234, v228, "thrd_create@GLIBC_2.28");

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
