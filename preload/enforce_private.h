/* SPDX-License-Identifier: MIT
 *
 * Shared by enforce.c (verdicts, affinity calls) and enforce_life.c (threads and images).
 */
#ifndef PINW_ENFORCE_PRIVATE_H
#define PINW_ENFORCE_PRIVATE_H

#include "preload/enforce.h"

/* CPU time that a pin may have seen and still count as idle: what it takes to go to sleep. */
#define PINW_IDLE_SLACK_NS 1000000u

/* What the mode makes of the verdict's action: fills `done` and, for a deny, `error`. Does not return from a crash. */
void pinw_enforce_decide(struct pinw_violation *v);

/* Decides and writes down at once: for verdicts that no call has to wait for. Nothing when the action is NONE. */
void pinw_enforce_act(struct pinw_violation *v);

/* A *_warn_at that has just been reached, at this attempt. */
void pinw_enforce_warn(enum pinw_cap cap, uint64_t value, const struct pinw_violation *attempt);

/* Threads pinned inside a mask, when a rule asks; else 0. */
uint64_t pinw_enforce_inside(const uint64_t *mask, const struct pinw_thread *except);

/* What a thread is, for the rules about threads. Borrows from the thread and its slot. */
struct pinw_thread_facts pinw_enforce_facts(const struct pinw_thread *thread, uint64_t now_ns);

/* A violation about a thread, without its verdict. */
struct pinw_violation pinw_enforce_about(const struct pinw_thread *thread, enum pinw_attempted attempt,
                                         uint64_t now_ns);

/* Before a rule speaks that does so once about a thread: true when it may, and then nobody else will. `bit`: PINW_TOLD_*. */
bool pinw_enforce_claim(struct pinw_thread *thread, uint64_t bit);

/* Before the idleness of the pin or lock that opened at `since_ns` is told: true when nobody has, and nobody else will. */
bool pinw_enforce_claim_idle(struct pinw_thread *thread, uint64_t since_ns);

/* Judges every [require]; each speaks once about a thread. */
void pinw_enforce_require(struct pinw_thread *thread, const struct pinw_thread_facts *facts,
                          enum pinw_attempted attempt);

/* Judges a leak and acts. True: it is suppressed, or a rule spoke. */
bool pinw_enforce_leak(enum pinw_policy_leak kind, const struct pinw_thread_facts *facts,
                       struct pinw_violation *v);

#endif
