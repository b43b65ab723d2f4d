/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/rehearse_private.h"

/* ---- findings ----------------------------------------------------------------------------- */

int pinw_rehearsal_init(struct pinw_rehearsal *r, unsigned rule_count)
{
	*r = (struct pinw_rehearsal){.rule_count = rule_count};
	pinw_table_init(&r->findings, sizeof(struct pinw_finding));
	r->tally = calloc(rule_count + 1u, sizeof(*r->tally));
	return r->tally ? 0 : -ENOMEM;
}

void pinw_rehearsal_done(struct pinw_rehearsal *r)
{
	free(r->tally);
	pinw_table_done(&r->findings);
}

/* What makes two verdicts the same finding. */
struct finding_key {
	const struct pinw_process *process;
	uint32_t rule, attempt, leak, site;
};

static struct pinw_finding *find_finding(struct stage *s, const struct finding_key *key)
{
	for (uint64_t at = pinw_table_hash(key, sizeof(*key));; at++) {
		bool new;
		struct pinw_finding *f = pinw_table_get(&s->r->findings, at, &new);
		if (!f) {
			s->out_of_memory = true;
			return NULL;
		}
		if (new)
			*f = (struct pinw_finding){.process = key->process,
			                           .rule = (uint16_t)key->rule,
			                           .attempt = (uint8_t)key->attempt,
			                           .leak = (uint8_t)key->leak,
			                           .site = key->site,
			                           .first_ns = UINT64_MAX};
		if (f->process == key->process && f->rule == key->rule && f->attempt == key->attempt &&
		    f->leak == key->leak && f->site == key->site)
			return f;
	}
}

/* A thread of a Go program is judged at one site again and again: it is named once. */
static void name_thread(struct pinw_finding *f, const struct actor *thread)
{
	for (size_t i = 0; i < PINW_FINDING_THREADS; i++) {
		if (f->threads[i] == thread->id)
			return;
		if (f->threads[i] == 0) {
			f->threads[i] = thread->id;
			memcpy(f->names[i], thread->name, PINW_NAME_BYTES);
			return;
		}
	}
}

void pinw_stage_book(struct stage *s, const struct pinw_verdict *v, const struct scene *scene)
{
	if (v->action == PINW_ACTION_NONE || !v->rule)
		return;
	struct finding_key key = {.process = s->p,
	                          .rule = v->rule->id,
	                          .attempt = scene->attempt,
	                          .leak = scene->leak,
	                          .site = scene->site};
	struct pinw_finding *f = find_finding(s, &key);
	if (!f)
		return;
	if (scene->target)
		name_thread(f, scene->target);
	f->count++;
	if (scene->now_ns < f->first_ns)
		f->first_ns = scene->now_ns;
	if (v->value > f->value)
		f->value = v->value;
	f->limit = v->limit;
	s->r->tally[v->rule->id - 1].violations++;
}

/* ---- actors --------------------------------------------------------------------------------- */

/* NULL for thread 0, and when out of memory. */
struct actor *pinw_stage_actor(struct stage *s, uint32_t id)
{
	bool new = false;
	struct actor *a = id ? pinw_table_get(&s->actors, id, &new) : NULL;

	if (!a) {
		s->out_of_memory = s->out_of_memory || id;
		return NULL;
	}
	if (!new)
		return a;
	const struct pinw_thread *t = pinw_process_thread(s->p, id);
	const struct pinw_past_routine *routine = pinw_table_find(&s->past.routines, id);
	a->id = id;
	a->create_site = t ? t->create_site : 0;
	a->routine_module = routine ? routine->module : 0;
	a->routine_offset = routine ? routine->offset : 0;
	a->mask = calloc(s->words + (s->require_count + 63u) / 64u, sizeof(*a->mask));
	if (!a->mask) {
		s->out_of_memory = true;
		a->id = 0;
		return NULL;
	}
	a->required = a->mask + s->words;
	a->hold.pins = a->golock_hold.pins = &a->pins;
	return a;
}

const struct pinw_stack_match *pinw_stage_stack(struct stage *s, uint32_t site)
{
	return pinw_rulestacks_site(&s->stacks, site);
}

struct pinw_thread_facts pinw_stage_facts(struct stage *s, const struct actor *a, uint64_t now_ns)
{
	return (struct pinw_thread_facts){
	    .thread_name = a->name,
	    .creator = pinw_stage_stack(s, a->create_site),
	    .start = pinw_rulestacks_function(&s->stacks, a->routine_module, a->routine_offset),
	    .pin = a->has_pinned ? pinw_stage_stack(s, a->pin_site) : NULL,
	    .mask = a->pinned && pinw_policy_counts(s->policy, a->mask) ? a->mask : NULL,
	    .now_ns = now_ns,
	    .started_ns = a->started_ns,
	    .has_pinned = a->has_pinned,
	    .ended = a->ended,
	    .is_golocked = a->golocked,
	    .has_golocked = a->has_golocked,
	    .golock = a->has_golocked ? pinw_stage_stack(s, a->golock_site) : NULL,
	};
}

/* ---- pins ------------------------------------------------------------------------------------- */

