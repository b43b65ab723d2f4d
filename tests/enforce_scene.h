/* SPDX-License-Identifier: MIT
 *
 * A scene under a policy: writes it, runs a target under it, asks the report which rules were broken. As in
 * tests/e2e.h every function ends the test when it cannot do what it says.
 */
#ifndef PINW_TESTS_ENFORCE_SCENE_H
#define PINW_TESTS_ENFORCE_SCENE_H

#include "tests/e2e.h"

/* What enf_pin and `enf_workers 4` print when nothing stops them. */
#define ALL_PINNED "sched 0 pinned\npthread 0 pinned\nsyscall 0 pinned\n"
#define ALL_WORK "worker-0 0\nother-1 0\nworker-2 0\nother-3 0\n"

extern struct e2e_result last; /* of the program last run under a policy */

/* The scene's policy file, "%d/policy.ini" in commands. */
void policy(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs a command into `last`, without traces of earlier ones. A target that cannot show its behaviour here skips the test. */
void go(const char *command);

/* The target under the scene's policy by `pinwarden run`; `mode` is --enforce, --audit or nothing. */
void under(const char *mode, const char *target);

/* The violations of all processes together are these, as JQ writes them: "{\"ban:x\": 3}". */
void violations(const char *expected);

/* Enforced, the target ends well, prints `out`, and just these rules were broken. */
void enforced(const char *target, const char *out, const char *expected);

/* What `last` wrote to stderr holds this, or does not. */
void says(const char *text);
void says_not(const char *text);

/* The n-th CPU this process may use, as the targets count them; skips the test when there are fewer. */
int cpu_number(int n);

#endif
