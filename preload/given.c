/* SPDX-License-Identifier: MIT */
#include "preload/given.h"

#include <string.h>

#include "preload/arch.h"
#include "preload/arena.h"
#include "preload/module.h"
#include "preload/shim.h"

#define BUCKETS 1024u
#define GIVEN_MAX 65536u /* further ones are looked up under the lock each time */

/* Immutable but for gen once published. */
struct given {
	struct given *next; /* of the same bucket, atomic */
	struct pinw_interned *site;
	uint64_t hash;
	uint32_t module_gen; /* atomic */
	uint16_t count;
	uint16_t flags;
	uintptr_t words[];
};

static struct {
	struct given *buckets[BUCKETS]; /* atomic */
	uint32_t count;
} table;

struct pinw_key pinw_key(const uintptr_t *words, unsigned count, uint16_t flags)
{
	uint64_t hash = flags;

	for (unsigned i = 0; i < count; i++) {
		hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	return (struct pinw_key){.hash = hash, .count = (uint16_t)count, .flags = flags, .words = words};
}

static struct given *find(const struct pinw_key *key)
{
	struct given *given = __atomic_load_n(&table.buckets[key->hash % BUCKETS], __ATOMIC_ACQUIRE);

	for (; given; given = given->next)
		if (given->hash == key->hash && given->count == key->count && given->flags == key->flags &&
		    memcmp(given->words, key->words, key->count * sizeof(key->words[0])) == 0)
			return given;
	return NULL;
}

struct pinw_interned *pinw_given_find(const struct pinw_key *key)
{
	const struct given *given = find(key);

	if (pinw_unlikely(!given) || pinw_unlikely(__atomic_load_n(&given->module_gen, __ATOMIC_RELAXED) !=
	                                           __atomic_load_n(&pinw_module_gen, __ATOMIC_RELAXED)))
		return NULL;
	return given->site;
}

void pinw_given_add(const struct pinw_key *key, struct pinw_interned *site, uint32_t gen)
{
	struct given *given = find(key);
	size_t bytes = key->count * sizeof(key->words[0]);

	if (given && given->site == site) {
		__atomic_store_n(&given->module_gen, gen, __ATOMIC_RELEASE);
		return;
	}
	given = table.count < GIVEN_MAX ? pinw_arena_take(sizeof(*given) + bytes) : NULL;
	if (!given)
		return;
	table.count++;
	*given = (struct given){
	    .site = site, .hash = key->hash, .module_gen = gen, .count = key->count, .flags = key->flags};
	pinw_copy_raw(given->words, key->words, bytes);
	given->next = table.buckets[key->hash % BUCKETS];
	__atomic_store_n(&table.buckets[key->hash % BUCKETS], given, __ATOMIC_RELEASE);
}
