/* SPDX-License-Identifier: MIT
 *
 * Shows: a C program that loads C++ and its unwinder late, by dlopen, after threads ran and pinned. late_cxx LIBRARY
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static void *pins(void *arg)
{
	wander(wander_next(), wander_pin, NULL);
	wander(wander_next(), wander_release, NULL);
	return arg;
}

static void *loads(void *arg)
{
	const char *(*throw_and_unwind)(void);
	void *library = dlopen(arg, RTLD_NOW | RTLD_LOCAL);

	CHECK(library != NULL);
	*(void **)&throw_and_unwind = dlsym(library, "throw_and_unwind");
	CHECK(throw_and_unwind != NULL);
	for (int i = 0; i < 3; i++)
		puts(throw_and_unwind());
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	CHECK(argc == 2);
	CHECK(pthread_create(&t, NULL, pins, NULL) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	loads(argv[1]);
	CHECK(pthread_create(&t, NULL, loads, argv[1]) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	return 0;
}
