/* SPDX-License-Identifier: MIT
 *
 * From verdicts to findings, and which of them the baseline has, too.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "policy/keys.h"
#include "reports/check.h"
#include "reports/stack_key.h"
#include "reports/text_private.h"

/* ---- keys ------------------------------------------------------------------------------- */

static uint64_t key_of(const struct pinw_check_finding *f)
{
	uint64_t key = pinw_key_text(PINW_KEY_START, f->rule->label);
	size_t len;
	const char *program = pinw_text_program(f->process, &len);

	key = pinw_key_bytes(key, program, len);
	key = pinw_key_bytes(key, &f->attempt, 1);
	key = pinw_key_bytes(key, &f->leak, 1);
	return pinw_key_frames(key, f->frames, f->frame_count);
}

/* ---- stacks ------------------------------------------------------------------------------ */

/* A copy of the frames of a site, kept as long as the check. */
static int copy_stack(struct pinw_check *c, struct pinw_stacks *stacks, struct pinw_check_finding *f)
{
	const struct pinw_site *site = f->site ? pinw_process_site(f->process, f->site) : NULL;
	struct pinw_stack stack;

	if (!site || !site->known)
		return 0;
	pinw_stacks_read(stacks, f->process, site, &stack);
	struct pinw_frame **place = pinw_table_get(&c->stacks, c->stacks.count, NULL);
	if (!place || !(*place = calloc(stack.count + 1, sizeof(**place))))
		return -ENOMEM;
	memcpy(*place, stack.frames, stack.count * sizeof(**place));
	f->frames = *place;
	f->frame_count = stack.count;
	return 0;
}

/* ---- adding ------------------------------------------------------------------------------ */

/* Different sites of a process can have the same names, and so be one finding. */
static bool is_first_of_process(struct pinw_check *c, const struct pinw_check_finding *f)
{
	const uint64_t both[] = {f->key, f->process->order};
	bool new = false;

	pinw_table_get(&c->having, pinw_table_hash(both, sizeof(both)), &new);
	return new;
}

static void merge(struct pinw_check_finding *f, const struct pinw_check_finding *more)
{
	f->count += more->count;
	if (more->value > f->value) {
		f->value = more->value;
		f->limit = more->limit;
	}
	if (more->process == f->process && more->first_ns < f->first_ns)
		f->first_ns = more->first_ns;
}

/* In a baseline a finding only says that it is known. */
static int add(struct pinw_check *c, struct pinw_stacks *stacks, struct pinw_check_finding found,
               bool is_baseline)
{
	bool new;
	int error = copy_stack(c, stacks, &found);

	if (error < 0)
		return error;
	found.key = key_of(&found);
	struct pinw_check_finding *f = pinw_table_get(&c->table, found.key, &new);
	if (!f)
		return -ENOMEM;
	if (new) {
		*f = found;
		f->processes = is_baseline;
		f->state = is_baseline ? PINW_CHECK_GONE : PINW_CHECK_NEW;
	} else if (is_baseline) {
		f->state = f->state == PINW_CHECK_GONE ? PINW_CHECK_GONE : PINW_CHECK_KNOWN;
	} else {
		merge(f, &found);
	}
	f->processes += !is_baseline && is_first_of_process(c, &found);
	return 0;
}

/* ---- where findings come from ----------------------------------------------------------------- */

static int add_judged(struct pinw_check *c, const struct pinw_trial *t, bool is_baseline)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < t->rehearsal.findings.count; i++) {
		const struct pinw_finding *j = pinw_table_at(&t->rehearsal.findings, i);
		struct pinw_check_finding f = {.rule = &c->policy->rules[j->rule - 1],
		                               .process = j->process,
		                               .site = j->site,
		                               .attempt = j->attempt,
		                               .leak = j->leak,
		                               .count = j->count,
		                               .first_ns = j->first_ns,
		                               .value = j->value,
		                               .limit = j->limit};
		f.spared = j->attempt == PINW_ATTEMPT_LOCK && pinw_rule_spares_golocks(c->policy, f.rule);
		memcpy(f.threads, j->threads, sizeof(f.threads));
		memcpy(f.names, j->names, sizeof(f.names));
		error = add(c, t->stacks, f, is_baseline);
	}
	return error;
}

