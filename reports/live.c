/* SPDX-License-Identifier: MIT */
#include "reports/live.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "reports/live_find.h"
#include "reports/procfs.h"
#include "reports/report.h"
#include "reports/say.h"
#include "reports/watch_proc.h"

#define PARENTS_MAX 16u

struct pinw_live_site {
	char *name; /* NULL: ask again */
};

/* ---- life ------------------------------------------------------------------------------------- */

void pinw_live_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int init(struct pinw_live *l, struct pinw_reader *reader, const char *path)
{
	struct pinw_process *p = calloc(1, sizeof(*p));

	l->reader = reader;
	l->process = p;
	l->task = -1;
	pinw_table_init(&l->tids, sizeof(uint32_t));
	pinw_table_init(&l->sites, sizeof(struct pinw_live_site));
	if (!p || !(p->path = strdup(path)))
		return -ENOMEM;
	p->header = *pinw_reader_header(reader);
	pinw_replay_begin(&l->replay, p);
	return 0;
}

int pinw_live_open_fd(int fd, const char *path, struct pinw_live **ret_live)
{
	struct pinw_reader *reader;
	int error = pinw_reader_open_fd(fd, &reader);

	if (error < 0)
		return error;
	struct pinw_live *l = calloc(1, sizeof(*l));
	if (!l) {
		pinw_reader_free(reader);
		return -ENOMEM;
	}
	error = init(l, reader, path);
	if (error < 0) {
		pinw_live_free(l);
		return error;
	}
	*ret_live = l;
	return 0;
}

int pinw_live_open(const char *path, struct pinw_live **ret_live)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? -errno : pinw_live_open_fd(fd, path, ret_live);
}

static void leave_process(struct pinw_live *l)
{
	if (l->task >= 0)
		close(l->task);
	l->task = -1;
	l->pid = 0;
}

void pinw_live_retire(struct pinw_live *l)
{
	leave_process(l);
	pinw_live_free(l->parent);
	l->parent = NULL;
	l->parent_sought = true;
	pinw_reader_free(l->reader);
	l->reader = NULL;
}

void pinw_live_free(struct pinw_live *l)
{
	if (!l)
		return;
	leave_process(l);
	for (size_t i = 0; i < l->sites.count; i++)
		free(((struct pinw_live_site *)pinw_table_at(&l->sites, i))->name);
	pinw_table_done(&l->sites);
	pinw_table_done(&l->tids);
	pinw_live_free(l->parent);
	pinw_process_free(l->process);
	pinw_reader_free(l->reader);
	free(l);
}

/* ---- the process ---------------------------------------------------------------------------------- */

/* The pid may be given to another process at any moment: it is asked for at every look. */
static void find_process(struct pinw_live *l)
{
	struct pinw_process *p = l->process;
	pid_t pid = 0;
	int error = pinw_procfs_find(&p->header.self, &pid);

	p->alive = error == 0;
	p->elsewhere = error == -EXDEV;
	if (p->alive && pid == l->pid && l->task >= 0)
		return;
	leave_process(l);
	if (!p->alive)
		return;
	l->pid = pid;
	l->task = pinw_task_open(pid);
	l->other_tids = (uint32_t)pid != p->header.self.pid;
}

/* What an image says of its end is believed, except that a process may go on after it said so for an exec that failed. */
static void find_end(struct pinw_live *l)
{
	struct pinw_process *p = l->process;

	find_process(l);
	l->now_ns = pinw_since(pinw_monotonic_ns(), p->header.start_mono_ns);
	if (pinw_process_take_end(p)) {
		l->now_ns = p->duration_ns;
		return;
	}
	p->how = p->alive || p->elsewhere ? PINW_HOW_RUNNING : PINW_HOW_VIOLENT;
	if (p->alive)
		p->last_event_ns = l->now_ns;
	else
		l->now_ns = p->last_event_ns > p->live.census_ns ? p->last_event_ns : p->live.census_ns;
	p->duration_ns = l->now_ns;
}

int pinw_live_look(struct pinw_live *l)
{
	struct pinw_process *p = l->process;
	int error = pinw_reader_follow(l->reader, PINW_SEG_META, pinw_replay_record, &l->replay);

	if (error == 0)
		error = pinw_reader_rules(l->reader, pinw_replay_rule_cell, &l->replay);
	if (l->replay.out_of_memory)
		error = -ENOMEM;
	p->live = *pinw_reader_live(l->reader);
	p->blind = p->live.file_bytes == 0;
	l->tids_read = false;
	find_end(l);
	return error;
}

/* ---- threads ------------------------------------------------------------------------------------- */

/* Threads are numbered differently in there: all are asked for both of their numbers. */
static void read_tids(struct pinw_live *l)
{
	int fd = openat(l->task, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	pinw_table_done(&l->tids);
	l->tids_read = true;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (const struct dirent *d; (d = readdir(dir)) != NULL;) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		uint32_t here = (uint32_t)strtoul(d->d_name, NULL, 10);
		uint32_t there = pinw_task_inner(l->task, here);
		uint32_t *row = there ? pinw_table_get(&l->tids, there, NULL) : NULL;
		if (row)
			*row = here;
	}
	closedir(dir);
}

uint32_t pinw_live_tid(struct pinw_live *l, uint32_t tid)
{
	if (l->task < 0)
		return 0;
	if (!l->other_tids)
		return tid;
	const uint32_t *here = pinw_table_find(&l->tids, tid);
	if (!here && !l->tids_read) {
		read_tids(l);
		here = pinw_table_find(&l->tids, tid);
	}
	return here ? *here : 0;
}

/* ---- stacks ---------------------------------------------------------------------------------------- */

/* A fork child goes on with its parent's numbers and writes only the stacks it meets again. */
static struct pinw_live *parent_of(struct pinw_live *l)
{
	if (l->parent_sought || l->process->header.image != PINW_IMAGE_FORK)
		return l->parent;
	l->parent_sought = true;
	if (pinw_live_find_parent(l, &l->parent) < 0)
		return NULL;
	pinw_live_look(l->parent);
	return l->parent;
}

static const struct pinw_site *find_site(struct pinw_live **l, uint32_t id)
{
	for (unsigned i = 0; *l && i < PARENTS_MAX; i++) {
		const struct pinw_site *s = pinw_process_site((*l)->process, id);
		if (s && s->known && s->frame_count)
			return s;
		*l = parent_of(*l);
	}
	return NULL;
}

const char *pinw_live_site(struct pinw_live *l, struct pinw_stacks *stacks, uint32_t site)
{
	static char unknown[32];
	static struct pinw_stack stack;
	char text[400] = "", escaped[600];
	struct pinw_live *owner = l;

	if (site == 0)
		return "";
	struct pinw_live_site *row = pinw_table_find(&l->sites, site);
	if (row && row->name)
		return row->name;
	const struct pinw_site *s = find_site(&owner, site);
	if (s) {
		pinw_stacks_read(stacks, owner->process, s, &stack);
		pinw_stacks_label(stack.frames, stack.count, text, sizeof(text));
	}
	row = text[0] ? pinw_table_get(&l->sites, site, NULL) : NULL;
	if (row) {
		pinw_say_escape(text, escaped, sizeof(escaped));
		row->name = strdup(escaped);
	}
	if (row && row->name)
		return row->name;
	snprintf(unknown, sizeof(unknown), "stack %u", site);
	return unknown;
}
