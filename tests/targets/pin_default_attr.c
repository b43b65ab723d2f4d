/* SPDX-License-Identifier: MIT
 *
 * Shows: pthread_setattr_default_np with a mask pins threads that are created without an attribute.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdio.h>

static void *is_on(void *mask)
{
	CHECK(target_mask_is(mask));
	return mask;
}

static void run(const cpu_set_t *mask)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, is_on, (void *)mask) == 0);
	CHECK(pthread_join(t, NULL) == 0);
}

int main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(1));
	pthread_attr_t attr;

	run(target_all_cpus());
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setaffinity_np(&attr, sizeof(one), &one) == 0);
	CHECK(pthread_setattr_default_np(&attr) == 0);
	run(&one);
	run(&one);
	CHECK(pthread_attr_setaffinity_np(&attr, 0, &one) == 0);
	CHECK(pthread_setattr_default_np(&attr) == 0);
	run(target_all_cpus());
	puts("two born pinned by default");
	return 0;
}
