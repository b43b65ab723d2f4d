/* SPDX-License-Identifier: MIT */
#include "preload/enforce_private.h"

#include <string.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/proc.h"
#include "preload/registry.h"
#include "preload/stackrules.h"

struct pinw_enforce pinw_enforce;

static bool judges_golocks(const struct pinw_policy *policy)
{
	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (pinw_rule_is_on_golocks(&policy->rules[i]))
			return true;
	return false;
}

/* Does a rule speak about Go locks whatever their stack is? */
static bool has_loose_golocks(const struct pinw_policy *policy)
{
	for (unsigned c = 0; c < PINW_LOOSE_INITIALS; c++)
		if ((policy->index.loose_calls[0][c] | policy->index.loose_calls[1][c]) & PINW_CALLS_GOLOCK)
			return true;
	return false;
}

/* Is there something to do at each Go lock or unlock? */
static bool asks_each_golock(const struct pinw_policy *policy)
{
	return policy->needs_require || pinw_enforce.times_idle || pinw_enforce.holds ||
	       pinw_enforce.caps_golocks || policy->leaks[PINW_PLEAK_UNBALANCED] || has_loose_golocks(policy);
}

void pinw_enforce_use(const struct pinw_policy *policy)
{
	if (policy) {
		pinw_enforce.asks_all = policy->index.caps_pins || policy->needs_require;
		pinw_enforce.asks_pins = pinw_enforce.asks_all || policy->judges_pins;
		pinw_enforce.holds = policy->index.counts_pins;
		pinw_enforce.times_idle = policy->leaks[PINW_PLEAK_PINNED_IDLE];
		pinw_enforce.caps_golocks =
		    policy->caps[PINW_CAP_MAX_PINNED] || policy->warns[PINW_CAP_MAX_PINNED];
		pinw_enforce.asks_golocks = policy->needs_require || pinw_enforce.times_idle ||
		                            policy->leaks[PINW_PLEAK_UNBALANCED] || judges_golocks(policy);
		pinw_enforce.asks_each_golock = asks_each_golock(policy);
		memcpy(pinw_enforce.loose_calls, policy->index.loose_calls, sizeof(pinw_enforce.loose_calls));
	}
	pinw_enforce.policy = policy;
}

void pinw_enforce_start_image(void)
{
	const struct pinw_policy *policy = pinw_enforce.policy;

	if (!policy)
		return;
	memset(pinw_enforce.state_memory, 0, pinw_policy_state_bytes(policy));
	memset(&pinw_enforce.state, 0, sizeof(pinw_enforce.state));
	pinw_enforce.exempt = 0;
	pinw_policy_state_init(&pinw_enforce.state, policy, pinw_enforce.state_memory);
	pinw_violation_start_image(policy, pinw_enforce.enforcing);
}

/* ---- what is to be done ------------------------------------------------------------------ */

/* What the mode makes of the verdict's action. Does not return from a crash. */
void pinw_enforce_decide(struct pinw_violation *v)
{
	enum pinw_action action = v->verdict.action;

	if (action == PINW_ACTION_LOG) {
		v->done = PINW_DONE_LOGGED;
		return;
	}
	bool is_spared = v->attempt == PINW_ATTEMPT_LOCK && action == PINW_ACTION_DENY &&
	                 !pinw_enforce.policy->deny_golocks;
	if (!pinw_enforce.enforcing || is_spared) {
		v->done = PINW_DONE_WOULD;
		return;
	}
	v->done = action == PINW_ACTION_DENY    ? PINW_DONE_DENIED
	          : action == PINW_ACTION_RESET ? PINW_DONE_RESET
	                                        : PINW_DONE_CRASHED;
	if (action == PINW_ACTION_DENY && v->attempt != PINW_ATTEMPT_LOCK) /* which has no error to give */
		v->error = v->verdict.rule->error;
	if (action == PINW_ACTION_CRASH)
		pinw_violation_crash(v);
}

/* Decides and writes down at once: for verdicts that no call has to wait for. */
void pinw_enforce_act(struct pinw_violation *v)
{
	if (v->verdict.action == PINW_ACTION_NONE)
		return;
	pinw_enforce_decide(v);
	pinw_violation_record(v);
}

