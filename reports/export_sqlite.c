/* SPDX-License-Identifier: MIT
 *
 * A database of all processes. Promises a file that passes SQLite's integrity check, in which every number of a process, a
 * site, a module or a pin finds its row, and NULL for what is not known. pinwarden-formats(5) documents the schema; `PRAGMA
 * user_version` is raised when a column changes its meaning.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/events.h"
#include "reports/export.h"
#include "reports/notes.h"
#include "reports/report.h"
#include "reports/sqlite.h"

enum {
	T_META,
	T_PROCESSES,
	T_MODULES,
	T_SITES,
	T_FRAMES,
	T_THREADS,
	T_EVENTS,
	T_PINS,
	T_LEAKS,
	T_RULES,
	T_VIOLATIONS,
	T_NOTES,
	T_UNREADABLE,
	TABLES,
};

static const char *const tables[TABLES] = {
    [T_META] = "meta",
    [T_PROCESSES] = "processes",
    [T_MODULES] = "modules",
    [T_SITES] = "sites",
    [T_FRAMES] = "frames",
    [T_THREADS] = "threads",
    [T_EVENTS] = "events",
    [T_PINS] = "pins",
    [T_LEAKS] = "leaks",
    [T_RULES] = "rules",
    [T_VIOLATIONS] = "violations",
    [T_NOTES] = "notes",
    [T_UNREADABLE] = "unreadable",
};

static const char schema[] =
    "PRAGMA user_version = 1;"
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE processes (id INTEGER PRIMARY KEY, parent INTEGER, by_exec INTEGER, trace TEXT, pid "
    "INTEGER,"
    " exe TEXT, start_real_ns INTEGER, start_mono_ns INTEGER, duration_ns INTEGER, how TEXT, status INTEGER,"
    " threads_created INTEGER, threads_adopted INTEGER, threads_peak INTEGER, threads_alive INTEGER,"
    " pins_opened INTEGER, pins_released INTEGER, pins_open_at_end INTEGER, golocks INTEGER, gounlocks "
    "INTEGER,"
    " policy TEXT, dropped INTEGER, kernel_threads INTEGER, seen_threads INTEGER);"
    "CREATE TABLE modules (process INTEGER, id INTEGER, path TEXT, build_id TEXT,"
    " PRIMARY KEY (process, id)) WITHOUT ROWID;"
    "CREATE TABLE sites (process INTEGER, id INTEGER, created INTEGER, pins INTEGER, golocks INTEGER, calls "
    "INTEGER,"
    " failed INTEGER, truncated INTEGER, PRIMARY KEY (process, id)) WITHOUT ROWID;"
    "CREATE TABLE frames (process INTEGER, site INTEGER, depth INTEGER, module INTEGER, offset INTEGER,"
    " function TEXT, file TEXT, line INTEGER, inlined INTEGER, PRIMARY KEY (process, site, depth)) WITHOUT "
    "ROWID;"
    "CREATE TABLE threads (process INTEGER, id INTEGER, tid INTEGER, name TEXT, creator INTEGER, create_site "
    "INTEGER,"
    " created_ns INTEGER, started_ns INTEGER, ended_ns INTEGER, how TEXT, joined INTEGER, joined_by INTEGER,"
    " detached INTEGER, adopted INTEGER, mask TEXT, pins_opened INTEGER, affinity_calls INTEGER,"
    " PRIMARY KEY (process, id)) WITHOUT ROWID;"
    "CREATE TABLE events (process INTEGER, time_ns INTEGER, event TEXT, thread INTEGER, site INTEGER, target "
    "INTEGER,"
    " tid INTEGER, origin TEXT, call TEXT, relation TEXT, effect TEXT, how TEXT, depth INTEGER, errno "
    "INTEGER,"
    " took_ns INTEGER, held_ns INTEGER, goroutine INTEGER, code INTEGER, mask TEXT, text TEXT);"
    "CREATE TABLE pins (process INTEGER, id INTEGER, kind TEXT, thread INTEGER, site INTEGER, unlock_site "
    "INTEGER,"
    " origin TEXT, by INTEGER, mask TEXT, goroutine INTEGER, begin_ns INTEGER, end_ns INTEGER, held_ns "
    "INTEGER,"
    " depth INTEGER, end TEXT, PRIMARY KEY (process, id)) WITHOUT ROWID;"
    "CREATE TABLE leaks (process INTEGER, leak TEXT, thread INTEGER, pin INTEGER, origin TEXT, site INTEGER,"
    " create_site INTEGER, time_ns INTEGER);"
    "CREATE TABLE rules (process INTEGER, id INTEGER, label TEXT, line INTEGER, action TEXT, matched INTEGER,"
    " violations INTEGER, done INTEGER, watched INTEGER, PRIMARY KEY (process, id)) WITHOUT ROWID;"
    "CREATE TABLE violations (process INTEGER, time_ns INTEGER, rule INTEGER, action TEXT, done TEXT, "
    "attempt TEXT,"
    " thread INTEGER, target INTEGER, site INTEGER, mask TEXT, value INTEGER, maximum INTEGER, errno "
    "INTEGER);"
    "CREATE TABLE notes (process INTEGER, note TEXT);"
    "CREATE TABLE unreadable (trace TEXT, error TEXT);"
    "CREATE VIEW stacks AS SELECT process, site, group_concat(coalesce(function, printf('0x%x', offset)), ' "
    "< ') AS"
    " stack FROM (SELECT * FROM frames ORDER BY process, site, depth) GROUP BY process, site;";

static const char indices[] = "CREATE INDEX frames_function ON frames (function);"
                              "CREATE INDEX threads_create_site ON threads (process, create_site);"
                              "CREATE INDEX events_thread ON events (process, thread);"
                              "CREATE INDEX pins_site ON pins (process, site);"
                              "CREATE INDEX pins_thread ON pins (process, thread);"
                              "CREATE INDEX leaks_leak ON leaks (leak, process);"
                              "CREATE INDEX violations_rule ON violations (process, rule);";

struct writer {
	struct pinw_sqlite *db;
	struct pinw_stacks *stacks;
	const struct pinw_process *p;
	uint32_t number; /* of the process, from 1 */
	uint32_t site; /* whose frames come */
	uint32_t depth;
};

