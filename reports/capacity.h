/* SPDX-License-Identifier: MIT
 *
 * What pins leave of a machine: each thread that is pinned to CPUs takes one of N from the work that is not, so k of them leave
 * N - k. A Go lock binds to no CPU; its thread takes one while it is busy, like any other, but runs nothing else. And how many threads a Go program should have: one for each CPU (GOMAXPROCS, taken as the CPUs of the baseline), 3 to 5 of
 * the runtime's own, and one for each that is pinned. What other programs should have is not known.
 */
#ifndef PINW_REPORTS_CAPACITY_H
#define PINW_REPORTS_CAPACITY_H

#include "reports/process.h"

#define PINW_GO_OWN_MIN 3u
#define PINW_GO_OWN_MAX 5u

struct pinw_capacity {
	uint64_t cpus; /* of the baseline */
	uint64_t pinned; /* threads pinned to CPUs or locked by Go, most at once */
	uint64_t taken; /* CPUs that some thread was pinned to, over the run */
	uint64_t
	    used; /* CPUs that the pinned threads take: one each, but threads pinned to the same CPUs share those */
	uint64_t left; /* CPUs for what is not pinned */
	uint64_t left_busy; /* of these, while all threads locked by Go are busy, too */
	unsigned doubled_cpu; /* the CPU that most threads had to themselves at once, */
	uint64_t doubled; /* these threads; 0 or 1: no CPU was booked twice */
	uint64_t steady; /* threads alive, main included: half of the time it was as many or more */
	uint64_t peak;
	bool is_go;
	uint64_t expected_min, expected_max; /* of steady; only where it is Go */
	const char
	    *gap; /* why there may have been more pins and threads at once, in words; NULL: there were not */
};

/* Of a model with_history. Returns 0 or -ENOMEM. */
int pinw_capacity_of(const struct pinw_process *p, struct pinw_capacity *ret);

#endif
