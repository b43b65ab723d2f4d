/* SPDX-License-Identifier: MIT
 *
 * Shows: every way to have a child, each child pinning itself, while a thread of the parent creates
 * and joins without pause (so that any lock may be held at the fork).
 *   children fork|_Fork|vfork|spawn|system|popen|exec|chain
 *   children pinned STATUS    what the exec'd ones run: pins, releases, and exits with STATUS
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 10

extern char **environ;

static const char *self = "/proc/self/exe";
static char path[4096];
static atomic_bool stop;

static void *nothing(void *arg)
{
	return arg;
}

static void *churns(void *arg)
{
	while (!atomic_load(&stop)) {
		pthread_t t;

		CHECK(pthread_create(&t, NULL, nothing, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
	return arg;
}

static void pin_and_release(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(target_mask_is(&one));
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
}

static void reap(pid_t pid, int status)
{
	int got;

	CHECK(pid > 0);
	CHECK(waitpid(pid, &got, 0) == pid);
	CHECK(WIFEXITED(got) && WEXITSTATUS(got) == status);
	CHECK(target_mask_is(target_all_cpus()));
}

static void by_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pthread_t t;

		pin_and_release();
		CHECK(pthread_create(&t, NULL, nothing, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
		_exit(11);
	}
	reap(pid, 11);
}

/* Runs no atfork handler: only what is safe in a signal handler is safe here. */
static void by_bare_fork(void)
{
	pid_t pid = _Fork();

	if (pid == 0) {
		pin_and_release();
		_exit(12);
	}
	reap(pid, 12);
}

/* The child borrows the parent's memory: what it pins is itself. */
static void by_vfork(void)
{
	volatile pid_t pid = vfork();

	if (pid == 0) {
		pin_and_release();
		_exit(13);
	}
	reap(pid, 13);
	pid = vfork();
	if (pid == 0) {
		pin_and_release();
		execl(path, path, "pinned", "14", (char *)NULL);
		_exit(99);
	}
	reap(pid, 14);
}

static void by_spawn(void)
{
	char *const args[] = {path, "pinned", "15", NULL};
	pid_t pid;

	CHECK(posix_spawn(&pid, path, NULL, NULL, args, environ) == 0);
	reap(pid, 15);
}

static void by_system(void)
{
	char command[sizeof(path) + 16];
	int got;

	snprintf(command, sizeof(command), "'%s' pinned 16", path);
	got = system(command);
	CHECK(WIFEXITED(got) && WEXITSTATUS(got) == 16);
}

static void by_popen(void)
{
	char command[sizeof(path) + 32];
	FILE *out;
	int got;

	snprintf(command, sizeof(command), "'%s' pinned 17; echo $?", path);
	out = popen(command, "r");
	CHECK(out != NULL && fscanf(out, "%d", &got) == 1 && got == 17);
	CHECK(pclose(out) == 0);
}

static void by_exec(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/nonexistent/program", "program", (char *)NULL);
		pin_and_release();
		execl(path, path, "pinned", "18", (char *)NULL);
		_exit(99);
	}
	reap(pid, 18);
}

static const struct {
	const char *name;
	void (*round)(void);
} ways[] = {
    {"fork", by_fork},     {"_Fork", by_bare_fork}, {"vfork", by_vfork}, {"spawn", by_spawn},
    {"system", by_system}, {"popen", by_popen},     {"exec", by_exec},
};

/* One process, three images, the mask carried across each exec. */
static int chain(int links)
{
	char left[16];
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	if (links == 0)
		return 19;
	snprintf(left, sizeof(left), "%d", links - 1);
	execl(self, path, "chain", left, (char *)NULL);
	return 99;
}

static int rounds(void (*round)(void))
{
	pthread_t t;

	target_cpu(1);
	CHECK(pthread_create(&t, NULL, churns, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++)
		round();
	atomic_store(&stop, true);
	CHECK(pthread_join(t, NULL) == 0);
	puts("all children came back");
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "fork";
	ssize_t n = readlink(self, path, sizeof(path) - 1);

	CHECK(n > 0);
	if (strcmp(mode, "pinned") == 0) {
		pin_and_release();
		return (int)target_arg(argc, argv, 2, 0);
	}
	if (strcmp(mode, "chain") == 0)
		return chain((int)target_arg(argc, argv, 2, 2));
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(mode, ways[i].name) == 0)
			return rounds(ways[i].round);
	target_broken(__FILE__, __LINE__, "no such mode");
}
