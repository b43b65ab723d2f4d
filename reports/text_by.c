/* SPDX-License-Identifier: MIT
 *
 * What happened by where, by whom and on which CPU: the tables that --by asks for, and churn.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/creations.h"
#include "reports/text_private.h"
#include "reports/timeline.h"

/* ---- churn -------------------------------------------------------------------------------------- */

static void print_creations(struct pinw_text *t, const struct pinw_process *p, const struct pinw_creations *c)
{
	char rate[PINW_CREATIONS_RATE_BYTES];

	pinw_creations_rate(p, c, rate);
	pinw_term_put(&t->term, "  %9s %9s %9s %11s %9s", pinw_text_count(c->created), *rate ? rate : "-",
	              pinw_text_count(c->created - c->ended),
	              c->ended ? pinw_text_duration(c->lived_ns / c->ended) : "-",
	              pinw_text_count(c->short_lived));
	pinw_term_end(&t->term, 4, PINW_STYLE_PLAIN);
	pinw_text_stack(t, p, "created at", c->site);
}

static size_t keep_creations(const struct pinw_text *t, const struct pinw_process *p,
                             struct pinw_creations *list, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (pinw_filter_has_creations(t->filter, p, &list[i]))
			list[kept++] = list[i];
	return kept;
}

void pinw_text_churn(struct pinw_text *t, const struct pinw_process *p)
{
	struct pinw_creations *list;
	size_t count;

	if (pinw_creations_of(p, &list, &count) < 0) {
		t->term.out_of_memory = true;
		return;
	}
	if (t->filter)
		count = keep_creations(t, p, list, count);
	size_t rows = pinw_text_rows(t, count), few = t->top < 8 ? 1 : t->top / 4;
	/* Each row has a stack of its own: beside the other lists a quarter of them is enough. */
	if (t->by == PINW_BY_ALL && !t->filter && rows > few + 1)
		rows = few;
	if (rows) {
		pinw_text_heading(t, "CHURN BY CREATION SITE");
		pinw_term_line(&t->term, 4, PINW_STYLE_DIM, "  %9s %9s %9s %11s %9s", "created", "a second",
		               "no end", "mean life", "< 1 s");
	}
	for (size_t i = 0; i < rows; i++)
		print_creations(t, p, &list[i]);
	pinw_text_cut(t, rows, count, "site", "sites");
	free(list);
}

/* ---- by thread ------------------------------------------------------------------------------------ */

struct held {
	const struct pinw_thread *thread;
	uint64_t pins, locks, pinned_ns, locked_ns;
};

static int by_held(const void *x, const void *y)
{
	const struct held *a = x, *b = y;
	uint64_t of_a = a->pinned_ns + a->locked_ns, of_b = b->pinned_ns + b->locked_ns;

	if (of_a != of_b)
		return of_a > of_b ? -1 : 1;
	if (a->pins + a->locks != b->pins + b->locks)
		return a->pins + a->locks > b->pins + b->locks ? -1 : 1;
	return (a->thread->id > b->thread->id) - (a->thread->id < b->thread->id);
}

static void print_held(struct pinw_text *t, const struct held *h)
{
	const struct pinw_thread *thread = h->thread;

	pinw_term_put(&t->term, "%9" PRIu32 " ", thread->id);
	if (thread->tid)
		pinw_term_put(&t->term, "%8" PRIu32 "  ", thread->tid);
	else
		pinw_term_put(&t->term, "%8s  ", "-");
	pinw_term_put_cell(&t->term, thread->name, strnlen(thread->name, sizeof(thread->name)), 15);
	pinw_term_put(&t->term, " %9s %11s %9s %11s", pinw_text_count(h->pins),
	              h->pinned_ns ? pinw_text_duration(h->pinned_ns) : "-", pinw_text_count(h->locks),
	              h->locked_ns ? pinw_text_duration(h->locked_ns) : "-");
	pinw_term_end(&t->term, 8, PINW_STYLE_PLAIN);
}

/* What each thread of the process held. The caller frees it; NULL when out of memory. */
static struct held *held_by_threads(const struct pinw_process *p)
{
	struct held *list = calloc(p->threads.count + 1, sizeof(*list));
	struct pinw_table at;

	pinw_table_init(&at, sizeof(struct held *));
	for (size_t i = 0; list && i < p->threads.count; i++) {
		const struct pinw_thread *thread = pinw_table_at(&p->threads, i);
		struct held **place = pinw_table_get(&at, thread->id, NULL);
		list[i] =
		    (struct held){.thread = thread, .pins = thread->pins_opened, .locks = thread->golocks};
		if (place) {
			*place = &list[i];
			continue;
		}
		free(list);
		list = NULL;
	}
	for (size_t i = 0; list && i < p->history->span_count; i++) {
		const struct pinw_span *s = &p->history->spans[i];
		struct held **held = pinw_table_find(&at, s->thread);
		if (held && s->origin == PINW_ORIGIN_GOLOCK)
			(*held)->locked_ns += pinw_span_held_ns(s);
		else if (held)
			(*held)->pinned_ns += pinw_span_held_ns(s);
	}
	pinw_table_done(&at);
	return list;
}

