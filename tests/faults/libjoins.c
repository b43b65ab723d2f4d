/* SPDX-License-Identifier: MIT
 *
 * A library whose constructor, under the loader's lock, joins threads that pin from stacks never seen before: whatever
 * they need of the loader they do not get.
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <pthread.h>

#define THREADS 3
#define PINS 20

static void *pins(void *arg)
{
	for (int i = 0; i < PINS; i++) {
		unsigned path = wander_next();

		wander(path, wander_pin, NULL);
		wander(path, wander_release, NULL);
	}
	return arg;
}

static void join_them(void)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, pins, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
}

__attribute__((constructor)) static void loaded(void)
{
	join_them();
}

__attribute__((destructor)) static void unloaded(void)
{
	join_them();
}
