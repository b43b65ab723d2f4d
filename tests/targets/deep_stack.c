/* SPDX-License-Identifier: MIT
 *
 * Shows: a pin under more frames than a stack record holds. deep_stack [FRAMES]
 * The innermost frame is pin_here, the next ones all descend.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdio.h>

__attribute__((noinline)) static int pin_here(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	return sched_setaffinity(0, sizeof(one), &one);
}

__attribute__((noinline)) static long descend(long frames)
{
	long below = frames > 0 ? descend(frames - 1) : pin_here();

	/* Something to do after the call, so that no frame is optimised away. */
	__asm__ volatile("" : "+r"(below));
	return below;
}

int main(int argc, char **argv)
{
	CHECK(descend(target_arg(argc, argv, 1, 100)) == 0);
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	puts("pinned deep down");
	return 0;
}
