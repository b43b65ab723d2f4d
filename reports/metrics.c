/* SPDX-License-Identifier: MIT */
#include "reports/metrics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reports/live_find.h"
#include "reports/ranges.h"
#include "reports/say.h"

/* A file of a folder that is no trace that can be read. */
struct refused {
	bool said;
	uint64_t look; /* it was there at */
	int64_t changed_ns; /* then */
};

struct pinw_metrics {
	struct pinw_metrics_options opt;
	struct pinw_stacks *stacks;
	struct pinw_metered **processes;
	size_t count, room;
	char **folders;
	size_t folder_count, folder_room;
	struct pinw_table refused; /* by device and inode */
	struct pinw_metered **shown; /* those a page has, as of the last look */
	size_t shown_count;
	uint64_t look; /* number of this one */
	uint64_t unreadable;
};

/* ---- life ------------------------------------------------------------------------------------- */

int pinw_metrics_new(const struct pinw_metrics_options *options, struct pinw_metrics **ret_metrics)
{
	struct pinw_metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->opt = *options;
	pinw_table_init(&m->refused, sizeof(struct refused));
	if (pinw_stacks_open(&m->stacks) < 0) {
		free(m);
		return -ENOMEM;
	}
	*ret_metrics = m;
	return 0;
}

void pinw_metrics_free(struct pinw_metrics *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->count; i++)
		pinw_metered_free(m->processes[i]);
	for (size_t i = 0; i < m->folder_count; i++)
		free(m->folders[i]);
	free(m->processes);
	free(m->folders);
	free(m->shown);
	pinw_table_done(&m->refused);
	pinw_stacks_free(m->stacks);
	free(m);
}

size_t pinw_metrics_count(const struct pinw_metrics *m)
{
	return m->count;
}

static struct pinw_metered *find(const struct pinw_metrics *m, uint64_t device, uint64_t inode)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->processes[i]->device == device && m->processes[i]->inode == inode)
			return m->processes[i];
	return NULL;
}

bool pinw_metrics_hold(const struct pinw_metrics *m, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && find(m, st.st_dev, st.st_ino);
}

/* ---- what to look at ------------------------------------------------------------------------------- */

/* Takes `live` over. One that is there already is not added again. */
static int add_live(struct pinw_metrics *m, struct pinw_live *live, struct pinw_metered **ret_metered)
{
	uint64_t device, inode;
	struct pinw_metered *p;

	pinw_reader_file(live->reader, &device, &inode);
	p = find(m, device, inode);
	if (p) {
		pinw_live_free(live);
		*ret_metered = p;
		return 0;
	}
	if (pinw_metered_new(live, m->opt.sites, &p) < 0)
		return -ENOMEM;
	if (pinw_grow((void **)&m->processes, m->count, &m->room, sizeof(struct pinw_metered *)) < 0) {
		pinw_metered_free(p);
		return -ENOMEM;
	}
	m->processes[m->count++] = p;
	*ret_metered = p;
	return 0;
}

static int add_pid(struct pinw_metrics *m, const char *name, pid_t pid)
{
	struct pinw_live *live;
	struct pinw_metered *p;
	int error = pinw_live_open_pid(pid, &live);

	if (error < 0) {
		pinw_live_say_pid("metrics", name, error);
		return -EINVAL;
	}
	error = add_live(m, live, &p);
	if (error == 0)
		p->follow = true;
	return error;
}

static int add_folder(struct pinw_metrics *m, const char *name)
{
	char *copy = strdup(name);

	if (!copy || pinw_grow((void **)&m->folders, m->folder_count, &m->folder_room, sizeof(char *)) < 0) {
		free(copy);
		return -ENOMEM;
	}
	m->folders[m->folder_count++] = copy;
	return 0;
}

int pinw_metrics_add(struct pinw_metrics *m, const char *name)
{
	struct pinw_live *live;
	struct pinw_metered *p;
	struct stat st;
	pid_t pid = pinw_live_parse_pid(name);

	if (pid > 0)
		return add_pid(m, name, pid);
	if (stat(name, &st) == 0 && S_ISDIR(st.st_mode))
		return add_folder(m, name);
	int error = pinw_live_open(name, &live);
	if (error < 0) {
		pinw_say("metrics: %s: %s", name, pinw_reader_strerror(error));
		return -EINVAL;
	}
	error = add_live(m, live, &p);
	if (error == 0)
		p->named = true;
	return error;
}

/* ---- folders --------------------------------------------------------------------------------------- */

