/* SPDX-License-Identifier: MIT
 *
 * Shows: detached threads that create, pin, release and name without pause while the process exits
 * under them. Nothing they touch may be gone before they are.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define BUSY 4

static atomic_int rounds;

static void *nothing(void *arg)
{
	return arg;
}

static void *busy(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	for (;;) {
		pthread_t t;

		sched_setaffinity(0, sizeof(one), &one);
		if (pthread_create(&t, NULL, nothing, NULL) == 0)
			pthread_join(t, NULL);
		sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus());
		pthread_setname_np(pthread_self(), "busy");
		atomic_fetch_add(&rounds, 1);
	}
	return arg;
}

int main(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; i < BUSY; i++) {
		pthread_t t;

		CHECK(pthread_create(&t, NULL, busy, NULL) == 0);
		CHECK(pthread_detach(t) == 0);
	}
	while (atomic_load(&rounds) < 50)
		nanosleep(&pause, NULL);
	puts("leaving");
	return 3;
}
