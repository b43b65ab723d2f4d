/* SPDX-License-Identifier: MIT
 *
 * Shows: affinity calls that fail change nothing and keep libc's way of saying so. Nine failures as
 * root, who gives root up to be refused the last; eight otherwise.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The call failed with `error`, by the convention of sched_setaffinity and syscall. */
static bool refused(long rc, int error)
{
	return rc == -1 && errno == error;
}

static pid_t gone_process(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0)
		_exit(0);
	CHECK(waitpid(pid, NULL, 0) == pid);
	return pid;
}

/* A child of root may not be pinned by nobody. It ends with us, when the pipe's other end is gone. */
static void refuse_as_nobody(const cpu_set_t *one)
{
	int ours[2];
	pid_t child;
	char byte;

	CHECK(pipe(ours) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		close(ours[1]);
		_exit((int)read(ours[0], &byte, 1));
	}
	CHECK(setresuid(65534, 65534, 65534) == 0);
	CHECK(refused(sched_setaffinity(child, sizeof(*one), one), EPERM));
	close(ours[1]);
	CHECK(waitpid(child, NULL, 0) == child);
}

int main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0)), none, nowhere = target_one_cpu(CPU_SETSIZE - 1);
	bool root = getuid() == 0;

	target_cpu(1);
	CPU_ZERO(&none);
	CHECK(refused(sched_setaffinity(0, sizeof(none), &none), EINVAL));
	CHECK(refused(sched_setaffinity(0, sizeof(nowhere), &nowhere), EINVAL));
	CHECK(refused(sched_setaffinity(0, 0, &one), EINVAL));
	CHECK(refused(sched_setaffinity(0, sizeof(one), (const cpu_set_t *)8), EFAULT));
	CHECK(refused(sched_setaffinity(gone_process(), sizeof(one), &one), ESRCH));
	CHECK(refused(sched_setaffinity(-1, sizeof(one), &one), ESRCH));
	errno = 4711;
	CHECK(pthread_setaffinity_np(pthread_self(), sizeof(none), &none) == EINVAL);
	CHECK(errno == 4711); /* the number is returned, errno is left alone */
	CHECK(refused(syscall(SYS_sched_setaffinity, 0, sizeof(none), &none), EINVAL));
	CHECK(target_mask_is(target_all_cpus()));
	if (root)
		refuse_as_nobody(&one);
	CHECK(target_mask_is(target_all_cpus()));
	puts("refused");
	return 0;
}
