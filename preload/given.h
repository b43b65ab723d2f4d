/* SPDX-License-Identifier: MIT
 *
 * Sites by what their stacks are known by, where that is not the words of one stack alone (site.c): return addresses that
 * somebody else has found, and memos of what lies between them. Finding is lock-free; adding needs the site lock.
 */
#ifndef PINW_GIVEN_H
#define PINW_GIVEN_H

#include <stdint.h>

#include "preload/intern.h"

struct pinw_key {
	uint64_t hash;
	uint16_t count;
	uint16_t flags;
	const uintptr_t *words; /* the caller's */
};

struct pinw_key pinw_key(const uintptr_t *words, unsigned count, uint16_t flags);

/* The site of this key if the objects on its stack are still there; NULL: not known. */
struct pinw_interned *pinw_given_find(const struct pinw_key *key);

/* Remembers the site, found while pinw_module_gen was `gen`; without memory it does not. */
void pinw_given_add(const struct pinw_key *key, struct pinw_interned *site, uint32_t gen);

#endif
