/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/evidence.h"
#include "reports/text_private.h"

#define FIELD_COLUMN 12u

/* ---- Go locks by site ------------------------------------------------------------------ */

static const char *hold(const struct pinw_golock_site *s, uint64_t held_ns)
{
	return s->held_count ? pinw_text_duration(held_ns) : "-";
}

/* A Go lock binds a goroutine to a thread, and nothing to a CPU. */
static void print_binding(struct pinw_text *t, const struct pinw_golock_site *s)
{
	uint64_t locks = s->unlocked + s->destroyed + s->open;

	pinw_term_put(&t->term, "    held %s in all; ", hold(s, s->held_sum_ns));
	if (s->on_cpus == 0)
		pinw_term_put(&t->term, "locked, not bound to a CPU");
	else if (s->on_cpus >= locks)
		pinw_term_put(&t->term, "locked, and pinned to CPUs as well");
	else
		pinw_term_put(&t->term, "%s locked and pinned to CPUs as well, %s not bound to a CPU",
		              pinw_text_count(s->on_cpus), pinw_text_count(locks - s->on_cpus));
	pinw_term_end(&t->term, 6, PINW_STYLE_PLAIN);
}

static void print_unlocks(struct pinw_text *t, const struct pinw_process *p, const struct pinw_golock_site *s)
{
	uint32_t limit = t->top == SIZE_MAX ? PINW_UNLOCK_SITES : 2;
	uint64_t untold = s->unlocked_elsewhere;

	for (uint32_t i = 0; i < s->unlock_sites; i++) {
		char title[64];

		if (i >= limit) {
			untold += s->unlocks[i].count;
			continue;
		}
		snprintf(title, sizeof(title), "%s x unlocked at", pinw_text_count(s->unlocks[i].count));
		pinw_text_stack(t, p, s->unlock_sites > 1 ? title : "unlocked at", s->unlocks[i].site);
	}
	if (untold)
		pinw_term_line(&t->term, 6, PINW_STYLE_DIM,
		               "    %s x unlocked elsewhere (-f json has every stack)",
		               pinw_text_count(untold));
	if (s->unlocked_unseen)
		pinw_term_line(&t->term, 6, PINW_STYLE_DIM, "    %s x unlocked where nobody saw it",
		               pinw_text_count(s->unlocked_unseen));
}

static void print_site(struct pinw_text *t, const struct pinw_process *p, const struct pinw_golock_site *s)
{
	pinw_term_put(&t->term, "  %8s %9s %9s %6s %11s %11s  %" PRIu32, pinw_text_count(s->locked),
	              pinw_text_count(s->unlocked), pinw_text_count(s->destroyed), pinw_text_count(s->open),
	              hold(s, s->held_count ? s->held_sum_ns / s->held_count : 0), hold(s, s->held_max_ns),
	              s->depth_max);
	pinw_term_end(&t->term, 4, PINW_STYLE_PLAIN);
	print_binding(t, s);
	pinw_text_stack(t, p, "locked at", s->site);
	print_unlocks(t, p, s);
}

/* ---- locks that are held ----------------------------------------------------------------- */

static bool is_held(const struct pinw_text *t, const struct pinw_process *p, const struct pinw_thread *thread)
{
	return thread->lock->depth && !thread->lock->destroyed && pinw_text_wants_thread(t, p, thread);
}

static void print_held(struct pinw_text *t, const struct pinw_process *p, const struct pinw_thread *thread)
{
	const uint64_t *mask = thread->pin.depth ? pinw_process_mask(p, thread->mask) : NULL;
	char cpus[64];

	pinw_term_put(&t->term, "    goroutine %" PRIu64 " on thread ", thread->lock->goid);
	pinw_text_put_thread(t, p, thread->id);
	pinw_term_put(&t->term, ", for %s%s, depth %" PRIu32 ": ",
	              p->how == PINW_HOW_VIOLENT ? "at least " : "",
	              pinw_text_duration(thread->lock->held_ns), thread->lock->depth);
	if (mask) {
		size_t len = pinw_mask_print(cpus, sizeof(cpus), mask, p->header.mask_words);
		pinw_term_put(&t->term, "locked and pinned to CPU %.*s", (int)len, cpus);
	} else {
		pinw_term_put(&t->term, "locked, not bound to a CPU");
	}
	pinw_term_put(&t->term, " (site %" PRIu32 ")", thread->lock->site);
	pinw_term_end(&t->term, 6, PINW_STYLE_PLAIN);
}

