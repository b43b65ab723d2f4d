/* SPDX-License-Identifier: MIT
 *
 * Text written into a fixed buffer, for messages made where stdio may not be called
 * (the shim). Always NUL terminated; what does not fit is cut.
 */
#ifndef PINW_POLICY_PHRASE_H
#define PINW_POLICY_PHRASE_H

#include <stddef.h>
#include <stdint.h>

struct pinw_phrase {
	char *buf;
	size_t size;
	size_t len; /* without the final NUL */
};

/* An empty text in `buf`; `size` may be 0. */
struct pinw_phrase pinw_phrase_start(char *buf, size_t size);

/* Appends. Of printf's conversions it knows %s, %c, %u, %lu and %%, without widths. */
void pinw_phrase_add(struct pinw_phrase *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
