// SPDX-License-Identifier: MIT
// Shows: with "unjoined" a thread that ended and waits to be joined; with "unpinned" a thread "worker" that never
// pins itself; with "growth" one thread more every 150 ms. Ends when the file named by the second argument holds
// the third, or after a minute. With "once" a thread "leaver" that lives for 1.5 s and, if there is such a file, until it
// holds the third argument, then is joined by nobody for another 1.5 s, and until the file holds the fourth. In front of
// all of it: "fork", in a fork child; "exec", in a program that such a child executes; "caught", with SIGABRT handled.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int gate[2];

static void *__attribute__((noinline)) watch_leaves(void *arg)
{
	pthread_setname_np(pthread_self(), "leaver");
	return arg;
}

static void *__attribute__((noinline)) watch_waits(void *arg)
{
	char byte;

	pthread_setname_np(pthread_self(), "worker");
	if (read(gate[0], &byte, 1) < 0)
		perror("read");
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

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static int await(const char *path, const char *text)
{
	pause_ms(1500);
	for (int i = 0; strcmp(path, "-") != 0 && i < 400 && !holds(path, text); i++)
		pause_ms(150);
	return strcmp(path, "-") == 0 || holds(path, text);
}

static void *__attribute__((noinline)) watch_leaves_late(void *arg)
{
	char **args = arg;

	pthread_setname_np(pthread_self(), "leaver");
	await(args[0], args[1]);
	return NULL;
}

static int __attribute__((noinline)) leave_once(char **args)
{
	pthread_t thread;

	pthread_create(&thread, NULL, watch_leaves_late, args);
	pause_ms(1500);
	return await(args[0], args[2]) ? 0 : 3;
}

static void on_abort(int sig)
{
	(void)sig;
}

/* The rest of the arguments, in a child. Does not return in the parent. */
static void move_to_child(char **argv)
{
	int status;
	pid_t child = fork();

	if (child) {
		_exit(child < 0 || waitpid(child, &status, 0) != child ? 2
		      : WIFEXITED(status)                              ? WEXITSTATUS(status)
		                                                       : 4);
	}
	if (strcmp(argv[1], "exec") == 0) {
		argv[1] = argv[0];
		execv("/proc/self/exe", argv + 1);
		_exit(2);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc > 1 && (strcmp(argv[1], "fork") == 0 || strcmp(argv[1], "exec") == 0)) {
		move_to_child(argv);
		argc--;
		argv++;
	}
	if (argc > 1 && strcmp(argv[1], "caught") == 0) {
		signal(SIGABRT, on_abort);
		argc--;
		argv++;
	}

	if (argc < 4 || pipe(gate) < 0)
		return 2;
	if (argc > 4 && strcmp(argv[1], "once") == 0)
		return leave_once(argv + 2);
	int growth = strcmp(argv[1], "growth") == 0;
	if (!growth)
		pthread_create(&thread, NULL, strcmp(argv[1], "unjoined") == 0 ? watch_leaves : watch_waits,
		               NULL);
	for (int i = 0; i < 400 && !holds(argv[2], argv[3]); i++) {
		if (growth)
			pthread_create(&thread, NULL, watch_waits, NULL);
		pause_ms(150);
	}
	return holds(argv[2], argv[3]) ? 0 : 3;
}
