/* SPDX-License-Identifier: MIT
 *
 * The two checklists of the specification of LockOSThread, for a library or service and for a review, each item with what the
 * trace says of it. Pins of CPUs are judged with Go locks where an item makes sense for both. An item that the trace cannot decide is
 * PINW_ANSWER_UNKNOWN, with the reason; it never counts as passed.
 */
#ifndef PINW_REPORTS_SCORECARD_H
#define PINW_REPORTS_SCORECARD_H

#include "reports/capacity.h"
#include "reports/evidence.h"

#define PINW_CARD_ITEMS 16u

struct pinw_card_item {
	const char *key; /* in JSON: "locks-paired", ... */
	const char *title;
	bool review; /* of the checklist for a review; else of that for a library or service */
	struct pinw_evidence evidence;
};

struct pinw_scorecard {
	struct pinw_card_item items[PINW_CARD_ITEMS];
	unsigned passed, failed, unseen;
};

/* "PASS", "FAIL", "NOT OBSERVABLE" */
const char *pinw_card_words(enum pinw_answer answer);

/* Of a model with names and with_history. Returns 0 or -ENOMEM. */
int pinw_scorecard_of(const struct pinw_process *p, const struct pinw_capacity *capacity,
                      struct pinw_scorecard *ret);

#endif
