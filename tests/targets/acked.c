/* SPDX-License-Identifier: MIT
 *
 * Shows: work acknowledged as it is done, for a reader that kills the process at any moment. Two
 * threads by turns pin and release; after each call that returned, one byte goes to stdout.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <unistd.h>

static void *works(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	for (;;) {
		CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
		CHECK(write(1, "p", 1) == 1);
		CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
		CHECK(write(1, "r", 1) == 1);
	}
	return arg;
}

int main(void)
{
	pthread_t t;

	target_cpu(1);
	CHECK(pthread_create(&t, NULL, works, NULL) == 0);
	works(NULL);
	return 0;
}
