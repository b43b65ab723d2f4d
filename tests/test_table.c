/* SPDX-License-Identifier: MIT
 *
 * Rows by key: numbers given out one by one are found by a list, all other keys by a hash; nobody may see a difference.
 */
#include <criterion/criterion.h>

#include "reports/table.h"

/* Every key of a table is found, has its own row, and comes in the order of its addition. */
static void expect_rows(const struct pinw_table *t, const uint64_t *keys, size_t count)
{
	cr_assert_eq(t->count, count);
	for (size_t i = 0; i < count; i++) {
		const uint64_t *row = pinw_table_find(t, keys[i]);
		cr_assert_not_null(row, "key %llu", (unsigned long long)keys[i]);
		cr_assert_eq(*row, keys[i]);
		cr_assert_eq(pinw_table_at(t, i), (const void *)row);
	}
}

static void add(struct pinw_table *t, uint64_t key)
{
	bool new;
	uint64_t *row = pinw_table_get(t, key, &new);

	cr_assert(row && new &&*row == 0, "key %llu", (unsigned long long)key);
	*row = key;
	cr_assert(pinw_table_get(t, key, &new) == row && !new);
}

static void expect_table_of(uint64_t *keys, size_t count)
{
	struct pinw_table t;

	pinw_table_init(&t, sizeof(uint64_t));
	for (size_t i = 0; i < count; i++) {
		cr_assert_null(pinw_table_find(&t, keys[i]));
		add(&t, keys[i]);
	}
	expect_rows(&t, keys, count);
	pinw_table_done(&t);
}

#define COUNT 5000u

Test(table, finds_keys_in_any_order_near_and_far)
{
	uint64_t keys[COUNT];

	for (size_t i = 0; i < COUNT; i++)
		keys[i] = i;
	expect_table_of(keys, COUNT);
	for (size_t i = 0; i < COUNT; i++)
		keys[i] = COUNT - 1 - i; /* far ones first, which are hashed; then those that are not */
	expect_table_of(keys, COUNT);
	for (size_t i = 0; i < COUNT; i++)
		keys[i] = i % 2 ? UINT64_MAX - i : i / 2;
	expect_table_of(keys, COUNT);
	for (size_t i = 0; i < COUNT; i++)
		keys[i] = i * i;
	expect_table_of(keys, COUNT);
}

Test(table, room_grows_with_the_rows_and_not_with_the_keys)
{
	struct pinw_table t;

	pinw_table_init(&t, sizeof(uint64_t));
	for (uint64_t i = 0; i < 100; i++)
		add(&t, UINT32_MAX - i * 1000);
	cr_expect(t.direct_size + t.index_size < 1000);
	for (uint64_t i = 0; i < 100; i++)
		add(&t, 3 * i);
	cr_expect(t.direct_size + t.index_size < 2000);
	pinw_table_done(&t);
}
