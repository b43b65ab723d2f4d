/* SPDX-License-Identifier: MIT
 *
 * Shows: calls that come before the constructor of a preloaded library: from the program's own .preinit_array, which runs before
 * every constructor, and from a dependency's (libfirst.c).
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdio.h>

int first_steps(void);

static int early_threads;

static void *counts(void *arg)
{
	++*(int *)arg;
	return arg;
}

static void before_everything(void)
{
	pthread_t t;
	cpu_set_t now;

	CPU_ZERO(&now);
	CHECK(sched_getaffinity(0, sizeof(now), &now) == 0);
	CHECK(sched_setaffinity(0, sizeof(now), &now) == 0);
	CHECK(pthread_create(&t, NULL, counts, &early_threads) == 0);
	CHECK(pthread_join(t, NULL) == 0);
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) = before_everything;

int main(void)
{
	pthread_t t;

	CHECK(early_threads == 1);
	CHECK(pthread_create(&t, NULL, counts, &early_threads) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	printf("%d steps, %d threads\n", first_steps(), early_threads);
	return 0;
}
