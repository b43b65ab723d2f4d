/* SPDX-License-Identifier: MIT */
#include "reports/scorecard.h"

#include <inttypes.h>
#include <string.h>

/* What is asked of every item. */
struct facts {
	const struct pinw_process *p;
	const struct pinw_capacity *capacity;
	struct pinw_per_request requests;
};

typedef void (*judge_fn)(const struct facts *f, struct pinw_evidence *ret);

const char *pinw_card_words(enum pinw_answer answer)
{
	return answer == PINW_ANSWER_YES ? "PASS" : answer == PINW_ANSWER_NO ? "FAIL" : "NOT OBSERVABLE";
}

static uint64_t pins_and_locks(const struct facts *f)
{
	return f->p->live.counters.pins_opened + f->p->live.counters.golocks;
}

static const char *s_of(uint64_t count)
{
	return count == 1 ? "" : "s";
}

/* Says why nothing can be told of pins at all, and whether that is so. */
static bool untold(const struct facts *f, struct pinw_evidence *ret)
{
	const char *gap = pinw_evidence_gap(f->p);

	if (gap)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "%s", gap);
	else if (pinw_process_misses_golocks(f->p))
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "Go locks are not all seen");
	else if (!pins_and_locks(f))
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "nothing was pinned or locked");
	else
		return false;
	return true;
}

/* ---- releases ------------------------------------------------------------------------------- */

/* Threads that ended with a pin of CPUs; those that inherited it are another matter. */
static uint64_t pins_left(const struct pinw_process *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < p->pin_sites.count; i++) {
		const struct pinw_pin_site *s = pinw_table_at(&p->pin_sites, i);
		sum += s->origin == PINW_ORIGIN_INHERITED ? 0 : s->lost;
	}
	return sum;
}

/* Threads that ended on an inherited mask after calls had set another: whether these are to be undone is not to be seen. */
static uint64_t repinned(const struct pinw_process *p)
{
	uint64_t count = 0;

	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		count +=
		    t->exited && t->pin.depth && t->pin.origin == PINW_ORIGIN_INHERITED && t->affinity_calls;
	}
	return count;
}

static void judge_paired(const struct facts *f, struct pinw_evidence *ret)
{
	uint64_t left = pins_left(f->p), pins = f->p->live.counters.pins_opened;

	pinw_evidence_paired(f->p, ret);
	if (ret->answer == PINW_ANSWER_NO || !pins)
		return;
	if (left)
		pinw_evidence_say(ret, PINW_ANSWER_NO,
		                  "of %" PRIu64 " pins of CPUs %" PRIu64 " ended with their thread", pins,
		                  left);
	else if (ret->answer == PINW_ANSWER_UNKNOWN && !f->p->live.counters.golocks)
		pinw_evidence_say(
		    ret, PINW_ANSWER_UNKNOWN,
		    "no Go lock was taken; which function releases a pin of CPUs is not recorded");
}

static void judge_balanced(const struct facts *f, struct pinw_evidence *ret)
{
	const struct pinw_counters *n = &f->p->live.counters;
	uint64_t left = pins_left(f->p), unbalanced = f->p->leaks_of[PINW_LEAK_UNBALANCED],
	         held = n->pins_open + n->golocks_open, pins = pinw_since(n->pins_opened, n->pins_inherited);

	if (left || n->golocks_lost || unbalanced)
		pinw_evidence_say(ret, PINW_ANSWER_NO,
		                  "%" PRIu64 " pin%s and %" PRIu64
		                  " Go lock%s ended with their thread, %" PRIu64 " %s unbalanced",
		                  left, s_of(left), n->golocks_lost, s_of(n->golocks_lost), unbalanced,
		                  unbalanced == 1 ? "is" : "are");
	else if (untold(f, ret))
		return;
	else if (held)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN,
		                  "%" PRIu64 " of %" PRIu64 " pins and Go locks %s still held", held,
		                  pins_and_locks(f), held == 1 ? "was" : "were");
	else if (repinned(f->p))
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN,
		                  "threads that changed the mask they inherited, and ended so: %" PRIu64,
		                  repinned(f->p));
	else if (!pins && !n->golocks)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "all pins were inherited, none was made");
	else
		pinw_evidence_say(ret, PINW_ANSWER_YES,
		                  "all undone: %" PRIu64 " pin%s, %" PRIu64 " Go lock%s", pins, s_of(pins),
		                  n->golocks, s_of(n->golocks));
}

