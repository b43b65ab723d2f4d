/* SPDX-License-Identifier: MIT
 *
 * Shows: a process to be watched while it runs. live_scene FIFO [IDLERS [SPINNERS [FREE]]]
 * IDLERS threads pinned to the first CPU sleep until the end; SPINNERS pinned to the second one never do; FREE ones sleep and
 * are not pinned. Says "ready PID", then does what it is told through FIFO, one word a line, and says "done":
 *   churn  creates and joins 100 threads
 *   leak   a thread ends with its pin
 *   drop   a thread is left unjoined
 *   exec   becomes itself again, with one idler and no spinner
 *   crash  raises SIGSEGV
 *   quit   joins all and ends with status 0
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 4096

static pthread_t threads[THREADS_MAX];
static long thread_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long settled;
static atomic_bool over;

__attribute__((noinline)) static void live_pin(int cpu)
{
	cpu_set_t set = target_one_cpu(target_cpu(cpu));

	CHECK(pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0);
}

static void settle(void)
{
	pthread_mutex_lock(&lock);
	settled++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void sleep_until_the_end(void)
{
	settle();
	pthread_mutex_lock(&lock);
	while (!atomic_load(&over))
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void *rest(void *arg)
{
	sleep_until_the_end();
	return arg;
}

static void *idle(void *arg)
{
	pthread_setname_np(pthread_self(), "idler");
	live_pin(0);
	sleep_until_the_end();
	live_pin(0);
	CHECK(pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), target_all_cpus()) == 0);
	return arg;
}

static void *spin(void *arg)
{
	pthread_setname_np(pthread_self(), "spinner");
	live_pin(1);
	settle();
	while (!atomic_load_explicit(&over, memory_order_relaxed))
		;
	CHECK(pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), target_all_cpus()) == 0);
	return arg;
}

static void *leave(void *arg)
{
	return arg;
}

static void *leak(void *arg)
{
	live_pin(0);
	return arg;
}

static void start(void *(*routine)(void *), long count)
{
	pthread_attr_t attr;

	CHECK(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, 64 << 10) == 0);
	for (long i = 0; i < count && thread_count < THREADS_MAX; i++)
		CHECK(pthread_create(&threads[thread_count++], &attr, routine, NULL) == 0);
}

static void start_and_join(void *(*routine)(void *), int count)
{
	pthread_t t;

	for (int i = 0; i < count; i++)
		CHECK(pthread_create(&t, NULL, routine, NULL) == 0 && pthread_join(t, NULL) == 0);
}

static void await_all(void)
{
	pthread_mutex_lock(&lock);
	while (settled < thread_count)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void quit(void)
{
	pthread_mutex_lock(&lock);
	atomic_store(&over, true);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	for (long i = 0; i < thread_count; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	exit(0);
}

static void obey(const char *word, char **argv)
{
	char one[] = "1", none[] = "0", *again[] = {argv[0], argv[1], one, none, NULL};
	pthread_t left;

	if (strcmp(word, "churn\n") == 0)
		start_and_join(leave, 100);
	else if (strcmp(word, "leak\n") == 0)
		start_and_join(leak, 1);
	else if (strcmp(word, "drop\n") == 0)
		CHECK(pthread_create(&left, NULL, leave, NULL) == 0);
	else if (strcmp(word, "exec\n") == 0)
		execv("/proc/self/exe", again);
	else if (strcmp(word, "crash\n") == 0)
		raise(SIGSEGV);
	else if (strcmp(word, "quit\n") == 0)
		quit();
	printf("done\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char word[64];

	CHECK(argc > 1);
	target_cpu(1);
	start(idle, target_arg(argc, argv, 2, 3));
	start(spin, target_arg(argc, argv, 3, 0));
	start(rest, target_arg(argc, argv, 4, 0));
	await_all();
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	for (;;) {
		FILE *fifo = fopen(argv[1], "re");
		CHECK(fifo != NULL);
		while (fgets(word, sizeof(word), fifo))
			obey(word, argv);
		fclose(fifo);
	}
}
