/* SPDX-License-Identifier: MIT
 *
 * Shows: every form of join, its failure first (EBUSY, ETIMEDOUT, EDEADLK), its success then.
 * A join is a cancellation point: a thread cancelled in one leaves its target joinable.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>

static sem_t go;

static void *waiter(void *arg)
{
	while (sem_wait(&go) != 0)
		CHECK(errno == EINTR);
	return arg;
}

static void *joins(void *arg)
{
	pthread_join(*(pthread_t *)arg, NULL);
	return NULL;
}

static struct timespec from_now(clockid_t clock, long ms)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += ms % 1000 * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	return ts;
}

static void try_join(void *mark)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	pthread_t t;
	void *got = NULL;
	int rc;

	CHECK(pthread_create(&t, NULL, waiter, mark) == 0);
	CHECK(pthread_tryjoin_np(t, &got) == EBUSY && got == NULL);
	sem_post(&go);
	while ((rc = pthread_tryjoin_np(t, &got)) == EBUSY)
		nanosleep(&pause, NULL);
	CHECK(rc == 0 && got == mark);
}

static void timed_join(void *mark)
{
	struct timespec until = from_now(CLOCK_REALTIME, 20);
	pthread_t t;
	void *got = NULL;

	CHECK(pthread_create(&t, NULL, waiter, mark) == 0);
	CHECK(pthread_timedjoin_np(t, &got, &until) == ETIMEDOUT && got == NULL);
	sem_post(&go);
	until = from_now(CLOCK_REALTIME, 60000);
	CHECK(pthread_timedjoin_np(t, &got, &until) == 0 && got == mark);
}

static void clock_join(void *mark)
{
	struct timespec until = from_now(CLOCK_MONOTONIC, 20);
	pthread_t t;
	void *got = NULL;

	CHECK(pthread_create(&t, NULL, waiter, mark) == 0);
	CHECK(pthread_clockjoin_np(t, &got, CLOCK_MONOTONIC, &until) == ETIMEDOUT);
	CHECK(pthread_clockjoin_np(t, &got, CLOCK_PROCESS_CPUTIME_ID, &until) == EINVAL);
	sem_post(&go);
	until = from_now(CLOCK_MONOTONIC, 60000);
	CHECK(pthread_clockjoin_np(t, &got, CLOCK_MONOTONIC, &until) == 0 && got == mark);
}

static void cancelled_join(void *mark)
{
	pthread_t t, joiner;
	void *got;

	CHECK(pthread_create(&t, NULL, waiter, mark) == 0);
	CHECK(pthread_create(&joiner, NULL, joins, &t) == 0);
	CHECK(pthread_cancel(joiner) == 0);
	CHECK(pthread_join(joiner, &got) == 0 && got == PTHREAD_CANCELED);
	sem_post(&go);
	CHECK(pthread_join(t, &got) == 0 && got == mark);
}

int main(void)
{
	int mark;

	CHECK(sem_init(&go, 0, 0) == 0);
	CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
	try_join(&mark);
	timed_join(&mark);
	clock_join(&mark);
	cancelled_join(&mark);
	puts("five threads joined");
	return 0;
}
