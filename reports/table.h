/* SPDX-License-Identifier: MIT
 *
 * Rows of one size, found by a 64-bit key. Rows never move, and adding one never
 * copies the others; memory grows with the rows stored, never with the keys
 * (which a hostile trace chooses). A table of zeros but for row_bytes is empty.
 */
#ifndef PINW_REPORTS_TABLE_H
#define PINW_REPORTS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PINW_TABLE_CHUNKS 28u

struct pinw_table_entry;

struct pinw_table {
	size_t row_bytes;
	size_t count;
	char *chunks[PINW_TABLE_CHUNKS]; /* each twice as long as the one before */
	uint32_t *direct; /* row number + 1 by key, for keys that are not far above the count of rows */
	size_t direct_size;
	struct pinw_table_entry *index; /* the other keys: open addressing */
	size_t index_size; /* a power of two, or 0 */
	size_t indexed; /* keys in it */
};

void pinw_table_init(struct pinw_table *t, size_t row_bytes);

/* Frees the rows, not what they point to. Accepts NULL. */
void pinw_table_done(struct pinw_table *t);

/* Row number `at`, in order of addition; `at` must be below count. */
void *pinw_table_at(const struct pinw_table *t, size_t at);

/* Returns NULL when there is none. */
void *pinw_table_find(const struct pinw_table *t, uint64_t key);

/* Finds or adds the row of `key`; a new row is all zero. Returns NULL when out of memory.
 * `ret_new`, when not NULL, tells whether the row is new. */
void *pinw_table_get(struct pinw_table *t, uint64_t key, bool *ret_new);

/* A key for data that is no number. Differs from run to run, so that nobody can choose data that collide;
 * equal keys still do not mean equal data. */
uint64_t pinw_table_hash(const void *data, size_t len);

#endif
