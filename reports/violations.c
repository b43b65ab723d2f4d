/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/model_private.h"

/* ---- records and cells ------------------------------------------------------------ */

/* NULL when out of memory, which is remembered. */
static struct pinw_rule_row *rule_row(struct pinw_replay *c, uint32_t id)
{
	bool new;
	struct pinw_rule_row *row = pinw_table_get(&c->p->rules, id, &new);

	if (!row) {
		c->out_of_memory = true;
		return NULL;
	}
	if (new) {
		row->id = id;
		row->last_ns = PINW_TIME_UNKNOWN;
	}
	c->p->has_policy = true;
	return row;
}

void pinw_replay_policy(struct pinw_replay *c, const struct pinw_read_record *rec)
{
	struct pinw_ran_under *policy = &c->p->policy;

	c->p->has_policy = true;
	if (policy->path)
		return;
	policy->hash = rec->policy->hash;
	policy->mode = rec->policy->mode;
	policy->rules = rec->policy->rules;
	policy->path = strndup(rec->text, rec->text_len);
	if (!policy->path)
		c->out_of_memory = true;
}

void pinw_replay_rule(struct pinw_replay *c, const struct pinw_read_record *rec)
{
	struct pinw_rule_row *row = rule_row(c, rec->rule->id);

	if (!row || row->label)
		return;
	row->line = rec->rule->line;
	row->section = rec->rule->section;
	row->action = rec->rule->action;
	row->label = strndup(rec->text, rec->text_len);
	if (!row->label)
		c->out_of_memory = true;
}

void pinw_replay_rule_cell(void *arg, const struct pinw_rule_cell *cell)
{
	struct pinw_rule_row *row = rule_row(arg, cell->id);

	if (!row)
		return;
	row->counted = true;
	row->matched = cell->matched + cell->watch_matched;
	row->violations = cell->violations;
	row->done = cell->done < cell->violations ? cell->done : cell->violations;
	row->watched = cell->watch_violations;
	if (cell->violations) {
		row->last_ns = cell->last_ns;
		row->last_thread = cell->last_thread;
	}
	if (cell->watch_violations && (!cell->violations || cell->watch_ns > cell->last_ns)) {
		row->last_ns = cell->watch_ns;
		row->last_thread = cell->watch_thread;
	}
}

/* ---- groups ----------------------------------------------------------------------- */

static bool same_group(const struct pinw_violation *g, const struct pinw_rec_violation *rec)
{
	return g->rule == rec->rule && g->site == rec->e.site && g->attempt == rec->attempt &&
	       g->done == rec->done;
}

static struct pinw_violation *group_of(struct pinw_replay *c, const struct pinw_rec_violation *rec)
{
	const struct {
		uint32_t rule, site, attempt, done;
	} key = {rec->rule, rec->e.site, rec->attempt, rec->done};

	for (uint64_t at = pinw_table_hash(&key, sizeof(key));; at++) {
		bool new;
		struct pinw_violation *g = pinw_table_get(&c->p->violation_groups, at, &new);
		if (!g) {
			c->out_of_memory = true;
			return NULL;
		}
		if (new)
			*g = (struct pinw_violation){.rule = rec->rule,
			                             .site = rec->e.site,
			                             .attempt = rec->attempt,
			                             .done = rec->done,
			                             .action = rec->action,
			                             .leak = rec->leak,
			                             .first_ns = rec->e.time_ns,
			                             .error = rec->error};
		if (same_group(g, rec))
			return g;
	}
}

static void add_example(struct pinw_violation *g, uint32_t thread)
{
	if (thread == 0)
		return;
	for (size_t i = 0; i < PINW_VIOLATION_EXAMPLES; i++) {
		if (g->threads[i] == thread)
			return;
		if (g->threads[i] == 0) {
			g->threads[i] = thread;
			return;
		}
	}
	g->more_threads = true;
}

static void add_mask(struct pinw_violation *g, uint32_t number)
{
	if (g->count == 0)
		g->mask = number;
	else if (g->mask != number)
		g->masks_differ = true;
}

static bool was_done(unsigned done)
{
	return done == PINW_DONE_DENIED || done == PINW_DONE_RESET || done == PINW_DONE_CRASHED;
}

/* What the records alone tell of a rule; its cell, read later, knows better. */
static void book(struct pinw_rule_row *row, const struct pinw_rec_violation *rec)
{
	row->told++;
	row->matched++;
	row->violations++;
	row->done += was_done(rec->done);
	if (!row->label)
		row->action = rec->action;
	if (row->last_ns == PINW_TIME_UNKNOWN || rec->e.time_ns >= row->last_ns) {
		row->last_ns = rec->e.time_ns;
		row->last_thread = rec->target ? rec->target : rec->e.thread;
	}
}

