/* SPDX-License-Identifier: MIT */
#include "reports/timeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mask.h"

/* A count goes up or down. */
struct step {
	uint64_t at_ns;
	int32_t by;
	uint32_t of; /* CPU, where there are several counts */
};

struct steps {
	struct step *step;
	size_t count;
};

/* ---- counts over time --------------------------------------------------------------------- */

static int by_time(const void *x, const void *y)
{
	const struct step *a = x, *b = y;

	if (a->of != b->of)
		return a->of < b->of ? -1 : 1;
	if (a->at_ns != b->at_ns)
		return a->at_ns < b->at_ns ? -1 : 1;
	return (a->by > b->by) - (a->by < b->by); /* down first: what follows at once is not at once */
}

static void add(struct steps *s, uint64_t begin_ns, uint64_t end_ns, uint32_t of)
{
	s->step[s->count++] = (struct step){.at_ns = begin_ns, .by = 1, .of = of};
	s->step[s->count++] =
	    (struct step){.at_ns = end_ns > begin_ns ? end_ns : begin_ns, .by = -1, .of = of};
}

static size_t point_at(uint64_t at_ns, uint64_t end_ns)
{
	double point = (double)at_ns / (double)end_ns * PINW_TIMELINE_POINTS;

	return point < PINW_TIMELINE_POINTS ? (size_t)point : PINW_TIMELINE_POINTS - 1;
}

/* The most at once in each point, of sorted steps. */
static void count_points(const struct step *step, size_t count, uint64_t end_ns,
                         uint32_t ret[PINW_TIMELINE_POINTS])
{
	int64_t now = 0;
	size_t i = 0;

	for (size_t point = 0; point < PINW_TIMELINE_POINTS; point++) {
		int64_t most = now;

		for (; i < count && point_at(step[i].at_ns, end_ns) <= point; i++) {
			now += step[i].by;
			most = now > most ? now : most;
		}
		ret[point] = (uint32_t)most;
	}
}

static void count_all(struct steps *s, uint64_t end_ns, uint32_t ret[PINW_TIMELINE_POINTS])
{
	qsort(s->step, s->count, sizeof(*s->step), by_time);
	count_points(s->step, s->count, end_ns, ret);
}

/* ---- of what ------------------------------------------------------------------------------- */

static uint64_t end_of(uint64_t ended_ns, const struct pinw_timeline *t)
{
	return ended_ns < t->end_ns ? ended_ns : t->end_ns + 1; /* PINW_TIME_UNKNOWN is later than any end */
}

static uint64_t begin_of(const struct pinw_span *s)
{
	return s->begin_ns == PINW_TIME_UNKNOWN ? 0 : s->begin_ns;
}

/* An end that nobody saw comes right after its begin: how long it was held is not known, that it was is. */
static uint64_t end_of_span(const struct pinw_span *s, const struct pinw_timeline *t)
{
	if (s->end == PINW_SPAN_OPEN)
		return t->end_ns + 1;
	return s->end == PINW_SPAN_UNSEEN || s->end_ns == PINW_TIME_UNKNOWN ? begin_of(s) + 1
	                                                                    : end_of(s->end_ns, t);
}

static void add_threads(struct steps *s, const struct pinw_process *p, const struct pinw_timeline *t)
{
	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *thread = pinw_table_at(&p->threads, i);
		bool main_thread = thread->id == 1;

		if (main_thread || thread->started_ns != PINW_TIME_UNKNOWN)
			add(s, main_thread ? 0 : thread->started_ns, end_of(thread->ended_ns, t), 0);
	}
}

static int by_thread(const void *x, const void *y)
{
	const struct pinw_span *a = *(const struct pinw_span *const *)x,
	                       *b = *(const struct pinw_span *const *)y;

	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	if (begin_of(a) != begin_of(b))
		return begin_of(a) < begin_of(b) ? -1 : 1;
	return (a > b) - (a < b);
}

