/* SPDX-License-Identifier: MIT */
#include "preload/violation.h"

#include <string.h>

#include "preload/arch.h"
#include "preload/enforce.h"
#include "preload/go/go.h"
#include "preload/log.h"
#include "preload/proc.h"
#include "preload/trace.h"

static struct pinw_rule_cell *cells; /* of this image */

_Static_assert(sizeof(struct pinw_rule_cell) == PINW_MATCHED_STRIDE * sizeof(uint64_t),
               "matches are counted in the cells");

/* ---- the image's rules in the trace ------------------------------------------------------ */

static void describe_rule(const struct pinw_rule *rule)
{
	size_t len = strnlen(rule->label, PINW_PATH_MAX);
	struct pinw_rec_rule record = {
	    .id = rule->id,
	    .line = rule->line,
	    .section = rule->section,
	    .action = rule->action,
	    .label_len = (uint32_t)len,
	};

	pinw_trace_meta(PINW_REC_RULE, &record, sizeof(record), rule->label, len);
}

void pinw_violation_start_image(const struct pinw_policy *policy, bool enforcing)
{
	size_t len = strnlen(policy->path, PINW_PATH_MAX);
	struct pinw_rec_policy record = {
	    .hash = policy->hash,
	    .mode = enforcing ? PINW_MODE_ENFORCE : PINW_MODE_AUDIT,
	    .rules = policy->rule_count,
	    .path_len = (uint32_t)len,
	};

	cells = NULL;
	if (policy->rule_count && pinw_trace_rules(policy->rule_count, &cells) < 0) {
		/* No room in the file: the counts go on in private memory, the events tell the rest. */
		cells = pinw_proc_map(policy->rule_count * sizeof(*cells));
	}
	pinw_trace_meta(PINW_REC_POLICY, &record, sizeof(record), policy->path, len);
	for (uint32_t i = 0; i < policy->rule_count; i++) {
		describe_rule(&policy->rules[i]);
		if (cells)
			cells[i].id = policy->rules[i].id;
	}
	pinw_enforce.state.matched_too = cells ? &cells->matched : NULL;
}

static void count(const struct pinw_violation *v)
{
	pinw_count(violations, 1);
	if (!cells)
		return;
	struct pinw_rule_cell *cell = &cells[v->verdict.rule->id - 1];
	__atomic_fetch_add(&cell->violations, 1, __ATOMIC_RELAXED);
	if (v->done == PINW_DONE_DENIED || v->done == PINW_DONE_RESET || v->done == PINW_DONE_CRASHED)
		__atomic_fetch_add(&cell->done, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&cell->last_ns, v->now_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&cell->last_thread, v->target, __ATOMIC_RELAXED);
}

/* ---- words -------------------------------------------------------------------------------- */

/* What the thread did or tried, or what happened to it. */
static void put_attempt(struct pinw_logtext *text, const struct pinw_violation *v)
{
	switch (v->attempt) {
	case PINW_ATTEMPT_CREATE:
		pinw_logtext_put(text, " tried to create a thread");
		break;
	case PINW_ATTEMPT_PIN:
		pinw_logtext_put(text, v->thread == v->target ? " tried to pin itself to "
		                                              : " was to be pinned to ");
		pinw_logtext_cpus(text, v->mask);
		if (v->thread != v->target) {
			pinw_logtext_put(text, " by thread #");
			pinw_logtext_number(text, v->thread);
		}
		break;
	case PINW_ATTEMPT_BORN:
		pinw_logtext_put(text, " tried to create a thread pinned to ");
		pinw_logtext_cpus(text, v->mask);
		break;
	case PINW_ATTEMPT_INHERIT:
		pinw_logtext_put(text, v->target ? " was given its creator's mask, "
		                                 : " tried to pass its mask on to a new thread, ");
		pinw_logtext_cpus(text, v->mask);
		break;
	case PINW_ATTEMPT_LOCK:
		pinw_logtext_put(text, " was to be locked by goroutine ");
		pinw_logtext_number(text, v->goid);
		break;
	case PINW_ATTEMPT_EXIT:
		pinw_logtext_put(text, v->goid ? " is destroyed: its goroutine ended" : " ended");
		break;
	case PINW_ATTEMPT_END:
		pinw_logtext_put(text, " when the process ended");
		break;
	default:
		pinw_logtext_put(text, v->goid ? " was unlocked by another function" : " went on");
		break;
	}
}

static const char *limit_words(const struct pinw_rule *rule)
{
	if (rule->section != PINW_SECTION_CAPS)
		return rule->section == PINW_SECTION_BAN ? "events in the window" : "of";
	switch ((enum pinw_cap)rule->cap) {
	case PINW_CAP_MAX_THREADS:
		return "threads alive with it";
	case PINW_CAP_MAX_PINNED:
		return "pinned threads with it";
	case PINW_CAP_MAX_PINNED_PER_CPU:
		return "threads pinned there with it";
	case PINW_CAP_THREAD_RATE:
		return "creations tried in the window";
	default:
		return "of";
	}
}

