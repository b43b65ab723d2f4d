/* SPDX-License-Identifier: MIT
 *
 * pthread_create and thrd_create. The policy is asked first; a new thread starts in
 * pinw_trampoline, which sees its end however it comes. Neither is async-signal-safe, neither becomes a cancellation
 * point.
 */
#include <errno.h>
#include <string.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/attr.h"
#include "preload/clock.h"
#include "preload/enforce.h"
#include "preload/go/go.h"
#include "preload/ledger.h"
#include "preload/life.h"
#include "preload/proc.h"
#include "preload/real.h"
#include "preload/registry.h"
#include "preload/site.h"
#include "preload/trace.h"
#include "preload/wrap.h"

/* One creation under way. */
struct creation {
	struct pinw_thread *self;
	struct pinw_thread *thread;
	uint32_t thread_seq; /* stays valid once the thread may be gone */
	struct pinw_site_ref site;
	uint16_t flags; /* PINW_THREAD_* of the record */
	enum pinw_origin birth_origin; /* of the pin it would be born with */
	uint32_t birth_site;
	uint64_t live; /* threads alive with it */
	uint64_t start_ns;
	uint64_t
	    *mask; /* the creator's memory, for the new thread may destroy its attribute: what it starts on */
	struct pinw_create_trial trial;
};

/* What the new thread gets from its creator or its attribute. */
static void find_birth(struct creation *c, const pthread_attr_t *attr)
{
	struct pinw_slot *creator = c->self->slot;

	if (pinw_attr_mask(attr, c->mask)) {
		c->flags |= PINW_THREAD_ATTR_AFFINITY;
		c->birth_origin = PINW_ORIGIN_BORN;
		c->birth_site = pinw_attr_site(attr, c->mask);
		if (!c->birth_site)
			c->birth_site = c->site.id;
	} else if (pinw_tls.ended && !__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) &&
	           pinw_proc_affinity(0, c->mask, pinw_shim.mask_words) == 0) {
		/* The creator's ledger is closed, but destructors still run: what it passes on, the kernel knows. */
		c->birth_origin = PINW_ORIGIN_INHERITED;
	} else {
		pinw_mask_copy(c->mask, c->self->mask, pinw_shim.mask_words);
		c->birth_origin = creator->pin_depth ? PINW_ORIGIN_INHERITED : PINW_ORIGIN_NONE;
		c->birth_site = creator->pin_site;
	}
}

/* Asks the policy, and counts the thread in before the call: a thread may end the process before its creator returns.
 * False: it is denied, with c->trial.error. */
static bool begin_creation(struct creation *c, const pthread_attr_t *attr, void *arg, struct pinw_where where)
{
	c->site = pinw_site_ref(c->self, where);
	find_birth(c, attr);
	if (pinw_go_is_template(arg))
		c->flags |= PINW_THREAD_TEMPLATE;
	if (pinw_likely(pinw_enforce.policy == NULL)) {
		c->live = pinw_ledger_live();
		return true;
	}
	struct pinw_create_request request = {
	    .self = c->self,
	    .site = c->site,
	    .origin = c->birth_origin,
	    .pin_site = c->birth_site,
	    .mask = c->mask,
	    .is_template = c->flags & PINW_THREAD_TEMPLATE,
	};
	pinw_enforce_create(&c->trial, &request);
	c->live = c->trial.live;
	return !c->trial.denied;
}

/* What the policy has said about the new thread goes with it. */
static void set_ruled(const struct creation *c)
{
	c->thread->ruled = (struct pinw_ruled){
	    .created = c->site.match,
	    .birth_hold = c->trial.birth_hold,
	    .birth_judged = c->trial.birth_judged,
	    .reset = c->trial.reset,
	    .inherit_rule = c->trial.inherit_rule,
	    .inherit_leak = c->trial.inherit_leak,
	};
}

/* Takes and fills the new thread's struct. False: no memory, create it unseen. */
static bool prepare(struct creation *c, const pthread_attr_t *attr, pthread_t *out, void *routine)
{
	int detach_state = PTHREAD_CREATE_JOINABLE;
	struct pinw_thread *thread = pinw_registry_take();

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
	pinw_mask_copy(thread->mask, c->mask, pinw_shim.mask_words);
	thread->birth_origin = c->birth_origin;
	thread->birth_site = c->birth_site;
	thread->birth_by = pinw_tls.seq;
	if (pinw_unlikely(pinw_enforce.policy != NULL))
		set_ruled(c);
	thread->stack_lo = pinw_attr_stack(attr); /* a size; the thread itself makes it an address */
	thread->out = out;
	memcpy(thread->slot->name, c->self->slot->name, sizeof(thread->slot->name));
	thread->slot->flags = c->flags;
	thread->slot->creator = pinw_tls.seq;
	thread->slot->create_site = c->site.id;
	thread->slot->start_routine = (uintptr_t)routine;
	c->start_ns = thread->slot->create_ns = pinw_now();
	return true;
}

