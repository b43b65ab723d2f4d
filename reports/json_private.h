/* SPDX-License-Identifier: MIT
 *
 * What the documents in JSON have in common.
 *
 * report_json.c         the report: processes, threads, sites, totals
 * report_json_policy.c  its policies and violations
 * report_json_pins.c    its Go locks; what is pinned per request, and other evidence
 * report_json_scorecard.c  its scorecard
 * check_json.c          what a check found
 */
#ifndef PINW_REPORTS_JSON_PRIVATE_H
#define PINW_REPORTS_JSON_PRIVATE_H

#include "reports/breaches.h"
#include "reports/json.h"
#include "reports/stacks.h"

/* A number, or null when it is not known. */
void pinw_json_known(struct pinw_json *j, const char *key, uint64_t value, bool known);

/* Mask `number` as a CPU list, or null when there is none. */
void pinw_json_mask(struct pinw_json *j, const char *key, const struct pinw_process *p, uint32_t number);

/* A frame of a stack, as one element of an array. */
void pinw_json_frame(struct pinw_json *j, const struct pinw_frame *f);

/* Members of a thread's object; of a site's, its frames included; of a process's, but for these two lists. The last one returns
 * 0 or -ENOMEM. */
void pinw_json_thread(struct pinw_json *j, const struct pinw_process *p, const struct pinw_thread *t);
void pinw_json_site(struct pinw_json *j, struct pinw_stacks *stacks, const struct pinw_process *p,
                    const struct pinw_site *s);
int pinw_json_process(struct pinw_json *j, const struct pinw_process *p);

/* Numbers of a table's rows in the order of their ids, the first field of both threads and sites. Returns 0 or -ENOMEM; the
 * caller frees the list. */
int pinw_json_rows_by_id(const struct pinw_table *t, uint32_t **ret_rows);

/* "violations": a count for each broken rule's label. Returns 0 or -ENOMEM. */
int pinw_json_violations(struct pinw_json *j, const struct pinw_breaches *breaches);

/* "golocks", "golock_list"; "golock" of a thread; "unbalanced_list". */
void pinw_json_golocks(struct pinw_json *j, const struct pinw_process *p);
void pinw_json_golock_list(struct pinw_json *j, const struct pinw_process *p);
void pinw_json_golock(struct pinw_json *j, const struct pinw_golock *lock);
void pinw_json_unbalanced(struct pinw_json *j, const struct pinw_process *p);

/* "per_request" and "evidence" of a process. Returns 0 or -ENOMEM. */
int pinw_json_evidence(struct pinw_json *j, const struct pinw_process *p);

/* "scorecard" of a process of a model with names and with_history. Returns 0 or -ENOMEM. */
int pinw_json_scorecard(struct pinw_json *j, const struct pinw_process *p);

/* "violations", "policy" and "violation_list" of a process. Returns 0 or -ENOMEM. */
int pinw_json_policy(struct pinw_json *j, const struct pinw_process *p);

#endif
