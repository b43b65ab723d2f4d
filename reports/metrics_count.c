/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reports/metrics.h"
#include "reports/names.h"
#include "reports/ranges.h"
#include "reports/say.h"
#include "reports/text_private.h"
#include "reports/watch_proc.h"

#define NOWHERE UINT32_MAX
#define LABEL_BYTES 200u

/* Pins of one kind at one stack; its place is sought at the end of the look, as stacks are read after events. */
struct site_row {
	uint32_t site;
	uint32_t place; /* in `sites`; NOWHERE: shares the series of all others */
	uint64_t fresh; /* not booked yet */
	uint8_t kind;
	bool placed;
	bool external; /* no call explains it */
};

/* Go locks taken at one stack and undone at another. */
struct pair_row {
	uint32_t lock, unlock;
	uint64_t fresh; /* not booked yet */
	bool asked; /* whether this is one function */
	bool differs;
};

struct task_row {
	struct pinw_task_times last;
};

/* ---- life -------------------------------------------------------------------------------------- */

/* Escapes a value's backslashes, quotes and ends of lines once it is printable. */
char *pinw_metric_label(const char *text, size_t len)
{
	char plain[LABEL_BYTES + 1], escaped[4 * LABEL_BYTES + 1], *label = malloc(8 * LABEL_BYTES + 1),
	                                                           *to = label;

	if (!label)
		return NULL;
	len = len < LABEL_BYTES ? len : LABEL_BYTES;
	memcpy(plain, text, len);
	plain[len] = '\0';
	pinw_say_escape(plain, escaped, sizeof(escaped));
	for (const char *at = escaped; *at; at++) {
		if (*at == '\\' || *at == '"')
			*to++ = '\\';
		*to++ = *at;
	}
	*to = '\0';
	return label;
}

static int make_labels(struct pinw_metered *m)
{
	const struct pinw_process *p = m->live->process;
	const struct pinw_trace_header *h = &p->header;
	size_t len;
	const char *program = pinw_text_program(p, &len);
	char *name = pinw_metric_label(program, len),
	     *exe = pinw_metric_label(h->exe, strnlen(h->exe, h->exe_len));
	int error = -ENOMEM;

	if (name && exe &&
	    asprintf(&m->labels, "process=\"%s\",pid=\"%u\",exe=\"%s\"", name,
	             m->live->pid > 0 ? (unsigned)m->live->pid : h->self.pid, exe) >= 0)
		error = 0;
	free(name);
	free(exe);
	return error;
}

int pinw_metered_new(struct pinw_live *live, unsigned sites, struct pinw_metered **ret_metered)
{
	struct pinw_metered *m = calloc(1, sizeof(*m));

	if (!m) {
		pinw_live_free(live);
		return -ENOMEM;
	}
	m->live = live;
	m->site_max = sites;
	pinw_reader_file(live->reader, &m->device, &m->inode);
	pinw_table_init(&m->rows, sizeof(struct site_row));
	pinw_table_init(&m->pairs, sizeof(struct pair_row));
	pinw_table_init(&m->starts, sizeof(uint64_t));
	pinw_table_init(&m->next_starts, sizeof(uint64_t));
	pinw_table_init(&m->tasks, sizeof(struct task_row));
	pinw_table_init(&m->next_tasks, sizeof(struct task_row));
	*ret_metered = m;
	return 0;
}

static void free_tables(struct pinw_metered *m)
{
	pinw_table_done(&m->rows);
	pinw_table_done(&m->pairs);
	pinw_table_done(&m->starts);
	pinw_table_done(&m->next_starts);
	pinw_table_done(&m->tasks);
	pinw_table_done(&m->next_tasks);
}

void pinw_metered_free(struct pinw_metered *m)
{
	if (!m)
		return;
	free_tables(m);
	for (size_t i = 0; i < m->site_count; i++)
		free(m->sites[i].name);
	free(m->sites);
	free(m->labels);
	pinw_live_free(m->live);
	free(m);
}

/* ---- events -------------------------------------------------------------------------------------- */

static void count_pin(struct pinw_metered *m, enum pinw_metric_kind kind, uint32_t site, bool external)
{
	uint64_t key = (uint64_t)site << 2 | (uint64_t)external << 1 | (kind == PINW_METRIC_GO);
	struct site_row *row = pinw_table_get(&m->rows, key, NULL);

	if (!row)
		return;
	row->site = site;
	row->kind = (uint8_t)kind;
	row->external = external;
	row->fresh++;
}

static void on_golock(struct pinw_metered *m, const struct pinw_rec_golock *rec)
{
	if (rec->kind == PINW_GOLOCK_LOCK)
		count_pin(m, PINW_METRIC_GO, rec->e.site, false);
	if (rec->kind != PINW_GOLOCK_UNLOCK || !rec->lock_site || !rec->e.site)
		return;
	struct pair_row *row = pinw_table_get(&m->pairs, (uint64_t)rec->lock_site << 32 | rec->e.site, NULL);
	if (!row)
		return;
	row->lock = rec->lock_site;
	row->unlock = rec->e.site;
	row->fresh++;
}

