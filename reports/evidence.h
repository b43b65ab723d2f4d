/* SPDX-License-Identifier: MIT
 *
 * Answers to the questions of the specification's checklists that a trace can decide, each with what it is based on. What the
 * trace cannot decide is PINW_ANSWER_UNKNOWN, never the better of the two. Pure functions over a model with names (names.h).
 *
 * Per request: three detectors, none of which needs a policy (pinwarden-report(1), PER REQUEST):
 *
 *     stack    a pin or Go lock is made with a request handler on the stack
 *     rate     threads pin at one place again and again: PINW_RATE_HIGH times a second, in two seconds or more, or ten times
 *              as often in one
 *     churn    threads that were pinned end within a second of their start and are replaced, as often
 */
#ifndef PINW_REPORTS_EVIDENCE_H
#define PINW_REPORTS_EVIDENCE_H

#include "reports/process.h"

enum pinw_answer {
	PINW_ANSWER_NO,
	PINW_ANSWER_YES,
	PINW_ANSWER_UNKNOWN,
};

/* "no", "yes", "not observable" */
const char *pinw_answer_words(enum pinw_answer answer);

/* A place where pins are made for requests. */
struct pinw_request_site {
	const struct pinw_site *site;
	bool golock; /* else pins of CPUs */
	bool by_stack, by_rate;
	uint64_t destroyed; /* Go locks that ended with their thread */
};

#define PINW_UNKNOWNS_MAX 6u
#define PINW_UNKNOWN_BYTES 96u

struct pinw_per_request {
	enum pinw_answer answer;
	enum pinw_answer by_stack, by_rate, by_churn;
	char unknown[PINW_UNKNOWNS_MAX][PINW_UNKNOWN_BYTES]; /* why something is not observable */
	unsigned unknown_count;
	struct pinw_request_site *sites; /* most pins first */
	size_t site_count;
};

/* Are threads pinned, or locked by Go, for each request? Returns 0 or -ENOMEM; the caller frees with pinw_per_request_done. */
int pinw_evidence_per_request(const struct pinw_process *p, struct pinw_per_request *ret);
void pinw_per_request_done(struct pinw_per_request *r);

/* What to do about it, in one line. */
#define PINW_PER_REQUEST_CURE                                                                                \
	"let workers that are pinned once, at their start, own what needs the thread; handlers send them "   \
	"jobs"

#define PINW_EVIDENCE_BYTES 192u

struct pinw_evidence {
	enum pinw_answer answer; /* YES: it is as it should be */
	char text[PINW_EVIDENCE_BYTES];
};

void pinw_evidence_say(struct pinw_evidence *e, enum pinw_answer answer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Why the trace is not whole, in words; NULL when nothing of it is missing or damaged: what is not in it did not happen, as far as
 * it was seen. */
const char *pinw_evidence_gap(const struct pinw_process *p);

/* Is every Go lock undone, by the function that took it? */
void pinw_evidence_paired(const struct pinw_process *p, struct pinw_evidence *ret);

/* Are pins and Go locks made by workers alone: not in the main thread or goroutine, and not for requests? */
void pinw_evidence_encapsulated(const struct pinw_process *p, const struct pinw_per_request *requests,
                                struct pinw_evidence *ret);

#endif
