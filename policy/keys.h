/* SPDX-License-Identifier: MIT
 *
 * The words of a policy file: one table of every section and one of every key. The parser
 * reads by it, suggestions of misspelt words come from it, and the manual is tested
 * against it, so that none of them can disagree.
 */
#ifndef PINW_POLICY_KEYS_H
#define PINW_POLICY_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/policy.h"

#define PINW_KEYS_MAX 64u /* rows of pinw_keys[], so that a set of them is one word */
#define PINW_WORD_MAX 32u /* a longer word is never a misspelt key */

/* How a value is read, and the type of the field it goes to. */
enum pinw_type {
	PINW_TYPE_VERSION, /* checked, not kept */
	PINW_TYPE_MODE, /* uint32_t, enum pinw_mode */
	PINW_TYPE_STOP, /* bool */
	PINW_TYPE_TEXT, /* const char * */
	PINW_TYPE_GLOB, /* a list: struct pinw_strings number `part` of the rule */
	PINW_TYPE_COUNT, /* uint64_t, at least `least` */
	PINW_TYPE_WIDTH, /* the same into a uint32_t */
	PINW_TYPE_RATE, /* struct pinw_rate */
	PINW_TYPE_DURATION, /* uint64_t of nanoseconds, at least `least` of them */
	PINW_TYPE_CPUS, /* const uint64_t * */
	PINW_TYPE_ACTION, /* uint8_t, one of `actions` */
	PINW_TYPE_CALLS, /* uint32_t, PINW_CALLS_* */
	PINW_TYPE_KIND, /* uint32_t, PINW_KINDS_* */
	PINW_TYPE_LEAKS, /* uint32_t, bits by enum pinw_policy_leak */
	PINW_TYPE_ERRNO, /* int */
	PINW_TYPE_YES_NO, /* bool */
	PINW_TYPE_DATE, /* uint32_t, yyyymmdd */
};

/* Where a value goes. */
enum pinw_place {
	PINW_PLACE_POLICY, /* the field at `offset` of the policy */
	PINW_PLACE_RULE, /* the field at `offset` of the section's rule */
	PINW_PLACE_CAP, /* a rule of its own for the limit `part` */
	PINW_PLACE_CAP_WARNING, /* a rule of its own: *_warn_at */
	PINW_PLACE_CAP_ACTION, /* the rule of limit `part` */
	PINW_PLACE_LEAK, /* a rule of its own for the leak `part`, unless off */
	PINW_PLACE_LEAK_TIME, /* the rule of leak `part` */
};

struct pinw_key {
	const char *name;
	uint32_t sections; /* bits: 1 << enum pinw_section */
	uint8_t type; /* enum pinw_type */
	uint8_t place; /* enum pinw_place */
	uint8_t part;
	bool is_list; /* may be repeated */
	uint16_t offset;
	uint32_t actions; /* bits: 1 << enum pinw_action */
	uint64_t least;
	const char *expected; /* completes "expected ..." */
	const char *meaning; /* one line */
	const char *fallback; /* what holds without it, in words */
};

extern const struct pinw_key pinw_keys[];
extern const unsigned pinw_key_count;

struct pinw_section_row {
	const char *name;
	bool is_named; /* [ban "name"], any number of them; else once in a file */
	const char *form; /* how its heading is written */
	const char *meaning;
};

/* By enum pinw_section; row 0 is empty. */
extern const struct pinw_section_row pinw_sections[];

/* The section of this name, or 0. */
enum pinw_section pinw_section_find(const char *name);

/* The key of this name in a section, or NULL. */
const struct pinw_key *pinw_key_find(enum pinw_section section, const char *name);

/* The first section that has a key of this name, or 0. */
enum pinw_section pinw_key_home(const char *name);

/* The known word a misspelt one was probably meant to be, or NULL: of a section's keys, and of the sections' names. */
const char *pinw_key_nearest(enum pinw_section section, const char *name);
const char *pinw_section_nearest(const char *name);

/* The one of `words` (`count` of them) that `word` most resembles, or NULL when none is near. Case does not count. */
const char *pinw_word_nearest(const char *const *words, unsigned count, const char *word);

#endif