/* Spans of each thread together. The caller frees. NULL when out of memory. */
static const struct pinw_span **spans_by_thread(const struct pinw_history *h)
{
	const struct pinw_span **sorted = calloc(h->span_count + 1, sizeof(void *));

	for (size_t i = 0; sorted && i < h->span_count; i++)
		sorted[i] = &h->spans[i];
	if (sorted)
		qsort(sorted, h->span_count, sizeof(void *), by_thread);
	return sorted;
}

/* A thread that is locked and pinned at once is one pinned thread. */
static void add_pinned(struct steps *s, const struct pinw_span **sorted, size_t count,
                       const struct pinw_timeline *t)
{
	for (size_t i = 0; i < count;) {
		uint32_t thread = sorted[i]->thread;
		uint64_t begin = begin_of(sorted[i]), end = end_of_span(sorted[i], t);

		for (i++; i < count && sorted[i]->thread == thread && begin_of(sorted[i]) <= end; i++)
			if (end_of_span(sorted[i], t) > end)
				end = end_of_span(sorted[i], t);
		add(s, begin, end, 0);
	}
}

/* Keeps the order of what stays; returns how many do. */
static size_t leave_golocks_out(const struct pinw_span **spans, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (spans[i]->origin != PINW_ORIGIN_GOLOCK)
			spans[kept++] = spans[i];
	return kept;
}

static void add_cpus(struct steps *s, const struct pinw_process *p, const struct pinw_timeline *t)
{
	for (size_t i = 0; i < pinw_history_places(p->history); i++) {
		const struct pinw_span *span = pinw_history_place(p->history, i);
		const uint64_t *mask = span && span->mask ? pinw_process_mask(p, span->mask) : NULL;
		uint32_t cpu = mask ? pinw_mask_single(mask, p->header.mask_words) : 0;
		if (cpu)
			add(s, begin_of(span), end_of_span(span, t), cpu - 1);
	}
}

static void count_cpu(struct pinw_timeline *t, const struct step *step, size_t count)
{
	struct pinw_cpu_line *line = &t->cpus[t->cpu_count++];

	*line = (struct pinw_cpu_line){.cpu = step->of};
	count_points(step, count, t->end_ns, line->pinned);
	for (size_t i = 0; i < PINW_TIMELINE_POINTS; i++)
		line->most = line->pinned[i] > line->most ? line->pinned[i] : line->most;
}

static int count_cpus(struct pinw_timeline *t, struct steps *s)
{
	size_t cpus = 0;

	qsort(s->step, s->count, sizeof(*s->step), by_time);
	for (size_t i = 0; i < s->count; i++)
		cpus += i == 0 || s->step[i].of != s->step[i - 1].of;
	t->cpus = calloc(cpus + 1, sizeof(*t->cpus));
	if (!t->cpus)
		return -ENOMEM;
	for (size_t i = 0, next; i < s->count; i = next) {
		for (next = i; next < s->count && s->step[next].of == s->step[i].of;)
			next++;
		count_cpu(t, &s->step[i], next - i);
	}
	return 0;
}

int pinw_timeline_make(const struct pinw_process *p, struct pinw_timeline *t)
{
	size_t places = pinw_history_places(p->history);
	size_t most = p->threads.count > places ? p->threads.count : places;
	struct steps s = {.step = calloc(2 * most + 1, sizeof(*s.step))};
	const struct pinw_span **sorted = spans_by_thread(p->history);
	int error = s.step && sorted ? 0 : -ENOMEM;

	*t = (struct pinw_timeline){.end_ns = p->duration_ns > p->last_event_ns ? p->duration_ns
	                                                                        : p->last_event_ns};
	if (t->end_ns == 0)
		t->end_ns = 1;
	if (error == 0) {
		add_threads(&s, p, t);
		count_all(&s, t->end_ns, t->live);
		s.count = 0;
		add_pinned(&s, sorted, p->history->span_count, t);
		count_all(&s, t->end_ns, t->pinned);
		s.count = 0;
		add_pinned(&s, sorted, leave_golocks_out(sorted, p->history->span_count), t);
		count_all(&s, t->end_ns, t->on_cpus);
		s.count = 0;
		add_cpus(&s, p, t);
		error = count_cpus(t, &s);
	}
	free(s.step);
	free(sorted);
	return error;
}

