/* SPDX-License-Identifier: MIT
 *
 * Double booking: two parts of a program, each with a pinned worker and each sure that it is the only one, count CPUs
 * from the first. Both workers end on one CPU and get half of it each, while another CPU idles. No tool that looks
 * at one thread at a time can see it.
 *
 *   make examples
 *   build/pinwarden run -p examples/policies/double_booking.ini -- build/examples/double_booking
 *                                       max_pinned_per_cpu = 1: the second pin is named, with the stack that made it
 *   build/pinwarden run -p examples/policies/double_booking.ini --enforce -- build/examples/double_booking
 *                                       the second pin is refused, and its worker runs on any CPU
 *   build/pinwarden run -p examples/policies/double_booking.ini --enforce -- build/examples/double_booking cured
 *                                       one plan for all workers: nothing is said
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/cpus.h"

#define PARTS 2

/* A worker waits for its turn to pin, so that the first part always gets the CPU, and both stay pinned until both
 * have been. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int tried; /* workers that have pinned themselves, or were refused */
} turn = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct part {
	pthread_t thread;
	const char *name;
	int order;
	int cpu;
	int error;
};

static void wait_for(int tried)
{
	while (turn.tried < tried)
		pthread_cond_wait(&turn.changed, &turn.lock);
}

static void *work(void *arg)
{
	struct part *part = arg;
	cpu_set_t before;

	pthread_setname_np(pthread_self(), part->name);
	pthread_mutex_lock(&turn.lock);
	wait_for(part->order);
	part->error = cpus_pin(part->cpu, &before);
	turn.tried++;
	pthread_cond_broadcast(&turn.changed);
	wait_for(PARTS);
	pthread_mutex_unlock(&turn.lock);
	if (!part->error)
		cpus_release(&before);
	return NULL;
}

/* The first part's plan, and the second part's copy of it. */
static int cpu_of_part(int part, bool cured)
{
	return cpus_nth(cured ? part : 0);
}

int main(int argc, char **argv)
{
	struct part parts[PARTS] = {{.name = "ingest"}, {.name = "index"}};
	bool cured = argc > 1 && strcmp(argv[1], "cured") == 0;

	cpus_need(2);
	for (int i = 0; i < PARTS; i++) {
		parts[i].order = i;
		parts[i].cpu = cpu_of_part(i, cured);
		/* Both are needed to go on: without the second the first would wait for ever. */
		if (pthread_create(&parts[i].thread, NULL, work, &parts[i]) != 0) {
			fprintf(stderr, "no thread for %s\n", parts[i].name);
			return 1;
		}
	}
	for (int i = 0; i < PARTS; i++) {
		pthread_join(parts[i].thread, NULL);
		printf("%s: %s\n", parts[i].name, parts[i].error ? strerror(parts[i].error) : "pinned");
	}
	return 0;
}
