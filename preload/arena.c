/* SPDX-License-Identifier: MIT */
#include "preload/arena.h"

#include "preload/arch.h"
#include "preload/proc.h"
#include "preload/shim.h"

#define CHUNK_BYTES ((size_t)64 << 10)
#define BYTES_MAX ((size_t)64 << 20)

/* A fork may copy this in the middle of a change made by another thread: each step leaves what can be gone on with. */
static struct {
	char *end; /* of the present chunk */
	size_t left; /* of it: the last bytes before `end` */
	size_t total;
} arena;

static void grow(void)
{
	if (arena.total + CHUNK_BYTES > BYTES_MAX || __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return;
	char *chunk = pinw_proc_map(CHUNK_BYTES);
	if (!chunk)
		return;
	arena.total += CHUNK_BYTES;
	__atomic_store_n(&arena.left, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&arena.end, chunk + CHUNK_BYTES, __ATOMIC_RELEASE);
	__atomic_store_n(&arena.left, CHUNK_BYTES, __ATOMIC_RELEASE);
}

void pinw_arena_init(void)
{
	if (!arena.left)
		grow();
}

void *pinw_arena_take(size_t bytes)
{
	bytes = (bytes + 15) & ~(size_t)15;
	if (bytes > CHUNK_BYTES)
		return NULL;
	if (bytes > arena.left)
		grow();
	if (bytes > arena.left)
		return NULL;
	char *taken = arena.end - arena.left;
	__atomic_store_n(&arena.left, arena.left - bytes, __ATOMIC_RELEASE);
	return taken;
}
