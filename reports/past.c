/* SPDX-License-Identifier: MIT */
#include "reports/past.h"

#include <stdlib.h>
#include <string.h>

#include "reports/ranges.h"

/* A module as this very image had it mapped. */
struct mapped {
	uint64_t base, start, end;
};

/* A start routine as its slot has it. */
struct routine {
	uint32_t thread;
	uint64_t address;
};

struct gather {
	struct pinw_past *past;
	const struct pinw_process *p;
	const struct pinw_past_moments *moments;
	struct pinw_table mapped; /* struct mapped, by module id */
	struct pinw_table routines; /* struct routine, by thread */
	uint32_t order;
	bool out_of_memory;
};

/* ---- gathering ------------------------------------------------------------------------ */

static size_t record_bytes(uint8_t type)
{
	switch (type) {
	case PINW_REC_THREAD_CREATE:
		return sizeof(struct pinw_rec_create);
	case PINW_REC_THREAD_START:
		return sizeof(struct pinw_rec_start);
	case PINW_REC_THREAD_EXIT:
		return sizeof(struct pinw_rec_exit);
	case PINW_REC_THREAD_JOIN:
	case PINW_REC_THREAD_DETACH:
		return sizeof(struct pinw_rec_join);
	case PINW_REC_THREAD_NAME:
		return sizeof(struct pinw_rec_name);
	case PINW_REC_THREAD_ADOPT:
		return sizeof(struct pinw_rec_adopt);
	case PINW_REC_AFFINITY:
		return sizeof(struct pinw_rec_affinity);
	case PINW_REC_PIN_EXTERNAL:
		return sizeof(struct pinw_rec_external);
	case PINW_REC_GOLOCK:
		return sizeof(struct pinw_rec_golock);
	default:
		return 0; /* nothing a policy judges */
	}
}

static struct pinw_past_event *add_event(struct gather *g, uint64_t time_ns)
{
	struct pinw_past *past = g->past;

	if (pinw_grow((void **)&past->events, past->count, &past->room, sizeof(*past->events)) < 0) {
		g->out_of_memory = true;
		return NULL;
	}
	struct pinw_past_event *event = &past->events[past->count++];
	*event = (struct pinw_past_event){.time_ns = time_ns, .order = g->order++};
	return event;
}

static void keep_masks(struct gather *g, struct pinw_past_event *event, const struct pinw_read_record *rec)
{
	struct pinw_past *past = g->past;
	size_t words = (size_t)rec->mask_count * g->p->header.mask_words;

	event->masks = past->word_count;
	event->has_masks = words > 0;
	for (size_t i = 0; i < words; i++) {
		if (pinw_grow((void **)&past->words, past->word_count, &past->word_room,
		              sizeof(*past->words)) < 0) {
			g->out_of_memory = true;
			event->has_masks = false;
			return;
		}
		past->words[past->word_count++] = rec->masks[i];
	}
}

static void add_moment(struct gather *g, enum pinw_moment moment, uint64_t since_ns, uint64_t after_ns,
                       uint32_t thread)
{
	if (after_ns > UINT64_MAX - since_ns || since_ns + after_ns > g->p->duration_ns)
		return; /* nobody was there to see it */
	struct pinw_past_event *event = add_event(g, since_ns + after_ns);
	if (!event)
		return;
	event->moment = (uint8_t)moment;
	event->e.thread = thread;
}

static void add_moments(struct gather *g, const struct pinw_read_record *rec)
{
	const struct pinw_event *e = rec->event;

	if (rec->type == PINW_REC_THREAD_EXIT)
		add_moment(g, PINW_MOMENT_GRACE, e->time_ns, g->moments->grace_ns, e->thread);
	if (rec->type == PINW_REC_THREAD_START || rec->type == PINW_REC_THREAD_ADOPT)
		for (size_t i = 0; i < g->moments->age_count; i++)
			add_moment(g, PINW_MOMENT_AGE, e->time_ns, g->moments->ages_ns[i], e->thread);
}

static void on_event(struct gather *g, const struct pinw_read_record *rec)
{
	size_t bytes = record_bytes(rec->type);
	struct pinw_past_event *event = bytes ? add_event(g, rec->event->time_ns) : NULL;

	if (!event)
		return;
	event->type = rec->type;
	memcpy(&event->e, rec->payload, bytes);
	keep_masks(g, event, rec);
	if (rec->type == PINW_REC_THREAD_NAME && rec->name->target == 1)
		g->past->main_renamed = true;
	add_moments(g, rec);
}

