/* SPDX-License-Identifier: MIT
 *
 * Shows: a thread on the smallest stack libc allows (16 KiB), painted beforehand, that pins, releases,
 * names itself and creates a thread. small_stack: says on stderr how many bytes of it were touched.
 * small_stack fill: the thread first fills all but 6 KiB of its stack, so that greed is a crash.
 */
#include "tests/targets/common/common.h"

#include <alloca.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAINT 0xa5
#define KEPT_FREE 6144

static unsigned char *stack;
static size_t stack_bytes;
static bool fill;

static void *nothing(void *arg)
{
	return arg;
}

__attribute__((noinline)) static void work(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));
	pthread_t t;

	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	CHECK(pthread_setname_np(pthread_self(), "small") == 0);
	CHECK(pthread_create(&t, NULL, nothing, NULL) == 0);
	CHECK(pthread_join(t, NULL) == 0);
}

static void *worker(void *arg)
{
	if (fill) {
		size_t room = (size_t)((unsigned char *)__builtin_frame_address(0) - stack);

		if (room > KEPT_FREE)
			memset(alloca(room - KEPT_FREE), 1, room - KEPT_FREE);
	}
	work();
	return arg;
}

int main(int argc, char **argv)
{
	pthread_attr_t attr;
	pthread_t t;
	size_t untouched = 0;

	fill = argc > 1 && strcmp(argv[1], "fill") == 0;
	stack_bytes = (size_t)PTHREAD_STACK_MIN;
	CHECK(posix_memalign((void **)&stack, 4096, stack_bytes) == 0);
	memset(stack, PAINT, stack_bytes);
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstack(&attr, stack, stack_bytes) == 0);
	CHECK(pthread_create(&t, &attr, worker, NULL) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	while (untouched < stack_bytes && stack[untouched] == PAINT)
		untouched++;
	CHECK(untouched > 0);
	fprintf(stderr, "touched %zu\n", stack_bytes - untouched);
	free(stack);
	puts("small stack");
	return 0;
}
