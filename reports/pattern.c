/* SPDX-License-Identifier: MIT */
#include "reports/pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/trace_format.h"

#define CONVERSIONS "pehtn%"
#define LEAST_BYTES (UINT64_C(128) << 10)
#define MOST_BYTES (UINT64_C(1) << 39) /* a number the shim still reads */
/* What a short conversion may grow to; the shim gives up on a longer name. */
#define EXPANSION_ROOM 160u

static int is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *pinw_pattern_absolute(const char *path, const char *cwd)
{
	char *out;

	if (path[0] == '/')
		return strdup(path);
	return asprintf(&out, "%s%s%s", cwd, cwd[strlen(cwd) - 1] == '/' ? "" : "/", path) < 0 ? NULL : out;
}

/* Returns the first character that is not understood, or NULL. Counts conversions other than %%. */
static const char *scan_name(const char *name, unsigned *ret_conversions)
{
	*ret_conversions = 0;
	for (const char *p = name; *p; p++) {
		if (*p != '%')
			continue;
		if (!p[1] || !strchr(CONVERSIONS, p[1]))
			return p;
		if (*++p != '%')
			++*ret_conversions;
	}
	return NULL;
}

static char *without_escapes(const char *text)
{
	const char *last = strrchr(text, '/');
	char *out = malloc(strlen(text) + 1);
	size_t n = 0;

	for (const char *p = text; out && *p; p++) {
		out[n++] = *p;
		if (*p == '%' && p > last)
			p++;
	}
	if (out)
		out[n] = '\0';
	return out;
}

/* The directory as typed has a conversion in it, and is not simply a directory with such a name. */
static bool has_conversion(const char *directory)
{
	for (const char *p = directory; (p = strchr(p, '%')); p++)
		if (p[1] && strchr(CONVERSIONS, p[1]))
			return true;
	return false;
}

static int check_directory(const char *directory, char *why, size_t len)
{
	struct stat st;

	if (stat(directory, &st) < 0) {
		int r = -errno;

		if (r == -ENOENT && has_conversion(directory)) {
			snprintf(
			    why, len,
			    "%s: conversions such as %%p work in the file name only, not in its directory",
			    directory);
			return -EINVAL;
		}
		if (r == -ENOENT)
			snprintf(why, len, "the directory %s does not exist; create it first", directory);
		else
			snprintf(why, len, "%s: %s", directory, strerror(-r));
		return r;
	}
	if (!S_ISDIR(st.st_mode)) {
		snprintf(why, len, "%s is not a directory; choose another place with -o", directory);
		return -ENOTDIR;
	}
	if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) < 0) {
		int r = -errno;

		snprintf(why, len, "cannot write traces into %s: %s; choose another place with -o", directory,
		         strerror(-r));
		return r;
	}
	return 0;
}

static int check_name(const char *text, unsigned *ret_conversions, char *why, size_t len)
{
	const char *name = strrchr(text, '/') + 1;
	const char *bad = scan_name(name, ret_conversions);

	if (bad && bad[1]) {
		snprintf(why, len,
		         "%%%c is not a conversion; there are %%p (pid), %%e (program), %%h (host), %%t "
		         "(time), %%n "
		         "(number) and %%%% (a percent sign)",
		         bad[1]);
		return -EINVAL;
	}
	if (bad) {
		snprintf(why, len, "%s ends in a single %%; write %%%% for a percent sign", name);
		return -EINVAL;
	}
	if (strlen(text) + EXPANSION_ROOM > PINW_PATH_MAX || strlen(name) > NAME_MAX) {
		snprintf(why, len,
		         "the name of the trace is too long (%zu bytes); choose a shorter one with -o",
		         strlen(text));
		return -ENAMETOOLONG;
	}
	return 0;
}

/* Adds the default name to a directory. */
static char *complete(const char *text, const char *cwd)
{
	char *absolute = pinw_pattern_absolute(text && *text ? text : PINW_PATTERN_DEFAULT, cwd);
	char *out = absolute;
	size_t n = absolute ? strlen(absolute) : 0;

	if (absolute && (absolute[n - 1] == '/' || is_directory(absolute))) {
		if (asprintf(&out, "%s%s%s", absolute, absolute[n - 1] == '/' ? "" : "/",
		             PINW_PATTERN_DEFAULT) < 0)
			out = NULL;
		free(absolute);
	}
	return out;
}

int pinw_pattern_parse(const char *text, const char *cwd, struct pinw_pattern *ret_pattern, char *why,
                       size_t why_len)
{
	struct pinw_pattern p = {.text = complete(text, cwd)};
	unsigned conversions = 0;
	int r = -ENOMEM;

	snprintf(why, why_len, "out of memory");
	if (!p.text)
		return -ENOMEM;
	size_t n = (size_t)(strrchr(p.text, '/') - p.text);
	p.directory = strndup(p.text, n ? n : 1);
	if (p.directory)
		r = check_directory(p.directory, why, why_len);
	if (r == 0)
		r = check_name(p.text, &conversions, why, why_len);
	if (r == 0 && conversions == 0) {
		p.file = without_escapes(p.text);
		r = p.file ? 0 : -ENOMEM;
	}
	if (r < 0)
		pinw_pattern_done(&p);
	else
		*ret_pattern = p;
	return r;
}

void pinw_pattern_done(struct pinw_pattern *p)
{
	if (!p)
		return;
	free(p->text);
	free(p->directory);
	free(p->file);
	memset(p, 0, sizeof(*p));
}

int pinw_pattern_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMG";
	const char *unit;
	char *end;
	unsigned long long value;
	unsigned shift = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end) {
		unit = *end == ' ' ? NULL : strchr(units, *end & ~0x20); /* either case */
		if (!unit || end[1])
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (errno == ERANGE || value > MOST_BYTES >> shift || value << shift < LEAST_BYTES)
		return -ERANGE;
	*ret_bytes = value << shift;
	return 0;
}
