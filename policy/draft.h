/* SPDX-License-Identifier: MIT
 *
 * A policy being read: shared by the parser and its checks, nobody else.
 */
#ifndef PINW_POLICY_DRAFT_H
#define PINW_POLICY_DRAFT_H

#include "policy/keys.h"
#include "policy/policy.h"
#include "policy/phrase.h"

#define PINW_RULE_NAME_MAX 64u /* bytes */
#define PINW_LISTS 4u /* struct pinw_strings of a rule, in their order there */

struct pinw_draft_string {
	const char *text;
	struct pinw_draft_string *next;
};

struct pinw_draft_warning {
	struct pinw_policy_warning warning;
	struct pinw_draft_warning *next;
};

struct pinw_draft {
	const struct pinw_policy_host *host;
	struct pinw_policy_memory *memory;
	struct pinw_policy *policy;
	struct pinw_rule *rules;
	uint32_t *name_hashes; /* parallel to rules */
	uint32_t rule_count, rule_max;

	/* the text */
	const char *at, *end;
	uint32_t line;

	/* the section being read */
	enum pinw_section section; /* 0 before the first */
	uint32_t section_line;
	struct pinw_rule *rule; /* of a named section */
	uint32_t key_lines[PINW_KEYS_MAX]; /* by row of pinw_keys[]; 0 = not given */
	struct pinw_draft_string *lists[PINW_LISTS], **list_ends[PINW_LISTS];
	uint8_t cap_actions[PINW_CAPS];
	uint8_t leak_action;
	uint64_t leak_times[PINW_PLEAKS];

	uint32_t section_lines[PINW_SECTION_SUPPRESS + 1]; /* of sections seen that may come once */
	struct pinw_draft_warning *warnings, **warnings_end;
	uint32_t warning_count;

	struct pinw_policy_error *error;
	int failed; /* 0, -EINVAL (*error is set) or -ENOMEM */
};

/* Sets up a draft whose host, memory, error and text (`at` to `end`, `len` bytes) are given: counts its rules, and finds
 * the text behind a byte order mark. Before and after each call, d->failed says whether there is anything left to do. */
void pinw_draft_start(struct pinw_draft *d, size_t len, const char *path);

/* Everything was read: checks the rules against each other and completes the policy. */
void pinw_draft_finish(struct pinw_draft *d);

/* ---- memory and messages */

/* Zeroed memory of the policy, NULL (and failed) when there is none left. */
void *pinw_draft_alloc(struct pinw_draft *d, size_t size, size_t align);

/* A copy of `len` bytes of text, NUL terminated. */
const char *pinw_draft_copy(struct pinw_draft *d, const char *text, size_t len);

/* Starts the error of a draft that has none yet: the caller adds its text to the result. After the first one, what is
 * added goes nowhere. */
struct pinw_phrase pinw_draft_fail(struct pinw_draft *d, uint32_t line, const char *key);

/* The same for a plain text, at the present line. */
void pinw_draft_say(struct pinw_draft *d, const char *key, const char *text);

/* Keeps a warning, or a note. */
void pinw_draft_warn(struct pinw_draft *d, uint32_t line, const char *text);
void pinw_draft_note(struct pinw_draft *d, uint32_t line, const char *text);

/* ---- sections, rules, keys */

/* Closes the section being read, as pinw_draft_close_section does, and opens one; `key` is its heading, for errors,
 * `name` that of its rule when it has one. */
void pinw_draft_open_section(struct pinw_draft *d, enum pinw_section section, const char *key,
                             const char *name);

/* Completes the rules of the section being read with their defaults, and checks it. */
void pinw_draft_close_section(struct pinw_draft *d);

/* A new rule, labelled "section:name", or NULL (and failed). */
struct pinw_rule *pinw_draft_open_rule(struct pinw_draft *d, const char *name);

/* Takes "name = value" in the section being read. */
void pinw_draft_take_key(struct pinw_draft *d, const char *name, const char *value);

/* The line of a key in the section being read, 0 when not given. */
uint32_t pinw_draft_line(const struct pinw_draft *d, const char *key);

/* ---- checks */

/* Can some thread have a name that matches? Else says why not. */
bool pinw_check_thread_name(const char *glob, struct pinw_phrase *why);

/* Contradictions inside the section just read, whose rule and lists are complete. */
void pinw_check_section(struct pinw_draft *d);

/* Rules that can never match for what comes before them, and what is worth a warning. */
void pinw_check_rules(struct pinw_draft *d);

#endif