static void count_lifetime(struct pinw_metered *m, const struct pinw_event *e)
{
	const uint64_t *start = pinw_table_find(&m->starts, e->thread);

	if (!start || e->thread == 1)
		return;
	uint64_t ns = pinw_since(e->time_ns, *start);
	unsigned bucket = ns ? 63u - (unsigned)__builtin_clzll(ns) : 0;
	m->lifetime.count++;
	m->lifetime.sum_ns += ns;
	m->lifetime.bucket[bucket < PINW_HIST_BUCKETS ? bucket : PINW_HIST_BUCKETS - 1]++;
}

static void on_start(struct pinw_metered *m, const struct pinw_rec_start *rec)
{
	uint64_t *start = pinw_table_get(&m->starts, rec->e.thread, NULL);

	if (start)
		*start = rec->e.time_ns;
	if (rec->origin == PINW_ORIGIN_BORN || rec->origin == PINW_ORIGIN_INHERITED)
		count_pin(m, PINW_METRIC_CPU, rec->e.site, false);
}

static void on_event(void *arg, const struct pinw_read_record *rec)
{
	struct pinw_metered *m = arg;

	switch (rec->type) {
	case PINW_REC_THREAD_START:
		on_start(m, rec->start);
		break;
	case PINW_REC_THREAD_EXIT:
		count_lifetime(m, rec->event);
		break;
	case PINW_REC_AFFINITY:
		if (!rec->affinity->error && rec->affinity->effect == PINW_EFFECT_OPEN)
			count_pin(m, PINW_METRIC_CPU, rec->event->site, false);
		break;
	case PINW_REC_PIN_EXTERNAL:
		if (rec->external->effect == PINW_EFFECT_OPEN)
			count_pin(m, PINW_METRIC_CPU, 0, true);
		break;
	case PINW_REC_GOLOCK:
		on_golock(m, rec->golock);
		break;
	default:
		break;
	}
}

/* ---- places -------------------------------------------------------------------------------------- */

/* The series of a name, made when there is room for one more. */
static uint32_t place_of(struct pinw_metered *m, enum pinw_metric_kind kind, const char *name)
{
	for (size_t i = 0; i < m->site_count; i++)
		if (m->sites[i].kind == kind && strcmp(m->sites[i].name, name) == 0)
			return (uint32_t)i;
	char *copy = m->site_count < m->site_max ? strdup(name) : NULL;
	if (!copy || pinw_grow((void **)&m->sites, m->site_count, &m->site_room, sizeof(*m->sites)) < 0) {
		free(copy);
		return NOWHERE;
	}
	m->sites[m->site_count] = (struct pinw_metric_site){.name = copy, .kind = kind};
	return (uint32_t)m->site_count++;
}

static void place_row(struct pinw_metered *m, struct pinw_stacks *stacks, struct site_row *row)
{
	const char *name = row->external ? "external" : "unknown";

	if (row->site)
		name = pinw_live_site(m->live, stacks, row->site);
	if (row->site && strncmp(name, "stack ", 6) == 0)
		name = "unknown";
	char *label = pinw_metric_label(name, strlen(name));
	/* A function of that name shares the series that all others are in: one of its own would have the same labels. */
	row->place = label && strcmp(label, "other") != 0
	                 ? place_of(m, (enum pinw_metric_kind)row->kind, label)
	                 : NOWHERE;
	row->placed = true;
	free(label);
}

/* What has no series of its own is the whole, which the process counts exactly, less what has one. */
static void count_others(struct pinw_metered *m)
{
	const struct pinw_counters *n = &m->live->process->live.counters;
	uint64_t all[PINW_METRIC_KINDS] = {n->pins_opened, n->golocks}, own[PINW_METRIC_KINDS] = {0};

	for (size_t i = 0; i < m->site_count; i++)
		own[m->sites[i].kind] += m->sites[i].count;
	for (unsigned kind = 0; kind < PINW_METRIC_KINDS; kind++) {
		uint64_t other = pinw_since(all[kind], own[kind]);
		m->other[kind] = other > m->other[kind] ? other : m->other[kind];
	}
}

static void book_pins(struct pinw_metered *m, struct pinw_stacks *stacks)
{
	for (size_t i = 0; i < m->rows.count; i++) {
		struct site_row *row = pinw_table_at(&m->rows, i);
		if (row->fresh && !row->placed)
			place_row(m, stacks, row);
		if (row->fresh && row->place != NOWHERE)
			m->sites[row->place].count += row->fresh;
		row->fresh = 0;
	}
	count_others(m);
}

/* Stacks are read after events, so pairs wait until here, too. */
static void book_pairs(struct pinw_metered *m, struct pinw_stacks *stacks)
{
	for (size_t i = 0; i < m->pairs.count; i++) {
		struct pair_row *row = pinw_table_at(&m->pairs, i);
		if (row->fresh && !row->asked)
			row->differs = !pinw_names_pair(stacks, m->live->process, row->lock, row->unlock);
		row->asked = true;
		m->unpaired += row->differs ? row->fresh : 0;
		row->fresh = 0;
	}
}