/* A *_warn_at that has just been reached. */
void pinw_enforce_warn(enum pinw_cap cap, uint64_t value, const struct pinw_violation *attempt)
{
	struct pinw_violation v = *attempt;

	if (!pinw_enforce.policy->warns[cap])
		return;
	pinw_policy_judge_warning(pinw_enforce.policy, cap, value, &v.verdict);
	pinw_enforce_act(&v);
}

/* ---- pins ---------------------------------------------------------------------------------- */

struct inside {
	const uint64_t *mask;
	const struct pinw_thread *except;
	uint64_t count;
};

static void count_inside(struct pinw_thread *thread, void *arg)
{
	struct inside *inside = arg;

	if (thread != inside->except && thread->slot->pin_depth && thread->slot->state != PINW_SLOT_EXITED &&
	    pinw_mask_subset(thread->mask, inside->mask, pinw_shim.mask_words))
		inside->count++;
}

/* Threads pinned inside a mask, when a rule asks. */
uint64_t pinw_enforce_inside(const uint64_t *mask, const struct pinw_thread *except)
{
	struct inside inside = {.mask = mask, .except = except};

	if (pinw_policy_wants_inside(pinw_enforce.policy, mask))
		pinw_registry_each(count_inside, &inside);
	return inside.count;
}

/* Between this frame and the stack's end there are no holes, if this frame is on that stack: a coroutine's or a handler's may
 * lie anywhere. */
static bool is_on_own_stack(const struct pinw_thread *self, const void *at, size_t len)
{
	uintptr_t from = (uintptr_t)at, here = (uintptr_t)__builtin_frame_address(0);

	return here > self->stack_lo && from > here && from < self->stack_hi && self->stack_hi - from >= len;
}

/* No program has memory there: not in the first page, and not beyond the lower half (vm.mmap_min_addr; x86-64 canonical
 * addresses). */
static bool is_no_address(const void *at, size_t len)
{
	return (uintptr_t)at < 4096 || (uintptr_t)at >= UINT64_C(0x800000000000) - len;
}

/* The caller's mask, as the kernel will read it. False: it cannot. Once the target sealed itself nobody may be asked
 * whether memory is there, and a caller whose pointer could be one is believed. */
static bool read_mask(const struct pinw_pin_request *r, uint64_t *mask)
{
	unsigned words = pinw_shim.mask_words;
	size_t len = r->cpusetsize < words * 8u ? r->cpusetsize : words * 8u;

	if (is_no_address(r->user_mask, len))
		return false;
	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) ||
	    is_on_own_stack(r->self, r->user_mask, len)) {
		pinw_mask_load(mask, words, r->user_mask, len);
		return true;
	}
	memset(mask, 0, words * 8u);
	return pinw_proc_peek(mask, r->user_mask, len) == len;
}

bool pinw_enforce_is_judged(uint64_t *mask)
{
	unsigned words = pinw_shim.mask_words;
	const uint64_t *present = pinw_enforce.present;
	uint64_t any = 0;

	for (unsigned i = 0; i < words; i++)
		any |= mask[i] &= present ? present[i] : UINT64_MAX;
	return any && pinw_mask_is_pin(mask, pinw_shim.baseline, words) &&
	       (!pinw_enforce.policy->pin_width || pinw_policy_counts(pinw_enforce.policy, mask));
}

/* The limits on pins that warn before they bite. */
static void warn_of_pin(const struct pinw_trial *t)
{
	const struct pinw_policy_state *state = &pinw_enforce.state;

	if (t->hold.pinned && !t->held.pinned)
		pinw_enforce_warn(PINW_CAP_MAX_PINNED, __atomic_load_n(&state->pinned, __ATOMIC_RELAXED),
		                  &t->violation);
	if (t->hold.cpu && t->hold.cpu != t->held.cpu)
		pinw_enforce_warn(PINW_CAP_MAX_PINNED_PER_CPU,
		                  __atomic_load_n(&state->cpu_pins[t->hold.cpu - 1], __ATOMIC_RELAXED),
		                  &t->violation);
}

