/* SPDX-License-Identifier: MIT
 *
 * A mask is inherited: the kernel gives a new thread the mask of the one that creates it. A thread that pins itself
 * and starts helpers afterwards has put them all on its own CPU, though nobody asked for that; they compete with it
 * for the CPU it wanted for itself. (Go creates threads from a template thread to avoid just this.)
 *
 * A writer pins itself and then starts three helpers: one CPU for all four. Then it does it right: a helper made
 * before the pin, and one whose attribute says on which CPUs it is born.
 *
 *   make examples
 *   build/pinwarden run -- build/examples/inheriting_helper
 *   build/pinwarden run -p examples/policies/inheriting_helper.ini --enforce -- build/examples/inheriting_helper
 *                                       inherited = reset: the helpers run on the mask that the process had
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/cpus.h"

#define HELPERS 3

struct helper {
	pthread_t thread;
	const char *made;
	int cpus; /* that it may use, as it saw itself */
};

static cpu_set_t all;

static void *help(void *arg)
{
	struct helper *h = arg;

	pthread_setname_np(pthread_self(), "helper");
	h->cpus = cpus_allowed();
	return NULL;
}

static int start_helper(struct helper *h, const char *made, const pthread_attr_t *attr)
{
	h->made = made;
	return pthread_create(&h->thread, attr, help, h);
}

/* A helper that says where it runs, whatever its creator's mask is. */
static int start_free_helper(struct helper *h, const char *made)
{
	pthread_attr_t attr;
	int error = pthread_attr_init(&attr);

	if (error)
		return error;
	error = pthread_attr_setaffinity_np(&attr, sizeof(all), &all);
	if (!error)
		error = start_helper(h, made, &attr);
	pthread_attr_destroy(&attr);
	return error;
}

/* The pinned writer: `helpers` are started in the order of the text above. */
static int start_all(struct helper *helpers)
{
	cpu_set_t before;
	int error = start_helper(&helpers[0], "before the pin", NULL);

	if (!error)
		error = cpus_pin(cpus_nth(0), &before);
	for (int i = 1; !error && i <= HELPERS; i++)
		error = start_helper(&helpers[i], "by the pinned writer", NULL);
	if (!error)
		error = start_free_helper(&helpers[HELPERS + 1], "with an attribute");
	if (!error)
		error = cpus_release(&before);
	return error;
}

static void *write_all(void *arg)
{
	struct helper helpers[HELPERS + 2] = {0};

	pthread_setname_np(pthread_self(), "writer");
	*(int *)arg = start_all(helpers);
	for (int i = 0; i < HELPERS + 2 && helpers[i].thread; i++) {
		pthread_join(helpers[i].thread, NULL);
		printf("helper made %s: %s\n", helpers[i].made,
		       helpers[i].cpus == 1 ? "one CPU" : "all CPUs");
	}
	return NULL;
}

int main(void)
{
	pthread_t writer;
	int error, result = 0;

	cpus_need(2);
	if (sched_getaffinity(0, sizeof(all), &all) != 0) {
		perror("no mask");
		return 1;
	}
	error = pthread_create(&writer, NULL, write_all, &result);
	if (!error)
		error = pthread_join(writer, NULL);
	if (!error)
		error = result;
	if (error)
		fprintf(stderr, "cannot help: %s\n", strerror(error));
	return error != 0;
}
