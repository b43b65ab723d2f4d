/* SPDX-License-Identifier: MIT
 *
 * Shows: one thread pins itself in each way there is, from a function of its own each time, and releases what it
 * got. Prints what each call returned (errno, 0 = done) and where the thread is then: "pinned" to the CPU asked
 * for or "free", on the mask it had.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((noinline)) static int pin_by_sched(const cpu_set_t *set)
{
	errno = 0;
	return sched_setaffinity(0, sizeof(*set), set) == 0 ? 0 : errno;
}

__attribute__((noinline)) static int pin_by_pthread(const cpu_set_t *set)
{
	return pthread_setaffinity_np(pthread_self(), sizeof(*set), set);
}

__attribute__((noinline)) static int pin_by_syscall(const cpu_set_t *set)
{
	errno = 0;
	return syscall(SYS_sched_setaffinity, 0, sizeof(*set), set) == 0 ? 0 : errno;
}

static void show(const char *how, int (*pin)(const cpu_set_t *), int cpu)
{
	cpu_set_t one = target_one_cpu(cpu);
	int error = pin(&one);

	printf("%s %d %s\n", how, error,
	       target_mask_is(&one)                ? "pinned"
	       : target_mask_is(target_all_cpus()) ? "free"
	                                           : "elsewhere");
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	CHECK(target_mask_is(target_all_cpus()));
}

int main(void)
{
	show("sched", pin_by_sched, target_cpu(0));
	show("pthread", pin_by_pthread, target_cpu(1));
	show("syscall", pin_by_syscall, target_cpu(0));
	return 0;
}
