/* SPDX-License-Identifier: MIT
 *
 * Shows: threads created and joined, as often as asked. create_join [THREADS [CYCLES]]
 * Every thread gets its own argument and its return value arrives at the joiner.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#define AT_ONCE 64

static void *worker(void *arg)
{
	return (char *)arg + 1;
}

static void cycle(int threads)
{
	pthread_t t[AT_ONCE];

	for (intptr_t i = 0; i < threads; i++)
		CHECK(pthread_create(&t[i], NULL, worker, (void *)(i * 2)) == 0);
	for (intptr_t i = 0; i < threads; i++) {
		void *got;

		CHECK(pthread_join(t[i], &got) == 0);
		CHECK(got == (void *)(i * 2 + 1));
	}
}

int main(int argc, char **argv)
{
	long threads = target_arg(argc, argv, 1, 4), cycles = target_arg(argc, argv, 2, 1);

	CHECK(threads > 0 && threads <= AT_ONCE);
	for (long i = 0; i < cycles; i++)
		cycle((int)threads);
	printf("%ld threads\n", threads * cycles);
	return 0;
}