/* The rule of this policy that an image ran under, by label; NULL: it is not in this one. */
static const struct pinw_rule *same_rule(const struct pinw_check *c, const struct pinw_process *p,
                                         uint32_t id)
{
	const struct pinw_rule_row *row = pinw_process_rule(p, id);

	for (uint32_t i = 0; row && row->label && i < c->policy->rule_count; i++)
		if (strcmp(c->policy->rules[i].label, row->label) == 0)
			return &c->policy->rules[i];
	return NULL;
}

/* What did not happen because a policy stopped it is not among the recorded events, and cannot be judged again; nor can idleness. */
static bool is_only_recorded(const struct pinw_violation *v)
{
	return v->done == PINW_DONE_DENIED || v->done == PINW_DONE_RESET || v->done == PINW_DONE_CRASHED ||
	       v->leak == 1 + PINW_PLEAK_PINNED_IDLE;
}

static void name_threads(struct pinw_check_finding *f, const uint32_t *threads, size_t count)
{
	for (size_t i = 0; i < count && i < PINW_FINDING_THREADS && threads[i]; i++) {
		const struct pinw_thread *thread = pinw_process_thread(f->process, threads[i]);

		f->threads[i] = threads[i];
		if (thread)
			memcpy(f->names[i], thread->name, sizeof(f->names[i]));
	}
}

static int add_recorded(struct pinw_check *c, const struct pinw_trial *t, const struct pinw_process *p,
                        bool is_baseline)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < p->violation_count; i++) {
		const struct pinw_violation *v = &p->violations[i];
		struct pinw_check_finding f = {.rule = same_rule(c, p, v->rule),
		                               .process = p,
		                               .site = v->site,
		                               .attempt = v->attempt,
		                               .leak = v->leak,
		                               .done = v->done,
		                               .count = v->count,
		                               .first_ns = v->first_ns,
		                               .value = v->value,
		                               .limit = v->limit};
		if (!f.rule || !is_only_recorded(v))
			continue;
		name_threads(&f, v->threads, PINW_VIOLATION_EXAMPLES);
		error = add(c, t->stacks, f, is_baseline);
	}
	return error;
}

/* Pins that were idle, as `pinwarden run` saw it: there is no record of each. */
static int add_watched(struct pinw_check *c, const struct pinw_trial *t, const struct pinw_process *p,
                       bool is_baseline)
{
	uint16_t id = c->policy->leaks[PINW_PLEAK_PINNED_IDLE];
	int error = 0;

	for (size_t i = 0; id && error == 0 && i < p->rules.count; i++) {
		const struct pinw_rule_row *row = pinw_table_at(&p->rules, i);
		struct pinw_check_finding f = {.rule = &c->policy->rules[id - 1],
		                               .process = p,
		                               .attempt = PINW_ATTEMPT_RUN,
		                               .leak = 1 + PINW_PLEAK_PINNED_IDLE,
		                               .done = PINW_DONE_LOGGED,
		                               .count = row->watched,
		                               .first_ns = row->last_ns};
		if (!row->watched || !row->label || strcmp(row->label, f.rule->label) != 0)
			continue;
		name_threads(&f, &row->last_thread, 1);
		error = add(c, t->stacks, f, is_baseline);
	}
	return error;
}

static int collect(struct pinw_check *c, const struct pinw_trial *t, bool is_baseline)
{
	int error = add_judged(c, t, is_baseline);

	for (size_t i = 0; error == 0 && i < t->model->process_count; i++) {
		const struct pinw_process *p = t->model->processes[i];
		if (p->error || !p->has_policy)
			continue;
		error = add_recorded(c, t, p, is_baseline);
		if (error == 0)
			error = add_watched(c, t, p, is_baseline);
	}
	return error;
}

/* ---- the whole -------------------------------------------------------------------------------- */

bool pinw_check_is_error(const struct pinw_check_finding *f)
{
	return f->rule->action >= PINW_ACTION_DENY;
}

static int by_weight(const void *x, const void *y)
{
	const struct pinw_check_finding *a = *(struct pinw_check_finding *const *)x;
	const struct pinw_check_finding *b = *(struct pinw_check_finding *const *)y;

	if (a->state != b->state)
		return a->state < b->state ? -1 : 1;
	if (a->rule->action != b->rule->action)
		return a->rule->action > b->rule->action ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	if (a->rule->id != b->rule->id)
		return a->rule->id < b->rule->id ? -1 : 1;
	return (a->key > b->key) - (a->key < b->key);
}

