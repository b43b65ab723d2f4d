/* SPDX-License-Identifier: MIT
 *
 * Shows: leaks, told in the leak log while stderr is not what it was. Thread names hold what a terminal would obey.
 *   leaky plain      two threads end pinned, one is not joined
 *   leaky closed     stderr is closed first
 *   leaky reused     ... and its number given to a file of the program's, which must hold its own bytes only
 *   leaky pipe       stderr is a pipe nobody reads: SIGPIPE, unless the program asked for it, must not come
 *   leaky small      no file may grow (RLIMIT_FSIZE 0): SIGXFSZ must not come
 *   leaky pending    a SIGPIPE of the program's own is pending, and still is afterwards
 */
#include "tests/targets/common/common.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char hostile_name[] = "\033]0;own\a\033[31m\n";

static void *ends_pinned(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(pthread_setname_np(pthread_self(), hostile_name) == 0);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	return arg;
}

static void *nothing(void *arg)
{
	return arg;
}

static void work(void)
{
	pthread_t t;

	for (int i = 0; i < 2; i++) {
		CHECK(pthread_create(&t, NULL, ends_pinned, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
	CHECK(pthread_create(&t, NULL, nothing, NULL) == 0);
	target_wait_threads(1);
}

static void reuse_number_two(void)
{
	int fd = open("own", O_RDWR | O_CREAT | O_TRUNC, 0600);

	CHECK(dup2(fd, 2) == 2);
	CHECK(close(fd) == 0);
	CHECK(write(2, "own", 3) == 3);
}

static void number_two_is_own(void)
{
	struct stat st;

	CHECK(fstat(2, &st) == 0 && st.st_size == 3);
}

static void nobody_reads(void)
{
	int ends[2];

	CHECK(pipe(ends) == 0);
	CHECK(dup2(ends[1], 2) == 2);
	CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void have_pending(void)
{
	sigset_t pipe_only;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	CHECK(pthread_sigmask(SIG_BLOCK, &pipe_only, NULL) == 0);
	CHECK(pthread_kill(pthread_self(), SIGPIPE) == 0);
}

static void is_still_pending(void)
{
	sigset_t pending;

	CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1);
}

static void let_files_grow(bool grow)
{
	struct rlimit limit;

	CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
	limit.rlim_cur = grow ? limit.rlim_max : 0;
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "plain";
	CHECK(strlen(hostile_name) < 16);
	if (strcmp(how, "closed") == 0)
		CHECK(close(2) == 0);
	if (strcmp(how, "reused") == 0)
		reuse_number_two();
	if (strcmp(how, "pipe") == 0)
		nobody_reads();
	if (strcmp(how, "small") == 0)
		let_files_grow(false);
	if (strcmp(how, "pending") == 0)
		have_pending();
	work();
	if (strcmp(how, "reused") == 0)
		number_two_is_own();
	if (strcmp(how, "pending") == 0)
		is_still_pending();
	if (strcmp(how, "small") == 0)
		let_files_grow(true);
	CHECK(write(1, "leaked\n", 7) == 7);
	return 0;
}
