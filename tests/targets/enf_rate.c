/* SPDX-License-Identifier: MIT
 *
 * Shows: pins that come again and again: from one place, from several threads at once, and by threads that live only to be
 * pinned. Prints how many were done and how many refused (EPERM).
 *
 *   enf_rate repeat N      pin_again pins and releases N times; then pin_elsewhere three times
 *   enf_rate threads N     eight threads at once, N times each through one place
 *   enf_rate churn N       N threads, one after the other, each pins itself, releases and ends
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define THREADS 8

static atomic_int done, refused;
static long times;
static pthread_barrier_t together;

static void count(int result)
{
	CHECK(result == 0 || errno == EPERM);
	if (result == 0) {
		CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
		atomic_fetch_add(&done, 1);
	} else {
		atomic_fetch_add(&refused, 1);
	}
}

__attribute__((noinline)) static void pin_again(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	count(sched_setaffinity(0, sizeof(one), &one));
}

/* On another CPU: were it the same code, the compiler would make one function of the two. */
__attribute__((noinline)) static void pin_elsewhere(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(1));

	count(sched_setaffinity(0, sizeof(one), &one));
}

static void say(const char *what)
{
	printf("%s: %d done, %d refused\n", what, atomic_exchange(&done, 0), atomic_exchange(&refused, 0));
}

static void *pins_often(void *arg)
{
	pthread_barrier_wait(&together);
	for (long i = 0; i < times; i++)
		pin_again();
	return arg;
}

static void *pins_once(void *arg)
{
	pin_again();
	return arg;
}

static void from_threads(void)
{
	pthread_t threads[THREADS];

	CHECK(pthread_barrier_init(&together, NULL, THREADS) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, pins_often, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	say("threads");
}

static void churn(void)
{
	pthread_t t;

	for (long i = 0; i < times; i++) {
		CHECK(pthread_create(&t, NULL, pins_once, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
	say("churn");
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "repeat";

	target_cpu(1);
	times = target_arg(argc, argv, 2, 10);
	if (strcmp(how, "threads") == 0) {
		from_threads();
	} else if (strcmp(how, "churn") == 0) {
		churn();
	} else {
		for (long i = 0; i < times; i++)
			pin_again();
		say("repeat");
		for (volatile int i = 0; i < 3; i++) /* unrolled it would be three places */
			pin_elsewhere();
		say("elsewhere");
	}
	return 0;
}
