/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reports/watch_private.h"
#include "reports/watch_proc.h"

/* One process under judgement. */
struct judgement {
	struct pinw_watch *w;
	struct pinw_watched *p;
};

/* What the policy wants to know of a thread, with the text that it points to. */
struct facts {
	struct pinw_thread_facts f;
	char name[PINW_NAME_BYTES + 1];
};

static const struct pinw_rule *leak_rule(const struct pinw_watch *w, enum pinw_policy_leak leak)
{
	uint16_t id = w->opt.policy->leaks[leak];

	return id ? &w->opt.policy->rules[id - 1] : NULL;
}

/* ---- what is remembered ------------------------------------------------------------------------ */

static int make_room(struct pinw_watched *p, uint64_t index)
{
	uint64_t room = p->thread_room ? p->thread_room : 64;

	if (index < p->thread_room)
		return 0;
	while (room <= index)
		room *= 2;
	struct pinw_watch_thread *threads = reallocarray(p->threads, room, sizeof(*threads));
	if (!threads)
		return -ENOMEM;
	p->threads = threads;
	memset(threads + p->thread_room, 0, (room - p->thread_room) * sizeof(*threads));
	p->thread_room = room;
	return 0;
}

/* What is known of the thread in this slot; of a thread that was there before nothing is. NULL: no memory. */
static struct pinw_watch_thread *remembered(struct judgement *j, uint64_t index, uint32_t thread)
{
	if (make_room(j->p, index) < 0)
		return NULL;
	struct pinw_watch_thread *t = &j->p->threads[index];
	if (t->mark.thread != thread)
		*t = (struct pinw_watch_thread){.mark.thread = thread};
	return t;
}

/* May a rule that speaks once about a thread speak now? Where the mark cannot be written both sides may: better than none. */
static bool claim(struct judgement *j, uint64_t index, const struct pinw_watch_thread *t, uint64_t bit)
{
	int r = pinw_live_claim(&j->p->trace, index, &t->mark, bit);

	return r != -EALREADY && r != -ESRCH;
}

/* ---- facts --------------------------------------------------------------------------------------- */

static void gather_facts(struct judgement *j, const struct pinw_slot *slot, const uint64_t *mask,
                         struct facts *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->name, slot->name, sizeof(slot->name));
	ret->f = (struct pinw_thread_facts){.thread_name = ret->name,
	                                    .mask = slot->pin_depth ? mask : NULL,
	                                    .now_ns = j->p->now_ns,
	                                    .started_ns = slot->start_ns,
	                                    .has_pinned = slot->pins_opened > 0,
	                                    .is_golocked = slot->golock_depth > 0,
	                                    .has_golocked = slot->golocks > 0,
	                                    .ended = slot->state == PINW_SLOT_EXITED};
	if (!j->w->needs_stacks)
		return;
	ret->f.creator = pinw_watch_site(j->w, j->p, slot->create_site);
	ret->f.start = pinw_watch_function(j->w, j->p, slot->start_routine);
	ret->f.pin = pinw_watch_site(j->w, j->p, slot->pin_site);
	ret->f.golock = pinw_watch_site(j->w, j->p, slot->golock_site);
}

/* ---- what follows ----------------------------------------------------------------------------------- */

/* By descriptor where there is one: the process may have ended, and its number be another's. */
static void send(struct pinw_watched *p, int sig)
{
	if (p->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, 0);
	else
		kill(p->pid, sig);
}

static void abort_process(struct pinw_watch *w, struct pinw_watched *p)
{
	pinw_watch_log_threads(w, p);
	p->crashed = true;
	p->crash_ns = p->trace.header.start_mono_ns + p->now_ns;
	send(p, SIGABRT);
}

/* The kernel writes the core of a big process for longer than any grace. */
void pinw_watch_see_crash_through(struct pinw_watch *w, struct pinw_watched *p, uint64_t mono_ns)
{
	if (p->killed || pinw_since(mono_ns, p->crash_ns) < PINW_WATCH_GRACE_NS || pinw_is_dumping(p->pid))
		return;
	p->killed = true;
	pinw_watch_say(w, "process %u still runs %u s after SIGABRT: it is killed", p->trace.header.self.pid,
	               (unsigned)(PINW_WATCH_GRACE_NS / 1000000000u));
	send(p, SIGKILL);
}

