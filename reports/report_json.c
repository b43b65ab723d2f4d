/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/mask.h"
#include "reports/json_private.h"
#include "reports/notes.h"
#include "reports/report.h"

/* ---- counts --------------------------------------------------------------------------- */

/* Every total is the sum of a process's figure, so both are written by the same code. */
struct counts {
	uint64_t created, adopted, peak, alive, joined, detached, unjoined, threads_denied;
	uint64_t self, cross, other_process, attr, failed, external, affinity_denied;
	uint64_t opened, released, open_at_end, born, inherited, reset;
	uint64_t leaks[PINW_LEAK_KINDS];
};

static void add_counts(struct counts *sum, const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;

	sum->created += n->threads_created;
	sum->adopted += n->threads_adopted;
	sum->peak += n->threads_peak;
	sum->alive += n->threads_live;
	sum->joined += n->threads_joined;
	sum->detached += n->threads_detached;
	sum->unjoined += pinw_process_unjoined(p);
	sum->threads_denied += n->threads_denied;
	sum->self += n->affinity_self;
	sum->cross += n->affinity_cross;
	sum->other_process += n->affinity_other_process;
	sum->attr += n->affinity_attr;
	sum->failed += n->affinity_failed;
	sum->external += n->affinity_external;
	sum->affinity_denied += n->affinity_denied;
	sum->opened += n->pins_opened;
	sum->released += n->pins_released;
	sum->open_at_end += pinw_process_open_at_end(p);
	sum->born += n->pins_born;
	sum->inherited += n->pins_inherited;
	sum->reset += n->pins_reset;
	for (size_t i = 0; i < PINW_LEAK_KINDS; i++)
		sum->leaks[i] += p->leaks_of[i];
}

static void put_threads(struct pinw_json *j, const struct counts *n)
{
	pinw_json_begin_line_object(j, "threads");
	pinw_json_number(j, "created", n->created);
	pinw_json_number(j, "adopted", n->adopted);
	pinw_json_number(j, "peak", n->peak);
	pinw_json_number(j, "alive_at_end", n->alive);
	pinw_json_number(j, "joined", n->joined);
	pinw_json_number(j, "detached", n->detached);
	pinw_json_number(j, "unjoined", n->unjoined);
	pinw_json_number(j, "denied", n->threads_denied);
	pinw_json_end_object(j);
}

static void put_affinity(struct pinw_json *j, const struct counts *n)
{
	pinw_json_begin_line_object(j, "affinity");
	pinw_json_number(j, "self", n->self);
	pinw_json_number(j, "cross", n->cross);
	pinw_json_number(j, "other_process", n->other_process);
	pinw_json_number(j, "attr", n->attr);
	pinw_json_number(j, "failed", n->failed);
	pinw_json_number(j, "external", n->external);
	pinw_json_number(j, "denied", n->affinity_denied);
	pinw_json_end_object(j);
}

static void put_pins(struct pinw_json *j, const struct counts *n)
{
	pinw_json_begin_line_object(j, "pins");
	pinw_json_number(j, "opened", n->opened);
	pinw_json_number(j, "released", n->released);
	pinw_json_number(j, "open_at_end", n->open_at_end);
	pinw_json_number(j, "born", n->born);
	pinw_json_number(j, "inherited", n->inherited);
	pinw_json_number(j, "reset", n->reset);
	pinw_json_end_object(j);
}

static void put_leaks(struct pinw_json *j, const struct counts *n)
{
	pinw_json_begin_line_object(j, "leaks");
	for (size_t i = 0; i < PINW_LEAK_KINDS; i++)
		pinw_json_number(j, pinw_leak_kind_name((enum pinw_leak_kind)i), n->leaks[i]);
	pinw_json_end_object(j);
}

/* ---- threads -------------------------------------------------------------------------- */

void pinw_json_known(struct pinw_json *j, const char *key, uint64_t value, bool known)
{
	if (known)
		pinw_json_number(j, key, value);
	else
		pinw_json_null(j, key);
}

static void put_id(struct pinw_json *j, const char *key, uint32_t id)
{
	pinw_json_known(j, key, id, id != 0);
}

