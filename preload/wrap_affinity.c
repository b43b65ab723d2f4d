/* SPDX-License-Identifier: MIT
 *
 * sched_setaffinity, pthread_setaffinity_np and syscall(SYS_sched_setaffinity), and the system call itself where Go code
 * makes it. Each asks the policy, makes the real call unless that is denied, then books what it did; a failed call changes
 * nothing. All of them stay async-signal-safe where they were, and none is a cancellation point.
 */
#include <errno.h>
#include <string.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/enforce.h"
#include "preload/ledger.h"
#include "preload/life.h"
#include "preload/proc.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/registry.h"
#include "preload/site.h"
#include "preload/trace.h"
#include "preload/wrap.h"

/* One affinity call under way. */
struct change {
	struct pinw_thread *self;
	struct pinw_thread *target; /* NULL: another process, nobody, or a thread whose end is booked */
	uint32_t target_seq;
	uint32_t tid; /* whom the kernel is told */
	uint8_t relation; /* enum pinw_relation */
	uint8_t call; /* enum pinw_call */
	bool in_vfork; /* made by something that borrows our memory */
	uint64_t start_ns;
	const void *mask; /* the caller's: read only once the kernel has, or with care */
	size_t cpusetsize;
	struct pinw_where where;
	const struct pinw_site_ref *site; /* known already; NULL: that of `where` */
	struct pinw_trial *trial; /* NULL without a policy */
};

/* ---- whose mask? ------------------------------------------------------------------------ */

/* Is the kernel's task another than the one whose thread-local storage this is? */
static bool is_other_task(void)
{
	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return pinw_tls.in_vfork;
	return pinw_proc_tid() != pinw_tls.tid;
}

/* Does this code run under a tid of its own, in our memory? */
static bool is_borrower(void)
{
	if (pinw_likely(!pinw_tls.in_vfork && !__atomic_load_n(&pinw_shim.shared_vm, __ATOMIC_RELAXED)))
		return false;
	return is_other_task();
}

/* The tid this code runs under; 0 when it may not be asked for. */
static uint32_t own_tid(const struct change *change)
{
	if (!change->in_vfork)
		return pinw_tls.tid;
	return __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) ? 0 : pinw_proc_tid();
}

/* At whoever runs this code. A vfork child is nobody of ours, and a thread whose end is booked has no ledger any more. */
static void aim_at_self(struct change *change, uint32_t tid)
{
	change->tid = tid;
	change->relation = PINW_REL_SELF;
	if (change->in_vfork)
		return;
	change->target = pinw_tls.ended ? NULL : change->self;
	change->target_seq = pinw_tls.seq;
}

static void aim_at_tid(struct change *change, uint32_t tid, bool in_vfork)
{
	change->in_vfork = in_vfork;
	uint32_t own = own_tid(change);
	if (tid == 0 || tid == own) {
		aim_at_self(change, own);
		return;
	}
	bool ours = true;
	change->tid = tid;
	change->target = pinw_registry_by_tid(tid);
	if (!change->target) {
		ours = !__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) &&
		       pinw_proc_is_our_task(pinw_shim.pid, tid);
		change->target = ours ? pinw_life_adopt_named(tid) : NULL;
	}
	if (change->target)
		change->target_seq = change->target->slot->thread;
	change->relation = ours && !change->in_vfork ? PINW_REL_CROSS : PINW_REL_OTHER_PROCESS;
}

/* A pthread_t is always a thread of ours. One that nobody saw created is known to the C library alone; one that has
 * not started yet has no tid in our books, but it has a struct. */
static void aim_at_handle(struct change *change, pthread_t handle)
{
	bool own = handle == pthread_self();
	clockid_t clock;

	change->in_vfork = is_borrower();
	if (own && !change->in_vfork) {
		aim_at_self(change, pinw_tls.tid);
		return;
	}
	change->relation = change->in_vfork ? PINW_REL_OTHER_PROCESS : PINW_REL_CROSS;
	change->target = own ? change->self : pinw_registry_by_handle(handle);
	if (change->target) {
		change->target_seq = change->target->slot->thread;
		change->tid = change->target->slot->tid;
	} else if (pinw_real.pthread_getcpuclockid && pinw_real.pthread_getcpuclockid(handle, &clock) == 0)
		aim_at_tid(change, (uint32_t) ~(clock >> 3), change->in_vfork);
}

