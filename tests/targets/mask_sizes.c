/* SPDX-License-Identifier: MIT
 *
 * Shows: masks shorter and longer than cpu_set_t. The kernel fills a short one with zeros and cuts a
 * long one; CPUs beyond 1,024 may be named beside one that exists. Five pins, five releases.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void pin_with(size_t bytes, int beyond)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));
	unsigned char *mask = calloc(1, bytes);

	CHECK(mask != NULL);
	memcpy(mask, &one, bytes < sizeof(one) ? bytes : sizeof(one));
	if (beyond)
		mask[beyond / 8] |= (unsigned char)(1 << beyond % 8);
	CHECK(sched_setaffinity(0, bytes, (cpu_set_t *)mask) == 0);
	CHECK(target_mask_is(&one));
	CHECK(pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), target_all_cpus()) == 0);
	free(mask);
}

int main(void)
{
	target_cpu(1);
	if (target_cpu(0) >= 8)
		target_cannot("needs one of the CPUs 0-7");
	pin_with(1, 0);
	pin_with(8, 0);
	pin_with(sizeof(cpu_set_t), 0);
	pin_with(1024, 8191);
	pin_with(16384, 100000);
	puts("five sizes");
	return 0;
}
