/* SPDX-License-Identifier: MIT
 *
 * What every target program shares: checks of the bare libc contract, and CPUs to pin to.
 * A target exits 0 when libc kept its contract, 1 when a CHECK failed (said on stderr), and
 * 77 when this machine cannot show the behaviour (reason on stderr). Nothing here allocates,
 * and everything may be called in any thread, signal handler or vfork child.
 */
#ifndef PINW_TESTS_TARGETS_COMMON_H
#define PINW_TESTS_TARGETS_COMMON_H

#include <sched.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TARGET_BROKEN 1
#define TARGET_CANNOT 77

#define CHECK(cond) ((cond) ? (void)0 : target_broken(__FILE__, __LINE__, #cond))

/* Says what failed and ends the process with TARGET_BROKEN. */
void target_broken(const char *file, int line, const char *what) __attribute__((noreturn));

/* Says why the behaviour cannot be shown here and ends the process with TARGET_CANNOT. */
void target_cannot(const char *why) __attribute__((noreturn));

/* The n-th CPU (from 0) the process was allowed when it started; TARGET_CANNOT when there are fewer. */
int target_cpu(int n);

/* All CPUs the process was allowed when it started: setting this mask releases a pin. */
const cpu_set_t *target_all_cpus(void);

/* A mask of one CPU. */
cpu_set_t target_one_cpu(int cpu);

/* The calling thread's mask, as the kernel has it, is exactly `set`. */
bool target_mask_is(const cpu_set_t *set);

/* The kernel's thread id of the caller, never cached: right in a vfork child too. */
int target_tid(void);

/* Waits until the process has `n` threads (main included), as the kernel counts them. Detached
 * threads cannot be joined; this is how a target knows that they are gone. */
void target_wait_threads(int n);

/* argv[i] as a number, `missing` when there is no such argument. */
long target_arg(int argc, char **argv, int i, long missing);

#ifdef __cplusplus
}
#endif

#endif
