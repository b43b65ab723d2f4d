/* SPDX-License-Identifier: MIT
 *
 * Feeds policies of any content through the parser; what it takes is explained and asked for verdicts.
 *
 *   clang -g -O1 -std=gnu11 -D_GNU_SOURCE -I. -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
 *     -o fuzz_policy tests/fuzz/fuzz_policy.c $(find policy -name '*.c' ! -name spell.c) -l:libinih.a
 *   ./fuzz_policy -max_len=4096 tests/fuzz/corpus/policy
 *
 * The text and the policy's memory are blocks of exactly their size, so that a byte read or written beyond is
 * seen. What must hold besides: the memory said to be enough is, one too small is refused without harm, nothing is
 * changed on failure, every error says something and has a line of the text, and the same text is the same
 * policy twice.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/match.h"
#include "policy/policy.h"

#define WORDS_MAX 3u
#define REQUIRE(fact)                                                                                        \
	do {                                                                                                 \
		if (!(fact)) {                                                                               \
			fprintf(stderr, "does not hold: %s (line %d)\n", #fact, __LINE__);                   \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- parsing ------------------------------------------------------------------------------ */

static int parse(const char *text, size_t len, unsigned words, size_t memory_size,
                 struct pinw_policy_memory *ret_memory, const struct pinw_policy **ret_policy,
                 struct pinw_policy_error *ret_error)
{
	static const uint64_t baseline[WORDS_MAX] = {0xf}, present[WORDS_MAX] = {0xff, 0x1};
	struct pinw_policy_host host = {
	    .baseline = baseline, .present = present, .mask_words = words, .today = 20261121};
	const struct pinw_policy *before = *ret_policy;

	*ret_memory = (struct pinw_policy_memory){.bytes = malloc(memory_size), .size = memory_size};
	memset(ret_memory->bytes, 0xa5, memory_size);
	int r = pinw_policy_parse(text, len, "fuzz.ini", &host, ret_memory, ret_policy, ret_error);
	REQUIRE(r == 0 || r == -EINVAL || r == -ENOMEM);
	if (r < 0)
		REQUIRE(*ret_policy == before && ret_memory->used == 0);
	return r;
}

static void check_error(const struct pinw_policy_error *e, const char *text, size_t len)
{
	char line[700];
	uint32_t lines = 1;

	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	REQUIRE(e->line <= lines);
	REQUIRE(*e->text && strlen(e->text) < sizeof(e->text) && strlen(e->key) < sizeof(e->key));
	size_t n = pinw_policy_error_print(line, sizeof(line), "fuzz.ini", e);
	REQUIRE(strlen(line) == n);
	char *little = malloc(16);
	REQUIRE(pinw_policy_error_print(little, 16, "fuzz.ini", e) == 15);
	free(little);
}

static void explain_all(const struct pinw_policy *p)
{
	for (uint32_t i = 0; i < p->rule_count; i++) {
		size_t size = i % 2 ? 8192 : 40;
		char *buf = malloc(size);
		size_t n = pinw_policy_explain(p, &p->rules[i], buf, size);
		REQUIRE(n > 0 && n < size && strlen(buf) == n && p->rules[i].id == i + 1);
		free(buf);
	}
	for (uint32_t i = 0; i < p->warning_count; i++)
		REQUIRE(*p->warnings[i].text && p->warnings[i].line);
}

/* ---- verdicts ------------------------------------------------------------------------------- */

/* A stack that has a function and a module of every rule's liking. */
static unsigned find_stack(const struct pinw_policy *p, uint16_t *set, uint16_t *creators,
                           unsigned *ret_creators)
{
	uint16_t *rules = calloc(p->rule_count + 1, sizeof(*rules)),
	         *made = calloc(p->rule_count + 1, sizeof(*made));
	unsigned count = 0, created = 0;

	for (uint32_t i = 0; i < p->rule_count && i < 64; i++) {
		const struct pinw_rule *r = &p->rules[i];
		const char *names[] = {r->functions.count ? r->functions.text[0] : "main",
		                       r->created_by.count ? r->created_by.text[0] : "start_thread"};
		const char *module = r->modules.count ? r->modules.text[0] : NULL;
		unsigned n, m;
		pinw_policy_frame(p, module, names, 2, rules, &n, made, &m);
		REQUIRE(n <= p->rule_count && m <= p->rule_count);
		count = pinw_policy_merge(set, count, rules, n);
		created = pinw_policy_merge(creators, created, made, m);
	}
	free(rules);
	free(made);
	*ret_creators = created;
	return pinw_policy_stack_always(p, set, count);
}

