/* SPDX-License-Identifier: MIT
 *
 * Shows: 64 threads that try to pin themselves at once, round after round, and hold what they got until all have tried.
 * Prints for each round how many were pinned, and fails when one was that the kernel has elsewhere.
 *
 *   enf_pin_storm ROUNDS same|apart       all on the first CPU, or in turns on the first two
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define THREADS 64

static pthread_barrier_t before, tried, after;
static atomic_int pinned;
static long rounds;
static int cpus; /* to take turns on */

static void *pin(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu((int)((long)arg % cpus)));

	for (long r = 0; r < rounds; r++) {
		pthread_barrier_wait(&before);
		bool got = sched_setaffinity(0, sizeof(one), &one) == 0;
		CHECK(got || errno == EPERM);
		CHECK(target_mask_is(got ? &one : target_all_cpus()));
		atomic_fetch_add(&pinned, got);
		pthread_barrier_wait(&tried);
		if (got)
			CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
		pthread_barrier_wait(&after);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	rounds = target_arg(argc, argv, 1, 20);
	cpus = argc > 2 && strcmp(argv[2], "apart") == 0 ? 2 : 1;
	target_cpu(1);
	CHECK(pthread_barrier_init(&before, NULL, THREADS + 1) == 0);
	CHECK(pthread_barrier_init(&tried, NULL, THREADS + 1) == 0);
	CHECK(pthread_barrier_init(&after, NULL, THREADS + 1) == 0);
	for (long i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, pin, (void *)i) == 0);
	for (long r = 0; r < rounds; r++) {
		pthread_barrier_wait(&before);
		pthread_barrier_wait(&tried);
		printf("%d\n", atomic_exchange(&pinned, 0));
		pthread_barrier_wait(&after);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	return 0;
}