bool pinw_stage_is_pin(const struct stage *s, const uint64_t *mask)
{
	return pinw_mask_is_pin(mask, s->p->header.baseline, s->words);
}

const uint64_t *pinw_stage_within(struct stage *s, const uint64_t *mask)
{
	for (unsigned i = 0; i < s->words; i++)
		s->scratch[i] = mask[i] & s->p->header.baseline[i];
	return s->scratch;
}

static uint64_t pinned_inside(const struct stage *s, const struct actor *but, const uint64_t *mask)
{
	uint64_t count = 0;

	for (size_t i = 0; i < s->actors.count; i++) {
		const struct actor *a = pinw_table_at(&s->actors, i);
		count += a != but && a->mask && a->hold.pinned && pinw_mask_subset(a->mask, mask, s->words);
	}
	return count;
}

void pinw_stage_judge_warning(struct stage *s, enum pinw_cap cap, uint64_t value, const struct scene *scene)
{
	struct pinw_verdict v = {0};

	pinw_policy_judge_warning(s->policy, cap, value, &v);
	pinw_stage_book(s, &v, scene);
}

/* Judges a pin that was made, and keeps it: the past went on with it. */
struct pinw_verdict pinw_stage_judge_pin(struct stage *s, struct actor *a, const struct pinning *how,
                                         const uint64_t *mask, const struct scene *scene)
{
	struct pinw_attempt attempt = {
	    .calls = how->calls,
	    .kind = PINW_KINDS_CPU,
	    .mask = mask,
	    .thread_name = how->name,
	    .stack = pinw_stage_stack(s, how->site),
	    .second = how->second_site ? pinw_stage_stack(s, how->second_site) : NULL,
	    .creator = pinw_stage_stack(s, how->create_site),
	    .now_ns = scene->now_ns,
	    .held = a ? a->hold : (struct pinw_hold){0},
	};
	struct pinw_verdict v = {0};
	struct pinw_hold hold = {0};

	s->r->pins++;
	if (pinw_policy_wants_inside(s->policy, mask))
		attempt.inside = pinned_inside(s, a, mask);
	pinw_policy_judge_pin(s->policy, &s->state, &attempt, &v, &hold);
	pinw_stage_book(s, &v, scene);
	if (!a) {
		pinw_policy_cancel(&s->state, &attempt.held, &hold);
		return v;
	}
	pinw_policy_keep(&s->state, &attempt.held, &hold);
	a->hold = hold;
	if (v.action != PINW_ACTION_NONE || scene->attempt != PINW_ATTEMPT_PIN)
		return v;
	if (hold.pinned && !attempt.held.pinned)
		pinw_stage_judge_warning(s, PINW_CAP_MAX_PINNED, s->state.pinned, scene);
	if (hold.cpu && hold.cpu != attempt.held.cpu)
		pinw_stage_judge_warning(s, PINW_CAP_MAX_PINNED_PER_CPU, s->state.cpu_pins[hold.cpu - 1],
		                         scene);
	return v;
}

void pinw_stage_settle(struct stage *s, struct actor *a, const uint64_t *mask, uint32_t site,
                       enum pinw_origin origin)
{
	bool pinned = pinw_stage_is_pin(s, mask);

	if (pinned && !a->pinned) {
		a->pin_site = site;
		a->origin = (uint8_t)origin;
		a->has_pinned = true;
	}
	a->pinned = pinned;
	pinw_mask_copy(a->mask, pinw_stage_within(s, mask), s->words);
}

/* Nobody judged it: only the counters follow. */
void pinw_stage_rehold(struct stage *s, struct actor *a)
{
	bool counts = a->pinned && pinw_policy_counts(s->policy, a->mask);

	a->hold = pinw_policy_rehold(s->policy, &s->state, &a->hold, counts ? a->mask : NULL);
}

/* ---- rules about a thread ------------------------------------------------------------------- */

void pinw_stage_judge_requires(struct stage *s, struct actor *a, enum pinw_attempted attempt, uint64_t now_ns)
{
	if (!s->require_count || !a->started)
		return;
	struct pinw_thread_facts facts = pinw_stage_facts(s, a, now_ns);
	struct scene scene = {.attempt = attempt, .site = a->create_site, .target = a, .now_ns = now_ns};
	for (size_t i = 0; i < s->require_count; i++) {
		struct pinw_verdict v = {0};
		if (a->required[i / 64] >> i % 64 & 1)
			continue; /* once is enough */
		pinw_policy_judge_require(s->policy, &s->state, s->requires[i], &facts, &v);
		if (v.action == PINW_ACTION_NONE)
			continue;
		a->required[i / 64] |= UINT64_C(1) << i % 64;
		pinw_stage_book(s, &v, &scene);
	}
}

void pinw_stage_judge_leak(struct stage *s, const struct pinw_thread_facts *facts, enum pinw_policy_leak kind,
                           const struct scene *scene)
{
	struct pinw_verdict v = {0};
	const struct pinw_rule *suppressed = NULL;

	pinw_policy_judge_leak(s->policy, &s->state, kind, facts, &v, &suppressed);
	s->r->suppressed += suppressed != NULL;
	struct scene at = *scene;
	at.leak = 1 + kind;
	pinw_stage_book(s, &v, &at);
}
