/* SPDX-License-Identifier: MIT */
#include "reports/rehearse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reports/ranges.h"
#include "reports/rehearse_private.h"

/* ---- events: threads ------------------------------------------------------------------------- */

/* The pin a new thread gets from its attribute or its creator, judged when it is created. */
static void judge_birth(struct stage *s, const struct pinw_past_event *event, const struct actor *creator,
                        struct actor *a)
{
	const struct pinw_rec_create *rec = &event->create;
	const struct pinw_past_event *start = pinw_past_start(&s->past, a->id);
	bool born = (rec->flags & PINW_THREAD_ATTR_AFFINITY) && event->has_masks;
	const uint64_t *mask = born                         ? pinw_past_mask(&s->past, s->p, event, 0)
	                       : creator && creator->pinned ? creator->mask
	                                                    : NULL;

	if (!mask || !pinw_stage_is_pin(s, mask))
		return;
	uint32_t pin_site = start && start->start.origin ? start->e.site : creator ? creator->pin_site : 0;
	struct pinning how = {.calls = born ? PINW_CALLS_ATTR : PINW_CALLS_INHERIT,
	                      .site = rec->e.site,
	                      .second_site = pin_site != rec->e.site ? pin_site : 0,
	                      .create_site = rec->e.site,
	                      .name = a->name};
	struct scene scene = {.attempt = born ? PINW_ATTEMPT_BORN : PINW_ATTEMPT_INHERIT,
	                      .site = rec->e.site,
	                      .target = a,
	                      .now_ns = event->time_ns};
	pinw_stage_settle(s, a, mask, pin_site, born ? PINW_ORIGIN_BORN : PINW_ORIGIN_INHERITED);
	a->births_pin = true;
	if (!s->policy->judges_births || !pinw_policy_counts(s->policy, a->mask)) {
		pinw_stage_rehold(s, a);
		return;
	}
	struct pinw_verdict v = pinw_stage_judge_pin(s, a, &how, a->mask, &scene);
	if (born || v.action == PINW_ACTION_RESET)
		return; /* one rule speaks about the mask that is passed on */
	struct pinw_thread_facts facts = pinw_stage_facts(s, a, event->time_ns);
	pinw_stage_judge_leak(s, &facts, PINW_PLEAK_INHERITED, &scene);
}

static void judge_creation(struct stage *s, const struct scene *scene)
{
	struct pinw_verdict v = {0};

	pinw_policy_judge_threads(s->policy, ++s->live, &v);
	pinw_stage_book(s, &v, scene);
	if (v.action == PINW_ACTION_NONE)
		pinw_stage_judge_warning(s, PINW_CAP_MAX_THREADS, s->live, scene);
	pinw_policy_judge_rate(s->policy, &s->state, scene->now_ns, &v);
	pinw_stage_book(s, &v, scene);
}

static void on_create(struct stage *s, const struct pinw_past_event *event)
{
	const struct pinw_rec_create *rec = &event->create;
	struct actor *creator = pinw_stage_actor(s, rec->e.thread);
	struct actor *a = rec->error ? NULL : pinw_stage_actor(s, rec->new_thread);
	struct scene scene = {
	    .attempt = PINW_ATTEMPT_CREATE, .site = rec->e.site, .target = a, .now_ns = event->time_ns};
	struct pinw_verdict v = {0};

	s->r->creations++;
	if (!a) {
		pinw_policy_judge_rate(s->policy, &s->state, event->time_ns,
		                       &v); /* it counts, but did not happen */
		return;
	}
	if (creator)
		memcpy(a->name, creator->name, PINW_NAME_BYTES); /* the kernel's way */
	a->create_site = rec->e.site;
	a->released = rec->flags & PINW_THREAD_BORN_DETACHED;
	a->exempt = rec->flags & PINW_THREAD_TEMPLATE;
	if (!a->exempt)
		judge_creation(s, &scene);
	judge_birth(s, event, creator, a);
}

