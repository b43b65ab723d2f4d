/* SPDX-License-Identifier: MIT
 *
 * Runs a command again and again and says what each run took:
 *
 *   spawn ROUNDS [VARIABLE=VALUE...] -- COMMAND [ARGUMENT...]
 *
 * With variables, each round runs it twice, without and with them, so that both meet the
 * same machine. One line per run: "bare" or "with", microseconds from start to
 * end, KiB of the largest process in it, microseconds of CPU time. What the command prints is dropped; a command
 * that fails (other than by status 1, "findings") ends it all with status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double in_us(struct timeval t)
{
	return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

/* Starts the command with its output dropped. Returns 0 or an errno. */
static int start(char **command, char **env, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int error = posix_spawn_file_actions_init(&actions);

	if (error)
		return error;
	error = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (!error)
		error = posix_spawnp(ret_pid, command[0], &actions, NULL, command, env);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static int run(const char *label, char **command, char **env)
{
	struct rusage usage;
	int status;
	pid_t pid;
	double begin = now_us();
	int error = start(command, env, &pid);

	if (error) {
		fprintf(stderr, "%s: %s\n", command[0], strerror(error));
		return -error;
	}
	while (wait4(pid, &status, 0, &usage) < 0)
		if (errno != EINTR)
			return -errno;
	double took = now_us() - begin;
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
		fprintf(stderr, "%s: ended with wait status 0x%x\n", command[0], (unsigned)status);
		return -ECHILD;
	}
	printf("%s %.1f %ld %.0f\n", label, took, usage.ru_maxrss,
	       in_us(usage.ru_utime) + in_us(usage.ru_stime));
	return 0;
}

/* The environment with `added` in front. The names must not be in it yet. */
static char **extend(char **added, int count)
{
	size_t n = 0;

	while (environ[n])
		n++;
	char **env = calloc(n + (size_t)count + 1, sizeof(*env));
	if (!env)
		return NULL;
	memcpy(env, added, (size_t)count * sizeof(*env));
	memcpy(env + count, environ, n * sizeof(*env));
	return env;
}

int main(int argc, char **argv)
{
	int rounds = argc > 3 ? atoi(argv[1]) : 0, first = 2;

	while (first < argc && strcmp(argv[first], "--") != 0)
		first++;
	if (rounds < 1 || first + 1 >= argc) {
		fprintf(stderr, "usage: %s ROUNDS [VARIABLE=VALUE...] -- COMMAND [ARGUMENT...]\n", argv[0]);
		return 2;
	}
	int added = first - 2;
	char **command = argv + first + 1, **env = extend(argv + 2, added);
	int error = env ? 0 : -ENOMEM;
	for (int i = 0; i < rounds && !error; i++) {
		error = run("bare", command, environ);
		if (!error && added)
			error = run("with", command, env);
	}
	free(env);
	return error ? 1 : 0;
}
