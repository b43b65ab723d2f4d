/* SPDX-License-Identifier: MIT
 *
 * A library whose constructor makes a thread and pins before the constructor of a preloaded library
 * has run: dependencies come first.
 */
#include <pthread.h>
#include <sched.h>

int early_result(void);

static int result = -1;

static void *worker(void *arg)
{
	return arg;
}

__attribute__((constructor)) static void early(void)
{
	cpu_set_t all, one;
	pthread_t t;
	void *got = NULL;
	int cpu = 0;

	CPU_ZERO(&one);
	CPU_ZERO(&all);
	result = sched_getaffinity(0, sizeof(all), &all);
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &all))
		cpu++;
	CPU_SET(cpu, &one);
	result |= sched_setaffinity(0, sizeof(one), &one);
	result |= pthread_create(&t, NULL, worker, &result);
	result |= pthread_join(t, &got);
	result |= got != &result;
	result |= pthread_setaffinity_np(pthread_self(), sizeof(all), &all);
}

int early_result(void)
{
	return result;
}
