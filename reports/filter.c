/* SPDX-License-Identifier: MIT */
#include "reports/filter.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "reports/history.h"
#include "reports/report.h"

#define FILTER_SITES (PINW_LEAK_CREATORS + 2u)

/* ---- expressions ------------------------------------------------------------------------------- */

static const char *const fields[PINW_FILTER_FIELDS] = {"",     "function", "module", "thread",
                                                       "kind", "leak",     "cpu"};

static const char *const kinds[] = {"self", "cross", "born", "inherited", "external", "cpu", "go"};

static bool is_text(const struct pinw_filter_term *t, const char *text)
{
	return strlen(text) == t->len && strncasecmp(t->value, text, t->len) == 0;
}

static int check_kind(const struct pinw_filter_term *t, char *why, size_t why_len)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (is_text(t, kinds[i]))
			return 0;
	snprintf(why, why_len, "kind: is self, cross, born, inherited, external, cpu (any of these) or go");
	return -EINVAL;
}

static int check_leak(const struct pinw_filter_term *t, char *why, size_t why_len)
{
	size_t len = (size_t)snprintf(why, why_len, "leak: is any");

	if (is_text(t, "any"))
		return 0;
	for (size_t kind = 0; kind < PINW_LEAK_KINDS; kind++) {
		const char *name = pinw_leak_kind_name((enum pinw_leak_kind)kind);
		if (is_text(t, name))
			return 0;
		if (len < why_len)
			len += (size_t)snprintf(why + len, why_len - len, "%s%s",
			                        kind + 1 < PINW_LEAK_KINDS ? ", " : " or ", name);
	}
	return -EINVAL;
}

static int check_cpu(struct pinw_filter_term *t, char *why, size_t why_len)
{
	unsigned cpu = 0;

	for (size_t i = 0; i < t->len; i++) {
		if (!isdigit((unsigned char)t->value[i]) || t->len > 5) {
			snprintf(why, why_len, "cpu: is the number of one CPU");
			return -EINVAL;
		}
		cpu = cpu * 10 + (unsigned)(t->value[i] - '0');
	}
	t->cpu = cpu;
	return 0;
}

/* The field before a colon; what is none is part of a word, as in C++'s names. */
static int read_field(struct pinw_filter_term *t, char *why, size_t why_len)
{
	const char *colon = memchr(t->value, ':', t->len);
	size_t len = colon ? (size_t)(colon - t->value) : 0;

	if (!colon || (colon + 1 < t->value + t->len && colon[1] == ':'))
		return 0;
	for (size_t i = PINW_FILTER_FUNCTION; i < PINW_FILTER_FIELDS; i++)
		if (strlen(fields[i]) == len && strncmp(t->value, fields[i], len) == 0)
			t->field = (enum pinw_filter_field)i;
	if (t->field == PINW_FILTER_WORD) {
		snprintf(why, why_len, "%.*s: is none of function:, module:, thread:, kind:, leak: and cpu:",
		         (int)(len < 64 ? len : 64), t->value);
		return -EINVAL;
	}
	t->value += len + 1;
	t->len -= len + 1;
	if (t->len)
		return 0;
	snprintf(why, why_len, "%s: needs a value", fields[t->field]);
	return -EINVAL;
}

static int read_term(struct pinw_filter_term *t, char *why, size_t why_len)
{
	int error = read_field(t, why, why_len);

	if (error == 0 && t->field == PINW_FILTER_KIND)
		error = check_kind(t, why, why_len);
	if (error == 0 && t->field == PINW_FILTER_LEAK)
		error = check_leak(t, why, why_len);
	if (error == 0 && t->field == PINW_FILTER_CPU)
		error = check_cpu(t, why, why_len);
	return error;
}

int pinw_filter_parse(const char *text, struct pinw_filter *ret, char *why, size_t why_len)
{
	*ret = (struct pinw_filter){0};
	for (text += strspn(text, " \t"); *text; text += strspn(text, " \t")) {
		size_t len = strcspn(text, " \t");
		if (ret->count == PINW_FILTER_TERMS) {
			snprintf(why, why_len, "there can be %u terms", PINW_FILTER_TERMS);
			return -EINVAL;
		}
		struct pinw_filter_term *t = &ret->terms[ret->count++];
		*t = (struct pinw_filter_term){.value = text, .len = len};
		int error = read_term(t, why, why_len);
		if (error < 0)
			return error;
		text += len;
	}
	if (ret->count)
		return 0;
	snprintf(why, why_len, "expected words, or terms such as thread:worker");
	return -EINVAL;
}

/* ---- names ------------------------------------------------------------------------------------- */

static bool is_in(const struct pinw_filter_term *t, const char *name, size_t len)
{
	for (size_t i = 0; i + t->len <= len; i++)
		if (strncasecmp(name + i, t->value, t->len) == 0)
			return true;
	return false;
}

