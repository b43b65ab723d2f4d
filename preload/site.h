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
 */
#ifndef PINW_SITE_H
#define PINW_SITE_H

#include <stdint.h>

#include "preload/shim.h"

/* Where a wrapper was called from. Take it in the wrapper itself, which must keep a frame pointer. */
struct pinw_where {
	uintptr_t ra;
	uintptr_t cfa;
};

#define PINW_WHERE()                                                                                         \
	((struct pinw_where){(uintptr_t)__builtin_return_address(0),                                         \
	                     (uintptr_t)__builtin_frame_address(0) + 16})

/* The site id of the calling thread's present stack, 0 when it could not be told (counted). */
uint32_t pinw_site(const struct pinw_thread *self, struct pinw_where where);

/* Takes memory for the first stacks, so that a target that seals itself at once still has some. Constructor only. */
void pinw_site_init(void);

/* In a fork child: frees the lock. If a walk was under way in another thread, the child goes on with frame pointers
 * alone. (Holding the lock across fork would stall and mask the threads that other atfork handlers stop and start.) */
void pinw_site_child(void);

/* Records a site of the parent's in a fork child's trace, before its first use there. One thread only. */
void pinw_site_keep(uint32_t id);

/* The frames of a site, for the log. Returns their number, 0 if unknown. Lock-free. */
unsigned pinw_site_frames(uint32_t id, const struct pinw_rec_frame **ret_frames, uint16_t *ret_flags);

#endif