static void conclude(struct judgement *j, const struct pinw_verdict *verdict, struct pinw_finding *f)
{
	if (verdict->action == PINW_ACTION_NONE || !verdict->rule)
		return;
	f->rule = verdict->rule;
	f->crash = verdict->action == PINW_ACTION_CRASH && j->w->opt.enforcing;
	pinw_live_book(&j->p->trace, f->rule->id, false, f->slot ? f->slot->thread : 0, j->p->now_ns);
	pinw_watch_log(j->w, j->p, f);
	if (f->crash)
		abort_process(j->w, j->p);
}

/* A leak was found: is it suppressed, and what is to be done? */
static void judge_leak(struct judgement *j, enum pinw_policy_leak leak, struct pinw_finding *f)
{
	static const uint64_t no_mask[PINW_MASK_WORDS_MAX];
	static const struct pinw_slot nobody;
	struct pinw_verdict verdict = {0};
	const struct pinw_rule *suppressed = NULL;
	struct facts facts;

	gather_facts(j, f->slot ? f->slot : &nobody, f->slot ? f->mask : no_mask, &facts);
	facts.f.leaked = f->golock ? PINW_KINDS_GO : PINW_KINDS_CPU;
	pinw_policy_judge_leak(j->w->opt.policy, &j->p->state, leak, &facts.f, &verdict, &suppressed);
	f->leak = (int)leak;
	if (suppressed)
		pinw_live_book(&j->p->trace, suppressed->id, true, f->slot ? f->slot->thread : 0,
		               j->p->now_ns);
	conclude(j, &verdict, f);
}

/* ---- rules ---------------------------------------------------------------------------------------------- */

/* A thread that has a pin as well is judged by that. */
static bool holds_golock(const struct pinw_slot *slot)
{
	return slot->state == PINW_SLOT_RUNNING && slot->golock_depth && slot->tid;
}

static bool holds_pin(const struct judgement *j, const struct pinw_slot *slot, const uint64_t *mask)
{
	return slot->state == PINW_SLOT_RUNNING && slot->pin_depth && slot->tid &&
	       pinw_policy_counts(j->w->opt.policy, mask);
}

/* Threads of another pid namespace have numbers that mean others here. */
static bool can_judge_idle(struct judgement *j)
{
	struct pinw_watch *w = j->w;

	if (j->p->task >= 0 && !j->p->other_tids)
		return true;
	if (!w->said_idle_unknown)
		pinw_watch_say(w,
		               "process %u: whether pinned threads are idle cannot be judged: %s "
		               "(said once for all such processes)",
		               j->p->trace.header.self.pid,
		               j->p->other_tids ? "it is in another pid namespace"
		                                : "its folder in /proc cannot be read");
	w->said_idle_unknown = true;
	return false;
}

/* Waits for a CPU: it has work, and none of it is done. */
static bool is_runnable(const struct judgement *j, const struct pinw_slot *slot)
{
	struct pinw_sleep sleep;

	pinw_task_sleep(j->p->task, slot->tid, &sleep);
	return sleep.state == 'R';
}

static void judge_idle(struct judgement *j, struct pinw_watch_thread *t, uint64_t index,
                       const struct pinw_slot *slot, const uint64_t *mask)
{
	const struct pinw_rule *rule = leak_rule(j->w, PINW_PLEAK_PINNED_IDLE);
	bool pinned = rule && holds_pin(j, slot, mask);
	uint64_t cpu, since_ns = pinned ? slot->pin_since_ns : slot->golock_since_ns;

	if (!rule || !(pinned || holds_golock(slot)) || !can_judge_idle(j) ||
	    !pinw_idle_is_due(&t->idle, since_ns, j->p->now_ns) ||
	    pinw_task_cpu(j->p->task, slot->tid, &cpu) < 0 ||
	    !pinw_idle_look(&t->idle, since_ns, cpu, j->p->now_ns, rule->time_ns))
		return;
	if (is_runnable(j, slot)) {
		t->idle = (struct pinw_idle_state){.known = false};
		return;
	}
	t->mark.idle_pin = 1 + since_ns;
	if (!claim(j, index, t, PINW_TOLD_IDLE))
		return;
	struct pinw_finding f = {.slot = slot,
	                         .golock = !pinned,
	                         .mask = mask,
	                         .for_ns = pinw_since(j->p->now_ns, t->idle.since_ns)};
	judge_leak(j, PINW_PLEAK_PINNED_IDLE, &f);
}