static void judge_pins(const struct pinw_policy *p, struct pinw_policy_state *state,
                       const struct pinw_stack_match *stack)
{
	static const uint64_t masks[][WORDS_MAX] = {{0x1}, {0x3}, {0xe}};
	struct pinw_attempt a = {.stack = stack, .creator = stack};

	for (unsigned i = 0; i < 12; i++) {
		struct pinw_verdict verdict;
		struct pinw_hold hold;
		a.calls = 1u << i % 6;
		a.kind = a.calls == PINW_CALLS_GOLOCK ? PINW_KINDS_GO : PINW_KINDS_CPU;
		a.mask = a.kind == PINW_KINDS_CPU ? masks[i % 3] : NULL;
		a.thread_name = i % 2 ? "worker-1" : "";
		a.now_ns = i * UINT64_C(3000000000);
		pinw_policy_judge_pin(p, state, &a, &verdict, &hold);
		REQUIRE(!verdict.rule == (verdict.action == PINW_ACTION_NONE));
		if (verdict.action >= PINW_ACTION_DENY) {
			pinw_policy_cancel(state, &a.held, &hold);
		} else {
			pinw_policy_keep(state, &a.held, &hold);
			pinw_policy_rehold(p, state, &hold, NULL);
		}
	}
	REQUIRE(state->pinned == 0);
}

static void judge_rest(const struct pinw_policy *p, struct pinw_policy_state *state,
                       const struct pinw_stack_match *stack)
{
	struct pinw_thread_facts facts = {.thread_name = "worker-1",
	                                  .creator = stack,
	                                  .pin = stack,
	                                  .now_ns = 1,
	                                  .has_pinned = true,
	                                  .ended = true};
	const struct pinw_rule *suppressed;
	struct pinw_verdict verdict;

	for (uint64_t i = 0; i < 5; i++) {
		pinw_policy_judge_threads(p, i, &verdict);
		pinw_policy_judge_rate(p, state, i, &verdict);
		pinw_policy_judge_churn(p, state, &facts, &verdict);
	}
	for (uint32_t id = 1; id <= p->rule_count && id < 64; id++)
		pinw_policy_judge_require(p, state, (uint16_t)id, &facts, &verdict);
	for (unsigned kind = 0; kind < PINW_PLEAKS; kind++)
		pinw_policy_judge_leak(p, state, (enum pinw_policy_leak)kind, &facts, &verdict, &suppressed);
	pinw_policy_is_declared(p, &facts);
}

static void judge_all(const struct pinw_policy *p)
{
	uint16_t *set = calloc(p->rule_count + 1, sizeof(*set)),
	         *creators = calloc(p->rule_count + 1, sizeof(*creators));
	struct pinw_policy_state state;
	void *memory = calloc(1, pinw_policy_state_bytes(p) + 1);
	unsigned created, count = find_stack(p, set, creators, &created);
	uint64_t *windows = calloc(count + 1, sizeof(*windows));
	struct pinw_stack_match stack = {.rules = set,
	                                 .creators = creators,
	                                 .windows = windows,
	                                 .rule_count = (uint16_t)count,
	                                 .creator_count = (uint16_t)created};

	pinw_policy_state_init(&state, p, memory);
	judge_pins(p, &state, &stack);
	judge_rest(p, &state, &stack);
	free(windows);
	free(memory);
	free(creators);
	free(set);
}

/* ---- one input -------------------------------------------------------------------------- */

static void parse_in_too_little(const char *text, size_t len, unsigned words, size_t used)
{
	struct pinw_policy_memory memory;
	const struct pinw_policy *p = NULL;
	struct pinw_policy_error e;

	REQUIRE(parse(text, len, words, used - 1 - used * (len % 97) / 100, &memory, &p, &e) == -ENOMEM);
	free(memory.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned words = 1 + (unsigned)(size % WORDS_MAX);
	size_t needed = pinw_policy_memory_needed(size, words);
	struct pinw_policy_memory memory, again;
	const struct pinw_policy *p = NULL, *q = NULL;
	struct pinw_policy_error e = {0}, f = {0};
	char *text = malloc(size ? size : 1);

	if (size)
		memcpy(text, data, size);
	int r = parse(text, size, words, needed, &memory, &p, &e);
	REQUIRE(r != -ENOMEM);
	REQUIRE(parse(text, size, words, needed, &again, &q, &f) == r);
	if (r == 0) {
		REQUIRE(p->rule_count == q->rule_count && p->hash == q->hash && memory.used <= memory.size);
		explain_all(p);
		judge_all(p);
		parse_in_too_little(text, size, words, memory.used);
	} else {
		REQUIRE(e.line == f.line && !strcmp(e.text, f.text));
		check_error(&e, text, size);
		pinw_policy_invalid_stops(text, size, (enum pinw_mode)(size % 3));
	}
	free(again.bytes);
	free(memory.bytes);
	free(text);
	return 0;
}
