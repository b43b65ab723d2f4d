/* SPDX-License-Identifier: MIT
 *
 * Policies from text, for tests of the parser: parsed on a machine of eight CPUs by a process
 * that may use four of them, on 2026-11-21. Everything returned lives until the test ends.
 */
#ifndef PINW_TESTS_POLICY_TEXT_H
#define PINW_TESTS_POLICY_TEXT_H

#include "policy/policy.h"

#define TEXT_TODAY 20261121u

/* Parses `len` bytes in as much memory as pinw_policy_memory_needed says. Returns as pinw_policy_parse. */
int text_parse(const char *text, size_t len, const struct pinw_policy **ret_policy,
               struct pinw_policy_error *ret_error);

/* The policy of a text that must be valid. */
const struct pinw_policy *text_policy(const char *text);

/* The rule of this label in it. */
const struct pinw_rule *text_rule(const char *text, const char *label);

/* The text must be refused at this line and key, and the message must hold `part`. */
void text_refused(const char *text, uint32_t line, const char *key, const char *part);

#endif
