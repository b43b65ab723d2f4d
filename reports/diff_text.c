/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "reports/diff.h"
#include "reports/text_private.h"

/* "+12", "-3". Good for one line. */
static const char *change(const uint64_t counts[PINW_DIFF_SIDES])
{
	static char text[32];
	bool more = counts[PINW_DIFF_NEW] > counts[PINW_DIFF_BASE];

	snprintf(text, sizeof(text), "%s%s", more ? "+" : "-",
	         pinw_text_count(more ? counts[PINW_DIFF_NEW] - counts[PINW_DIFF_BASE]
	                              : counts[PINW_DIFF_BASE] - counts[PINW_DIFF_NEW]));
	return text;
}

static void print_totals(struct pinw_text *t, const struct pinw_diff *d)
{
	pinw_text_heading(t, "TOTALS");
	pinw_term_line(&t->term, 2, PINW_STYLE_DIM, "  %-28s %14s %14s %14s", "", "base", "new", "change");
	for (size_t i = 0; i < d->total_count; i++) {
		const struct pinw_diff_total *total = &d->totals[i];
		bool same = total->counts[PINW_DIFF_BASE] == total->counts[PINW_DIFF_NEW];

		if (same && !total->counts[PINW_DIFF_NEW])
			continue;
		pinw_term_line(&t->term, 2, PINW_STYLE_PLAIN, "  %-28s %14s %14s %14s", total->name,
		               pinw_text_count(total->counts[PINW_DIFF_BASE]),
		               pinw_text_count(total->counts[PINW_DIFF_NEW]),
		               same ? "" : change(total->counts));
	}
}

static void put_what(struct pinw_text *t, const struct pinw_diff_row *row)
{
	if (row->kind == PINW_DIFF_VIOLATIONS)
		pinw_term_put_foreign(&t->term, row->label, strlen(row->label));
	else if (row->kind == PINW_DIFF_CREATIONS)
		pinw_term_put(&t->term, "threads");
	else if (row->kind == PINW_DIFF_LEAKS)
		pinw_term_put(&t->term, "%s", pinw_leak_kind_name((enum pinw_leak_kind)row->leak));
	if (row->kind == PINW_DIFF_LEAKS && row->origin)
		pinw_term_put(&t->term, ", ");
	if (row->origin == PINW_ORIGIN_GOLOCK)
		pinw_term_put(&t->term, "Go lock");
	else if (row->origin)
		pinw_term_put(&t->term, "%s pin", pinw_origin_name(row->origin));
}

static void print_row(struct pinw_text *t, const struct pinw_diff *d, const struct pinw_diff_row *row)
{
	enum pinw_diff_side side = row->process[PINW_DIFF_NEW] ? PINW_DIFF_NEW : PINW_DIFF_BASE;
	const char *remark = !row->counts[PINW_DIFF_BASE]  ? ", none before"
	                     : !row->counts[PINW_DIFF_NEW] ? ", none any more"
	                                                   : "";
	size_t len;
	const char *program = pinw_text_program(row->process[side], &len);

	pinw_term_put(&t->term, "  %8s ", change(row->counts));
	put_what(t, row);
	pinw_term_put(&t->term, " in ");
	pinw_term_put_foreign(&t->term, program, len);
	pinw_term_put(&t->term, " (%s, then %s%s)", pinw_text_count(row->counts[PINW_DIFF_BASE]),
	              pinw_text_count(row->counts[PINW_DIFF_NEW]), remark);
	pinw_term_end(&t->term, 6, pinw_diff_is_regression(d, row) ? PINW_STYLE_BAD : PINW_STYLE_PLAIN);
	if (row->kind == PINW_DIFF_VIOLATIONS)
		return;
	pinw_table_done(&t->shown);
	pinw_table_init(&t->shown, 1);
	pinw_text_stack(t, row->process[side],
	                row->kind == PINW_DIFF_CREATIONS               ? "created at"
	                : row->origin == PINW_ORIGIN_GOLOCK            ? "locked at"
	                : row->kind == PINW_DIFF_LEAKS && !row->origin ? "created at"
	                                                               : "pinned at",
	                row->site[side]);
}

static void print_kind(struct pinw_text *t, const struct pinw_diff *d, enum pinw_diff_kind kind)
{
	static const char *const titles[PINW_DIFF_KINDS] = {[PINW_DIFF_LEAKS] = "LEAKS",
	                                                    [PINW_DIFF_VIOLATIONS] = "VIOLATIONS BY RULE",
	                                                    [PINW_DIFF_PINS] = "PINS BY SITE",
	                                                    [PINW_DIFF_CREATIONS] = "CREATIONS BY SITE"};
	size_t first = 0, count = 0;

	while (first < d->changed && d->sorted[first]->kind != kind)
		first++;
	while (first + count < d->changed && d->sorted[first + count]->kind == kind)
		count++;
	if (!count)
		return;
	pinw_text_heading(t, titles[kind]);
	size_t rows = pinw_text_rows(t, count);
	for (size_t i = 0; i < rows; i++)
		print_row(t, d, d->sorted[first + i]);
	pinw_text_cut(t, rows, count, "row", "rows");
}

static void print_limit(void *arg, const char *text)
{
	struct pinw_text *t = arg;

	pinw_term_line(&t->term, 4, PINW_STYLE_DIM, "  - %s", text);
}

int pinw_diff_text(const struct pinw_diff *d, bool color, size_t top, FILE *out)
{
	struct pinw_text t = {.stacks = d->stacks, .top = top};

	pinw_term_init(&t.term, out, color);
	pinw_table_init(&t.shown, 1);
	if (d->regressions)
		pinw_term_line(&t.term, 2, PINW_STYLE_BAD,
		               "%s: there are more leaks or violations than before",
		               pinw_text_counted(d->regressions, "regression", "regressions"));
	else
		pinw_term_line(&t.term, 2, PINW_STYLE_GOOD,
		               "no regression: no leak and no violation that there was not before");
	pinw_diff_limits(d, print_limit, &t);
	print_totals(&t, d);
	for (unsigned kind = 0; kind < PINW_DIFF_KINDS; kind++)
		print_kind(&t, d, (enum pinw_diff_kind)kind);
	pinw_table_done(&t.shown);
	return pinw_term_done(&t.term);
}
