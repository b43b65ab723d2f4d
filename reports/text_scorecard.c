/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "reports/advice.h"
#include "reports/scorecard.h"
#include "reports/stacks.h"
#include "reports/text_private.h"

#define ANSWER_COLUMN 18u
#define FIELD_COLUMN 20u

/* ---- the checklists -------------------------------------------------------------------------- */

static enum pinw_style style_of(enum pinw_answer answer)
{
	return answer == PINW_ANSWER_YES  ? PINW_STYLE_GOOD
	       : answer == PINW_ANSWER_NO ? PINW_STYLE_BAD
	                                  : PINW_STYLE_PLAIN;
}

static void print_item(struct pinw_text *t, const struct pinw_card_item *item)
{
	pinw_term_put(&t->term, "  %s", pinw_card_words(item->evidence.answer));
	pinw_term_pad(&t->term, ANSWER_COLUMN);
	pinw_term_put(&t->term, "%s", item->title);
	pinw_term_end(&t->term, ANSWER_COLUMN, style_of(item->evidence.answer));
	pinw_term_pad(&t->term, ANSWER_COLUMN);
	pinw_term_put(&t->term, "%s", item->evidence.text);
	pinw_term_end(&t->term, ANSWER_COLUMN, PINW_STYLE_DIM);
}

static void print_card(struct pinw_text *t, const struct pinw_scorecard *card)
{
	pinw_text_heading(t, "SCORECARD");
	pinw_term_line(&t->term, 2, PINW_STYLE_PLAIN,
	               "  %u passed, %u failed, %u not observable, which is no pass", card->passed,
	               card->failed, card->unseen);
	for (unsigned review = 0; review < 2; review++) {
		pinw_term_line(&t->term, 2, PINW_STYLE_HEADING, "  %s",
		               review ? "code review" : "library or service");
		for (size_t i = 0; i < PINW_CARD_ITEMS; i++)
			if (card->items[i].review == review)
				print_item(t, &card->items[i]);
	}
}

/* ---- capacity ---------------------------------------------------------------------------------- */

static void begin_field(struct pinw_text *t, const char *name)
{
	pinw_term_put(&t->term, "  %s", name);
	pinw_term_pad(&t->term, FIELD_COLUMN);
}

static void end_field(struct pinw_text *t)
{
	pinw_term_end(&t->term, FIELD_COLUMN, PINW_STYLE_PLAIN);
}

static void print_pinned(struct pinw_text *t, const struct pinw_capacity *c)
{
	begin_field(t, "CPUs");
	pinw_term_put(&t->term, "%s in the baseline", pinw_text_count(c->cpus));
	end_field(t);
	begin_field(t, "pins");
	pinw_term_put(&t->term, "%s%s at once at most; pins to CPUs take %s", c->gap ? "at least " : "",
	              pinw_text_counted(c->pinned, "pinned thread", "pinned threads"),
	              pinw_text_counted(c->used, "CPU", "CPUs"));
	end_field(t);
	begin_field(t, "left");
	pinw_term_put(&t->term, "%s%s for work that is not pinned", c->gap ? "at most " : "",
	              pinw_text_counted(c->left, "CPU", "CPUs"));
	if (c->left_busy < c->left)
		pinw_term_put(&t->term, "; %s while all threads locked by Go are busy",
		              pinw_text_count(c->left_busy));
	end_field(t);
}

static void print_expected(struct pinw_text *t, const struct pinw_capacity *c)
{
	begin_field(t, "threads expected");
	if (c->is_go)
		pinw_term_put(&t->term, "%s to %s%s: %s (GOMAXPROCS), %s pinned, %u to %u of the Go runtime",
		              pinw_text_count(c->expected_min), pinw_text_count(c->expected_max),
		              c->gap ? " or more" : "", pinw_text_counted(c->cpus, "CPU", "CPUs"),
		              pinw_text_count(c->pinned), PINW_GO_OWN_MIN, PINW_GO_OWN_MAX);
	else
		pinw_term_put(&t->term, "not known: the program is not Go");
	end_field(t);
	begin_field(t, "threads measured");
	pinw_term_put(&t->term, "%s or more half of the time, peak %s (main included)",
	              pinw_text_count(c->steady), pinw_text_count(c->peak));
	end_field(t);
}

void pinw_text_scorecard(struct pinw_text *t, const struct pinw_process *p)
{
	struct pinw_capacity capacity;
	struct pinw_scorecard card;

	if (pinw_capacity_of(p, &capacity) < 0 || pinw_scorecard_of(p, &capacity, &card) < 0) {
		t->term.out_of_memory = true;
		return;
	}
	print_card(t, &card);
	pinw_text_heading(t, "CAPACITY");
	print_pinned(t, &capacity);
	print_expected(t, &capacity);
}

/* ---- advice ------------------------------------------------------------------------------------- */

/* By its names on the stack, where nobody is known to have done it: the pin may be another process's. */
static void put_stack(struct pinw_text *t, const struct pinw_process *p, const struct pinw_site *site)
{
	char label[PINW_STACK_LABEL_BYTES];
	struct pinw_stack s;

	pinw_stacks_read(t->stacks, p, site, &s);
	pinw_stacks_label(s.frames, s.count, label, sizeof(label));
	pinw_term_put_foreign(&t->term, label, strlen(label));
}

static void print_advice(struct pinw_text *t, const struct pinw_process *p, const struct pinw_advice *a)
{
	const struct pinw_site_names *n = a->site ? a->site->names : NULL;

	pinw_term_put(&t->term, "  %s", a->what);
	pinw_term_end(&t->term, 4, PINW_STYLE_BAD);
	pinw_term_line(&t->term, 6, PINW_STYLE_PLAIN, "    cure: %s", a->cure);
	if (!a->site)
		return;
	pinw_term_put(&t->term, "    look at: ");
	if (n && n->function)
		pinw_term_put_foreign(&t->term, n->function, strlen(n->function));
	else
		put_stack(t, p, a->site);
	if (n && n->handler && (!n->function || strcmp(n->function, n->handler) != 0)) {
		pinw_term_put(&t->term, ", called for ");
		pinw_term_put_foreign(&t->term, n->handler, strlen(n->handler));
	}
	pinw_term_put(&t->term, " (site %" PRIu32 ")", a->site->id);
	pinw_term_end(&t->term, 6, PINW_STYLE_PLAIN);
}

void pinw_text_advice(struct pinw_text *t, const struct pinw_process *p)
{
	struct pinw_capacity capacity;
	struct pinw_advices advices;

	if (!p->history)
		return;
	if (pinw_capacity_of(p, &capacity) < 0 || pinw_advices_of(p, &capacity, &advices) < 0) {
		t->term.out_of_memory = true;
		return;
	}
	bool heading = false;
	for (unsigned i = 0; i < advices.count; i++) {
		if (advices.list[i].kind == PINW_ADVICE_PER_REQUEST && !t->scorecard)
			continue; /* it has a section of its own there, which ends in the same cure */
		if (!heading)
			pinw_text_heading(t, "ADVICE");
		heading = true;
		print_advice(t, p, &advices.list[i]);
	}
}
