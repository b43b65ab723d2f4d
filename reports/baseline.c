/* SPDX-License-Identifier: MIT */
#include "reports/baseline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES_MAX (256u << 20)
#define WORD_BYTES 24u

/* ---- the file ----------------------------------------------------------------------------- */

static int open_regular(const char *path, size_t *ret_bytes)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	int error = fstat(fd, &st) < 0              ? -errno
	            : !S_ISREG(st.st_mode)          ? -EBADMSG
	            : st.st_size > (off_t)BYTES_MAX ? -EFBIG
	                                            : 0;
	if (error < 0) {
		close(fd);
		return error;
	}
	*ret_bytes = (size_t)st.st_size;
	return fd;
}

bool pinw_baseline_is_document(const char *path)
{
	size_t bytes;
	char first = 0;
	int fd = open_regular(path, &bytes);

	if (fd < 0)
		return false;
	ssize_t n = read(fd, &first, 1);
	close(fd);
	return n == 1 && first == '{';
}

/* ---- JSON, as far as it is wanted ------------------------------------------------------------ */

struct scan {
	const char *at, *end;
	struct pinw_table *keys;
	int error;
};

static char next(struct scan *s)
{
	while (s->at < s->end && strchr(" \t\r\n", *s->at) && *s->at)
		s->at++;
	return s->at < s->end ? *s->at : '\0';
}

static bool take(struct scan *s, char c)
{
	if (next(s) != c)
		return false;
	s->at++;
	return true;
}

static void fail(struct scan *s)
{
	s->error = s->error ? s->error : -EBADMSG;
	s->at = s->end;
}

/* A string as it is written; only as much as fits, which is all of what is looked for. */
static void take_string(struct scan *s, char word[WORD_BYTES])
{
	size_t len = 0;

	if (!take(s, '"'))
		fail(s);
	for (; s->at < s->end && *s->at != '"'; s->at++) {
		if (len + 1 < WORD_BYTES)
			word[len++] = *s->at;
		if (*s->at == '\\' && s->at + 1 < s->end)
			s->at++;
	}
	word[len] = '\0';
	if (!take(s, '"'))
		fail(s);
}

/* Of any kind, brackets balanced. */
static void skip_value(struct scan *s)
{
	char word[WORD_BYTES], c;
	size_t depth = 0;

	do {
		c = next(s);
		if (c == '"') {
			take_string(s, word);
			continue;
		}
		depth += c == '{' || c == '[';
		if (depth == 0 && (c == '}' || c == ']' || c == ','))
			return;
		depth -= c == '}' || c == ']';
		s->at += s->at < s->end;
		if (s->at == s->end)
			fail(s);
	} while (s->at < s->end && (depth || !strchr("}],", next(s))));
}

/* The members of an object, one after the other: returns whether there is one, whose value comes next. */
static bool next_member(struct scan *s, bool first, char name[WORD_BYTES])
{
	if (take(s, '}') || s->error)
		return false;
	if (!first && !take(s, ','))
		fail(s);
	take_string(s, name);
	if (!take(s, ':'))
		fail(s);
	return !s->error;
}

static void take_finding(struct scan *s)
{
	char name[WORD_BYTES], key[WORD_BYTES] = "", state[WORD_BYTES] = "";
	char *end;

	if (!take(s, '{'))
		fail(s);
	for (bool first = true; next_member(s, first, name); first = false)
		if (strcmp(name, "key") == 0)
			take_string(s, key);
		else if (strcmp(name, "state") == 0)
			take_string(s, state);
		else
			skip_value(s);
	uint64_t number = strtoull(key, &end, 16);
	if (s->error || strlen(key) != 16 || *end || !state[0])
		fail(s);
	else if (strcmp(state, "gone") != 0 && !pinw_table_get(s->keys, number, NULL))
		s->error = -ENOMEM;
}

static void take_findings(struct scan *s)
{
	if (!take(s, '['))
		fail(s);
	for (bool first = true; !s->error && !take(s, ']'); first = false) {
		if (!first && !take(s, ','))
			fail(s);
		else
			take_finding(s);
	}
}

static int scan_document(const char *text, size_t len, struct pinw_table *keys)
{
	struct scan s = {.at = text, .end = text + len, .keys = keys};
	bool ours = false, found = false;
	char name[WORD_BYTES];

	if (!take(&s, '{'))
		fail(&s);
	for (bool first = true; next_member(&s, first, name); first = false) {
		ours = ours || strcmp(name, "pinwarden") == 0;
		if (strcmp(name, "findings") == 0) {
			found = true;
			take_findings(&s);
		} else {
			skip_value(&s);
		}
	}
	return s.error ? s.error : ours && found ? 0 : -EBADMSG;
}

int pinw_baseline_read(const char *path, struct pinw_table *keys)
{
	size_t bytes = 0, len = 0;
	int fd = open_regular(path, &bytes);
	char *text = fd < 0 ? NULL : malloc(bytes + 1);
	int error = fd < 0 ? fd : text ? 0 : -ENOMEM;
	ssize_t n = 1;

	while (error == 0 && len < bytes && n > 0) {
		n = read(fd, text + len, bytes - len);
		len += n > 0 ? (size_t)n : 0;
		error = n < 0 ? -errno : 0;
	}
	if (fd >= 0)
		close(fd);
	if (error == 0)
		error = scan_document(text, len, keys);
	free(text);
	return error;
}
