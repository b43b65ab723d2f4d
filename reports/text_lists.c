/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/text_private.h"

size_t pinw_text_rows(const struct pinw_text *t, size_t count)
{
	return count < t->top ? count : t->top;
}

void pinw_text_cut(struct pinw_text *t, size_t shown, size_t count, const char *one, const char *many)
{
	if (count > shown)
		pinw_term_line(&t->term, 4, PINW_STYLE_DIM, "  ... and %s more %s (--top 0 shows all)",
		               pinw_text_count(count - shown), count - shown == 1 ? one : many);
}

void pinw_text_heading(struct pinw_text *t, const char *text)
{
	pinw_term_end(&t->term, 0, PINW_STYLE_PLAIN);
	pinw_term_line(&t->term, 0, PINW_STYLE_HEADING, "%s", text);
}

/* ---- leaks ---------------------------------------------------------------------------- */

static const char *explain(enum pinw_leak_kind kind)
{
	switch (kind) {
	case PINW_LEAK_EXIT_WHILE_PINNED:
		return "threads that ended with a pin still open";
	case PINW_LEAK_PINNED_AT_END:
		return "pins still open when the process ended";
	case PINW_LEAK_UNJOINED:
		return "threads that ended and were never joined or detached";
	case PINW_LEAK_INHERITED:
		return "threads that started on a mask their creator's pin gave them";
	case PINW_LEAK_GROWTH:
		return "live threads rose steadily over the run";
	case PINW_LEAK_UNBALANCED:
		return "Go locks undone in another function, or not as often as taken";
	default:
		return "";
	}
}

void pinw_text_put_thread(struct pinw_text *t, const struct pinw_process *p, uint32_t id)
{
	const struct pinw_thread *thread = pinw_process_thread(p, id);

	pinw_term_put(&t->term, "%" PRIu32, id);
	if (!thread || !thread->name[0])
		return;
	pinw_term_put(&t->term, " ");
	pinw_term_put_foreign(&t->term, thread->name, strnlen(thread->name, sizeof(thread->name)));
}

static void put_examples(struct pinw_text *t, const struct pinw_process *p, const struct pinw_leak *l)
{
	pinw_term_put(&t->term, l->count == 1 ? "thread " : "threads ");
	for (size_t i = 0; i < PINW_LEAK_EXAMPLES && l->threads[i]; i++) {
		if (i)
			pinw_term_put(&t->term, ", ");
		pinw_text_put_thread(t, p, l->threads[i]);
		const struct pinw_thread *thread = pinw_process_thread(p, l->threads[i]);
		if (l->origin == PINW_ORIGIN_GOLOCK && thread && thread->lock->depth)
			pinw_term_put(&t->term, " (goroutine %" PRIu64 ")", thread->lock->goid);
	}
	if (l->count > PINW_LEAK_EXAMPLES)
		pinw_term_put(&t->term, ", ...");
}

static void put_hold(struct pinw_text *t, const struct pinw_process *p, const struct pinw_leak *l)
{
	const char *least = pinw_text_duration(l->held_min_ns), *most = pinw_text_duration(l->held_max_ns);

	if (l->held_min_ns > l->held_max_ns)
		return;
	if (l->held_max_ns == 0) { /* nothing says when it began, or until when it was held */
		pinw_term_put(&t->term, " held ?");
		return;
	}
	pinw_term_put(&t->term, p->how == PINW_HOW_VIOLENT ? " held at least %s" : " held %s", least);
	if (strcmp(least, most) != 0)
		pinw_term_put(&t->term, " to %s", most);
	if (l->depth_max > 1)
		pinw_term_put(&t->term, ", depth %" PRIu32, l->depth_max);
}

/* Who set another thread's pin: of the first thread in the group, which stands for the others. */
static void put_setter(struct pinw_text *t, const struct pinw_process *p, const struct pinw_leak *l)
{
	const struct pinw_thread *thread = pinw_process_thread(p, l->threads[0]);

	if (!thread || thread->pin.by == 0 || l->origin != PINW_ORIGIN_CROSS)
		return;
	pinw_term_put(&t->term, " by thread ");
	pinw_text_put_thread(t, p, thread->pin.by);
}

static void print_creators(struct pinw_text *t, const struct pinw_process *p, const struct pinw_leak *l)
{
	uint32_t limit = t->top == SIZE_MAX ? PINW_LEAK_CREATORS : 2;
	uint64_t untold = l->created_elsewhere;

	for (uint32_t i = 0; i < l->creator_count; i++) {
		char title[64];
		if (i >= limit) {
			untold += l->creators[i].count;
			continue;
		}
		if (l->creator_count > 1)
			snprintf(title, sizeof(title), "%s x created at",
			         pinw_text_count(l->creators[i].count));
		pinw_text_stack(t, p, l->creator_count > 1 ? title : "created at", l->creators[i].site);
	}
	if (untold)
		pinw_term_line(&t->term, 6, PINW_STYLE_DIM,
		               "    %s x created elsewhere (-f json has every stack)",
		               pinw_text_count(untold));
}

