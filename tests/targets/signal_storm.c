/* SPDX-License-Identifier: MIT
 *
 * Shows: a signal handler that pins and releases, every 200 microseconds, into threads that do the
 * same, create and join. signal_storm [SIGNALS]: so many handlers pin, whenever they come.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/time.h>

static atomic_long left;
static atomic_bool over;

static void on_alarm(int signal)
{
	cpu_set_t one = target_one_cpu(target_cpu(1));
	int saved = errno;

	(void)signal;
	if (atomic_fetch_sub(&left, 1) > 0) {
		CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
		CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	} else {
		atomic_store(&over, true);
	}
	errno = saved;
}

static void *nothing(void *arg)
{
	return arg;
}

/* Creates until the storm is over: pins come from handlers alone, so their number is known. */
static void *creates(void *arg)
{
	while (!atomic_load(&over)) {
		pthread_t t;

		CHECK(pthread_create(&t, NULL, nothing, arg) == 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
	return arg;
}

int main(int argc, char **argv)
{
	long signals = target_arg(argc, argv, 1, 1000);
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval every = {.it_interval.tv_usec = 200, .it_value.tv_usec = 200};
	const struct itimerval never = {0};
	pthread_t t[2];

	target_cpu(1);
	atomic_store(&left, signals);
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, creates, NULL) == 0);
	creates(NULL);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	printf("%ld signals\n", signals);
	return 0;
}