static void put_done(struct pinw_logtext *text, const struct pinw_violation *v)
{
	switch (v->done) {
	case PINW_DONE_DENIED:
		pinw_logtext_put(text, v->error ? "denied with " : "denied: the goroutine is not locked");
		if (v->error)
			pinw_logtext_errno(text, v->error);
		break;
	case PINW_DONE_RESET:
		pinw_logtext_put(text, "reset to the baseline mask");
		break;
	case PINW_DONE_CRASHED:
		pinw_logtext_put(text, "the process is aborted");
		break;
	case PINW_DONE_WOULD:
		pinw_logtext_put(text, "would ");
		pinw_logtext_put(text, pinw_action_name(v->verdict.action));
		pinw_logtext_put(text, v->attempt == PINW_ATTEMPT_LOCK && pinw_enforce.enforcing
		                           ? " (deny_golocks is not set)"
		                           : " (audit)");
		break;
	case PINW_DONE_FAILED:
		pinw_logtext_put(text, "the reset failed");
		break;
	default:
		pinw_logtext_put(text, "logged");
		break;
	}
}

static void put_rule(struct pinw_logtext *text, const struct pinw_rule *rule)
{
	pinw_logtext_escaped(text, rule->label, PINW_PATH_MAX);
	pinw_logtext_put(text, " (");
	pinw_logtext_escaped(text, pinw_enforce.policy->path, PINW_PATH_MAX);
	pinw_logtext_put(text, ":");
	pinw_logtext_number(text, rule->line);
	pinw_logtext_put(text, ")");
}

void pinw_violation_describe(struct pinw_logtext *text, const struct pinw_violation *v)
{
	const struct pinw_rule *rule = v->verdict.rule;

	put_rule(text, rule);
	pinw_logtext_put(text, ": ");
	put_done(text, v);
	pinw_logtext_put(text, "\n  ");
	if (v->leak) {
		pinw_logtext_put(text, pinw_policy_leak_name((enum pinw_policy_leak)(v->leak - 1)));
		pinw_logtext_put(text, ": ");
	}
	if (v->slot)
		pinw_logtext_thread(text, v->slot);
	pinw_logtext_put(text, " of process ");
	pinw_logtext_number(text, pinw_shim.pid);
	put_attempt(text, v);
	if (v->verdict.limit) {
		pinw_logtext_put(text, ": ");
		pinw_logtext_number(text, v->verdict.value);
		pinw_logtext_put(text, " ");
		pinw_logtext_put(text, limit_words(rule));
		pinw_logtext_put(text, rule->is_warning ? ", warned of at " : ", at most ");
		pinw_logtext_number(text, v->verdict.limit);
	}
	pinw_logtext_put(text, "\n");
	if (rule->message) {
		pinw_logtext_put(text, "  ");
		pinw_logtext_escaped(text, rule->message, PINW_PATH_MAX);
		pinw_logtext_put(text, "\n");
	}
}

/* ---- recording ------------------------------------------------------------------------------ */

void pinw_violation_stacks(struct pinw_logtext *text, const struct pinw_violation *v)
{
	switch (v->attempt) {
	case PINW_ATTEMPT_CREATE:
	case PINW_ATTEMPT_BORN:
	case PINW_ATTEMPT_LOCK:
		pinw_logtext_stack(text, "called at", v->site);
		return;
	case PINW_ATTEMPT_PIN:
		pinw_logtext_stack(text, "called at", v->site);
		break;
	case PINW_ATTEMPT_INHERIT:
		pinw_logtext_stack(text, v->target ? "its creator was pinned at" : "called at", v->site);
		if (!v->target)
			return;
		break;
	default:
		if (v->slot)
			pinw_logtext_pin(text, v->slot, v->now_ns);
		return;
	}
	if (v->slot)
		pinw_logtext_creation(text, v->slot);
}

/* Once for each image: a program of Go's does not take no for an answer. */
static void put_advice(struct pinw_logtext *text, const struct pinw_violation *v)
{
	static uint32_t gen_told;

	if (v->attempt == PINW_ATTEMPT_CREATE && v->done == PINW_DONE_DENIED && pinw_go_is_here() &&
	    __atomic_exchange_n(&gen_told, pinw_shim.image_gen, __ATOMIC_RELAXED) != pinw_shim.image_gen)
		pinw_logtext_put(text, "  a Go program tries 20 times, for about 0.2 s, and then aborts\n");
}

static void log_block(const struct pinw_violation *v)
{
	struct pinw_log_block block;

	if (!pinw_log_begin(&block, v->site * 31u + v->verdict.rule->id * 131u))
		return;
	pinw_logtext_put(block.text, "pinwarden: violation: ");
	pinw_violation_describe(block.text, v);
	put_advice(block.text, v);
	pinw_violation_stacks(block.text, v);
	pinw_log_end(&block);
}

static void write_record(const struct pinw_violation *v)
{
	struct pinw_rec_violation record = {
	    .e = {.time_ns = v->now_ns, .thread = v->thread, .site = v->site},
	    .rule = v->verdict.rule->id,
	    .action = (uint8_t)v->verdict.action,
	    .done = v->done,
	    .attempt = v->attempt,
	    .leak = v->leak,
	    .target = v->target,
	    .error = (uint32_t)v->error,
	    .value = v->verdict.value,
	    .limit = v->verdict.limit,
	};
	uint64_t none[v->mask ? 1 : pinw_shim.mask_words];

	if (!v->mask)
		memset(none, 0, sizeof(none));
	pinw_trace_event(PINW_REC_VIOLATION, &record, sizeof(record), v->mask ? v->mask : none,
	                 8u * pinw_shim.mask_words);
}

void pinw_violation_book(const struct pinw_violation *v)
{
	count(v);
	write_record(v);
}

void pinw_violation_record(const struct pinw_violation *v)
{
	pinw_violation_book(v);
	log_block(v);
}