/* A fork child's main thread starts with its creator's pin: the one birth that no creation in this trace tells of. */
static void judge_fork(struct stage *s, struct actor *a, const struct pinw_past_event *event)
{
	struct scene scene = {
	    .attempt = PINW_ATTEMPT_INHERIT, .site = event->e.site, .target = a, .now_ns = event->time_ns};
	struct pinw_thread_facts facts = pinw_stage_facts(s, a, event->time_ns);

	pinw_stage_rehold(s, a);
	if (facts.mask)
		pinw_stage_judge_leak(s, &facts, PINW_PLEAK_INHERITED, &scene);
}

static void on_start(struct stage *s, const struct pinw_past_event *event)
{
	const struct pinw_rec_start *rec = &event->start;
	struct actor *a = pinw_stage_actor(s, rec->e.thread);

	if (!a)
		return;
	a->started = true;
	a->started_ns = event->time_ns;
	bool unjudged = rec->origin == PINW_ORIGIN_INHERITED && !a->births_pin;
	if (rec->origin || !a->births_pin)
		pinw_stage_settle(s, a, pinw_past_mask(&s->past, s->p, event, 0), rec->e.site, rec->origin);
	else
		a->pinned = false; /* what was attempted did not come about */
	if (unjudged && a->pinned)
		judge_fork(s, a, event);
	else if (!a->births_pin || !a->pinned)
		pinw_stage_rehold(s, a);
}

static void on_adopt(struct stage *s, const struct pinw_past_event *event)
{
	struct actor *a = pinw_stage_actor(s, event->e.thread);

	if (!a)
		return;
	s->live++;
	a->started = true;
	a->started_ns = event->time_ns;
	a->released = true; /* nobody can be asked to join it */
	memcpy(a->name, event->adopt.name, PINW_NAME_BYTES);
	a->name[PINW_NAME_BYTES - 1] = '\0';
	pinw_stage_settle(s, a, pinw_past_mask(&s->past, s->p, event, 0), 0, PINW_ORIGIN_EXTERNAL);
	pinw_stage_rehold(s, a);
}

static void on_exit_record(struct stage *s, const struct pinw_past_event *event)
{
	const struct pinw_rec_exit *rec = &event->exit;
	struct actor *a = pinw_stage_actor(s, rec->e.thread);

	if (!a || a->ended)
		return;
	s->r->ends++;
	a->ended = true;
	a->ended_ns = event->time_ns;
	a->released = a->released || a->id == 1;
	struct pinw_thread_facts facts = pinw_stage_facts(s, a, event->time_ns);
	if (rec->origin && !facts.pin)
		facts.pin = pinw_stage_stack(s, rec->e.site);
	struct scene scene = {.attempt = PINW_ATTEMPT_EXIT,
	                      .site = rec->origin ? rec->e.site : a->pin_site,
	                      .target = a,
	                      .now_ns = event->time_ns};
	struct pinw_verdict v = {0};
	pinw_policy_judge_churn(s->policy, &s->state, &facts, &v);
	pinw_stage_book(s, &v, &scene);
	pinw_stage_judge_requires(s, a, PINW_ATTEMPT_EXIT, event->time_ns);
	if (rec->origin && rec->origin != PINW_ORIGIN_INHERITED)
		pinw_stage_judge_leak(s, &facts, PINW_PLEAK_EXIT_WHILE_PINNED, &scene);
	a->pinned = false;
	pinw_stage_rehold(s, a);
	s->live -= s->live > 0 && !a->exempt;
}

static void on_release(struct stage *s, const struct pinw_past_event *event)
{
	struct actor *a = pinw_stage_actor(s, event->join.target);

	if (a)
		a->released = true;
}

static void on_name(struct stage *s, const struct pinw_past_event *event)
{
	struct actor *a = pinw_stage_actor(s, event->name.target);

	if (!a)
		return;
	memcpy(a->name, event->name.name, PINW_NAME_BYTES);
	a->name[PINW_NAME_BYTES - 1] = '\0';
}

/* ---- events: masks ----------------------------------------------------------------------------- */