void pinw_text_by_thread(struct pinw_text *t, const struct pinw_process *p)
{
	struct held *list = held_by_threads(p);
	size_t count = 0;

	if (!list) {
		t->term.out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < p->threads.count; i++)
		if (pinw_text_wants_thread(t, p, list[i].thread))
			list[count++] = list[i];
	qsort(list, count, sizeof(*list), by_held);
	size_t rows = pinw_text_rows(t, count);
	pinw_text_heading(t, "BY THREAD");
	pinw_term_line(&t->term, 8, PINW_STYLE_DIM, "%9s %8s  %-15s %9s %11s %9s %11s", "id", "tid", "name",
	               "pins", "pinned", "Go locks", "locked");
	for (size_t i = 0; i < rows; i++)
		print_held(t, &list[i]);
	pinw_text_cut(t, rows, count, "thread", "threads");
	free(list);
}

/* ---- by CPU ----------------------------------------------------------------------------------------- */

struct cpu {
	uint64_t pins, alone, pinned_ns;
};

/* The CPUs of the baseline, by number. The caller frees it; NULL when out of memory. */
static struct cpu *count_cpus(const struct pinw_process *p)
{
	struct cpu *cpus = calloc(p->header.mask_words * 64u + 1, sizeof(*cpus));

	for (size_t i = 0; cpus && i < pinw_history_places(p->history); i++) {
		const struct pinw_span *s = pinw_history_place(p->history, i);
		const uint64_t *mask = s ? pinw_process_mask(p, s->mask) : NULL;
		if (!mask)
			continue;
		bool alone = pinw_mask_single(mask, p->header.mask_words) != 0;
		for (uint32_t w = 0; w < p->header.mask_words; w++)
			for (uint64_t left = mask[w]; left; left &= left - 1) {
				struct cpu *cpu = &cpus[w * 64 + (unsigned)__builtin_ctzll(left)];
				cpu->pins++;
				cpu->alone += alone;
				cpu->pinned_ns += pinw_span_held_ns(s);
			}
	}
	return cpus;
}

static uint64_t at_once(const struct pinw_timeline *line, unsigned cpu)
{
	for (size_t i = 0; i < line->cpu_count; i++)
		if (line->cpus[i].cpu == cpu)
			return line->cpus[i].most;
	return 0;
}

static void print_cpu(struct pinw_text *t, unsigned number, const struct cpu *cpu, uint64_t most)
{
	pinw_term_put(&t->term, "  %6u %9s %9s %9s %11s", number, pinw_text_count(cpu->pins),
	              pinw_text_count(cpu->alone), pinw_text_count(most),
	              cpu->pinned_ns ? pinw_text_duration(cpu->pinned_ns) : "-");
	pinw_term_end(&t->term, 4, most > 1 ? PINW_STYLE_BAD : PINW_STYLE_PLAIN);
}

static void print_cpus(struct pinw_text *t, const struct pinw_process *p, const struct cpu *cpus,
                       const struct pinw_timeline *line)
{
	uint32_t bits = p->header.mask_words * 64;
	size_t shown = 0, count = 0;

	for (uint32_t cpu = 0; cpu < bits; cpu++) {
		bool listed = cpus[cpu].pins || (p->header.baseline[cpu / 64] >> cpu % 64 & 1);
		if (listed && shown < t->top) {
			print_cpu(t, cpu, &cpus[cpu], at_once(line, cpu));
			shown++;
		}
		count += listed;
	}
	pinw_text_cut(t, shown, count, "CPU", "CPUs");
	pinw_term_line(&t->term, 2, PINW_STYLE_DIM,
	               "  alone: pins to this CPU and no other; at once: threads with such a pin, at most");
}

void pinw_text_by_cpu(struct pinw_text *t, const struct pinw_process *p)
{
	struct cpu *cpus = count_cpus(p);
	struct pinw_timeline line = {0};

	pinw_text_heading(t, "BY CPU");
	pinw_term_line(&t->term, 4, PINW_STYLE_DIM, "  %6s %9s %9s %9s %11s", "CPU", "pins", "alone",
	               "at once", "pinned");
	if (!cpus || pinw_timeline_make(p, &line) < 0)
		t->term.out_of_memory = true;
	else
		print_cpus(t, p, cpus, &line);
	pinw_timeline_done(&line);
	free(cpus);
}
