/* SPDX-License-Identifier: MIT */
#include "reports/model.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "reports/kept_names.h"
#include "reports/model_private.h"

/* ---- life of a model ---------------------------------------------------------------- */

int pinw_model_new(struct pinw_model **ret_model)
{
	struct pinw_model *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	pinw_table_init(&m->files, sizeof(struct pinw_file_row));
	*ret_model = m;
	return 0;
}

void pinw_process_free(struct pinw_process *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->modules.count; i++)
		free(((struct pinw_module *)pinw_table_at(&p->modules, i))->path);
	for (size_t i = 0; i < p->sites.count; i++)
		pinw_site_names_free(((struct pinw_site *)pinw_table_at(&p->sites, i))->names);
	for (size_t i = 0; i < p->unfollowed_count; i++)
		free(p->unfollowed[i]);
	pinw_table_done(&p->threads);
	pinw_table_done(&p->locks);
	pinw_table_done(&p->sites);
	pinw_table_done(&p->modules);
	pinw_kept_names_done(p);
	pinw_table_done(&p->pin_sites);
	pinw_table_done(&p->golock_sites);
	pinw_table_done(&p->masks);
	pinw_violations_free(p);
	free(p->openings);
	free(p->frames);
	free(p->leaks);
	free(p->sorted_pin_sites);
	free(p->sorted_golock_sites);
	pinw_history_free(p);
	free(p->path);
	free(p);
}

void pinw_model_free(struct pinw_model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->process_count; i++)
		pinw_process_free(m->processes[i]);
	free(m->processes);
	pinw_table_done(&m->files);
	free(m);
}

/* ---- adding traces ------------------------------------------------------------------ */

static int new_process(struct pinw_model *m, const char *path, struct pinw_process **ret_process)
{
	if ((m->process_count & (m->process_count - 1)) == 0) {
		size_t room = m->process_count ? m->process_count * 2 : 1;
		struct pinw_process **grown = realloc(m->processes, room * sizeof(struct pinw_process *));
		if (!grown)
			return -ENOMEM;
		m->processes = grown;
	}
	struct pinw_process *p = calloc(1, sizeof(*p));
	if (!p || !(p->path = strdup(path))) {
		free(p);
		return -ENOMEM;
	}
	p->order = (uint32_t)m->process_count;
	m->processes[m->process_count++] = p;
	*ret_process = p;
	return 0;
}

uint64_t pinw_monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The live page is read last, so that it counts at least what was read before it. */
static int read_process(struct pinw_process *p, struct pinw_reader *r, bool with_history)
{
	struct pinw_census census;

	p->header = *pinw_reader_header(r);
	p->live = *pinw_reader_live(r);
	pinw_census_begin(&census, p);
	int error = with_history ? pinw_history_new(p) : 0;
	if (error == 0)
		error = pinw_replay(p, r);
	p->live = *pinw_reader_live(r);
	p->read_ns = pinw_monotonic_ns();
	p->blind = p->live.file_bytes == 0; /* the shim writes it before anything else can be read */
	pinw_census_end(&census, p);
	p->problem_count = pinw_reader_problems(r, p->problems, PINW_PROBLEMS_MAX);
	p->tally = pinw_reader_tally(r);
	return error;
}

/* Was this file read before? Remembers it. -ENOMEM when that cannot be remembered. */
static int met_before(struct pinw_model *m, const struct pinw_reader *r)
{
	struct pinw_file_row file;

	pinw_reader_file(r, &file.device, &file.inode);
	for (uint64_t key = pinw_table_hash(&file, sizeof(file));; key++) {
		bool new;
		struct pinw_file_row *row = pinw_table_get(&m->files, key, &new);
		if (!row)
			return -ENOMEM;
		if (new)
			*row = file;
		if (row->device == file.device && row->inode == file.inode)
			return !new;
	}
}

bool pinw_model_holds(const struct pinw_model *m, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	for (size_t i = 0; i < m->files.count; i++) {
		const struct pinw_file_row *file = pinw_table_at(&m->files, i);
		if (file->device == st.st_dev && file->inode == st.st_ino)
			return true;
	}
	return false;
}

int pinw_model_add(struct pinw_model *m, const char *path)
{
	struct pinw_reader *r = NULL;
	struct pinw_process *p;
	int open_error = pinw_reader_open(path, &r);
	int met = open_error == 0 ? met_before(m, r) : 0;

	if (met != 0) {
		pinw_reader_free(r);
		return met < 0 ? met : 0;
	}
	int error = new_process(m, path, &p);
	if (error == 0 && open_error == 0)
		error = read_process(p, r, m->with_history);
	else if (error == 0)
		p->error = open_error;
	pinw_reader_free(r);
	if (error == -ENOMEM)
		return error;
	m->damaged = m->damaged || p->error || p->problem_count;
	return 0;
}

bool pinw_is_trace_name(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && strcmp(name + len - 4, ".pwt") == 0;
}