/* ---- values ---------------------------------------------------------------------------------- */

static void begin(struct writer *w, size_t table)
{
	pinw_sqlite_begin(w->db, table);
	pinw_sqlite_number(w->db, w->number);
}

static void put_known(struct writer *w, uint64_t value, bool known)
{
	if (known)
		pinw_sqlite_number(w->db, value);
	else
		pinw_sqlite_null(w->db);
}

static void put_time(struct writer *w, uint64_t time_ns)
{
	put_known(w, time_ns, time_ns != PINW_TIME_UNKNOWN);
}

static void put_string(struct writer *w, const char *text)
{
	if (text)
		pinw_sqlite_text(w->db, text, strlen(text));
	else
		pinw_sqlite_null(w->db);
}

static void put_words(struct writer *w, const uint64_t *mask)
{
	char text[PINW_EXPORT_TEXT];

	if (mask)
		pinw_sqlite_text(w->db, text,
		                 pinw_mask_print(text, sizeof(text), mask, w->p->header.mask_words));
	else
		pinw_sqlite_null(w->db);
}

/* ---- the process, its code ---------------------------------------------------------------------- */

static void put_process(struct writer *w, uint32_t parent)
{
	const struct pinw_process *p = w->p;
	const struct pinw_counters *n = &p->live.counters;

	begin(w, T_PROCESSES);
	pinw_sqlite_some(w->db, parent);
	pinw_sqlite_number(w->db, p->by_exec);
	put_string(w, p->path);
	pinw_sqlite_number(w->db, p->header.self.pid);
	pinw_sqlite_text(w->db, p->header.exe, p->header.exe_len);
	pinw_sqlite_number(w->db, p->header.start_real_ns);
	pinw_sqlite_number(w->db, p->header.start_mono_ns);
	pinw_sqlite_number(w->db, p->duration_ns);
	pinw_sqlite_word(w->db, pinw_how_name(p->how));
	put_known(w, p->end_status, p->how == PINW_HOW_EXIT || p->how == PINW_HOW_SIGNAL);
	pinw_sqlite_number(w->db, n->threads_created);
	pinw_sqlite_number(w->db, n->threads_adopted);
	pinw_sqlite_number(w->db, n->threads_peak);
	pinw_sqlite_number(w->db, n->threads_live);
	pinw_sqlite_number(w->db, n->pins_opened);
	pinw_sqlite_number(w->db, n->pins_released);
	pinw_sqlite_number(w->db, pinw_process_open_at_end(p));
	pinw_sqlite_number(w->db, n->golocks);
	pinw_sqlite_number(w->db, n->gounlocks);
	put_string(w, p->has_policy ? p->policy.path : NULL);
	pinw_sqlite_number(w->db, n->events_dropped);
	put_known(w, p->kernel_threads, p->census);
	put_known(w, p->seen_threads, p->census);
	pinw_sqlite_end(w->db);
}

