/* SPDX-License-Identifier: MIT
 *
 * Shows: pins by a system call instruction of the program's own, which no wrapper sees. Three threads
 * end on such a pin, and the process on the main thread's.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>

static long raw_set(const cpu_set_t *mask)
{
	long rc;

	__asm__ volatile("syscall"
	                 : "=a"(rc)
	                 : "a"(SYS_sched_setaffinity), "D"(0L), "S"(sizeof(*mask)), "d"(mask)
	                 : "rcx", "r11", "memory");
	return rc;
}

static void *ends_pinned(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu(1));

	CHECK(raw_set(&one) == 0 && target_mask_is(&one));
	return arg;
}

int main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	for (int i = 0; i < 3; i++) {
		pthread_t t;

		CHECK(pthread_create(&t, NULL, ends_pinned, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
	target_cpu(1);
	CHECK(raw_set(&one) == 0);
	puts("four raw pins");
	return 0;
}
