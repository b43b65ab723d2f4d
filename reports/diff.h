/* SPDX-License-Identifier: MIT
 *
 * Two runs side by side: what `pinwarden diff` shows.
 *
 *     traces of each ──model.h──► counters ─────────────────────► totals
 *                        └──────► samples.h ──stack_key.h──► rows: one for each use of each stack of names, counted in both
 *
 * Stacks of the two are the same when the names on them are, so that a rebuild makes no difference.
 */
#ifndef PINW_REPORTS_DIFF_H
#define PINW_REPORTS_DIFF_H

#include <stdio.h>

#include "reports/lost_names.h"
#include "reports/samples.h"

enum pinw_diff_side { PINW_DIFF_BASE, PINW_DIFF_NEW, PINW_DIFF_SIDES };

/* What is counted at a stack, and of a rule. In the order they are shown in. */
enum pinw_diff_kind {
	PINW_DIFF_LEAKS,
	PINW_DIFF_VIOLATIONS,
	PINW_DIFF_PINS,
	PINW_DIFF_CREATIONS,
	PINW_DIFF_KINDS
};

struct pinw_diff_row {
	uint8_t kind; /* enum pinw_diff_kind */
	uint8_t origin; /* enum pinw_origin of a pin, or of the one that leaked; 0 none */
	uint8_t leak; /* enum pinw_leak_kind, when a leak */
	const char *label; /* of a rule, when violations; then there is no stack */
	uint64_t counts[PINW_DIFF_SIDES];
	const struct pinw_process *process[PINW_DIFF_SIDES]; /* the first that has it, NULL none */
	uint32_t site[PINW_DIFF_SIDES]; /* in that; 0 = no call was seen */
};

/* A figure of each run as a whole. */
struct pinw_diff_total {
	const char *name;
	uint64_t counts[PINW_DIFF_SIDES];
};

#define PINW_DIFF_TOTALS_MAX 32u

struct pinw_diff {
	struct pinw_model *models[PINW_DIFF_SIDES];
	struct pinw_stacks *stacks;
	struct pinw_table rows; /* struct pinw_diff_row, by key */
	const struct pinw_diff_row *
	    *sorted; /* those that differ: by kind, then by how much more there is, then less */
	size_t changed;
	struct pinw_diff_total totals[PINW_DIFF_TOTALS_MAX];
	size_t total_count;
	struct pinw_lost_names lost[PINW_DIFF_SIDES]; /* then stacks that are the same can look different */
	size_t
	    regressions; /* rows of leaks and violations that there are more of than before, and growth that is more; where names were
	                    lost, kinds of leaks that there are more of, in place of rows */
};

/* Compares two finished models that have their history. `d` has models and stacks set, the rest zero. Returns 0 or -ENOMEM. */
int pinw_diff_collect(struct pinw_diff *d);
void pinw_diff_done(struct pinw_diff *d);

/* Is there more of a leak or of a violation than before? Of a leak, only where stacks are known again. */
bool pinw_diff_is_regression(const struct pinw_diff *d, const struct pinw_diff_row *row);

/* What the comparison cannot tell, a sentence for each side. */
void pinw_diff_limits(const struct pinw_diff *d, void (*fn)(void *arg, const char *text), void *arg);

/* "leaks", "violations", "pins", "creations". */
const char *pinw_diff_kind_name(enum pinw_diff_kind kind);

/* The renderers; each returns 0, -ENOMEM, or -errno of the first write that failed. */
int pinw_diff_text(const struct pinw_diff *d, bool color, size_t top, FILE *out);
int pinw_diff_json(const struct pinw_diff *d, FILE *out);

#endif
