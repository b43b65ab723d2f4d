/* SPDX-License-Identifier: MIT */
#include "reports/session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/trace_format.h"
#include "reports/procfs.h"
#include "reports/reader.h"

/* The image of the root process that started last. */
struct last_image {
	char *path;
	uint64_t start_ns;
	bool execs;
};

int pinw_session_new(struct pinw_session *ret_session)
{
	struct pinw_session s;

	if (getrandom(s.id, sizeof(s.id), 0) != sizeof(s.id))
		return -errno;
	for (size_t i = 0; i < sizeof(s.id); i++)
		snprintf(s.text + 2 * i, 3, "%02x", s.id[i]);
	*ret_session = s;
	return 0;
}

/* ---- finding traces -------------------------------------------------------------------------- */

static bool ends_in_pwt(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && strcmp(name + n - 4, ".pwt") == 0;
}

/* Opens a file of the directory if it can be a trace. */
static struct pinw_reader *open_trace(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct pinw_reader *reader;

	return fd >= 0 && pinw_reader_open_fd(fd, &reader) == 0 ? reader : NULL;
}

static int add_path(struct pinw_traces *t, const char *directory, const char *name)
{
	char *path;

	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 16;
		char **paths = reallocarray(t->paths, room, sizeof(*paths));
		if (!paths)
			return -ENOMEM;
		t->paths = paths;
		t->room = room;
	}
	if (asprintf(&path, "%s%s%s", directory, directory[1] ? "/" : "", name) < 0)
		return -ENOMEM;
	t->paths[t->count++] = path;
	return 0;
}

/* A process keeps its pid and start time over exec; a pid alone may be another namespace's. */
static bool is_root(const struct pinw_trace_header *h, const struct pinw_outcome *o)
{
	return h->self.pid == (uint32_t)o->pid &&
	       (!o->start_ticks || !h->self.start_ticks || h->self.start_ticks == o->start_ticks);
}

static int take_file(const struct pinw_session *s, int dir, const char *directory, const char *name,
                     const struct pinw_outcome *outcome, struct pinw_traces *t, struct last_image *last)
{
	struct pinw_reader *reader = open_trace(dir, name);
	const struct pinw_trace_header *h = reader ? pinw_reader_header(reader) : NULL;
	int r = 0;

	if (!h || memcmp(h->session, s->id, sizeof(s->id)) != 0) {
		t->foreign += ends_in_pwt(name);
	} else {
		r = add_path(t, directory, name);
		if (r == 0 && is_root(h, outcome) && (!last->path || h->start_mono_ns >= last->start_ns))
			*last =
			    (struct last_image){.path = t->paths[t->count - 1],
			                        .start_ns = h->start_mono_ns,
			                        .execs = pinw_reader_live(reader)->end_how == PINW_END_EXEC};
	}
	pinw_reader_free(reader);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_paths(struct pinw_traces *t, const struct last_image *last)
{
	if (t->count)
		qsort(t->paths, t->count, sizeof(*t->paths), by_name);
	t->root = t->count;
	for (size_t i = 0; i < t->count; i++)
		if (t->paths[i] == last->path)
			t->root = i;
	t->root_execs = last->execs;
}

int pinw_session_find(const struct pinw_session *s, const char *directory, const struct pinw_outcome *outcome,
                      struct pinw_traces *ret_traces)
{
	struct pinw_traces t = {0};
	struct last_image last = {0};
	DIR *dir = opendir(directory);
	const struct dirent *entry;
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir)))
		if (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN)
			r = take_file(s, dirfd(dir), directory, entry->d_name, outcome, &t, &last);
	closedir(dir);
	if (r < 0) {
		pinw_traces_done(&t);
		return r;
	}
	sort_paths(&t, &last);
	*ret_traces = t;
	return 0;
}

void pinw_traces_done(struct pinw_traces *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->paths[i]);
	free(t->paths);
	*t = (struct pinw_traces){0};
}

/* ---- the end --------------------------------------------------------------------------------- */

static int write_at(int fd, const void *data, size_t len, off_t offset)
{
	ssize_t n = pwrite(fd, data, len, offset);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

/* Status and time first, what makes them valid last. */
static int store_end(int fd, uint32_t how, uint32_t status, uint64_t end_ns)
{
	const off_t live = PINW_LIVE_OFFSET;
	int r =
	    write_at(fd, &status, sizeof(status), live + (off_t)offsetof(struct pinw_trace_live, end_status));

	if (r == 0)
		r = write_at(fd, &end_ns, sizeof(end_ns),
		             live + (off_t)offsetof(struct pinw_trace_live, end_ns));
	if (r == 0)
		r = write_at(fd, &how, sizeof(how), live + (off_t)offsetof(struct pinw_trace_live, end_how));
	return r;
}

/* Opens the file the reader has, and no other that took its name meanwhile. */
static int open_same(const char *path, const struct pinw_reader *reader)
{
	uint64_t device, inode;
	struct stat st;
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	pinw_reader_file(reader, &device, &inode);
	if (fstat(fd, &st) < 0 || st.st_dev != device || st.st_ino != inode) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

int pinw_session_write_end(const struct pinw_traces *t, const struct pinw_outcome *outcome)
{
	bool signaled = WIFSIGNALED(outcome->status);
	uint32_t how = signaled ? PINW_END_SIGNAL : PINW_END_EXIT;
	uint32_t status = (uint32_t)(signaled ? WTERMSIG(outcome->status) : WEXITSTATUS(outcome->status));
	const struct pinw_trace_header *h;
	const struct pinw_trace_live *live;
	struct pinw_reader *reader;
	int fd, r;

	if (t->root == t->count || t->root_execs)
		return 0;
	r = pinw_reader_open(t->paths[t->root], &reader);
	if (r < 0)
		return r;
	h = pinw_reader_header(reader);
	live = pinw_reader_live(reader);
	if (live->end_how != how || live->end_status != status) {
		uint64_t end_ns =
		    outcome->ended_ns > h->start_mono_ns ? outcome->ended_ns - h->start_mono_ns : 0;

		if (live->end_how == PINW_END_EXIT && !signaled)
			end_ns =
			    live->end_ns; /* the time is right, only another status was given in the end */
		fd = open_same(t->paths[t->root], reader);
		r = fd < 0 ? fd : store_end(fd, how, status, end_ns);
		if (fd >= 0)
			close(fd);
	}
	pinw_reader_free(reader);
	return r;
}

/* ---- room for a new trace -------------------------------------------------------------------- */

static bool still_written(struct pinw_reader *reader)
{
	pid_t pid;

	return pinw_reader_live(reader)->end_how == PINW_END_NONE &&
	       pinw_procfs_find(&pinw_reader_header(reader)->self, &pid) == 0;
}

int pinw_session_clear(const char *path)
{
	struct pinw_reader *reader = NULL;
	struct stat st;
	int r;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return -EEXIST;
	r = pinw_reader_open(path, &reader);
	if (r < 0 && r != PINW_READ_VERSION &&
	    r != PINW_READ_GEOMETRY) /* these two are traces, if not for us */
		return -EEXIST;
	r = reader && still_written(reader) ? -EBUSY : 0;
	pinw_reader_free(reader);
	if (r == 0 && unlink(path) < 0)
		r = -errno;
	return r;
}
