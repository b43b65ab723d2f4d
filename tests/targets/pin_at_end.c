/* SPDX-License-Identifier: MIT
 *
 * Shows: pins still open when the process ends: the main thread's and a running worker's.
 *   pin_at_end exit|_exit|quick_exit|exit_group|abort|kill|return
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static sem_t pinned;

static void *worker(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	sem_post(&pinned);
	for (;;)
		pause();
	return arg;
}

static void leave(const char *how)
{
	if (strcmp(how, "exit") == 0)
		exit(7);
	if (strcmp(how, "_exit") == 0)
		_exit(7);
	if (strcmp(how, "quick_exit") == 0)
		quick_exit(7);
	if (strcmp(how, "exit_group") == 0)
		__asm__ volatile("syscall" : : "a"(SYS_exit_group), "D"(7L) : "rcx", "r11", "memory");
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGKILL);
}

int main(int argc, char **argv)
{
	cpu_set_t other = target_one_cpu(target_cpu(1));
	pthread_t t;

	CHECK(sem_init(&pinned, 0, 0) == 0);
	CHECK(pthread_create(&t, NULL, worker, NULL) == 0);
	sem_wait(&pinned);
	CHECK(sched_setaffinity(0, sizeof(other), &other) == 0);
	leave(argc > 1 ? argv[1] : "return");
	return 7;
}
