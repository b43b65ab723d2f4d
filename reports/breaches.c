/* SPDX-License-Identifier: MIT */
#include "reports/breaches.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pinw_breaches_init(struct pinw_breaches *b)
{
	*b = (struct pinw_breaches){0};
	pinw_table_init(&b->table, sizeof(struct pinw_breach));
}

void pinw_breaches_done(struct pinw_breaches *b)
{
	if (!b)
		return;
	pinw_table_done(&b->table);
	free(b->sorted);
	b->sorted = NULL;
}

/* ---- results ---------------------------------------------------------------------------------- */

void pinw_breach_results(const struct pinw_process *p, const struct pinw_rule_row *rule,
                         uint64_t ret_by_result[PINW_RESULTS])
{
	uint64_t rest = rule->violations - rule->done;

	memset(ret_by_result, 0, PINW_RESULTS * sizeof(*ret_by_result));
	ret_by_result[PINW_RESULT_DONE] = rule->done;
	ret_by_result[rule->action <= PINW_ACTION_LOG       ? PINW_RESULT_LOGGED
	              : p->policy.mode == PINW_MODE_ENFORCE ? PINW_RESULT_NOT_DONE
	                                                    : PINW_RESULT_WOULD] = rest;
	ret_by_result[PINW_RESULT_WATCHED] = rule->watched;
}

const char *pinw_result_words(enum pinw_result result, enum pinw_action action)
{
	static const char *const words[][3] = {
	    [PINW_ACTION_NONE] = {"recorded", "recorded", "recorded"},
	    [PINW_ACTION_LOG] = {"logged", "logged", "logged"},
	    [PINW_ACTION_DENY] = {"denied", "not denied", "would deny"},
	    [PINW_ACTION_RESET] = {"reset", "not reset", "would reset"},
	    [PINW_ACTION_CRASH] = {"crashed", "not crashed", "would crash"},
	};

	switch (result) {
	case PINW_RESULT_DONE:
	case PINW_RESULT_NOT_DONE:
	case PINW_RESULT_WOULD:
		return words[action <= PINW_ACTION_CRASH ? action : PINW_ACTION_NONE][result];
	case PINW_RESULT_WATCHED:
		return "found over time";
	default:
		return "logged";
	}
}

/* ---- adding up -------------------------------------------------------------------------------- */

static struct pinw_breach *find_or_add(struct pinw_breaches *b, const struct pinw_process *p,
                                       const struct pinw_rule_row *rule)
{
	const struct {
		uint64_t label, policy;
	} key = {pinw_table_hash(rule->label, strlen(rule->label)), p->policy.hash ^ rule->line};

	for (uint64_t at = pinw_table_hash(&key, sizeof(key));; at++) {
		bool new;
		struct pinw_breach *row = pinw_table_get(&b->table, at, &new);
		if (!row)
			return NULL;
		if (new)
			*row = (struct pinw_breach){.label = rule->label,
			                            .path = p->policy.path ? p->policy.path : "",
			                            .hash = p->policy.hash,
			                            .line = rule->line,
			                            .section = rule->section,
			                            .action = rule->action,
			                            .counted = true};
		if (row->line == rule->line && row->hash == p->policy.hash &&
		    strcmp(row->label, rule->label) == 0)
			return row;
	}
}

static int add_rule(struct pinw_breaches *b, const struct pinw_process *p, const struct pinw_rule_row *rule)
{
	uint64_t by_result[PINW_RESULTS];
	struct pinw_breach *row = find_or_add(b, p, rule);

	if (!row)
		return -ENOMEM;
	pinw_breach_results(p, rule, by_result);
	for (size_t i = 0; i < PINW_RESULTS; i++)
		row->by_result[i] += by_result[i];
	row->count += pinw_rule_violations(rule);
	row->matched += rule->matched;
	row->counted = row->counted && rule->counted;
	if (rule->section == PINW_SECTION_SUPPRESS)
		b->suppressed += rule->matched;
	if (pinw_rule_violations(rule) && rule->action > b->worst)
		b->worst = rule->action;
	return 0;
}

int pinw_breaches_add(struct pinw_breaches *b, const struct pinw_process *p)
{
	int error = 0;

	if (p->error || !p->has_policy)
		return 0;
	for (size_t i = 0; error == 0 && i < p->rules.count; i++)
		error = add_rule(b, p, pinw_table_at(&p->rules, i));
	b->count += pinw_process_violations(p);
	/* Of violations that no rule's count tells of, no more is known than that they were. */
	if (pinw_process_violations(p) && b->worst == PINW_ACTION_NONE)
		b->worst = PINW_ACTION_LOG;
	return error;
}

static int by_severity(const void *x, const void *y)
{
	const struct pinw_breach *a = *(struct pinw_breach *const *)x, *b = *(struct pinw_breach *const *)y;

	if (a->action != b->action)
		return a->action > b->action ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return strcmp(a->label, b->label);
}

int pinw_breaches_sort(struct pinw_breaches *b)
{
	free(b->sorted);
	b->sorted = calloc(b->table.count + 1, sizeof(struct pinw_breach *));
	if (!b->sorted)
		return -ENOMEM;
	for (size_t i = 0; i < b->table.count; i++)
		b->sorted[i] = pinw_table_at(&b->table, i);
	qsort(b->sorted, b->table.count, sizeof(struct pinw_breach *), by_severity);
	return 0;
}