/* ---- booking ------------------------------------------------------------------------------ */

/* The mask that a successful call left: what was asked for, as far as the kernel allows it. Only a mask that
 * leaves the baseline has to be read back. */
static void effective_mask(const struct change *change, const uint64_t *requested, uint64_t *ret_after)
{
	unsigned words = pinw_shim.mask_words;

	pinw_mask_copy(ret_after, requested, words);
	if (pinw_likely(pinw_mask_subset(requested, pinw_shim.baseline, words)))
		return;
	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) || !change->tid ||
	    pinw_proc_affinity(change->tid, ret_after, words) < 0)
		for (unsigned i = 0; i < words; i++)
			ret_after[i] &= pinw_shim.baseline[i];
}

static void count_call(const struct change *change, int error)
{
	if (error)
		pinw_count(affinity_failed, 1);
	else if (change->relation == PINW_REL_SELF)
		pinw_count(affinity_self, 1);
	else if (change->relation == PINW_REL_CROSS)
		pinw_count(affinity_cross, 1);
	else
		pinw_count(affinity_other_process, 1);
}

static uint32_t saturate(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static uint32_t site_of(const struct change *change)
{
	if (change->trial && change->trial->sited)
		return change->trial->site.id;
	return change->site ? change->site->id : pinw_site(change->self, change->where);
}

/* Books a call that returned, and writes its record. */
static void book(struct change *change, int error)
{
	unsigned words = pinw_shim.mask_words;
	uint64_t masks[3 * words], *before = masks, *after = masks + words, *requested = masks + 2 * words;
	uint64_t now = pinw_now();
	uint32_t site = site_of(change);
	struct pinw_booking booking = {.effect = PINW_EFFECT_NONE};

	memset(masks, 0, sizeof(masks));
	if (error != EFAULT)
		pinw_mask_load(requested, words, change->mask, change->cpusetsize);
	if (!error)
		effective_mask(change, requested, after);
	if (change->target && !error) {
		struct pinw_pinner by = {
		    .origin = change->relation == PINW_REL_SELF ? PINW_ORIGIN_SELF : PINW_ORIGIN_CROSS,
		    .site = site,
		    .by = pinw_tls.seq,
		    .trial = change->trial,
		};
		pinw_ledger_birth(change->target, change->target_seq, now);
		booking = pinw_ledger_set(change->target, change->target_seq, after, by, now, before);
	} else if (change->target) {
		pinw_mask_copy(before, change->target->mask, words);
		pinw_mask_copy(after, before, words);
	}
	count_call(change, error);
	pinw_ledger_histogram(&pinw_shim.live->affinity_ns, now - change->start_ns);
	if (pinw_tls.ended)
		pinw_count(late_events, 1);
	bool differs = !pinw_mask_equal(requested, after, words);
	struct pinw_rec_affinity record = {
	    .e = {.time_ns = change->start_ns, .thread = pinw_tls.seq, .site = site},
	    .target = change->target_seq,
	    .target_tid = change->tid,
	    .error = (uint16_t)error,
	    .call = change->call,
	    .relation = change->relation,
	    .effect = (uint8_t)booking.effect,
	    .flags = (uint8_t)((differs ? PINW_AFF_REQUESTED : 0) | (change->in_vfork ? PINW_AFF_VFORK : 0) |
	                       (booking.contended ? PINW_AFF_CONTENDED : 0)),
	    .depth = (uint16_t)booking.depth,
	    .cost_ns = saturate(now - change->start_ns),
	    .cpusetsize = saturate(change->cpusetsize),
	};
	pinw_trace_event(PINW_REC_AFFINITY, &record, sizeof(record), masks, (differs ? 24u : 16u) * words);
}

/* ---- the call -------------------------------------------------------------------------------- */

/* Which words of a policy describe the call? */
static uint32_t calls_of(const struct change *change)
{
	return (change->call == PINW_CALL_PTHREAD_SETAFFINITY ? PINW_CALLS_PTHREAD_SETAFFINITY
	        : change->call == PINW_CALL_RAW               ? PINW_CALLS_SETAFFINITY | PINW_CALLS_RAW
	                                                      : PINW_CALLS_SETAFFINITY) |
	       (change->relation == PINW_REL_CROSS ? PINW_CALLS_CROSS : 0);
}

/* Words that a trial and its mask take; the wrappers have them on the stack, where a program without a policy may have none
 * to spare. */
static size_t room_words(void)
{
	return pinw_enforce.policy ? sizeof(struct pinw_trial) / 8 + pinw_shim.mask_words : 1;
}

_Static_assert(sizeof(struct pinw_trial) % 8 == 0, "the mask follows the trial");

static void ensure_birth(const struct change *change)
{
	if (!__atomic_load_n(&change->target->birth, __ATOMIC_ACQUIRE))
		pinw_ledger_birth(change->target, change->target_seq, pinw_now());
}

/* Asks the policy. `room` is used until the end of the call. False: denied. */
static __attribute__((noinline)) bool is_allowed(struct change *change, uint64_t *room)
{
	uint64_t *mask = room + sizeof(struct pinw_trial) / 8;
	struct pinw_pin_request request = {
	    .self = change->self,
	    .target = change->target,
	    .target_seq = change->target_seq,
	    .calls = calls_of(change),
	    .user_mask = change->mask,
	    .cpusetsize = change->cpusetsize,
	    .where = change->where,
	    .site = change->site,
	};

	change->trial = (struct pinw_trial *)room;
	change->trial->sited = change->trial->judged = change->trial->denied = change->trial->holds = false;
	if (!change->target || change->relation == PINW_REL_OTHER_PROCESS)
		return true;
	/* A thread that has not run yet: what it was born with is its pin now, as it will be when it runs. Not if it will be
	 * reset, unless this call comes about: then its mask is what the caller said. */
	if (!change->target->ruled.reset)
		ensure_birth(change);
	if (!pinw_enforce_pin(change->trial, &request, mask))
		return false;
	ensure_birth(change);
	return true;
}

/* The way to the real call. False: it is denied, with change->trial.error. From here to finish(), a difference between
 * kernel and ledger is ours. */
static bool begin(struct change *change, uint64_t *room)
{
	if (pinw_unlikely(pinw_enforce.policy != NULL) && !is_allowed(change, room))
		return false;
	if (change->target)
		__atomic_fetch_add(&change->target->changing, 1, __ATOMIC_ACQ_REL);
	change->start_ns =
	    change->trial && change->trial->judged ? change->trial->violation.now_ns : pinw_now();
	return true;
}

static void finish(struct change *change, int error)
{
	book(change, error);
	if (change->target)
		__atomic_fetch_sub(&change->target->changing, 1, __ATOMIC_ACQ_REL);
	if (pinw_unlikely(change->trial != NULL))
		pinw_enforce_settle(change->trial, change->target, !error);
}

/* ---- sched_setaffinity ---------------------------------------------------------------------- */

static int set_by_tid(pid_t pid, size_t cpusetsize, const cpu_set_t *mask, struct pinw_where where)
{
	struct change change = {
	    .self = pinw_enter(),
	    .call = PINW_CALL_SETAFFINITY,
	    .mask = mask,
	    .cpusetsize = (unsigned)cpusetsize, /* what the kernel takes (kernel/sched/syscalls.c) */
	    .where = where};
	uint64_t room[room_words()];

	if (!pinw_real.sched_setaffinity)
		return pinw_missing();
	if (!change.self)
		return pinw_real.sched_setaffinity(pid, cpusetsize, mask);
	aim_at_tid(&change, (uint32_t)pid, is_borrower());
	if (!begin(&change, room)) {
		errno = change.trial->error;
		return -1;
	}
	int r = pinw_real.sched_setaffinity(pid, cpusetsize, mask);
	int saved = errno;
	finish(&change, r < 0 ? saved : 0);
	errno = saved;
	return r;
}

PINW_WRAPPER("sched_setaffinity@@GLIBC_2.3.4")
int sched_setaffinity_234(pid_t pid, size_t cpusetsize, const cpu_set_t *mask)
{
	return set_by_tid(pid, cpusetsize, mask, PINW_WHERE());
}

/* The first version had no size: 128 bytes are meant (glibc 2.3.3, sysdeps/unix/sysv/linux/sched_setaffinity.c). */
PINW_WRAPPER("sched_setaffinity@GLIBC_2.3.3")
int sched_setaffinity_233(pid_t pid, const cpu_set_t *mask)
{
	return set_by_tid(pid, 128, mask, PINW_WHERE());
}

/* Reached from pinw_entry_syscall by a jump: this frame's caller is syscall()'s caller. */
long pinw_syscall_setaffinity(long nr, long pid, unsigned long cpusetsize, const void *mask)
{
	struct change change = {.where = PINW_WHERE(),
	                        .self = pinw_enter(),
	                        .call = PINW_CALL_SYSCALL,
	                        .mask = mask,
	                        .cpusetsize = (unsigned)cpusetsize};
	uint64_t room[room_words()];

	if (!change.self)
		return pinw_real_syscall(nr, pid, cpusetsize, mask);
	aim_at_tid(&change, (uint32_t)pid, is_borrower());
	if (!begin(&change, room)) {
		errno = change.trial->error;
		return -1;
	}
	long r = pinw_real_syscall(nr, pid, cpusetsize, mask);
	int saved = errno;
	finish(&change, r < 0 ? saved : 0);
	errno = saved;
	return r;
}

/* What runs on a thread of Go's may be the child of a clone that nobody saw, for a moment of whose life memory is shared. */
long pinw_raw_setaffinity(struct pinw_thread *self, struct pinw_site_ref site, uint32_t pid,
                          size_t cpusetsize, const void *mask)
{
	struct change change = {.self = self,
	                        .site = &site,
	                        .call = PINW_CALL_RAW,
	                        .mask = mask,
	                        .cpusetsize = (unsigned)cpusetsize};
	uint64_t room[room_words()];

	aim_at_tid(&change, pid, is_other_task());
	if (!begin(&change, room))
		return -change.trial->error;
	long r = pinw_sys3(SYS_sched_setaffinity, pid, cpusetsize, mask);
	finish(&change, r < 0 ? (int)-r : 0);
	return r;
}

/* ---- pthread_setaffinity_np -------------------------------------------------------------------- */

static int set_by_handle(pthread_t thread, size_t cpusetsize, const cpu_set_t *mask, struct pinw_where where)
{
	struct change change = {.self = pinw_enter(),
	                        .call = PINW_CALL_PTHREAD_SETAFFINITY,
	                        .mask = mask,
	                        .cpusetsize = (unsigned)cpusetsize,
	                        .where = where};
	uint64_t room[room_words()];

	if (!pinw_real.pthread_setaffinity_np)
		return ENOSYS;
	if (!change.self)
		return pinw_real.pthread_setaffinity_np(thread, cpusetsize, mask);
	aim_at_handle(&change, thread);
	if (!begin(&change, room))
		return change.trial->error;
	int r = pinw_real.pthread_setaffinity_np(thread, cpusetsize, mask);
	finish(&change, r);
	return r;
}

PINW_WRAPPER("pthread_setaffinity_np@@GLIBC_2.34")
int pthread_setaffinity_np_234(pthread_t thread, size_t cpusetsize, const cpu_set_t *mask)
{
	return set_by_handle(thread, cpusetsize, mask, PINW_WHERE());
}
PINW_ALSO(pthread_setaffinity_np_234, v234, "pthread_setaffinity_np@GLIBC_2.3.4");

PINW_WRAPPER("pthread_setaffinity_np@GLIBC_2.3.3")
int pthread_setaffinity_np_233(pthread_t thread, const cpu_set_t *mask)
{
	return set_by_handle(thread, 128, mask, PINW_WHERE());
}