struct search {
	const struct pinw_filter_term *term;
	bool found;
};

static void look_at(void *arg, const struct pinw_frame *frame)
{
	struct search *s = arg;
	enum pinw_filter_field field = s->term->field;

	if (frame->function && (field == PINW_FILTER_WORD || field == PINW_FILTER_FUNCTION))
		s->found |= is_in(s->term, frame->function, strlen(frame->function));
	if (frame->module && (field == PINW_FILTER_WORD || field == PINW_FILTER_MODULE))
		s->found |= is_in(s->term, frame->module, strlen(frame->module));
}

/* ---- rows --------------------------------------------------------------------------------------- */

/* What a row of a list stands for. */
struct row {
	const struct pinw_process *p;
	uint32_t sites[FILTER_SITES];
	unsigned site_count;
	unsigned origins; /* bits, by enum pinw_origin */
	int leak; /* enum pinw_leak_kind, -1 none */
	bool (*has)(const struct row *r, const struct pinw_filter_term *t); /* one of its threads, or pins */
	const void *of; /* the row itself */
	const struct pinw_filter_index *index;
};

static bool is_named(const struct pinw_filter_term *t, const struct pinw_thread *thread)
{
	return thread && is_in(t, thread->name, strnlen(thread->name, sizeof(thread->name)));
}

static bool has_cpu(const struct pinw_process *p, uint32_t number, unsigned cpu)
{
	const uint64_t *mask = pinw_process_mask(p, number);

	return mask && cpu / 64 < p->header.mask_words && (mask[cpu / 64] >> cpu % 64 & 1);
}

/* A pin, as far as threads and CPUs go. */
static bool span_has(const struct pinw_process *p, const struct pinw_span *s,
                     const struct pinw_filter_term *t)
{
	size_t count = 0;

	if (t->field != PINW_FILTER_CPU)
		return is_named(t, pinw_process_thread(p, s->thread));
	if (s->origin == PINW_ORIGIN_GOLOCK)
		return false;
	const struct pinw_span *stays = s->moved ? pinw_history_stays(p->history, s, &count) : NULL;
	for (size_t i = 0; i < count; i++)
		if (has_cpu(p, stays[i].mask, t->cpu))
			return true;
	return has_cpu(p, s->mask, t->cpu);
}

static bool is_kind(const struct pinw_filter_term *t, unsigned origins)
{
	unsigned golock = 1u << PINW_ORIGIN_GOLOCK;

	if (is_text(t, "go"))
		return origins & golock;
	if (is_text(t, "cpu"))
		return origins & ~golock;
	for (unsigned origin = PINW_ORIGIN_SELF; origin < PINW_ORIGIN_GOLOCK; origin++)
		if (origins >> origin & 1 && is_text(t, pinw_origin_name(origin)))
			return true;
	return false;
}

static bool stacks_have(struct pinw_filter *f, const struct row *r, const struct pinw_filter_term *t)
{
	struct search search = {.term = t};

	for (unsigned i = 0; i < r->site_count && !search.found; i++) {
		const struct pinw_site *site = pinw_process_site(r->p, r->sites[i]);
		if (site && site->known)
			pinw_stacks_resolve(f->stacks, r->p, site, look_at, &search);
	}
	return search.found;
}

static bool holds(struct pinw_filter *f, const struct row *r, const struct pinw_filter_term *t)
{
	switch (t->field) {
	case PINW_FILTER_KIND:
		return is_kind(t, r->origins);
	case PINW_FILTER_LEAK:
		return r->leak >= 0 &&
		       (is_text(t, "any") || is_text(t, pinw_leak_kind_name((enum pinw_leak_kind)r->leak)));
	case PINW_FILTER_THREAD:
	case PINW_FILTER_CPU:
		return r->has(r, t);
	case PINW_FILTER_WORD:
		return stacks_have(f, r, t) || r->has(r, t);
	default:
		return stacks_have(f, r, t);
	}
}

static bool all_hold(struct pinw_filter *f, struct row *r)
{
	if (pinw_filter_index(&f->index, r->p) < 0) {
		f->out_of_memory = true;
		return false;
	}
	r->index = &f->index;
	for (unsigned i = 0; i < f->count; i++)
		if (!holds(f, r, &f->terms[i]))
			return false;
	return true;
}

static void add_site(struct row *r, uint32_t site)
{
	if (site && r->site_count < FILTER_SITES)
		r->sites[r->site_count++] = site;
}

/* ---- each list ------------------------------------------------------------------------------------ */

static bool thread_has(const struct row *r, const struct pinw_filter_term *t)
{
	const struct pinw_thread *thread = r->of;

	if (t->field != PINW_FILTER_CPU)
		return is_named(t, thread);
	return thread->pin.depth &&
	       (has_cpu(r->p, thread->pin.mask, t->cpu) || has_cpu(r->p, thread->mask, t->cpu));
}

