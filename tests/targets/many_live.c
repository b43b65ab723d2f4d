/* SPDX-License-Identifier: MIT
 *
 * Shows: many threads alive at once on 16 KiB stacks. many_live [THREADS]
 * All wait for the last to be created, then all end and are joined.
 */
#include "tests/targets/common/common.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool go;

static void *worker(void *arg)
{
	pthread_mutex_lock(&lock);
	while (!go)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	return arg;
}

int main(int argc, char **argv)
{
	long threads = target_arg(argc, argv, 1, 1000), made = 0;
	pthread_t *t = calloc((size_t)threads, sizeof(*t));
	pthread_attr_t attr;

	CHECK(t != NULL);
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN) == 0);
	/* Without guard pages: one mapping a stack, so that the kernel's map limit allows 30,000. */
	CHECK(pthread_attr_setguardsize(&attr, 0) == 0);
	while (made < threads && pthread_create(&t[made], &attr, worker, t) == 0)
		made++;
	if (made < threads)
		target_cannot("this machine does not allow that many threads");
	pthread_mutex_lock(&lock);
	go = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	for (long i = 0; i < threads; i++) {
		void *got;

		CHECK(pthread_join(t[i], &got) == 0 && got == t);
	}
	free(t);
	printf("%ld threads\n", threads);
	return 0;
}
