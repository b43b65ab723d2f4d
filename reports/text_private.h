/* SPDX-License-Identifier: MIT
 *
 * Shared by the files of the text report; others (the page, run's summary) take their numbers and words from text_format.c.
 *
 * report_text.c  the verdict, the tree of processes, one process after the other
 * text_process.c how one process went: its figures and what was not seen of it
 * text_policy.c  what the policy found, in a process and in all of them
 * text_golocks.c Go locks; whether anything is pinned per request
 * text_by.c      churn; by thread and by CPU
 * text_scorecard.c  the checklists, capacity, advice
 * text_lists.c   its leaks, pins by site, threads, latencies
 * text_stack.c   stacks, each printed once
 * text_format.c  numbers, durations, names
 */
#ifndef PINW_REPORTS_TEXT_PRIVATE_H
#define PINW_REPORTS_TEXT_PRIVATE_H

#include <stdint.h>

#include "reports/breaches.h"
#include "reports/filter.h"
#include "reports/report.h"
#include "reports/term.h"

struct pinw_text {
	struct pinw_term term;
	struct pinw_stacks *stacks;
	const struct pinw_model *model;
	size_t top; /* SIZE_MAX = no limit */
	bool scorecard; /* of processes, nothing else */
	enum pinw_text_by by;
	struct pinw_filter *filter; /* of rows; NULL: all */
	struct pinw_breaches breaches; /* of all processes, sorted */
	struct pinw_table shown; /* sites of the current process whose stacks were printed */
};

/* How many of `count` rows to print. */
size_t pinw_text_rows(const struct pinw_text *t, size_t count);

/* "... and 12 more stacks (--top 0 shows all)", nothing when nothing was cut. */
void pinw_text_cut(struct pinw_text *t, size_t shown, size_t count, const char *one, const char *many);

void pinw_text_heading(struct pinw_text *t, const char *text);

void pinw_text_process(struct pinw_text *t, const struct pinw_process *p);

#define PINW_TEXT_FIELD 12u /* where the text of a figure begins, after its name; the lines of a note, too */

/* Its figures, and what was not seen of it. */
void pinw_text_facts(struct pinw_text *t, const struct pinw_process *p);

/* Only what ran and what was not seen of it. */
void pinw_text_process_brief(struct pinw_text *t, const struct pinw_process *p);

/* The checklists and capacity, of a model with_history; advice, nothing when there is none or no history. */
void pinw_text_scorecard(struct pinw_text *t, const struct pinw_process *p);
void pinw_text_advice(struct pinw_text *t, const struct pinw_process *p);
void pinw_text_violations(struct pinw_text *t, const struct pinw_process *p);
void pinw_text_leaks(struct pinw_text *t, const struct pinw_process *p);
void pinw_text_pins(struct pinw_text *t, const struct pinw_process *p);
void pinw_text_golocks(struct pinw_text *t, const struct pinw_process *p);

/* Is anything pinned per request: among the figures, in full, and for all processes where it is. */
void pinw_text_requests_field(struct pinw_text *t, const struct pinw_process *p);
void pinw_text_requests(struct pinw_text *t, const struct pinw_process *p);
size_t pinw_text_requests_verdict(struct pinw_text *t); /* returns how many do */
/* Is it a row of the lists? */
bool pinw_text_wants_thread(const struct pinw_text *t, const struct pinw_process *p,
                            const struct pinw_thread *thread);
void pinw_text_churn(struct pinw_text *t, const struct pinw_process *p);

/* Of a model with_history. */
void pinw_text_by_thread(struct pinw_text *t, const struct pinw_process *p);
void pinw_text_by_cpu(struct pinw_text *t, const struct pinw_process *p);
void pinw_text_threads(struct pinw_text *t, const struct pinw_process *p);
void pinw_text_latency(struct pinw_text *t, const struct pinw_process *p);

/* Was the policy kept? Nothing when there was none. */
void pinw_text_policy_verdict(struct pinw_text *t);

/* Each policy once: rules that never matched, over all processes. */
void pinw_text_policies(struct pinw_text *t);

/* "enforce", "audit" */
const char *pinw_text_mode(const struct pinw_process *p);

/* Appends "7 worker": a thread's id and name. */
void pinw_text_put_thread(struct pinw_text *t, const struct pinw_process *p, uint32_t id);

/* The stack of site `id` under a title such as "pinned at"; a stack printed before is named and not printed again. */
void pinw_text_stack(struct pinw_text *t, const struct pinw_process *p, const char *title, uint32_t id);

/* ---- text_format.c: results are in one of a few static buffers, good for one line ---- */

/* 1234567 as "1,234,567" */
const char *pinw_text_count(uint64_t count);

/* "1 thread", "1,234 threads" */
const char *pinw_text_counted(uint64_t count, const char *one, const char *many);

/* "850 ns", "12.3 us", "1.204 s", "2m05s", "3h02m", "2d03h" */
const char *pinw_text_duration(uint64_t ns);

/* How long it ran; "?" when it ended violently and nothing says how long it had lived. */
const char *pinw_text_lived(const struct pinw_process *p);

/* "exit status 0", "killed by SIGTERM (15)", ... */
const char *pinw_text_end(const struct pinw_process *p);

/* The same in at most 17 columns: "exit status 0", "SIGTERM", ... */
const char *pinw_text_end_brief(const struct pinw_process *p);

/* What the program is called, as bytes; never empty. */
const char *pinw_text_program(const struct pinw_process *p, size_t *ret_len);

#endif
