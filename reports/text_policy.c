/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/text_private.h"

#define VERDICT_RULES 4u /* named in the first lines of a report */

static void put_foreign(struct pinw_text *t, const char *text)
{
	pinw_term_put_foreign(&t->term, text, strlen(text));
}

/* ---- one group of violations ------------------------------------------------------------ */

static void put_cpus(struct pinw_text *t, const struct pinw_process *p, const struct pinw_violation *v,
                     const char *before)
{
	const uint64_t *mask = pinw_process_mask(p, v->mask);
	char cpus[128];

	if (!mask)
		return;
	pinw_mask_print(cpus, sizeof(cpus), mask, p->header.mask_words);
	bool one = pinw_mask_width(mask, p->header.mask_words) == 1 && !v->masks_differ;
	pinw_term_put(&t->term, "%s%s %s%s", before, one ? "CPU" : "CPUs", cpus,
	              v->masks_differ ? " and others" : "");
}

static void put_attempt(struct pinw_text *t, const struct pinw_process *p, const struct pinw_violation *v)
{
	pinw_term_put(&t->term, "%s", pinw_attempt_words(v->attempt));
	put_cpus(t, p, v, v->attempt == PINW_ATTEMPT_PIN ? " to " : ", ");
}

static void put_done(struct pinw_text *t, const struct pinw_violation *v)
{
	const char *name = v->error <= INT32_MAX ? strerrorname_np((int)v->error) : NULL;

	switch (v->done) {
	case PINW_DONE_DENIED:
		pinw_term_put(&t->term, "denied");
		if (v->error && name)
			pinw_term_put(&t->term, " with %s", name);
		else if (v->error)
			pinw_term_put(&t->term, " with error %" PRIu32, v->error);
		break;
	case PINW_DONE_RESET:
		pinw_term_put(&t->term, "reset to the baseline");
		break;
	case PINW_DONE_CRASHED:
		pinw_term_put(&t->term, "the program was aborted");
		break;
	case PINW_DONE_WOULD:
		pinw_term_put(&t->term, "%s",
		              pinw_result_words(PINW_RESULT_WOULD, (enum pinw_action)v->action));
		break;
	case PINW_DONE_FAILED:
		pinw_term_put(&t->term, "the kernel refused the reset");
		break;
	default:
		pinw_term_put(&t->term, "logged");
	}
}

static void put_examples(struct pinw_text *t, const struct pinw_process *p, const struct pinw_violation *v)
{
	if (!v->threads[0])
		return;
	pinw_term_put(&t->term, v->threads[1] ? "; threads " : "; thread ");
	for (size_t i = 0; i < PINW_VIOLATION_EXAMPLES && v->threads[i]; i++) {
		pinw_term_put(&t->term, "%s", i ? ", " : "");
		pinw_text_put_thread(t, p, v->threads[i]);
	}
	if (v->more_threads)
		pinw_term_put(&t->term, ", ...");
}

static void put_times(struct pinw_text *t, const struct pinw_violation *v)
{
	const char *first = pinw_text_duration(v->first_ns), *last = pinw_text_duration(v->last_ns);

	if (strcmp(first, last) == 0)
		pinw_term_put(&t->term, "; at %s", first);
	else
		pinw_term_put(&t->term, "; from %s to %s", first, last);
}

/* What the violation's stack is of. A mask that was passed on and not stopped is told with the pin that it comes from. */
static const char *stack_title(const struct pinw_process *p, const struct pinw_violation *v)
{
	bool pinned_earlier = v->attempt == PINW_ATTEMPT_EXIT || v->attempt == PINW_ATTEMPT_END ||
	                      v->attempt == PINW_ATTEMPT_RUN;

	if (v->attempt == PINW_ATTEMPT_INHERIT && (v->leak || v->action == PINW_ACTION_RESET))
		return "its creator was pinned at";
	if (pinned_earlier && pinw_process_is_golock(p, v->site))
		return "locked at";
	return pinned_earlier ? "pinned at" : "called at";
}

