/* SPDX-License-Identifier: MIT
 *
 * Which rules of the policy a stack satisfies: names each frame from its object's symbol
 * table (and separate debug file), once per frame address, and asks policy/match.c. What
 * comes out is cached with the site, so the second call costs nothing more. All calls need
 * the site lock; memory is the site arena's.
 */
#ifndef PINW_STACKRULES_H
#define PINW_STACKRULES_H

#include <stdint.h>

#include "policy/match.h"
#include "preload/trace_format.h"

/* What the stack satisfies, or an empty match when nothing. NULL when there is no memory: ask again next time. Never
 * called without a policy. */
const struct pinw_stack_match *pinw_stackrules_of(const struct pinw_rec_frame *frames, unsigned count);

/* The same for a single function by its runtime address, such as a thread's start routine; takes the site lock itself and
 * remembers. NULL: unknown. */
const struct pinw_stack_match *pinw_stackrules_function(uintptr_t address);

#endif
