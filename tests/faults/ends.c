/* SPDX-License-Identifier: MIT
 *
 * Shows: every way a process ends, with a pin open, joinable threads unjoined and others still at work. ends HOW [thread]: HOW is
 * return exit _exit _Exit quick_exit abort segv term kill group inline exec; with "thread" another thread than main
 * does it (not "return").
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATUS 5
#define WORKERS 3

static const char *how;
static volatile int *volatile nowhere = (int *)8;

/* Still pinning while the process ends around it. */
static void *works(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu(1));

	CHECK(pthread_barrier_wait(arg) <= 0);
	for (;;) {
		CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
		CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	}
	return arg;
}

static void *ends_unjoined(void *arg)
{
	CHECK(pthread_barrier_wait(arg) <= 0);
	return arg;
}

static void at_end(void)
{
	CHECK(write(1, "handler\n", 8) == 8);
}

static bool is(const char *what)
{
	return strcmp(how, what) == 0;
}

static void end(void)
{
	if (is("exit"))
		exit(STATUS);
	if (is("_exit"))
		_exit(STATUS);
	if (is("_Exit"))
		_Exit(STATUS);
	if (is("quick_exit"))
		quick_exit(STATUS);
	if (is("abort"))
		abort();
	if (is("segv"))
		*nowhere = 1;
	if (is("term"))
		raise(SIGTERM);
	if (is("kill"))
		kill(getpid(), SIGKILL);
	if (is("group"))
		syscall(SYS_exit_group, STATUS);
	if (is("inline"))
		__asm__ volatile("syscall" : : "a"(SYS_exit_group), "D"(STATUS) : "rcx", "r11", "memory");
	if (is("exec"))
		execl("/bin/sh", "sh", "-c", "exit 5", NULL);
}

static void *ends(void *arg)
{
	end();
	return arg;
}

int main(int argc, char **argv)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));
	static pthread_barrier_t meet; /* others may still be in it when main is gone */
	pthread_t t;

	target_cpu(1);
	how = argc > 1 ? argv[1] : "return";
	CHECK(atexit(at_end) == 0 && at_quick_exit(at_end) == 0);
	CHECK(pthread_barrier_init(&meet, NULL, WORKERS + 2) == 0);
	for (int i = 0; i < WORKERS; i++)
		CHECK(pthread_create(&t, NULL, works, &meet) == 0);
	CHECK(pthread_create(&t, NULL, ends_unjoined, &meet) == 0);
	CHECK(pthread_barrier_wait(&meet) <= 0);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	if (argc > 2) {
		CHECK(pthread_create(&t, NULL, ends, NULL) == 0);
		for (;;)
			pause();
	}
	end();
	return STATUS;
}