static void print_leak(struct pinw_text *t, const struct pinw_process *p, const struct pinw_leak *l)
{
	pinw_term_put(&t->term, "  %s x ", pinw_text_count(l->count));
	if (l->origin) {
		if (l->origin == PINW_ORIGIN_GOLOCK)
			pinw_term_put(&t->term, "Go lock");
		else
			pinw_term_put(&t->term, "%s pin", pinw_origin_name(l->origin));
		put_setter(t, p, l);
		put_hold(t, p, l);
		pinw_term_put(&t->term, ": ");
	}
	put_examples(t, p, l);
	pinw_term_end(&t->term, 6, PINW_STYLE_PLAIN);
	if (l->origin == PINW_ORIGIN_EXTERNAL)
		pinw_term_line(&t->term, 6, PINW_STYLE_PLAIN,
		               "    pinned from outside or by a raw system call: no call was seen");
	else if (l->origin && l->origin != PINW_ORIGIN_BORN)
		pinw_text_stack(t, p,
		                l->origin == PINW_ORIGIN_INHERITED ? "creator pinned at"
		                : l->origin == PINW_ORIGIN_GOLOCK  ? "locked at"
		                                                   : "pinned at",
		                l->pin_site);
	if (l->unlock_site)
		pinw_text_stack(t, p, "unlocked at", l->unlock_site);
	if (l->count == 1 && l->threads[0] == 1)
		pinw_term_line(&t->term, 6, PINW_STYLE_PLAIN, "    this is the main thread");
	else
		print_creators(t, p, l);
}

static bool wants_leak(const struct pinw_text *t, const struct pinw_process *p, const struct pinw_leak *l)
{
	return !t->filter || pinw_filter_has_leak(t->filter, p, l);
}

static size_t wanted_leaks(const struct pinw_text *t, const struct pinw_process *p,
                           const struct pinw_leak *first, size_t count)
{
	size_t wanted = 0;

	for (size_t i = 0; i < count; i++)
		wanted += wants_leak(t, p, &first[i]);
	return wanted;
}

static void print_kind(struct pinw_text *t, const struct pinw_process *p, const struct pinw_leak *first,
                       size_t count)
{
	enum pinw_leak_kind kind = (enum pinw_leak_kind)first->kind;
	size_t wanted = wanted_leaks(t, p, first, count), rows = pinw_text_rows(t, wanted), shown = 0;

	for (size_t i = 0; i < count && shown < rows; i++)
		if (wants_leak(t, p, &first[i])) {
			print_leak(t, p, &first[i]);
			shown++;
		}
	pinw_text_cut(t, rows, wanted, "stack of this kind", "stacks of this kind");
	uint64_t told = 0;
	for (size_t i = 0; i < count; i++)
		told += first[i].count;
	if (kind != PINW_LEAK_GROWTH && p->leaks_of[kind] > told)
		pinw_term_line(&t->term, 4, PINW_STYLE_DIM,
		               "  %s more without details: they are not in the lists",
		               pinw_text_count(p->leaks_of[kind] - told));
}

static void print_kind_title(struct pinw_text *t, const struct pinw_process *p, enum pinw_leak_kind kind)
{
	pinw_term_put(&t->term, "%s %s: %s", pinw_text_count(p->leaks_of[kind]), pinw_leak_kind_name(kind),
	              explain(kind));
	if (kind == PINW_LEAK_GROWTH)
		pinw_term_put(&t->term, ", from %s to %s; created since and still alive:",
		              pinw_text_count(p->growth.first), pinw_text_count(p->growth.last));
	pinw_term_end(&t->term, 2, PINW_STYLE_BAD);
}

void pinw_text_leaks(struct pinw_text *t, const struct pinw_process *p)
{
	size_t at = 0;

	if (pinw_process_leaks(p) == 0 || (t->filter && !wanted_leaks(t, p, p->leaks, p->leak_count)))
		return;
	pinw_text_heading(t, "LEAKS");
	for (size_t kind = 0; kind < PINW_LEAK_KINDS; kind++) {
		size_t count = 0;
		while (at + count < p->leak_count && p->leaks[at + count].kind == kind)
			count++;
		if (p->leaks_of[kind] && (!t->filter || wanted_leaks(t, p, &p->leaks[at], count))) {
			static const struct pinw_leak none;
			print_kind_title(t, p, (enum pinw_leak_kind)kind);
			struct pinw_leak empty = none;
			empty.kind = (uint8_t)kind;
			print_kind(t, p, count ? &p->leaks[at] : &empty, count);
		}
		at += count;
	}
}