static void put_time(struct pinw_json *j, const char *key, uint64_t time_ns)
{
	pinw_json_known(j, key, time_ns, time_ns != PINW_TIME_UNKNOWN);
}

void pinw_json_mask(struct pinw_json *j, const char *key, const struct pinw_process *p, uint32_t number)
{
	const uint64_t *mask = pinw_process_mask(p, number);
	char text[8192];

	if (!mask) {
		pinw_json_null(j, key);
		return;
	}
	size_t len = pinw_mask_print(text, sizeof(text), mask, p->header.mask_words);
	pinw_json_bytes(j, key, text, len);
}

static void put_pin(struct pinw_json *j, const struct pinw_pin *pin)
{
	if (pin->depth == 0) {
		pinw_json_null(j, "pin");
		return;
	}
	pinw_json_begin_object(j, "pin");
	pinw_json_text(j, "origin", pinw_origin_name(pin->origin));
	put_id(j, "site", pin->site);
	put_id(j, "by", pin->by);
	pinw_json_number(j, "since_ns", pin->since_ns);
	pinw_json_number(j, "depth", pin->depth);
	pinw_json_number(j, "held_ns", pin->held_ns);
	pinw_json_end_object(j);
}

void pinw_json_thread(struct pinw_json *j, const struct pinw_process *p, const struct pinw_thread *t)
{
	const char *how = pinw_thread_how_name(t->how);

	pinw_json_number(j, "id", t->id);
	put_id(j, "tid", t->tid);
	pinw_json_bytes(j, "name", t->name, strnlen(t->name, sizeof(t->name)));
	put_id(j, "creator", t->creator);
	put_id(j, "create_site", t->create_site);
	put_time(j, "created_ns", t->created_ns);
	put_time(j, "started_ns", t->started_ns);
	put_time(j, "ended_ns", t->ended_ns);
	if (how)
		pinw_json_text(j, "how", how);
	else
		pinw_json_null(j, "how");
	pinw_json_known(j, "joined_by", t->joined_by, t->joined);
	pinw_json_bool(j, "detached", t->flags & PINW_THREAD_DETACHED);
	pinw_json_bool(j, "adopted", t->flags & PINW_THREAD_ADOPTED);
	pinw_json_mask(j, "mask", p, t->mask);
	put_pin(j, &t->pin);
	pinw_json_golock(j, t->lock);
	pinw_json_number(j, "pins_opened", t->pins_opened);
	pinw_json_number(j, "affinity_calls", t->affinity_calls);
}

static uint32_t id_of(const struct pinw_table *t, uint32_t row)
{
	return *(const uint32_t *)pinw_table_at(t, row);
}

static int by_id(const void *x, const void *y, void *table)
{
	uint32_t a = id_of(table, *(const uint32_t *)x), b = id_of(table, *(const uint32_t *)y);

	return (a > b) - (a < b);
}

int pinw_json_rows_by_id(const struct pinw_table *t, uint32_t **ret_rows)
{
	uint32_t *rows = calloc(t->count + 1, sizeof(*rows));
	bool sorted = true;

	if (!rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->count; i++) {
		rows[i] = i;
		sorted = sorted && (i == 0 || id_of(t, i - 1) < id_of(t, i));
	}
	if (!sorted)
		qsort_r(rows, t->count, sizeof(*rows), by_id, (void *)t);
	*ret_rows = rows;
	return 0;
}

_Static_assert(offsetof(struct pinw_thread, id) == 0 && offsetof(struct pinw_site, id) == 0,
               "pinw_json_rows_by_id needs it");

static int put_thread_list(struct pinw_json *j, const struct pinw_process *p)
{
	uint32_t *rows;
	int error = pinw_json_rows_by_id(&p->threads, &rows);

	if (error < 0)
		return error;
	pinw_json_begin_array(j, "thread_list");
	for (size_t i = 0; i < p->threads.count; i++) {
		pinw_json_begin_line_object(j, NULL);
		pinw_json_thread(j, p, pinw_table_at(&p->threads, rows[i]));
		pinw_json_end_object(j);
	}
	pinw_json_end_array(j);
	free(rows);
	return 0;
}

/* ---- sites ---------------------------------------------------------------------------- */

