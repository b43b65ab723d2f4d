/* SPDX-License-Identifier: MIT */
#include "reports/jitmap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reports/sysroot.h"

#define MAP_BYTES_MAX (256u << 20)
#define LATE_NS UINT64_C(60000000000) /* how long after its process a map may be written */
#define NS UINT64_C(1000000000)
#define OVERLAPS_MAX 64u /* functions looked at that begin before an address and may reach it */

struct function {
	uint64_t start, size;
	size_t line; /* later ones replace earlier ones */
	const char *name;
};

struct pinw_jitmap {
	char *text; /* the file, each line cut at its end */
	struct function *functions; /* by start, then line */
	size_t count, room;
};

/* ---- whose it is ------------------------------------------------------------------------------- */

static bool is_believed(const struct pinw_process *p, const struct stat *st)
{
	uint64_t written = (uint64_t)st->st_mtim.tv_sec * NS + (uint64_t)st->st_mtim.tv_nsec;
	uint64_t started = p->header.start_real_ns, ended = started + p->duration_ns;

	if (!p->header.self.pid || !S_ISREG(st->st_mode) || (st->st_uid != p->header.uid && st->st_uid != 0))
		return false;
	if (st->st_mtim.tv_sec < 0 || written < started || st->st_size > MAP_BYTES_MAX)
		return false;
	/* When a process died by violence it may have lived on after the last thing recorded. */
	return p->how == PINW_HOW_RUNNING || p->how == PINW_HOW_VIOLENT || written <= ended + LATE_NS;
}

/* The file's bytes and a NUL; NULL with errno, 0 where there is nothing to be believed. */
static char *read_file(const struct pinw_process *p)
{
	char path[64];
	struct stat st;
	char *text = NULL;
	size_t used = 0;

	snprintf(path, sizeof(path), "/tmp/perf-%u.map", p->header.self.pid);
	int fd = pinw_sysroot_open_file(path);
	errno = 0;
	if (fd >= 0 && fstat(fd, &st) == 0 && is_believed(p, &st))
		text = calloc(1, (size_t)st.st_size + 1);
	for (ssize_t n = 1; text && n > 0 && used<(size_t)st.st_size; used += n> 0 ? (size_t)n : 0)
		n = read(fd, text + used, (size_t)st.st_size - used);
	int error = errno;
	if (fd >= 0)
		close(fd);
	errno = error;
	return text;
}

/* ---- lines ------------------------------------------------------------------------------------------ */

static int add(struct pinw_jitmap *m, const struct function *f)
{
	if (m->count == m->room) {
		size_t room = m->room ? 2 * m->room : 1024;
		struct function *more = realloc(m->functions, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		m->functions = more;
		m->room = room;
	}
	m->functions[m->count++] = *f;
	return 0;
}

/* A line that is none of a map is stepped over: the last one may be half written. */
static bool read_line(char *line, struct function *ret)
{
	char *end;

	ret->start = strtoull(line, &end, 16);
	if (end == line || *end != ' ')
		return false;
	line = end + 1;
	ret->size = strtoull(line, &end, 16);
	if (end == line || *end != ' ' || !end[1] || ret->size == 0 || ret->start + ret->size < ret->start)
		return false;
	ret->name = end + 1;
	return true;
}

static int by_start(const void *x, const void *y)
{
	const struct function *a = x, *b = y;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return (a->line > b->line) - (a->line < b->line);
}

static int read_lines(struct pinw_jitmap *m)
{
	struct function f = {.line = 0};
	int error = 0;

	for (char *line = m->text, *next; error == 0 && *line; line = next, f.line++) {
		char *end = strchrnul(line, '\n');

		if (!*end) /* being written */
			break;
		next = end + 1;
		*end = '\0';
		if (read_line(line, &f))
			error = add(m, &f);
	}
	if (m->count)
		qsort(m->functions, m->count, sizeof(*m->functions), by_start);
	return error;
}

/* ---- the map ------------------------------------------------------------------------------------ */

int pinw_jitmap_open(const struct pinw_process *p, struct pinw_jitmap **ret_map)
{
	char *text = read_file(p);
	struct pinw_jitmap *m = text ? calloc(1, sizeof(*m)) : NULL;

	*ret_map = NULL;
	if (!m) {
		int error = text || errno == ENOMEM ? -ENOMEM : 0;
		free(text);
		return error;
	}
	m->text = text;
	if (read_lines(m) < 0) {
		pinw_jitmap_free(m);
		return -ENOMEM;
	}
	*ret_map = m;
	return 0;
}

void pinw_jitmap_free(struct pinw_jitmap *m)
{
	if (!m)
		return;
	free(m->functions);
	free(m->text);
	free(m);
}

const char *pinw_jitmap_find(const struct pinw_jitmap *m, uint64_t address, uint64_t *ret_offset)
{
	const struct function *best = NULL;
	size_t low = 0, high = m->count; /* functions below `low` begin at or before the address */

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (m->functions[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i-- > 0 && low - i <= OVERLAPS_MAX;) {
		const struct function *f = &m->functions[i];

		if (address - f->start < f->size && (!best || f->line > best->line))
			best = f;
	}
	if (!best)
		return NULL;
	*ret_offset = address - best->start;
	return best->name;
}
