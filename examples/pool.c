/* SPDX-License-Identifier: MIT
 *
 * The bug: a task borrows a CPU for its hot loop by pinning the thread it runs on and forgets to give it back. Every
 * thread of the pool ends on one CPU, and so does whatever runs on it next. The cure: the same task puts the mask
 * back that it found.
 *
 *   cc -O2 -g -pthread -o pool examples/pool.c
 *   pinwarden run -- ./pool          four leaked pins, with the line that made them
 *   pinwarden run -- ./pool cured    none
 */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define THREADS 4

static bool cured;

static void pin_to(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static unsigned long hot_loop(unsigned long n)
{
	unsigned long sum = 0;

	for (unsigned long i = 0; i < n; i++)
		sum += i * i;
	return sum;
}

static unsigned long task(unsigned long n)
{
	cpu_set_t before;
	unsigned long sum;

	sched_getaffinity(0, sizeof(before), &before);
	pin_to(0);
	sum = hot_loop(n);
	if (cured)
		sched_setaffinity(0, sizeof(before), &before);
	return sum;
}

static void *worker(void *ret_sum)
{
	*(unsigned long *)ret_sum = task(100000);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	unsigned long sums[THREADS], total = 0;

	cured = argc > 1 && strcmp(argv[1], "cured") == 0;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, worker, &sums[i]) != 0)
			return 1;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		total += sums[i];
	}
	printf("%lu\n", total);
	return 0;
}