/* ---- pins by site --------------------------------------------------------------------- */

/* "-" when no hold is known, "?" when nothing says how long they were. */
static const char *hold(const struct pinw_pin_site *s, uint64_t held_ns)
{
	if (s->held_count == 0)
		return "-";
	return s->held_max_ns ? pinw_text_duration(held_ns) : "?";
}

static bool is_raw(const struct pinw_process *p, uint32_t site)
{
	const struct pinw_site *s = pinw_process_site(p, site);

	return s && s->raw;
}

static void print_pin_site(struct pinw_text *t, const struct pinw_process *p, const struct pinw_pin_site *s)
{
	struct pinw_term *term = &t->term;

	pinw_term_put(term, "  %8s %9s %8s %6s %11s %11s  %s", pinw_text_count(s->opened),
	              pinw_text_count(s->released), pinw_text_count(s->lost), pinw_text_count(s->open),
	              hold(s, s->held_count ? s->held_sum_ns / s->held_count : 0), hold(s, s->held_max_ns),
	              pinw_origin_name(s->origin));
	pinw_term_end(term, 4, PINW_STYLE_PLAIN);
	if (s->origin == PINW_ORIGIN_EXTERNAL)
		pinw_term_line(term, 6, PINW_STYLE_PLAIN,
		               "    from outside, or by a raw system call: no call was seen");
	else
		pinw_text_stack(t, p,
		                s->origin == PINW_ORIGIN_BORN        ? "created with a mask at"
		                : s->origin == PINW_ORIGIN_INHERITED ? "creator pinned at"
		                : is_raw(p, s->site)                 ? "pinned by a raw system call (Go) at"
		                                                     : "pinned at",
		                s->site);
}

static bool wants_pins(const struct pinw_text *t, const struct pinw_process *p, const struct pinw_pin_site *s)
{
	return !t->filter || pinw_filter_has_pins(t->filter, p, s->site, s->origin);
}

void pinw_text_pins(struct pinw_text *t, const struct pinw_process *p)
{
	size_t wanted = 0, shown = 0;

	for (size_t i = 0; i < p->pin_sites.count; i++)
		wanted += wants_pins(t, p, &p->sorted_pin_sites[i]);
	size_t rows = pinw_text_rows(t, wanted);
	if (rows == 0)
		return;
	pinw_text_heading(t, "PINS BY SITE");
	pinw_term_line(&t->term, 4, PINW_STYLE_DIM, "  %8s %9s %8s %6s %11s %11s  %s", "opened", "released",
	               "left", "open", "mean hold", "longest", "origin");
	for (size_t i = 0; shown < rows; i++)
		if (wants_pins(t, p, &p->sorted_pin_sites[i])) {
			print_pin_site(t, p, &p->sorted_pin_sites[i]);
			shown++;
		}
	pinw_text_cut(t, rows, wanted, "site", "sites");
	pinw_term_line(&t->term, 2, PINW_STYLE_DIM, "  left: the thread ended with it; open: still held %s",
	               p->how == PINW_HOW_RUNNING ? "now" : "at the end");
}

/* ---- threads -------------------------------------------------------------------------- */

static bool unjoined(const struct pinw_thread *thread)
{
	return thread->exited && thread->slot && !thread->joined &&
	       !(thread->flags & (PINW_THREAD_DETACHED | PINW_THREAD_MAIN));
}

/* The ones worth a look come first: 0 with an open pin or never joined, 1 alive at the end, 2 the others. */
static unsigned interest(const struct pinw_thread *thread)
{
	if (thread->pin.depth || thread->lock->depth || unjoined(thread))
		return 0;
	return thread->exited ? 2 : 1;
}

static const char *afterwards(const struct pinw_thread *thread)
{
	if (thread->joined)
		return "joined";
	if (thread->flags & PINW_THREAD_DETACHED)
		return "detached";
	return unjoined(thread) ? "unjoined" : "-";
}

static uint64_t lived(const struct pinw_process *p, const struct pinw_thread *thread)
{
	uint64_t end = thread->ended_ns != PINW_TIME_UNKNOWN ? thread->ended_ns : p->duration_ns;

	return end > thread->started_ns ? end - thread->started_ns : 0;
}

