/* SPDX-License-Identifier: MIT */
#include "reports/filter_index.h"

#include <errno.h>
#include <stdlib.h>

#include "reports/history.h"

static int by_site(const void *x, const void *y)
{
	const struct pinw_filter_entry *a = x, *b = y;

	if (a->site != b->site)
		return a->site < b->site ? -1 : 1;
	return (a->at > b->at) - (a->at < b->at);
}

static int make(struct pinw_filter_list *list, size_t most)
{
	list->count = 0;
	list->entries = calloc(most + 1, sizeof(*list->entries));
	return list->entries ? 0 : -ENOMEM;
}

static void add(struct pinw_filter_list *list, uint32_t site, size_t at)
{
	list->entries[list->count++] = (struct pinw_filter_entry){.site = site, .at = (uint32_t)at};
}

static void sort(struct pinw_filter_list *list)
{
	qsort(list->entries, list->count, sizeof(*list->entries), by_site);
}

static void add_threads(struct pinw_filter_index *index, const struct pinw_process *p)
{
	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		add(&index->created, t->create_site, i);
		if (t->pin.depth)
			add(&index->held, t->pin.site, i);
		if (t->lock->depth)
			add(&index->held, t->lock->site, i);
	}
}

static void drop(struct pinw_filter_list *list)
{
	free(list->entries);
	list->entries = NULL;
	list->count = 0;
}

void pinw_filter_index_done(struct pinw_filter_index *index)
{
	drop(&index->spans);
	drop(&index->held);
	drop(&index->created);
	index->of = NULL;
}

int pinw_filter_index(struct pinw_filter_index *index, const struct pinw_process *p)
{
	if (index->of == p)
		return 0;
	pinw_filter_index_done(index);
	int error = make(&index->spans, p->history->span_count);
	if (error == 0)
		error = make(&index->held, 2 * p->threads.count);
	if (error == 0)
		error = make(&index->created, p->threads.count);
	if (error < 0) {
		pinw_filter_index_done(index);
		return error;
	}
	for (size_t i = 0; i < p->history->span_count; i++)
		add(&index->spans, p->history->spans[i].site, i);
	add_threads(index, p);
	sort(&index->spans);
	sort(&index->held);
	sort(&index->created);
	index->of = p;
	return 0;
}

struct pinw_filter_list pinw_filter_of(const struct pinw_filter_list *list, uint32_t site)
{
	size_t lo = 0, hi = list->count;

	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;
		if (list->entries[middle].site < site)
			lo = middle + 1;
		else
			hi = middle;
	}
	struct pinw_filter_list of = {.entries = &list->entries[lo]};
	while (lo + of.count < list->count && of.entries[of.count].site == site)
		of.count++;
	return of;
}
