/* SPDX-License-Identifier: MIT */
#include "reports/evidence.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "reports/notes.h"

#define SECONDS_HIGH 2u /* so many seconds of the clock with PINW_RATE_HIGH, */
#define PEAK_HIGH 100u /* or so many within one second: no burst of a start any more */

const char *pinw_answer_words(enum pinw_answer answer)
{
	return answer == PINW_ANSWER_YES ? "yes" : answer == PINW_ANSWER_NO ? "no" : "not observable";
}

/* ---- what cannot be told -------------------------------------------------------------------- */

static void add_unknown(struct pinw_per_request *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add_unknown(struct pinw_per_request *r, const char *format, ...)
{
	va_list args;

	if (r->unknown_count == PINW_UNKNOWNS_MAX)
		return;
	va_start(args, format);
	vsnprintf(r->unknown[r->unknown_count++], PINW_UNKNOWN_BYTES, format, args);
	va_end(args);
}

static void make_unknown(enum pinw_answer *answer)
{
	if (*answer == PINW_ANSWER_NO)
		*answer = PINW_ANSWER_UNKNOWN;
}

static void all_unknown(struct pinw_per_request *r)
{
	make_unknown(&r->by_stack);
	make_unknown(&r->by_rate);
	make_unknown(&r->by_churn);
}

/* ---- per request ------------------------------------------------------------------------------ */

static bool is_high(uint64_t seconds, uint64_t peak)
{
	return seconds >= SECONDS_HIGH || peak >= PEAK_HIGH;
}

static int keep_site(struct pinw_per_request *r, const struct pinw_process *p, const struct pinw_site *s,
                     bool by_stack, bool by_rate)
{
	struct pinw_request_site *grown = realloc(r->sites, (r->site_count + 1) * sizeof(*grown));
	const struct pinw_golock_site *row = pinw_table_find(&p->golock_sites, (uint64_t)s->id + 1);

	if (!grown)
		return -ENOMEM;
	r->sites = grown;
	r->sites[r->site_count++] = (struct pinw_request_site){.site = s,
	                                                       .golock = s->golocks > 0,
	                                                       .by_stack = by_stack,
	                                                       .by_rate = by_rate,
	                                                       .destroyed = row ? row->destroyed : 0};
	return 0;
}

static int by_opened(const void *x, const void *y)
{
	const struct pinw_site *a = ((const struct pinw_request_site *)x)->site,
	                       *b = ((const struct pinw_request_site *)y)->site;

	if (a->rate.count != b->rate.count)
		return a->rate.count > b->rate.count ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

static int judge_sites(const struct pinw_process *p, struct pinw_per_request *r)
{
	uint64_t unnamed = 0, all = 0;

	for (size_t i = 0; i < p->sites.count; i++) {
		const struct pinw_site *s = pinw_table_at(&p->sites, i);
		bool by_stack = s->names && s->names->handler,
		     by_rate = is_high(s->rate.repeats_seconds, s->rate.repeats_peak);
		if (!s->rate.count)
			continue;
		all++;
		unnamed += !by_stack && (!s->names || s->names->unnamed);
		if ((by_stack || by_rate) && keep_site(r, p, s, by_stack, by_rate) < 0)
			return -ENOMEM;
		r->by_stack = by_stack ? PINW_ANSWER_YES : r->by_stack;
		r->by_rate = by_rate ? PINW_ANSWER_YES : r->by_rate;
	}
	if (r->site_count)
		qsort(r->sites, r->site_count, sizeof(*r->sites), by_opened);
	if (unnamed) {
		make_unknown(&r->by_stack);
		add_unknown(r, "%" PRIu64 " of %" PRIu64 " stacks %s frames without a name", unnamed, all,
		            unnamed == 1 ? "has" : "have");
	}
	return 0;
}

const char *pinw_evidence_gap(const struct pinw_process *p)
{
	if (p->blind)
		return "the trace has no live page";
	if (p->live.counters.events_dropped)
		return "events were dropped";
	if (p->problem_count)
		return "the trace is damaged";
	if (p->tally.unknown)
		return "the trace has records of a later version";
	if (p->tally.in_flight_cells && p->how != PINW_HOW_RUNNING)
		return "events were still being written at the end";
	return NULL;
}

/* Pins and Go locks that no site tells of: how often they were made, and by whom, is not known. */
static uint64_t without_stack(const struct pinw_process *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < p->pin_sites.count; i++) {
		const struct pinw_pin_site *row = pinw_table_at(&p->pin_sites, i);
		bool call = row->origin == PINW_ORIGIN_SELF || row->origin == PINW_ORIGIN_CROSS ||
		            row->origin == PINW_ORIGIN_BORN;
		sum += call && !row->site ? row->opened : 0;
	}
	for (size_t i = 0; i < p->golock_sites.count; i++) {
		const struct pinw_golock_site *row = pinw_table_at(&p->golock_sites, i);
		sum += row->site ? 0 : row->locked;
	}
	return sum;
}

/* A walk by frame pointers leaves out who was compiled without them; Go never is. */
static bool has_short_stacks(const struct pinw_process *p)
{
	return p->live.counters.unwinds_fp_only || p->header.flags & PINW_HDR_NO_UNWINDER;
}

static void judge_coverage(const struct pinw_process *p, struct pinw_per_request *r)
{
	const struct pinw_counters *n = &p->live.counters;
	const char *gap = pinw_evidence_gap(p);
	uint64_t unplaced = without_stack(p);

	if (gap)
		add_unknown(r, "%s", gap);
	if (unplaced)
		add_unknown(r, "%" PRIu64 " pin%s or Go lock%s %s no stack", unplaced,
		            unplaced == 1 ? "" : "s", unplaced == 1 ? "" : "s",
		            unplaced == 1 ? "has" : "have");
	if (pinw_process_misses_golocks(p))
		add_unknown(r, "Go locks are not all seen");
	if (pinw_notes_one_cpu(p) && !n->golocks)
		add_unknown(r, "on a baseline of one CPU nothing is a pin");
	if (r->unknown_count)
		all_unknown(r);
	if (has_short_stacks(p)) {
		make_unknown(&r->by_stack);
		add_unknown(r, "stacks walked by frame pointers only may be short");
	}
}

int pinw_evidence_per_request(const struct pinw_process *p, struct pinw_per_request *ret)
{
	*ret = (struct pinw_per_request){0};
	if (is_high(p->churn.replaced_seconds, p->churn.replaced_peak))
		ret->by_churn = PINW_ANSWER_YES;
	judge_coverage(p, ret);
	if (judge_sites(p, ret) < 0) {
		pinw_per_request_done(ret);
		return -ENOMEM;
	}
	if (ret->by_stack == PINW_ANSWER_YES || ret->by_rate == PINW_ANSWER_YES ||
	    ret->by_churn == PINW_ANSWER_YES)
		ret->answer = PINW_ANSWER_YES;
	else if (ret->unknown_count)
		ret->answer = PINW_ANSWER_UNKNOWN;
	return 0;
}

void pinw_per_request_done(struct pinw_per_request *r)
{
	free(r->sites);
	r->sites = NULL;
	r->site_count = 0;
}

/* ---- locks and unlocks --------------------------------------------------------------------------- */

void pinw_evidence_say(struct pinw_evidence *e, enum pinw_answer answer, const char *format, ...)
{
	va_list args;

	e->answer = answer;
	va_start(args, format);
	vsnprintf(e->text, sizeof(e->text), format, args);
	va_end(args);
}

/* Unlocks whose function is not known. */
static uint64_t unplaced_unlocks(const struct pinw_process *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < p->golock_sites.count; i++) {
		const struct pinw_golock_site *row = pinw_table_at(&p->golock_sites, i);
		const struct pinw_site *at = pinw_process_site(p, row->site);
		bool named = at && at->names && at->names->function;
		sum += named ? row->unlocked_unseen + row->unlocked_elsewhere : row->unlocked;
		for (uint32_t k = 0; named && k < row->unlock_sites; k++) {
			const struct pinw_site *s = pinw_process_site(p, row->unlocks[k].site);
			sum += s && s->names && s->names->function ? 0 : row->unlocks[k].count;
		}
	}
	return sum;
}

