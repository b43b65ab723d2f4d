/* SPDX-License-Identifier: MIT */
#include "preload/ledger.h"

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/enforce.h"

#define SLOT_SPINS 2000u
#define SLOT_YIELDS 200u

enum pinw_effect pinw_pin_change(uint32_t depth, const uint64_t *before, const uint64_t *after,
                                 const uint64_t *baseline, unsigned words)
{
	bool pin = pinw_mask_is_pin(after, baseline, words);

	if (!depth)
		return pin ? PINW_EFFECT_OPEN : PINW_EFFECT_NONE;
	if (!pin)
		return PINW_EFFECT_RELEASE;
	if (pinw_mask_equal(before, after, words))
		return PINW_EFFECT_NONE;
	return pinw_mask_subset(after, before, words) ? PINW_EFFECT_NARROW : PINW_EFFECT_MOVE;
}

/* ---- one slot, one writer at a time ------------------------------------------------ */

/* A thread's mark in a slot that it holds; one that is not known has none of its own. */
static uint32_t own_mark(void)
{
	return pinw_tls.tid ? pinw_tls.tid : UINT32_MAX;
}

static bool try_hold(struct pinw_slot *slot)
{
	uint32_t free = 0;

	return __atomic_compare_exchange_n(&slot->busy, &free, own_mark(), false, __ATOMIC_ACQUIRE,
	                                   __ATOMIC_RELAXED);
}

/* For the very code that a signal handler interrupted it would wait in vain, and where signals come faster than that, for ever.
 * Bounded, for another thread that was preempted: it is let run, for what is not booked here is lost to the limits of a policy. */
static bool slot_hold(struct pinw_slot *slot)
{
	if (pinw_tls.tid && __atomic_load_n(&slot->busy, __ATOMIC_RELAXED) == pinw_tls.tid)
		return false;
	for (unsigned i = 0; i < SLOT_SPINS; i++) {
		if (try_hold(slot))
			return true;
		pinw_pause();
	}
	for (unsigned i = 0; i < SLOT_YIELDS && !__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED); i++) {
		pinw_sys0(SYS_sched_yield);
		if (try_hold(slot))
			return true;
	}
	return false;
}

static void slot_let_go(struct pinw_slot *slot)
{
	__atomic_store_n(&slot->busy, 0, __ATOMIC_RELEASE);
}

/* ---- pins ---------------------------------------------------------------------------- */

static void count_opened(uint32_t origin)
{
	pinw_count(pins_opened, 1);
	pinw_count(pins_open, 1);
	if (origin == PINW_ORIGIN_BORN)
		pinw_count(pins_born, 1);
	else if (origin == PINW_ORIGIN_EXTERNAL)
		pinw_count(pins_external, 1);
	else if (origin == PINW_ORIGIN_INHERITED) {
		pinw_count(pins_inherited, 1);
		pinw_count(leaks_inherited, 1);
	}
}

static void open_pin(struct pinw_slot *slot, struct pinw_pinner by, uint64_t now_ns)
{
	slot->pin_origin = by.origin;
	slot->pin_site = by.site;
	slot->pin_by = by.by;
	slot->pin_since_ns = now_ns;
	slot->pins_opened++;
	__atomic_store_n(&slot->pin_depth, 1, __ATOMIC_RELEASE);
	count_opened(by.origin);
}

static void apply(struct pinw_slot *slot, enum pinw_effect effect, struct pinw_pinner by, uint64_t now_ns)
{
	switch (effect) {
	case PINW_EFFECT_OPEN:
		open_pin(slot, by, now_ns);
		break;
	case PINW_EFFECT_NARROW:
		slot->pin_depth++;
		break;
	case PINW_EFFECT_RELEASE:
		slot->pin_depth = 0;
		slot->pin_origin = PINW_ORIGIN_NONE;
		pinw_count(pins_released, 1);
		pinw_uncount(pins_open, 1);
		break;
	default:
		break;
	}
}

static void keep_for_fork(struct pinw_thread *thread)
{
	thread->pin_depth = thread->slot->pin_depth;
	thread->pin_site = thread->slot->pin_site;
}

static bool is_over(const struct pinw_slot *slot)
{
	return slot->state == PINW_SLOT_EXITED || slot->state == PINW_SLOT_FREE;
}

struct pinw_booking pinw_ledger_set(struct pinw_thread *thread, uint32_t seq, const uint64_t *after,
                                    struct pinw_pinner by, uint64_t now_ns, uint64_t *ret_before)
{
	struct pinw_slot *slot = thread->slot;
	unsigned words = pinw_shim.mask_words;
	struct pinw_booking booking = {.effect = PINW_EFFECT_NONE};

