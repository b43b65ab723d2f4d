/* SPDX-License-Identifier: MIT
 *
 * Rules and what came of them, by label, over any number of processes: a run's children run
 * under the same policy, and a rule that one of them broke was not idle. Labels belong to
 * the processes, which must outlive this.
 */
#ifndef PINW_REPORTS_BREACHES_H
#define PINW_REPORTS_BREACHES_H

#include "reports/process.h"

/* What came of a violation. */
enum pinw_result {
	PINW_RESULT_DONE, /* denied, reset, crashed */
	PINW_RESULT_NOT_DONE, /* in enforce mode: what the rule asks for could not be done */
	PINW_RESULT_WOULD, /* in audit mode: would deny, would crash */
	PINW_RESULT_LOGGED,
	PINW_RESULT_WATCHED, /* a rule about time, found by `pinwarden run` */
	PINW_RESULTS,
};

struct pinw_breach {
	const char *label;
	const char *path; /* of the policy; "" unknown */
	uint64_t hash; /* of the policy's text */
	uint32_t line; /* 0 unknown */
	uint8_t section; /* enum pinw_section; 0 unknown */
	uint8_t action; /* enum pinw_action */
	bool counted; /* in every process its cell was read */
	uint64_t matched;
	uint64_t count; /* violations */
	uint64_t by_result[PINW_RESULTS]; /* of these */
};

struct pinw_breaches {
	struct pinw_table table; /* struct pinw_breach, of every rule, broken or not */
	struct pinw_breach **sorted; /* table.count of them; set by pinw_breaches_sort() */
	uint64_t count; /* violations of all rules, those no rule's count tells of included */
	uint64_t suppressed; /* leaks */
	uint8_t worst; /* enum pinw_action: the strongest of a rule that was broken */
};

void pinw_breaches_init(struct pinw_breaches *b);
void pinw_breaches_done(struct pinw_breaches *b);

/* Adds what a process did; nothing when it had no policy. Rules are the same when policy, label and line are. Returns 0 or
 * -ENOMEM. */
int pinw_breaches_add(struct pinw_breaches *b, const struct pinw_process *p);

/* Sets `sorted`: strongest action first, then most broken, then by line. Returns 0 or -ENOMEM. */
int pinw_breaches_sort(struct pinw_breaches *b);

/* How many of `rule`'s violations came to what. */
void pinw_breach_results(const struct pinw_process *p, const struct pinw_rule_row *rule,
                         uint64_t ret_by_result[PINW_RESULTS]);

/* "denied", "would crash", "not reset", "logged", "found over time". Good until the next call. */
const char *pinw_result_words(enum pinw_result result, enum pinw_action action);

#endif
