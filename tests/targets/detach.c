/* SPDX-License-Identifier: MIT
 *
 * Shows: the four ways to be detached: born so, by the creator, by oneself, and after having ended.
 * Each thread is gone from the kernel before the process ends.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

static sem_t go;

static void *waiter(void *arg)
{
	while (sem_wait(&go) != 0)
		CHECK(errno == EINTR);
	return arg;
}

static void *detaches_itself(void *arg)
{
	CHECK(pthread_detach(pthread_self()) == 0);
	return arg;
}

static void *short_lived(void *arg)
{
	return arg;
}

int main(void)
{
	pthread_attr_t attr;
	pthread_t t;
	int state;

	CHECK(sem_init(&go, 0, 0) == 0);
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
	CHECK(pthread_attr_getdetachstate(&attr, &state) == 0 && state == PTHREAD_CREATE_DETACHED);
	CHECK(pthread_create(&t, &attr, waiter, NULL) == 0);
	CHECK(pthread_join(t, NULL) == EINVAL);
	CHECK(pthread_detach(t) == EINVAL);

	CHECK(pthread_create(&t, NULL, waiter, NULL) == 0);
	CHECK(pthread_detach(t) == 0);
	CHECK(pthread_join(t, NULL) == EINVAL);

	CHECK(pthread_create(&t, NULL, detaches_itself, NULL) == 0);
	sem_post(&go);
	sem_post(&go);
	target_wait_threads(1);

	CHECK(pthread_create(&t, NULL, short_lived, NULL) == 0);
	target_wait_threads(1);
	CHECK(pthread_detach(t) == 0);
	puts("four detached");
	return 0;
}