static void print_group(struct pinw_text *t, const struct pinw_process *p, const struct pinw_violation *v)
{
	const char *title = stack_title(p, v);

	pinw_term_put(&t->term, "  %s x ", pinw_text_count(v->count));
	put_attempt(t, p, v);
	pinw_term_put(&t->term, ": ");
	put_done(t, v);
	if (v->value)
		pinw_term_put(&t->term, "; %s%s counted, limit %s", v->count > 1 ? "up to " : "",
		              pinw_text_count(v->value), pinw_text_count(v->limit));
	put_examples(t, p, v);
	put_times(t, v);
	pinw_term_end(&t->term, 6, PINW_STYLE_PLAIN);
	if (v->site || strcmp(title, "called at") == 0)
		pinw_text_stack(t, p, title, v->site);
}

/* ---- one rule --------------------------------------------------------------------------- */

static void put_results(struct pinw_text *t, const uint64_t by_result[PINW_RESULTS], enum pinw_action action)
{
	const char *comma = "";

	for (unsigned i = 0; i < PINW_RESULTS; i++) {
		if (!by_result[i])
			continue;
		pinw_term_put(&t->term, "%s%s %s", comma, pinw_text_count(by_result[i]),
		              pinw_result_words((enum pinw_result)i, action));
		comma = ", ";
	}
}

static void print_rule_title(struct pinw_text *t, const struct pinw_process *p,
                             const struct pinw_rule_row *rule)
{
	uint64_t by_result[PINW_RESULTS];

	pinw_breach_results(p, rule, by_result);
	put_foreign(t, rule->label);
	if (rule->line && p->policy.path) {
		pinw_term_put(&t->term, " (");
		put_foreign(t, pinw_base_name(p->policy.path));
		pinw_term_put(&t->term, ":%" PRIu32 ")", rule->line);
	}
	pinw_term_put(&t->term, ": ");
	put_results(t, by_result, (enum pinw_action)rule->action);
	pinw_term_end(&t->term, 2, PINW_STYLE_BAD);
}

static void print_watched(struct pinw_text *t, const struct pinw_process *p, const struct pinw_rule_row *rule)
{
	if (!rule->watched)
		return;
	pinw_term_put(&t->term, "  %s found over time by pinwarden run", pinw_text_count(rule->watched));
	if (rule->violations == 0 && rule->last_thread) {
		pinw_term_put(&t->term, ", last at %s: thread ", pinw_text_duration(rule->last_ns));
		pinw_text_put_thread(t, p, rule->last_thread);
	}
	pinw_term_end(&t->term, 6, PINW_STYLE_PLAIN);
}

static bool wants_group(const struct pinw_text *t, const struct pinw_process *p,
                        const struct pinw_violation *v)
{
	return !t->filter || pinw_filter_has_violation(t->filter, p, v);
}

/* The groups of a rule stand together. */
static void print_rule(struct pinw_text *t, const struct pinw_process *p, const struct pinw_rule_row *rule)
{
	size_t first = 0, count = 0;

	while (first < p->violation_count && p->violations[first].rule != rule->id)
		first++;
	while (first + count < p->violation_count && p->violations[first + count].rule == rule->id)
		count++;
	size_t wanted = 0, shown = 0;
	for (size_t i = 0; i < count; i++)
		wanted += wants_group(t, p, &p->violations[first + i]);
	if (t->filter && !wanted)
		return;
	size_t rows = pinw_text_rows(t, wanted);
	print_rule_title(t, p, rule);
	for (size_t i = 0; shown < rows; i++)
		if (wants_group(t, p, &p->violations[first + i])) {
			print_group(t, p, &p->violations[first + i]);
			shown++;
		}
	pinw_text_cut(t, rows, wanted, "stack of this rule", "stacks of this rule");
	if (rule->violations > rule->told)
		pinw_term_line(&t->term, 4, PINW_STYLE_DIM, "  %s more whose records were dropped or lost",
		               pinw_text_count(rule->violations - rule->told));
	print_watched(t, p, rule);
}

/* ---- the violations of a process -------------------------------------------------------- */

static bool comes_before(const struct pinw_rule_row *a, const struct pinw_rule_row *b)
{
	if (a->action != b->action)
		return a->action > b->action;
	if (pinw_rule_violations(a) != pinw_rule_violations(b))
		return pinw_rule_violations(a) > pinw_rule_violations(b);
	return a->id < b->id;
}

