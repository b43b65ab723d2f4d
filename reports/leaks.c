/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reports/model_private.h"

/* What makes two leaks the same one. */
struct leak_key {
	uint32_t kind;
	uint32_t origin;
	uint32_t pin_site;
	uint32_t create_site;
};

static struct pinw_leak *find_or_add(struct pinw_table *groups, const struct leak_key *key)
{
	for (uint64_t at = pinw_table_hash(key, sizeof(*key));; at++) {
		bool new;
		struct pinw_leak *l = pinw_table_get(groups, at, &new);
		if (!l)
			return NULL;
		if (new) {
			l->kind = (uint8_t)key->kind;
			l->origin = (uint8_t)key->origin;
			l->pin_site = key->pin_site;
			l->create_site = key->create_site;
			l->held_min_ns = UINT64_MAX;
		}
		if (l->kind == key->kind && l->origin == key->origin && l->pin_site == key->pin_site &&
		    l->create_site == key->create_site)
			return l;
	}
}

/* `pin` may be NULL: the kind has none, or it was released since. */
static int add_leak(struct pinw_process *p, struct pinw_table *groups, struct leak_key key,
                    const struct pinw_thread *t, const struct pinw_pin *pin)
{
	struct pinw_leak *l = find_or_add(groups, &key);

	if (!l)
		return -ENOMEM;
	if (l->count < PINW_LEAK_EXAMPLES)
		l->threads[l->count] = t->id;
	l->count++;
	p->leaks_of[key.kind]++;
	if (!pin)
		return 0;
	if (pin->held_ns < l->held_min_ns)
		l->held_min_ns = pin->held_ns;
	if (pin->held_ns > l->held_max_ns)
		l->held_max_ns = pin->held_ns;
	if (pin->depth > l->depth_max)
		l->depth_max = pin->depth;
	return 0;
}

/* Replaced by exec, its pins live on in the next image; running, they may still be released. */
static bool ended_for_good(const struct pinw_process *p)
{
	return p->how == PINW_HOW_EXIT || p->how == PINW_HOW_SIGNAL || p->how == PINW_HOW_VIOLENT;
}

static int thread_leaks(struct pinw_process *p, struct pinw_table *groups, const struct pinw_thread *t)
{
	bool pinned = t->pin.depth != 0;
	bool inherited_pin = pinned && t->pin.origin == PINW_ORIGIN_INHERITED;
	struct leak_key key = {.create_site = t->create_site};
	int error = 0;

	if (t->inherited) {
		key.kind = PINW_LEAK_INHERITED;
		key.origin = PINW_ORIGIN_INHERITED;
		key.pin_site = t->inherited_site;
		error = add_leak(p, groups, key, t, inherited_pin ? &t->pin : NULL);
	}
	if (error == 0 && pinned && !inherited_pin && (t->exited || ended_for_good(p))) {
		key.kind = t->exited ? PINW_LEAK_EXIT_WHILE_PINNED : PINW_LEAK_PINNED_AT_END;
		key.origin = t->pin.origin;
		key.pin_site = t->pin.site;
		error = add_leak(p, groups, key, t, &t->pin);
	}
	if (error == 0 && t->exited && t->slot && !t->joined &&
	    !(t->flags & (PINW_THREAD_DETACHED | PINW_THREAD_MAIN))) {
		key = (struct leak_key){.kind = PINW_LEAK_UNJOINED, .create_site = t->create_site};
		error = add_leak(p, groups, key, t, NULL);
	}
	if (error == 0 && p->growth.found && !t->exited && t->created_ns != PINW_TIME_UNKNOWN &&
	    t->created_ns >= p->growth.since_ns) {
		key = (struct leak_key){.kind = PINW_LEAK_GROWTH, .create_site = t->create_site};
		error = add_leak(p, groups, key, t, NULL);
	}
	return error;
}

static void at_least(uint64_t *value, uint64_t least)
{
	if (*value < least)
		*value = least;
}

/* Counters are exact where details are not: events were dropped, or slots found no room in the file. */
static void take_counters(struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;

	at_least(&p->leaks_of[PINW_LEAK_EXIT_WHILE_PINNED], n->leaks_exit_while_pinned);
	at_least(&p->leaks_of[PINW_LEAK_INHERITED], n->leaks_inherited);
	if (ended_for_good(p))
		at_least(&p->leaks_of[PINW_LEAK_PINNED_AT_END], pinw_since(n->pins_open, p->inherited_open));
	p->leaks_of[PINW_LEAK_GROWTH] = p->growth.found ? p->growth.last - p->growth.first : 0;
}

static int by_kind_and_count(const void *x, const void *y)
{
	const struct pinw_leak *a = x, *b = y;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->threads[0] < b->threads[0] ? -1 : a->threads[0] > b->threads[0];
}

static int keep_sorted(struct pinw_process *p, const struct pinw_table *groups)
{
	if (groups->count == 0)
		return 0;
	p->leaks = calloc(groups->count, sizeof(*p->leaks));
	if (!p->leaks)
		return -ENOMEM;
	for (size_t i = 0; i < groups->count; i++)
		p->leaks[i] = *(const struct pinw_leak *)pinw_table_at(groups, i);
	p->leak_count = groups->count;
	qsort(p->leaks, p->leak_count, sizeof(*p->leaks), by_kind_and_count);
	return 0;
}

int pinw_leaks_derive(struct pinw_process *p)
{
	struct pinw_table groups;
	int error = 0;

	pinw_table_init(&groups, sizeof(struct pinw_leak));
	for (size_t i = 0; error == 0 && i < p->threads.count; i++)
		error = thread_leaks(p, &groups, pinw_table_at(&p->threads, i));
	take_counters(p);
	if (error == 0)
		error = keep_sorted(p, &groups);
	pinw_table_done(&groups);
	return error;
}

const char *pinw_leak_kind_name(enum pinw_leak_kind kind)
{
	static const char *const names[PINW_LEAK_KINDS] = {
	    [PINW_LEAK_EXIT_WHILE_PINNED] = "exit-while-pinned",
	    [PINW_LEAK_PINNED_AT_END] = "pinned-at-end",
	    [PINW_LEAK_UNJOINED] = "unjoined",
	    [PINW_LEAK_INHERITED] = "inherited",
	    [PINW_LEAK_GROWTH] = "growth",
	};
	return kind < PINW_LEAK_KINDS ? names[kind] : "unknown";
}
