/* SPDX-License-Identifier: MIT
 *
 * Shows: threads named by themselves, by others and through prctl; a name too long is refused with
 * ERANGE and changes nothing; a name may hold a terminal escape.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static sem_t named, go;

static void is_called(pthread_t t, const char *name)
{
	char got[16];

	CHECK(pthread_getname_np(t, got, sizeof(got)) == 0);
	CHECK(strcmp(got, name) == 0);
}

static void *names_itself(void *arg)
{
	CHECK(pthread_setname_np(pthread_self(), "itself") == 0);
	is_called(pthread_self(), "itself");
	return arg;
}

static void *by_prctl(void *arg)
{
	CHECK(prctl(PR_SET_NAME, "by-prctl-and-cut-short") == 0);
	is_called(pthread_self(), "by-prctl-and-cu");
	return arg;
}

static void *waits(void *arg)
{
	sem_post(&named);
	while (sem_wait(&go) != 0)
		CHECK(errno == EINTR);
	return arg;
}

int main(void)
{
	pthread_t t[3];

	CHECK(sem_init(&named, 0, 0) == 0 && sem_init(&go, 0, 0) == 0);
	CHECK(pthread_create(&t[0], NULL, names_itself, NULL) == 0);
	CHECK(pthread_create(&t[1], NULL, by_prctl, NULL) == 0);
	CHECK(pthread_create(&t[2], NULL, waits, NULL) == 0);
	while (sem_wait(&named) != 0)
		CHECK(errno == EINTR);
	CHECK(pthread_setname_np(t[2], "a name of sixteen") == ERANGE);
	CHECK(pthread_setname_np(t[2], "\033[31mred\n") == 0);
	is_called(t[2], "\033[31mred\n");
	/* The other numbers of prctl pass untouched, with their own results. */
	CHECK(prctl(PR_GET_DUMPABLE) == 1);
	CHECK(prctl(-1, 0, 0, 0, 0) == -1 && errno == EINVAL);
	sem_post(&go);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	puts("three named");
	return 0;
}