void pinw_json_frame(struct pinw_json *j, const struct pinw_frame *f)
{
	pinw_json_begin_line_object(j, NULL);
	if (f->module)
		pinw_json_text(j, "module", f->module);
	else
		pinw_json_null(j, "module");
	pinw_json_number(j, "offset", f->offset);
	if (f->function)
		pinw_json_text(j, "function", f->function);
	else
		pinw_json_null(j, "function");
	if (f->file)
		pinw_json_text(j, "file", f->file);
	else
		pinw_json_null(j, "file");
	pinw_json_known(j, "line", f->line, f->line != 0);
	pinw_json_bool(j, "inlined", f->inlined);
	pinw_json_end_object(j);
}

static void put_frame(void *arg, const struct pinw_frame *f)
{
	pinw_json_frame(arg, f);
}

static const char *site_kind(const struct pinw_site *s, uint64_t *ret_count)
{
	if (s->uses & PINW_USE_CREATE) {
		*ret_count = s->created;
		return "create";
	}
	if (s->uses & PINW_USE_PIN) {
		*ret_count = s->pins;
		return "pin";
	}
	if (s->uses & PINW_USE_GOLOCK) {
		*ret_count = s->golocks;
		return "golock";
	}
	*ret_count = s->uses & PINW_USE_AFFINITY ? s->calls : s->others;
	return s->uses & PINW_USE_AFFINITY ? "affinity" : "other";
}

void pinw_json_site(struct pinw_json *j, struct pinw_stacks *stacks, const struct pinw_process *p,
                    const struct pinw_site *s)
{
	uint64_t count;
	const char *kind = site_kind(s, &count);

	pinw_json_number(j, "id", s->id);
	pinw_json_text(j, "kind", kind);
	pinw_json_number(j, "count", count);
	pinw_json_bool(j, "raw", s->raw);
	pinw_json_bool(j, "truncated", !s->known || (s->flags & PINW_SITE_TRUNCATED));
	pinw_json_begin_array(j, "frames");
	pinw_stacks_resolve(stacks, p, s, put_frame, j);
	pinw_json_end_array(j);
}

static int put_sites(struct pinw_json *j, struct pinw_stacks *stacks, const struct pinw_process *p)
{
	uint32_t *rows;
	int error = pinw_json_rows_by_id(&p->sites, &rows);

	if (error < 0)
		return error;
	pinw_json_begin_array(j, "sites");
	for (size_t i = 0; i < p->sites.count; i++) {
		pinw_json_begin_object(j, NULL);
		pinw_json_site(j, stacks, p, pinw_table_at(&p->sites, rows[i]));
		pinw_json_end_object(j);
	}
	pinw_json_end_array(j);
	free(rows);
	return 0;
}

/* ---- processes ------------------------------------------------------------------------ */

static void put_started(struct pinw_json *j, uint64_t real_ns)
{
	char text[64];
	time_t seconds = (time_t)(real_ns / 1000000000u);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, sizeof(text) - len, ".%09" PRIu64 "Z", real_ns % 1000000000u);
	pinw_json_text(j, "started", text);
}

/* The process that made this one. An image that came by exec has the parent of the first image. */
static void put_parent(struct pinw_json *j, const struct pinw_process *p)
{
	while (p->by_exec)
		p = p->parent;
	if (!p->parent) {
		pinw_json_null(j, "parent");
		return;
	}
	pinw_json_begin_line_object(j, "parent");
	pinw_json_number(j, "pid", p->parent->header.self.pid);
	pinw_json_end_object(j);
}

const char *pinw_how_name(enum pinw_how how)
{
	static const char *const names[] = {
	    [PINW_HOW_EXIT] = "exit",       [PINW_HOW_SIGNAL] = "signal",   [PINW_HOW_EXEC] = "exec",
	    [PINW_HOW_VIOLENT] = "violent", [PINW_HOW_RUNNING] = "running",
	};

	return names[how];
}

static void put_end(struct pinw_json *j, const struct pinw_process *p)
{
	pinw_json_begin_line_object(j, "end");
	pinw_json_text(j, "how", pinw_how_name(p->how));
	pinw_json_known(j, "status", p->end_status, p->how == PINW_HOW_EXIT || p->how == PINW_HOW_SIGNAL);
	pinw_json_end_object(j);
}

