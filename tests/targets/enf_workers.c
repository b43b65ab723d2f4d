/* SPDX-License-Identifier: MIT
 *
 * Shows: threads that try to pin themselves one after the other and hold what they got until all have tried. Those with
 * even numbers are called worker-N and made by make_worker, the others other-N and made by make_other. Prints what each
 * got (errno, 0 = done), in their order.
 *
 *   enf_workers N same|apart|none [hold]      all on the first CPU; in turns on the first two; no pin at all
 *
 * With "hold" they end with their pin open, else they release it.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WORKERS_MAX 64

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int tried;
	bool done;
} turn = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct worker {
	pthread_t thread;
	char name[16];
	int cpu; /* -1: none */
	int error;
};

static bool hold;

__attribute__((noinline)) static int pin_here(int cpu)
{
	cpu_set_t one = target_one_cpu(cpu);

	return pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	CHECK(pthread_setname_np(pthread_self(), w->name) == 0);
	if (w->cpu >= 0)
		w->error = pin_here(w->cpu);
	if (w->cpu < 0 || w->error)
		CHECK(target_mask_is(target_all_cpus()));
	pthread_mutex_lock(&turn.lock);
	turn.tried++;
	pthread_cond_broadcast(&turn.changed);
	while (!turn.done)
		pthread_cond_wait(&turn.changed, &turn.lock);
	pthread_mutex_unlock(&turn.lock);
	if (w->cpu >= 0 && !w->error && !hold)
		CHECK(pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), target_all_cpus()) == 0);
	return NULL;
}

__attribute__((noinline)) static void make_worker(struct worker *w)
{
	CHECK(pthread_create(&w->thread, NULL, work, w) == 0);
}

__attribute__((noinline)) static void make_other(struct worker *w)
{
	CHECK(pthread_create(&w->thread, NULL, work, w) == 0);
}

static void make(struct worker *w, int number)
{
	snprintf(w->name, sizeof(w->name), number % 2 ? "other-%d" : "worker-%d", number);
	if (number % 2)
		make_other(w);
	else
		make_worker(w);
	pthread_mutex_lock(&turn.lock);
	while (turn.tried <= number)
		pthread_cond_wait(&turn.changed, &turn.lock);
	pthread_mutex_unlock(&turn.lock);
}

int main(int argc, char **argv)
{
	static struct worker workers[WORKERS_MAX];
	int n = (int)target_arg(argc, argv, 1, 4);
	const char *where = argc > 2 ? argv[2] : "apart";

	CHECK(n > 0 && n <= WORKERS_MAX);
	hold = argc > 3 && strcmp(argv[3], "hold") == 0;
	target_cpu(1);
	for (int i = 0; i < n; i++) {
		workers[i].cpu =
		    strcmp(where, "none") == 0 ? -1 : target_cpu(strcmp(where, "same") == 0 ? 0 : i % 2);
		make(&workers[i], i);
	}
	pthread_mutex_lock(&turn.lock);
	turn.done = true;
	pthread_cond_broadcast(&turn.changed);
	pthread_mutex_unlock(&turn.lock);
	for (int i = 0; i < n; i++) {
		CHECK(pthread_join(workers[i].thread, NULL) == 0);
		printf("%s %d\n", workers[i].name, workers[i].error);
	}
	return 0;
}