static void put_module(struct writer *w, const struct pinw_module *m)
{
	char build_id[2 * sizeof(m->build_id) + 1];

	for (size_t i = 0; i < m->build_id_len && i < sizeof(m->build_id); i++)
		sprintf(build_id + 2 * i, "%02x", m->build_id[i]);
	begin(w, T_MODULES);
	pinw_sqlite_number(w->db, m->id);
	put_string(w, m->path);
	pinw_sqlite_text(w->db, build_id, 2 * (size_t)m->build_id_len);
	pinw_sqlite_end(w->db);
}

static void put_frame(void *arg, const struct pinw_frame *f)
{
	struct writer *w = arg;

	begin(w, T_FRAMES);
	pinw_sqlite_number(w->db, w->site);
	pinw_sqlite_number(w->db, w->depth++);
	pinw_sqlite_some(w->db, f->in ? f->in->id : 0);
	pinw_sqlite_number(w->db, f->offset);
	put_string(w, f->function);
	put_string(w, f->file);
	pinw_sqlite_some(w->db, f->line);
	pinw_sqlite_number(w->db, f->inlined);
	pinw_sqlite_end(w->db);
}

static void put_site(struct writer *w, const struct pinw_site *s)
{
	begin(w, T_SITES);
	pinw_sqlite_number(w->db, s->id);
	pinw_sqlite_number(w->db, s->created);
	pinw_sqlite_number(w->db, s->pins);
	pinw_sqlite_number(w->db, s->golocks);
	pinw_sqlite_number(w->db, s->calls);
	pinw_sqlite_number(w->db, s->failed);
	pinw_sqlite_number(w->db, !s->known || (s->flags & PINW_SITE_TRUNCATED));
	pinw_sqlite_end(w->db);
	w->site = s->id;
	w->depth = 0;
	pinw_stacks_resolve(w->stacks, w->p, s, put_frame, w);
}

/* ---- threads and what they did ------------------------------------------------------------------ */

static void put_thread(struct writer *w, const struct pinw_thread *t)
{
	begin(w, T_THREADS);
	pinw_sqlite_number(w->db, t->id);
	pinw_sqlite_some(w->db, t->tid);
	pinw_sqlite_text(w->db, t->name, sizeof(t->name));
	pinw_sqlite_some(w->db, t->creator);
	pinw_sqlite_some(w->db, t->create_site);
	put_time(w, t->created_ns);
	put_time(w, t->started_ns);
	put_time(w, t->ended_ns);
	pinw_sqlite_word(w->db, pinw_thread_how_name(t->how));
	pinw_sqlite_number(w->db, t->joined);
	pinw_sqlite_some(w->db, t->joined_by);
	pinw_sqlite_number(w->db, (t->flags & PINW_THREAD_DETACHED) != 0);
	pinw_sqlite_number(w->db, (t->flags & PINW_THREAD_ADOPTED) != 0);
	put_words(w, pinw_process_mask(w->p, t->mask));
	pinw_sqlite_number(w->db, t->pins_opened);
	pinw_sqlite_number(w->db, t->affinity_calls);
	pinw_sqlite_end(w->db);
}