static void put_note(void *arg, const char *text)
{
	pinw_json_text(arg, NULL, text);
}

static void put_coverage(struct pinw_json *j, const struct pinw_process *p)
{
	pinw_json_begin_object(j, "coverage");
	pinw_json_known(j, "kernel_threads", p->kernel_threads, p->census);
	pinw_json_known(j, "seen_threads", p->seen_threads, p->census);
	pinw_json_begin_array(j, "notes");
	pinw_notes_each(p, put_note, j);
	pinw_json_end_array(j);
	pinw_json_end_object(j);
}

int pinw_json_process(struct pinw_json *j, const struct pinw_process *p)
{
	struct counts n = {0};

	add_counts(&n, p);
	pinw_json_number(j, "pid", p->header.self.pid);
	pinw_json_bytes(j, "exe", p->header.exe, p->header.exe_len);
	put_started(j, p->header.start_real_ns);
	pinw_json_number(j, "duration_ns", p->duration_ns);
	put_parent(j, p);
	put_end(j, p);
	put_threads(j, &n);
	put_affinity(j, &n);
	pinw_json_golocks(j, p);
	pinw_json_golock_list(j, p);
	put_pins(j, &n);
	put_leaks(j, &n);
	pinw_json_unbalanced(j, p);
	int error = pinw_json_evidence(j, p);
	if (error == 0)
		error = pinw_json_policy(j, p);
	pinw_json_number(j, "dropped", p->live.counters.events_dropped);
	put_coverage(j, p);
	return error;
}

static int put_process(struct pinw_json *j, struct pinw_stacks *stacks, const struct pinw_process *p,
                       bool scorecard)
{
	pinw_json_begin_object(j, NULL);
	int error = pinw_json_process(j, p);
	if (error == 0 && scorecard)
		error = pinw_json_scorecard(j, p);
	if (error == 0)
		error = put_thread_list(j, p);
	if (error == 0)
		error = put_sites(j, stacks, p);
	pinw_json_end_object(j);
	return error;
}

static int put_totals(struct pinw_json *j, const struct pinw_model *m)
{
	struct counts n = {0};
	struct pinw_breaches breaches;
	int error = 0;

	pinw_breaches_init(&breaches);
	for (size_t i = 0; error == 0 && i < m->process_count; i++) {
		if (m->processes[i]->error)
			continue;
		add_counts(&n, m->processes[i]);
		error = pinw_breaches_add(&breaches, m->processes[i]);
	}
	pinw_json_begin_object(j, "totals");
	put_threads(j, &n);
	put_affinity(j, &n);
	put_pins(j, &n);
	put_leaks(j, &n);
	if (error == 0)
		error = pinw_json_violations(j, &breaches);
	pinw_json_end_object(j);
	pinw_breaches_done(&breaches);
	return error;
}

static void put_unreadable(struct pinw_json *j, const struct pinw_model *m)
{
	pinw_json_begin_array(j, "unreadable");
	for (size_t i = 0; i < m->process_count; i++) {
		const struct pinw_process *p = m->processes[i];
		if (p->error == 0)
			continue;
		pinw_json_begin_line_object(j, NULL);
		pinw_json_text(j, "trace", p->path);
		pinw_json_text(j, "error", pinw_reader_strerror(p->error));
		pinw_json_end_object(j);
	}
	pinw_json_end_array(j);
}

int pinw_report_json(const struct pinw_model *m, struct pinw_stacks *stacks, bool scorecard, FILE *out)
{
	struct pinw_json j;
	int error = 0;

	pinw_json_init(&j, out);
	pinw_json_begin_object(&j, NULL);
	pinw_json_text(&j, "pinwarden", PINW_VERSION);
	pinw_json_begin_array(&j, "processes");
	for (size_t i = 0; error == 0 && i < m->process_count; i++)
		if (m->processes[i]->error == 0)
			error = put_process(&j, stacks, m->processes[i], scorecard);
	pinw_json_end_array(&j);
	if (error == 0)
		error = put_totals(&j, m);
	put_unreadable(&j, m);
	pinw_json_end_object(&j);
	int write_error = pinw_json_done(&j);
	return error < 0 ? error : write_error;
}
