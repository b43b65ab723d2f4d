/* SPDX-License-Identifier: MIT
 *
 * Every stack once: a stack of return addresses becomes a site, with a number, its frames as module and offset, its
 * record in the trace, and what it satisfies of the policy. Sites stay for the life of the process, fork children included.
 * How a stack is recognised without walking it is site.c's.
 *
 * What adds needs the site lock; what only looks is lock-free.
 */
#ifndef PINW_INTERN_H
#define PINW_INTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/trace_format.h"

struct pinw_stack_match; /* policy/match.h */

/* A stack as it was walked, innermost first. */
struct pinw_stack {
	unsigned count;
	uint16_t flags; /* PINW_SITE_* */
	uintptr_t pcs[PINW_FRAMES_MAX];
};

struct pinw_interned {
	struct pinw_interned *next; /* of the same bucket, atomic */
	uint64_t hash;
	uint32_t id;
	uint32_t image_gen; /* atomic: image whose trace holds its record */
	uint16_t count;
	uint16_t flags;
	const struct pinw_stack_match
	    *match; /* atomic: what it satisfies of the policy; NULL: not known for good */
	const struct pinw_stack_match *so_far; /* atomic: as far as it is known, while `match` is NULL */
	struct pinw_rec_frame frames[];
};

/* The stack's site, recorded in this image's trace and matched with the policy; NULL without memory. Site lock held. */
struct pinw_interned *pinw_intern(const struct pinw_stack *stack);

/* Matches a site with the policy, unless that is done. Site lock held. */
void pinw_intern_match(struct pinw_interned *site);

/* What is known of that by now; NULL: nothing. */
const struct pinw_stack_match *pinw_intern_match_so_far(const struct pinw_interned *site);

/* Is it known for good that no [allow] and no [ban] on functions or objects, and no rate of a site, speaks about this site? */
bool pinw_intern_is_free(uint32_t id);

/* NULL: no site has this number. */
struct pinw_interned *pinw_interned_by_id(uint32_t id);

/* Writes the site's record. */
void pinw_intern_emit(struct pinw_interned *site);

#endif