static uint32_t calls_of(const struct pinw_rec_affinity *rec)
{
	uint32_t calls = rec->call == PINW_CALL_PTHREAD_SETAFFINITY ? PINW_CALLS_PTHREAD_SETAFFINITY
	                 : rec->call == PINW_CALL_RAW               ? PINW_CALLS_SETAFFINITY | PINW_CALLS_RAW
	                                                            : PINW_CALLS_SETAFFINITY;

	return rec->relation == PINW_REL_CROSS ? calls | PINW_CALLS_CROSS : calls;
}

static void on_affinity(struct stage *s, const struct pinw_past_event *event)
{
	const struct pinw_rec_affinity *rec = &event->affinity;

	if (rec->error || rec->relation == PINW_REL_OTHER_PROCESS || !event->has_masks)
		return;
	struct actor *a = pinw_stage_actor(s, rec->target);
	const uint64_t *mask = pinw_past_mask(&s->past, s->p, event, 1);
	struct pinning how = {.calls = calls_of(rec),
	                      .site = rec->e.site,
	                      .create_site = a ? a->create_site : 0,
	                      .name = a ? a->name : ""};
	struct scene scene = {
	    .attempt = PINW_ATTEMPT_PIN, .site = rec->e.site, .target = a, .now_ns = event->time_ns};
	bool judged = pinw_stage_is_pin(s, mask) && pinw_policy_counts(s->policy, pinw_stage_within(s, mask));
	if (judged)
		pinw_stage_judge_pin(s, a, &how, pinw_stage_within(s, mask), &scene);
	if (!a)
		return;
	pinw_stage_settle(s, a, mask, rec->e.site,
	                  rec->relation == PINW_REL_SELF ? PINW_ORIGIN_SELF : PINW_ORIGIN_CROSS);
	if (!judged)
		pinw_stage_rehold(s, a);
	if (judged)
		pinw_stage_judge_requires(s, a, PINW_ATTEMPT_PIN, event->time_ns);
}

static void on_external(struct stage *s, const struct pinw_past_event *event)
{
	struct actor *a = pinw_stage_actor(s, event->e.thread);

	if (!a || !event->has_masks)
		return;
	pinw_stage_settle(s, a, pinw_past_mask(&s->past, s->p, event, 1), 0, PINW_ORIGIN_EXTERNAL);
	pinw_stage_rehold(s, a);
}

/* ---- moments and the end -------------------------------------------------------------------------- */

static void judge_unjoined(struct stage *s, const struct actor *a, uint64_t now_ns)
{
	struct pinw_thread_facts facts = pinw_stage_facts(s, a, now_ns);
	struct scene scene = {
	    .attempt = PINW_ATTEMPT_RUN, .site = a->create_site, .target = a, .now_ns = now_ns};

	pinw_stage_judge_leak(s, &facts, PINW_PLEAK_UNJOINED, &scene);
}

static void on_grace(struct stage *s, const struct pinw_past_event *event)
{
	const struct actor *a = pinw_stage_actor(s, event->e.thread);

	if (a && a->ended && !a->released)
		judge_unjoined(s, a, event->time_ns);
}

static void on_age(struct stage *s, const struct pinw_past_event *event)
{
	struct actor *a = pinw_stage_actor(s, event->e.thread);

	if (a && !a->ended)
		pinw_stage_judge_requires(s, a, PINW_ATTEMPT_RUN, event->time_ns);
}

static void on_record(struct stage *s, const struct pinw_past_event *event)
{
	switch (event->type) {
	case PINW_REC_THREAD_CREATE:
		on_create(s, event);
		break;
	case PINW_REC_THREAD_START:
		on_start(s, event);
		break;
	case PINW_REC_THREAD_EXIT:
		on_exit_record(s, event);
		break;
	case PINW_REC_THREAD_JOIN:
	case PINW_REC_THREAD_DETACH:
		on_release(s, event);
		break;
	case PINW_REC_THREAD_NAME:
		on_name(s, event);
		break;
	case PINW_REC_THREAD_ADOPT:
		on_adopt(s, event);
		break;
	case PINW_REC_AFFINITY:
		on_affinity(s, event);
		break;
	case PINW_REC_PIN_EXTERNAL:
		on_external(s, event);
		break;
	case PINW_REC_GOLOCK:
		pinw_stage_golock(s, event);
		break;
	default:
		break;
	}
}

