/* SPDX-License-Identifier: MIT
 *
 * Shows: what a program leaves behind. Each thread is called leaver-N and made by make_leaver.
 *
 *   enf_leave exit N        N threads end with their pin open, pinned by pin_and_leave
 *   enf_leave end N         N threads sit in a pin when main returns
 *   enf_leave unjoined N    N threads end and nobody joins them
 *   enf_leave park N        N threads wait unpinned while main pins itself by pin_in_main (and says if it could)
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static sem_t ready;

struct leaver {
	pthread_t thread;
	char name[32];
};

__attribute__((noinline)) static void pin_and_leave(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
}

static void name_me(struct leaver *l)
{
	CHECK(pthread_setname_np(pthread_self(), l->name) == 0);
}

static void *leaves_pinned(void *l)
{
	name_me(l);
	pin_and_leave();
	return NULL;
}

static void *stays_pinned(void *l)
{
	name_me(l);
	pin_and_leave();
	sem_post(&ready);
	for (;;)
		pause();
	return NULL;
}

static void *stays(void *l)
{
	name_me(l);
	sem_post(&ready);
	for (;;)
		pause();
	return NULL;
}

static void *leaves(void *l)
{
	name_me(l);
	return NULL;
}

__attribute__((noinline)) static void make_leaver(struct leaver *l, int number, void *(*start)(void *))
{
	snprintf(l->name, sizeof(l->name), "leaver-%d", number % 100);
	CHECK(pthread_create(&l->thread, NULL, start, l) == 0);
}

__attribute__((noinline)) static int pin_in_main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));
	int result = sched_setaffinity(0, sizeof(one), &one);

	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	return result;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "exit";
	void *(*start)(void *) = strcmp(how, "exit") == 0   ? leaves_pinned
	                         : strcmp(how, "end") == 0  ? stays_pinned
	                         : strcmp(how, "park") == 0 ? stays
	                                                    : leaves;
	static struct leaver leavers[64];
	int n = (int)target_arg(argc, argv, 2, 3);

	target_cpu(1);
	CHECK(n > 0 && n <= 64 && sem_init(&ready, 0, 0) == 0);
	for (int i = 0; i < n; i++) {
		make_leaver(&leavers[i], i, start);
		if (start == leaves_pinned)
			CHECK(pthread_join(leavers[i].thread, NULL) == 0);
		else if (start != leaves)
			sem_wait(&ready);
	}
	if (start == leaves)
		target_wait_threads(1);
	if (start == stays)
		printf("main %d\n", pin_in_main());
	printf("%s\n", how);
	return 0;
}
