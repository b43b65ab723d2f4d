/* SPDX-License-Identifier: MIT
 *
 * A stream of JSON objects, one a line, each with its "type" and, but for the first and the last, the number of its "process".
 * Promises that every line is a whole object whatever the names in it, that what an object refers to by number comes before
 * it, and that a stream which is not cut ends with {"type":"end"}. A member that would say nothing is left out of events;
 * elsewhere it is null.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/events.h"
#include "reports/export.h"
#include "reports/json_private.h"
#include "reports/report.h"

#define STREAM_FORMAT 1u

struct stream {
	struct pinw_json j;
	struct pinw_stacks *stacks;
	const struct pinw_process *p;
	uint32_t number; /* of the process in this stream, from 1 */
	uint64_t lines;
};

static void begin(struct stream *s, const char *type)
{
	pinw_json_begin_line_object(&s->j, NULL);
	pinw_json_text(&s->j, "type", type);
	if (s->number)
		pinw_json_number(&s->j, "process", s->number);
}

static void end(struct stream *s)
{
	pinw_json_end_object(&s->j);
	pinw_json_next(&s->j);
	s->lines++;
}

static void put_time(struct stream *s, const char *key, uint64_t time_ns)
{
	pinw_json_known(&s->j, key, time_ns, time_ns != PINW_TIME_UNKNOWN);
}

static void put_id(struct stream *s, const char *key, uint64_t id)
{
	pinw_json_known(&s->j, key, id, id != 0);
}

/* ---- sites and threads -------------------------------------------------------------------- */

static int put_sites(struct stream *s)
{
	uint32_t *rows;
	int error = pinw_json_rows_by_id(&s->p->sites, &rows);

	if (error < 0)
		return error;
	for (size_t i = 0; i < s->p->sites.count; i++) {
		begin(s, "site");
		pinw_json_site(&s->j, s->stacks, s->p, pinw_table_at(&s->p->sites, rows[i]));
		end(s);
	}
	free(rows);
	return 0;
}

static int put_threads(struct stream *s)
{
	uint32_t *rows;
	int error = pinw_json_rows_by_id(&s->p->threads, &rows);

	if (error < 0)
		return error;
	for (size_t i = 0; i < s->p->threads.count; i++) {
		begin(s, "thread");
		pinw_json_thread(&s->j, s->p, pinw_table_at(&s->p->threads, rows[i]));
		end(s);
	}
	free(rows);
	return 0;
}

/* ---- events --------------------------------------------------------------------------------- */

static void put_some(struct stream *s, const char *key, uint64_t value)
{
	if (value)
		pinw_json_number(&s->j, key, value);
}

static void put_word(struct stream *s, const char *key, const char *word)
{
	if (word)
		pinw_json_text(&s->j, key, word);
}

static int put_event(void *arg, const struct pinw_recorded *e)
{
	struct stream *s = arg;
	char mask[PINW_EXPORT_TEXT];

	begin(s, "event");
	pinw_json_text(&s->j, "event", e->what);
	pinw_json_number(&s->j, "time_ns", e->time_ns);
	put_some(s, "thread", e->thread);
	put_some(s, "site", e->site);
	put_some(s, "target", e->target);
	put_some(s, "tid", e->tid);
	put_word(s, "origin", e->origin);
	put_word(s, "call", e->call);
	put_word(s, "relation", e->relation);
	put_word(s, "effect", e->effect);
	put_word(s, "how", e->how);
	put_some(s, "depth", e->depth);
	put_some(s, "errno", e->error);
	put_some(s, "took_ns", e->took_ns);
	put_some(s, "held_ns", e->held_ns);
	put_some(s, "goroutine", e->goid);
	put_some(s, "code", e->code);
	if (e->mask) {
		pinw_mask_print(mask, sizeof(mask), e->mask, s->p->header.mask_words);
		pinw_json_text(&s->j, "mask", mask);
	}
	if (e->text)
		pinw_json_bytes(&s->j, "text", e->text, e->text_len);
	end(s);
	return ferror(s->j.out) ? -EIO : 0;
}

/* ---- pins, locks, leaks, violations ------------------------------------------------------------ */

static void put_span(struct stream *s, size_t number)
{
	const struct pinw_span *span = &s->p->history->spans[number];
	bool lock = span->origin == PINW_ORIGIN_GOLOCK;
	bool known = span->begin_ns != PINW_TIME_UNKNOWN && span->end_ns != PINW_TIME_UNKNOWN;

	begin(s, lock ? "lock" : "pin");
	pinw_json_number(&s->j, "id", number + 1);
	put_id(s, "thread", span->thread);
	put_id(s, "site", span->site);
	if (lock) {
		put_id(s, "unlock_site", span->end_site);
		put_id(s, "goroutine", span->goid);
	} else {
		pinw_json_text(&s->j, "origin", pinw_origin_name(span->origin));
		put_id(s, "by", span->by);
		pinw_json_mask(&s->j, "mask", s->p, span->mask);
	}
	put_time(s, "begin_ns", span->begin_ns);
	put_time(s, "end_ns", span->end_ns);
	pinw_json_known(&s->j, "held_ns", pinw_span_held_ns(span), known);
	pinw_json_number(&s->j, "depth", span->depth);
	pinw_json_text(&s->j, "end", pinw_span_end_name(span->end));
	end(s);
}

