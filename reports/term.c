/* SPDX-License-Identifier: MIT */
#include "reports/term.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reports/utf8.h"

void pinw_term_init(struct pinw_term *t, FILE *out, bool color)
{
	*t = (struct pinw_term){.out = out, .color = color, .columns = PINW_TERM_COLUMNS};
}

int pinw_term_done(struct pinw_term *t)
{
	free(t->line);
	t->line = NULL;
	errno = 0;
	if (fflush(t->out) != 0 || ferror(t->out))
		return errno ? -errno : -EIO;
	return t->out_of_memory ? -ENOMEM : 0;
}

/* ---- putting a line together ------------------------------------------------------- */

static void append(struct pinw_term *t, const char *text, size_t len)
{
	if (t->len + len > t->room) {
		size_t room = (t->len + len) * 2 + 128;
		char *grown = realloc(t->line, room);
		if (!grown) {
			t->out_of_memory = true;
			return;
		}
		t->line = grown;
		t->room = room;
	}
	memcpy(t->line + t->len, text, len);
	t->len += len;
}

static void append_format(struct pinw_term *t, const char *format, va_list args)
{
	char text[1024];
	int len = vsnprintf(text, sizeof(text), format, args);

	if (len > 0)
		append(t, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

void pinw_term_put(struct pinw_term *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append_format(t, format, args);
	va_end(args);
}

/* One character of foreign text made harmless. Returns the bytes taken; `out` gets at most 8. */
static size_t harmless(const char *text, size_t len, char *out, size_t *ret_out_len)
{
	uint32_t code;
	size_t n = pinw_utf8_next(text, len, &code);

	if (n && pinw_utf8_plain(code) && code != '\\') {
		memcpy(out, text, n);
		*ret_out_len = n;
		return n;
	}
	unsigned char byte = (unsigned char)text[0];
	const char *named = byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : byte == '\\' ? "\\\\" : NULL;
	if (named)
		*ret_out_len = (size_t)snprintf(out, 8, "%s", named);
	else
		*ret_out_len = (size_t)snprintf(out, 8, "\\x%02x", byte);
	return 1;
}

void pinw_term_put_foreign(struct pinw_term *t, const char *text, size_t len)
{
	while (len) {
		char out[8];
		size_t out_len;
		size_t n = harmless(text, len, out, &out_len);
		append(t, out, out_len);
		text += n;
		len -= n;
	}
}

static unsigned columns_of(const char *text, size_t len)
{
	unsigned columns = 0;

	while (len) {
		uint32_t code = 0;
		size_t n = pinw_utf8_next(text, len, &code);
		columns += n ? pinw_utf8_columns(code) : 1;
		n = n ? n : 1;
		text += n;
		len -= n;
	}
	return columns;
}

unsigned pinw_term_at(const struct pinw_term *t)
{
	return columns_of(t->line, t->len);
}

void pinw_term_pad(struct pinw_term *t, unsigned column)
{
	for (unsigned at = pinw_term_at(t); at < column; at++)
		append(t, " ", 1);
}

void pinw_term_put_cell(struct pinw_term *t, const char *text, size_t len, unsigned columns)
{
	unsigned start = pinw_term_at(t);
	size_t before = t->len, fits = t->len; /* `fits`: where "..." would still have room */

	pinw_term_put_foreign(t, text, len);
	for (size_t at = before; at < t->len;) {
		uint32_t code = 0;
		size_t n = pinw_utf8_next(t->line + at, t->len - at, &code);
		at += n ? n : 1;
		if (columns_of(t->line + before, at - before) + 3 <= columns)
			fits = at;
	}
	if (pinw_term_at(t) > start + columns) {
		t->len = fits;
		append(t, "...", columns < 3 ? columns : 3);
	}
	pinw_term_pad(t, start + columns);
}

/* ---- ending it ---------------------------------------------------------------------- */

static const char *style_code(enum pinw_style style)
{
	switch (style) {
	case PINW_STYLE_HEADING:
		return "\033[1m";
	case PINW_STYLE_GOOD:
		return "\033[1;32m";
	case PINW_STYLE_BAD:
		return "\033[1;31m";
	case PINW_STYLE_DIM:
		return "\033[2m";
	default:
		return NULL;
	}
}

/* Bytes of `text` for one line of `columns` columns: up to the last space that fits, unless that would leave
 * most of the line empty. */
static size_t fit_line(const char *text, size_t len, unsigned columns)
{
	size_t at = 0, space = 0;
	unsigned used = 0, space_used = 0;

	while (at < len) {
		uint32_t code = 0;
		size_t n = pinw_utf8_next(text + at, len - at, &code);
		unsigned width = n ? pinw_utf8_columns(code) : 1;
		if (used + width > columns)
			break;
		if (text[at] == ' ' && at > 0 && text[at - 1] != ' ') {
			space = at;
			space_used = used;
		}
		used += width;
		at += n ? n : 1;
	}
	if (at == len || text[at] == ' ')
		return at;
	if (space && space_used >= columns / 3)
		return space;
	return at ? at : 1;
}

void pinw_term_end(struct pinw_term *t, unsigned indent, enum pinw_style style)
{
	const char *code = t->color ? style_code(style) : NULL;
	const char *text = t->line;
	size_t len = t->len;
	unsigned margin = 0;

	while (len && text[len - 1] == ' ')
		len--;
	if (code)
		fputs(code, t->out);
	do {
		size_t n = len ? fit_line(text, len, t->columns - margin) : 0;
		fprintf(t->out, "%*s", (int)margin, "");
		if (n)
			fwrite(text, 1, n, t->out);
		text += n;
		len -= n;
		for (; len && *text == ' '; len--)
			text++;
		if (!len && code)
			fputs("\033[0m", t->out);
		putc('\n', t->out);
		margin = indent < PINW_TERM_COLUMNS / 2 ? indent : PINW_TERM_COLUMNS / 2;
	} while (len);
	t->len = 0;
}

void pinw_term_line(struct pinw_term *t, unsigned indent, enum pinw_style style, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append_format(t, format, args);
	va_end(args);
	pinw_term_end(t, indent, style);
}