/* ---- slots ---------------------------------------------------------------------------------------- */

static bool is_pinned(const struct pinw_slot *slot)
{
	return slot->pin_depth || slot->golock_depth;
}

/* From the second look on: what came before the pin is none of its time. */
static void add_times(struct pinw_metered *m, const struct pinw_slot *slot)
{
	uint32_t tid = pinw_live_tid(m->live, slot->tid);
	struct pinw_task_times now;

	if (!tid || pinw_task_times(m->live->task, tid, &now) < 0 || !now.exact)
		return;
	const struct task_row *before = pinw_table_find(&m->tasks, slot->thread);
	struct task_row *row = pinw_table_get(&m->next_tasks, slot->thread, NULL);
	if (!row)
		return;
	row->last = now;
	m->timed = true;
	if (!before)
		return;
	m->times.cpu_ns += pinw_since(now.cpu_ns, before->last.cpu_ns);
	m->times.delay_ns += pinw_since(now.delay_ns, before->last.delay_ns);
	m->times.slices += pinw_since(now.slices, before->last.slices);
}

static void on_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct pinw_metered *m = arg;

	(void)mask;
	if (slot->state == PINW_SLOT_EXITED) {
		m->unjoined += !(slot->flags & (PINW_THREAD_DETACHED | PINW_THREAD_MAIN));
		return;
	}
	m->deep += slot->golock_depth > 1;
	m->inherited_open += slot->pin_depth && slot->pin_origin == PINW_ORIGIN_INHERITED;
	uint64_t *start = slot->start_ns ? pinw_table_get(&m->next_starts, slot->thread, NULL) : NULL;
	if (start)
		*start = slot->start_ns;
	if (is_pinned(slot) && slot->tid && m->live->task >= 0)
		add_times(m, slot);
}

static void replace(struct pinw_table *old, struct pinw_table *next)
{
	struct pinw_table taken = *next;

	pinw_table_init(next, next->row_bytes);
	pinw_table_done(old);
	*old = taken;
}

static int look_at_slots(struct pinw_metered *m)
{
	m->unjoined = m->inherited_open = m->deep = 0;
	int error = pinw_reader_slots(m->live->reader, on_slot, m);
	replace(&m->starts, &m->next_starts);
	replace(&m->tasks, &m->next_tasks);
	return error;
}

/* ---- a look ------------------------------------------------------------------------------------------ */

/* An image that was replaced may be one whose exec failed after all; how one was killed is written by `pinwarden run` a moment
 * after it is gone. */
static bool is_over(const struct pinw_process *p, enum pinw_how before)
{
	switch (p->how) {
	case PINW_HOW_EXIT:
	case PINW_HOW_SIGNAL:
		return true;
	case PINW_HOW_VIOLENT:
		return before == PINW_HOW_VIOLENT;
	case PINW_HOW_EXEC:
		return !p->alive;
	default:
		return false;
	}
}

int pinw_metered_look(struct pinw_metered *m, struct pinw_stacks *stacks)
{
	enum pinw_how before = m->labels ? m->live->process->how : PINW_HOW_RUNNING;

	if (m->ended)
		return 0;
	/* Events first: the counters that are read after them count at least those. */
	int error = pinw_reader_follow(m->live->reader, PINW_SEG_EVENTS, on_event, m);
	int r = pinw_live_look(m->live);
	error = error < 0 ? error : r;
	r = look_at_slots(m);
	error = error < 0 ? error : r;
	book_pins(m, stacks);
	book_pairs(m, stacks);
	pinw_reader_rest(m->live->reader);
	if (!m->labels && make_labels(m) < 0)
		return -ENOMEM;
	if (is_over(m->live->process, before)) {
		m->ended = true;
		free_tables(m);
		pinw_live_retire(m->live);
	}
	return error;
}

uint64_t pinw_metered_leaks(const struct pinw_metered *m, enum pinw_leak_kind kind)
{
	const struct pinw_process *p = m->live->process;
	const struct pinw_counters *n = &p->live.counters;
	bool over = p->how == PINW_HOW_EXIT || p->how == PINW_HOW_SIGNAL || p->how == PINW_HOW_VIOLENT;

	switch (kind) {
	case PINW_LEAK_EXIT_WHILE_PINNED:
		return n->leaks_exit_while_pinned + n->golocks_lost;
	case PINW_LEAK_INHERITED:
		return n->leaks_inherited;
	case PINW_LEAK_PINNED_AT_END:
		return over ? pinw_since(n->pins_open, m->inherited_open) + n->golocks_open : 0;
	case PINW_LEAK_UNJOINED:
		return over ? m->unjoined : 0;
	case PINW_LEAK_UNBALANCED:
		return m->unpaired + (over ? m->deep : 0);
	default:
		return 0;
	}
}
