/* SPDX-License-Identifier: MIT
 *
 * Keys by which a stack is known again in another run, on another machine, after a rebuild: made of the names on it, calls that
 * were inlined included, and of the objects where there is no name. Never of addresses or lines.
 */
#ifndef PINW_REPORTS_STACK_KEY_H
#define PINW_REPORTS_STACK_KEY_H

#include "reports/stacks.h"

#define PINW_KEY_START UINT64_C(0xcbf29ce484222325)

/* `key` with more mixed in. Not the same for "a", "bc" as for "ab", "c". */
uint64_t pinw_key_bytes(uint64_t key, const void *data, size_t len);
uint64_t pinw_key_text(uint64_t key, const char *text);
uint64_t pinw_key_frames(uint64_t key, const struct pinw_frame *frames, unsigned count);

#endif
