/* SPDX-License-Identifier: MIT
 *
 * Shows: what is a cancellation point and what is not.
 *   cancels points   a thread with a cancellation pending calls what must not act on it, from new stacks and often enough
 *                    that the trace grows; then it says it came through, and only then is cancelled
 *   cancels join     a thread waits in each form of join and is cancelled there; the thread it waited for can still be joined
 * Fact: "sets".
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 400

static pthread_barrier_t meet;
static volatile bool came_through;
static volatile bool let_go;

static void *nothing(void *arg)
{
	return arg;
}

static int nothing_thrd(void *arg)
{
	return arg != NULL;
}

static void detach_one(void *unused)
{
	pthread_t t;
	thrd_t u;

	(void)unused;
	CHECK(pthread_create(&t, NULL, nothing, NULL) == 0);
	CHECK(pthread_setname_np(pthread_self(), "pending") == 0);
	CHECK(pthread_detach(t) == 0);
	CHECK(thrd_create(&u, nothing_thrd, NULL) == thrd_success);
	CHECK(thrd_detach(u) == thrd_success);
	CHECK(prctl(PR_SET_NAME, "pending") == 0);
}

static void *calls_all(void *arg)
{
	pthread_attr_t attr;

	CHECK(pthread_cancel(pthread_self()) == 0);
	CHECK(pthread_attr_init(&attr) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		unsigned path = wander_next();

		wander(path, wander_pin, NULL);
		CHECK(syscall(SYS_sched_setaffinity, 0, sizeof(cpu_set_t), target_all_cpus()) == 0);
		CHECK(pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), target_all_cpus()) == 0);
		CHECK(pthread_attr_setaffinity_np(&attr, sizeof(cpu_set_t), target_all_cpus()) == 0);
		CHECK(pthread_tryjoin_np(pthread_self(), NULL) != 0);
		if (i % 8 == 0)
			wander(path, detach_one, NULL);
	}
	CHECK(pthread_attr_destroy(&attr) == 0);
	came_through = true;
	pthread_testcancel();
	return arg;
}

static void points(void)
{
	pthread_t t;
	void *got;

	CHECK(pthread_create(&t, NULL, calls_all, NULL) == 0);
	CHECK(pthread_join(t, &got) == 0);
	CHECK(came_through && got == PTHREAD_CANCELED);
	target_wait_threads(1);
	say_fact("sets", 3 * ROUNDS);
	puts("came through, then cancelled");
}

/* ---- join ------------------------------------------------------------------------------ */

static void *waits_to_be_let_go(void *arg)
{
	const struct timespec pause = {.tv_nsec = 200000};

	while (!let_go)
		nanosleep(&pause, NULL);
	return arg;
}

enum form { JOIN, TIMED, CLOCK, FORMS };

struct join {
	enum form form;
	pthread_t target;
};

static void *joins(void *arg)
{
	const struct join *join = arg;
	const struct timespec never = {.tv_sec = INT32_MAX};

	CHECK(pthread_barrier_wait(&meet) <= 0);
	if (join->form == JOIN)
		pthread_join(join->target, NULL);
	else if (join->form == TIMED)
		pthread_timedjoin_np(join->target, NULL, &never);
	else
		pthread_clockjoin_np(join->target, NULL, CLOCK_MONOTONIC, &never);
	return arg;
}

static void cancel_in(enum form form)
{
	struct join join = {.form = form};
	pthread_t joiner;
	void *got;
	int mark;

	let_go = false;
	CHECK(pthread_create(&join.target, NULL, waits_to_be_let_go, &mark) == 0);
	CHECK(pthread_create(&joiner, NULL, joins, &join) == 0);
	CHECK(pthread_barrier_wait(&meet) <= 0); /* 0, or PTHREAD_BARRIER_SERIAL_THREAD */
	CHECK(pthread_cancel(joiner) == 0);
	CHECK(pthread_join(joiner, &got) == 0 && got == PTHREAD_CANCELED);
	let_go = true;
	CHECK(pthread_join(join.target, &got) == 0 && got == &mark);
}

int main(int argc, char **argv)
{
	target_cpu(1);
	CHECK(pthread_barrier_init(&meet, NULL, 2) == 0);
	if (argc > 1 && strcmp(argv[1], "join") == 0) {
		for (int form = JOIN; form < FORMS; form++)
			cancel_in((enum form)form);
		puts("cancelled in each join, joined later");
	} else {
		points();
	}
	return 0;
}