/* Judges what may concern some rule. */
static __attribute__((noinline)) void judge(struct pinw_trial *t, const struct pinw_pin_request *r,
                                            const uint64_t *mask)
{
	struct pinw_attempt attempt = {
	    .calls = r->calls,
	    .kind = PINW_KINDS_CPU,
	    .mask = mask,
	    .thread_name = r->target->slot->name,
	    .stack = t->site.match,
	    .creator = r->target->ruled.created,
	    .now_ns = pinw_now(),
	    .inside = pinw_enforce_inside(mask, r->target),
	    .held = r->target->ruled.hold,
	};

	attempt.held.pins = &r->target->ruled.pins;
	t->held = attempt.held;
	t->violation = (struct pinw_violation){
	    .slot = r->target->slot,
	    .mask = mask,
	    .now_ns = attempt.now_ns,
	    .thread = pinw_tls.seq,
	    .target = r->target_seq,
	    .site = t->site.id,
	    .attempt = PINW_ATTEMPT_PIN,
	};
	pinw_policy_judge_pin(pinw_enforce.policy, &pinw_enforce.state, &attempt, &t->violation.verdict,
	                      &t->hold);
	t->judged = t->holds = true;
	t->image_gen = pinw_shim.image_gen;
	if (t->violation.verdict.action != PINW_ACTION_NONE)
		pinw_enforce_decide(&t->violation);
}

static __attribute__((noinline)) void deny(struct pinw_trial *t, struct pinw_thread *target)
{
	t->denied = true;
	t->error = t->violation.error;
	pinw_count(affinity_denied, 1);
	pinw_enforce_settle(t, target, false);
	pinw_violation_record(&t->violation);
}

/* Most calls end here: the site is looked up for the record anyway, and two bytes tell that no rule is about it. */
static bool may_concern(const struct pinw_trial *t, const struct pinw_pin_request *r)
{
	return pinw_enforce.asks_all ||
	       pinw_policy_may_speak(pinw_enforce.loose_calls, r->calls, r->target->slot->name, t->site.match,
	                             r->target->ruled.created);
}

bool pinw_enforce_pin(struct pinw_trial *t, const struct pinw_pin_request *r, uint64_t *room)
{
	if (!pinw_enforce.asks_pins)
		return true;
	t->site = r->site ? *r->site : pinw_site_ref(r->self, r->where);
	t->sited = true;
	if (!may_concern(t, r) || !read_mask(r, room) || !pinw_enforce_is_judged(room))
		return true;
	judge(t, r, room);
	if (t->violation.done == PINW_DONE_DENIED)
		deny(t, r->target);
	return !t->denied;
}

void pinw_enforce_hold(struct pinw_thread *thread, struct pinw_trial *trial, const uint64_t *mask)
{
	struct pinw_ruled *ruled = &thread->ruled;

	if (pinw_enforce.times_idle && mask && thread->slot->pin_since_ns != ruled->pin_since_ns) {
		ruled->pin_since_ns = thread->slot->pin_since_ns;
		ruled->pin_cpu_ns = pinw_proc_cpu_ns(thread->slot->tid);
		__atomic_fetch_and(&thread->slot->told, ~PINW_TOLD_IDLE, __ATOMIC_RELAXED);
	}
	if (!pinw_enforce.holds || thread->image_gen != pinw_shim.image_gen)
		return;
	ruled->hold.pins = &ruled->pins;
	if (trial && trial->holds && trial->image_gen == pinw_shim.image_gen && mask &&
	    trial->hold.cpu == pinw_mask_single(mask, pinw_shim.mask_words) &&
	    memcmp(&trial->held, &ruled->hold, sizeof(trial->held)) == 0) {
		pinw_policy_keep(&pinw_enforce.state, &trial->held, &trial->hold);
		ruled->hold = trial->hold;
		trial->holds = false;
		return;
	}
	ruled->hold = pinw_policy_rehold(pinw_enforce.policy, &pinw_enforce.state, &ruled->hold, mask);
}

/* ---- what a thread was ---------------------------------------------------------------------- */

struct pinw_thread_facts pinw_enforce_facts(const struct pinw_thread *thread, uint64_t now_ns)
{
	const struct pinw_slot *slot = thread->slot;
	const struct pinw_policy *policy = pinw_enforce.policy;

	return (struct pinw_thread_facts){
	    .thread_name = slot->name,
	    .creator = thread->ruled.created,
	    .start = policy->needs_require && slot->start_routine
	                 ? pinw_stackrules_function(slot->start_routine)
	                 : NULL,
	    .pin = slot->pin_site ? pinw_site_match(slot->pin_site) : NULL,
	    .mask = slot->pin_depth && pinw_policy_counts(policy, thread->mask) ? thread->mask : NULL,
	    .now_ns = now_ns,
	    .started_ns = slot->start_ns,
	    .has_pinned = slot->pins_opened > 0,
	    .is_golocked = slot->golock_depth > 0,
	    .has_golocked = slot->golocks > 0,
	    .golock = slot->golock_site ? pinw_site_match(slot->golock_site) : NULL,
	};
}

