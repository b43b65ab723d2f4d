/* SPDX-License-Identifier: MIT */
#include "reports/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_CHUNK 16u /* rows: a report on a thousand tiny processes has thousands of tables */
#define FIRST_INDEX 32u
#define FIRST_DIRECT 16u

struct pinw_table_entry {
	uint64_t key;
	uint32_t row; /* number + 1, 0 = free */
};

void pinw_table_init(struct pinw_table *t, size_t row_bytes)
{
	*t = (struct pinw_table){.row_bytes = row_bytes};
}

void pinw_table_done(struct pinw_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < PINW_TABLE_CHUNKS; i++)
		free(t->chunks[i]);
	free(t->direct);
	free(t->index);
	pinw_table_init(t, t->row_bytes);
}

/* Chunk c holds FIRST_CHUNK << c rows, so the chunks before it hold FIRST_CHUNK * (2^c - 1). */
static unsigned chunk_of(size_t at)
{
	return 63u - (unsigned)__builtin_clzll(at / FIRST_CHUNK + 1);
}

void *pinw_table_at(const struct pinw_table *t, size_t at)
{
	unsigned chunk = chunk_of(at);
	size_t before = FIRST_CHUNK * (((size_t)1 << chunk) - 1);

	return t->chunks[chunk] + (at - before) * t->row_bytes;
}

/* Different in each run: a trace cannot choose keys that all meet in one bucket. */
static uint64_t hash_seed(void)
{
	static uint64_t seed;

	if (!seed && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)(uintptr_t)&seed;
	return seed |= 1;
}

static size_t bucket_of(const struct pinw_table *t, uint64_t key)
{
	key = (key ^ hash_seed()) * 0x9e3779b97f4a7c15ull;
	key ^= key >> 32;
	key *= 0xd6e8feb86659fd93ull;
	return (size_t)(key ^ key >> 29) & (t->index_size - 1);
}

static struct pinw_table_entry *entry_of(const struct pinw_table *t, uint64_t key)
{
	size_t at = bucket_of(t, key);

	while (t->index[at].row && t->index[at].key != key)
		at = (at + 1) & (t->index_size - 1);
	return &t->index[at];
}

void *pinw_table_find(const struct pinw_table *t, uint64_t key)
{
	if (key < t->direct_size && t->direct[key])
		return pinw_table_at(t, t->direct[key] - 1);
	if (!t->index)
		return NULL;
	const struct pinw_table_entry *e = entry_of(t, key);
	return e->row ? pinw_table_at(t, e->row - 1) : NULL;
}

static int grow_index(struct pinw_table *t)
{
	if (t->indexed < t->index_size / 4 * 3)
		return 0;

	struct pinw_table_entry *old = t->index;
	size_t old_size = t->index_size;
	size_t size = old_size ? old_size * 2 : FIRST_INDEX;
	struct pinw_table_entry *index = calloc(size, sizeof(*index));
	if (!index)
		return -1;
	t->index = index;
	t->index_size = size;
	for (size_t i = 0; i < old_size; i++)
		if (old[i].row)
			*entry_of(t, old[i].key) = old[i];
	free(old);
	return 0;
}

static int grow_direct(struct pinw_table *t, uint64_t key)
{
	size_t size = t->direct_size ? t->direct_size : FIRST_DIRECT;

	if (key < t->direct_size)
		return 0;
	while (size <= key)
		size *= 2;
	uint32_t *direct = realloc(t->direct, size * sizeof(*direct));
	if (!direct)
		return -1;
	memset(direct + t->direct_size, 0, (size - t->direct_size) * sizeof(*direct));
	t->direct = direct;
	t->direct_size = size;
	return 0;
}

/* Where the row number of a new key is kept. Numbers given out one by one, as those of threads are, take four bytes and no
 * search; any other key is hashed. */
static uint32_t *place_of(struct pinw_table *t, uint64_t key)
{
	if (key < t->direct_size || key / 2 <= t->count)
		return grow_direct(t, key) < 0 ? NULL : &t->direct[key];
	if (grow_index(t) < 0)
		return NULL;
	struct pinw_table_entry *e = entry_of(t, key);
	e->key = key;
	t->indexed++;
	return &e->row;
}

/* calloc, because pages of a long chunk that no row reaches are then never touched. */
static int grow_rows(struct pinw_table *t)
{
	unsigned chunk = chunk_of(t->count);

	if (chunk >= PINW_TABLE_CHUNKS)
		return -1;
	if (!t->chunks[chunk])
		t->chunks[chunk] = calloc((size_t)FIRST_CHUNK << chunk, t->row_bytes);
	return t->chunks[chunk] ? 0 : -1;
}

void *pinw_table_get(struct pinw_table *t, uint64_t key, bool *ret_new)
{
	void *row = pinw_table_find(t, key);

	if (row) {
		if (ret_new)
			*ret_new = false;
		return row;
	}
	uint32_t *place = grow_rows(t) < 0 ? NULL : place_of(t, key);
	if (!place)
		return NULL;
	*place = (uint32_t)++t->count;
	if (ret_new)
		*ret_new = true;
	return pinw_table_at(t, t->count - 1);
}

uint64_t pinw_table_hash(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t hash = hash_seed();

	for (size_t i = 0; i < len; i++) {
		hash = (hash ^ p[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 29;
	}
	return hash;
}
