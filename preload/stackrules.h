/* SPDX-License-Identifier: MIT
 *
 * Which rules of the policy a stack satisfies: names each frame from its object's symbol
 * table (or separate debug file), once per frame address, and asks policy/match.c. What
 * comes out is cached with the site, so the second call costs nothing more. Memory is the
 * site arena's, and names are read on the private stack.
 *
 * Names cannot be read once the target sealed itself, nor from a file that is gone: then a
 * stack is judged by what is known, its objects and the frames met before, and counted
 * (stack_rules_unknown). Frames of stripped or generated code have no names: that is known.
 */
#ifndef PINW_STACKRULES_H
#define PINW_STACKRULES_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/match.h"
#include "preload/trace_format.h"

/* What the stack satisfies, or an empty match when nothing. NULL when there is no memory: ask again next time. When
 * *ret_final is false, so too: something that may pass (no descriptor was free) kept names from being read. `earlier` is
 * what such a try gave before, or NULL. Needs the site lock; never called without a policy. */
const struct pinw_stack_match *pinw_stackrules_of(const struct pinw_rec_frame *frames, unsigned count,
                                                  const struct pinw_stack_match *earlier, bool *ret_final);

/* The same for a single function by its runtime address, such as a thread's start routine; takes the site lock itself and
 * remembers. NULL: unknown. Its match has no windows. */
const struct pinw_stack_match *pinw_stackrules_function(uintptr_t address);

/* In a fork child: the windows of every match start anew. */
void pinw_stackrules_child(void);

#endif