/* Does the report count it among those that grew? */
static bool in_growth(const struct pinw_process *p, const struct pinw_thread *t)
{
	return p->growth.found && t && !t->exited && t->created_ns != PINW_TIME_UNKNOWN &&
	       t->created_ns >= p->growth.since_ns;
}

static void end_thread(struct stage *s, struct actor *a, bool for_good)
{
	uint64_t now_ns = s->p->duration_ns;
	struct pinw_thread_facts facts = pinw_stage_facts(s, a, now_ns);
	struct scene scene = {
	    .attempt = PINW_ATTEMPT_END, .site = a->pin_site, .target = a, .now_ns = now_ns};

	if (for_good && a->pinned && a->origin != PINW_ORIGIN_INHERITED &&
	    !pinw_policy_is_declared(s->policy, &facts))
		pinw_stage_judge_leak(s, &facts, PINW_PLEAK_PINNED_AT_END, &scene);
	if (in_growth(s->p, pinw_process_thread(s->p, a->id))) {
		scene.site = a->create_site;
		pinw_stage_judge_leak(s, &facts, PINW_PLEAK_GROWTH, &scene);
	}
	if (!for_good)
		return;
	pinw_stage_golock_end(s, a);
	a->ended = true; /* with its process: what was never asked for in time will not come any more */
	pinw_stage_judge_requires(s, a, PINW_ATTEMPT_END, now_ns);
}

/* Replaced by exec, its pins live on in the next image; running, they may still be released. Without a grace, threads may
 * be joined until the very end. */
static void on_end(struct stage *s)
{
	bool for_good = s->p->how != PINW_HOW_EXEC && s->p->how != PINW_HOW_RUNNING;

	for (size_t i = 0; i < s->actors.count; i++) {
		struct actor *a = pinw_table_at(&s->actors, i);
		if (a->id && a->started && !a->ended)
			end_thread(s, a, for_good);
		else if (a->id && a->ended && !a->released && for_good && !s->grace_ns)
			judge_unjoined(s, a, s->p->duration_ns);
	}
}

/* The name the process started with, unless it is known to have kept its present one. */
static void name_main(struct stage *s, struct actor *main_thread)
{
	const struct pinw_thread *t = pinw_process_thread(s->p, 1);
	const struct pinw_trace_header *h = &s->p->header;
	const char *slash = memrchr(h->exe, '/', h->exe_len);
	const char *base = slash ? slash + 1 : h->exe;
	size_t len = (size_t)(h->exe + h->exe_len - base);

	if (t && !s->past.main_renamed)
		memcpy(main_thread->name, t->name, PINW_NAME_BYTES);
	else
		memcpy(main_thread->name, base, len < PINW_NAME_BYTES ? len : PINW_NAME_BYTES - 1);
	main_thread->name[PINW_NAME_BYTES - 1] = '\0';
}

/* ---- the whole -------------------------------------------------------------------------------------- */

static int add_age(struct stage *s, uint64_t age_ns)
{
	for (size_t i = 0; i < s->age_count; i++)
		if (s->ages_ns[i] == age_ns)
			return 0;
	if (pinw_grow((void **)&s->ages_ns, s->age_count, &s->age_room, sizeof(*s->ages_ns)) < 0)
		return -ENOMEM;
	s->ages_ns[s->age_count++] = age_ns;
	return 0;
}

