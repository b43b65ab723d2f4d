/* SPDX-License-Identifier: MIT */
#include "policy/match.h"
#include "reports/names.h"
#include "reports/rehearse_private.h"

/* Of a lock and an unlock: what is known of them, once. */
enum pairing { UNASKED, PAIRS, DIFFERS };

static void judge_lock(struct stage *s, struct actor *a, const struct pinw_past_event *event)
{
	struct pinw_attempt attempt = {
	    .calls = PINW_CALLS_GOLOCK,
	    .kind = PINW_KINDS_GO,
	    .thread_name = a->name,
	    .stack = pinw_stage_stack(s, event->e.site),
	    .creator = pinw_stage_stack(s, a->create_site),
	    .now_ns = event->time_ns,
	    .held = a->golock_hold,
	};
	struct scene scene = {
	    .attempt = PINW_ATTEMPT_LOCK, .site = event->e.site, .target = a, .now_ns = event->time_ns};
	struct pinw_verdict v = {0};
	struct pinw_hold hold = {0};

	pinw_policy_judge_pin(s->policy, &s->state, &attempt, &v, &hold);
	pinw_stage_book(s, &v, &scene);
	pinw_policy_keep(&s->state, &attempt.held, &hold);
	a->golock_hold = hold;
	if (v.action == PINW_ACTION_NONE && hold.pinned)
		pinw_stage_judge_warning(s, PINW_CAP_MAX_PINNED, s->state.pinned, &scene);
}

/* It holds nothing any more. */
static void give_back(struct stage *s, struct actor *a)
{
	const struct pinw_hold none = {.pins = &a->pins};

	pinw_policy_cancel(&s->state, &none, &a->golock_hold);
	a->golock_hold = none;
}

static void on_lock(struct stage *s, struct actor *a, const struct pinw_past_event *event)
{
	s->r->golocks++;
	if (a->golocked)
		give_back(s, a); /* the record of its end was dropped */
	judge_lock(s, a, event);
	a->golocked = a->has_golocked = true;
	a->golock_site = event->e.site;
	pinw_stage_judge_requires(s, a, PINW_ATTEMPT_LOCK, event->time_ns);
}

static void judge_leak(struct stage *s, struct actor *a, enum pinw_policy_leak kind, struct scene *scene)
{
	struct pinw_thread_facts facts = pinw_stage_facts(s, a, scene->now_ns);

	facts.leaked = PINW_KINDS_GO;
	scene->site = a->golock_site;
	scene->target = a;
	pinw_stage_judge_leak(s, &facts, kind, scene);
}

static bool is_pair(struct stage *s, uint32_t lock, uint32_t unlock)
{
	uint8_t *known = pinw_table_get(&s->pairs, (uint64_t)lock << 32 | unlock, NULL);

	if (!known) {
		s->out_of_memory = true;
		return true;
	}
	if (*known == UNASKED)
		*known = pinw_names_pair(s->names, s->p, lock, unlock) ? PAIRS : DIFFERS;
	return *known == PAIRS;
}

static void on_end(struct stage *s, struct actor *a, const struct pinw_past_event *event)
{
	const struct pinw_rec_golock *rec = &event->golock;
	struct scene scene = {.attempt = PINW_ATTEMPT_RUN, .now_ns = event->time_ns};

	a->golocked = a->has_golocked = true; /* also when the record of its beginning was dropped */
	a->golock_site = rec->lock_site;
	if (rec->kind == PINW_GOLOCK_UNLOCK && s->policy->leaks[PINW_PLEAK_UNBALANCED] && rec->lock_site &&
	    rec->e.site && !is_pair(s, rec->lock_site, rec->e.site))
		judge_leak(s, a, PINW_PLEAK_UNBALANCED, &scene);
	scene.attempt = PINW_ATTEMPT_EXIT;
	if (rec->kind == PINW_GOLOCK_DESTROYED)
		judge_leak(s, a, PINW_PLEAK_EXIT_WHILE_PINNED, &scene);
	give_back(s, a);
	a->golocked = false;
}

void pinw_stage_golock(struct stage *s, const struct pinw_past_event *event)
{
	struct actor *a = pinw_stage_actor(s, event->e.thread);

	if (!a)
		return;
	if (event->golock.kind == PINW_GOLOCK_LOCK)
		on_lock(s, a, event);
	else
		on_end(s, a, event);
}

void pinw_stage_golock_end(struct stage *s, struct actor *a)
{
	const struct pinw_thread *t = pinw_process_thread(s->p, a->id);
	struct scene scene = {.attempt = PINW_ATTEMPT_END, .now_ns = s->p->duration_ns};
	struct pinw_thread_facts facts = pinw_stage_facts(s, a, scene.now_ns);

	if (!a->golocked)
		return;
	facts.leaked = PINW_KINDS_GO;
	if (t && t->lock->depth > 1 && !t->lock->destroyed)
		judge_leak(s, a, PINW_PLEAK_UNBALANCED, &scene);
	if (!pinw_policy_is_declared(s->policy, &facts))
		judge_leak(s, a, PINW_PLEAK_PINNED_AT_END, &scene);
}
