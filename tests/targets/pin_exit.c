/* SPDX-License-Identifier: MIT
 *
 * Shows: threads that end with their pin open: three by return from one place, one by pthread_exit,
 * one cancelled; and one pinned by the main thread. A sixth kind releases and is none.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

static sem_t pinned;

__attribute__((noinline)) static void pin_and_forget(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
}

static void *returns(void *arg)
{
	pin_and_forget();
	return arg;
}

static void *exits(void *arg)
{
	pin_and_forget();
	pthread_exit(arg);
}

static void *is_cancelled(void *arg)
{
	pin_and_forget();
	sem_post(&pinned);
	for (;;)
		pause();
	return arg;
}

static void *waits(void *arg)
{
	sem_wait(arg);
	return NULL;
}

static void *releases(void *arg)
{
	pin_and_forget();
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	return arg;
}

static void run(void *(*start)(void *))
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, start, NULL) == 0);
	CHECK(pthread_join(t, NULL) == 0);
}

int main(void)
{
	cpu_set_t other = target_one_cpu(target_cpu(1));
	pthread_t t;
	sem_t go;

	CHECK(sem_init(&pinned, 0, 0) == 0 && sem_init(&go, 0, 0) == 0);
	for (int i = 0; i < 3; i++)
		run(returns);
	run(exits);
	CHECK(pthread_create(&t, NULL, is_cancelled, NULL) == 0);
	sem_wait(&pinned);
	CHECK(pthread_cancel(t) == 0 && pthread_join(t, NULL) == 0);
	CHECK(pthread_create(&t, NULL, waits, &go) == 0);
	CHECK(pthread_setaffinity_np(t, sizeof(other), &other) == 0);
	sem_post(&go);
	CHECK(pthread_join(t, NULL) == 0);
	run(releases);
	puts("six ended pinned");
	return 0;
}
