/* SPDX-License-Identifier: MIT */
#include "reports/capacity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/evidence.h"
#include "reports/timeline.h"

static int by_size(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return (a > b) - (a < b);
}

static uint64_t median(const uint32_t counts[PINW_TIMELINE_POINTS])
{
	uint32_t sorted[PINW_TIMELINE_POINTS];

	memcpy(sorted, counts, sizeof(sorted));
	qsort(sorted, PINW_TIMELINE_POINTS, sizeof(sorted[0]), by_size);
	return sorted[PINW_TIMELINE_POINTS / 2];
}

static uint64_t most(const uint32_t counts[PINW_TIMELINE_POINTS])
{
	uint32_t most = 0;

	for (size_t i = 0; i < PINW_TIMELINE_POINTS; i++)
		most = counts[i] > most ? counts[i] : most;
	return most;
}

/* CPUs of the baseline in the masks of pins. `ret_all`: every mask is known. */
static int count_taken(const struct pinw_process *p, uint64_t *ret_taken, bool *ret_all)
{
	uint32_t words = p->header.mask_words;
	uint64_t *all = calloc(words + 1, sizeof(*all));

	*ret_all = true;
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < pinw_history_places(p->history); i++) {
		const struct pinw_span *span = pinw_history_place(p->history, i);
		if (!span)
			continue;
		const uint64_t *mask = pinw_process_mask(p, span->mask);
		*ret_all &= mask != NULL;
		for (uint32_t w = 0; mask && w < words; w++)
			all[w] |= mask[w] & p->header.baseline[w];
	}
	*ret_taken = pinw_mask_width(all, words);
	free(all);
	return 0;
}

static void find_doubled(const struct pinw_timeline *t, struct pinw_capacity *c)
{
	for (size_t i = 0; i < t->cpu_count; i++)
		if (t->cpus[i].most > c->doubled) {
			c->doubled = t->cpus[i].most;
			c->doubled_cpu = t->cpus[i].cpu;
		}
}

/* Go locks whose end nobody looked at the clock for (PINWARDEN_HOLD_TIMES=0), or saw: they count as nothing over time. */
static const char *gap_of(const struct pinw_process *p)
{
	const char *gap = pinw_evidence_gap(p);

	for (size_t i = 0; !gap && i < p->history->span_count; i++) {
		const struct pinw_span *s = &p->history->spans[i];
		if (s->end == PINW_SPAN_UNSEEN ||
		    (s->end != PINW_SPAN_OPEN && s->end_ns == PINW_TIME_UNKNOWN))
			gap = "until when pins and Go locks were held is not known of all";
	}
	return !gap && pinw_process_misses_golocks(p) ? "Go locks are not all seen" : gap;
}

int pinw_capacity_of(const struct pinw_process *p, struct pinw_capacity *ret)
{
	const struct pinw_counters *n = &p->live.counters;
	struct pinw_capacity c = {.cpus = pinw_mask_width(p->header.baseline, p->header.mask_words),
	                          .peak = n->threads_peak,
	                          .is_go = n->golocks_covered || n->golocks || pinw_process_misses_golocks(p),
	                          .gap = gap_of(p)};
	struct pinw_timeline t;
	bool masks_known;
	int error = pinw_timeline_make(p, &t);

	if (error == 0)
		error = count_taken(p, &c.taken, &masks_known);
	if (error == 0) {
		c.pinned = most(t.pinned);
		uint64_t on_cpus = most(t.on_cpus);
		c.used = masks_known && c.taken < on_cpus ? c.taken : on_cpus;
		c.used = c.used < c.cpus ? c.used : c.cpus;
		c.left = pinw_since(c.cpus, c.used);
		c.left_busy = pinw_since(c.left, c.pinned - on_cpus);
		c.steady = median(t.live);
		find_doubled(&t, &c);
		if (c.is_go) {
			c.expected_min = c.cpus + c.pinned + PINW_GO_OWN_MIN;
			c.expected_max = c.cpus + c.pinned + PINW_GO_OWN_MAX;
		}
	}
	pinw_timeline_done(&t);
	*ret = c;
	return error;
}
