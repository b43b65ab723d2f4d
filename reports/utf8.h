/* SPDX-License-Identifier: MIT
 *
 * Text from traces and object files can hold any byte. What reaches a terminal or
 * a JSON file goes through here first.
 */
#ifndef PINW_REPORTS_UTF8_H
#define PINW_REPORTS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed character at the start of `text` (1 to 4), or 0: not UTF-8, or cut. Needs len > 0. */
size_t pinw_utf8_next(const char *text, size_t len, uint32_t *ret_code);

/* Safe to print as it is: no control character, none that reorders or hides the text around it. */
bool pinw_utf8_plain(uint32_t code);

/* Copies text for a consumer that takes any UTF-8: what is none becomes U+FFFD, with `plain` also whatever is not plain. Ends at
 * the first NUL or after `len` bytes; cut before a character that does not fit. Always terminated. Returns the length. */
size_t pinw_utf8_copy(char *buf, size_t room, const char *text, size_t len, bool plain);

/* Terminal columns of a plain character: 0, 1 or 2. */
unsigned pinw_utf8_columns(uint32_t code);

#endif