void pinw_replay_violation(struct pinw_replay *c, const struct pinw_rec_violation *rec, const uint64_t *mask)
{
	struct pinw_rule_row *row = rule_row(c, rec->rule);
	struct pinw_violation *g = group_of(c, rec);

	uint32_t number = pinw_mask_empty(mask, c->p->header.mask_words) ? 0 : pinw_replay_mask(c, mask);

	pinw_history_violation(c->p, rec, number);
	if (!row || !g)
		return;
	book(row, rec);
	add_mask(g, number);
	add_example(g, rec->target ? rec->target : rec->e.thread);
	g->count++;
	if (rec->e.time_ns < g->first_ns)
		g->first_ns = rec->e.time_ns;
	if (rec->e.time_ns > g->last_ns)
		g->last_ns = rec->e.time_ns;
	if (rec->value >= g->value) {
		g->value = rec->value;
		g->limit = rec->limit;
	}
}

/* ---- the whole -------------------------------------------------------------------- */

static int by_severity(const void *x, const void *y)
{
	const struct pinw_violation *a = x, *b = y;

	if (a->action != b->action)
		return a->action > b->action ? -1 : 1;
	if (a->rule != b->rule)
		return a->rule < b->rule ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->first_ns < b->first_ns ? -1 : a->first_ns > b->first_ns;
}

/* A rule's record and a violation's both name its action; where they differ, the rule's is right. */
static int sort_groups(struct pinw_process *p)
{
	size_t count = p->violation_groups.count;

	if (count == 0)
		return 0;
	p->violations = calloc(count, sizeof(*p->violations));
	if (!p->violations)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		p->violations[i] = *(const struct pinw_violation *)pinw_table_at(&p->violation_groups, i);
		const struct pinw_rule_row *row = pinw_process_rule(p, p->violations[i].rule);
		if (row)
			p->violations[i].action = row->action;
	}
	p->violation_count = count;
	qsort(p->violations, count, sizeof(*p->violations), by_severity);
	pinw_table_done(&p->violation_groups);
	return 0;
}

/* Reports name every rule, also one whose record was lost. */
static int name_rule(struct pinw_rule_row *row)
{
	if (!row->label && asprintf(&row->label, "rule %u", row->id) < 0) {
		row->label = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* Every rule that the policy's record announces has a row: cells and records may both be lost. */
static int complete_rules(struct pinw_process *p)
{
	for (uint32_t id = 1; id <= p->policy.rules; id++) {
		bool new;
		struct pinw_rule_row *row = pinw_table_get(&p->rules, id, &new);
		if (!row)
			return -ENOMEM;
		if (new)
			*row = (struct pinw_rule_row){.id = id, .last_ns = PINW_TIME_UNKNOWN};
	}
	return 0;
}

int pinw_violations_settle(struct pinw_process *p)
{
	int error = p->has_policy ? complete_rules(p) : 0;

	for (size_t i = 0; error == 0 && i < p->rules.count; i++) {
		struct pinw_rule_row *row = pinw_table_at(&p->rules, i);
		p->uncounted_rules += !row->counted;
		if (row->told > row->violations) /* a cell that says less than was recorded is damaged */
			row->violations = row->told;
		error = name_rule(row);
	}
	return error < 0 ? error : sort_groups(p);
}

void pinw_violations_free(struct pinw_process *p)
{
	for (size_t i = 0; i < p->rules.count; i++)
		free(((struct pinw_rule_row *)pinw_table_at(&p->rules, i))->label);
	pinw_table_done(&p->rules);
	pinw_table_done(&p->violation_groups);
	free(p->violations);
	free(p->policy.path);
}

const struct pinw_rule_row *pinw_process_rule(const struct pinw_process *p, uint32_t id)
{
	return pinw_table_find(&p->rules, id);
}

uint64_t pinw_rule_violations(const struct pinw_rule_row *rule)
{
	return rule->violations + rule->watched;
}

uint64_t pinw_process_violations(const struct pinw_process *p)
{
	uint64_t inside = 0, watched = 0;

	for (size_t i = 0; i < p->rules.count; i++) {
		const struct pinw_rule_row *row = pinw_table_at(&p->rules, i);
		inside += row->violations;
		watched += row->watched;
	}
	if (p->has_policy && p->live.counters.violations > inside)
		inside = p->live.counters.violations;
	return inside + watched;
}
