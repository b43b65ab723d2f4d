/* SPDX-License-Identifier: MIT
 *
 * Shared by the files of the rehearsal and by nothing else.
 *
 * rehearse.c       the events of a past, one after the other
 * rehearse_go.c    locks of threads by Go
 * rehearse_judge.c threads and their pins as far as the past has come, and the questions put to policy/match.h
 */
#ifndef PINW_REPORTS_REHEARSE_PRIVATE_H
#define PINW_REPORTS_REHEARSE_PRIVATE_H

#include "policy/match.h"
#include "reports/past.h"
#include "reports/rehearse.h"
#include "reports/rulestacks.h"

/* A thread as far as the past has come. */
struct actor {
	uint32_t id;
	uint32_t create_site;
	uint32_t pin_site; /* of its pin: the open one or the last */
	uint32_t routine_module;
	uint64_t routine_offset;
	uint64_t started_ns, ended_ns;
	uint64_t *mask; /* of its open pin, when pinned; mask_words words */
	struct pinw_hold hold;
	uint8_t origin; /* enum pinw_origin of its open pin */
	bool pinned; /* has an open pin */
	bool has_pinned;
	bool started, ended, released; /* released: joined, detached, or never to be joined */
	bool exempt; /* Go's template thread: limits leave it out */
	bool golocked, has_golocked; /* has an open Go lock; had one, ever */
	uint32_t golock_site; /* of its Go lock: the open one or the last */
	struct pinw_hold golock_hold;
	uint32_t pins; /* for both holds */
	bool births_pin; /* its birth with a pin was judged when it was created */
	uint64_t *required; /* bits by place in stage.requires: already found to break that rule */
	char name[PINW_NAME_BYTES];
};

struct stage {
	struct pinw_rehearsal *r;
	const struct pinw_policy *policy;
	const struct pinw_process *p;
	struct pinw_policy_state state;
	void *state_memory;
	struct pinw_rulestacks stacks;
	struct pinw_past past;
	struct pinw_table actors; /* struct actor, by thread id */
	uint16_t *requires; /* ids of the [require] rules */
	size_t require_count, require_room;
	uint64_t *ages_ns; /* their `within`, each once */
	size_t age_count, age_room;
	uint64_t grace_ns; /* of [leak] unjoined; 0 = none */
	uint64_t live; /* threads that limits are about */
	struct pinw_stacks *names;
	struct pinw_table pairs; /* uint8_t, by site of lock and unlock: do they pair? (rehearse_go.c) */
	unsigned words;
	uint64_t *scratch; /* one mask */
	bool out_of_memory;
};

/* Where and about whom a verdict was given. */
struct scene {
	enum pinw_attempted attempt;
	unsigned leak; /* 1 + kind, 0 = none */
	uint32_t site;
	const struct actor *target; /* NULL: not a known thread */
	uint64_t now_ns;
};

/* How a pin is attempted. */
struct pinning {
	uint32_t calls; /* PINW_CALLS_* */
	uint32_t site;
	uint32_t second_site; /* another stack that speaks for it, 0 none */
	uint32_t create_site; /* of the thread to be pinned */
	const char *name; /* of that thread */
};

/* Books a verdict, unless it is NONE. */
void pinw_stage_book(struct stage *s, const struct pinw_verdict *v, const struct scene *scene);

/* The thread of this id, made when new. NULL for thread 0, and when out of memory. */
struct actor *pinw_stage_actor(struct stage *s, uint32_t id);

/* What the stack of a site satisfies, NULL unknown. */
const struct pinw_stack_match *pinw_stage_stack(struct stage *s, uint32_t site);

/* What is known of a thread now. */
struct pinw_thread_facts pinw_stage_facts(struct stage *s, const struct actor *a, uint64_t now_ns);

/* By the process's baseline. */
bool pinw_stage_is_pin(const struct stage *s, const uint64_t *mask);

/* The part of a mask inside the baseline, good until the next call. */
const uint64_t *pinw_stage_within(struct stage *s, const uint64_t *mask);

/* The *_warn_at of `cap`, when `value` has just reached it. */
void pinw_stage_judge_warning(struct stage *s, enum pinw_cap cap, uint64_t value, const struct scene *scene);

/* Judges a pin that was made, books the verdict and keeps the pin: the past went on with it. `a` may be NULL. */
struct pinw_verdict pinw_stage_judge_pin(struct stage *s, struct actor *a, const struct pinning *how,
                                         const uint64_t *mask, const struct scene *scene);

/* The thread is on this mask now, whoever put it there. */
void pinw_stage_settle(struct stage *s, struct actor *a, const uint64_t *mask, uint32_t site,
                       enum pinw_origin origin);

/* Nobody judged its pin: only the counters follow. */
void pinw_stage_rehold(struct stage *s, struct actor *a);

/* Every [require], each at most once for a thread. A release is no occasion to ask: it may be the good order before
 * the thread's end. */
void pinw_stage_judge_requires(struct stage *s, struct actor *a, enum pinw_attempted attempt,
                               uint64_t now_ns);

/* A Go lock begins or ends. */
void pinw_stage_golock(struct stage *s, const struct pinw_past_event *event);

/* The process ends for good: what of a Go lock is open then. */
void pinw_stage_golock_end(struct stage *s, struct actor *a);

/* A leak, or its suppression. */
void pinw_stage_judge_leak(struct stage *s, const struct pinw_thread_facts *facts, enum pinw_policy_leak kind,
                           const struct scene *scene);

#endif