static void print_all_held(struct pinw_text *t, const struct pinw_process *p)
{
	size_t held = 0, printed = 0;

	for (size_t i = 0; i < p->threads.count; i++)
		held += is_held(t, p, pinw_table_at(&p->threads, i));
	if (held == 0)
		return;
	pinw_term_line(&t->term, 4, PINW_STYLE_PLAIN,
	               "  still locked %s:", p->how == PINW_HOW_RUNNING ? "now" : "at the end");
	for (size_t i = 0; i < p->threads.count && printed < pinw_text_rows(t, held); i++) {
		const struct pinw_thread *thread = pinw_table_at(&p->threads, i);
		if (!is_held(t, p, thread))
			continue;
		print_held(t, p, thread);
		printed++;
	}
	pinw_text_cut(t, printed, held, "lock", "locks");
}

static bool wants_site(const struct pinw_text *t, const struct pinw_process *p,
                       const struct pinw_golock_site *s)
{
	return !t->filter || pinw_filter_has_pins(t->filter, p, s->site, PINW_ORIGIN_GOLOCK);
}

void pinw_text_golocks(struct pinw_text *t, const struct pinw_process *p)
{
	size_t wanted = 0, shown = 0;

	for (size_t i = 0; i < p->golock_sites.count; i++)
		wanted += wants_site(t, p, &p->sorted_golock_sites[i]);
	size_t rows = pinw_text_rows(t, wanted);
	if (rows == 0)
		return;
	pinw_text_heading(t, "GO LOCKS BY SITE");
	pinw_term_line(&t->term, 4, PINW_STYLE_DIM, "  %8s %9s %9s %6s %11s %11s  %s", "locked", "unlocked",
	               "destroyed", "open", "mean hold", "longest", "depth");
	for (size_t i = 0; shown < rows; i++)
		if (wants_site(t, p, &p->sorted_golock_sites[i])) {
			print_site(t, p, &p->sorted_golock_sites[i]);
			shown++;
		}
	pinw_text_cut(t, rows, wanted, "site", "sites");
	print_all_held(t, p);
	pinw_term_line(&t->term, 2, PINW_STYLE_DIM,
	               "  destroyed: the goroutine ended with it, and its thread too; open: still held %s",
	               p->how == PINW_HOW_RUNNING ? "now" : "at the end");
}

/* ---- pins for requests -------------------------------------------------------------------- */

static void put_detectors(struct pinw_text *t, const struct pinw_per_request *r)
{
	const struct {
		enum pinw_answer answer;
		const char *name;
	} by[] = {{r->by_stack, "stack"}, {r->by_rate, "rate"}, {r->by_churn, "churn"}};
	const char *comma = " by ";

	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		if (by[i].answer != PINW_ANSWER_YES)
			continue;
		pinw_term_put(&t->term, "%s%s", comma, by[i].name);
		comma = ", ";
	}
}

void pinw_text_requests_field(struct pinw_text *t, const struct pinw_process *p)
{
	struct pinw_per_request r;

	if (!p->live.counters.pins_opened && !p->live.counters.golocks)
		return;
	if (pinw_evidence_per_request(p, &r) < 0) {
		t->term.out_of_memory = true;
		return;
	}
	pinw_term_put(&t->term, "  requests");
	pinw_term_pad(&t->term, FIELD_COLUMN);
	pinw_term_put(&t->term, "pinned per request: %s", pinw_answer_words(r.answer));
	if (r.answer == PINW_ANSWER_YES) {
		pinw_term_put(&t->term, ",");
		put_detectors(t, &r);
	}
	for (unsigned i = 0; r.answer == PINW_ANSWER_UNKNOWN && i < r.unknown_count; i++)
		pinw_term_put(&t->term, "%s%s", i ? "; " : ": ", r.unknown[i]);
	pinw_term_end(&t->term, FIELD_COLUMN, PINW_STYLE_PLAIN);
	pinw_per_request_done(&r);
}

/* "3,000 Go locks by main.(*server).pinHandler, 3,000 threads destroyed while locked" */
static void put_site(struct pinw_text *t, const struct pinw_request_site *s)
{
	const struct pinw_site_names *n = s->site->names;
	const char *what = s->golock ? "Go lock" : "pin", *many = s->golock ? "Go locks" : "pins";

	pinw_term_put(&t->term, "%s by ", pinw_text_counted(s->site->rate.count, what, many));
	if (n && n->function)
		pinw_term_put_foreign(&t->term, n->function, strlen(n->function));
	else
		pinw_term_put(&t->term, "site %" PRIu32, s->site->id);
	if (s->destroyed)
		pinw_term_put(&t->term, ", %s destroyed while locked",
		              pinw_text_counted(s->destroyed, "thread", "threads"));
}

