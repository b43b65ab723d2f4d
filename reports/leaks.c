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
	uint32_t create_site; /* 0 when the pin's stack is the one that counts */
	uint32_t unlock_site;
	uint32_t reserved;
};

/* A group while leaks are added to it. */
struct leak_group {
	struct leak_key key;
	struct pinw_leak leak;
};

static struct pinw_leak *find_or_add(struct pinw_table *groups, const struct leak_key *key)
{
	for (uint64_t at = pinw_table_hash(key, sizeof(*key));; at++) {
		bool new;
		struct leak_group *g = pinw_table_get(groups, at, &new);
		if (!g)
			return NULL;
		if (new) {
			g->key = *key;
			g->leak.kind = (uint8_t)key->kind;
			g->leak.origin = (uint8_t)key->origin;
			g->leak.pin_site = key->pin_site;
			g->leak.unlock_site = key->unlock_site;
			g->leak.held_min_ns = UINT64_MAX;
		}
		if (memcmp(&g->key, key, sizeof(*key)) == 0)
			return &g->leak;
	}
}

static void count_creator(struct pinw_leak *l, uint32_t site)
{
	for (uint32_t i = 0; i < l->creator_count; i++)
		if (l->creators[i].site == site) {
			l->creators[i].count++;
			return;
		}
	if (l->creator_count < PINW_LEAK_CREATORS)
		l->creators[l->creator_count++] = (struct pinw_leak_creator){.site = site, .count = 1};
	else
		l->created_elsewhere++;
}

/* One more of a group, in thread `t`. */
static void count_leak(struct pinw_process *p, struct pinw_leak *l, const struct pinw_thread *t)
{
	if (l->count < PINW_LEAK_EXAMPLES)
		l->threads[l->count] = t->id;
	l->count++;
	p->leaks_of[l->kind]++;
}

static void book_hold(struct pinw_leak *l, uint64_t held_ns, uint32_t depth)
{
	l->held_min_ns = held_ns < l->held_min_ns ? held_ns : l->held_min_ns;
	l->held_max_ns = held_ns > l->held_max_ns ? held_ns : l->held_max_ns;
	l->depth_max = depth > l->depth_max ? depth : l->depth_max;
}

/* `pin` is the one that leaked, NULL when the kind has none; its hold counts only while it is this one that is open. */
static int add_leak(struct pinw_process *p, struct pinw_table *groups, enum pinw_leak_kind kind,
                    const struct pinw_pin *pin, const struct pinw_thread *t)
{
	struct leak_key key = {.kind = kind};

	if (pin) {
		key.origin = pin->origin;
		key.pin_site = pin->origin == PINW_ORIGIN_BORN ? 0 : pin->site;
	}
	key.create_site = key.pin_site ? 0 : t->create_site;
	struct pinw_leak *l = find_or_add(groups, &key);
	if (!l)
		return -ENOMEM;
	count_leak(p, l, t);
	count_creator(l, t->create_site);
	if (pin && pin->depth)
		book_hold(l, pin->held_ns, pin->depth);
	return 0;
}

/* Replaced by exec, its pins live on in the next image; running, they may still be released. */
bool pinw_process_ended_for_good(const struct pinw_process *p)
{
	return p->how == PINW_HOW_EXIT || p->how == PINW_HOW_SIGNAL || p->how == PINW_HOW_VIOLENT;
}

/* Counted at the start of the thread, also when it released that pin later. */
static int inherited_leak(struct pinw_process *p, struct pinw_table *groups, const struct pinw_thread *t)
{
	struct pinw_pin released = {.origin = PINW_ORIGIN_INHERITED, .site = t->inherited_site};
	bool still_open = t->pin.depth && t->pin.origin == PINW_ORIGIN_INHERITED;

	return add_leak(p, groups, PINW_LEAK_INHERITED, still_open ? &t->pin : &released, t);
}

/* Locked more often than unlocked when the process ended. */
static int deep_lock_leak(struct pinw_process *p, struct pinw_table *groups, const struct pinw_thread *t)
{
	struct leak_key key = {
	    .kind = PINW_LEAK_UNBALANCED, .origin = PINW_ORIGIN_GOLOCK, .pin_site = t->lock->site};
	struct pinw_leak *l = find_or_add(groups, &key);

	if (!l)
		return -ENOMEM;
	count_leak(p, l, t);
	book_hold(l, t->lock->held_ns, t->lock->depth);
	return 0;
}

bool pinw_thread_unjoined(const struct pinw_process *p, const struct pinw_thread *t)
{
	return p->how != PINW_HOW_RUNNING && t->exited && t->slot && !t->joined &&
	       !(t->flags & (PINW_THREAD_DETACHED | PINW_THREAD_MAIN));
}

bool pinw_thread_in_growth(const struct pinw_process *p, const struct pinw_thread *t)
{
	return p->growth.found && !t->exited && t->created_ns != PINW_TIME_UNKNOWN &&
	       t->created_ns >= p->growth.since_ns;
}

