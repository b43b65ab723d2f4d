/* SPDX-License-Identifier: MIT
 *
 * Text for people: lines of 80 columns, wrapped at spaces, with the bytes of the
 * traced program made harmless. One line is put together at a time and then
 * ended; out of memory loses text and is told by done.
 */
#ifndef PINW_REPORTS_TERM_H
#define PINW_REPORTS_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PINW_TERM_COLUMNS 80u

enum pinw_style {
	PINW_STYLE_PLAIN,
	PINW_STYLE_HEADING,
	PINW_STYLE_GOOD,
	PINW_STYLE_BAD,
	PINW_STYLE_DIM,
};

struct pinw_term {
	FILE *out;
	bool color;
	unsigned columns; /* of a line: PINW_TERM_COLUMNS, unless set to more */
	char *line; /* being put together */
	size_t len;
	size_t room;
	bool out_of_memory;
};

void pinw_term_init(struct pinw_term *t, FILE *out, bool color);

/* Frees and flushes. Returns 0, -ENOMEM, or -errno of the first write that failed. The stream stays open. */
int pinw_term_done(struct pinw_term *t);

/* Appends our own text. */
void pinw_term_put(struct pinw_term *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends text of unknown origin: control bytes, what is not UTF-8 and characters that reorder or hide text become
 * \n, \t or \xNN. A backslash is doubled, so that none of these can be feigned. */
void pinw_term_put_foreign(struct pinw_term *t, const char *text, size_t len);

/* Appends foreign text to exactly `columns` columns: cut with "..." or filled with spaces. */
void pinw_term_put_cell(struct pinw_term *t, const char *text, size_t len, unsigned columns);

/* Columns of the line so far. */
unsigned pinw_term_at(const struct pinw_term *t);

/* Appends spaces up to a column. */
void pinw_term_pad(struct pinw_term *t, unsigned column);

/* Writes the line; what does not fit goes on in lines indented by `indent` columns. */
void pinw_term_end(struct pinw_term *t, unsigned indent, enum pinw_style style);

/* One whole line of our own. */
void pinw_term_line(struct pinw_term *t, unsigned indent, enum pinw_style style, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
