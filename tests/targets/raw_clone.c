/* SPDX-License-Identifier: MIT
 *
 * Shows: threads that libpthread knows nothing of, made by clone() and still there at the end, so that
 * only a census finds them; and processes made by syscall(SYS_clone) and syscall(SYS_clone3).
 */
#include "tests/targets/common/common.h"

#include <linux/sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RAW_THREADS 3
#define STACK_BYTES 16384
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

static atomic_int running;

/* No thread-local storage of its own: nothing here may touch errno or libc's idea of a thread. */
static int raw_thread(void *arg)
{
	atomic_fetch_add(&running, 1);
	for (;;) {
		long rc;

		__asm__ volatile("syscall" : "=a"(rc) : "a"(SYS_pause) : "rcx", "r11", "memory");
		if (rc == 0)
			return arg != NULL;
	}
}

static void reap(long pid, int status)
{
	int got;

	CHECK(pid > 0);
	CHECK(waitpid((pid_t)pid, &got, 0) == pid);
	CHECK(WIFEXITED(got) && WEXITSTATUS(got) == status);
}

int main(void)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	cpu_set_t one = target_one_cpu(target_cpu(0));
	long pid;

	target_cpu(1);
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
		exit(3);
	}
	reap(pid, 3);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		exit(4);
	reap(pid, 4);
	for (int i = 0; i < RAW_THREADS; i++) {
		char *stack = malloc(STACK_BYTES);

		CHECK(stack != NULL);
		CHECK(clone(raw_thread, stack + STACK_BYTES, THREAD_FLAGS, NULL) > 0);
	}
	while (atomic_load(&running) < RAW_THREADS)
		sched_yield();
	CHECK(target_mask_is(target_all_cpus()));
	puts("three raw threads, two raw processes");
	return 0;
}
