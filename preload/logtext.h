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

struct pinw_text {
	char *bytes;
	size_t size;
	size_t len;
};

void pinw_text_put(struct pinw_text *text, const char *words);
void pinw_text_number(struct pinw_text *text, uint64_t value);

/* Bytes from outside, such as names and paths: what is not printable ASCII becomes '?'. At most `max` bytes. */
void pinw_text_escaped(struct pinw_text *text, const char *bytes, size_t max);

/* "1.203 s" */
void pinw_text_duration(struct pinw_text *text, uint64_t ns);

/* "CPU 0-3,8", of pinw_shim.mask_words words. */
void pinw_text_cpus(struct pinw_text *text, const uint64_t *mask);

/* thread "NAME" (#5, tid 1234) */
void pinw_text_thread(struct pinw_text *text, const struct pinw_slot *slot);

/* "EPERM", or the number. */
void pinw_text_errno(struct pinw_text *text, int error);

/* "  TITLE:" and a line for each of the first frames of a site. */
void pinw_text_stack(struct pinw_text *text, const char *title, uint32_t site);

/* "  pinned by itself to CPU 3, held 1.2 s, depth 1" and where; then where the thread was created. */
void pinw_text_pin(struct pinw_text *text, const struct pinw_slot *slot, uint64_t now_ns);

/* Where the thread was created, alone. */
void pinw_text_creation(struct pinw_text *text, const struct pinw_slot *slot);

#endif
