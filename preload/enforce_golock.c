/* SPDX-License-Identifier: MIT */
#include "preload/enforce_golock.h"

#include <string.h>

#include "policy/goname.h"
#include "preload/clock.h"
#include "preload/elfsym.h"
#include "preload/enforce_private.h"
#include "preload/go/goelf.h"
#include "preload/module.h"
#include "preload/proc.h"

#define NAMES_MAX 96u /* of one stack, inlined calls included */
#define PAIRS 1024u /* a power of two */

/* ---- the verdict ------------------------------------------------------------------------------ */

static struct pinw_violation about_lock(const struct pinw_golock_request *r, uint64_t now_ns)
{
	return (struct pinw_violation){
	    .slot = r->self->slot,
	    .now_ns = now_ns,
	    .thread = pinw_tls.seq,
	    .target = pinw_tls.seq,
	    .site = r->site.id,
	    .goid = r->goid,
	    .attempt = PINW_ATTEMPT_LOCK,
	};
}

/* No [allow], no [ban] and no limit is about it. */
static bool is_free(const struct pinw_golock_request *r)
{
	return !pinw_enforce.caps_golocks &&
	       !pinw_policy_may_speak(pinw_enforce.loose_calls, PINW_CALLS_GOLOCK, r->self->slot->name,
	                              r->site.match, r->self->ruled.created);
}

static __attribute__((noinline)) bool judge(const struct pinw_golock_request *r)
{
	struct pinw_ruled *ruled = &r->self->ruled;
	struct pinw_attempt attempt = {
	    .calls = PINW_CALLS_GOLOCK,
	    .kind = PINW_KINDS_GO,
	    .thread_name = r->self->slot->name,
	    .stack = r->site.match,
	    .creator = ruled->created,
	    .now_ns = pinw_now(),
	    .held = {.pins = &ruled->pins},
	};
	struct pinw_violation v = about_lock(r, attempt.now_ns);
	struct pinw_policy_state *state = &pinw_enforce.state;
	struct pinw_hold hold;

	pinw_policy_judge_pin(pinw_enforce.policy, state, &attempt, &v.verdict, &hold);
	if (v.verdict.action != PINW_ACTION_NONE)
		pinw_enforce_decide(&v);
	bool denied = v.done == PINW_DONE_DENIED;
	if (denied || !pinw_enforce.holds)
		pinw_policy_cancel(state, &attempt.held, &hold);
	else
		ruled->golock_hold = hold;
	if (denied)
		pinw_count(golocks_denied, 1);
	if (v.verdict.action != PINW_ACTION_NONE)
		pinw_violation_record(&v);
	else if (pinw_enforce.holds)
		pinw_enforce_warn(PINW_CAP_MAX_PINNED, __atomic_load_n(&state->pinned, __ATOMIC_RELAXED), &v);
	return !denied;
}

bool pinw_enforce_golock(const struct pinw_golock_request *request)
{
	return is_free(request) || judge(request);
}

void pinw_enforce_golocked(struct pinw_thread *self)
{
	const struct pinw_policy *policy = pinw_enforce.policy;

	if (pinw_enforce.times_idle)
		self->ruled.golock_cpu_ns = pinw_proc_cpu_ns(self->slot->tid);
	if (!policy->needs_require)
		return;
	struct pinw_thread_facts facts = pinw_enforce_facts(self, pinw_now());
	pinw_enforce_require(self, &facts, PINW_ATTEMPT_LOCK);
}

void pinw_enforce_golock_close(struct pinw_thread *thread)
{
	struct pinw_ruled *ruled = &thread->ruled;
	const struct pinw_hold none = {.pins = &ruled->pins};

	if (!pinw_enforce.holds || thread->image_gen != pinw_shim.image_gen)
		return;
	pinw_policy_cancel(&pinw_enforce.state, &none, &ruled->golock_hold);
	ruled->golock_hold = none;
}

/* ---- leaks --------------------------------------------------------------------------------------- */

/* A leak of the lock that the slot has open. */
static bool leak(enum pinw_policy_leak kind, struct pinw_thread *thread, enum pinw_attempted attempt,
                 uint64_t now_ns)
{
	struct pinw_thread_facts facts = pinw_enforce_facts(thread, now_ns);
	struct pinw_violation v = pinw_enforce_about(thread, attempt, now_ns);

	facts.leaked = PINW_KINDS_GO;
	v.mask = NULL;
	v.site = thread->slot->golock_site;
	v.goid = thread->slot->golock_goid;
	return pinw_enforce_leak(kind, &facts, &v);
}

bool pinw_enforce_golock_lost(struct pinw_thread *thread, uint64_t now_ns)
{
	if (pinw_enforce.policy->needs_require) {
		struct pinw_thread_facts facts = pinw_enforce_facts(thread, now_ns);

		facts.ended = true;
		pinw_enforce_require(thread, &facts, PINW_ATTEMPT_EXIT);
	}
	return leak(PINW_PLEAK_EXIT_WHILE_PINNED, thread, PINW_ATTEMPT_EXIT, now_ns);
}

