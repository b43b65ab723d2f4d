/* SPDX-License-Identifier: MIT
 *
 * Text of log blocks, built inside the host: appended to a fixed buffer, cut when it is
 * full, with nothing in it that a terminal would obey. Stacks get symbol names from their
 * objects' files. No allocation, no errno.
 */
#ifndef PINW_LOGTEXT_H
#define PINW_LOGTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "preload/trace_format.h"

struct pinw_logtext {
	char *bytes;
	size_t size;
	size_t len;
};

void pinw_logtext_put(struct pinw_logtext *text, const char *words);
void pinw_logtext_number(struct pinw_logtext *text, uint64_t value);

/* Bytes from outside, such as names and paths: what is not printable ASCII becomes '?'. At most `max` bytes. */
void pinw_logtext_escaped(struct pinw_logtext *text, const char *bytes, size_t max);

/* "CPU 0-3,8", of pinw_shim.mask_words words. */
void pinw_logtext_cpus(struct pinw_logtext *text, const uint64_t *mask);

/* thread "NAME" (#5, tid 1234) */
void pinw_logtext_thread(struct pinw_logtext *text, const struct pinw_slot *slot);

/* "EPERM", or the number. */
void pinw_logtext_errno(struct pinw_logtext *text, int error);

/* "  TITLE:" and a line for each of the first frames of a site. */
void pinw_logtext_stack(struct pinw_logtext *text, const char *title, uint32_t site);

/* "  pinned by itself to CPU 3, held 1.2 s, depth 1" and where, and the same of a Go lock; then where the thread was
 * created. */
void pinw_logtext_pin(struct pinw_logtext *text, const struct pinw_slot *slot, uint64_t now_ns);

/* "  locked by goroutine 17, held 1.2 s, depth 1" and where; nothing when it is not. */
void pinw_logtext_golock(struct pinw_logtext *text, const struct pinw_slot *slot, uint64_t now_ns);

/* Where the thread was created, alone. */
void pinw_logtext_creation(struct pinw_logtext *text, const struct pinw_slot *slot);

#endif