/* What an earlier check wrote. */
static void compare_with_documents(struct pinw_check *c)
{
	for (size_t i = 0; i < c->table.count; i++) {
		struct pinw_check_finding *f = pinw_table_at(&c->table, i);
		bool *met = pinw_table_find(&c->keys, f->key);
		if (!met)
			continue;
		*met = true;
		f->state = f->state == PINW_CHECK_NEW ? PINW_CHECK_KNOWN : f->state;
	}
	for (size_t i = 0; i < c->keys.count; i++)
		c->of_state[PINW_CHECK_GONE] += !*(bool *)pinw_table_at(&c->keys, i);
}

int pinw_check_collect(struct pinw_check *c)
{
	pinw_table_init(&c->having, 1);
	pinw_table_init(&c->table, sizeof(struct pinw_check_finding));
	pinw_table_init(&c->stacks, sizeof(struct pinw_frame *));
	c->policy = c->now.parsed.policy;
	int error = collect(c, &c->now, false);
	if (error == 0 && c->has_traces)
		error = collect(c, &c->before, true);
	if (error == 0 && !(c->findings = calloc(c->table.count + 1, sizeof(void *))))
		error = -ENOMEM;
	if (error < 0)
		return error;
	compare_with_documents(c);
	c->count = c->table.count;
	for (size_t i = 0; i < c->count; i++) {
		c->findings[i] = pinw_table_at(&c->table, i);
		c->of_state[c->findings[i]->state]++;
	}
	qsort(c->findings, c->count, sizeof(void *), by_weight);
	return 0;
}

void pinw_check_done(struct pinw_check *c)
{
	for (size_t i = 0; i < c->stacks.count; i++)
		free(*(struct pinw_frame **)pinw_table_at(&c->stacks, i));
	pinw_table_done(&c->stacks);
	pinw_table_done(&c->having);
	pinw_table_done(&c->keys);
	pinw_table_done(&c->table);
	free(c->findings);
	pinw_trial_done(&c->now);
	pinw_trial_done(&c->before);
}

/* ---- words ------------------------------------------------------------------------------------- */

const char *pinw_check_outcome(const struct pinw_check_finding *f)
{
	bool golock = f->attempt == PINW_ATTEMPT_LOCK;

	switch (f->done) {
	case PINW_DONE_DENIED:
		return pinw_trial_denied("was", f->rule, !golock);
	case PINW_DONE_RESET:
		return "was reset to the baseline";
	case PINW_DONE_CRASHED:
		return "crashed the program";
	case 0:
		if (f->spared)
			return "would be denied with deny_golocks = yes, else logged";
		if (golock && f->rule->action == PINW_ACTION_DENY)
			return pinw_trial_denied("would be", f->rule, false);
		return pinw_trial_would_be(f->rule);
	default:
		return "was logged";
	}
}

const char *pinw_check_stack_title(const struct pinw_check_finding *f)
{
	return pinw_trial_stack_title(f->rule, f->attempt, f->leak, f->threads[0],
	                              pinw_process_is_golock(f->process, f->site));
}

static const char *what(const struct pinw_check_finding *f)
{
	const struct pinw_key *leak =
	    f->leak ? pinw_key_find(PINW_SECTION_LEAK,
	                            pinw_policy_leak_name((enum pinw_policy_leak)(f->leak - 1)))
	            : NULL;

	return leak ? leak->meaning : pinw_attempt_words(f->attempt);
}

void pinw_check_message(const struct pinw_check_finding *f, char *buf, size_t size)
{
	size_t len, at;
	char where[PINW_STACK_LABEL_BYTES];
	const char *program = pinw_text_program(f->process, &len);

	at = (size_t)snprintf(buf, size, "%s: %s in %.*s", f->rule->label, what(f), (int)len, program);
	if (at < size && f->count > 1)
		at += (size_t)snprintf(buf + at, size - at, ", %" PRIu64 " times", f->count);
	if (at < size && f->processes > 1)
		at += (size_t)snprintf(buf + at, size - at, " in %" PRIu32 " processes", f->processes);
	if (at < size && f->value)
		at += (size_t)snprintf(buf + at, size - at,
		                       ", %" PRIu64 " counted where %" PRIu64 " is the limit", f->value,
		                       f->limit);
	if (at < size && f->frame_count && f->frames[0].function) {
		pinw_stacks_label(f->frames, (unsigned)f->frame_count, where, sizeof(where));
		at += (size_t)snprintf(buf + at, size - at, ", at %s", where);
	}
	if (at < size)
		at += (size_t)snprintf(buf + at, size - at, ": %s", pinw_check_outcome(f));
	if (at < size && f->rule->message)
		snprintf(buf + at, size - at, " (%s)", f->rule->message);
}
