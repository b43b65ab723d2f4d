/* SPDX-License-Identifier: MIT
 *
 * Shows: detached threads that create, pin, name and end while the process runs its exit handlers and is gone.
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHAINS 6

static atomic_int started;

/* Each makes the next before it ends. */
static void *passes_on(void *arg)
{
	pthread_t t;

	atomic_fetch_add(&started, 1);
	wander(wander_next() % 256, wander_pin, NULL);
	if (pthread_create(&t, NULL, passes_on, NULL) == 0) /* may run out while the process ends */
		pthread_detach(t);
	wander(wander_next() % 256, wander_release, NULL);
	return arg;
}

static void at_end(void)
{
	usleep(2000);
}

int main(void)
{
	pthread_t t;

	target_cpu(1);
	CHECK(atexit(at_end) == 0);
	for (int i = 0; i < CHAINS; i++) {
		CHECK(pthread_create(&t, NULL, passes_on, NULL) == 0);
		CHECK(pthread_detach(t) == 0);
	}
	while (atomic_load(&started) < 100)
		usleep(100);
	puts("leaving them");
	return 0;
}
