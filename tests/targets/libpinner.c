/* SPDX-License-Identifier: MIT
 *
 * A library loaded and unloaded while the program runs, that pins and makes threads.
 */
#include <pthread.h>
#include <sched.h>

int pinner_pin(int cpu);
int pinner_release(const cpu_set_t *all);
int pinner_thread(void);

int pinner_pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one);
}

int pinner_release(const cpu_set_t *all)
{
	return sched_setaffinity(0, sizeof(*all), all);
}

static void *worker(void *arg)
{
	return arg;
}

int pinner_thread(void)
{
	pthread_t t;
	int rc = pthread_create(&t, NULL, worker, NULL);

	return rc ? rc : pthread_join(t, NULL);
}
