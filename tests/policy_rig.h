/* SPDX-License-Identifier: MIT
 *
 * A policy and its state made by hand, for tests of the verdict: rules are written as
 * initialisers in file order, and this gives them ids, places and an index.
 */
#ifndef PINW_TESTS_POLICY_RIG_H
#define PINW_TESTS_POLICY_RIG_H

#include "policy/match.h"

#define RIG_RULES_MAX 64u
#define RIG_CPUS 128u /* two words */

struct policy_rig {
	struct pinw_policy policy;
	struct pinw_policy_state state;
	struct pinw_rule rules[RIG_RULES_MAX];
	char memory[1 << 14];
	uint64_t counters[RIG_CPUS + RIG_RULES_MAX * sizeof(struct pinw_rule_state) / 8];
};

/* A list of globs for a rule's predicate; it lives as long as the block it is written in. */
#define GLOBS(...)                                                                                           \
	{                                                                                                    \
		(const char *const[]){__VA_ARGS__},                                                          \
		    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)                        \
	}

/* Adds a rule as the last of the file; its id and line are its number. Returns the id. */
uint16_t rig_add(struct policy_rig *rig, struct pinw_rule rule);

/* Makes policy and state of the rules added so far. */
void rig_ready(struct policy_rig *rig);

/* What a stack satisfies, and where its lists are. */
struct rig_stack {
	struct pinw_stack_match match;
	uint16_t rules[RIG_RULES_MAX], creators[RIG_RULES_MAX];
	uint64_t windows[RIG_RULES_MAX];
};

/* Or: policy and state of a text, on a machine of RIG_CPUS CPUs. The text must be valid. */
void rig_parse(struct policy_rig *rig, const char *text);

/* Each frame is "module!function". */
void rig_resolve(const struct policy_rig *rig, struct rig_stack *stack, const char *const *frames,
                 unsigned count);
#define RIG_STACK(rig, stack, ...)                                                                           \
	rig_resolve(rig, stack, (const char *const[]){__VA_ARGS__},                                          \
	            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* Judges, expects rule `id` (0 = none), and keeps what came of it unless the verdict is a deny. Returns the hold. */
struct pinw_hold rig_pin(struct policy_rig *rig, const struct pinw_attempt *attempt, uint16_t id);

#endif
