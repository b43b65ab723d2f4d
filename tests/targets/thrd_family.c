/* SPDX-License-Identifier: MIT
 *
 * Shows: C11 threads. thrd_create calls pthread_create inside libc, past any wrapper of that name;
 * results are ints and survive the way to thrd_join.
 */
#include "tests/targets/common/common.h"

#include <stdio.h>
#include <threads.h>

static int returns(void *arg)
{
	return *(int *)arg;
}

static int exits(void *arg)
{
	thrd_exit(-*(int *)arg);
}

int main(void)
{
	thrd_t t;
	int value = 1 << 30, got = 0;

	CHECK(thrd_create(&t, returns, &value) == thrd_success);
	CHECK(thrd_join(t, &got) == thrd_success && got == value);
	CHECK(thrd_create(&t, exits, &value) == thrd_success);
	CHECK(thrd_join(t, &got) == thrd_success && got == -value);
	CHECK(thrd_create(&t, returns, &value) == thrd_success);
	CHECK(thrd_join(t, NULL) == thrd_success);
	CHECK(thrd_create(&t, returns, &value) == thrd_success);
	CHECK(thrd_detach(t) == thrd_success);
	target_wait_threads(1);
	puts("four C11 threads");
	return 0;
}
