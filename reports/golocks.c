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
	if (rec->held_ns < row->lost_min_ns || row->destroyed == 1)
		row->lost_min_ns = rec->held_ns;
	if (rec->held_ns > row->lost_max_ns)
		row->lost_max_ns = rec->held_ns;
}

/* Each record says where its lock was taken, so that the end of one whose beginning was dropped is booked all the same. */
void pinw_replay_golock(struct pinw_replay *c, const struct pinw_rec_golock *rec)
{
	bool begins = rec->kind == PINW_GOLOCK_LOCK;

	pinw_history_golock(c->p, rec);
	struct pinw_golock_site *row = row_of(c, begins ? rec->e.site : rec->lock_site);
	struct pinw_site *at = pinw_replay_site(c, rec->e.site, begins ? PINW_USE_GOLOCK : PINW_USE_OTHER);

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
		return;
	}
	if (rec->kind != PINW_GOLOCK_UNLOCK_UNSEEN) /* else nobody knows when it ended */
		book_hold(row, rec->held_ns);
	if (rec->kind == PINW_GOLOCK_DESTROYED)
		book_destroyed(row, rec);
	else
		row->unlocked++;
}

/* An open lock. What its slot knows counts when the record of it was dropped. */
void pinw_replay_golock_slot(struct pinw_replay *c, const struct pinw_slot *slot)
{
	struct pinw_golock_site *row = slot->golock_depth ? row_of(c, slot->golock_site) : NULL;

	if (!row)
		return;
	if (row->open < PINW_LEAK_EXAMPLES)
		row->open_threads[row->open] = slot->thread;
	row->open++;
	if (slot->golock_depth > row->depth_max)
		row->depth_max = slot->golock_depth;
	if (slot->golock_since_ns < row->open_since_ns || row->open == 1)
		row->open_since_ns = slot->golock_since_ns;
}

static int by_locked(const void *x, const void *y)
{
	const struct pinw_golock_site *a = x, *b = y;

	if (a->locked != b->locked)
		return a->locked > b->locked ? -1 : 1;
	return (a->site > b->site) - (a->site < b->site);
}

int pinw_golocks_settle(struct pinw_process *p)
{
	size_t count = p->golock_sites.count;

	if (count == 0)
		return 0;
	p->sorted_golock_sites = calloc(count, sizeof(*p->sorted_golock_sites));
	if (!p->sorted_golock_sites)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		p->sorted_golock_sites[i] =
		    *(const struct pinw_golock_site *)pinw_table_at(&p->golock_sites, i);
	qsort(p->sorted_golock_sites, count, sizeof(*p->sorted_golock_sites), by_locked);
	return 0;
}
