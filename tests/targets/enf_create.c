/* SPDX-License-Identifier: MIT
 *
 * Shows: threads made one after the other, all alive at once; a creation may be refused with EAGAIN and with nothing
 * else, and then the kernel has no such thread. Once all are joined as many can be made again. Prints how many were
 * made and refused, twice.
 *
 *   enf_create N
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#define THREADS_MAX 256

static sem_t go;

static void *waits(void *arg)
{
	while (sem_wait(&go) != 0)
		CHECK(errno == EINTR);
	return arg;
}

static void round_of(int n)
{
	pthread_t threads[THREADS_MAX];
	int made = 0, refused = 0;

	for (int i = 0; i < n; i++) {
		pthread_t before = threads[made] = pthread_self();
		int error = pthread_create(&threads[made], NULL, waits, NULL);

		CHECK(error == 0 || error == EAGAIN);
		/* A refused creation must not have handed out a thread. */
		CHECK(error == 0 || pthread_equal(threads[made], before));
		made += !error;
		refused += error == EAGAIN;
	}
	target_wait_threads(made + 1);
	printf("%d made, %d refused\n", made, refused);
	for (int i = 0; i < made; i++)
		CHECK(sem_post(&go) == 0);
	for (int i = 0; i < made; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	target_wait_threads(1);
}

int main(int argc, char **argv)
{
	int n = (int)target_arg(argc, argv, 1, 8);

	CHECK(n > 0 && n <= THREADS_MAX && sem_init(&go, 0, 0) == 0);
	round_of(n);
	round_of(n);
	return 0;
}