void pinw_evidence_paired(const struct pinw_process *p, struct pinw_evidence *ret)
{
	const struct pinw_counters *n = &p->live.counters;
	uint64_t unbalanced = p->leaks_of[PINW_LEAK_UNBALANCED], unplaced = unplaced_unlocks(p);
	const char *gap = pinw_evidence_gap(p);

	if (n->golocks_lost || unbalanced)
		pinw_evidence_say(ret, PINW_ANSWER_NO,
		                  "of %" PRIu64 " Go locks %" PRIu64 " ended with their thread, %" PRIu64
		                  " %s unbalanced",
		                  n->golocks, n->golocks_lost, unbalanced, unbalanced == 1 ? "is" : "are");
	else if (gap)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "%s", gap);
	else if (pinw_process_misses_golocks(p))
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "Go locks are not all seen");
	else if (!n->golocks)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "no Go lock was taken");
	else if (n->golocks_open)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN,
		                  "%" PRIu64 " of %" PRIu64 " Go locks were still held", n->golocks_open,
		                  n->golocks);
	else if (unplaced)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN,
		                  "where %" PRIu64 " of %" PRIu64 " Go locks were undone is not known",
		                  unplaced, n->golocks);
	else
		pinw_evidence_say(ret, PINW_ANSWER_YES,
		                  "%" PRIu64 " Go locks, each undone by the function that took it",
		                  n->golocks);
}

void pinw_evidence_encapsulated(const struct pinw_process *p, const struct pinw_per_request *requests,
                                struct pinw_evidence *ret)
{
	uint64_t all = 0, on_main = 0;

	for (size_t i = 0; i < p->sites.count; i++) {
		const struct pinw_site *s = pinw_table_at(&p->sites, i);
		all += s->rate.count;
		on_main += s->rate.on_main;
	}
	if (on_main)
		pinw_evidence_say(ret, PINW_ANSWER_NO,
		                  "%" PRIu64 " of %" PRIu64 " pins and Go locks were made by the main thread",
		                  on_main, all);
	else if (requests->answer == PINW_ANSWER_YES)
		pinw_evidence_say(ret, PINW_ANSWER_NO,
		                  "pins or Go locks are made for requests, not by workers");
	else if (requests->answer == PINW_ANSWER_UNKNOWN)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "%s", requests->unknown[0]);
	else if (!all)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "nothing was pinned or locked");
	else
		pinw_evidence_say(
		    ret, PINW_ANSWER_YES,
		    "%" PRIu64 " pins and Go locks, none in the main thread and none for a request", all);
}
