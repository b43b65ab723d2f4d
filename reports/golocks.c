/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "reports/model_private.h"

static struct pinw_golock_site *row_of(struct pinw_replay *c, uint32_t site)
{
	bool new;
	struct pinw_golock_site *row = pinw_table_get(&c->p->golock_sites, (uint64_t)site + 1, &new);

	if (!row) {
		c->out_of_memory = true;
		return NULL;
	}
	if (new) {
		row->site = site;
		row->held_min_ns = UINT64_MAX;
	}
	return row;
}

static void book_hold(struct pinw_golock_site *row, uint64_t held_ns)
{
	if (held_ns < row->held_min_ns)
		row->held_min_ns = held_ns;
	if (held_ns > row->held_max_ns)
		row->held_max_ns = held_ns;
	row->held_sum_ns += held_ns;
	row->held_count++;
}

static void book_destroyed(struct pinw_golock_site *row, const struct pinw_rec_golock *rec)
{
	if (row->destroyed < PINW_LEAK_EXAMPLES)
		row->destroyed_threads[row->destroyed] = rec->e.thread;
	row->destroyed++;
	if (rec->depth > row->lost_depth)
		row->lost_depth = rec->depth;
	if (rec->held_ns < row->lost_min_ns || row->destroyed == 1)
		row->lost_min_ns = rec->held_ns;
	if (rec->held_ns > row->lost_max_ns)
		row->lost_max_ns = rec->held_ns;
}

/* ---- events ---------------------------------------------------------------------------- */

const struct pinw_golock pinw_no_golock;

static bool is_held(const struct pinw_golock *lock)
{
	return lock->depth && !lock->destroyed;
}

static void set_lock(struct pinw_replay *c, struct pinw_thread *t, struct pinw_golock lock)
{
	struct pinw_golock *row = pinw_table_get(&c->p->locks, t->id, NULL);

	if (!row) {
		c->out_of_memory = true;
		return;
	}
	*row = lock;
	t->lock = row;
}

static void book_begin(struct pinw_replay *c, const struct pinw_rec_golock *rec)
{
	struct pinw_thread *t = pinw_replay_thread(c, rec->e.thread);

	pinw_replay_opening(c, rec->e.site, rec->e.thread, rec->goid == 1, rec->e.time_ns);
	if (!t)
		return;
	t->golocks++;
	set_lock(c, t,
	         (struct pinw_golock){.since_ns = rec->e.time_ns,
	                              .goid = rec->goid,
	                              .site = rec->e.site,
	                              .depth = 1,
	                              .on_cpus = t->pin.depth > 0});
}

static void book_unlock(struct pinw_golock_site *row, const struct pinw_rec_golock *rec)
{
	row->unlocked++;
	if (rec->kind != PINW_GOLOCK_UNLOCK || !rec->e.site) {
		row->unlocked_unseen++;
		return;
	}
	for (uint32_t i = 0; i < row->unlock_sites; i++)
		if (row->unlocks[i].site == rec->e.site) {
			row->unlocks[i].count++;
			return;
		}
	if (row->unlock_sites < PINW_UNLOCK_SITES)
		row->unlocks[row->unlock_sites++] =
		    (struct pinw_golock_unlocks){.site = rec->e.site, .example = rec->e.thread, .count = 1};
	else
		row->unlocked_elsewhere++;
}

static void book_end(struct pinw_replay *c, struct pinw_golock_site *row, const struct pinw_rec_golock *rec)
{
	struct pinw_thread *t = pinw_replay_thread(c, rec->e.thread);
	bool destroyed = rec->kind == PINW_GOLOCK_DESTROYED;

	if (rec->kind != PINW_GOLOCK_UNLOCK_UNSEEN && !(rec->flags & PINW_GOLOCK_UNTIMED))
		book_hold(row, rec->held_ns);
	if (destroyed)
		book_destroyed(row, rec);
	else
		book_unlock(row, rec);
	if (!t)
		return;
	bool on_cpus = t->lock->depth ? t->lock->on_cpus : t->pin.depth > 0;
	row->on_cpus += on_cpus;
	t->lock = &pinw_no_golock;
	if (destroyed)
		set_lock(c, t,
		         (struct pinw_golock){.since_ns = pinw_since(rec->e.time_ns, rec->held_ns),
		                              .held_ns = rec->held_ns,
		                              .goid = rec->goid,
		                              .site = rec->lock_site,
		                              .depth = rec->depth ? rec->depth : 1,
		                              .on_cpus = on_cpus,
		                              .destroyed = true});
}

void pinw_replay_golock_on_cpus(struct pinw_replay *c, const struct pinw_thread *t)
{
	struct pinw_golock *row = is_held(t->lock) ? pinw_table_find(&c->p->locks, t->id) : NULL;

	if (row)
		row->on_cpus = true;
}

