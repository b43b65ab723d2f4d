/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "reports/model_private.h"
#include "reports/procfs.h"

static int compare_tids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static const uint32_t *find_tid(const uint32_t *tids, size_t count, uint32_t tid)
{
	return count ? bsearch(&tid, tids, count, sizeof(tid), compare_tids) : NULL;
}

void pinw_census_begin(struct pinw_census *c, struct pinw_process *p)
{
	*c = (struct pinw_census){0};
	if (p->live.end_how != PINW_END_NONE)
		return;
	int error = pinw_procfs_find(&p->header.self, &c->pid);
	p->alive = error == 0;
	p->elsewhere = error == -EXDEV;
	if (p->alive)
		pinw_procfs_threads(c->pid, &c->tids, &c->count);
}

/* Marks the threads that have a slot; returns how many slots have no tid yet: their threads cannot be matched. */
static size_t mark_known(const struct pinw_process *p, const struct pinw_census *c, bool *known)
{
	size_t starting = 0;

	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		if (!t->slot)
			continue;
		const uint32_t *at = find_tid(c->tids, c->count, t->tid);
		if (at)
			known[at - c->tids] = true;
		starting += t->tid == 0;
	}
	return starting;
}

/* Threads the kernel listed before and after the trace was read were there while it was. */
static void compare(struct pinw_process *p, const struct pinw_census *c, const uint32_t *later,
                    size_t later_count, bool *known)
{
	size_t starting = mark_known(p, c, known);
	size_t stayed = 0, seen = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (!find_tid(later, later_count, c->tids[i]))
			continue;
		stayed++;
		seen += known[i];
	}
	seen += starting < stayed - seen ? starting : stayed - seen;
	p->census = true;
	p->kernel_threads = (uint32_t)stayed;
	p->seen_threads = (uint32_t)seen;
}

void pinw_census_end(struct pinw_census *c, struct pinw_process *p)
{
	uint32_t *later = NULL;
	size_t later_count = 0;
	bool *known = calloc(c->count + 1, sizeof(*known));

	if (p->live.census_kernel) {
		p->census = true;
		p->kernel_threads = p->live.census_kernel;
		p->seen_threads = p->live.census_seen;
	}
	if (known && c->count && pinw_procfs_threads(c->pid, &later, &later_count) == 0)
		compare(p, c, later, later_count, known);
	free(later);
	free(known);
	free(c->tids);
	c->tids = NULL;
}
