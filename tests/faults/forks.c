/* SPDX-License-Identifier: MIT
 *
 * Shows: children made while other threads set affinities from stacks never seen before, so that the process is copied
 * in the midst of an unwind. Each child pins itself, releases and leaves with 42.
 *   forks fork        and makes a thread in the child    forks _Fork
 *   forks syscall     syscall(SYS_fork)                  forks inline     the same instruction, past libc
 *   forks clone       clone() without CLONE_VM           forks atfork     handlers of fork() pin, too
 *   forks vfork       the child borrows our memory       forks nested     a vfork child vforks, then pins
 *   forks vfork-exec  pins and executes true             forks spawn | system | popen
 * Facts: "sets" by this process on itself, "children" made, "borrowed" sets by vfork children on themselves.
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 2
#define CALLS 150
#define LEFT_WELL 42
#define LEAST 3
#define MOST 40

extern char **environ;

static atomic_int working = WORKERS;
static long own_sets, borrowed;

static void *works(void *arg)
{
	for (int i = 0; i < CALLS; i++)
		wander(wander_next(), wander_set_all, NULL);
	atomic_fetch_sub(&working, 1);
	return arg;
}

static void *nothing(void *arg)
{
	return arg;
}

/* ---- what a child does --------------------------------------------------------------- */

static void pin_and_release(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(target_mask_is(&one));
	CHECK(syscall(SYS_sched_setaffinity, 0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	CHECK(target_mask_is(target_all_cpus()));
}

static int child(void *unused)
{
	(void)unused;
	pin_and_release();
	_exit(LEFT_WELL);
}

static void child_with_thread(void)
{
	pthread_t t;

	pin_and_release();
	CHECK(pthread_create(&t, NULL, nothing, NULL) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	wander(wander_next(), wander_set_all, NULL);
	_exit(LEFT_WELL);
}

static void expect(pid_t pid, int status)
{
	int got;

	CHECK(pid > 0);
	CHECK(waitpid(pid, &got, 0) == pid);
	CHECK(WIFEXITED(got) && WEXITSTATUS(got) == status);
}

/* ---- ways to make one ------------------------------------------------------------------ */

static void by_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		child_with_thread();
	expect(pid, LEFT_WELL);
}

static void by_Fork(void)
{
	pid_t pid = _Fork();

	if (pid == 0)
		child(NULL);
	expect(pid, LEFT_WELL);
}

static void by_syscall(void)
{
	pid_t pid = (pid_t)syscall(SYS_fork);

	if (pid == 0)
		child(NULL);
	expect(pid, LEFT_WELL);
}

static void by_inline(void)
{
	long pid;

	__asm__ volatile("syscall" : "=a"(pid) : "a"(SYS_fork) : "rcx", "r11", "memory");
	if (pid == 0)
		child(NULL);
	expect((pid_t)pid, LEFT_WELL);
}

static void by_clone(void)
{
	static char stack[64 << 10] __attribute__((aligned(16)));

	expect(clone(child, stack + sizeof(stack), SIGCHLD, NULL), LEFT_WELL);
}

static void by_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		child(NULL);
	expect(pid, LEFT_WELL);
	borrowed += 2;
	CHECK(target_mask_is(target_all_cpus()));
}

/* The inner child is gone when the outer one pins: it still is not us. */
static void by_nested(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		pid_t inner = vfork();

		if (inner == 0)
			_exit(LEFT_WELL);
		expect(inner, LEFT_WELL);
		child(NULL);
	}
	expect(pid, LEFT_WELL);
	borrowed += 2;
	CHECK(target_mask_is(target_all_cpus()));
}

static void by_vfork_exec(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		pin_and_release();
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	expect(pid, 0);
	borrowed += 2;
}

static void by_spawn(void)
{
	char *argv[] = {"true", NULL};
	pid_t pid = -1;

	CHECK(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0);
	expect(pid, 0);
}

static void by_system(void)
{
	int status = system("exit 42");

	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == LEFT_WELL);
}

static void by_popen(void)
{
	FILE *from = popen("echo hello", "r");
	char line[32];

	CHECK(from != NULL);
	CHECK(fgets(line, sizeof(line), from) && strcmp(line, "hello\n") == 0);
	CHECK(pclose(from) == 0);
}

static void handler_sets(void)
{
	own_sets += 2;
	pin_and_release();
}

static void by_atfork(void)
{
	static bool registered;

	if (!registered) {
		CHECK(pthread_atfork(handler_sets, handler_sets, pin_and_release) == 0);
		registered = true;
	}
	by_fork();
}

static const struct {
	const char *name;
	void (*make)(void);
} ways[] = {
    {"fork", by_fork},   {"_Fork", by_Fork},    {"syscall", by_syscall},       {"inline", by_inline},
    {"clone", by_clone}, {"vfork", by_vfork},   {"vfork-exec", by_vfork_exec}, {"nested", by_nested},
    {"spawn", by_spawn}, {"system", by_system}, {"popen", by_popen},           {"atfork", by_atfork},
};

int main(int argc, char **argv)
{
	void (*make)(void) = NULL;
	pthread_t t[WORKERS];
	long children = 0;

	target_cpu(1);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (argc > 1 && strcmp(ways[i].name, argv[1]) == 0)
			make = ways[i].make;
	CHECK(make != NULL);
	alarm(30); /* a child that hangs is a failure, told by SIGALRM */
	for (int i = 0; i < WORKERS; i++)
		CHECK(pthread_create(&t[i], NULL, works, NULL) == 0);
	do {
		make();
		children++;
	} while (children < LEAST || (atomic_load(&working) && children < MOST));
	for (int i = 0; i < WORKERS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	say_fact("sets", own_sets + WORKERS * CALLS);
	say_fact("children", children);
	say_fact("borrowed", borrowed);
	return 0;
}
