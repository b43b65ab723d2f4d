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

void pinw_say(const char *format, ...)
{
	static const char tag[] = "pinwarden: ";
	char *text, *line;
	va_list args;
	size_t room;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		return;
	room = sizeof(tag) + (size_t)n * 4 + 2;
	line = malloc(room);
	if (line) {
		memcpy(line, tag, sizeof(tag));
		pinw_say_escape(text, line + sizeof(tag) - 1, room - sizeof(tag));
		size_t len = strlen(line);
		line[len++] = '\n';
		ssize_t n_written = write(STDERR_FILENO, line, len);
		(void)n_written; /* nowhere left to say that it failed */
	}
	free(line);
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
