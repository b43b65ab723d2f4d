/* SPDX-License-Identifier: MIT
 *
 * Shows: threads born pinned through their attribute; an attribute that names all CPUs is no pin; one
 * that names no CPU of this machine makes pthread_create fail with EINVAL; one reset to no mask is none.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

static void *is_on(void *mask)
{
	CHECK(target_mask_is(mask));
	return mask;
}

static void run(const pthread_attr_t *attr, const cpu_set_t *mask)
{
	pthread_t t;

	CHECK(pthread_create(&t, attr, is_on, (void *)mask) == 0);
	CHECK(pthread_join(t, NULL) == 0);
}

int main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0)), nowhere = target_one_cpu(CPU_SETSIZE - 1), got;
	pthread_attr_t attr;
	pthread_t t;

	target_cpu(1);
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setaffinity_np(&attr, sizeof(one), &one) == 0);
	CHECK(pthread_attr_getaffinity_np(&attr, sizeof(got), &got) == 0 && CPU_EQUAL(&got, &one));
	run(&attr, &one);
	run(&attr, &one);
	CHECK(pthread_attr_setaffinity_np(&attr, sizeof(cpu_set_t), target_all_cpus()) == 0);
	run(&attr, target_all_cpus());
	CHECK(pthread_attr_setaffinity_np(&attr, sizeof(nowhere), &nowhere) == 0);
	CHECK(pthread_create(&t, &attr, is_on, &nowhere) == EINVAL);
	CHECK(pthread_attr_setaffinity_np(&attr, 0, &one) == 0);
	run(&attr, target_all_cpus());
	CHECK(pthread_attr_destroy(&attr) == 0);
	puts("two born pinned");
	return 0;
}