/* The next broken rule after `last`, NULL for the first: strongest action first, then most broken. Rules are few. */
static const struct pinw_rule_row *next_broken(const struct pinw_process *p, const struct pinw_rule_row *last)
{
	const struct pinw_rule_row *best = NULL;

	for (size_t i = 0; i < p->rules.count; i++) {
		const struct pinw_rule_row *rule = pinw_table_at(&p->rules, i);
		if (pinw_rule_violations(rule) == 0 || (last && !comes_before(last, rule)))
			continue;
		if (!best || comes_before(rule, best))
			best = rule;
	}
	return best;
}

void pinw_text_violations(struct pinw_text *t, const struct pinw_process *p)
{
	uint64_t all = pinw_process_violations(p), told = 0;
	size_t printed = 0, broken = 0;

	if (all == 0)
		return;
	pinw_text_heading(t, "VIOLATIONS");
	for (size_t i = 0; i < p->rules.count; i++) {
		const struct pinw_rule_row *rule = pinw_table_at(&p->rules, i);
		told += pinw_rule_violations(rule);
		broken += pinw_rule_violations(rule) > 0;
	}
	const struct pinw_rule_row *rule = NULL;
	while (printed < t->top && (rule = next_broken(p, rule))) {
		print_rule(t, p, rule);
		printed++;
	}
	pinw_text_cut(t, printed, broken, "broken rule", "broken rules");
	if (all > told)
		pinw_term_line(&t->term, 4, PINW_STYLE_BAD,
		               "%s more, of which rule is not known: records and counts of rules are lost",
		               pinw_text_count(all - told));
}

/* ---- the verdict ------------------------------------------------------------------------ */

static void print_broken_verdict(struct pinw_text *t, uint64_t readable, uint64_t breaking)
{
	const struct pinw_breaches *b = &t->breaches;
	const char *comma = ": ";
	size_t named = 0, broken = 0;

	pinw_term_put(&t->term, "%s", pinw_text_counted(b->count, "violation", "violations"));
	if (readable > 1)
		pinw_term_put(&t->term, " in %s of %s processes", pinw_text_count(breaking),
		              pinw_text_count(readable));
	for (size_t i = 0; i < b->table.count; i++) {
		const struct pinw_breach *rule = b->sorted[i];
		broken += rule->count > 0;
		if (rule->count == 0 || named == VERDICT_RULES)
			continue;
		pinw_term_put(&t->term, "%s", comma);
		put_foreign(t, rule->label);
		pinw_term_put(&t->term, " ");
		put_results(t, rule->by_result, (enum pinw_action)rule->action);
		comma = "; ";
		named++;
	}
	if (broken > named)
		pinw_term_put(&t->term, "; and %s",
		              pinw_text_counted(broken - named, "more rule", "more rules"));
	pinw_term_end(&t->term, 2, PINW_STYLE_BAD);
}

void pinw_text_policy_verdict(struct pinw_text *t)
{
	uint64_t readable = 0, breaking = 0, uncounted = 0, running = 0;
	bool any = false;

	for (size_t i = 0; i < t->model->process_count; i++) {
		const struct pinw_process *p = t->model->processes[i];
		if (p->error)
			continue;
		readable++;
		any = any || p->has_policy;
		breaking += pinw_process_violations(p) > 0;
		uncounted += p->uncounted_rules || (p->has_policy && p->blind);
		running += p->how == PINW_HOW_RUNNING;
	}
	if (!any)
		return;
	if (t->breaches.count)
		print_broken_verdict(t, readable, breaking);
	else if (uncounted)
		pinw_term_line(
		    &t->term, 2, PINW_STYLE_BAD,
		    "Whether the policy was kept cannot be told: counts of rules are not in the trace.");
	else
		pinw_term_line(&t->term, 2, PINW_STYLE_GOOD, "No violations of the policy%s.",
		               running ? " so far" : "");
}

/* ---- policies: what never happened ------------------------------------------------------ */

static bool is_same_policy(const struct pinw_breach *rule, const struct pinw_process *p)
{
	return rule->hash == p->policy.hash && strcmp(rule->path, p->policy.path ? p->policy.path : "") == 0;
}

/* What should have matched something and did not, or a suppression that nothing needed. */
static bool is_idle(const struct pinw_breach *rule, bool suppressions)
{
	bool asked = suppressions
	                 ? rule->section == PINW_SECTION_SUPPRESS
	                 : rule->section == PINW_SECTION_BAN || rule->section == PINW_SECTION_ALLOW ||
	                       rule->section == PINW_SECTION_REQUIRE;

	return asked && rule->counted && rule->matched == 0 && rule->count == 0;
}