/* Each record says where its lock was taken, so that the end of one whose beginning was dropped is booked all the same. */
void pinw_replay_golock(struct pinw_replay *c, const struct pinw_rec_golock *rec)
{
	bool begins = rec->kind == PINW_GOLOCK_LOCK;

	pinw_history_golock(c->p, rec);
	struct pinw_golock_site *row = row_of(c, begins ? rec->e.site : rec->lock_site);
	struct pinw_site *at =
	    pinw_replay_site(c, rec->e.site, begins ? PINW_USE_GOLOCK : PINW_USE_OTHER | PINW_USE_GOUNLOCK);

	if (at && begins)
		at->golocks++;
	else if (at)
		at->others++;
	if (!row)
		return;
	if (rec->depth > row->depth_max)
		row->depth_max = rec->depth;
	if (begins) {
		row->locked++;
		book_begin(c, rec);
	} else {
		book_end(c, row, rec);
	}
}

/* ---- slots ----------------------------------------------------------------------------- */

/* What a slot knows counts when the record of its lock was dropped. */
static void take_lock(struct pinw_replay *c, struct pinw_thread *t, const struct pinw_slot *slot)
{
	bool same = is_held(t->lock) && t->lock->since_ns == slot->golock_since_ns;

	set_lock(c, t,
	         (struct pinw_golock){.since_ns = slot->golock_since_ns,
	                              .goid = slot->golock_goid,
	                              .site = slot->golock_site,
	                              .depth = slot->golock_depth,
	                              .on_cpus = (same && t->lock->on_cpus) || t->pin.depth > 0});
}

/* An open lock, unless its end was recorded: then the slot may only not have been given back yet. */
void pinw_replay_golock_slot(struct pinw_replay *c, const struct pinw_slot *slot)
{
	struct pinw_thread *t = pinw_replay_thread(c, slot->thread);

	if (t && slot->golocks > t->golocks)
		t->golocks = slot->golocks;
	if (t && !slot->golock_depth && !t->lock->destroyed)
		t->lock = &pinw_no_golock;
	struct pinw_golock_site *row = slot->golock_depth ? row_of(c, slot->golock_site) : NULL;
	if (!row)
		return;
	if (t) {
		take_lock(c, t, slot);
		row->on_cpus += t->lock->on_cpus;
	}
	if (row->open < PINW_LEAK_EXAMPLES)
		row->open_threads[row->open] = slot->thread;
	row->open++;
	if (slot->golock_depth > row->open_depth)
		row->open_depth = slot->golock_depth;
	if (slot->golock_depth > row->depth_max)
		row->depth_max = slot->golock_depth;
	if (slot->golock_since_ns < row->open_since_ns || row->open == 1)
		row->open_since_ns = slot->golock_since_ns;
}

/* ---- the whole ------------------------------------------------------------------------- */

static int by_locked(const void *x, const void *y)
{
	const struct pinw_golock_site *a = x, *b = y;

	if (a->locked != b->locked)
		return a->locked > b->locked ? -1 : 1;
	return (a->site > b->site) - (a->site < b->site);
}

void pinw_golock_held_until(struct pinw_process *p, const struct pinw_thread *t, uint64_t end_ns)
{
	struct pinw_golock *row =
	    t->lock->depth && !t->lock->held_ns ? pinw_table_find(&p->locks, t->id) : NULL;

	if (row)
		row->held_ns = pinw_since(end_ns, row->since_ns);
}

static void hold_open_locks(struct pinw_process *p)
{
	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		struct pinw_golock_site *row =
		    is_held(t->lock) ? pinw_table_find(&p->golock_sites, (uint64_t)t->lock->site + 1) : NULL;
		if (row)
			book_hold(row, t->lock->held_ns);
	}
}

int pinw_golocks_settle(struct pinw_process *p)
{
	size_t count = p->golock_sites.count;

	if (count == 0)
		return 0;
	hold_open_locks(p);
	p->sorted_golock_sites = calloc(count, sizeof(*p->sorted_golock_sites));
	if (!p->sorted_golock_sites)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		p->sorted_golock_sites[i] =
		    *(const struct pinw_golock_site *)pinw_table_at(&p->golock_sites, i);
	qsort(p->sorted_golock_sites, count, sizeof(*p->sorted_golock_sites), by_locked);
	return 0;
}

bool pinw_process_misses_golocks(const struct pinw_process *p)
{
	for (size_t i = 0; i < p->note_count; i++)
		switch (p->notes[i].code) {
		case PINW_NOTE_GO_NO_CGO:
		case PINW_NOTE_GO_NO_TABLE:
		case PINW_NOTE_GO_INLINED:
		case PINW_NOTE_GO_UNKNOWN:
		case PINW_NOTE_GO_UNLOCKS:
		case PINW_NOTE_GO_MEMORY:
		case PINW_NOTE_GO_LIBRARY:
		case PINW_NOTE_GO_COPIES:
		case PINW_NOTE_GO_PLUGINS:
		case PINW_NOTE_GO_STACK:
			return true;
		default:
			break;
		}
	return false;
}

bool pinw_process_is_golock(const struct pinw_process *p, uint32_t site)
{
	const struct pinw_site *s = pinw_process_site(p, site);

	return s && (s->uses & PINW_USE_GOLOCK);
}