void pinw_timeline_done(struct pinw_timeline *t)
{
	free(t->cpus);
}

/* ---- spans as blocks -------------------------------------------------------------------------- */

static bool is_golock(const struct pinw_span *s)
{
	return s->origin == PINW_ORIGIN_GOLOCK;
}

static int by_lane(const void *x, const void *y)
{
	const struct pinw_span *a = *(const struct pinw_span *const *)x,
	                       *b = *(const struct pinw_span *const *)y;

	if (a->thread == b->thread && is_golock(a) != is_golock(b))
		return is_golock(a) ? 1 : -1;
	return by_thread(x, y);
}

static struct pinw_block block_of(const struct pinw_process *p, const struct pinw_span *s)
{
	uint64_t begin = begin_of(s), end = s->end_ns;

	if (s->end == PINW_SPAN_UNSEEN || end == PINW_TIME_UNKNOWN)
		end = s->end == PINW_SPAN_OPEN ? p->duration_ns : begin;
	return (struct pinw_block){.begin_ns = begin,
	                           .end_ns = end > begin ? end : begin,
	                           .thread = s->thread,
	                           .count = 1,
	                           .mask = s->mask,
	                           .golock = is_golock(s),
	                           .leaked = s->end == PINW_SPAN_THREAD_ENDED ||
	                                     (s->end == PINW_SPAN_OPEN && p->how != PINW_HOW_RUNNING)};
}

/* Writes the blocks, when `to` is given. Returns how many there are. */
static size_t merge(const struct pinw_process *p, const struct pinw_span **sorted, size_t span_count,
                    uint64_t apart_ns, struct pinw_block *to)
{
	struct pinw_block last = {0};
	size_t count = 0;

	for (size_t i = 0; i < span_count; i++) {
		struct pinw_block next = block_of(p, sorted[i]);
		bool same = count && last.thread == next.thread && last.golock == next.golock &&
		            (next.begin_ns < last.end_ns || next.begin_ns - last.end_ns < apart_ns);

		if (same) {
			last.end_ns = next.end_ns > last.end_ns ? next.end_ns : last.end_ns;
			last.count++;
			last.leaked = last.leaked || next.leaked;
		} else {
			last = next;
			count++;
		}
		if (to)
			to[count - 1] = last;
	}
	return count;
}

/* Pins at each mask they had, and Go locks. The caller frees; NULL when out of memory. */
static const struct pinw_span **spans_of_lanes(const struct pinw_history *h, const struct pinw_table *lanes,
                                               size_t *ret_count)
{
	const struct pinw_span **spans = calloc(pinw_history_places(h) + 1, sizeof(void *));
	size_t count = 0;

	for (size_t i = 0; spans && i < pinw_history_places(h); i++) {
		const struct pinw_span *s = pinw_history_place(h, i);
		if (!s && is_golock(&h->spans[i]))
			s = &h->spans[i];
		if (s && pinw_table_find(lanes, s->thread))
			spans[count++] = s;
	}
	if (spans)
		qsort(spans, count, sizeof(void *), by_lane);
	*ret_count = count;
	return spans;
}

int pinw_blocks_make(const struct pinw_process *p, const struct pinw_table *lanes, size_t most,
                     struct pinw_blocks *ret)
{
	size_t count;
	const struct pinw_span **spans = spans_of_lanes(p->history, lanes, &count);

	*ret = (struct pinw_blocks){0};
	if (!spans)
		return -ENOMEM;
	ret->count = merge(p, spans, count, 0, NULL);
	/* A two-thousandth of the whole is less than a point of the screen; from there on it becomes coarser until it fits. */
	for (uint64_t apart = p->duration_ns / 2000 + 1;
	     ret->count > most && apart && apart / 4 <= p->duration_ns; apart *= 2) {
		ret->apart_ns = apart;
		ret->count = merge(p, spans, count, apart, NULL);
	}
	ret->blocks = calloc(ret->count + 1, sizeof(*ret->blocks));
	if (ret->blocks)
		merge(p, spans, count, ret->apart_ns, ret->blocks);
	free(spans);
	return ret->blocks ? 0 : -ENOMEM;
}
