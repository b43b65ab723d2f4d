/* SPDX-License-Identifier: MIT
 *
 * A recorder that obeys a policy, inside a unit test: on top of tests/rig.h.
 *
 *     pinw_rig_bench_small or pinw_rig_image → pinw_rig_obey → pinw_enforce_* → pinw_rig_verdicts, pinw_rig_cell
 *
 * What ends the process is asked for in a child: pinw_rig_child.
 */
#ifndef PINW_TESTS_RIG_ENFORCE_H
#define PINW_TESTS_RIG_ENFORCE_H

#include "preload/enforce.h"
#include "tests/rig.h"

/* The recorder obeys this text from now on, in the mode that it says. The text must be valid; it is not kept. */
void pinw_rig_obey(const char *text);

/* Makes the calling thread one that the bench records. */
struct pinw_thread *pinw_rig_self(void);

/* A bench on CPUs 0-3 that obeys the policy, and the calling thread in it. */
struct pinw_thread *pinw_rig_policed(const char *policy);
#define PINW_RIG_ENFORCE "[policy]\nmode = enforce\n"
#define PINW_RIG_COUNTED PINW_RIG_ENFORCE "[caps]\nmax_pinned = 100\nmax_pinned_per_cpu = 100\n"

/* Judges a creation by `self`, of a thread that would start on its mask. */
struct pinw_create_trial pinw_rig_create(const struct pinw_thread *self, enum pinw_origin origin);

/* Does to a thread what the wrapper of sched_setaffinity does: judges, books, settles. `error` is what the real call
 * gives back, 0 if it works. Returns what the caller is told. */
int pinw_rig_pin(struct pinw_thread *target, uint64_t mask, int error);

/* The id of the rule with this label; the test fails when there is none. */
uint16_t pinw_rig_rule(const char *label);

/* The rule's cell, from the trace. */
struct pinw_rule_cell pinw_rig_cell(const char *label);

/* The verdicts against one rule (NULL: any) that the trace has. */
struct pinw_rig_verdicts {
	unsigned count;
	struct pinw_rec_violation last;
	uint64_t mask; /* of the last */
};
struct pinw_rig_verdicts pinw_rig_verdicts(const char *label);

const struct pinw_counters *pinw_rig_counters(void);

/* Expects that many violations of the rule, in its cell and as records, the last of them with this outcome. */
void pinw_rig_expect_verdicts(const char *label, unsigned records, enum pinw_done done);

/* Expects what the policy counts: pinned threads, and single-CPU pins on CPUs 0 and 1. */
void pinw_rig_expect_held(uint64_t pinned, uint64_t on_0, uint64_t on_1);

/* Runs fn(arg) in a fork child, whose stderr is kept. Returns its wait status; one whose fn returns exits with 77.
 * *ret_stderr is valid until the next call. */
int pinw_rig_child(void (*fn)(void *arg), void *arg, const char **ret_stderr);
#define PINW_RIG_RETURNED 77

#endif
