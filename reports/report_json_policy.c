/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reports/json_private.h"
#include "reports/report.h"

/* ---- counts by label ------------------------------------------------------------------ */

static int by_label(const void *x, const void *y)
{
	const struct pinw_breach *a = *(struct pinw_breach *const *)x, *b = *(struct pinw_breach *const *)y;

	return strcmp(a->label, b->label);
}

/* The broken ones, by label. The caller frees the list. */
static int broken_by_label(const struct pinw_breaches *b, const struct pinw_breach ***ret_rules,
                           size_t *ret_count)
{
	const struct pinw_breach **rules = calloc(b->table.count + 1, sizeof(struct pinw_breach *));
	size_t count = 0;

	if (!rules)
		return -ENOMEM;
	for (size_t i = 0; i < b->table.count; i++) {
		const struct pinw_breach *rule = pinw_table_at(&b->table, i);
		if (rule->count)
			rules[count++] = rule;
	}
	qsort(rules, count, sizeof(struct pinw_breach *), by_label);
	*ret_rules = rules;
	*ret_count = count;
	return 0;
}

int pinw_json_violations(struct pinw_json *j, const struct pinw_breaches *breaches)
{
	const struct pinw_breach **rules;
	uint64_t told = 0;
	size_t count;
	int error = broken_by_label(breaches, &rules, &count);

	if (error < 0)
		return error;
	pinw_json_begin_line_object(j, "violations");
	for (size_t i = 0; i < count;) {
		const char *label = rules[i]->label; /* one key, however many policies have it */
		uint64_t sum = 0;
		for (; i < count && strcmp(rules[i]->label, label) == 0; i++)
			sum += rules[i]->count;
		pinw_json_number(j, label, sum);
		told += sum;
	}
	if (breaches->count > told)
		pinw_json_number(j, "unknown", breaches->count - told);
	pinw_json_end_object(j);
	free(rules);
	return 0;
}

/* ---- the policy ----------------------------------------------------------------------- */

static const char *action_name(unsigned action)
{
	static const char *const names[] = {
	    [PINW_ACTION_NONE] = "none",   [PINW_ACTION_LOG] = "log",     [PINW_ACTION_DENY] = "deny",
	    [PINW_ACTION_RESET] = "reset", [PINW_ACTION_CRASH] = "crash",
	};

	return names[action <= PINW_ACTION_CRASH ? action : PINW_ACTION_NONE];
}

static void put_rule(struct pinw_json *j, const struct pinw_rule_row *rule)
{
	pinw_json_begin_line_object(j, NULL);
	pinw_json_text(j, "label", rule->label);
	pinw_json_known(j, "line", rule->line, rule->line != 0);
	pinw_json_text(j, "action", action_name(rule->action));
	pinw_json_number(j, "matched", rule->matched);
	pinw_json_number(j, "violations", rule->violations);
	pinw_json_number(j, "done", rule->done);
	pinw_json_number(j, "watched", rule->watched);
	pinw_json_known(j, "last_ns", rule->last_ns, rule->last_ns != PINW_TIME_UNKNOWN);
	pinw_json_known(j, "last_thread", rule->last_thread, rule->last_thread != 0);
	pinw_json_bool(j, "exact", rule->counted);
	pinw_json_end_object(j);
}

static int rule_order(const void *x, const void *y)
{
	const struct pinw_rule_row *a = *(struct pinw_rule_row *const *)x,
	                           *b = *(struct pinw_rule_row *const *)y;

	return (a->id > b->id) - (a->id < b->id);
}

static int put_rules(struct pinw_json *j, const struct pinw_process *p)
{
	const struct pinw_rule_row **rules = calloc(p->rules.count + 1, sizeof(struct pinw_rule_row *));

	if (!rules)
		return -ENOMEM;
	for (size_t i = 0; i < p->rules.count; i++)
		rules[i] = pinw_table_at(&p->rules, i);
	qsort(rules, p->rules.count, sizeof(struct pinw_rule_row *), rule_order);
	pinw_json_begin_array(j, "rules");
	for (size_t i = 0; i < p->rules.count; i++)
		put_rule(j, rules[i]);
	pinw_json_end_array(j);
	free(rules);
	return 0;
}