bool pinw_filter_has_thread(struct pinw_filter *f, const struct pinw_process *p, const struct pinw_thread *t)
{
	struct row r = {.p = p, .leak = -1, .has = thread_has, .of = t};

	add_site(&r, t->create_site);
	add_site(&r, t->pin.site);
	add_site(&r, t->lock->site);
	r.origins =
	    (t->pin.depth ? 1u << t->pin.origin : 0) | (t->lock->depth ? 1u << PINW_ORIGIN_GOLOCK : 0);
	return all_hold(f, &r);
}

static bool pins_have(const struct row *r, const struct pinw_filter_term *t)
{
	struct pinw_filter_list of = pinw_filter_of(&r->index->spans, r->site_count ? r->sites[0] : 0);

	for (size_t i = 0; i < of.count; i++) {
		const struct pinw_span *s = &r->p->history->spans[of.entries[i].at];
		if (r->origins >> s->origin & 1 && span_has(r->p, s, t))
			return true;
	}
	return false;
}

bool pinw_filter_has_pins(struct pinw_filter *f, const struct pinw_process *p, uint32_t site, unsigned origin)
{
	struct row r = {.p = p, .leak = -1, .origins = 1u << origin, .has = pins_have};

	add_site(&r, site);
	return all_hold(f, &r);
}

static bool created_have(const struct row *r, const struct pinw_filter_term *t)
{
	const struct pinw_creations *c = r->of;
	struct pinw_filter_list of = pinw_filter_of(&r->index->created, c->site);

	for (size_t i = 0; t->field != PINW_FILTER_CPU && i < of.count; i++)
		if (is_named(t, pinw_table_at(&r->p->threads, of.entries[i].at)))
			return true;
	return false;
}

bool pinw_filter_has_creations(struct pinw_filter *f, const struct pinw_process *p,
                               const struct pinw_creations *c)
{
	struct row r = {.p = p, .leak = -1, .has = created_have, .of = c};

	add_site(&r, c->site);
	return all_hold(f, &r);
}

static bool one_has(const struct row *r, const struct pinw_thread *thread, const struct pinw_filter_term *t)
{
	struct row one = {.p = r->p, .of = thread};

	return thread && thread_has(&one, t);
}

static bool some_have(const struct row *r, const struct pinw_filter_list *list, uint32_t site,
                      const struct pinw_filter_term *t)
{
	struct pinw_filter_list of = pinw_filter_of(list, site);

	for (size_t i = 0; i < of.count; i++)
		if (one_has(r, pinw_table_at(&r->p->threads, of.entries[i].at), t))
			return true;
	return false;
}

/* Of the leaked threads, as far as stacks tell which these are. */
static bool leaked_have(const struct row *r, const struct pinw_filter_term *t)
{
	const struct pinw_leak *l = r->of;

	for (size_t i = 0; i < PINW_LEAK_EXAMPLES && l->threads[i]; i++)
		if (one_has(r, pinw_process_thread(r->p, l->threads[i]), t))
			return true;
	if (l->count <= PINW_LEAK_EXAMPLES)
		return false;
	if (l->pin_site)
		return some_have(r, &r->index->held, l->pin_site, t);
	for (uint32_t i = 0; i < l->creator_count; i++)
		if (some_have(r, &r->index->created, l->creators[i].site, t))
			return true;
	return false;
}

bool pinw_filter_has_leak(struct pinw_filter *f, const struct pinw_process *p, const struct pinw_leak *l)
{
	struct row r = {.p = p, .leak = l->kind, .has = leaked_have, .of = l};

	r.origins = l->origin ? 1u << l->origin : 0;
	add_site(&r, l->pin_site);
	add_site(&r, l->unlock_site);
	for (uint32_t i = 0; i < l->creator_count; i++)
		add_site(&r, l->creators[i].site);
	return all_hold(f, &r);
}

static bool violated_have(const struct row *r, const struct pinw_filter_term *t)
{
	const struct pinw_violation *v = r->of;

	if (t->field == PINW_FILTER_CPU)
		return has_cpu(r->p, v->mask, t->cpu);
	for (size_t i = 0; i < PINW_VIOLATION_EXAMPLES && v->threads[i]; i++)
		if (is_named(t, pinw_process_thread(r->p, v->threads[i])))
			return true;
	return false;
}

bool pinw_filter_has_violation(struct pinw_filter *f, const struct pinw_process *p,
                               const struct pinw_violation *v)
{
	struct row r = {.p = p, .leak = -1, .has = violated_have, .of = v};

	add_site(&r, v->site);
	return all_hold(f, &r);
}

void pinw_filter_done(struct pinw_filter *f)
{
	pinw_filter_index_done(&f->index);
}
