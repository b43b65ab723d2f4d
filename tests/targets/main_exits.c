/* SPDX-License-Identifier: MIT
 *
 * Shows: the main thread leaves by pthread_exit while another runs on.
 *   main_exits          the other returns: the process ends with status 0
 *   main_exits exit     the other calls exit(5)
 *   main_exits joins    the other joins the main thread first
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *mode = "return";
static pthread_t main_thread;

static void *outlives_main(void *arg)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	cpu_set_t one = target_one_cpu(target_cpu(0));
	pthread_t t;
	void *got;

	if (strcmp(mode, "joins") == 0)
		CHECK(pthread_join(main_thread, &got) == 0 && got == &main_thread);
	nanosleep(&pause, NULL);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	if (arg) {
		CHECK(pthread_create(&t, NULL, outlives_main, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
	puts("outlived main");
	if (strcmp(mode, "exit") == 0)
		exit(5);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t;

	if (argc > 1)
		mode = argv[1];
	main_thread = pthread_self();
	CHECK(pthread_create(&t, NULL, outlives_main, strcmp(mode, "return") == 0 ? &t : NULL) == 0);
	CHECK(pthread_detach(t) == 0);
	pthread_exit(&main_thread);
}
