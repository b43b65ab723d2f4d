/* SPDX-License-Identifier: MIT
 *
 * Shows: 64 threads that each try to make four more, all at once and round after round; what is made stays until all
 * have tried. Prints for each round how many were made, and fails when the kernel ever had another number of them.
 *
 *   enf_storm ROUNDS
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define CREATORS 64
#define EACH 4

static pthread_barrier_t before, tried, after;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int wave; /* a made thread waits until its own wave is over */
static atomic_int made;
static long rounds;

static void *waits(void *arg)
{
	int mine = (int)(long)arg;

	pthread_mutex_lock(&lock);
	while (wave == mine)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void *create(void *arg)
{
	for (long r = 0; r < rounds; r++) {
		pthread_t threads[EACH];
		int n = 0;

		pthread_barrier_wait(&before);
		for (int i = 0; i < EACH; i++) {
			int error = pthread_create(&threads[n], NULL, waits, (void *)r);

			CHECK(error == 0 || error == EAGAIN);
			n += !error;
		}
		atomic_fetch_add(&made, n);
		pthread_barrier_wait(&tried);
		for (int i = 0; i < n; i++)
			CHECK(pthread_join(threads[i], NULL) == 0);
		pthread_barrier_wait(&after);
	}
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t creators[CREATORS];

	rounds = target_arg(argc, argv, 1, 20);
	CHECK(pthread_barrier_init(&before, NULL, CREATORS + 1) == 0);
	CHECK(pthread_barrier_init(&tried, NULL, CREATORS + 1) == 0);
	CHECK(pthread_barrier_init(&after, NULL, CREATORS + 1) == 0);
	for (int i = 0; i < CREATORS; i++)
		CHECK(pthread_create(&creators[i], NULL, create, NULL) == 0);
	for (long r = 0; r < rounds; r++) {
		pthread_barrier_wait(&before);
		pthread_barrier_wait(&tried);
		/* All have tried and nothing has ended: the kernel must have just these. */
		target_wait_threads(1 + CREATORS + atomic_load(&made));
		printf("%d\n", atomic_exchange(&made, 0));
		pthread_mutex_lock(&lock);
		wave++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		pthread_barrier_wait(&after);
	}
	for (int i = 0; i < CREATORS; i++)
		CHECK(pthread_join(creators[i], NULL) == 0);
	return 0;
}
