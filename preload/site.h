/* SPDX-License-Identifier: MIT
 *
 * Which stack is this? Every pin, create, join and exec call asks, and gets the
 * id of the interned stack, its site.
 *
 * The validated memo answers without unwinding: after one full walk it knows for
 * each frame how far from the wrapper's frame its return address lies and what it
 * is. Next time, from the same call site, the words at those places are compared,
 * innermost first; all equal means the same stack. Only words inside the thread's
 * known stack are read. Every other case (first-seen stack, coroutine or unknown
 * stack, an object unloaded since) takes the slow path under one lock.
 *
 * Go changes stacks where it calls C, and back: what C code of a thread's own stack is recognised by its memo, what is a
 * goroutine's is walked each time, by its frame pointers, and both together are the stack.
 *
 * With a policy, what a stack satisfies of it is found when the stack is first met, and
 * kept with the site.
 */
#ifndef PINW_SITE_H
#define PINW_SITE_H

#include <stdint.h>

#include "preload/lock.h"
#include "preload/shim.h"

struct pinw_stack_match; /* policy/match.h */

/* Where a wrapper was called from. Take it in the wrapper itself, which must keep a frame pointer. */
struct pinw_where {
	uintptr_t ra;
	uintptr_t cfa;
};

#define PINW_WHERE()                                                                                         \
	((struct pinw_where){(uintptr_t)__builtin_return_address(0),                                         \
	                     (uintptr_t)__builtin_frame_address(0) + 16})

/* A site, and what its stack satisfies of the policy. */
struct pinw_site_ref {
	uint32_t id; /* 0: it could not be told (counted) */
	const struct pinw_stack_match
	    *match; /* NULL without a policy, or when it could not be told (counted) */
};

/* The site of the calling thread's present stack. */
struct pinw_site_ref pinw_site_ref(const struct pinw_thread *self, struct pinw_where where);

/* What a site's stack satisfies of the policy; NULL as above, and for id 0. It stays for the life of the process, fork
 * children included. Lock-free, but for a site that could not be resolved when it was first met. */
const struct pinw_stack_match *pinw_site_match(uint32_t id);

/* The site id of the calling thread's present stack, 0 when it could not be told (counted). */
uint32_t pinw_site(const struct pinw_thread *self, struct pinw_where where);

/* The site of a stack given by its return addresses, innermost first, at most PINW_FRAMES_MAX. Lock-free when it is known. */
struct pinw_site_ref pinw_site_of(const uintptr_t *pcs, unsigned count, uint16_t flags);

/* The same of a stack that goes on in C: `where` is the caller of the outermost of `pcs`, which saved its frame pointer at
 * cfa - 16, on the stack of the calling thread, though not on the part of it that is in use now. */
struct pinw_site_ref pinw_site_through(const uintptr_t *pcs, unsigned count, uint16_t flags,
                                       const struct pinw_thread *self, struct pinw_where where);

/* Takes memory for the first stacks, so that a target that seals itself at once still has some. Constructor only. */
void pinw_site_init(void);

/* The lock that guards everything learnt about stacks, for stackrules.c and go/memo.c. Returns 0 or -EBUSY. */
int pinw_site_lock(struct pinw_lock_state *ret_state);
/* The same without waiting. */
int pinw_site_try_lock(struct pinw_lock_state *ret_state);
void pinw_site_unlock(const struct pinw_lock_state *state);

/* In a fork child: frees the lock, and starts the windows of matches anew. If a walk was under way in another thread, the child goes on with frame pointers
 * alone. (Holding the lock across fork would stall and mask the threads that other atfork handlers stop and start.) */
void pinw_site_child(void);

/* Records a site of the parent's in a fork child's trace, before its first use there. One thread only. */
void pinw_site_keep(uint32_t id);

/* The frames of a site, for the log. Returns their number, 0 if unknown. Lock-free. */
unsigned pinw_site_frames(uint32_t id, const struct pinw_rec_frame **ret_frames, uint16_t *ret_flags);

#endif
