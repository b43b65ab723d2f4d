// SPDX-License-Identifier: MIT
// Shows: a thread that pins itself in watch_pin_self (by watch_pin_inlined, which has no symbol) and then waits in watch_sleep_here, while a pinned one works on.
// Ends when the file named by the first argument holds the second argument, or after a minute; with a third argument so
// many milliseconds later, and with the idle thread still asleep.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_bool over;
static int gate[2];

static inline void __attribute__((always_inline)) watch_pin_inlined(void)
{
	cpu_set_t one, all;
	int cpu = 0;

	sched_getaffinity(0, sizeof(all), &all);
	while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

static void __attribute__((noinline)) watch_pin_self(void)
{
	watch_pin_inlined();
	__asm__ volatile("" ::: "memory");
}

static void __attribute__((noinline)) watch_sleep_here(void)
{
	char byte;

	if (read(gate[0], &byte, 1) < 0)
		perror("read");
	__asm__ volatile("" ::: "memory");
}

static void *watch_idler(void *arg)
{
	pthread_setname_np(pthread_self(), "idler");
	watch_pin_self();
	watch_sleep_here();
	return arg;
}

static void *watch_worker(void *arg)
{
	pthread_setname_np(pthread_self(), "busy");
	watch_pin_self();
	while (!over)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	return arg;
}

static int holds(const char *path, const char *text)
{
	static char buf[1 << 16];
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;

	if (f)
		fclose(f);
	buf[n] = '\0';
	return strstr(buf, text) != NULL;
}

int main(int argc, char **argv)
{
	pthread_t idler, worker;

	if (argc < 3 || pipe(gate) < 0)
		return 2;
	pthread_create(&idler, NULL, watch_idler, NULL);
	pthread_create(&worker, NULL, watch_worker, NULL);
	for (int i = 0; i < 1200 && !holds(argv[1], argv[2]); i++)
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	if (argc > 3) {
		long ms = strtol(argv[3], NULL, 10);
		nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
		return 0;
	}
	over = true;
	if (write(gate[1], "x", 1) != 1)
		return 2;
	pthread_join(idler, NULL);
	pthread_join(worker, NULL);
	return holds(argv[1], argv[2]) ? 0 : 3;
}
