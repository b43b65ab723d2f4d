/* SPDX-License-Identifier: MIT */
#include "tests/faults/wander.h"

#include <stdatomic.h>
#include <stdio.h>

#include "tests/targets/common/common.h"

static atomic_uint paths;

static void left(unsigned path, int depth, void (*fn)(void *), void *arg);
static void right(unsigned path, int depth, void (*fn)(void *), void *arg);

/* What follows the call keeps it from becoming a jump. */
#define STEP(path, depth, fn, arg)                                                                           \
	do {                                                                                                 \
		if ((depth) == 0)                                                                            \
			(fn)(arg);                                                                           \
		else if ((path)&1)                                                                           \
			left((path) >> 1, (depth)-1, fn, arg);                                               \
		else                                                                                         \
			right((path) >> 1, (depth)-1, fn, arg);                                              \
		__asm__ volatile("");                                                                        \
	} while (0)

__attribute__((noinline)) static void left(unsigned path, int depth, void (*fn)(void *), void *arg)
{
	STEP(path, depth, fn, arg);
}

__attribute__((noinline, optimize("no-ipa-icf"))) static void right(unsigned path, int depth,
                                                                    void (*fn)(void *), void *arg)
{
	STEP(path, depth, fn, arg);
}

void wander(unsigned path, void (*fn)(void *), void *arg)
{
	STEP(path, WANDER_DEPTH, fn, arg);
}

unsigned wander_next(void)
{
	return atomic_fetch_add(&paths, 1);
}

void wander_set_all(void *unused)
{
	(void)unused;
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
}

void wander_pin(void *unused)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	(void)unused;
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
}

void wander_release(void *unused)
{
	wander_set_all(unused);
}

void say_fact(const char *name, long value)
{
	dprintf(2, "fact %s %ld\n", name, value);
}
