/* SPDX-License-Identifier: MIT
 *
 * Shows: a program that takes its surroundings away and then works on: creates, pins, releases, forks.
 *   confined chroot DIR     a root directory without files (needs root)
 *   confined closefrom      every descriptor from 3 on is closed, and taken by files of its own
 *   confined fsize          no file may grow (RLIMIT_FSIZE 0, SIGXFSZ would kill)
 *   confined nofile         no further descriptor (RLIMIT_NOFILE 0)
 *   confined unwritable     DIR, its directory, is removed
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES 16

static int files[FILES];

static void *pins(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	return arg;
}

static void work(void)
{
	int status;
	pid_t pid;

	for (int i = 0; i < 200; i++) {
		pthread_t t;

		CHECK(pthread_create(&t, NULL, pins, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		pins(NULL);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void limit(int what)
{
	const struct rlimit none = {0, 0};

	CHECK(setrlimit(what, &none) == 0);
}

/* The numbers freed by closefrom now are the program's: nobody else may write to them. */
static void take_descriptors(void)
{
	closefrom(3);
	for (int i = 0; i < FILES; i++) {
		files[i] = memfd_create("victim", MFD_CLOEXEC);
		CHECK(files[i] == i + 3);
	}
}

static void descriptors_are_untouched(void)
{
	for (int i = 0; i < FILES; i++) {
		struct stat st;

		CHECK(fstat(files[i], &st) == 0 && st.st_size == 0);
		CHECK(lseek(files[i], 0, SEEK_CUR) == 0);
		CHECK(fcntl(files[i], F_GETFD) == FD_CLOEXEC);
	}
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "closefrom", *dir = argc > 2 ? argv[2] : ".";
	bool closes = strcmp(how, "closefrom") == 0;

	target_cpu(1);
	if (strcmp(how, "chroot") == 0) {
		if (chroot(dir) != 0)
			target_cannot("needs the right to chroot");
		CHECK(chdir("/") == 0);
	} else if (strcmp(how, "fsize") == 0) {
		limit(RLIMIT_FSIZE);
	} else if (strcmp(how, "nofile") == 0) {
		limit(RLIMIT_NOFILE);
		CHECK(dup(1) == -1 && errno == EMFILE);
	} else if (strcmp(how, "unwritable") == 0) {
		CHECK(rmdir(dir) == 0);
	} else {
		CHECK(closes);
		take_descriptors();
	}
	work();
	if (closes)
		descriptors_are_untouched();
	CHECK(write(1, "worked on\n", 10) == 10);
	return 0;
}
