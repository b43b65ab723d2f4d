/* SPDX-License-Identifier: MIT */
#include "tests/rig_enforce.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/clock.h"
#include "preload/ledger.h"

#define CHILD_SECONDS 60u

/* ---- a policy ------------------------------------------------------------------------------- */

void pinw_rig_obey(const char *text)
{
	struct pinw_policy_host host = {.baseline = pinw_shim.baseline, .mask_words = pinw_shim.mask_words};
	size_t len = strlen(text), size = pinw_policy_memory_needed(len, pinw_shim.mask_words);
	struct pinw_policy_memory memory = {.bytes = malloc(size), .size = size};
	const struct pinw_policy *policy = NULL;
	struct pinw_policy_error error = {.line = 0};

	cr_assert_not_null(memory.bytes);
	cr_assert_eq(pinw_policy_parse(text, len, "test.ini", &host, &memory, &policy, &error), 0,
	             "line %u: %s", error.line, error.text);
	pinw_enforce.state_memory = malloc(pinw_policy_state_bytes(policy) + 1);
	cr_assert_not_null(pinw_enforce.state_memory);
	pinw_enforce.enforcing = policy->mode == PINW_MODE_ENFORCE;
	pinw_enforce_use(policy);
	pinw_enforce_start_image();
}

struct pinw_thread *pinw_rig_self(void)
{
	struct pinw_thread *self = pinw_rig_thread((uint32_t)gettid(), NULL);

	pinw_tls = (struct pinw_tls){.thread = self, .seq = self->slot->thread, .tid = (uint32_t)gettid()};
	return self;
}

struct pinw_thread *pinw_rig_policed(const char *policy)
{
	pinw_rig_bench_small();
	pinw_rig_obey(policy);
	return pinw_rig_self();
}

uint16_t pinw_rig_rule(const char *label)
{
	const struct pinw_policy *policy = pinw_enforce.policy;

	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (strcmp(policy->rules[i].label, label) == 0)
			return policy->rules[i].id;
	cr_assert_fail("no rule %s", label);
	return 0;
}

/* ---- a call ----------------------------------------------------------------------------------- */

__attribute__((noinline)) int pinw_rig_pin(struct pinw_thread *target, uint64_t mask, int error)
{
	struct pinw_trial trial = {.judged = false};
	uint64_t room[PINW_MASK_WORDS_MAX], before[PINW_MASK_WORDS_MAX], after[PINW_MASK_WORDS_MAX] = {mask};
	struct pinw_pin_request request = {
	    .self = pinw_tls.thread,
	    .target = target,
	    .target_seq = target->slot->thread,
	    .calls = PINW_CALLS_SETAFFINITY | (target == pinw_tls.thread ? 0 : PINW_CALLS_CROSS),
	    .user_mask = &mask,
	    .cpusetsize = sizeof(mask),
	    .where = PINW_WHERE(),
	};
	struct pinw_pinner by = {.origin = PINW_ORIGIN_SELF, .by = pinw_tls.seq, .trial = &trial};

	if (!pinw_enforce_pin(&trial, &request, room))
		return trial.error;
	by.site = trial.site.id;
	if (!error)
		pinw_ledger_set(target, target->slot->thread, after, by, pinw_now(), before);
	pinw_enforce_settle(&trial, target, !error);
	return error;
}

struct pinw_create_trial pinw_rig_create(const struct pinw_thread *self, enum pinw_origin origin)
{
	struct pinw_create_trial trial = {.denied = false};
	struct pinw_create_request request = {
	    .self = (struct pinw_thread *)self, .origin = origin, .mask = self->mask};

	pinw_enforce_create(&trial, &request);
	return trial;
}

/* ---- what came of it --------------------------------------------------------------------------- */

struct search {
	uint16_t rule; /* 0 = any */
	struct pinw_rig_verdicts found;
	struct pinw_rule_cell cell;
};

static void see_verdict(void *arg, const struct pinw_read_record *record)
{
	struct search *search = arg;

	if (record->type != PINW_REC_VIOLATION || (search->rule && record->violation->rule != search->rule))
		return;
	search->found.count++;
	search->found.last = *record->violation;
	search->found.mask = record->masks[0];
}

struct pinw_rig_verdicts pinw_rig_verdicts(const char *label)
{
	struct search search = {.rule = label ? pinw_rig_rule(label) : 0};
	struct pinw_rig_seen seen;

	pinw_rig_read(see_verdict, NULL, &search, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	return search.found;
}

static void see_cell(void *arg, const struct pinw_rule_cell *cell)
{
	struct search *search = arg;

	if (cell->id == search->rule)
		search->cell = *cell;
}

struct pinw_rule_cell pinw_rig_cell(const char *label)
{
	struct search search = {.rule = pinw_rig_rule(label)};
	struct pinw_reader *reader = NULL;

	cr_assert_eq(pinw_reader_open(pinw_rig_trace(), &reader), 0);
	cr_assert_eq(pinw_reader_rules(reader, see_cell, &search), 0);
	pinw_reader_free(reader);
	cr_assert_eq(search.cell.id, search.rule, "the trace has no cell of %s", label);
	return search.cell;
}

const struct pinw_counters *pinw_rig_counters(void)
{
	return &pinw_shim.live->counters;
}

void pinw_rig_expect_verdicts(const char *label, unsigned records, enum pinw_done done)
{
	struct pinw_rig_verdicts verdicts = pinw_rig_verdicts(label);
	struct pinw_rule_cell cell = pinw_rig_cell(label);
	bool carried_out = done == PINW_DONE_DENIED || done == PINW_DONE_RESET || done == PINW_DONE_CRASHED;

	cr_expect_eq(verdicts.count, records, "%s: %u records, %u expected", label, verdicts.count, records);
	cr_expect_eq(cell.violations, records, "%s: %lu in the cell, %u expected", label, cell.violations,
	             records);
	cr_expect_eq(cell.done, carried_out ? records : 0, "%s: %lu carried out", label, cell.done);
	if (records)
		cr_expect_eq(verdicts.last.done, done, "%s: done %u", label, verdicts.last.done);
}

void pinw_rig_expect_held(uint64_t pinned, uint64_t on_0, uint64_t on_1)
{
	const struct pinw_policy_state *state = &pinw_enforce.state;

	cr_expect_eq(state->pinned, pinned, "%lu pinned, %lu expected", state->pinned, pinned);
	cr_expect_eq(state->cpu_pins[0], on_0, "%lu on CPU 0, %lu expected", state->cpu_pins[0], on_0);
	cr_expect_eq(state->cpu_pins[1], on_1, "%lu on CPU 1, %lu expected", state->cpu_pins[1], on_1);
}

/* ---- a child -------------------------------------------------------------------------------------- */

int pinw_rig_child(void (*fn)(void *arg), void *arg, const char **ret_stderr)
{
	static char text[1 << 20];
	int ends[2], status;
	size_t len = 0;

	cr_assert_eq(pipe(ends), 0);
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		alarm(CHILD_SECONDS); /* a child that fails its test must not keep it */
		fn(arg);
		_exit(PINW_RIG_RETURNED);
	}
	close(ends[1]);
	for (ssize_t n; (n = read(ends[0], text + len, sizeof(text) - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = '\0';
	close(ends[0]);
	cr_assert_eq(waitpid(child, &status, 0), child);
	*ret_stderr = text;
	return status;
}
