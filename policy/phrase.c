/* SPDX-License-Identifier: MIT */
#include "policy/phrase.h"

#include <stdarg.h>

struct pinw_phrase pinw_phrase_start(char *buf, size_t size)
{
	if (size)
		buf[0] = '\0';
	return (struct pinw_phrase){.buf = buf, .size = size};
}

static void put(struct pinw_phrase *t, char c)
{
	if (t->len + 1 >= t->size)
		return;
	t->buf[t->len++] = c;
	t->buf[t->len] = '\0';
}

static void put_string(struct pinw_phrase *t, const char *s)
{
	for (; *s; s++)
		put(t, *s);
}

static void put_number(struct pinw_phrase *t, unsigned long value)
{
	char digits[20];
	unsigned n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n)
		put(t, digits[--n]);
}

void pinw_phrase_add(struct pinw_phrase *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (const char *p = format; *p; p++) {
		if (*p != '%') {
			put(t, *p);
			continue;
		}
		p++;
		if (*p == 's')
			put_string(t, va_arg(args, const char *));
		else if (*p == 'c')
			put(t, (char)va_arg(args, int));
		else if (*p == 'u')
			put_number(t, va_arg(args, unsigned));
		else if (*p == 'l' && *++p == 'u')
			put_number(t, va_arg(args, unsigned long));
		else
			put(t, '%');
	}
	va_end(args);
}