static void put_leak(void *arg, const struct pinw_leaked *leaked)
{
	struct stream *s = arg;
	const struct pinw_span *first = s->p->history->spans;

	begin(s, "leak");
	pinw_json_text(&s->j, "leak", pinw_leak_kind_name(leaked->kind));
	pinw_json_number(&s->j, "thread", leaked->thread->id);
	if (leaked->origin)
		pinw_json_text(&s->j, "origin", pinw_origin_name(leaked->origin));
	else
		pinw_json_null(&s->j, "origin");
	pinw_json_known(&s->j, "pin", leaked->span ? (uint64_t)(leaked->span - first) + 1 : 0, leaked->span);
	put_id(s, "site", leaked->site);
	put_id(s, "create_site", leaked->thread->create_site);
	put_time(s, "time_ns", leaked->time_ns);
	end(s);
}

static void put_violation(struct stream *s, const struct pinw_single_violation *v)
{
	const struct pinw_rule_row *rule = pinw_process_rule(s->p, v->rule);

	begin(s, "violation");
	pinw_json_number(&s->j, "time_ns", v->time_ns);
	pinw_json_text(&s->j, "rule", rule && rule->label ? rule->label : "unknown");
	pinw_json_text(&s->j, "action", pinw_action_name((enum pinw_action)v->action));
	pinw_json_text(&s->j, "done", pinw_done_name(v->done));
	pinw_json_text(&s->j, "attempt", pinw_attempt_name(v->attempt));
	put_id(s, "thread", v->thread);
	put_id(s, "target", v->target);
	put_id(s, "site", v->site);
	pinw_json_mask(&s->j, "mask", s->p, v->mask);
	put_id(s, "value", v->value);
	pinw_json_known(&s->j, "limit", v->limit, v->value != 0);
	put_id(s, "errno", v->error);
	end(s);
}

/* ---- the stream ---------------------------------------------------------------------------------- */

static int put_process(struct stream *s, const struct pinw_table *numbers)
{
	begin(s, "process");
	put_id(s, "parent_process", pinw_export_number(numbers, s->p->parent));
	pinw_json_bool(&s->j, "by_exec", s->p->by_exec);
	pinw_json_text(&s->j, "trace", s->p->path);
	pinw_json_number(&s->j, "start_real_ns", s->p->header.start_real_ns);
	pinw_json_number(&s->j, "start_mono_ns", s->p->header.start_mono_ns);
	int error = pinw_json_process(&s->j, s->p);
	end(s);
	return error;
}

static int put_all_of(struct stream *s, const struct pinw_table *numbers)
{
	const struct pinw_history *h = s->p->history;
	int error = put_process(s, numbers);

	if (error == 0)
		error = put_sites(s);
	if (error == 0)
		error = put_threads(s);
	if (error == 0)
		error = pinw_events_each(s->p, put_event, s);
	if (error < 0)
		return error;
	for (size_t i = 0; i < h->span_count; i++)
		put_span(s, i);
	for (size_t i = 0; i < h->violation_count; i++)
		put_violation(s, &h->violations[i]);
	return pinw_export_leaks(s->p, put_leak, s);
}

static void put_unreadable(struct stream *s, const struct pinw_process *p)
{
	begin(s, "unreadable");
	pinw_json_text(&s->j, "trace", p->path);
	pinw_json_text(&s->j, "error", pinw_reader_strerror(p->error));
	end(s);
}

static int put_processes(struct stream *s, const struct pinw_model *m)
{
	struct pinw_table numbers;
	int error = pinw_export_numbers(m, &numbers);

	for (size_t i = 0; error == 0 && i < m->process_count; i++) {
		s->p = m->processes[i];
		s->number = pinw_export_number(&numbers, s->p);
		if (s->p->error)
			put_unreadable(s, s->p);
		else
			error = put_all_of(s, &numbers);
	}
	pinw_table_done(&numbers);
	s->number = 0;
	return error;
}

int pinw_export_jsonl(const struct pinw_model *m, struct pinw_stacks *stacks, FILE *out)
{
	struct stream s = {.stacks = stacks};

	pinw_json_init(&s.j, out);
	begin(&s, "stream");
	pinw_json_number(&s.j, "format", STREAM_FORMAT);
	pinw_json_text(&s.j, "pinwarden", PINW_VERSION);
	end(&s);
	int error = put_processes(&s, m);
	if (error == 0) {
		begin(&s, "end");
		pinw_json_number(&s.j, "lines", s.lines + 1);
		pinw_json_end_object(&s.j);
		error = pinw_json_done(&s.j);
	}
	return error;
}