/* Must a thread that cannot be counted not be? There is no memory for one more, or the target sealed itself and nothing
 * grows: the kernel's answer to that is EAGAIN too. */
static bool needs_count(void)
{
	const struct pinw_policy *policy = pinw_enforce.policy;
	uint16_t id = policy && pinw_enforce.enforcing ? policy->caps[PINW_CAP_MAX_THREADS] : 0;

	return id && policy->rules[id - 1].action >= PINW_ACTION_DENY;
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
	    .e = {.time_ns = c->start_ns, .thread = pinw_tls.seq, .site = c->site.id},
	    .new_thread = error ? 0 : c->thread_seq,
	    .error = (uint16_t)error,
	    .flags = c->flags,
	    .latency_ns = latency,
	};

	if (error)
		pinw_count(threads_create_failed, 1);
	else
		pinw_ledger_histogram(&pinw_shim.live->create_ns, latency);
	pinw_trace_event(PINW_REC_THREAD_CREATE, &record, sizeof(record), c->mask,
	                 c->flags & PINW_THREAD_ATTR_AFFINITY ? 8u * pinw_shim.mask_words : 0);
}

/* There is no new thread after all. */
static void uncount(const struct creation *c)
{
	pinw_uncount(threads_live, 1);
	if (pinw_unlikely(pinw_enforce.policy != NULL))
		pinw_enforce_uncreate(&c->trial);
}

static void give_up(struct creation *c)
{
	uncount(c);
	count_creation(c, (uint64_t)-1);
	c->thread->life = PINW_LIFE_OVER;
	pinw_registry_give(c->thread);
}

/* Books the outcome: `error` is 0 or what the creator will be told. */
static void conclude(struct creation *c, int error)
{
	if (error == 0) {
		pinw_ledger_peak(c->live);
		pinw_life_hand_over(c->thread);
		pinw_registry_let_go(c->thread, PINW_LIFE_CREATOR);
	} else
		give_up(c);
	record_creation(c, error);
}

static int create(pthread_t *out, const pthread_attr_t *attr, void *(*routine)(void *), void *arg,
                  struct pinw_where where)
{
	uint64_t mask[pinw_shim.mask_words + 1];
	struct creation c = {.self = pinw_enter(), .mask = mask};

	if (!pinw_real.pthread_create)
		return ENOSYS;
	if (!c.self)
		return pinw_real.pthread_create(out, attr, routine, arg);
	pinw_go_creates((const void *)routine);
	if (!begin_creation(&c, attr, arg, where))
		return c.trial.error;
	if (!prepare(&c, attr, out, (void *)routine)) {
		uncount(&c);
		return needs_count() ? EAGAIN : pinw_real.pthread_create(out, attr, routine, arg);
	}
	c.thread->start = routine;
	c.thread->arg = arg;
	count_creation(&c, 1);
	int r = pinw_real.pthread_create(&c.thread->handle, attr, pinw_trampoline, c.thread);
	conclude(&c, r);
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
	uint64_t mask[pinw_shim.mask_words + 1];
	struct creation c = {.self = pinw_enter(), .flags = PINW_THREAD_THRD, .mask = mask};

	if (!pinw_real.thrd_create)
		return thrd_error;
	if (!c.self)
		return pinw_real.thrd_create(out, routine, arg);
	if (!begin_creation(&c, NULL, NULL, PINW_WHERE()))
		return c.trial.error == ENOMEM ? thrd_nomem : thrd_error;
	if (!prepare(&c, NULL, out, (void *)routine)) {
		uncount(&c);
		return needs_count() ? thrd_error : pinw_real.thrd_create(out, routine, arg);
	}
	c.thread->start_thrd = routine;
	c.thread->arg = arg;
	count_creation(&c, 1);
	/* The C library reads the low half of what the start routine returns: the trampoline serves both kinds. */
	int r = pinw_real.thrd_create(&c.thread->handle, (thrd_start_t)(void *)pinw_trampoline, c.thread);
	conclude(&c, errno_of_thrd(r));
	return r;
}
PINW_ALSO(thrd_create_234, v228, "thrd_create@GLIBC_2.28");
