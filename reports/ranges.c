/* SPDX-License-Identifier: MIT */
#include "reports/ranges.h"

#include <errno.h>
#include <stdlib.h>

#define OVERLAPS_MAX 32u

int pinw_grow(void **items, size_t count, size_t *room, size_t item_bytes)
{
	size_t n = *room ? *room * 2 : 64;
	void *p;

	if (count < *room)
		return 0;
	p = reallocarray(*items, n, item_bytes);
	if (!p)
		return -ENOMEM;
	*items = p;
	*room = n;
	return 0;
}

int pinw_ranges_add(struct pinw_ranges *r, uint64_t lo, uint64_t hi, size_t owner)
{
	int error = pinw_grow((void **)&r->items, r->count, &r->room, sizeof(*r->items));

	if (error == 0)
		r->items[r->count++] = (struct pinw_range){lo, hi, (uint32_t)owner};
	return error;
}

static int by_start(const void *a, const void *b)
{
	const struct pinw_range *x = a, *y = b;

	if (x->lo != y->lo)
		return x->lo < y->lo ? -1 : 1;
	return x->owner < y->owner ? -1 : x->owner > y->owner;
}

void pinw_ranges_sort(struct pinw_ranges *r)
{
	if (r->count)
		qsort(r->items, r->count, sizeof(*r->items), by_start);
}

/* The number of ranges that start at or before `address`. */
static size_t started_by(const struct pinw_ranges *r, uint64_t address)
{
	size_t lo = 0, hi = r->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (r->items[mid].lo <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct pinw_range *pinw_ranges_find(const struct pinw_ranges *r, uint64_t address)
{
	size_t at = started_by(r, address);

	for (size_t i = 0; i < OVERLAPS_MAX && at > 0; i++)
		if (r->items[--at].hi > address)
			return &r->items[at];
	return NULL;
}
