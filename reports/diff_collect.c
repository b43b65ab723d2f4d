/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/diff.h"
#include "reports/stack_key.h"
#include "reports/text_private.h"

/* ---- rows ---------------------------------------------------------------------------------- */

static int add(struct pinw_diff *d, uint64_t key, struct pinw_diff_row found, enum pinw_diff_side side,
               uint64_t count)
{
	bool new;
	struct pinw_diff_row *row = pinw_table_get(&d->rows, key, &new);

	if (!row)
		return -ENOMEM;
	if (new)
		*row = found;
	if (!row->process[side]) {
		row->process[side] = found.process[side];
		row->site[side] = found.site[side];
	}
	row->counts[side] += count;
	return 0;
}

static uint64_t key_of(struct pinw_diff *d, const struct pinw_diff_row *row, const struct pinw_process *p,
                       uint32_t site_id)
{
	const unsigned char head[] = {row->kind, row->origin, row->leak};
	const struct pinw_site *site = site_id ? pinw_process_site(p, site_id) : NULL;
	struct pinw_stack stack = {.count = 0};
	size_t len;
	const char *program = pinw_text_program(p, &len);

	if (site && site->known)
		pinw_stacks_read(d->stacks, p, site, &stack);
	uint64_t key = pinw_key_bytes(PINW_KEY_START, head, sizeof(head));
	key = pinw_key_bytes(key, program, len);
	if (row->label)
		key = pinw_key_text(key, row->label);
	return pinw_key_frames(key, stack.frames, stack.count);
}

static int add_sample(struct pinw_diff *d, enum pinw_diff_side side, const struct pinw_process *p,
                      const struct pinw_sample *sample, enum pinw_diff_kind kind, enum pinw_weight weight)
{
	struct pinw_diff_row row = {.kind = (uint8_t)kind,
	                            .origin = kind == PINW_DIFF_CREATIONS ? 0 : sample->origin,
	                            .leak = sample->leak ? (uint8_t)(sample->leak - 1) : 0};

	if (!sample->values[weight])
		return 0;
	row.process[side] = p;
	row.site[side] = sample->site;
	return add(d, key_of(d, &row, p, sample->site), row, side, sample->values[weight]);
}

static int add_samples(struct pinw_diff *d, enum pinw_diff_side side, const struct pinw_process *p)
{
	struct pinw_samples samples;
	int error = pinw_samples_collect(p, &samples);

	for (size_t i = 0; error == 0 && i < samples.count; i++) {
		const struct pinw_sample *s = samples.sorted[i];

		error = add_sample(d, side, p, s, PINW_DIFF_LEAKS, PINW_WEIGHT_LEAKS);
		if (error == 0)
			error = add_sample(d, side, p, s, PINW_DIFF_PINS, PINW_WEIGHT_PINS);
		if (error == 0)
			error = add_sample(d, side, p, s, PINW_DIFF_CREATIONS, PINW_WEIGHT_CREATIONS);
	}
	pinw_samples_done(&samples);
	return error;
}

static int add_violations(struct pinw_diff *d, enum pinw_diff_side side, const struct pinw_process *p)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < p->rules.count; i++) {
		const struct pinw_rule_row *rule = pinw_table_at(&p->rules, i);
		struct pinw_diff_row row = {.kind = PINW_DIFF_VIOLATIONS, .label = rule->label};

		if (!pinw_rule_violations(rule))
			continue;
		row.process[side] = p;
		error = add(d, key_of(d, &row, p, 0), row, side, pinw_rule_violations(rule));
	}
	return error;
}

/* ---- totals ---------------------------------------------------------------------------------- */

static void add_total(struct pinw_diff *d, enum pinw_diff_side side, const char *name, uint64_t count)
{
	for (size_t i = 0; i < d->total_count; i++)
		if (strcmp(d->totals[i].name, name) == 0) {
			d->totals[i].counts[side] += count;
			return;
		}
	if (d->total_count == PINW_DIFF_TOTALS_MAX)
		return;
	d->totals[d->total_count] = (struct pinw_diff_total){.name = name};
	d->totals[d->total_count++].counts[side] = count;
}

