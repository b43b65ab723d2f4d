/* SPDX-License-Identifier: MIT */
#include "reports/samples.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct collect {
	const struct pinw_process *p;
	struct pinw_table *rows;
	bool out_of_memory;
};

#define KEY_BYTES offsetof(struct pinw_sample, values)

/* The row of a sample's key; `key` has no byte that was not set. */
static struct pinw_sample *row_of(struct collect *c, const struct pinw_sample *key)
{
	for (uint64_t at = pinw_table_hash(key, KEY_BYTES);; at++) {
		bool new;
		struct pinw_sample *row = pinw_table_get(c->rows, at, &new);
		if (!row) {
			c->out_of_memory = true;
			return NULL;
		}
		if (new)
			memcpy(row, key, KEY_BYTES);
		if (memcmp(row, key, KEY_BYTES) == 0)
			return row;
	}
}

static void add(struct collect *c, const struct pinw_sample *key, enum pinw_weight weight, uint64_t value)
{
	struct pinw_sample *row = value ? row_of(c, key) : NULL;

	if (row)
		row->values[weight] += value;
}

static void set_key(struct pinw_sample *key, const struct pinw_thread *t, uint32_t site, uint8_t origin)
{
	memset(key, 0, sizeof(*key));
	key->site = site;
	key->origin = origin;
	if (t)
		memcpy(key->thread_name, t->name, strnlen(t->name, sizeof(t->name)));
}

static void add_thread(struct collect *c, const struct pinw_thread *t)
{
	bool main_thread = t->flags & PINW_THREAD_MAIN, adopted = t->flags & PINW_THREAD_ADOPTED;
	bool created = !main_thread && !adopted && (t->created_ns != PINW_TIME_UNKNOWN || t->create_site);
	struct pinw_sample key;

	set_key(&key, t, t->create_site, 0);
	if (!t->create_site)
		key.thread_kind = main_thread ? PINW_THREAD_KIND_MAIN
		                  : adopted   ? PINW_THREAD_KIND_ADOPTED
		                              : PINW_THREAD_KIND_CREATED;
	add(c, &key, PINW_WEIGHT_CREATIONS, created);
	add(c, &key, PINW_WEIGHT_THREADS, !t->exited);
}

static void add_span(struct collect *c, const struct pinw_span *s)
{
	struct pinw_sample key;

	set_key(&key, pinw_process_thread(c->p, s->thread), s->site, s->origin);
	key.mask = s->mask;
	add(c, &key, PINW_WEIGHT_PINS, 1);
	add(c, &key, PINW_WEIGHT_HOLD, pinw_span_held_ns(s));
}

/* Growth is in the live threads: which of them are too many nobody can say. */
static void add_leak(void *arg, const struct pinw_leaked *leaked)
{
	struct collect *c = arg;
	struct pinw_sample key;

	if (leaked->kind == PINW_LEAK_GROWTH)
		return;
	set_key(&key, leaked->thread, leaked->site, leaked->origin);
	key.mask = leaked->span ? leaked->span->mask : 0;
	key.leak = (uint8_t)(1 + leaked->kind);
	add(c, &key, PINW_WEIGHT_LEAKS, 1);
}

static int by_key(const void *x, const void *y)
{
	const struct pinw_sample *a = *(const struct pinw_sample *const *)x,
	                         *b = *(const struct pinw_sample *const *)y;

	if (a->site != b->site)
		return a->site < b->site ? -1 : 1;
	return memcmp(a, b, KEY_BYTES);
}

static int sort(struct pinw_samples *s)
{
	s->sorted = calloc(s->rows.count + 1, sizeof(void *));
	if (!s->sorted)
		return -ENOMEM;
	for (size_t i = 0; i < s->rows.count; i++)
		s->sorted[i] = pinw_table_at(&s->rows, i);
	s->count = s->rows.count;
	qsort(s->sorted, s->count, sizeof(void *), by_key);
	return 0;
}

int pinw_samples_collect(const struct pinw_process *p, struct pinw_samples *ret_samples)
{
	struct collect c = {.p = p, .rows = &ret_samples->rows};

	*ret_samples = (struct pinw_samples){0};
	pinw_table_init(c.rows, sizeof(struct pinw_sample));
	for (size_t i = 0; i < p->threads.count; i++)
		add_thread(&c, pinw_table_at(&p->threads, i));
	for (size_t i = 0; i < p->history->span_count; i++)
		add_span(&c, &p->history->spans[i]);
	int error = pinw_export_leaks(p, add_leak, &c);
	return c.out_of_memory ? -ENOMEM : error < 0 ? error : sort(ret_samples);
}

void pinw_samples_done(struct pinw_samples *s)
{
	free(s->sorted);
	pinw_table_done(&s->rows);
}

const char *pinw_sample_stackless(const struct pinw_sample *sample)
{
	if (sample->site)
		return "(stack not recorded)";
	if (sample->origin)
		return "(no call seen)";
	switch (sample->thread_kind) {
	case PINW_THREAD_KIND_MAIN:
		return "(main thread)";
	case PINW_THREAD_KIND_ADOPTED:
		return "(adopted thread)";
	default:
		return "(creation not seen)";
	}
}

bool pinw_sample_same_stack(const struct pinw_sample *a, const struct pinw_sample *b)
{
	return a->site == b->site && pinw_sample_stackless(a) == pinw_sample_stackless(b);
}
