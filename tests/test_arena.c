/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "preload/arena.h"
#include "preload/shim.h"

static bool is_zero(const unsigned char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i])
			return false;
	return true;
}

Test(arena, gives_zeroes_of_ones_own)
{
	unsigned char *before = NULL;
	size_t before_bytes = 0;

	for (size_t bytes = 1; bytes < 3000; bytes += 7) {
		unsigned char *taken = pinw_arena_take(bytes);

		cr_assert_not_null(taken);
		cr_assert_eq((uintptr_t)taken % 16, 0);
		cr_assert(is_zero(taken, bytes));
		memset(taken, 0xff, bytes);
		cr_assert(!before || taken >= before + before_bytes || taken + bytes <= before);
		before = taken;
		before_bytes = bytes;
	}
}

Test(arena, is_bounded)
{
	size_t taken = 0;

	cr_expect_null(pinw_arena_take((64 << 10) + 1));
	cr_expect_null(pinw_arena_take(SIZE_MAX));
	while (taken <= (size_t)65 << 20 && pinw_arena_take(64 << 10))
		taken += 64 << 10;
	cr_expect_eq(taken, (size_t)64 << 20);
	cr_expect_null(pinw_arena_take(16));
}

Test(arena, asks_nothing_of_a_sealed_target)
{
	pinw_arena_init();
	__atomic_store_n(&pinw_shim.sealed, true, __ATOMIC_RELAXED);
	for (size_t taken = 0; taken < 64 << 10; taken += 1024)
		cr_assert_not_null(pinw_arena_take(1024), "what init took");
	cr_expect_null(pinw_arena_take(1024));
	__atomic_store_n(&pinw_shim.sealed, false, __ATOMIC_RELAXED);
	cr_expect_not_null(pinw_arena_take(1024));
}
