/* SPDX-License-Identifier: MIT
 *
 * A policy file for the commands: read, trusted, and parsed against a machine. Parsing
 * itself is policy/'s.
 */
#ifndef PINW_REPORTS_POLICY_FILE_H
#define PINW_REPORTS_POLICY_FILE_H

#include "policy/policy.h"

/* The text of a policy file. */
struct pinw_policy_file {
	char *path; /* as given */
	char *text;
	size_t len;
};

/* A policy and the memory it lives in. */
struct pinw_policy_parsed {
	const struct pinw_policy *policy;
	struct pinw_policy_memory memory;
};

/* The machine and day the commands themselves run on. */
struct pinw_policy_here {
	uint64_t baseline[128]; /* the mask of this process; PINW_MASK_WORDS_MAX words */
	uint64_t present[128]; /* CPUs this machine has */
	struct pinw_policy_host host; /* points to them: do not copy the struct */
};

void pinw_policy_here(struct pinw_policy_here *here);

/* Reads a file that may be obeyed (pinw_policy_distrust). Returns 0, -ENOMEM, or -EINVAL with *ret_error telling what is wrong with
 * it. The caller frees with pinw_policy_file_done, which may also follow an error. */
int pinw_policy_file_read(struct pinw_policy_file *file, const char *path,
                          struct pinw_policy_error *ret_error);
void pinw_policy_file_done(struct pinw_policy_file *file);

/* Parses it. Returns 0, -ENOMEM, or -EINVAL with *ret_error. The caller frees with pinw_policy_parsed_done, also after an error. */
int pinw_policy_file_parse(const struct pinw_policy_file *file, const struct pinw_policy_host *host,
                           struct pinw_policy_parsed *ret_parsed, struct pinw_policy_error *ret_error);
void pinw_policy_parsed_done(struct pinw_policy_parsed *parsed);

/* Says "path:line: key: text" on stderr. */
void pinw_policy_file_complain(const char *path, const struct pinw_policy_error *error);

#endif