static int list_requires(struct stage *s)
{
	for (uint32_t i = 0; i < s->policy->rule_count; i++) {
		const struct pinw_rule *rule = &s->policy->rules[i];
		if (rule->section != PINW_SECTION_REQUIRE)
			continue;
		if (pinw_grow((void **)&s->requires, s->require_count, &s->require_room,
		              sizeof(*s->requires)) < 0)
			return -ENOMEM;
		s->requires[s->require_count++] = rule->id;
		if (rule->within_ns && add_age(s, rule->within_ns) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int set_stage(struct stage *s, struct pinw_stacks *stacks)
{
	uint16_t unjoined = s->policy->leaks[PINW_PLEAK_UNJOINED];

	s->names = stacks;
	pinw_table_init(&s->actors, sizeof(struct actor));
	pinw_table_init(&s->pairs, sizeof(uint8_t));
	s->state_memory = calloc(1, pinw_policy_state_bytes(s->policy) + 1);
	s->scratch = calloc(s->words + 1u, sizeof(*s->scratch));
	if (!s->state_memory || !s->scratch || list_requires(s) < 0)
		return -ENOMEM;
	pinw_policy_state_init(&s->state, s->policy, s->state_memory);
	int error = pinw_rulestacks_init(&s->stacks, s->policy, s->p, stacks);
	s->grace_ns = unjoined ? s->policy->rules[unjoined - 1].time_ns : 0;
	struct pinw_past_moments moments = {.ages_ns = s->ages_ns,
	                                    .age_count = s->age_count,
	                                    .grace_ns = s->grace_ns ? s->grace_ns : UINT64_MAX};
	return error < 0 ? error : pinw_past_read(&s->past, s->p, &moments);
}

static void play(struct stage *s)
{
	struct actor *main_thread = pinw_stage_actor(s, 1);

	if (!main_thread)
		return;
	name_main(s, main_thread);
	main_thread->started = main_thread->released = true;
	s->live = 1;
	for (size_t i = 0; i < s->past.count && !s->out_of_memory; i++) {
		const struct pinw_past_event *event = &s->past.events[i];
		if (event->moment == PINW_MOMENT_AGE)
			on_age(s, event);
		else if (event->moment == PINW_MOMENT_GRACE)
			on_grace(s, event);
		else
			on_record(s, event);
	}
	on_end(s);
}

static void add_up(struct stage *s)
{
	const struct pinw_counters *n = &s->p->live.counters;

	for (unsigned i = 0; i < s->r->rule_count; i++)
		s->r->tally[i].matched += s->state.rules[i].matched;
	s->r->processes++;
	s->r->denied += n->affinity_denied + n->threads_denied + n->golocks_denied + n->pins_reset;
	s->r->unseen_golocks += pinw_process_misses_golocks(s->p);
	s->r->dropped += n->events_dropped;
}

static void strike_stage(struct stage *s)
{
	for (size_t i = 0; i < s->actors.count; i++)
		free(((struct actor *)pinw_table_at(&s->actors, i))->mask);
	pinw_table_done(&s->actors);
	pinw_table_done(&s->pairs);
	pinw_rulestacks_done(&s->stacks);
	pinw_past_done(&s->past);
	free(s->state_memory);
	free(s->scratch);
	free(s->requires);
	free(s->ages_ns);
}

void pinw_rehearsal_host(const struct pinw_process *p, struct pinw_policy_host *ret_host)
{
	time_t start = (time_t)(p->header.start_real_ns / 1000000000u);
	struct tm day = {0};

	gmtime_r(&start, &day);
	*ret_host = (struct pinw_policy_host){
	    .baseline = p->header.baseline,
	    .mask_words = p->header.mask_words,
	    .today = (uint32_t)((day.tm_year + 1900) * 10000 + (day.tm_mon + 1) * 100 + day.tm_mday),
	};
}

int pinw_rehearse(struct pinw_rehearsal *r, const struct pinw_policy *policy, const struct pinw_process *p,
                  struct pinw_stacks *stacks)
{
	struct stage s = {.r = r, .policy = policy, .p = p, .words = p->header.mask_words};
	int error = set_stage(&s, stacks);

	if (error == 0) {
		play(&s);
		add_up(&s);
	}
	if (s.out_of_memory || s.stacks.out_of_memory)
		error = -ENOMEM;
	strike_stage(&s);
	return error;
}
