/* SPDX-License-Identifier: MIT
 *
 * Messages of the program to stderr: one line (or few), one write, tagged "pinwarden: ", with control bytes
 * and whatever else could steer a terminal shown as \xNN. Data goes to stdout, by other means.
 */
#ifndef PINW_REPORTS_SAY_H
#define PINW_REPORTS_SAY_H

#include <stddef.h>

/* Says one line; a final newline is added. */
void pinw_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says it in lines of at most 80 columns, broken at spaces; each begins with the tag. */
void pinw_say_folded(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes all of a text to a descriptor, however many calls that takes. Returns 0 or -errno. Async-signal-safe. */
int pinw_write_all(int fd, const char *text, size_t len);

/* Copies `text` with every byte that is no printable UTF-8 text as \xNN. Always terminated, cut when `len`
 * is too small. */
void pinw_say_escape(const char *text, char *buf, size_t len);

/* Quotes a word for the shell where it needs that, so that a command that is shown can be typed. */
void pinw_say_quote(const char *word, char *buf, size_t len);

#endif