static void print_request_site(struct pinw_text *t, const struct pinw_request_site *s)
{
	const struct pinw_rate_seen *rate = &s->site->rate;
	const struct pinw_site_names *n = s->site->names;

	pinw_term_put(&t->term, "  ");
	put_site(t, s);
	pinw_term_end(&t->term, 6, PINW_STYLE_BAD);
	if (s->by_stack) {
		pinw_term_put(&t->term, "    by stack: ");
		pinw_term_put_foreign(&t->term, n->handler, strlen(n->handler));
		pinw_term_put(&t->term, " serves requests (site %" PRIu32 ")", s->site->id);
		pinw_term_end(&t->term, 6, PINW_STYLE_PLAIN);
	}
	pinw_term_line(&t->term, 6, PINW_STYLE_PLAIN,
	               "    %s: up to %s in 1 s, %s of them by threads that had done it before",
	               s->by_rate ? "by rate" : "rate", pinw_text_count(rate->peak),
	               pinw_text_count(rate->repeats));
}

static void print_churn(struct pinw_text *t, const struct pinw_process *p, const struct pinw_per_request *r)
{
	if (!p->churn.count)
		return;
	pinw_term_put(&t->term, "  %s: %s pinned or locked and ended within 1 s, up to %s in 1 s",
	              r->by_churn == PINW_ANSWER_YES ? "by churn" : "churn",
	              pinw_text_counted(p->churn.count, "thread was", "threads were"),
	              pinw_text_count(p->churn.peak));
	pinw_term_end(&t->term, 6, PINW_STYLE_PLAIN);
}

void pinw_text_requests(struct pinw_text *t, const struct pinw_process *p)
{
	struct pinw_per_request r;

	if (pinw_evidence_per_request(p, &r) < 0) {
		t->term.out_of_memory = true;
		return;
	}
	if (r.answer == PINW_ANSWER_YES) {
		size_t rows = pinw_text_rows(t, r.site_count);

		pinw_text_heading(t, "PINNED PER REQUEST");
		for (size_t i = 0; i < rows; i++)
			print_request_site(t, &r.sites[i]);
		pinw_text_cut(t, rows, r.site_count, "site", "sites");
		print_churn(t, p, &r);
		pinw_term_line(&t->term, 6, PINW_STYLE_PLAIN, "  cure: " PINW_PER_REQUEST_CURE);
	}
	pinw_per_request_done(&r);
}

/* ---- the verdict ------------------------------------------------------------------------------ */

#define VERDICTS_MAX 3u

static void put_verdict(struct pinw_text *t, const struct pinw_process *p, const struct pinw_per_request *r,
                        bool with_name)
{
	size_t len;
	const char *program = pinw_text_program(p, &len);

	if (with_name) {
		pinw_term_put_foreign(&t->term, program, len);
		pinw_term_put(&t->term, " (pid %" PRIu32 ")", p->header.self.pid);
	}
	pinw_term_put(&t->term, "%s per request: ", with_name ? " pins" : "Pinned");
	if (r->site_count)
		put_site(t, &r->sites[0]);
	else
		pinw_term_put(&t->term, "%s pinned and ended within 1 s",
		              pinw_text_counted(p->churn.count, "thread was", "threads were"));
	if (r->site_count > 1)
		pinw_term_put(&t->term, ", and at %s more",
		              pinw_text_counted(r->site_count - 1, "site", "sites"));
	pinw_term_end(&t->term, 2, PINW_STYLE_BAD);
}

size_t pinw_text_requests_verdict(struct pinw_text *t)
{
	size_t said = 0, more = 0;

	for (size_t i = 0; i < t->model->process_count; i++) {
		const struct pinw_process *p = t->model->processes[i];
		struct pinw_per_request r;

		if (p->error)
			continue;
		if (pinw_evidence_per_request(p, &r) < 0) {
			t->term.out_of_memory = true;
			return said;
		}
		bool yes = r.answer == PINW_ANSWER_YES;
		if (yes && said < VERDICTS_MAX)
			put_verdict(t, p, &r, t->model->process_count > 1);
		more += yes && said >= VERDICTS_MAX;
		said += yes;
		pinw_per_request_done(&r);
	}
	if (more)
		pinw_term_line(&t->term, 2, PINW_STYLE_BAD, "%s more per request",
		               pinw_text_counted(more, "process pins", "processes pin"));
	return said;
}
