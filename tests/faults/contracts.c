/* SPDX-License-Identifier: MIT
 *
 * Shows: what every wrapped function returns, and leaves in errno, when it succeeds and when it fails. Prints one line
 * each: bare and under the shim they must be the same.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define MARK 4242

/* errno is set to MARK before the call: success leaves it, unless libc's own call does not. */
#define SAY(call)                                                                                            \
	do {                                                                                                 \
		errno = MARK;                                                                                \
		long result = (long)(call);                                                                  \
		int after = errno;                                                                           \
		printf("%s: %ld, errno %d\n", #call, result, after);                                         \
	} while (0)

static void *nothing(void *arg)
{
	return arg;
}

static int nothing_thrd(void *arg)
{
	return arg != NULL;
}

static void *sleeps(void *arg)
{
	pause();
	return arg;
}

static const cpu_set_t none;
static cpu_set_t one, all;
static void *volatile bad_address = (void *)8, *volatile null; /* volatile: the compiler shall not know */

static void affinity(void)
{
	const cpu_set_t *bad = bad_address;

	SAY(sched_setaffinity(0, sizeof(one), &one));
	SAY(sched_setaffinity(0, sizeof(all), &all));
	SAY(sched_setaffinity(0, sizeof(none), &none));
	SAY(sched_setaffinity(0, 0, &all));
	SAY(sched_setaffinity(0, 8, &all));
	SAY(sched_setaffinity(0, sizeof(all), bad));
	SAY(sched_setaffinity(0, sizeof(all), null));
	SAY(sched_setaffinity(-1, sizeof(all), &all));
	SAY(sched_setaffinity(INT_MAX, sizeof(all), &all));
	SAY(sched_setaffinity(getppid(), 0, NULL));
	SAY(pthread_setaffinity_np(pthread_self(), sizeof(one), &one));
	SAY(pthread_setaffinity_np(pthread_self(), sizeof(all), &all));
	SAY(pthread_setaffinity_np(pthread_self(), 0, &all));
	SAY(pthread_setaffinity_np(pthread_self(), sizeof(none), &none));
	SAY(pthread_setaffinity_np(pthread_self(), sizeof(all), bad));
	SAY(syscall(SYS_sched_setaffinity, 0, sizeof(all), &all));
	SAY(syscall(SYS_sched_setaffinity, 0, sizeof(all), bad));
	SAY(syscall(SYS_sched_setaffinity, INT_MAX, sizeof(all), &all));
	SAY(syscall(-1));
	SAY(syscall(SYS_getppid) == getppid());
}

static void attributes(void)
{
	pthread_attr_t attr, small;
	pthread_t t;

	SAY(pthread_attr_init(&attr));
	SAY(pthread_attr_setaffinity_np(&attr, sizeof(one), &one));
	SAY(pthread_create(&t, &attr, nothing, NULL));
	SAY(pthread_join(t, NULL));
	SAY(pthread_attr_setaffinity_np(&attr, sizeof(none), &none));
	SAY(pthread_create(&t, &attr, nothing, NULL)); /* EINVAL from the kernel, and no thread left behind */
	SAY(pthread_attr_setaffinity_np(&attr, 0, null));
	SAY(pthread_create(&t, &attr, nothing, NULL));
	SAY(pthread_join(t, NULL));
	SAY(pthread_attr_destroy(&attr));
	SAY(pthread_attr_init(&small));
	SAY(pthread_setattr_default_np(&small));
	SAY(pthread_attr_setstacksize(&small, (size_t)1 << 46));
	SAY(pthread_create(&t, &small, nothing, NULL)); /* EAGAIN: no such stack */
	SAY(pthread_attr_destroy(&small));
}

static void threads(void)
{
	const struct timespec past = {.tv_sec = 1};
	pthread_t t, u;
	thrd_t c;
	int got = -1;

	SAY(pthread_create(&t, NULL, sleeps, NULL));
	SAY(pthread_tryjoin_np(t, NULL));
	SAY(pthread_timedjoin_np(t, NULL, &past));
	SAY(pthread_clockjoin_np(t, NULL, CLOCK_MONOTONIC, &past));
	SAY(pthread_clockjoin_np(t, NULL, 99, &past));
	SAY(pthread_setname_np(t, "a name that is much too long"));
	SAY(pthread_setname_np(t, "fits"));
	SAY(pthread_cancel(t));
	SAY(pthread_join(t, NULL));
	SAY(pthread_join(pthread_self(), NULL));
	SAY(pthread_create(&u, NULL, nothing, NULL));
	SAY(pthread_detach(u));
	target_wait_threads(1);
	SAY(thrd_create(&c, nothing_thrd, &got));
	SAY(thrd_join(c, &got));
	SAY(got);
	SAY(thrd_create(&c, nothing_thrd, NULL));
	SAY(thrd_detach(c));
	target_wait_threads(1);
	SAY(prctl(PR_SET_NAME, "name"));
	SAY(prctl(PR_SET_NAME, 8));
	SAY(prctl(-1));
}

static void processes(void)
{
	char *none_at_all[] = {NULL};
	int status;
	pid_t pid;

	SAY(execve("/nonexistent", none_at_all, none_at_all));
	SAY(execv("/", none_at_all));
	SAY(execvp("no such program", none_at_all));
	SAY(execl("/nonexistent", "a", "b", NULL));
	SAY(execlp("no such program", "a", NULL));
	SAY(execle("/nonexistent", "a", NULL, none_at_all));
	SAY(fexecve(-1, none_at_all, none_at_all));
	SAY(execveat(-1, "nonexistent", none_at_all, none_at_all, 0));
	SAY(execve(bad_address, none_at_all, none_at_all));
	errno = MARK;
	pid = vfork();
	if (pid == 0)
		_exit(3);
	printf("vfork: errno %d\n", errno);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
	errno = MARK;
	pid = _Fork();
	if (pid == 0)
		_exit(errno == MARK ? 4 : 5);
	printf("_Fork: errno %d\n", errno);
	CHECK(waitpid(pid, &status, 0) == pid);
	printf("_Fork: child %d\n", WEXITSTATUS(status));
}

int main(void)
{
	one = target_one_cpu(target_cpu(1));
	all = *target_all_cpus();
	affinity();
	attributes();
	threads();
	processes();
	return 0;
}
