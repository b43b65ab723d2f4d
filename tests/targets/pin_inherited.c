/* SPDX-License-Identifier: MIT
 *
 * Shows: the kernel copies the creator's mask: a helper made by a pinned thread is pinned too, and so
 * is the helper's own. The creator releases before they end: they stay.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdio.h>

static pthread_barrier_t released;

static void *helper(void *more)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));
	pthread_t t;

	CHECK(target_mask_is(&one));
	if (more)
		CHECK(pthread_create(&t, NULL, helper, NULL) == 0);
	pthread_barrier_wait(&released);
	CHECK(target_mask_is(&one));
	if (more)
		CHECK(pthread_join(t, NULL) == 0);
	return NULL;
}

int main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));
	pthread_t t;

	target_cpu(1);
	CHECK(pthread_barrier_init(&released, NULL, 3) == 0);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(pthread_create(&t, NULL, helper, &released) == 0);
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	pthread_barrier_wait(&released);
	CHECK(pthread_join(t, NULL) == 0);
	puts("two inherited");
	return 0;
}
