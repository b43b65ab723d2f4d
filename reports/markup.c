/* SPDX-License-Identifier: MIT */
#include "reports/markup.h"

#include <stdint.h>
#include <string.h>

#include "reports/utf8.h"

static void put_character(FILE *out, uint32_t code, const char *text, size_t len)
{
	if (code == '&')
		fputs("&amp;", out);
	else if (code == '<')
		fputs("&lt;", out);
	else if (code == '>')
		fputs("&gt;", out);
	else if (code == '"')
		fputs("&quot;", out);
	else if (code == '\'')
		fputs("&#39;", out);
	else if (code == '\n' || code == '\t')
		fprintf(out, "&#%u;", (unsigned)code);
	else if (pinw_utf8_plain(code))
		fwrite(text, 1, len, out);
	else
		fputs("\xef\xbf\xbd", out);
}

void pinw_markup_bytes(FILE *out, const char *text, size_t len)
{
	while (len) {
		uint32_t code = 0;
		size_t n = pinw_utf8_next(text, len, &code);

		put_character(out, n ? code : 1, text, n);
		n = n ? n : 1;
		text += n;
		len -= n;
	}
}

void pinw_markup_text(FILE *out, const char *text)
{
	pinw_markup_bytes(out, text, strlen(text));
}
