/* SPDX-License-Identifier: MIT */
#include "examples/common/cpus.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int cpus_allowed(void)
{
	cpu_set_t mask;

	return sched_getaffinity(0, sizeof(mask), &mask) == 0 ? CPU_COUNT(&mask) : 0;
}

int cpus_nth(int n)
{
	cpu_set_t mask;

	if (n < 0 || sched_getaffinity(0, sizeof(mask), &mask) != 0 || CPU_COUNT(&mask) == 0)
		return -1;
	n %= CPU_COUNT(&mask);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &mask) && n-- == 0)
			return cpu;
	return -1;
}

int cpus_pin(int cpu, cpu_set_t *ret_before)
{
	cpu_set_t one, before;
	int error;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return EINVAL;
	error = pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
	if (error)
		return error;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	error = pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
	if (!error)
		*ret_before = before;
	return error;
}

int cpus_release(const cpu_set_t *before)
{
	return pthread_setaffinity_np(pthread_self(), sizeof(*before), before);
}

void cpus_need(int n)
{
	int allowed = cpus_allowed();

	if (allowed >= n)
		return;
	fprintf(stderr, "needs %d CPUs, this process may use %d\n", n, allowed);
	exit(CANNOT_SHOW);
}
