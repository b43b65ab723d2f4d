/* SPDX-License-Identifier: MIT
 *
 * Shows: a thread that pins itself, moves to another CPU, sets the same mask again and releases.
 * pin_self [ROUNDS]: one pin opened and released a round, four calls; both calls by turns.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

static void set(bool posix, const cpu_set_t *mask)
{
	errno = 4711;
	if (posix)
		CHECK(pthread_setaffinity_np(pthread_self(), sizeof(*mask), mask) == 0);
	else
		CHECK(sched_setaffinity(0, sizeof(*mask), mask) == 0);
	CHECK(errno == 4711); /* success leaves errno alone */
	CHECK(target_mask_is(mask));
}

int main(int argc, char **argv)
{
	long rounds = target_arg(argc, argv, 1, 10);
	cpu_set_t first = target_one_cpu(target_cpu(0)), second = target_one_cpu(target_cpu(1));

	for (long i = 0; i < rounds; i++) {
		set(i & 1, &first);
		set(i & 1, &second);
		set(i & 1, &second);
		set(i & 1, target_all_cpus());
	}
	printf("%ld pins\n", rounds);
	return 0;
}
