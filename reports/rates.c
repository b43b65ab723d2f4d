/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "reports/model_private.h"
#include "reports/ranges.h"

#define SECOND_NS UINT64_C(1000000000)

/* A pin or a Go lock begins. */
struct pinw_opening {
	uint64_t time_ns;
	uint32_t site;
	uint32_t thread;
	bool on_main;
	bool repeated; /* not this thread's first one here */
};

void pinw_replay_opening(struct pinw_replay *c, uint32_t site, uint32_t thread, bool on_main,
                         uint64_t time_ns)
{
	struct pinw_process *p = c->p;

	if (!site)
		return;
	if (pinw_grow((void **)&p->openings, p->opening_count, &p->opening_room, sizeof(*p->openings)) < 0) {
		c->out_of_memory = true;
		return;
	}
	p->openings[p->opening_count++] =
	    (struct pinw_opening){.time_ns = time_ns, .site = site, .thread = thread, .on_main = on_main};
}

/* ---- counting -------------------------------------------------------------------------- */

/* Fed with times in order: the most within any second, and the seconds of the clock that had many. */
struct windows {
	const uint64_t *times;
	size_t begin; /* of the window that ends with the last one */
	uint64_t peak;
	uint64_t second, in_second, high_seconds;
};

static void add_time(struct windows *w, size_t at)
{
	uint64_t now = w->times[at];

	while (now - w->times[w->begin] >= SECOND_NS)
		w->begin++;
	if (at - w->begin + 1 > w->peak)
		w->peak = at - w->begin + 1;
	if (now / SECOND_NS != w->second)
		w->in_second = 0;
	w->second = now / SECOND_NS;
	w->high_seconds += ++w->in_second == PINW_RATE_HIGH;
}

static struct windows windows_of(const uint64_t *times, size_t count)
{
	struct windows w = {.times = times};

	for (size_t i = 0; i < count; i++)
		add_time(&w, i);
	return w;
}

static int by_time(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return (a > b) - (a < b);
}

/* ---- pins and locks of a site ------------------------------------------------------------- */

static int by_thread(const void *x, const void *y)
{
	const struct pinw_opening *a = x, *b = y;

	if (a->site != b->site)
		return a->site < b->site ? -1 : 1;
	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	return (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
}

/* `times` has room for `count`. */
static void judge_site(struct pinw_site *s, const struct pinw_opening *openings, size_t count,
                       uint64_t *times)
{
	size_t repeats = 0, on_main = 0;

	for (size_t i = 0; i < count; i++) {
		times[i] = openings[i].time_ns;
		on_main += openings[i].on_main;
	}
	qsort(times, count, sizeof(*times), by_time);
	s->rate = (struct pinw_rate_seen){.count = count,
	                                  .peak = windows_of(times, count).peak,
	                                  .on_main = on_main,
	                                  .first_ns = times[0],
	                                  .last_ns = times[count - 1]};
	for (size_t i = 0; i < count; i++)
		if (openings[i].repeated)
			times[repeats++] = openings[i].time_ns;
	if (repeats == 0)
		return;
	qsort(times, repeats, sizeof(*times), by_time);
	struct windows w = windows_of(times, repeats);
	s->rate.repeats = repeats;
	s->rate.repeats_peak = w.peak;
	s->rate.repeats_seconds = w.high_seconds;
}

static void judge_sites(struct pinw_process *p, uint64_t *times)
{
	struct pinw_opening *o = p->openings;

	qsort(o, p->opening_count, sizeof(*o), by_thread);
	for (size_t i = 1; i < p->opening_count; i++)
		o[i].repeated = o[i].site == o[i - 1].site && o[i].thread == o[i - 1].thread;
	for (size_t from = 0, to; from < p->opening_count; from = to) {
		struct pinw_site *s = pinw_table_find(&p->sites, o[from].site);
		for (to = from + 1; to < p->opening_count && o[to].site == o[from].site;)
			to++;
		if (s)
			judge_site(s, o + from, to - from, times);
	}
}

/* ---- threads that come and go --------------------------------------------------------------- */

static bool is_short_lived(const struct pinw_thread *t)
{
	return t->exited && (t->pins_opened || t->golocks) && t->ended_ns != PINW_TIME_UNKNOWN &&
	       t->started_ns != PINW_TIME_UNKNOWN && t->ended_ns >= t->started_ns &&
	       t->ended_ns - t->started_ns < PINW_SHORT_LIVED_NS;
}

static void judge_churn(struct pinw_process *p, uint64_t *times)
{
	uint64_t first_end = UINT64_MAX;
	size_t count = 0;

	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		if (!is_short_lived(t))
			continue;
		times[count++] = t->ended_ns;
		p->churn.locked += t->lock->depth && t->lock->destroyed;
		if (t->ended_ns < first_end)
			first_end = t->ended_ns;
	}
	qsort(times, count, sizeof(*times), by_time);
	p->churn.count = count;
	p->churn.peak = windows_of(times, count).peak;
	count = 0;
	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		if (is_short_lived(t) && t->started_ns > first_end)
			times[count++] = t->ended_ns;
	}
	qsort(times, count, sizeof(*times), by_time);
	struct windows w = windows_of(times, count);
	p->churn.replaced = count;
	p->churn.replaced_peak = w.peak;
	p->churn.replaced_seconds = w.high_seconds;
}

int pinw_rates_settle(struct pinw_process *p)
{
	size_t room = p->opening_count > p->threads.count ? p->opening_count : p->threads.count;
	uint64_t *times = calloc(room + 1, sizeof(*times));

	if (!times)
		return -ENOMEM;
	if (p->opening_count)
		judge_sites(p, times);
	judge_churn(p, times);
	free(times);
	free(p->openings);
	p->openings = NULL;
	p->opening_count = p->opening_room = 0;
	return 0;
}
