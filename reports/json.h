/* SPDX-License-Identifier: MIT
 *
 * Writes JSON as it comes, without building it first. The output is always
 * well-formed UTF-8: bytes that are not become U+FFFD, characters that could
 * confuse a terminal are written as \u escapes.
 *
 * In an object every call names its key; in an array the key is NULL. Beginnings
 * and ends have to match. What is written reaches the stream in blocks, all of it with done,
 * which returns the first error of writing.
 */
#ifndef PINW_REPORTS_JSON_H
#define PINW_REPORTS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PINW_JSON_BLOCK 8192u

struct pinw_json {
	FILE *out;
	unsigned depth;
	unsigned inline_depth; /* from this depth on everything stays on one line, 0 = not in such a part */
	bool first; /* in the innermost object or array */
	bool in_markup; /* set it to have "<" escaped, as inside an element of HTML */
	size_t used; /* of the block */
	char block[PINW_JSON_BLOCK];
};

void pinw_json_init(struct pinw_json *j, FILE *out);

/* Ends the document with a newline and flushes. Returns 0 or -errno of the first write that failed. The stream
 * stays open. */
int pinw_json_done(struct pinw_json *j);

/* Ends a document with a newline and begins another: for streams of one object a line. */
void pinw_json_next(struct pinw_json *j);

void pinw_json_begin_object(struct pinw_json *j, const char *key);
void pinw_json_begin_array(struct pinw_json *j, const char *key);

/* The same, with all that is inside on one line. */
void pinw_json_begin_line_object(struct pinw_json *j, const char *key);
void pinw_json_begin_line_array(struct pinw_json *j, const char *key);
void pinw_json_end_object(struct pinw_json *j);
void pinw_json_end_array(struct pinw_json *j);

void pinw_json_number(struct pinw_json *j, const char *key, uint64_t value);
void pinw_json_thousandths(struct pinw_json *j, const char *key, uint64_t value); /* 1234 as 1.234 */
void pinw_json_bool(struct pinw_json *j, const char *key, bool value);
void pinw_json_null(struct pinw_json *j, const char *key);
void pinw_json_text(struct pinw_json *j, const char *key, const char *text);
void pinw_json_bytes(struct pinw_json *j, const char *key, const char *text, size_t len);

#endif