/* Says it once; looks again when the file changed: a trace begins empty. */
static bool was_refused(struct pinw_metrics *m, const struct stat *st)
{
	uint64_t key = (uint64_t)st->st_ino ^ (uint64_t)st->st_dev << 40;
	struct refused *row = pinw_table_find(&m->refused, key);

	if (!row)
		return false;
	row->look = m->look;
	return row->changed_ns == (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static void refuse(struct pinw_metrics *m, const char *path, const struct stat *st, int error)
{
	uint64_t key = (uint64_t)st->st_ino ^ (uint64_t)st->st_dev << 40;
	struct refused *row = pinw_table_get(&m->refused, key, NULL);

	m->unreadable++;
	if (!row)
		return;
	row->look = m->look;
	row->changed_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
	if (!row->said && error != PINW_READ_EMPTY)
		pinw_say("metrics: %s: %s", path, pinw_reader_strerror(error));
	row->said |= error != PINW_READ_EMPTY;
}

static int look_at_file(struct pinw_metrics *m, const char *path)
{
	struct pinw_live *live;
	struct pinw_metered *p;
	struct stat st;

	if (stat(path, &st) < 0)
		return 0;
	p = find(m, st.st_dev, st.st_ino);
	if (p) {
		p->seen = true;
		return 0;
	}
	if (was_refused(m, &st)) {
		m->unreadable++;
		return 0;
	}
	int error = pinw_live_open(path, &live);
	if (error == -ENOMEM)
		return error;
	if (error < 0) {
		refuse(m, path, &st, error);
		return 0;
	}
	error = add_live(m, live, &p);
	if (error < 0)
		return error;
	p->seen = true;
	/* One that has ended gives its descriptor back at once: there can be more of those than may be open. */
	return pinw_metered_look(p, m->stacks) == -ENOMEM ? -ENOMEM : 0;
}

static int look_at_folder(struct pinw_metrics *m, const char *folder)
{
	DIR *dir = opendir(folder);
	int error = 0;

	if (!dir) {
		m->unreadable++;
		return 0;
	}
	for (const struct dirent *d; error == 0 && (d = readdir(dir)) != NULL;) {
		char path[PATH_MAX];
		if (pinw_is_trace_name(d->d_name) &&
		    snprintf(path, sizeof(path), "%s/%s", folder, d->d_name) < (int)sizeof(path))
			error = look_at_file(m, path);
	}
	closedir(dir);
	return error;
}

/* What was found in a folder goes when its file does. */
static void forget_gone(struct pinw_metrics *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->count; i++) {
		struct pinw_metered *p = m->processes[i];
		if (p->seen || p->named || p->follow)
			m->processes[kept++] = p;
		else
			pinw_metered_free(p);
	}
	m->count = kept;
}

/* ---- looking ----------------------------------------------------------------------------------------- */

/* The next image of a process that was named by its pid. */
static int follow_exec(struct pinw_metrics *m, struct pinw_metered *p)
{
	struct pinw_live *next;

	if (!p->follow || p->live->process->how != PINW_HOW_EXEC || !p->live->process->alive ||
	    pinw_live_open_pid(p->live->pid, &next) < 0)
		return 0;
	int error = add_live(m, next, &p);
	if (error == 0)
		p->follow = true;
	return error;
}

static int look_at_process(struct pinw_metrics *m, struct pinw_metered *p)
{
	int error = pinw_metered_look(p, m->stacks);

	if (error == -ENOMEM)
		return error;
	m->unreadable += error < 0;
	return follow_exec(m, p);
}

static int by_labels(const void *x, const void *y)
{
	const struct pinw_metered *a = *(struct pinw_metered *const *)x,
	                          *b = *(struct pinw_metered *const *)y;
	uint64_t then = a->live->process->header.start_real_ns,
	         later = b->live->process->header.start_real_ns;
	int order = strcmp(a->labels, b->labels);

	return order ? order : (then > later) - (then < later);
}

/* Two images of one process can have the same labels, and a page must not name a series twice: the newest is shown. */
static int choose_shown(struct pinw_metrics *m)
{
	size_t count = 0;

	free(m->shown);
	m->shown = calloc(m->count + 1, sizeof(struct pinw_metered *));
	m->shown_count = 0;
	if (!m->shown)
		return -ENOMEM;
	for (size_t i = 0; i < m->count; i++)
		if (m->processes[i]->labels)
			m->shown[count++] = m->processes[i];
	qsort(m->shown, count, sizeof(struct pinw_metered *), by_labels);
	for (size_t i = 0; i < count; i++)
		if (i + 1 == count || strcmp(m->shown[i]->labels, m->shown[i + 1]->labels) != 0)
			m->shown[m->shown_count++] = m->shown[i];
	return 0;
}

int pinw_metrics_look(struct pinw_metrics *m)
{
	int error = 0;

	m->look++;
	m->unreadable = 0;
	for (size_t i = 0; i < m->count; i++)
		m->processes[i]->seen = false;
	for (size_t i = 0; error == 0 && i < m->folder_count; i++)
		error = look_at_folder(m, m->folders[i]);
	if (error == 0)
		forget_gone(m);
	for (size_t i = 0; error == 0 && i < m->count; i++) /* grows while images follow one another */
		error = look_at_process(m, m->processes[i]);
	if (error == 0)
		error = choose_shown(m);
	if (error < 0)
		return error;
	return m->unreadable > INT_MAX ? INT_MAX : (int)m->unreadable;
}

void pinw_metrics_print(const struct pinw_metrics *m, FILE *out)
{
	const struct pinw_metrics_page page = {.processes = m->shown,
	                                       .count = m->shown_count,
	                                       .unreadable = m->unreadable,
	                                       .times = m->opt.repeated};

	pinw_metrics_write(&page, out);
}
