/* SPDX-License-Identifier: MIT
 *
 * Shows: the descriptors are the program's own. The work in each mode makes the trace grow and enters the unwinder.
 *   fds list     says on stdout what /proc/self/fd holds at the start of main, after work, in a fork child
 *   fds reuse    closes everything from 3 on, fills the numbers with pipes, sockets, memory files and a file on disk, and
 *                finds every byte as it left it after the work
 *   fds race     a thread closes everything and opens files of its own, over and over, while others work
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 3
#define CALLS 1500
#define SETS 16
#define PATTERN "every byte of this is the program's own"

static void *calls(void *arg)
{
	for (int i = 0; i < CALLS; i++) {
		unsigned path = wander_next() % 512;

		wander(path, wander_pin, NULL);
		wander(path, wander_release, NULL);
	}
	return arg;
}

static void work(void)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, calls, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
}

/* ---- list -------------------------------------------------------------------------------- */

static void list(const char *when)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	CHECK(dir != NULL);
	printf("%s:", when);
	while ((entry = readdir(dir)) != NULL) {
		char path[64];
		ssize_t n =
		    entry->d_name[0] == '.' ? 0 : readlinkat(dirfd(dir), entry->d_name, path, sizeof(path));

		/* What 0, 1 and 2 are is the harness's business. */
		if (n > 0 && atoi(entry->d_name) > 2)
			printf(" %s=%.*s", entry->d_name, path[0] == '/' && path[1] == 'p' ? 5 : (int)n,
			       path);
	}
	closedir(dir);
	puts("");
	fflush(stdout);
}

static void list_all(void)
{
	int status;
	pid_t pid;

	list("at start");
	work();
	list("after work");
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		work();
		list("in a child");
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	list("at end");
}

/* ---- reuse ------------------------------------------------------------------------------- */

struct own {
	int pipe[2], socket[2], memory, file;
};

static void put(int fd)
{
	CHECK(write(fd, PATTERN, sizeof(PATTERN)) == sizeof(PATTERN));
}

static void expect(int fd)
{
	char text[sizeof(PATTERN) + 1];

	CHECK(read(fd, text, sizeof(text)) == sizeof(PATTERN));
	CHECK(memcmp(text, PATTERN, sizeof(PATTERN)) == 0);
}

static void expect_file(int fd)
{
	struct stat st;

	CHECK(fstat(fd, &st) == 0 && st.st_size == sizeof(PATTERN));
	CHECK(lseek(fd, 0, SEEK_CUR) == sizeof(PATTERN));
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	expect(fd);
}

static void take(struct own *own, int n)
{
	char name[32];

	snprintf(name, sizeof(name), "own-%d", n);
	CHECK(pipe(own->pipe) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, own->socket) == 0);
	own->memory = memfd_create("own", 0);
	own->file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(own->memory > 2 && own->file > 2);
	put(own->pipe[1]);
	put(own->socket[0]);
	put(own->memory);
	put(own->file);
}

static void give(struct own *own)
{
	expect(own->pipe[0]);
	expect(own->socket[1]);
	expect_file(own->memory);
	expect_file(own->file);
	CHECK(close(own->pipe[0]) == 0 && close(own->pipe[1]) == 0);
	CHECK(close(own->socket[0]) == 0 && close(own->socket[1]) == 0);
	CHECK(close(own->memory) == 0 && close(own->file) == 0);
}

static void reuse(void)
{
	struct own own[SETS];

	closefrom(3);
	for (int i = 0; i < SETS; i++)
		take(&own[i], i);
	CHECK(own[0].pipe[0] == 3);
	work();
	for (int i = 0; i < SETS; i++)
		give(&own[i]);
}

/* ---- race -------------------------------------------------------------------------------- */

static atomic_bool over;

static void *closes_all(void *arg)
{
	int files[8];

	while (!atomic_load(&over)) {
		closefrom(3);
		for (int i = 0; i < 8; i++) {
			files[i] = memfd_create("victim", 0);
			CHECK(files[i] > 2);
			put(files[i]);
		}
		for (int i = 0; i < 8; i++)
			expect_file(files[i]);
	}
	return arg;
}

static void race(void)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, closes_all, NULL) == 0);
	for (int i = 0; i < 3; i++)
		work();
	atomic_store(&over, true);
	CHECK(pthread_join(t, NULL) == 0);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "list";

	target_cpu(1);
	if (strcmp(how, "list") == 0)
		list_all();
	else if (strcmp(how, "reuse") == 0)
		reuse();
	else
		race();
	puts("descriptors");
	return 0;
}