/* ---- where pins are made ---------------------------------------------------------------------- */

static void judge_workers(const struct facts *f, struct pinw_evidence *ret)
{
	pinw_evidence_encapsulated(f->p, &f->requests, ret);
}

static void judge_bounded(const struct facts *f, struct pinw_evidence *ret)
{
	const struct pinw_per_request *r = &f->requests;
	const struct pinw_growth *g = &f->p->growth;

	if (r->answer == PINW_ANSWER_YES)
		pinw_evidence_say(ret, PINW_ANSWER_NO,
		                  "pinned per request: at %zu stack%s; %" PRIu64
		                  " pinned threads ended within 1 s of their start",
		                  r->site_count, s_of(r->site_count), f->p->churn.count);
	else if (g->found)
		pinw_evidence_say(ret, PINW_ANSWER_NO, "threads grew from %" PRIu64 " to %" PRIu64, g->first,
		                  g->last);
	else if (r->answer == PINW_ANSWER_UNKNOWN)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "%s", r->unknown[0]);
	else if (!pins_and_locks(f))
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "nothing was pinned or locked");
	else
		pinw_evidence_say(ret, PINW_ANSWER_YES,
		                  "pins and Go locks: %" PRIu64 ", none for a request; at %s %" PRIu64
		                  " thread%s pinned at once",
		                  pins_and_locks(f), f->capacity->gap ? "least" : "most", f->capacity->pinned,
		                  s_of(f->capacity->pinned));
}

/* ---- the end of workers ------------------------------------------------------------------------- */

/* Threads other than main that were still pinned when the process ended. */
static uint64_t workers_left(const struct pinw_process *p)
{
	uint64_t count = 0;

	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		count += t->id != 1 && !t->exited && (t->pin.depth || t->lock->depth);
	}
	return count;
}

static bool any_worker(const struct pinw_process *p)
{
	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		if (t->id != 1 && (t->pins_opened || t->golocks))
			return true;
	}
	return false;
}

static void judge_drained(const struct facts *f, struct pinw_evidence *ret)
{
	uint64_t left = workers_left(f->p);

	if (f->p->how != PINW_HOW_EXIT)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "%s",
		                  f->p->how == PINW_HOW_RUNNING ? "the process still runs"
		                                                : "the process did not end by itself");
	else if (left)
		pinw_evidence_say(ret, PINW_ANSWER_NO,
		                  "%" PRIu64 " pinned thread%s %s still there when the process ended", left,
		                  s_of(left), left == 1 ? "was" : "were");
	else if (untold(f, ret))
		return;
	else if (f->requests.answer != PINW_ANSWER_NO || !any_worker(f->p))
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN,
		                  "no pinned worker is known to have been there to drain");
	else
		pinw_evidence_say(ret, PINW_ANSWER_YES,
		                  "every pinned worker had let go or ended before the process did");
}

static void judge_lifecycle(const struct facts *f, struct pinw_evidence *ret)
{
	judge_drained(f, ret);
	if (ret->answer == PINW_ANSWER_YES)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN,
		                  "workers end before the process; how they are set up is not in a trace");
}

/* ---- threads ----------------------------------------------------------------------------------- */

static void judge_count(const struct facts *f, struct pinw_evidence *ret)
{
	const struct pinw_capacity *c = f->capacity;
	const struct pinw_growth *g = &f->p->growth;

	if (c->is_go && !c->gap && c->steady > c->expected_max)
		pinw_evidence_say(ret, PINW_ANSWER_NO,
		                  "%" PRIu64 " threads most of the time, at most %" PRIu64 " expected",
		                  c->steady, c->expected_max);
	else if (g->found)
		pinw_evidence_say(ret, PINW_ANSWER_NO, "threads grew from %" PRIu64 " to %" PRIu64, g->first,
		                  g->last);
	else if (!c->is_go)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN,
		                  "%" PRIu64
		                  " thread%s most of the time; how many belong to the program is not known",
		                  c->steady, s_of(c->steady));
	else if (c->gap) /* what is pinned is part of what is expected */
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "%s", c->gap);
	else if (f->p->census && f->p->seen_threads < f->p->kernel_threads)
		pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN, "threads were not all seen");
	else
		pinw_evidence_say(ret, PINW_ANSWER_YES,
		                  "threads most of the time: %" PRIu64 ", expected %" PRIu64 " to %" PRIu64
		                  "; peak %" PRIu64,
		                  c->steady, c->expected_min, c->expected_max, c->peak);
}

