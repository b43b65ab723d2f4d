/* SPDX-License-Identifier: MIT */
#include "reports/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/utf8.h"

#define COLUMNS 80u

void pinw_say_escape(const char *text, char *buf, size_t len)
{
	size_t left = strlen(text), at = 0;

	while (left) {
		uint32_t code;
		size_t n = pinw_utf8_next(text, left, &code);
		bool plain = n && pinw_utf8_plain(code);

		if (at + (plain ? n : 4) >= len)
			break;
		if (plain) {
			memcpy(buf + at, text, n);
		} else {
			n = 1;
			snprintf(buf + at, len - at, "\\x%02x", (unsigned char)*text);
		}
		at += plain ? n : 4;
		text += n;
		left -= n;
	}
	buf[at] = '\0';
}

void pinw_say_quote(const char *word, char *buf, size_t len)
{
	static const char plain[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-,:@%=";
	size_t at = 0;

	if (*word && strspn(word, plain) == strlen(word)) {
		snprintf(buf, len, "%s", word);
		return;
	}
	buf[at++] = '\'';
	for (; *word && at + 6 < len; word++) {
		if (*word == '\'') {
			memcpy(buf + at, "'\\''", 4);
			at += 4;
		} else {
			buf[at++] = *word;
		}
	}
	buf[at++] = '\'';
	buf[at] = '\0';
}

static const char tag[] = "pinwarden: ";

/* What is said, with control bytes made visible. The caller frees it; NULL when out of memory. */
static char *compose(const char *format, va_list args)
{
	char *text, *escaped;
	int n = vasprintf(&text, format, args);

	if (n < 0)
		return NULL;
	escaped = malloc((size_t)n * 4 + 2);
	if (escaped)
		pinw_say_escape(text, escaped, (size_t)n * 4 + 2);
	free(text);
	return escaped;
}

void pinw_say(const char *format, ...)
{
	va_list args;
	char *line;

	va_start(args, format);
	char *text = compose(format, args);
	va_end(args);
	int len = text ? asprintf(&line, "%s%s\n", tag, text) : -1;
	if (len >= 0) {
		(void)pinw_write_all(STDERR_FILENO, line,
		                     (size_t)len); /* nowhere left to say that it failed */
		free(line);
	}
	free(text);
}

/* How much of the text goes on a line of `columns`: up to the last space that fits, else up to the first. */
static size_t line_length(const char *text, size_t columns)
{
	size_t space = 0, used = 0, i;

	for (i = 0; text[i]; i++) {
		if (text[i] == ' ')
			space = i;
		used += ((unsigned char)text[i] & 0xc0) != 0x80;
		if (used > columns && space)
			return space;
	}
	return i;
}

void pinw_say_folded(const char *format, ...)
{
	char *lines = NULL;
	size_t len;
	va_list args;

	va_start(args, format);
	char *text = compose(format, args);
	va_end(args);
	FILE *out = text ? open_memstream(&lines, &len) : NULL;
	for (const char *at = text; out && at && *at;) {
		const char *indent = at == text ? "" : "  ";
		size_t n = line_length(at, COLUMNS - strlen(tag) - strlen(indent));
		fprintf(out, "%s%s%.*s\n", tag, indent, (int)n, at);
		at += n + (at[n] == ' ');
	}
	if (out && fclose(out) == 0)
		(void)pinw_write_all(STDERR_FILENO, lines, len);
	free(lines);
	free(text);
}

int pinw_write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}
