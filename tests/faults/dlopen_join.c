/* SPDX-License-Identifier: MIT
 *
 * Shows: a library is loaded and unloaded, over and over, whose constructor and destructor join threads that pin
 * (libjoins.c), while another thread of the program pins from new stacks. dlopen_join LIBRARY
 * Fact: "sets".
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LOADS 3
#define SETS_BY_LIBRARY (2 * 3 * 20 * 2) /* each time it is loaded: twice 3 threads, 20 pins and releases */

static atomic_bool over;
static long sets;

static void *sets_on(void *arg)
{
	while (!atomic_load(&over)) {
		wander(wander_next(), wander_set_all, NULL);
		sets++;
	}
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	target_cpu(1);
	CHECK(argc == 2);
	alarm(30);
	CHECK(pthread_create(&t, NULL, sets_on, NULL) == 0);
	for (int i = 0; i < LOADS; i++) {
		void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);

		CHECK(library != NULL);
		CHECK(dlclose(library) == 0);
	}
	atomic_store(&over, true);
	CHECK(pthread_join(t, NULL) == 0);
	say_fact("sets", sets + LOADS * SETS_BY_LIBRARY);
	puts("loaded and unloaded");
	return 0;
}
