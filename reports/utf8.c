/* SPDX-License-Identifier: MIT */
#include "reports/utf8.h"

#include <string.h>

size_t pinw_utf8_next(const char *text, size_t len, uint32_t *ret_code)
{
	const unsigned char *p = (const unsigned char *)text;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t want = p[0] < 0x80   ? 1
	              : p[0] < 0xc0 ? 0
	              : p[0] < 0xe0 ? 2
	              : p[0] < 0xf0 ? 3
	              : p[0] < 0xf8 ? 4
	                            : 0;

	if (want == 0 || want > len)
		return 0;
	uint32_t code = want == 1 ? p[0] : p[0] & (0x7fu >> want);
	for (size_t i = 1; i < want; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[want] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return want;
}

struct range {
	uint32_t first;
	uint32_t last;
};

static bool within(uint32_t code, const struct range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (code >= ranges[i].first && code <= ranges[i].last)
			return true;
	return false;
}

bool pinw_utf8_plain(uint32_t code)
{
	static const struct range tricky[] = {
	    {0x0000, 0x001f}, {0x007f, 0x009f}, {0x00ad, 0x00ad},   {0x061c, 0x061c},
	    {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},   {0xfeff, 0xfeff},
	    {0xfff9, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe007f},
	};

	if (code >= 0x20 && code < 0x7f)
		return true;
	return !within(code, tricky, sizeof(tricky) / sizeof(tricky[0]));
}

size_t pinw_utf8_copy(char *buf, size_t room, const char *text, size_t len, bool plain)
{
	size_t at = 0;

	len = strnlen(text, len);
	while (len) {
		uint32_t code;
		size_t n = pinw_utf8_next(text, len, &code);
		bool keep = n && (!plain || pinw_utf8_plain(code));
		const char *from = keep ? text : "\xef\xbf\xbd";
		size_t bytes = keep ? n : 3;

		if (at + bytes >= room)
			break;
		memcpy(buf + at, from, bytes);
		at += bytes;
		text += n ? n : 1;
		len -= n ? n : 1;
	}
	buf[at] = '\0';
	return at;
}

unsigned pinw_utf8_columns(uint32_t code)
{
	static const struct range none[] = {{0x0300, 0x036f}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},
	                                    {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
	static const struct range two[] = {
	    {0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
	    {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

	if (code < 0x300)
		return 1;
	if (within(code, none, sizeof(none) / sizeof(none[0])))
		return 0;
	return within(code, two, sizeof(two) / sizeof(two[0])) ? 2 : 1;
}
