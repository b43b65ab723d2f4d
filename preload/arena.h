/* SPDX-License-Identifier: MIT
 *
 * Memory for what is learnt about stacks: taken from the kernel in chunks, up to a
 * bound, never given back, never moved. All calls need the site lock, but for init.
 */
#ifndef PINW_ARENA_H
#define PINW_ARENA_H

#include <stddef.h>

/* Takes the first chunk, so that a target that seals itself at once still has some. Constructor only. */
void pinw_arena_init(void);

/* `bytes` of zeroes, aligned to 16 (at most a chunk, 64 KiB). NULL at the bound, or when the target sealed itself and the
 * chunk is used up. */
void *pinw_arena_take(size_t bytes);

#endif