static void print_idle(struct pinw_text *t, const struct pinw_process *p, const char *title,
                       bool suppressions)
{
	const struct pinw_breaches *b = &t->breaches;
	size_t count = 0, printed = 0;

	for (size_t i = 0; i < b->table.count; i++)
		count += is_idle(b->sorted[i], suppressions) && is_same_policy(b->sorted[i], p);
	if (count == 0)
		return;
	pinw_term_put(&t->term, "  %s: ", title);
	for (size_t i = 0; i < b->table.count && printed < t->top; i++) {
		const struct pinw_breach *rule = b->sorted[i];
		if (!is_idle(rule, suppressions) || !is_same_policy(rule, p))
			continue;
		pinw_term_put(&t->term, "%s", printed ? ", " : "");
		put_foreign(t, rule->label);
		if (rule->line)
			pinw_term_put(&t->term, " (line %" PRIu32 ")", rule->line);
		printed++;
	}
	if (count > printed)
		pinw_term_put(&t->term, " and %s more", pinw_text_count(count - printed));
	pinw_term_end(&t->term, 4, PINW_STYLE_PLAIN);
}

static void print_suppressed(struct pinw_text *t, const struct pinw_process *p)
{
	const struct pinw_breaches *b = &t->breaches;
	const char *comma = "  leaks suppressed: ";
	size_t printed = 0;

	for (size_t i = 0; i < b->table.count; i++) {
		const struct pinw_breach *rule = b->sorted[i];
		if (rule->section != PINW_SECTION_SUPPRESS || !rule->matched || !is_same_policy(rule, p))
			continue;
		if (printed++ >= t->top)
			continue;
		pinw_term_put(&t->term, "%s%s by ", comma, pinw_text_count(rule->matched));
		put_foreign(t, rule->label);
		comma = ", ";
	}
	if (printed > t->top)
		pinw_term_put(&t->term, " and others");
	if (printed)
		pinw_term_end(&t->term, 4, PINW_STYLE_PLAIN);
}

const char *pinw_text_mode(const struct pinw_process *p)
{
	return p->policy.mode == PINW_MODE_ENFORCE ? "enforce"
	       : p->policy.mode == PINW_MODE_AUDIT ? "audit"
	                                           : "in which mode is not known";
}

/* Some processes may have been told to enforce what the file only wants audited. */
static const char *mode_of_all(const struct pinw_text *t, const struct pinw_process *first)
{
	for (size_t i = 0; i < t->model->process_count; i++) {
		const struct pinw_process *p = t->model->processes[i];
		if (!p->error && p->has_policy && p->policy.hash == first->policy.hash &&
		    p->policy.mode != first->policy.mode)
			return "in several modes";
	}
	return pinw_text_mode(first);
}

static void print_policy(struct pinw_text *t, const struct pinw_process *p)
{
	uint64_t rules = 0, broken = 0;

	for (size_t i = 0; i < t->breaches.table.count; i++) {
		const struct pinw_breach *rule = t->breaches.sorted[i];
		rules += is_same_policy(rule, p);
		broken += is_same_policy(rule, p) && rule->count > 0;
	}
	put_foreign(t, p->policy.path ? p->policy.path : "its name is not in the trace");
	pinw_term_put(&t->term, ", %s: %s", mode_of_all(t, p), pinw_text_counted(rules, "rule", "rules"));
	pinw_term_put(&t->term, ", %s broken", broken ? pinw_text_count(broken) : "none");
	pinw_term_end(&t->term, 2, PINW_STYLE_PLAIN);
	print_idle(t, p, "never matched", false);
	print_idle(t, p, "unused suppressions", true);
	print_suppressed(t, p);
}

void pinw_text_policies(struct pinw_text *t)
{
	struct pinw_table met;

	pinw_table_init(&met, sizeof(uint64_t));
	for (size_t i = 0; i < t->model->process_count; i++) {
		const struct pinw_process *p = t->model->processes[i];
		bool first = met.count == 0, new = false;
		if (p->error || !p->has_policy)
			continue;
		if (!pinw_table_get(&met, p->policy.hash, &new))
			t->term.out_of_memory = true;
		if (!new)
			continue;
		if (first)
			pinw_text_heading(t, "POLICY");
		print_policy(t, p);
	}
	pinw_table_done(&met);
}
