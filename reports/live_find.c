/* SPDX-License-Identifier: MIT */
#include "reports/live_find.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reports/procfs.h"
#include "reports/report.h"
#include "reports/say.h"

/* ---- by the memory map -------------------------------------------------------------------------- */

/* One line of /proc/PID/maps. */
struct mapping {
	char range[64]; /* as in map_files/ */
	char *path; /* in the line */
	bool deleted;
};

/* The kernel writes a newline in a name as \012, and nothing else differently. */
static void unescape(char *path)
{
	char *to = path;

	for (const char *at = path; *at; at++) {
		if (strncmp(at, "\\012", 4) == 0) {
			*to++ = '\n';
			at += 3;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
}

/* Is this a shared mapping of the start of a file, as a trace's is? */
static bool parse_mapping(char *line, struct mapping *ret_mapping)
{
	static const char gone[] = " (deleted)";
	struct mapping m = {.path = NULL};
	char flags[8];
	unsigned long long offset;
	int at = 0;

	if (sscanf(line, "%63s %7s %llx %*s %*s %n", m.range, flags, &offset, &at) < 3 || at == 0)
		return false;
	m.path = line + at;
	if (flags[3] != 's' || offset != 0 || m.path[0] != '/')
		return false;
	m.path[strcspn(m.path, "\n")] = '\0';
	size_t len = strlen(m.path);
	if (len > sizeof(gone) && strcmp(m.path + len - sizeof(gone) + 1, gone) == 0) {
		m.path[len - sizeof(gone) + 1] = '\0';
		m.deleted = true;
	}
	unescape(m.path);
	*ret_mapping = m;
	return true;
}

static bool is_of(const struct pinw_live *l, pid_t pid)
{
	pid_t found;

	return pinw_procfs_find(&l->process->header.self, &found) == 0 && found == pid;
}

/* A fork child still has its parent's trace mapped: only the one that tells of this process counts. */
static int open_as(const char *way, pid_t pid, struct pinw_live **ret_live)
{
	struct pinw_live *l;
	struct stat st;

	if (stat(way, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode)) /* to open a device can do things */
		return -ENOMSG;
	int error = pinw_live_open(way, &l);
	if (error < 0)
		return error;
	if (!is_of(l, pid)) {
		pinw_live_free(l);
		return -ENOMSG;
	}
	*ret_live = l;
	return 0;
}

static int open_mapping(const struct mapping *m, pid_t pid, struct pinw_live **ret_live)
{
	char *way = NULL;
	int error = m->deleted ? -ENOENT : open_as(m->path, pid, ret_live);

	/* its names may be those of a container; a name that is gone can be had by those who may do more */
	if (error < 0 && asprintf(&way, m->deleted ? "/proc/%d/map_files/%s" : "/proc/%d/root%s", (int)pid,
	                          m->deleted ? m->range : m->path) >= 0) {
		int other = open_as(way, pid, ret_live);
		error = other == 0 || error == -ENOENT ? other : error;
		free(way);
	}
	return error == -EPERM ? -EACCES : error;
}

/* Could this be the trace at all? Whatever else a process shares is opened too, but speaks of no failure. */
static bool looks_like_trace(const struct mapping *m)
{
	return pinw_is_trace_name(m->path);
}

int pinw_live_open_pid(pid_t pid, struct pinw_live **ret_live)
{
	char path[40], *line = NULL;
	size_t room = 0;
	int result = -ENOMSG;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(path, "re");
	if (!maps)
		return errno == ENOENT ? -ESRCH : -errno;
	while (result != 0 && getline(&line, &room, maps) > 0) {
		struct mapping m;
		if (!parse_mapping(line, &m))
			continue;
		int error = open_mapping(&m, pid, ret_live);
		if (error == 0)
			result = 0;
		else if (looks_like_trace(&m) && error != -ENOMSG)
			result = error;
	}
	if (ferror(maps) && result == -ENOMSG)
		result = -ESRCH; /* it ended meanwhile */
	free(line);
	fclose(maps);
	return result;
}

pid_t pinw_live_parse_pid(const char *word)
{
	char *end;

	if (!isdigit((unsigned char)word[0]))
		return 0;
	errno = 0;
	long pid = strtol(word, &end, 10);
	return errno || *end || pid <= 0 || pid > INT32_MAX ? 0 : (pid_t)pid;
}

void pinw_live_say_pid(const char *command, const char *word, int error)
{
	switch (error) {
	case -ESRCH:
		pinw_say("%s: there is no process %s (a file of that name: ./%s)", command, word, word);
		break;
	case -ENOMSG:
		pinw_say("%s: process %s is not recorded; start it with: pinwarden run -- PROGRAM", command,
		         word);
		break;
	case -EACCES:
		pinw_say("%s: process %s or its trace may not be read by this user", command, word);
		break;
	case -ENOENT:
		pinw_say(
		    "%s: process %s is recorded, but its trace was deleted, or is out of reach from here",
		    command, word);
		break;
	default:
		pinw_say("%s: process %s: %s", command, word, pinw_reader_strerror(error));
		break;
	}
}

static int by_number(const struct dirent **a, const struct dirent **b)
{
	long x = strtol((*a)->d_name, NULL, 10), y = strtol((*b)->d_name, NULL, 10);

	return (x > y) - (x < y);
}

static int is_number(const struct dirent *d)
{
	return isdigit((unsigned char)d->d_name[0]) != 0;
}

void pinw_live_each(pinw_live_fn fn, void *arg)
{
	struct dirent **names = NULL;
	int count = scandir("/proc", &names, is_number, by_number);

	for (int i = 0; i < count; i++) {
		struct pinw_live *l;
		if (pinw_live_open_pid((pid_t)strtol(names[i]->d_name, NULL, 10), &l) == 0)
			fn(arg, l);
		free(names[i]);
	}
	free(names);
}

/* ---- by the folder -------------------------------------------------------------------------------- */

/* Which of two traces is wanted; `best` may be NULL. */
typedef bool (*better_fn)(const struct pinw_live *old, const struct pinw_live *l,
                          const struct pinw_live *best);

static void consider(const struct pinw_live *old, const char *path, better_fn better, struct pinw_live **best)
{
	struct pinw_live *l;

	if (pinw_live_open(path, &l) < 0)
		return;
	if (better(old, l, *best)) {
		struct pinw_live *worse = *best;
		*best = l;
		l = worse;
	}
	pinw_live_free(l);
}

static int search(const struct pinw_live *old, better_fn better, struct pinw_live **ret_live)
{
	const char *path = old->process->path, *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("./");
	DIR *dir = folder ? opendir(folder) : NULL;
	int error = folder ? -ENOENT : -ENOMEM;
	struct pinw_live *best = NULL;

	if (folder && !dir)
		error = -errno;
	for (const struct dirent *d; dir && (d = readdir(dir)) != NULL;) {
		char *file = NULL;
		if (pinw_is_trace_name(d->d_name) && asprintf(&file, "%s%s", folder, d->d_name) >= 0) {
			consider(old, file, better, &best);
			free(file);
		}
	}
	if (dir)
		closedir(dir);
	free(folder);
	if (!best)
		return error;
	*ret_live = best;
	return 0;
}

static const struct pinw_trace_header *header_of(const struct pinw_live *l)
{
	return &l->process->header;
}

static bool same_process(const struct pinw_trace_header *a, const struct pinw_trace_header *b)
{
	return a->self.pid == b->self.pid && a->self.start_ticks == b->self.start_ticks &&
	       a->self.pid_ns == b->self.pid_ns;
}

static bool same_program(const struct pinw_trace_header *a, const struct pinw_trace_header *b)
{
	char x[sizeof(a->exe) + 1], y[sizeof(b->exe) + 1];

	snprintf(x, sizeof(x), "%.*s", (int)a->exe_len, a->exe);
	snprintf(y, sizeof(y), "%.*s", (int)b->exe_len, b->exe);
	return a->uid == b->uid && strcmp(pinw_base_name(x), pinw_base_name(y)) == 0;
}

static bool is_next(const struct pinw_live *old, const struct pinw_live *l, const struct pinw_live *best)
{
	const struct pinw_trace_header *h = header_of(l);
	pid_t pid;

	return h->start_mono_ns > (best ? header_of(best) : header_of(old))->start_mono_ns &&
	       (same_process(header_of(old), h) || same_program(header_of(old), h)) &&
	       pinw_procfs_find(&h->self, &pid) == 0;
}

static bool is_same_image(const struct pinw_live *a, const struct pinw_live *b)
{
	return memcmp(header_of(a)->self.nonce, header_of(b)->self.nonce, 16) == 0 &&
	       header_of(a)->start_mono_ns == header_of(b)->start_mono_ns;
}

int pinw_live_find_next(const struct pinw_live *l, struct pinw_live **ret_next)
{
	struct pinw_live *next = NULL;
	pid_t pid;

	if (pinw_procfs_find(&header_of(l)->self, &pid) == 0 && pinw_live_open_pid(pid, &next) == 0 && next) {
		if (!is_same_image(l, next)) {
			*ret_next = next;
			return 0;
		}
		pinw_live_free(next);
	}
	return search(l, is_next, ret_next);
}

static bool is_parent(const struct pinw_live *child, const struct pinw_live *l, const struct pinw_live *best)
{
	static const uint8_t unknown[16];
	const struct pinw_identity *parent = &header_of(child)->parent, *self = &header_of(l)->self;

	return !best && memcmp(parent->nonce, unknown, sizeof(unknown)) != 0 && parent->pid == self->pid &&
	       memcmp(parent->nonce, self->nonce, sizeof(parent->nonce)) == 0;
}

int pinw_live_find_parent(const struct pinw_live *l, struct pinw_live **ret_parent)
{
	return search(l, is_parent, ret_parent);
}