static void on_module(struct gather *g, const struct pinw_rec_module *rec)
{
	struct mapped *m = pinw_table_get(&g->mapped, rec->id, NULL);

	if (m)
		*m = (struct mapped){.base = rec->base, .start = rec->start, .end = rec->end};
	else
		g->out_of_memory = true;
}

static void on_record(void *arg, const struct pinw_read_record *rec)
{
	struct gather *g = arg;

	if (rec->type < PINW_REC_MODULE)
		on_event(g, rec);
	else if (rec->type == PINW_REC_MODULE)
		on_module(g, rec->module);
}

static void on_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct gather *g = arg;

	(void)mask;
	if (!slot->start_routine || !slot->thread)
		return;
	struct routine *r = pinw_table_get(&g->routines, slot->thread, NULL);
	if (r)
		*r = (struct routine){.thread = slot->thread, .address = slot->start_routine};
	else
		g->out_of_memory = true;
}

/* ---- putting in order ------------------------------------------------------------------- */

/* At one moment: a thread is created before it does anything, and looked at after all else. */
static int rank(const struct pinw_past_event *e)
{
	if (e->moment != PINW_MOMENT_RECORD)
		return 2;
	return e->type == PINW_REC_THREAD_CREATE ? 0 : 1;
}

static int by_time(const void *x, const void *y)
{
	const struct pinw_past_event *a = x, *b = y;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	if (rank(a) != rank(b))
		return rank(a) - rank(b);
	return (a->order > b->order) - (a->order < b->order);
}

static int index_starts(struct pinw_past *past)
{
	for (size_t i = 0; i < past->count; i++) {
		const struct pinw_past_event *e = &past->events[i];
		if (e->moment != PINW_MOMENT_RECORD || e->type != PINW_REC_THREAD_START)
			continue;
		size_t *at = pinw_table_get(&past->starts, e->e.thread, NULL);
		if (!at)
			return -ENOMEM;
		*at = i + 1;
	}
	return 0;
}

/* Modules have no key in the table that tells their id: they are found by it, from 1 on. */
static int place_routines(struct gather *g)
{
	for (size_t i = 0; i < g->routines.count; i++) {
		const struct routine *r = pinw_table_at(&g->routines, i);
		for (size_t m = 0; m < g->p->modules.count; m++) {
			const struct pinw_module *module = pinw_table_at(&g->p->modules, m);
			const struct mapped *at = pinw_table_find(&g->mapped, module->id);
			if (!at || r->address < at->start || r->address >= at->end)
				continue;
			struct pinw_past_routine *row = pinw_table_get(&g->past->routines, r->thread, NULL);
			if (!row)
				return -ENOMEM;
			*row =
			    (struct pinw_past_routine){.module = module->id, .offset = r->address - at->base};
		}
	}
	return 0;
}

int pinw_past_read(struct pinw_past *past, const struct pinw_process *p,
                   const struct pinw_past_moments *moments)
{
	struct gather g = {.past = past, .p = p, .moments = moments};
	struct pinw_reader *reader;

	*past = (struct pinw_past){0};
	pinw_table_init(&past->starts, sizeof(size_t));
	pinw_table_init(&past->routines, sizeof(struct pinw_past_routine));
	int error = pinw_reader_open(p->path, &reader);
	if (error < 0)
		return error;
	pinw_table_init(&g.mapped, sizeof(struct mapped));
	pinw_table_init(&g.routines, sizeof(struct routine));
	error = pinw_reader_walk(reader, on_record, on_slot, &g);
	pinw_reader_free(reader);
	if (past->count)
		qsort(past->events, past->count, sizeof(*past->events), by_time);
	if (g.out_of_memory)
		error = -ENOMEM;
	if (error == 0)
		error = index_starts(past);
	if (error == 0)
		error = place_routines(&g);
	pinw_table_done(&g.mapped);
	pinw_table_done(&g.routines);
	return error;
}

void pinw_past_done(struct pinw_past *past)
{
	free(past->events);
	free(past->words);
	pinw_table_done(&past->starts);
	pinw_table_done(&past->routines);
	*past = (struct pinw_past){0};
}

const uint64_t *pinw_past_mask(const struct pinw_past *past, const struct pinw_process *p,
                               const struct pinw_past_event *event, unsigned at)
{
	return past->words + event->masks + (size_t)at * p->header.mask_words;
}

const struct pinw_past_event *pinw_past_start(const struct pinw_past *past, uint32_t thread)
{
	const size_t *at = pinw_table_find(&past->starts, thread);

	return at ? &past->events[*at - 1] : NULL;
}