static int is_trace(const struct dirent *d)
{
	return pinw_is_trace_name(d->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int pinw_model_add_directory(struct pinw_model *m, const char *path)
{
	struct dirent **names = NULL;
	int count = scandir(path, &names, is_trace, by_name);
	int error = 0;

	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		char *file = NULL;
		if (error == 0 && asprintf(&file, "%s/%s", path, names[i]->d_name) < 0)
			error = -ENOMEM;
		else if (error == 0) {
			error = pinw_model_add(m, file);
			free(file);
		}
		free(names[i]);
	}
	free(names);
	return error < 0 ? error : count;
}

/* ---- how it ended ------------------------------------------------------------------- */

/* Another image of the same process shows that an image without a recorded end was replaced: its exec was a raw
 * system call, or it was killed in the middle of one that succeeded. */
static void classify_unrecorded(struct pinw_process *p)
{
	const struct pinw_process *next = pinw_process_next_image(p);

	if (next) {
		p->how = PINW_HOW_EXEC;
		p->duration_ns = pinw_since(next->header.start_mono_ns, p->header.start_mono_ns);
	} else if (p->alive) {
		p->how = PINW_HOW_RUNNING;
		p->duration_ns = pinw_since(p->read_ns, p->header.start_mono_ns);
	} else {
		p->how = PINW_HOW_VIOLENT;
		p->duration_ns = p->last_event_ns > p->live.census_ns ? p->last_event_ns : p->live.census_ns;
	}
}

bool pinw_process_take_end(struct pinw_process *p)
{
	p->duration_ns = p->live.end_ns;
	p->end_status = p->live.end_status;
	switch (p->live.end_how) {
	case PINW_END_EXIT:
		p->how = PINW_HOW_EXIT;
		return true;
	case PINW_END_SIGNAL:
		p->how = PINW_HOW_SIGNAL;
		return true;
	case PINW_END_EXEC:
		p->how = PINW_HOW_EXEC;
		return true;
	default:
		return false;
	}
}

static bool has_siblings(const struct pinw_model *m, const struct pinw_process *p)
{
	static const uint8_t none[sizeof(p->header.session)];

	if (memcmp(p->header.session, none, sizeof(none)) == 0)
		return false;
	for (size_t i = 0; i < m->process_count; i++) {
		const struct pinw_process *q = m->processes[i];
		if (q != p && q->error == 0 &&
		    memcmp(q->header.session, p->header.session, sizeof(none)) == 0)
			return true;
	}
	return false;
}

static int by_opened(const void *x, const void *y)
{
	const struct pinw_pin_site *a = x, *b = y;

	if (a->opened != b->opened)
		return a->opened > b->opened ? -1 : 1;
	if (a->site != b->site)
		return a->site < b->site ? -1 : 1;
	return (a->origin > b->origin) - (a->origin < b->origin);
}

static int sort_pin_sites(struct pinw_process *p)
{
	size_t count = p->pin_sites.count;

	if (count == 0)
		return 0;
	p->sorted_pin_sites = calloc(count, sizeof(*p->sorted_pin_sites));
	if (!p->sorted_pin_sites)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		p->sorted_pin_sites[i] = *(const struct pinw_pin_site *)pinw_table_at(&p->pin_sites, i);
	qsort(p->sorted_pin_sites, count, sizeof(*p->sorted_pin_sites), by_opened);
	return 0;
}

int pinw_model_finish(struct pinw_model *m)
{
	int error = pinw_tree_build(m);

	for (size_t i = 0; error == 0 && i < m->process_count; i++) {
		struct pinw_process *p = m->processes[i];
		if (p->error)
			continue;
		if (!pinw_process_take_end(p))
			classify_unrecorded(p);
		if (p->how == PINW_HOW_EXEC && !pinw_process_next_image(p))
			p->with_siblings = has_siblings(m, p);
		pinw_settle(p);
		error = pinw_history_settle(p);
		if (error == 0)
			error = pinw_borrow_sites(p);
		if (error < 0)
			break;
		pinw_growth_judge(p);
		error = pinw_leaks_derive(p);
		if (error == 0)
			error = pinw_violations_settle(p);
		if (error == 0)
			error = sort_pin_sites(p);
		if (error == 0)
			error = pinw_golocks_settle(p);
		if (error == 0)
			error = pinw_rates_settle(p);
	}
	return error;
}

/* ---- reading it --------------------------------------------------------------------- */

const struct pinw_thread *pinw_process_thread(const struct pinw_process *p, uint32_t id)
{
	return pinw_table_find(&p->threads, id);
}

const struct pinw_site *pinw_process_site(const struct pinw_process *p, uint32_t id)
{
	return pinw_table_find(&p->sites, id);
}

const struct pinw_module *pinw_process_module(const struct pinw_process *p, uint32_t id)
{
	return pinw_table_find(&p->modules, id);
}

const uint64_t *pinw_process_mask(const struct pinw_process *p, uint32_t mask)
{
	if (mask == 0 || mask > p->masks.count)
		return NULL;
	return (const uint64_t *)pinw_table_at(&p->masks, mask - 1) + 1;
}

const struct pinw_process *pinw_process_next_image(const struct pinw_process *p)
{
	for (const struct pinw_process *q = p->children; q; q = q->sibling)
		if (q->by_exec)
			return q;
	return NULL;
}

uint64_t pinw_process_unjoined(const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;

	return pinw_since(n->threads_created, n->threads_joined + n->threads_detached);
}

uint64_t pinw_process_open_at_end(const struct pinw_process *p)
{
	return p->live.counters.pins_open + p->live.counters.pins_lost;
}

uint64_t pinw_process_leaks(const struct pinw_process *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < PINW_LEAK_KINDS; i++)
		sum += p->leaks_of[i];
	return sum;
}
