/* SPDX-License-Identifier: MIT
 *
 * Shows: an ordinary program, for meeting other tools that live in the same process: it allocates and frees across threads,
 * reads clocks and files, creates, pins, names, joins, detaches, forks and executes. Clean under every sanitizer.
 * Always: 44 threads, 12 of them pin and release, 2 end pinned, 4 are detached by main and 18 by two creators; one child.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 24
#define DETACHED 4
#define BLOCKS 200
#define CREATED_EACH 9

struct job {
	int number;
	char *text; /* allocated by main, freed by the thread */
	char *answer; /* the other way round */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int finished, short_lived;

static void churn(unsigned seed)
{
	char *blocks[BLOCKS];

	for (int i = 0; i < BLOCKS; i++) {
		size_t bytes = 1 + (seed + (unsigned)i * 37u) % 3000;

		blocks[i] = malloc(bytes);
		CHECK(blocks[i] != NULL);
		memset(blocks[i], i, bytes);
	}
	for (int i = BLOCKS; i--;)
		free(blocks[i]);
}

static void read_things(void)
{
	struct timespec now;
	struct stat st;

	CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	CHECK(time(NULL) > 0);
	CHECK(stat("/", &st) == 0 && S_ISDIR(st.st_mode));
}

static void *works(void *arg)
{
	struct job *job = arg;
	cpu_set_t one = target_one_cpu(target_cpu(job->number % 2));
	bool releases = job->number < 12, leaks = job->number == 12 || job->number == 13;

	CHECK(pthread_setname_np(pthread_self(), job->text) == 0);
	free(job->text);
	if (releases || leaks)
		CHECK(pthread_setaffinity_np(pthread_self(), sizeof(one), &one) == 0);
	churn((unsigned)job->number);
	read_things();
	if (releases)
		CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	job->answer = strdup("done");
	CHECK(job->answer != NULL);
	pthread_mutex_lock(&lock);
	finished++;
	pthread_mutex_unlock(&lock);
	return job->number % 3 ? arg : (pthread_exit(arg), NULL);
}

static void *ends_at_once(void *arg)
{
	pthread_mutex_lock(&lock);
	short_lived++;
	pthread_mutex_unlock(&lock);
	return arg;
}

/* Threads of two creators that know nothing of each other. */
static void *creates(void *arg)
{
	pthread_t t;

	for (int i = 0; i < CREATED_EACH; i++) {
		CHECK(pthread_create(&t, NULL, ends_at_once, NULL) == 0);
		CHECK(pthread_detach(t) == 0);
	}
	return arg;
}

static void start(pthread_t *t, struct job *job, int number)
{
	char text[16];

	snprintf(text, sizeof(text), "worker %d", number);
	job->number = number;
	job->text = strdup(text);
	CHECK(job->text != NULL);
	CHECK(pthread_create(t, NULL, works, job) == 0);
	if (number >= THREADS - DETACHED)
		CHECK(pthread_detach(*t) == 0);
}

static void child(void)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		execl("/bin/echo", "echo", "child", NULL);
		_exit(127);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Not by the number of threads: a tool may have some of its own. */
static void wait_for_all(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	bool all = false;

	while (!all) {
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&lock);
		all = finished == THREADS && short_lived == 2 * CREATED_EACH;
		pthread_mutex_unlock(&lock);
	}
}

int main(void)
{
	static struct job jobs[THREADS];
	pthread_t t[THREADS], creators[2];

	target_cpu(1);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&creators[i], NULL, creates, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		start(&t[i], &jobs[i], i);
	for (int i = 0; i < THREADS - DETACHED; i++) {
		void *got;

		CHECK(pthread_join(t[i], &got) == 0 && got == &jobs[i]);
	}
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(creators[i], NULL) == 0);
	wait_for_all();
	for (int i = 0; i < THREADS; i++) {
		CHECK(strcmp(jobs[i].answer, "done") == 0);
		free(jobs[i].answer);
	}
	child();
	printf("%d threads\n", finished);
	return 0;
}