static int thread_leaks(struct pinw_process *p, struct pinw_table *groups, const struct pinw_thread *t)
{
	bool own_pin = t->pin.depth && t->pin.origin != PINW_ORIGIN_INHERITED;
	int error = 0;

	if (t->inherited)
		error = inherited_leak(p, groups, t);
	if (error == 0 && own_pin && t->exited)
		error = add_leak(p, groups, PINW_LEAK_EXIT_WHILE_PINNED, &t->pin, t);
	else if (error == 0 && own_pin && pinw_process_ended_for_good(p))
		error = add_leak(p, groups, PINW_LEAK_PINNED_AT_END, &t->pin, t);
	if (error == 0 && t->lock->depth > 1 && !t->lock->destroyed && pinw_process_ended_for_good(p))
		error = deep_lock_leak(p, groups, t);
	if (error == 0 && pinw_thread_unjoined(p, t))
		error = add_leak(p, groups, PINW_LEAK_UNJOINED, NULL, t);
	if (error == 0 && pinw_thread_in_growth(p, t))
		error = add_leak(p, groups, PINW_LEAK_GROWTH, NULL, t);
	return error;
}

/* Go locks that ended with their thread, or are open at the end: known by the site, not by the thread. */
static int add_golocks(struct pinw_process *p, struct pinw_table *groups, enum pinw_leak_kind kind,
                       const struct pinw_golock_site *row)
{
	struct leak_key key = {.kind = kind, .origin = PINW_ORIGIN_GOLOCK, .pin_site = row->site};
	bool open = kind == PINW_LEAK_PINNED_AT_END;
	uint64_t count = open ? row->open : row->destroyed;
	struct pinw_leak *l = count ? find_or_add(groups, &key) : NULL;

	if (!l)
		return count ? -ENOMEM : 0;
	l->count = count;
	l->depth_max = open ? row->open_depth : row->lost_depth;
	l->held_max_ns = open ? pinw_since(p->duration_ns, row->open_since_ns) : row->lost_max_ns;
	l->held_min_ns = open ? l->held_max_ns : row->lost_min_ns;
	memcpy(l->threads, open ? row->open_threads : row->destroyed_threads, sizeof(l->threads));
	p->leaks_of[kind] += count;
	return 0;
}

static int golock_leaks(struct pinw_process *p, struct pinw_table *groups, const struct pinw_golock_site *row)
{
	int error = add_golocks(p, groups, PINW_LEAK_EXIT_WHILE_PINNED, row);

	if (error == 0 && pinw_process_ended_for_good(p))
		error = add_golocks(p, groups, PINW_LEAK_PINNED_AT_END, row);
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

	at_least(&p->leaks_of[PINW_LEAK_EXIT_WHILE_PINNED], n->leaks_exit_while_pinned + n->golocks_lost);
	at_least(&p->leaks_of[PINW_LEAK_INHERITED], n->leaks_inherited);
	if (pinw_process_ended_for_good(p))
		at_least(&p->leaks_of[PINW_LEAK_PINNED_AT_END],
		         pinw_since(n->pins_open, p->inherited_open) + n->golocks_open);
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

static int by_frequency(const void *x, const void *y)
{
	const struct pinw_leak_creator *a = x, *b = y;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return (a->site > b->site) - (a->site < b->site);
}

static int keep_sorted(struct pinw_process *p, const struct pinw_table *groups)
{
	if (groups->count == 0)
		return 0;
	p->leaks = calloc(groups->count, sizeof(*p->leaks));
	if (!p->leaks)
		return -ENOMEM;
	for (size_t i = 0; i < groups->count; i++) {
		p->leaks[i] = ((const struct leak_group *)pinw_table_at(groups, i))->leak;
		qsort(p->leaks[i].creators, p->leaks[i].creator_count, sizeof(p->leaks[i].creators[0]),
		      by_frequency);
	}
	p->leak_count = groups->count;
	qsort(p->leaks, p->leak_count, sizeof(*p->leaks), by_kind_and_count);
	return 0;
}

int pinw_leaks_derive(struct pinw_process *p)
{
	struct pinw_table groups;
	int error = 0;

	pinw_table_init(&groups, sizeof(struct leak_group));
	for (size_t i = 0; error == 0 && i < p->threads.count; i++)
		error = thread_leaks(p, &groups, pinw_table_at(&p->threads, i));
	for (size_t i = 0; error == 0 && i < p->golock_sites.count; i++)
		error = golock_leaks(p, &groups, pinw_table_at(&p->golock_sites, i));
	take_counters(p);
	if (error == 0)
		error = keep_sorted(p, &groups);
	pinw_table_done(&groups);
	return error;
}

/* ---- what only names show ---------------------------------------------------------------- */

int pinw_leaks_add(struct pinw_process *p, const struct pinw_leak *leak)
{
	struct pinw_leak *grown = realloc(p->leaks, (p->leak_count + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->leaks = grown;
	p->leaks[p->leak_count++] = *leak;
	p->leaks_of[leak->kind] += leak->count;
	qsort(p->leaks, p->leak_count, sizeof(*p->leaks), by_kind_and_count);
	return 0;
}

const char *pinw_leak_kind_name(enum pinw_leak_kind kind)
{
	static const char *const names[PINW_LEAK_KINDS] = {
	    [PINW_LEAK_EXIT_WHILE_PINNED] = "exit-while-pinned",
	    [PINW_LEAK_PINNED_AT_END] = "pinned-at-end",
	    [PINW_LEAK_UNJOINED] = "unjoined",
	    [PINW_LEAK_INHERITED] = "inherited",
	    [PINW_LEAK_GROWTH] = "growth",
	    [PINW_LEAK_UNBALANCED] = "unbalanced",
	};
	return kind < PINW_LEAK_KINDS ? names[kind] : "unknown";
}
