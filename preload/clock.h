/* SPDX-License-Identifier: MIT
 *
 * Time straight from the kernel's vDSO, so that a preload which fakes
 * clock_gettime neither sees nor bends our clock.
 */
#ifndef PINW_CLOCK_H
#define PINW_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Finds the vDSO's clock_gettime; without one every reading is a system call. Init only. */
void pinw_clock_init(void);

/* CLOCK_MONOTONIC in ns. */
uint64_t pinw_clock_mono(void);

/* CLOCK_REALTIME in ns. */
uint64_t pinw_clock_real(void);

/* ns since image start: what goes into records. */
uint64_t pinw_now(void);

/* Stops the clocks where they are, or lets them go on: the strict mode of seccomp takes the time stamp counter away
 * (SIGSEGV), and the system call. */
void pinw_clock_stop(bool stop);

/* Does the program see another clock_gettime than the C library's own? Init only. */
bool pinw_clock_is_faked(void);

#endif