/* The whole lock passed without CPU time, as far as one look at the end can tell. */
static void judge_idle(struct pinw_thread *thread, uint64_t now_ns)
{
	const struct pinw_policy *policy = pinw_enforce.policy;
	const struct pinw_slot *slot = thread->slot;
	uint16_t id = policy->leaks[PINW_PLEAK_PINNED_IDLE];

	/* A thread that has a CPU pin as well is judged by that. */
	if (id && !slot->pin_depth && now_ns > slot->golock_since_ns &&
	    now_ns - slot->golock_since_ns >= policy->rules[id - 1].time_ns &&
	    pinw_proc_cpu_ns(slot->tid) - thread->ruled.golock_cpu_ns <= PINW_IDLE_SLACK_NS &&
	    pinw_enforce_claim_idle(thread, slot->golock_since_ns))
		leak(PINW_PLEAK_PINNED_IDLE, thread, PINW_ATTEMPT_END, now_ns);
}

bool pinw_enforce_golock_end(struct pinw_thread *thread, uint64_t now_ns)
{
	struct pinw_thread_facts facts = pinw_enforce_facts(thread, now_ns);

	facts.leaked = PINW_KINDS_GO;
	judge_idle(thread, now_ns);
	if (thread->slot->golock_depth > 1)
		leak(PINW_PLEAK_UNBALANCED, thread, PINW_ATTEMPT_END, now_ns);
	return !pinw_policy_is_declared(pinw_enforce.policy, &facts) &&
	       leak(PINW_PLEAK_PINNED_AT_END, thread, PINW_ATTEMPT_END, now_ns);
}

/* ---- locks and unlocks that do not pair -------------------------------------------------------------- */

/* What is known of a pair of sites: lock << 32 | unlock << 1 | whether one function calls both. 0: nothing. Atomic. */
static uint64_t known_pairs[PAIRS];

struct stack {
	const struct pinw_rec_frame *frames;
	unsigned frame_count, name_count;
	const char *names[NAMES_MAX]; /* in the file, while it is open */
};

struct question {
	struct stack lock, unlock;
	uint32_t module; /* whose frames are named: the runtime's, and the program's with it */
	bool pairs;
};

static void add_name(struct stack *stack, const char *name)
{
	if (name && stack->name_count < NAMES_MAX)
		stack->names[stack->name_count++] = name;
}

/* Innermost first: calls that were inlined, then the function that has them. */
static void name_frame(struct pinw_goelf *go, struct stack *stack, uint64_t address)
{
	struct pinw_pclntab_call call;
	uint64_t function, start;
	size_t len;

	if (!pinw_goelf_find(go, address, &function, &start))
		return;
	for (call.distance = address - start;
	     stack->name_count < NAMES_MAX && pinw_goelf_inlined(go, function, call.distance, &call);)
		add_name(stack, call.name);
	add_name(stack, pinw_pclntab_name(&go->table, function, &len));
}

static void name_stack(struct pinw_goelf *go, struct stack *stack, uint32_t module)
{
	for (unsigned i = 0; i < stack->frame_count; i++) {
		const struct pinw_rec_frame *frame = &stack->frames[i];

		if (frame->module == module)
			name_frame(go, stack, pinw_frame_offset(frame) - 1);
	}
}

static void answer(struct pinw_goelf *go, void *arg)
{
	struct question *q = arg;

	name_stack(go, &q->lock, q->module);
	name_stack(go, &q->unlock, q->module);
	q->pairs =
	    pinw_goname_pairs(q->lock.names, q->lock.name_count, q->unlock.names, q->unlock.name_count);
}

/* Reads the program's file. Where it cannot be read nothing is said against the pair. */
static bool find_pair(uint32_t lock_site, uint32_t unlock_site)
{
	struct question q = {.pairs = true};
	uint16_t flags;

	q.lock.frame_count = pinw_site_frames(lock_site, &q.lock.frames, &flags);
	q.unlock.frame_count = pinw_site_frames(unlock_site, &q.unlock.frames, &flags);
	if (!q.lock.frame_count || !q.unlock.frame_count ||
	    __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return true;
	q.module = q.lock.frames[0].module;
	const char *path = pinw_module_path(q.module);
	if (path)
		pinw_elfsym_go(path, answer, &q);
	return q.pairs;
}

static bool is_pair(uint32_t lock_site, uint32_t unlock_site)
{
	uint64_t key = (uint64_t)lock_site << 32 | (uint64_t)(unlock_site & 0x7fffffff) << 1;
	uint64_t *place = &known_pairs[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 54];
	uint64_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);

	if ((seen & ~UINT64_C(1)) == key)
		return seen & 1;
	bool pairs = find_pair(lock_site, unlock_site);
	__atomic_store_n(place, key | pairs, __ATOMIC_RELAXED);
	return pairs;
}

_Static_assert(PAIRS == 1u << (64 - 54), "the place is the hash's top bits");

void pinw_enforce_golock_unlock(struct pinw_thread *thread, uint32_t unlock_site, uint64_t now_ns)
{
	uint32_t lock_site = thread->slot->golock_site;

	if (pinw_enforce.policy->leaks[PINW_PLEAK_UNBALANCED] && lock_site && unlock_site &&
	    !is_pair(lock_site, unlock_site))
		leak(PINW_PLEAK_UNBALANCED, thread, PINW_ATTEMPT_RUN, now_ns);
}