static int put_event(void *arg, const struct pinw_recorded *e)
{
	struct writer *w = arg;

	begin(w, T_EVENTS);
	pinw_sqlite_number(w->db, e->time_ns);
	pinw_sqlite_word(w->db, e->what);
	pinw_sqlite_some(w->db, e->thread);
	pinw_sqlite_some(w->db, e->site);
	pinw_sqlite_some(w->db, e->target);
	pinw_sqlite_some(w->db, e->tid);
	pinw_sqlite_word(w->db, e->origin);
	pinw_sqlite_word(w->db, e->call);
	pinw_sqlite_word(w->db, e->relation);
	pinw_sqlite_word(w->db, e->effect);
	pinw_sqlite_word(w->db, e->how);
	pinw_sqlite_some(w->db, e->depth);
	pinw_sqlite_some(w->db, e->error);
	pinw_sqlite_some(w->db, e->took_ns);
	pinw_sqlite_some(w->db, e->held_ns);
	pinw_sqlite_some(w->db, e->goid);
	pinw_sqlite_some(w->db, e->code);
	put_words(w, e->mask);
	if (e->text)
		pinw_sqlite_text(w->db, e->text, e->text_len);
	else
		pinw_sqlite_null(w->db);
	pinw_sqlite_end(w->db);
	return pinw_sqlite_error(w->db);
}

static void put_span(struct writer *w, size_t number)
{
	const struct pinw_span *s = &w->p->history->spans[number];
	bool lock = s->origin == PINW_ORIGIN_GOLOCK;

	begin(w, T_PINS);
	pinw_sqlite_number(w->db, number + 1);
	pinw_sqlite_word(w->db, lock ? "go" : "cpu");
	pinw_sqlite_some(w->db, s->thread);
	pinw_sqlite_some(w->db, s->site);
	pinw_sqlite_some(w->db, s->end_site);
	pinw_sqlite_word(w->db, pinw_origin_name(s->origin));
	pinw_sqlite_some(w->db, s->by);
	put_words(w, pinw_process_mask(w->p, s->mask));
	pinw_sqlite_some(w->db, s->goid);
	put_time(w, s->begin_ns);
	put_time(w, s->end_ns);
	put_known(w, pinw_span_held_ns(s),
	          s->begin_ns != PINW_TIME_UNKNOWN && s->end_ns != PINW_TIME_UNKNOWN);
	pinw_sqlite_number(w->db, s->depth);
	pinw_sqlite_word(w->db, pinw_span_end_name(s->end));
	pinw_sqlite_end(w->db);
}

static void put_leak(void *arg, const struct pinw_leaked *leaked)
{
	struct writer *w = arg;

	begin(w, T_LEAKS);
	pinw_sqlite_word(w->db, pinw_leak_kind_name(leaked->kind));
	pinw_sqlite_number(w->db, leaked->thread->id);
	put_known(w, leaked->span ? (uint64_t)(leaked->span - w->p->history->spans) + 1 : 0, leaked->span);
	pinw_sqlite_word(w->db, leaked->origin ? pinw_origin_name(leaked->origin) : NULL);
	pinw_sqlite_some(w->db, leaked->site);
	pinw_sqlite_some(w->db, leaked->thread->create_site);
	put_time(w, leaked->time_ns);
	pinw_sqlite_end(w->db);
}

/* ---- the policy ----------------------------------------------------------------------------------- */

