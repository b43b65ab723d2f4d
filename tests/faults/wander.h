/* SPDX-License-Identifier: MIT
 *
 * What the programs here share beside tests/targets/common: stacks nobody has seen before, so that the shim enters
 * the unwinder; facts that a row of the table compares with the trace.
 */
#ifndef PINW_TESTS_FAULTS_WANDER_H
#define PINW_TESTS_FAULTS_WANDER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WANDER_DEPTH 14 /* 2^14 different stacks */

/* Calls fn(arg) below WANDER_DEPTH frames of two functions, chosen by the bits of `path`. */
void wander(unsigned path, void (*fn)(void *), void *arg);

/* A path that no thread of this process got before. */
unsigned wander_next(void);

/* One call that sets all CPUs and so changes nothing. */
void wander_set_all(void *unused);

/* Pins the calling thread to its first CPU, or takes the pin off. */
void wander_pin(void *unused);
void wander_release(void *unused);

/* Says "fact NAME VALUE" on stderr in one write: not part of the output that is compared. */
void say_fact(const char *name, long value);

#ifdef __cplusplus
}
#endif

#endif
