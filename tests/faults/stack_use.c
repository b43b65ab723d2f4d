/* SPDX-License-Identifier: MIT
 *
 * Shows: how much of a thread's stack each wrapped call needs, on stacks of 16 KiB (PTHREAD_STACK_MIN) that were painted
 * beforehand. One fact for each: the bytes touched, from the top down to the deepest. Every stack is one the shim
 * has not met. stack_use fill: the deepest case again, with no more than 1 KiB left below what the bare call touches
 * (stack_use fill BYTES, as the facts of a bare run say).
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <alloca.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAINT 0xa5
#define STACK_BYTES ((size_t)PTHREAD_STACK_MIN)
#define REPEATS 3

static unsigned char *stack;
static pthread_key_t key;

static void *nothing(void *arg)
{
	return arg;
}

/* ---- cases ------------------------------------------------------------------------------ */

static void run_pin(void)
{
	wander_pin(NULL);
	wander_release(NULL);
}

static void run_thread_pin(void)
{
	CHECK(pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), target_all_cpus()) == 0);
}

static void run_syscall(void)
{
	CHECK(syscall(SYS_sched_setaffinity, 0, sizeof(cpu_set_t), target_all_cpus()) == 0);
}

static void run_name(void)
{
	CHECK(pthread_setname_np(pthread_self(), "small") == 0);
	CHECK(prctl(PR_SET_NAME, "smaller") == 0);
}

static void run_create(void)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, nothing, NULL) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(pthread_create(&t, NULL, nothing, NULL) == 0);
	CHECK(pthread_detach(t) == 0);
}

static void run_attr(void)
{
	pthread_attr_t attr;

	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setaffinity_np(&attr, sizeof(cpu_set_t), target_all_cpus()) == 0);
	CHECK(pthread_attr_destroy(&attr) == 0);
}

static void run_exit(void)
{
	pthread_exit(NULL);
}

static void run_end_pinned(void)
{
	wander_pin(NULL);
}

static void run_key(void)
{
	CHECK(pthread_setspecific(key, &key) == 0);
}

static void run_signal(void)
{
	CHECK(raise(SIGUSR1) == 0);
}

static void run_fork(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0)
		_exit(0);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

static void run_exec_fails(void)
{
	char *none[] = {NULL};

	CHECK(execve("/nonexistent", none, none) == -1);
}

static void run_nothing(void)
{
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
    {"thread", run_nothing},  {"pin", run_pin},       {"thread-pin", run_thread_pin},
    {"syscall", run_syscall}, {"name", run_name},     {"create", run_create},
    {"attr", run_attr},       {"exit", run_exit},     {"leak", run_end_pinned},
    {"key", run_key},         {"signal", run_signal}, {"fork", run_fork},
    {"exec", run_exec_fails},
};

/* ---- measuring ---------------------------------------------------------------------------- */

struct job {
	void (*run)(void);
	size_t keep; /* bytes to leave of the stack, 0: all of it */
};

/* Another stack depth each time: no stack is known. */
__attribute__((noinline)) static void *work(void *arg)
{
	const struct job *job = arg;
	size_t room = (size_t)((unsigned char *)__builtin_frame_address(0) - stack);

	if (job->keep && room > job->keep)
		memset(alloca(room - job->keep), 1, room - job->keep);
	job->run();
	return arg;
}

static void on_signal(int signal)
{
	(void)signal;
	run_pin();
}

static void on_key(void *value)
{
	(void)value;
	run_pin();
}

/* Runs a job in a thread on the painted stack; returns the bytes touched. */
static size_t touched_by(struct job *job)
{
	pthread_attr_t attr;
	pthread_t t;
	size_t untouched = 0;

	memset(stack, PAINT, STACK_BYTES);
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstack(&attr, stack, STACK_BYTES) == 0);
	CHECK(pthread_create(&t, &attr, work, job) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(pthread_attr_destroy(&attr) == 0);
	while (untouched < STACK_BYTES && stack[untouched] == PAINT)
		untouched++;
	CHECK(untouched > 0);
	return STACK_BYTES - untouched;
}

static void measure(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct job job = {.run = cases[i].run};
		size_t most = 0;

		for (int n = 0; n < REPEATS; n++) {
			size_t touched = touched_by(&job);

			most = touched > most ? touched : most;
		}
		say_fact(cases[i].name, (long)most);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};

	target_cpu(1);
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	CHECK(pthread_key_create(&key, on_key) == 0);
	stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(stack != MAP_FAILED);
	if (argc > 1) {
		struct job job = {.run = run_pin, .keep = (size_t)target_arg(argc, argv, 1, 0) + 1024};

		touched_by(&job);
	} else {
		measure();
	}
	puts("small stacks");
	return 0;
}
