/* SPDX-License-Identifier: MIT
 *
 * The verdict at the ends of a thread's life: its creation, its birth on a mask it was given, its end, and
 * the image's.
 */
#include <errno.h>
#include <string.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/enforce_private.h"
#include "preload/ledger.h"
#include "preload/proc.h"

/* ---- creation --------------------------------------------------------------------------------- */

static struct pinw_violation about_creation(const struct pinw_create_request *r, enum pinw_attempted attempt)
{
	return (struct pinw_violation){
	    .slot = r->self->slot,
	    .mask = attempt == PINW_ATTEMPT_CREATE ? NULL : r->mask,
	    .now_ns = pinw_now(),
	    .thread = pinw_tls.seq,
	    .site = r->site.id,
	    .attempt = (uint8_t)attempt,
	};
}

/* Carries out a verdict against a creation. False: it is denied. */
static bool pass(struct pinw_create_trial *t, struct pinw_violation *v)
{
	pinw_enforce_act(v);
	if (v->done != PINW_DONE_DENIED)
		return true;
	t->denied = true;
	t->error = v->error;
	pinw_count(threads_denied, 1);
	return false;
}

/* Counts the thread in, unless that would pass the limit: never one too many, whoever else creates. */
static bool count_in(struct pinw_create_trial *t, const struct pinw_create_request *r)
{
	struct pinw_violation v = about_creation(r, PINW_ATTEMPT_CREATE);
	uint64_t *live = &pinw_shim.live->counters.threads_live;
	uint64_t exempt = __atomic_load_n(&pinw_enforce.exempt, __ATOMIC_RELAXED);
	uint64_t seen = __atomic_load_n(live, __ATOMIC_RELAXED);

	do {
		pinw_policy_judge_threads(pinw_enforce.policy, seen + 1 - exempt, &v.verdict);
		if (v.verdict.action >= PINW_ACTION_DENY && pinw_enforce.enforcing)
			return pass(t, &v);
	} while (
	    !__atomic_compare_exchange_n(live, &seen, seen + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	t->live = seen + 1;
	if (v.verdict.action == PINW_ACTION_NONE)
		pinw_enforce_warn(PINW_CAP_MAX_THREADS, t->live - exempt, &v);
	return pass(t, &v);
}

/* The limit on creations in a window, and its warning. */
static bool pass_rate(struct pinw_create_trial *t, const struct pinw_create_request *r)
{
	const struct pinw_policy *policy = pinw_enforce.policy;
	struct pinw_violation v;

	if (!policy->caps[PINW_CAP_THREAD_RATE] && !policy->warns[PINW_CAP_THREAD_RATE])
		return true;
	v = about_creation(r, PINW_ATTEMPT_CREATE);
	pinw_policy_judge_rate(policy, &pinw_enforce.state, v.now_ns, &v.verdict);
	return pass(t, &v);
}

/* A pin that a ban or a limit would have reset: its rule speaks in the new thread, which is then known. */
static void leave_to_child(struct pinw_create_trial *t, const struct pinw_verdict *verdict, uint8_t leak_kind)
{
	t->inherit_rule = verdict->rule->id;
	t->inherit_leak = leak_kind;
	t->reset = verdict->action == PINW_ACTION_RESET && pinw_enforce.enforcing;
}

/* Judges the pin that the thread would be born with, as an attempt to pin it. */
static bool pass_birth(struct pinw_create_trial *t, const struct pinw_create_request *r)
{
	const struct pinw_hold none = {0};
	bool born = r->origin == PINW_ORIGIN_BORN;
	struct pinw_violation v = about_creation(r, born ? PINW_ATTEMPT_BORN : PINW_ATTEMPT_INHERIT);
	struct pinw_attempt attempt = {
	    .calls = born ? PINW_CALLS_ATTR : PINW_CALLS_INHERIT,
	    .kind = PINW_KINDS_CPU,
	    .mask = r->mask,
	    .thread_name = r->self->slot->name, /* the kernel gives a new thread its creator's name */
	    .stack = r->site.match,
	    .second = r->pin_site && r->pin_site != r->site.id ? pinw_site_match(r->pin_site) : NULL,
	    .creator = r->site.match,
	    .now_ns = v.now_ns,
	    .inside = pinw_enforce_inside(r->mask, NULL),
	};

	pinw_policy_judge_pin(pinw_enforce.policy, &pinw_enforce.state, &attempt, &v.verdict, &t->birth_hold);
	t->birth_judged = true;
	if (v.verdict.action == PINW_ACTION_RESET)
		leave_to_child(t, &v.verdict, 0);
	else if (!pass(t, &v)) {
		pinw_policy_cancel(&pinw_enforce.state, &none, &t->birth_hold);
		t->birth_judged = false;
		return false;
	}
	return true;
}

/* A mask passed on is a leak as well, if a rule says so. */
static void judge_inheritance(struct pinw_create_trial *t, const struct pinw_create_request *r)
{
	struct pinw_thread_facts facts = {
	    .thread_name = r->self->slot->name,
	    .creator = r->site.match,
	    .pin = r->pin_site ? pinw_site_match(r->pin_site) : NULL,
	    .mask = r->mask,
	    .now_ns = pinw_now(),
	};
	struct pinw_verdict verdict;
	const struct pinw_rule *suppressed;

	pinw_policy_judge_leak(pinw_enforce.policy, &pinw_enforce.state, PINW_PLEAK_INHERITED, &facts,
	                       &verdict, &suppressed);
	if (suppressed)
		pinw_count(leaks_suppressed, 1);
	if (verdict.action != PINW_ACTION_NONE)
		leave_to_child(t, &verdict, 1 + PINW_PLEAK_INHERITED);
}

static bool is_born_pinned(const struct pinw_create_request *r)
{
	uint64_t mask[pinw_shim.mask_words];

	if (r->origin == PINW_ORIGIN_NONE || !pinw_enforce.policy->judges_births)
		return false;
	pinw_mask_copy(mask, r->mask, pinw_shim.mask_words);
	return pinw_enforce_is_judged(mask);
}

/* It is one of Go's own making, started once, and not the program's: no rule on numbers is about it. */
static void count_template(struct pinw_create_trial *t)
{
	t->is_exempt = true;
	__atomic_add_fetch(&pinw_enforce.exempt, 1, __ATOMIC_RELAXED);
	t->live = pinw_ledger_live();
}

void pinw_enforce_create(struct pinw_create_trial *t, const struct pinw_create_request *r)
{
	const struct pinw_hold none = {0};

	t->image_gen = pinw_shim.image_gen;
	if (r->is_template) {
		count_template(t);
		return;
	}
	if (!count_in(t, r))
		return;
	bool ok = pass_rate(t, r);
	if (ok && is_born_pinned(r)) {
		ok = pass_birth(t, r);
		if (ok && !t->inherit_rule && r->origin == PINW_ORIGIN_INHERITED)
			judge_inheritance(t, r);
		if (t->birth_judged && t->reset) {
			pinw_policy_cancel(&pinw_enforce.state, &none, &t->birth_hold);
			t->birth_judged = false;
		}
	}
	if (!ok)
		pinw_uncount(threads_live, 1);
}

void pinw_enforce_uncreate(const struct pinw_create_trial *t)
{
	const struct pinw_hold none = {0};

	if (t->image_gen != pinw_shim.image_gen)
		return;
	if (t->is_exempt)
		__atomic_sub_fetch(&pinw_enforce.exempt, 1, __ATOMIC_RELAXED);
	if (t->birth_judged)
		pinw_policy_cancel(&pinw_enforce.state, &none, &t->birth_hold);
}

/* ---- birth, end --------------------------------------------------------------------------------- */

/* The baseline mask for the calling thread, from the kernel. Returns 0 or -errno; -EALREADY when somebody gave it a mask
 * before it ran, which is not undone. */
static int reset_mask(struct pinw_thread *thread)
{
	unsigned words = pinw_shim.mask_words;

	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return -EPERM;
	if (!pinw_ledger_hold_unborn(thread))
		return -EALREADY;
	long r = pinw_sys3(SYS_sched_setaffinity, 0, words * 8u, pinw_shim.baseline);
	if (r >= 0)
		pinw_mask_copy(thread->mask, pinw_shim.baseline, words);
	pinw_ledger_let_go(thread);
	if (r < 0)
		return (int)r;
	pinw_count(pins_reset, 1);
	return 0;
}

/* Writes the verdict on an inherited mask down, in the thread that has it. */
static void record_inheritance(struct pinw_thread *thread, uint16_t rule_id, uint8_t leak_kind,
                               int reset_error, const uint64_t *mask, uint64_t now_ns)
{
	const struct pinw_rule *rule = &pinw_enforce.policy->rules[rule_id - 1];
	struct pinw_violation v = pinw_enforce_about(thread, PINW_ATTEMPT_INHERIT, now_ns);

	v.verdict = (struct pinw_verdict){.action = (enum pinw_action)rule->action, .rule = rule};
	v.leak = leak_kind;
	v.thread = thread->birth_by;
	v.site = thread->birth_site;
	v.mask = mask;
	pinw_enforce_decide(&v);
	if (v.done == PINW_DONE_RESET && reset_error)
		v.done = reset_error == -EALREADY ? PINW_DONE_LOGGED : PINW_DONE_FAILED;
	pinw_violation_record(&v);
}

void pinw_enforce_birth(struct pinw_thread *thread, uint64_t now_ns)
{
	struct pinw_ruled *ruled = &thread->ruled;
	uint64_t mask[pinw_shim.mask_words];
	int r = 0;

	if (!ruled->inherit_rule)
		return;
	pinw_mask_copy(mask, thread->mask, pinw_shim.mask_words);
	if (ruled->reset)
		r = reset_mask(thread);
	record_inheritance(thread, ruled->inherit_rule, ruled->inherit_leak, r, mask, now_ns);
}

bool pinw_enforce_fork(struct pinw_thread *thread, uint32_t pin_site)
{
	const struct pinw_policy *policy = pinw_enforce.policy;
	uint64_t mask[pinw_shim.mask_words];
	struct pinw_thread_facts facts = {
	    .thread_name = thread->slot->name,
	    .pin = pin_site ? pinw_site_match(pin_site) : NULL,
	    .mask = mask,
	};
	struct pinw_verdict verdict;
	const struct pinw_rule *suppressed;

	pinw_mask_copy(mask, thread->mask, pinw_shim.mask_words);
	if (!pinw_mask_is_pin(mask, pinw_shim.baseline, pinw_shim.mask_words) ||
	    !pinw_policy_counts(policy, mask))
		return false;
	pinw_policy_judge_leak(policy, &pinw_enforce.state, PINW_PLEAK_INHERITED, &facts, &verdict,
	                       &suppressed);
	if (suppressed)
		pinw_count(leaks_suppressed, 1);
	if (verdict.action == PINW_ACTION_NONE)
		return false;
	bool resets = verdict.action == PINW_ACTION_RESET && pinw_enforce.enforcing;
	int r = resets ? reset_mask(thread) : 0;
	record_inheritance(thread, verdict.rule->id, 1 + PINW_PLEAK_INHERITED, r, mask, 0);
	return resets && r == 0;
}

static bool has_leaked_pin(const struct pinw_slot *slot)
{
	return slot->pin_depth && slot->pin_origin != PINW_ORIGIN_INHERITED;
}

bool pinw_enforce_thread_end(struct pinw_thread *thread, uint64_t now_ns)
{
	const struct pinw_slot *slot = thread->slot;

	if (slot->flags & PINW_THREAD_TEMPLATE)
		__atomic_sub_fetch(&pinw_enforce.exempt, 1, __ATOMIC_RELAXED);
	if (!slot->pins_opened && !slot->golocks && !pinw_enforce.policy->needs_require)
		return false;
	struct pinw_thread_facts facts = pinw_enforce_facts(thread, now_ns);
	struct pinw_violation v = pinw_enforce_about(thread, PINW_ATTEMPT_EXIT, now_ns);
	bool told = false;

	facts.ended = true;
	if (pinw_enforce.policy->needs_churn && (facts.has_pinned || facts.has_golocked)) {
		v.site = facts.has_pinned ? slot->pin_site : slot->golock_site;
		pinw_policy_judge_churn(pinw_enforce.policy, &pinw_enforce.state, &facts, &v.verdict);
		pinw_enforce_act(&v);
		v = pinw_enforce_about(thread, PINW_ATTEMPT_EXIT, now_ns);
	}
	pinw_enforce_require(thread, &facts, PINW_ATTEMPT_EXIT);
	if (has_leaked_pin(slot) && facts.mask)
		told = pinw_enforce_leak(PINW_PLEAK_EXIT_WHILE_PINNED, &facts, &v);
	return told;
}

/* Other threads go on while the clock was read. */
static uint64_t elapsed(uint64_t now_ns, uint64_t since_ns)
{
	return now_ns > since_ns ? now_ns - since_ns : 0;
}

/* The watch tells of each pin anew; it may have told of this one. */
static bool has_watch_told_idle(const struct pinw_slot *slot, uint64_t since_ns)
{
	return slot->watch_thread == slot->thread && slot->watch_idle_pin == 1 + since_ns;
}

bool pinw_enforce_claim_idle(struct pinw_thread *thread, uint64_t since_ns)
{
	if (has_watch_told_idle(thread->slot, since_ns))
		return false;
	__atomic_fetch_or(&thread->slot->told, PINW_TOLD_IDLE, __ATOMIC_SEQ_CST);
	return !has_watch_told_idle(thread->slot, since_ns);
}

/* The whole pin passed without CPU time, as far as one look at the end can tell. */
static void judge_idle(struct pinw_thread *thread, const struct pinw_thread_facts *facts, uint64_t now_ns)
{
	const struct pinw_policy *policy = pinw_enforce.policy;
	uint16_t id = policy->leaks[PINW_PLEAK_PINNED_IDLE];
	struct pinw_violation v = pinw_enforce_about(thread, PINW_ATTEMPT_END, now_ns);

	if (!id || !facts->mask ||
	    elapsed(now_ns, thread->slot->pin_since_ns) < policy->rules[id - 1].time_ns ||
	    pinw_proc_cpu_ns(thread->slot->tid) - thread->ruled.pin_cpu_ns > PINW_IDLE_SLACK_NS ||
	    !pinw_enforce_claim_idle(thread, thread->slot->pin_since_ns))
		return;
	pinw_enforce_leak(PINW_PLEAK_PINNED_IDLE, facts, &v);
}

static bool is_past_grace(const struct pinw_slot *slot, uint64_t now_ns)
{
	uint16_t id = pinw_enforce.policy->leaks[PINW_PLEAK_UNJOINED];

	return !id || elapsed(now_ns, slot->exit_ns) >= pinw_enforce.policy->rules[id - 1].time_ns;
}

/* An ended thread that nobody joined. True: kept out of the log. */
static bool judge_unjoined(struct pinw_thread *thread, struct pinw_thread_facts *facts,
                           struct pinw_violation *v, uint64_t now_ns)
{
	const struct pinw_slot *slot = thread->slot;

	v->mask = facts->mask = NULL;
	v->site = slot->create_site;
	if (slot->flags & PINW_THREAD_MAIN || !is_past_grace(slot, now_ns))
		return false;
	if (pinw_enforce.policy->leaks[PINW_PLEAK_UNJOINED] &&
	    !pinw_enforce_claim(thread, PINW_TOLD_UNJOINED))
		return true;
	return pinw_enforce_leak(PINW_PLEAK_UNJOINED, facts, v);
}

bool pinw_enforce_image_end(struct pinw_thread *thread, uint64_t now_ns)
{
	const struct pinw_slot *slot = thread->slot;
	struct pinw_thread_facts facts = pinw_enforce_facts(thread, now_ns);
	struct pinw_violation v = pinw_enforce_about(thread, PINW_ATTEMPT_END, now_ns);

	if (slot->state == PINW_SLOT_EXITED)
		return judge_unjoined(thread, &facts, &v, now_ns);
	if (slot->state != PINW_SLOT_RUNNING)
		return false;
	pinw_enforce_require(thread, &facts, PINW_ATTEMPT_END);
	judge_idle(thread, &facts, now_ns);
	return has_leaked_pin(slot) && facts.mask && !pinw_policy_is_declared(pinw_enforce.policy, &facts) &&
	       pinw_enforce_leak(PINW_PLEAK_PINNED_AT_END, &facts, &v);
}