static void judge_unjoined(struct judgement *j, struct pinw_watch_thread *t, uint64_t index,
                           const struct pinw_slot *slot, const uint64_t *mask)
{
	const struct pinw_rule *rule = leak_rule(j->w, PINW_PLEAK_UNJOINED);

	if (!rule || (t->mark.told | slot->told) & PINW_TOLD_UNJOINED || slot->state != PINW_SLOT_EXITED ||
	    slot->flags & (PINW_THREAD_DETACHED | PINW_THREAD_MAIN) ||
	    pinw_since(j->p->now_ns, slot->exit_ns) < rule->time_ns)
		return;
	t->mark.told |= PINW_TOLD_UNJOINED;
	if (!claim(j, index, t, PINW_TOLD_UNJOINED))
		return;
	struct pinw_finding f = {
	    .slot = slot, .mask = mask, .for_ns = pinw_since(j->p->now_ns, slot->exit_ns)};
	judge_leak(j, PINW_PLEAK_UNJOINED, &f);
}

static void judge_required(struct judgement *j, struct pinw_watch_thread *t, uint64_t index,
                           const struct pinw_slot *slot, const uint64_t *mask)
{
	struct pinw_watch *w = j->w;
	uint64_t age = pinw_since(j->p->now_ns, slot->start_ns);
	struct facts facts;
	bool known = false;

	if (slot->state != PINW_SLOT_RUNNING || !slot->tid)
		return;
	for (size_t i = 0; i < w->require_count && !j->p->crashed; i++) {
		const struct pinw_rule *rule = w->requires[i].rule;
		uint64_t bit = PINW_TOLD_REQUIRE(w->requires[i].nth);
		struct pinw_verdict verdict = {0};
		struct pinw_finding f = {.leak = -1, .slot = slot, .mask = mask, .for_ns = age};

		if (age < rule->within_ns || (t->mark.told | slot->told) & bit)
			continue;
		if (!known)
			gather_facts(j, slot, mask, &facts);
		known = true;
		pinw_policy_judge_require(w->opt.policy, &j->p->state, rule->id, &facts.f, &verdict);
		if (verdict.action == PINW_ACTION_NONE)
			continue;
		t->mark.told |= bit;
		if (claim(j, index, t, bit))
			conclude(j, &verdict, &f);
	}
}

static bool judge_slot(void *arg, uint64_t index, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct judgement *j = arg;
	struct pinw_watch_thread *t = remembered(j, index, slot->thread);

	if (!t)
		return true;
	judge_idle(j, t, index, slot, mask);
	if (!j->p->crashed)
		judge_unjoined(j, t, index, slot, mask);
	if (!j->p->crashed)
		judge_required(j, t, index, slot, mask);
	return !j->p->crashed;
}

static void judge_growth(struct judgement *j)
{
	const struct pinw_rule *rule = leak_rule(j->w, PINW_PLEAK_GROWTH);
	struct pinw_finding f = {0};

	if (!rule ||
	    !pinw_rise_look(&j->p->rise, j->p->now_ns, j->p->live.counters.threads_live, &f.first, &f.last))
		return;
	f.for_ns = pinw_since(j->p->now_ns, j->p->rise.start_ns);
	judge_leak(j, PINW_PLEAK_GROWTH, &f);
}

void pinw_watch_judge(struct pinw_watch *w, struct pinw_watched *p)
{
	struct judgement j = {.w = w, .p = p};

	judge_growth(&j);
	if (w->needs_slots && !p->crashed)
		pinw_live_walk(&p->trace, judge_slot, &j);
}
