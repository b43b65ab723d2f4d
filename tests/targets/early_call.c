/* SPDX-License-Identifier: MIT
 *
 * Shows: a dependency's constructor pins, makes a thread that inherits the pin, joins it and releases,
 * before any constructor of a preloaded library; main then does the same.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdio.h>

int early_result(void);

static void *worker(void *arg)
{
	return arg;
}

int main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(1));
	pthread_t t;

	CHECK(early_result() == 0);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(pthread_create(&t, NULL, worker, NULL) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	puts("early and late");
	return 0;
}
