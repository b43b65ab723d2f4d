/* SPDX-License-Identifier: MIT
 *
 * Shows: threads pinned by other threads: the main thread pins a worker by pthread_t and releases it
 * by tid; the worker pins the main thread and releases it.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static pthread_barrier_t step;
static atomic_int worker_tid;
static pthread_t main_thread;

static void *worker(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu(0)), other = target_one_cpu(target_cpu(1));

	atomic_store(&worker_tid, target_tid());
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step); /* pinned by main */
	CHECK(target_mask_is(&one));
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step); /* released by main */
	CHECK(target_mask_is(target_all_cpus()));
	CHECK(pthread_setaffinity_np(main_thread, sizeof(other), &other) == 0);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	CHECK(sched_setaffinity(getpid(), sizeof(cpu_set_t), target_all_cpus()) == 0);
	return arg;
}

int main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0)), other = target_one_cpu(target_cpu(1));
	pthread_t t;

	main_thread = pthread_self();
	CHECK(pthread_barrier_init(&step, NULL, 2) == 0);
	CHECK(pthread_create(&t, NULL, worker, NULL) == 0);
	pthread_barrier_wait(&step);
	CHECK(pthread_setaffinity_np(t, sizeof(one), &one) == 0);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	CHECK(sched_setaffinity(atomic_load(&worker_tid), sizeof(cpu_set_t), target_all_cpus()) == 0);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step); /* pinned by the worker */
	CHECK(target_mask_is(&other));
	pthread_barrier_wait(&step);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(target_mask_is(target_all_cpus()));
	puts("pinned across");
	return 0;
}
