/* SPDX-License-Identifier: MIT
 *
 * Rows of one size, found by a 64-bit key. Rows are kept in chunks, so they never
 * move and adding one never copies the others; memory grows with the rows
 * stored, never with the keys (which a hostile trace chooses).
 */
#ifndef PINW_REPORTS_TABLE_H
#define PINW_REPORTS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pinw_table {
	size_t row_bytes;
	size_t count;
	char **chunks;
	size_t chunk_count;
	struct pinw_table_entry *index; /* open addressing, a power of two */
	size_t index_size;
};

void pinw_table_init(struct pinw_table *t, size_t row_bytes);
void pinw_table_done(struct pinw_table *t);

/* Row number `at`, in order of addition; `at` must be below count. */
void *pinw_table_at(const struct pinw_table *t, size_t at);

/* Returns NULL when there is none. */
void *pinw_table_find(const struct pinw_table *t, uint64_t key);

/* Finds or adds the row of `key`; a new row is all zero. Returns NULL when out of memory.
 * `ret_new`, when not NULL, tells whether the row is new. */
void *pinw_table_get(struct pinw_table *t, uint64_t key, bool *ret_new);

#endif