static void add_totals(struct pinw_diff *d, enum pinw_diff_side side, const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;

	add_total(d, side, "processes", p->how != PINW_HOW_EXEC);
	add_total(d, side, "threads created", n->threads_created);
	add_total(d, side, "peak threads, summed", n->threads_peak);
	add_total(d, side, "threads alive at the end", p->how != PINW_HOW_EXEC ? n->threads_live : 0);
	add_total(d, side, "pins opened", n->pins_opened);
	add_total(d, side, "pins never released", pinw_process_open_at_end(p));
	add_total(d, side, "Go locks", n->golocks);
	add_total(d, side, "affinity calls that failed", n->affinity_failed);
	for (size_t kind = 0; kind < PINW_LEAK_KINDS; kind++)
		add_total(d, side, pinw_leak_kind_name((enum pinw_leak_kind)kind), p->leaks_of[kind]);
	add_total(d, side, "violations", pinw_process_violations(p));
	add_total(d, side, "events dropped", n->events_dropped);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static bool knows_stacks(const struct pinw_diff *d)
{
	return d->lost[PINW_DIFF_BASE].stacks == 0 && d->lost[PINW_DIFF_NEW].stacks == 0;
}

bool pinw_diff_is_regression(const struct pinw_diff *d, const struct pinw_diff_row *row)
{
	return (row->kind == PINW_DIFF_VIOLATIONS || (row->kind == PINW_DIFF_LEAKS && knows_stacks(d))) &&
	       row->counts[PINW_DIFF_NEW] > row->counts[PINW_DIFF_BASE];
}

void pinw_diff_limits(const struct pinw_diff *d, void (*fn)(void *arg, const char *text), void *arg)
{
	static const char *const sides[PINW_DIFF_SIDES] = {
	    [PINW_DIFF_BASE] = "base", [PINW_DIFF_NEW] = "new"};
	char words[512], text[1024];

	for (unsigned side = 0; side < PINW_DIFF_SIDES; side++) {
		if (!d->lost[side].stacks)
			continue;
		pinw_lost_names_words(&d->lost[side], words, sizeof(words));
		snprintf(text, sizeof(text),
		         "Of %s, %s: stacks can look gone and new that are the same, and leaks are compared "
		         "by kind.",
		         sides[side], words);
		fn(arg, text);
	}
}

static int by_change(const void *x, const void *y)
{
	const struct pinw_diff_row *a = *(const struct pinw_diff_row *const *)x;
	const struct pinw_diff_row *b = *(const struct pinw_diff_row *const *)y;
	int64_t more_a = (int64_t)(a->counts[1] - a->counts[0]),
	        more_b = (int64_t)(b->counts[1] - b->counts[0]);

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if ((more_a > 0) != (more_b > 0))
		return more_a > 0 ? -1 : 1;
	if (more_a != more_b)
		return llabs(more_a) > llabs(more_b) ? -1 : 1;
	return (a > b) - (a < b); /* in the order they came */
}

static int collect_side(struct pinw_diff *d, enum pinw_diff_side side)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < d->models[side]->process_count; i++) {
		const struct pinw_process *p = d->models[side]->processes[i];
		if (p->error)
			continue;
		add_totals(d, side, p);
		error = add_samples(d, side, p);
		if (error == 0)
			error = add_violations(d, side, p);
	}
	return error;
}

static bool rises(const struct pinw_diff *d, enum pinw_leak_kind kind)
{
	for (size_t i = 0; i < d->total_count; i++)
		if (strcmp(d->totals[i].name, pinw_leak_kind_name(kind)) == 0)
			return d->totals[i].counts[PINW_DIFF_NEW] > d->totals[i].counts[PINW_DIFF_BASE];
	return false;
}

/* Growth is of a whole run, and at no stack. */
static size_t count_regressions(const struct pinw_diff *d)
{
	size_t count = rises(d, PINW_LEAK_GROWTH);

	for (size_t i = 0; i < d->rows.count; i++)
		count += pinw_diff_is_regression(d, pinw_table_at(&d->rows, i));
	for (unsigned kind = 0; kind < PINW_LEAK_KINDS && !knows_stacks(d); kind++)
		count += kind != PINW_LEAK_GROWTH && rises(d, (enum pinw_leak_kind)kind);
	return count;
}

int pinw_diff_collect(struct pinw_diff *d)
{
	pinw_table_init(&d->rows, sizeof(struct pinw_diff_row));
	int error = collect_side(d, PINW_DIFF_BASE);
	if (error == 0)
		error = collect_side(d, PINW_DIFF_NEW);
	if (error == 0 && !(d->sorted = calloc(d->rows.count + 1, sizeof(void *))))
		error = -ENOMEM;
	for (size_t i = 0; error == 0 && i < d->rows.count; i++) {
		const struct pinw_diff_row *row = pinw_table_at(&d->rows, i);

		if (row->counts[PINW_DIFF_BASE] != row->counts[PINW_DIFF_NEW])
			d->sorted[d->changed++] = row;
	}
	for (unsigned side = 0; side < PINW_DIFF_SIDES; side++)
		d->lost[side] = pinw_lost_names_of(d->models[side], d->stacks);
	d->regressions = count_regressions(d);
	if (error == 0)
		qsort(d->sorted, d->changed, sizeof(void *), by_change);
	return error;
}

void pinw_diff_done(struct pinw_diff *d)
{
	pinw_table_done(&d->rows);
	free(d->sorted);
	pinw_stacks_free(d->stacks);
	pinw_model_free(d->models[PINW_DIFF_BASE]);
	pinw_model_free(d->models[PINW_DIFF_NEW]);
}

const char *pinw_diff_kind_name(enum pinw_diff_kind kind)
{
	static const char *const names[PINW_DIFF_KINDS] = {[PINW_DIFF_LEAKS] = "leaks",
	                                                   [PINW_DIFF_VIOLATIONS] = "violations",
	                                                   [PINW_DIFF_PINS] = "pins",
	                                                   [PINW_DIFF_CREATIONS] = "creations"};

	return names[kind];
}
