/* SPDX-License-Identifier: MIT
 *
 * What every example needs of CPUs: which it may use, and a pin that can be given back.
 * Functions return 0 or an errno value, as pthread functions do.
 */
#ifndef PINW_EXAMPLES_CPUS_H
#define PINW_EXAMPLES_CPUS_H

#include <sched.h>

#define CANNOT_SHOW 77 /* exit status: this machine cannot show what the example shows */

/* How many CPUs the calling thread may use. */
int cpus_allowed(void);

/* The n-th of them, counted from 0 and starting again after the last. -1 when the mask cannot be read. */
int cpus_nth(int n);

/* Pins the calling thread to one CPU. *ret_before is the mask it had, for cpus_release. */
int cpus_pin(int cpu, cpu_set_t *ret_before);

/* Gives the calling thread the mask back that cpus_pin found. */
int cpus_release(const cpu_set_t *before);

/* Ends the program with CANNOT_SHOW and a reason unless it may use at least `n` CPUs. */
void cpus_need(int n);

#endif
