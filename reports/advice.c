/* SPDX-License-Identifier: MIT */
#include "reports/advice.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "reports/history.h"
#include "reports/notes.h"
#include "reports/text_private.h"

static const struct {
	const char *name, *cure;
} kinds[PINW_ADVICE_KINDS] = {
    [PINW_ADVICE_PER_REQUEST] = {"per-request", PINW_PER_REQUEST_CURE},
    [PINW_ADVICE_ALL_CPUS] = {"all-cpus",
                              "pin fewer threads, use more CPUs, or run what is pinned apart from "
                              "what is not: the rest of the work has no CPU of its own"},
    [PINW_ADVICE_DOUBLE_BOOKED] = {"double-booked",
                                   "give each pinned thread a CPU of its own; [caps] max_pinned_per_cpu "
                                   "= 1 in a policy tells when two meet"},
    [PINW_ADVICE_INHERITED] = {"inherited",
                               "create threads before pinning, or give them their mask when they start; "
                               "a policy's [leak] inherited = reset does it"},
    [PINW_ADVICE_NO_AFFINITY] =
        {"no-affinity", "a Go lock binds to a thread, which goes from CPU to CPU: where CPU locality is "
                        "wanted, set the affinity after locking"},
    [PINW_ADVICE_NO_LOCK] =
        {"no-lock", "call runtime.LockOSThread first: else the goroutine goes on elsewhere, and others "
                    "on the pinned thread"},
};

const char *pinw_advice_name(enum pinw_advice_kind kind)
{
	return kinds[kind].name;
}

static void add(struct pinw_advices *a, enum pinw_advice_kind kind, const struct pinw_site *site,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

static void add(struct pinw_advices *a, enum pinw_advice_kind kind, const struct pinw_site *site,
                const char *format, ...)
{
	struct pinw_advice *advice = &a->list[a->count++];
	va_list args;

	*advice = (struct pinw_advice){.kind = kind, .cure = kinds[kind].cure, .site = site};
	va_start(args, format);
	vsnprintf(advice->what, sizeof(advice->what), format, args);
	va_end(args);
}

static int add_per_request(struct pinw_advices *a, const struct pinw_process *p)
{
	struct pinw_per_request r;
	int error = pinw_evidence_per_request(p, &r);

	if (error < 0)
		return error;
	uint64_t pins = 0, locks = 0;
	for (size_t i = 0; i < r.site_count; i++)
		*(r.sites[i].golock ? &locks : &pins) += r.sites[i].site->rate.count;
	if (r.answer == PINW_ANSWER_YES && r.site_count)
		add(a, PINW_ADVICE_PER_REQUEST, r.sites[0].site, "%s %s for requests, at %zu place%s",
		    pinw_text_count(pins + locks),
		    !locks  ? "pins were made"
		    : !pins ? "Go locks were taken"
		            : "pins and Go locks were made",
		    r.site_count, r.site_count == 1 ? "" : "s");
	else if (r.answer == PINW_ANSWER_YES)
		add(a, PINW_ADVICE_PER_REQUEST, NULL,
		    "%s threads were pinned and ended within 1 s of their start",
		    pinw_text_count(p->churn.count));
	pinw_per_request_done(&r);
	return 0;
}

static void add_capacity(struct pinw_advices *a, const struct pinw_process *p, const struct pinw_capacity *c)
{
	if (c->left_busy == 0 && c->pinned && !pinw_notes_one_cpu(p))
		add(a, PINW_ADVICE_ALL_CPUS, NULL,
		    "up to %" PRIu64 " threads were pinned at once, and %s all %" PRIu64 " CPUs", c->pinned,
		    c->left == 0 ? "took" : "while they are busy take", c->cpus);
	if (c->doubled > 1)
		add(a, PINW_ADVICE_DOUBLE_BOOKED, NULL,
		    "CPU %u was the only one of up to %" PRIu64 " threads at once", c->doubled_cpu,
		    c->doubled);
}

static void add_inherited(struct pinw_advices *a, const struct pinw_process *p)
{
	const struct pinw_site *site = NULL;
	uint64_t count = p->leaks_of[PINW_LEAK_INHERITED];

	if (!count)
		return;
	for (size_t i = 0; i < p->leak_count && !site; i++)
		if (p->leaks[i].kind == PINW_LEAK_INHERITED)
			site = pinw_process_site(p, p->leaks[i].pin_site);
	add(a, PINW_ADVICE_INHERITED, site,
	    "%" PRIu64 " thread%s started on the mask of the thread that made %s", count,
	    count == 1 ? "" : "s", count == 1 ? "it" : "them");
}

/* A program that pins threads to CPUs wants locality; its locks alone do not give it. */
static void add_no_affinity(struct pinw_advices *a, const struct pinw_process *p)
{
	const struct pinw_golock_site *most = NULL;
	uint64_t loose = 0;

	if (!p->live.counters.pins_opened)
		return;
	for (size_t i = 0; i < p->golock_sites.count; i++) {
		const struct pinw_golock_site *s = &p->sorted_golock_sites[i];
		uint64_t here = pinw_since(s->locked, s->on_cpus);
		loose += here;
		most = here && !most ? s : most;
	}
	if (loose)
		add(a, PINW_ADVICE_NO_AFFINITY, pinw_process_site(p, most->site),
		    "%" PRIu64 " Go lock%s held without CPU affinity, in a program that pins to CPUs", loose,
		    loose == 1 ? " was" : "s were");
}

/* Until when a thread is locked. */
struct locked {
	uint64_t until_ns;
};

/* Spans come by their begin: a lock comes before the pins that are made under it. */
static int add_no_lock(struct pinw_advices *a, const struct pinw_process *p)
{
	const struct pinw_site *first = NULL;
	struct pinw_table threads;
	uint64_t count = 0;
	int error = 0;

	if (pinw_process_misses_golocks(p) || pinw_evidence_gap(p))
		return 0;
	pinw_table_init(&threads, sizeof(struct locked));
	for (size_t i = 0; error == 0 && i < p->history->span_count; i++) {
		const struct pinw_span *s = &p->history->spans[i];
		const struct pinw_site *site = pinw_process_site(p, s->site);
		struct locked *t = pinw_table_get(&threads, s->thread, NULL);
		if (!t)
			error = -ENOMEM;
		else if (s->origin == PINW_ORIGIN_GOLOCK)
			t->until_ns = s->end == PINW_SPAN_OPEN ? PINW_TIME_UNKNOWN : s->end_ns;
		else if (s->origin == PINW_ORIGIN_SELF && site && site->raw && t->until_ns <= s->begin_ns) {
			count++;
			first = first ? first : site;
		}
	}
	pinw_table_done(&threads);
	if (error == 0 && count)
		add(a, PINW_ADVICE_NO_LOCK, first,
		    "%" PRIu64 " pin%s made by a goroutine not locked to its thread", count,
		    count == 1 ? " was" : "s were");
	return error;
}

int pinw_advices_of(const struct pinw_process *p, const struct pinw_capacity *capacity,
                    struct pinw_advices *ret)
{
	*ret = (struct pinw_advices){0};
	int error = add_per_request(ret, p);

	if (error < 0)
		return error;
	add_capacity(ret, p, capacity);
	add_inherited(ret, p);
	add_no_affinity(ret, p);
	return add_no_lock(ret, p);
}
