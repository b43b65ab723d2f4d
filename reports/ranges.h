/* SPDX-License-Identifier: MIT
 *
 * Address ranges, each with an owner: filled, sorted once, then searched.
 */
#ifndef PINW_REPORTS_RANGES_H
#define PINW_REPORTS_RANGES_H

#include <stddef.h>
#include <stdint.h>

struct pinw_range {
	uint64_t lo, hi; /* hi is not part of it */
	uint32_t owner; /* the caller's index */
};

/* All zero is empty. The caller frees items. */
struct pinw_ranges {
	struct pinw_range *items;
	size_t count, room;
};

/* Returns 0 or -ENOMEM. */
int pinw_ranges_add(struct pinw_ranges *r, uint64_t lo, uint64_t hi, size_t owner);

/* By start, then by owner. Needed before pinw_ranges_find. */
void pinw_ranges_sort(struct pinw_ranges *r);

/* Of the ranges that hold `address` the one that starts last, or NULL. Sees past 32 ranges that start later
 * and end earlier; ranges overlap where code was dropped by the linker and kept its entries. */
const struct pinw_range *pinw_ranges_find(const struct pinw_ranges *r, uint64_t address);

/* Makes room for one more item in any array. Returns 0 or -ENOMEM. */
int pinw_grow(void **items, size_t count, size_t *room, size_t item_bytes);

#endif