/* Names are the one thing that a worker shows to the outside and a trace holds. */
static void judge_observable(const struct facts *f, struct pinw_evidence *ret)
{
	const struct pinw_thread *first = pinw_process_thread(f->p, 1);
	uint64_t pinned = 0, named = 0;

	for (size_t i = 0; i < f->p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&f->p->threads, i);
		if (t->id == 1 || !(t->pins_opened || t->golocks))
			continue;
		pinned++;
		named += t->name[0] && (!first || strncmp(t->name, first->name, sizeof(t->name)) != 0);
	}
	pinw_evidence_say(ret, PINW_ANSWER_UNKNOWN,
	                  "labels and metrics are not in a trace; %" PRIu64 " of %" PRIu64
	                  " pinned threads have a name of their own",
	                  named, pinned);
}

/* ---- the lists ----------------------------------------------------------------------------------- */

struct item {
	const char *key, *title;
	bool review;
	judge_fn judge; /* NULL: no trace can decide it, */
	const char *why; /* for this reason */
};

static const struct item list[PINW_CARD_ITEMS] = {
    {"commented", "a comment at every lock says why", false, NULL, "a trace holds no source text"},
    {"locks-paired", "every lock is undone by the function that took it", false, judge_paired, NULL},
    {"pinned-by-workers", "pinning is kept inside worker threads", false, judge_workers, NULL},
    {"callers-unpinned", "callers need not be on the pinned thread", false, NULL,
     "how callers reach a worker is not in a trace"},
    {"state-after-lock", "state of the thread is set up after the lock", false, NULL,
     "what a program does with its thread is not recorded"},
    {"cleanup-before-unlock", "and cleaned up before the unlock", false, NULL,
     "what a program does with its thread is not recorded"},
    {"shutdown-drains", "shutdown drains the workers", false, judge_drained, NULL},
    {"startup-logged", "the number of pinned workers is logged at the start", false, NULL,
     "what a program writes is not recorded"},
    {"threads-monitored", "the number of threads is monitored", false, NULL,
     "not in a trace; pinwarden metrics exports it"},
    {"threads-expected", "threads stay within baseline, pinned and a margin", false, judge_count, NULL},
    {"justified", "is the pin justified?", true, NULL, "only a measurement without it shows that"},
    {"cost-bounded", "is its cost bounded, with no pin per request?", true, judge_bounded, NULL},
    {"balanced", "are locks and unlocks balanced?", true, judge_balanced, NULL},
    {"lifecycle-managed", "is the worker's lifecycle managed?", true, judge_lifecycle, NULL},
    {"failure-handled", "is the worker's failure handled?", true, NULL,
     "what a program does with errors is not recorded"},
    {"observable", "is the worker observable?", true, judge_observable, NULL},
};

static void judge(const struct item *from, const struct facts *f, struct pinw_scorecard *card,
                  struct pinw_card_item *ret)
{
	*ret = (struct pinw_card_item){.key = from->key, .title = from->title, .review = from->review};
	if (from->judge)
		from->judge(f, &ret->evidence);
	else
		pinw_evidence_say(&ret->evidence, PINW_ANSWER_UNKNOWN, "%s", from->why);
	card->passed += ret->evidence.answer == PINW_ANSWER_YES;
	card->failed += ret->evidence.answer == PINW_ANSWER_NO;
	card->unseen += ret->evidence.answer == PINW_ANSWER_UNKNOWN;
}

int pinw_scorecard_of(const struct pinw_process *p, const struct pinw_capacity *capacity,
                      struct pinw_scorecard *ret)
{
	struct facts f = {.p = p, .capacity = capacity};
	int error = pinw_evidence_per_request(p, &f.requests);

	if (error < 0)
		return error;
	*ret = (struct pinw_scorecard){0};
	for (size_t i = 0; i < PINW_CARD_ITEMS; i++)
		judge(&list[i], &f, ret, &ret->items[i]);
	pinw_per_request_done(&f.requests);
	return 0;
}