struct pinw_violation pinw_enforce_about(const struct pinw_thread *thread, enum pinw_attempted attempt,
                                         uint64_t now_ns)
{
	const struct pinw_slot *slot = thread->slot;

	return (struct pinw_violation){
	    .slot = slot,
	    .mask = slot->pin_depth ? thread->mask : NULL,
	    .now_ns = now_ns,
	    .thread = slot->thread,
	    .target = slot->thread,
	    .site = slot->pin_depth ? slot->pin_site : slot->create_site,
	    .attempt = (uint8_t)attempt,
	};
}

/* ---- rules that speak once about a thread ------------------------------------------------------ */

/* Did `pinwarden run`, which watches from outside, say it already? */
static bool has_watch_told(const struct pinw_slot *slot, uint64_t bit)
{
	return __atomic_load_n(&slot->watch_told, __ATOMIC_SEQ_CST) & bit &&
	       __atomic_load_n(&slot->watch_thread, __ATOMIC_RELAXED) == slot->thread;
}

static bool is_told(const struct pinw_slot *slot, uint64_t bit)
{
	return __atomic_load_n(&slot->told, __ATOMIC_RELAXED) & bit || has_watch_told(slot, bit);
}

/* The watch writes its bit, then looks at ours; with the two steps the other way round here, one of both always sees the
 * other. When it was this one, it stands back: the watch looks a second time. */
bool pinw_enforce_claim(struct pinw_thread *thread, uint64_t bit)
{
	struct pinw_slot *slot = thread->slot;

	if (is_told(slot, bit) || __atomic_fetch_or(&slot->told, bit, __ATOMIC_SEQ_CST) & bit)
		return false;
	if (!has_watch_told(slot, bit))
		return true;
	__atomic_fetch_and(&slot->told, ~bit, __ATOMIC_SEQ_CST);
	return false;
}

void pinw_enforce_require(struct pinw_thread *thread, const struct pinw_thread_facts *facts,
                          enum pinw_attempted attempt)
{
	const struct pinw_policy *policy = pinw_enforce.policy;
	unsigned nth = 0;

	for (uint16_t id = 1; policy->needs_require && id <= policy->rule_count; id++) {
		if (policy->rules[id - 1].section != PINW_SECTION_REQUIRE)
			continue;
		uint64_t bit = PINW_TOLD_REQUIRE(nth++);
		struct pinw_violation v = pinw_enforce_about(thread, attempt, facts->now_ns);

		if (is_told(thread->slot, bit))
			continue;
		pinw_policy_judge_require(policy, &pinw_enforce.state, id, facts, &v.verdict);
		if (v.verdict.action != PINW_ACTION_NONE && pinw_enforce_claim(thread, bit))
			pinw_enforce_act(&v);
	}
}

void pinw_enforce_settle(struct pinw_trial *t, struct pinw_thread *target, bool happened)
{
	if (!t->judged)
		return;
	/* A handler may have forked meanwhile: the child's counters never had what the parent reserved. */
	if (t->holds && t->image_gen == pinw_shim.image_gen)
		pinw_policy_cancel(&pinw_enforce.state, &t->held, &t->hold);
	t->holds = false;
	if (!happened)
		return;
	if (t->violation.verdict.action != PINW_ACTION_NONE)
		pinw_violation_record(&t->violation);
	else
		warn_of_pin(t);
	if (pinw_enforce.policy->needs_require) {
		struct pinw_thread_facts facts = pinw_enforce_facts(target, pinw_now());

		pinw_enforce_require(target, &facts, PINW_ATTEMPT_PIN);
	}
}

/* Judges a leak and acts. True: it is suppressed, or a rule spoke. */
bool pinw_enforce_leak(enum pinw_policy_leak kind, const struct pinw_thread_facts *facts,
                       struct pinw_violation *v)
{
	const struct pinw_rule *suppressed;

	v->leak = (uint8_t)(1 + kind);
	pinw_policy_judge_leak(pinw_enforce.policy, &pinw_enforce.state, kind, facts, &v->verdict,
	                       &suppressed);
	if (suppressed)
		pinw_count(leaks_suppressed, 1);
	pinw_enforce_act(v);
	return suppressed || v->verdict.action != PINW_ACTION_NONE;
}
