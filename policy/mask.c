/* SPDX-License-Identifier: MIT */
#include "policy/mask.h"

#include <errno.h>
#include <string.h>

void pinw_mask_load(uint64_t *dst, unsigned words, const void *src, size_t cpusetsize)
{
	size_t n = (size_t)words * 8;

	for (unsigned i = 0; i < words; i++)
		dst[i] = 0;
	/* A mask cut inside a word has its low CPUs first: little endian, as the trace is. */
	if (cpusetsize)
		memcpy(dst, src, n < cpusetsize ? n : cpusetsize);
}

void pinw_mask_copy(uint64_t *dst, const uint64_t *src, unsigned words)
{
	for (unsigned i = 0; i < words; i++)
		dst[i] = src[i];
}

bool pinw_mask_equal(const uint64_t *a, const uint64_t *b, unsigned words)
{
	for (unsigned i = 0; i < words; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

bool pinw_mask_empty(const uint64_t *m, unsigned words)
{
	for (unsigned i = 0; i < words; i++)
		if (m[i])
			return false;
	return true;
}

bool pinw_mask_subset(const uint64_t *a, const uint64_t *b, unsigned words)
{
	for (unsigned i = 0; i < words; i++)
		if (a[i] & ~b[i])
			return false;
	return true;
}

unsigned pinw_mask_width(const uint64_t *m, unsigned words)
{
	unsigned width = 0;

	for (unsigned i = 0; i < words; i++)
		width += (unsigned)__builtin_popcountll(m[i]);
	return width;
}

uint32_t pinw_mask_single(const uint64_t *m, unsigned words)
{
	uint32_t found = 0;

	for (unsigned i = 0; i < words; i++) {
		if (!m[i])
			continue;
		if (found || (m[i] & (m[i] - 1)))
			return 0;
		found = i * 64 + (uint32_t)__builtin_ctzll(m[i]) + 1;
	}
	return found;
}

/* One CPU has one bit, and taking the lowest bit of it away leaves nothing. */
static bool has_two(const uint64_t *m, unsigned words)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < words; i++) {
		if ((m[i] & (m[i] - 1)) || (seen && m[i]))
			return true;
		seen |= m[i];
	}
	return false;
}

bool pinw_mask_is_pin(const uint64_t *mask, const uint64_t *baseline, unsigned words)
{
	return !pinw_mask_subset(baseline, mask, words) && has_two(baseline, words);
}

static bool has(const uint64_t *m, unsigned cpu)
{
	return m[cpu / 64] >> (cpu % 64) & 1;
}

/* Appends decimal `value` at *pos when it and a later "..." fit. */
static bool put_number(char *buf, size_t len, size_t *pos, char before, unsigned value)
{
	char digits[12];
	unsigned n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	if (*pos + n + 1 + 4 > len)
		return false;
	if (before)
		buf[(*pos)++] = before;
	while (n)
		buf[(*pos)++] = digits[--n];
	return true;
}

size_t pinw_mask_print(char *buf, size_t len, const uint64_t *m, unsigned words)
{
	const char *tail = "";
	unsigned cpus = words * 64;
	size_t pos = 0;

	for (unsigned c = 0; c < cpus; c++) {
		if (!has(m, c))
			continue;
		unsigned last = c;
		while (last + 1 < cpus && has(m, last + 1))
			last++;
		if (!put_number(buf, len, &pos, pos ? ',' : 0, c) ||
		    (last > c && !put_number(buf, len, &pos, last == c + 1 ? ',' : '-', last))) {
			tail = "...";
			break;
		}
		c = last;
	}
	if (!pos && !*tail)
		tail = "none";
	while (*tail && pos + 1 < len)
		buf[pos++] = *tail++;
	buf[pos] = '\0';
	return pos;
}

/* One decimal CPU number. */
static int parse_cpu(const char **text, unsigned limit, unsigned *ret_cpu)
{
	const char *p = *text;
	unsigned value = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (unsigned)(*p - '0');
		if (value >= limit)
			return -ERANGE;
	}
	*text = p;
	*ret_cpu = value;
	return 0;
}

/* "3" or "0-3", set in `mask`. */
static int parse_range(const char **text, uint64_t *mask, unsigned words)
{
	unsigned first;
	int r = parse_cpu(text, words * 64, &first);

	if (r < 0)
		return r;
	unsigned last = first;
	if (**text == '-') {
		const char *number = *text + 1;
		r = parse_cpu(&number, words * 64, &last);
		if (r < 0 || last < first)
			return r < 0 ? r : -EINVAL;
		*text = number;
	}
	for (unsigned c = first; c <= last; c++)
		mask[c / 64] |= UINT64_C(1) << (c % 64);
	return 0;
}

int pinw_mask_parse(const char *text, uint64_t *ret_mask, unsigned words, const char **ret_bad)
{
	uint64_t mask[words ? words : 1];
	const char *p = text;
	int r;

	for (unsigned i = 0; i < words; i++)
		mask[i] = 0;
	for (;;) {
		r = parse_range(&p, mask, words);
		if (r < 0)
			break;
		if (*p == '\0') {
			pinw_mask_copy(ret_mask, mask, words);
			return 0;
		}
		if (*p != ',') {
			r = -EINVAL;
			break;
		}
		p++;
	}
	if (ret_bad)
		*ret_bad = p;
	return r;
}