static void put_rule(struct writer *w, const struct pinw_rule_row *r)
{
	begin(w, T_RULES);
	pinw_sqlite_number(w->db, r->id);
	put_string(w, r->label);
	pinw_sqlite_some(w->db, r->line);
	pinw_sqlite_word(w->db, pinw_action_name((enum pinw_action)r->action));
	pinw_sqlite_number(w->db, r->matched);
	pinw_sqlite_number(w->db, r->violations);
	pinw_sqlite_number(w->db, r->done);
	pinw_sqlite_number(w->db, r->watched);
	pinw_sqlite_end(w->db);
}

static void put_violation(struct writer *w, const struct pinw_single_violation *v)
{
	begin(w, T_VIOLATIONS);
	pinw_sqlite_number(w->db, v->time_ns);
	pinw_sqlite_number(w->db, v->rule);
	pinw_sqlite_word(w->db, pinw_action_name((enum pinw_action)v->action));
	pinw_sqlite_word(w->db, pinw_done_name(v->done));
	pinw_sqlite_word(w->db, pinw_attempt_name(v->attempt));
	pinw_sqlite_some(w->db, v->thread);
	pinw_sqlite_some(w->db, v->target);
	pinw_sqlite_some(w->db, v->site);
	put_words(w, pinw_process_mask(w->p, v->mask));
	pinw_sqlite_some(w->db, v->value);
	put_known(w, v->limit, v->value != 0);
	pinw_sqlite_some(w->db, v->error);
	pinw_sqlite_end(w->db);
}

static void put_note(void *arg, const char *text)
{
	struct writer *w = arg;

	begin(w, T_NOTES);
	put_string(w, text);
	pinw_sqlite_end(w->db);
}

/* ---- the whole -------------------------------------------------------------------------------------- */

static int put_all_of(struct writer *w, uint32_t parent)
{
	const struct pinw_process *p = w->p;

	put_process(w, parent);
	for (size_t i = 0; i < p->modules.count; i++)
		put_module(w, pinw_table_at(&p->modules, i));
	for (size_t i = 0; i < p->sites.count; i++)
		put_site(w, pinw_table_at(&p->sites, i));
	for (size_t i = 0; i < p->threads.count; i++)
		put_thread(w, pinw_table_at(&p->threads, i));
	for (size_t i = 0; i < p->history->span_count; i++)
		put_span(w, i);
	for (size_t i = 0; i < p->rules.count; i++)
		put_rule(w, pinw_table_at(&p->rules, i));
	for (size_t i = 0; i < p->history->violation_count; i++)
		put_violation(w, &p->history->violations[i]);
	pinw_notes_each(p, put_note, w);
	int error = pinw_export_leaks(p, put_leak, w);
	return error < 0 ? error : pinw_events_each(p, put_event, w);
}

static void put_meta(struct writer *w, const char *key, const char *value)
{
	pinw_sqlite_begin(w->db, T_META);
	pinw_sqlite_word(w->db, key);
	pinw_sqlite_word(w->db, value);
	pinw_sqlite_end(w->db);
}

static void put_unreadable(struct writer *w)
{
	pinw_sqlite_begin(w->db, T_UNREADABLE);
	put_string(w, w->p->path);
	pinw_sqlite_word(w->db, pinw_reader_strerror(w->p->error));
	pinw_sqlite_end(w->db);
}

int pinw_export_sqlite(const struct pinw_model *m, struct pinw_stacks *stacks, const char *path)
{
	struct writer w = {.stacks = stacks};
	struct pinw_table numbers;
	int error = pinw_sqlite_open(path, schema, tables, TABLES, &w.db);

	if (error < 0)
		return error;
	put_meta(&w, "pinwarden", PINW_VERSION);
	error = pinw_export_numbers(m, &numbers);
	for (size_t i = 0; error == 0 && i < m->process_count; i++) {
		w.p = m->processes[i];
		w.number = pinw_export_number(&numbers, w.p);
		if (w.p->error)
			put_unreadable(&w);
		else
			error = put_all_of(&w, pinw_export_number(&numbers, w.p->parent));
		if (error == 0)
			error = pinw_sqlite_error(w.db);
	}
	pinw_table_done(&numbers);
	return pinw_sqlite_close(w.db, indices, error);
}