	if (!slot_hold(slot)) {
		pinw_mask_copy(ret_before, thread->mask, words);
		booking.contended = true;
		booking.depth = slot->pin_depth;
		return booking;
	}
	pinw_mask_copy(ret_before, thread->mask, words);
	if (slot->thread != seq || is_over(slot)) {
		slot_let_go(slot);
		return booking;
	}
	booking.effect = pinw_pin_change(slot->pin_depth, ret_before, after, pinw_shim.baseline, words);
	apply(slot, booking.effect, by, now_ns);
	pinw_mask_copy(thread->mask, after, words);
	if (by.origin != PINW_ORIGIN_EXTERNAL)
		slot->affinity_calls++;
	booking.depth = slot->pin_depth;
	keep_for_fork(thread);
	if (pinw_unlikely(pinw_enforce.policy != NULL))
		pinw_enforce_hold(thread, by.trial, slot->pin_depth ? after : NULL);
	slot_let_go(slot);
	return booking;
}

/* What the policy reserved for the birth pin is the pin's now, or nobody's. */
static __attribute__((noinline)) void settle_birth(struct pinw_thread *thread)
{
	struct pinw_ruled *ruled = &thread->ruled;
	struct pinw_trial trial = {.holds = ruled->birth_judged,
	                           .image_gen = pinw_shim.image_gen,
	                           .held = {.pins = &ruled->pins},
	                           .hold = ruled->birth_hold};

	if (trial.holds) { /* judged when there was no thread yet */
		trial.hold.pins = &ruled->pins;
		__atomic_add_fetch(&ruled->pins, trial.hold.pinned, __ATOMIC_RELAXED);
	}
	if (thread->slot->pin_depth || ruled->hold.pinned)
		pinw_enforce_hold(thread, &trial, thread->slot->pin_depth ? thread->mask : NULL);
	if (trial.holds)
		pinw_policy_cancel(&pinw_enforce.state, &trial.held, &trial.hold);
	ruled->birth_judged = false;
}

void pinw_ledger_birth(struct pinw_thread *thread, uint32_t seq, uint64_t now_ns)
{
	struct pinw_slot *slot = thread->slot;
	struct pinw_pinner by = {thread->birth_origin, thread->birth_site, thread->birth_by, NULL};

	/* The mark is set under the slot: who finds it set finds the pin booked, and who finds the slot in use leaves
	 * the birth to the next. */
	if (__atomic_load_n(&thread->birth, __ATOMIC_ACQUIRE) || !slot_hold(slot))
		return;
	if (!thread->birth && slot->thread == seq && !is_over(slot)) {
		if (by.origin != PINW_ORIGIN_NONE &&
		    pinw_mask_is_pin(thread->mask, pinw_shim.baseline, pinw_shim.mask_words))
			open_pin(slot, by, now_ns);
		keep_for_fork(thread);
		if (pinw_unlikely(pinw_enforce.policy != NULL))
			settle_birth(thread);
		__atomic_store_n(&thread->birth, 1, __ATOMIC_RELEASE);
	}
	slot_let_go(slot);
}

bool pinw_ledger_hold_unborn(struct pinw_thread *thread)
{
	if (__atomic_load_n(&thread->birth, __ATOMIC_ACQUIRE) || !slot_hold(thread->slot))
		return false;
	if (!thread->birth)
		return true;
	slot_let_go(thread->slot);
	return false;
}

void pinw_ledger_let_go(struct pinw_thread *thread)
{
	slot_let_go(thread->slot);
}

/* ---- threads -------------------------------------------------------------------------- */

uint64_t pinw_ledger_live(void)
{
	return pinw_count(threads_live, 1) + 1;
}

void pinw_ledger_peak(uint64_t live)
{
	uint64_t *peak = &pinw_shim.live->counters.threads_peak;
	uint64_t seen = __atomic_load_n(peak, __ATOMIC_RELAXED);

	while (seen < live &&
	       !__atomic_compare_exchange_n(peak, &seen, live, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

void pinw_ledger_end(struct pinw_thread *thread, enum pinw_exit how, uint64_t now_ns)
{
	struct pinw_slot *slot = thread->slot;
	bool held = slot_hold(slot); /* if not: interrupted in the middle of a change, by this very end */

	slot->exit_ns = now_ns;
	slot->exit_how = how;
	__atomic_store_n(&slot->state, PINW_SLOT_EXITED, __ATOMIC_RELEASE);
	pinw_count(threads_exited, 1);
	pinw_uncount(threads_live, 1);
	if (slot->pin_depth) {
		pinw_uncount(pins_open, 1);
		pinw_count(pins_lost, 1);
		if (slot->pin_origin != PINW_ORIGIN_INHERITED)
			pinw_count(leaks_exit_while_pinned, 1);
	}
	if (pinw_unlikely(pinw_enforce.policy != NULL))
		pinw_enforce_hold(thread, NULL, NULL);
	if (held)
		slot_let_go(slot);
}

void pinw_ledger_histogram(struct pinw_histogram *histogram, uint64_t ns)
{
	unsigned bucket = ns ? 63u - (unsigned)__builtin_clzll(ns) : 0;

	if (bucket >= PINW_HIST_BUCKETS)
		bucket = PINW_HIST_BUCKETS - 1;
	__atomic_fetch_add(&histogram->count, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&histogram->sum_ns, ns, __ATOMIC_RELAXED);
	__atomic_fetch_add(&histogram->bucket[bucket], 1, __ATOMIC_RELAXED);
}
