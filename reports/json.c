/* SPDX-License-Identifier: MIT */
#include "reports/json.h"

#include <errno.h>
#include <string.h>

#include "reports/utf8.h"

void pinw_json_init(struct pinw_json *j, FILE *out)
{
	j->out = out;
	j->depth = j->inline_depth = 0;
	j->first = true;
	j->in_markup = false;
	j->used = 0;
}

/* ---- text ------------------------------------------------------------------------------ */

static void flush(struct pinw_json *j)
{
	fwrite_unlocked(j->block, 1, j->used, j->out);
	j->used = 0;
}

/* Most pieces are a few bytes long: a call of stdio for each took a third of the time of a long document. */
static void put(struct pinw_json *j, const char *text, size_t len)
{
	if (len > sizeof(j->block) - j->used)
		flush(j);
	if (len > sizeof(j->block)) {
		fwrite_unlocked(text, 1, len, j->out);
		return;
	}
	memcpy(j->block + j->used, text, len);
	j->used += len;
}

static void put_char(struct pinw_json *j, char c)
{
	if (j->used == sizeof(j->block))
		flush(j);
	j->block[j->used++] = c;
}

/* As \u and four digits, or two of these. Returns how long it is. */
static size_t escape_of(uint32_t code, char escape[16])
{
	if (code < 0x10000)
		return (size_t)snprintf(escape, 16, "\\u%04x", code);
	code -= 0x10000;
	return (size_t)snprintf(escape, 16, "\\u%04x\\u%04x", 0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff));
}

static void put_character(struct pinw_json *j, uint32_t code, const char *text, size_t len)
{
	char escape[16];

	if (code == '"' || code == '\\') {
		put_char(j, '\\');
		put_char(j, (char)code);
	} else if (pinw_utf8_plain(code) && (code != '<' || !j->in_markup)) {
		put(j, text, len);
	} else {
		len = escape_of(code, escape);
		put(j, escape, len);
	}
}

/* Printable ASCII but for the quote, the backslash and "<". */
static const bool needs_no_escape[256] = {
    [' ' ... '!'] = true, ['#' ... ';'] = true, ['=' ... '['] = true, [']' ... '~'] = true};

static void put_string(struct pinw_json *j, const char *text, size_t len)
{
	put_char(j, '"');
	while (len) {
		size_t n = 0;
		while (n < len && needs_no_escape[(unsigned char)text[n]])
			n++;
		put(j, text, n);
		text += n;
		len -= n;
		if (len == 0)
			break;
		uint32_t code;
		n = pinw_utf8_next(text, len, &code);
		if (n == 0)
			put(j, "\xef\xbf\xbd", 3);
		else
			put_character(j, code, text, n);
		n = n ? n : 1;
		text += n;
		len -= n;
	}
	put_char(j, '"');
}

/* What comes before a value: comma, line and key. */
static void lead(struct pinw_json *j, const char *key)
{
	if (!j->first)
		put_char(j, ',');
	if (j->depth && (!j->inline_depth || j->depth < j->inline_depth)) {
		put_char(j, '\n');
		for (unsigned i = 0; i < j->depth; i++)
			put_char(j, ' ');
	} else if (!j->first) {
		put_char(j, ' ');
	}
	j->first = false;
	if (!key)
		return;
	put_string(j, key, strlen(key));
	put(j, ": ", 2);
}

static void begin(struct pinw_json *j, const char *key, char bracket, bool line)
{
	lead(j, key);
	put_char(j, bracket);
	j->depth++;
	j->first = true;
	if (line && !j->inline_depth)
		j->inline_depth = j->depth;
}

static void end(struct pinw_json *j, char bracket)
{
	j->depth--;
	if (!j->first && !j->inline_depth) {
		put_char(j, '\n');
		for (unsigned i = 0; i < j->depth; i++)
			put_char(j, ' ');
	}
	if (j->inline_depth > j->depth)
		j->inline_depth = 0;
	put_char(j, bracket);
	j->first = false;
}

void pinw_json_begin_object(struct pinw_json *j, const char *key)
{
	begin(j, key, '{', false);
}

void pinw_json_begin_array(struct pinw_json *j, const char *key)
{
	begin(j, key, '[', false);
}

void pinw_json_begin_line_object(struct pinw_json *j, const char *key)
{
	begin(j, key, '{', true);
}

void pinw_json_begin_line_array(struct pinw_json *j, const char *key)
{
	begin(j, key, '[', true);
}

void pinw_json_end_object(struct pinw_json *j)
{
	end(j, '}');
}

void pinw_json_end_array(struct pinw_json *j)
{
	end(j, ']');
}

void pinw_json_number(struct pinw_json *j, const char *key, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	lead(j, key);
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put(j, digits + at, sizeof(digits) - at);
}

void pinw_json_thousandths(struct pinw_json *j, const char *key, uint64_t value)
{
	unsigned rest = (unsigned)(value % 1000);
	const char decimals[] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
	                         (char)('0' + rest % 10)};

	pinw_json_number(j, key, value / 1000);
	put(j, decimals, sizeof(decimals));
}

void pinw_json_bool(struct pinw_json *j, const char *key, bool value)
{
	lead(j, key);
	put(j, value ? "true" : "false", value ? 4 : 5);
}

void pinw_json_null(struct pinw_json *j, const char *key)
{
	lead(j, key);
	put(j, "null", 4);
}

void pinw_json_bytes(struct pinw_json *j, const char *key, const char *text, size_t len)
{
	lead(j, key);
	put_string(j, text, len);
}

void pinw_json_text(struct pinw_json *j, const char *key, const char *text)
{
	pinw_json_bytes(j, key, text, strlen(text));
}

int pinw_json_done(struct pinw_json *j)
{
	put_char(j, '\n');
	errno = 0;
	flush(j);
	if (fflush(j->out) != 0 || ferror(j->out))
		return errno ? -errno : -EIO;
	return 0;
}

void pinw_json_next(struct pinw_json *j)
{
	put_char(j, '\n');
	j->first = true;
}