static int put_policy(struct pinw_json *j, const struct pinw_process *p)
{
	if (!p->has_policy) {
		pinw_json_null(j, "policy");
		return 0;
	}
	pinw_json_begin_object(j, "policy");
	if (p->policy.path)
		pinw_json_text(j, "path", p->policy.path);
	else
		pinw_json_null(j, "path");
	if (p->policy.mode == PINW_MODE_AUDIT || p->policy.mode == PINW_MODE_ENFORCE)
		pinw_json_text(j, "mode", p->policy.mode == PINW_MODE_ENFORCE ? "enforce" : "audit");
	else
		pinw_json_null(j, "mode");
	int error = put_rules(j, p);
	pinw_json_end_object(j);
	return error;
}

/* ---- violations ----------------------------------------------------------------------- */

const char *pinw_attempt_name(unsigned attempt)
{
	static const char *const names[] = {
	    [PINW_ATTEMPT_CREATE] = "create",   [PINW_ATTEMPT_PIN] = "pin",
	    [PINW_ATTEMPT_BORN] = "born",       [PINW_ATTEMPT_INHERIT] = "inherit",
	    [PINW_ATTEMPT_EXIT] = "thread-end", [PINW_ATTEMPT_END] = "end",
	    [PINW_ATTEMPT_RUN] = "time",        [PINW_ATTEMPT_LOCK] = "lock",
	};

	return names[attempt];
}

const char *pinw_done_name(unsigned done)
{
	static const char *const names[] = {
	    [PINW_DONE_LOGGED] = "logged",   [PINW_DONE_DENIED] = "denied", [PINW_DONE_RESET] = "reset",
	    [PINW_DONE_CRASHED] = "crashed", [PINW_DONE_WOULD] = "would",   [PINW_DONE_FAILED] = "failed",
	};

	return names[done];
}

static void put_violation(struct pinw_json *j, const struct pinw_process *p, const struct pinw_violation *v)
{
	const struct pinw_rule_row *rule = pinw_process_rule(p, v->rule);

	pinw_json_begin_line_object(j, NULL);
	pinw_json_text(j, "rule", rule && rule->label ? rule->label : "unknown");
	pinw_json_text(j, "action", action_name(v->action));
	pinw_json_text(j, "done", pinw_done_name(v->done));
	pinw_json_text(j, "attempt", pinw_attempt_name(v->attempt));
	pinw_json_known(j, "site", v->site, v->site != 0);
	pinw_json_number(j, "count", v->count);
	pinw_json_begin_line_array(j, "threads");
	for (size_t i = 0; i < PINW_VIOLATION_EXAMPLES && v->threads[i]; i++)
		pinw_json_number(j, NULL, v->threads[i]);
	pinw_json_end_array(j);
	pinw_json_number(j, "first_ns", v->first_ns);
	pinw_json_number(j, "last_ns", v->last_ns);
	pinw_json_mask(j, "mask", p, v->mask);
	pinw_json_known(j, "value", v->value, v->value != 0);
	pinw_json_known(j, "limit", v->limit, v->value != 0);
	pinw_json_known(j, "errno", v->error, v->error != 0);
	pinw_json_end_object(j);
}

int pinw_json_policy(struct pinw_json *j, const struct pinw_process *p)
{
	struct pinw_breaches breaches;
	int error;

	pinw_breaches_init(&breaches);
	error = pinw_breaches_add(&breaches, p);
	if (error == 0)
		error = pinw_json_violations(j, &breaches);
	pinw_breaches_done(&breaches);
	if (error == 0)
		error = put_policy(j, p);
	pinw_json_begin_array(j, "violation_list");
	for (size_t i = 0; i < p->violation_count; i++)
		put_violation(j, p, &p->violations[i]);
	pinw_json_end_array(j);
	return error;
}
