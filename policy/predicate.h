/* SPDX-License-Identifier: MIT
 *
 * The single questions that rules are made of, for the files of policy/ that judge.
 * A predicate that its rule does not give holds.
 */
#ifndef PINW_POLICY_PREDICATE_H
#define PINW_POLICY_PREDICATE_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/match.h"

/* Does one of the globs match? Also when there are none. */
bool pinw_strings_match(const struct pinw_strings *globs, const char *text);

/* Does the rule have a function or module predicate? */
bool pinw_rule_is_stacked(const struct pinw_rule *rule);

/* Function and module predicates, on a stack that may be NULL. */
bool pinw_rule_suits_stack(const struct pinw_rule *rule, const struct pinw_stack_match *stack);

/* created_by, on the stack that created the thread, which may be NULL. */
bool pinw_rule_suits_creator(const struct pinw_rule *rule, const struct pinw_stack_match *creator);

/* cpus, on a mask; NULL (a Go lock) has no CPUs and suits no such rule. */
bool pinw_rule_suits_cpus(const struct pinw_policy *policy, const struct pinw_rule *rule,
                          const uint64_t *mask);

/* The rule's `matched` goes up by one. */
void pinw_rule_matched(struct pinw_policy_state *state, const struct pinw_rule *rule);

/* The verdict that this rule gives. */
struct pinw_verdict pinw_rule_verdict(const struct pinw_rule *rule, uint64_t value, uint64_t limit);

/* The rule with this id; NULL for 0. */
const struct pinw_rule *pinw_rule_by_id(const struct pinw_policy *policy, uint16_t id);

/* How long the thread has lived, or lived. */
uint64_t pinw_facts_age(const struct pinw_thread_facts *facts);

/* `call`, `kind`, `cpus`, function and module, on the pin of this kind (PINW_KINDS_*) that a thread has or had. By then the
 * call of a CPU pin is not known, and holds; cpus too, when the pin is no longer open. */
bool pinw_rule_suits_pin(const struct pinw_policy *policy, const struct pinw_rule *rule,
                         const struct pinw_thread_facts *facts, uint32_t kind);

/* Does some [allow] speak for the pin of this kind that a thread has or had? */
bool pinw_policy_allows(const struct pinw_policy *policy, const struct pinw_thread_facts *facts,
                        uint32_t kind);

#endif
