/* SPDX-License-Identifier: MIT
 *
 * A dependency whose constructor, run before that of any preloaded library, does everything the shim wraps: it creates, names,
 * pins, joins, detaches, forks, and waits for a thread that pins at the same time.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

int first_steps(void);

static int steps;
static cpu_set_t all, one;

static void need(int condition)
{
	if (!condition)
		abort();
	steps++;
}

static void *pins(void *arg)
{
	if (sched_setaffinity(0, sizeof(one), &one) != 0 ||
	    syscall(SYS_sched_setaffinity, 0, sizeof(all), &all) != 0)
		return NULL;
	return arg;
}

static int returns(void *arg)
{
	return *(int *)arg;
}

static void forks(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(pins(&status) ? 7 : 8);
	need(pid > 0 && waitpid(pid, &status, 0) == pid);
	need(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

__attribute__((constructor)) static void first(void)
{
	pthread_t t[4];
	int seven = 7, got = 0, cpu = 0, mark;
	thrd_t c;
	void *result;

	need(sched_getaffinity(0, sizeof(all), &all) == 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_SET(cpu, &one);
	for (int i = 0; i < 4; i++)
		need(pthread_create(&t[i], NULL, pins, &mark) == 0);
	need(prctl(PR_SET_NAME, "first") == 0);
	for (int i = 0; i < 3; i++)
		need(pthread_join(t[i], &result) == 0 && result == &mark);
	need(pthread_detach(t[3]) == 0);
	need(thrd_create(&c, returns, &seven) == thrd_success);
	need(thrd_join(c, &got) == thrd_success && got == 7);
	need(pthread_setaffinity_np(pthread_self(), sizeof(one), &one) == 0);
	need(sched_setaffinity(0, sizeof(all), &all) == 0);
	forks();
}

int first_steps(void)
{
	return steps;
}