static void print_thread(struct pinw_text *t, const struct pinw_process *p, const struct pinw_thread *thread)
{
	const uint64_t *mask = pinw_process_mask(p, thread->mask);
	const char *how = pinw_thread_how_name(thread->how);
	bool timed = thread->started_ns != PINW_TIME_UNKNOWN &&
	             (thread->ended_ns != PINW_TIME_UNKNOWN || thread->how != PINW_THOW_UNKNOWN);
	char cpus[64] = "?";
	struct pinw_term *term = &t->term;

	if (mask)
		pinw_mask_print(cpus, sizeof(cpus), mask, p->header.mask_words);
	pinw_term_put(term, "%7" PRIu32 " ", thread->id);
	if (thread->tid)
		pinw_term_put(term, "%7" PRIu32 " ", thread->tid);
	else
		pinw_term_put(term, "%7s ", "-");
	pinw_term_put_cell(term, thread->name, strnlen(thread->name, sizeof(thread->name)), 15);
	pinw_term_put(term, " %8s %-12s %-8s ", timed ? pinw_text_duration(lived(p, thread)) : "?",
	              how ? how : "alive", afterwards(thread));
	pinw_term_put_cell(term, cpus, strlen(cpus), 7);
	pinw_term_put(term, " %s%s%s", thread->pin.depth ? pinw_origin_name(thread->pin.origin) : "",
	              thread->pin.depth && thread->lock->depth ? "+" : "",
	              thread->lock->depth ? pinw_origin_name(PINW_ORIGIN_GOLOCK)
	              : thread->pin.depth ? ""
	                                  : "-");
	pinw_term_end(term, 8, PINW_STYLE_PLAIN);
}

bool pinw_text_wants_thread(const struct pinw_text *t, const struct pinw_process *p,
                            const struct pinw_thread *thread)
{
	return !t->filter || pinw_filter_has_thread(t->filter, p, thread);
}

void pinw_text_threads(struct pinw_text *t, const struct pinw_process *p)
{
	size_t wanted = 0, printed = 0;

	for (size_t i = 0; i < p->threads.count; i++)
		wanted += pinw_text_wants_thread(t, p, pinw_table_at(&p->threads, i));
	size_t rows = pinw_text_rows(t, wanted);
	if (!rows)
		return;
	pinw_text_heading(t, "THREADS");
	pinw_term_line(&t->term, 8, PINW_STYLE_DIM, "%7s %7s %-15s %8s %-12s %-8s %-7s %s", "id", "tid",
	               "name", "lived", "end", "then", "CPUs", "pin");
	for (unsigned level = 0; level < 3; level++)
		for (size_t i = 0; i < p->threads.count && printed < rows; i++) {
			const struct pinw_thread *thread = pinw_table_at(&p->threads, i);
			if (interest(thread) != level || !pinw_text_wants_thread(t, p, thread))
				continue;
			print_thread(t, p, thread);
			printed++;
		}
	pinw_text_cut(t, rows, wanted, "thread", "threads");
}

/* ---- latencies ------------------------------------------------------------------------ */

/* Upper bound of the bucket that holds the given share of the durations. */
static uint64_t share_below(const struct pinw_histogram *h, double share)
{
	uint64_t all = 0, sum = 0;
	unsigned bucket = 0;

	for (unsigned b = 0; b < PINW_HIST_BUCKETS; b++)
		all += h->bucket[b];
	for (bucket = 0; bucket < PINW_HIST_BUCKETS - 1; bucket++) {
		sum += h->bucket[bucket];
		if ((double)sum >= share * (double)all)
			break;
	}
	return UINT64_C(2) << bucket;
}

static void print_histogram(struct pinw_text *t, const char *name, const struct pinw_histogram *h)
{
	if (h->count == 0)
		return;
	pinw_term_line(&t->term, 4, PINW_STYLE_PLAIN, "  %-22s %10s %9s  < %7s  < %7s  < %7s", name,
	               pinw_text_count(h->count), pinw_text_duration(h->sum_ns / h->count),
	               pinw_text_duration(share_below(h, 0.5)), pinw_text_duration(share_below(h, 0.99)),
	               pinw_text_duration(share_below(h, 1)));
}

void pinw_text_latency(struct pinw_text *t, const struct pinw_process *p)
{
	const struct pinw_trace_live *live = &p->live;

	if (!live->create_ns.count && !live->exit_ns.count && !live->affinity_ns.count)
		return;
	pinw_text_heading(t, "LATENCY");
	pinw_term_line(&t->term, 4, PINW_STYLE_DIM, "  %-22s %10s %9s  %9s  %9s  %9s", "", "count", "mean",
	               "p50", "p99", "max");
	print_histogram(t, "thread creation", &live->create_ns);
	print_histogram(t, "end to joiner", &live->exit_ns);
	print_histogram(t, "affinity call", &live->affinity_ns);
}
