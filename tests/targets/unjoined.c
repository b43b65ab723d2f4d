/* SPDX-License-Identifier: MIT
 *
 * Shows: joinable threads nobody joins: two that ended, one still running when the process ends.
 * unjoined [STATUS]: the process's exit status.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <unistd.h>

static void *short_lived(void *arg)
{
	return arg;
}

static void *endless(void *arg)
{
	for (;;)
		pause();
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t, NULL, short_lived, NULL) == 0);
	target_wait_threads(1);
	CHECK(pthread_create(&t, NULL, endless, NULL) == 0);
	return (int)target_arg(argc, argv, 1, 0);
}
