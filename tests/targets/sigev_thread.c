/* SPDX-License-Identifier: MIT
 *
 * Shows: threads libc makes for itself. timer_create(SIGEV_THREAD) starts a helper that lives on, and
 * a thread for each notification, which pins itself and releases.
 */
#include "tests/targets/common/common.h"

#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

static sem_t notified;

static void on_timer(union sigval value)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(value.sival_int == 42);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	sem_post(&notified);
}

int main(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_timer};
	const struct itimerspec once = {.it_value.tv_nsec = 1000000};
	timer_t timer;

	target_cpu(1);
	event.sigev_value.sival_int = 42;
	CHECK(sem_init(&notified, 0, 0) == 0);
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	for (int i = 0; i < 2; i++) {
		CHECK(timer_settime(timer, 0, &once, NULL) == 0);
		CHECK(sem_wait(&notified) == 0);
		target_wait_threads(2); /* main and the helper: the notified thread is gone */
	}
	CHECK(timer_delete(timer) == 0);
	puts("two notifications");
	return 0;
}
