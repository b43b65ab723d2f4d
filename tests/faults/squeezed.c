/* SPDX-License-Identifier: MIT
 *
 * Shows: work that needs the trace to grow, after the program took away what growing needs. squeezed HOW [FILE]:
 *   none                 nothing is taken away
 *   fsize | fsize-soon   no file may grow; or grow past 300 KB (SIGXFSZ would kill)
 *   as                   no more memory than it has (RLIMIT_AS), and the threads run on stacks made before
 *   nofile               no descriptor is left, and all of those that may be are open
 *   chroot DIR           another root directory (needs root)
 *   unlink FILE          its own trace is gone
 *   replace FILE         another file stands in its trace's place
 *   link FILE            a symbolic link to another file does
 * FILE is made when there is none: bare there is no trace.
 * Facts: "created" threads, "sets".
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define CREATED 400
#define PATHS 64
#define SETS_EACH 8
#define STACK_BYTES (64u << 10)
#define DESCRIPTORS_MAX 4096
#define VICTIM "the victim's own words\n"

static char *stack;

static void *sets_some(void *arg)
{
	unsigned path = wander_next() % PATHS;

	for (int i = 0; i < SETS_EACH / 2; i++) {
		wander(path, wander_pin, NULL);
		wander(path, wander_release, NULL);
	}
	return arg;
}

static void work(void)
{
	pthread_attr_t attr;
	pthread_t t;

	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstack(&attr, stack, STACK_BYTES) == 0);
	for (int i = 0; i < CREATED; i++) {
		CHECK(pthread_create(&t, &attr, sets_some, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
	CHECK(pthread_attr_destroy(&attr) == 0);
}

/* ---- taking away ---------------------------------------------------------------------------- */

static void limit(int what, rlim_t value)
{
	struct rlimit both;

	CHECK(getrlimit(what, &both) == 0);
	both.rlim_cur = value < both.rlim_max ? value : both.rlim_max;
	CHECK(setrlimit(what, &both) == 0);
}

static rlim_t memory_now(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	CHECK(f && fscanf(f, "%ld", &pages) == 1);
	fclose(f);
	return (rlim_t)pages * 4096;
}

static void use_up_descriptors(void)
{
	limit(RLIMIT_NOFILE, 64);
	while (dup(1) >= 0)
		;
	CHECK(errno == EMFILE);
}

/* How many are open. By number: there may be no /proc. */
static int descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void write_victim(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK(write(fd, VICTIM, sizeof(VICTIM) - 1) == sizeof(VICTIM) - 1);
	CHECK(close(fd) == 0);
}

static void victim_is_unharmed(const char *path)
{
	char text[sizeof(VICTIM) + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(read(fd, text, sizeof(text)) == sizeof(VICTIM) - 1);
	CHECK(memcmp(text, VICTIM, sizeof(VICTIM) - 1) == 0);
	CHECK(close(fd) == 0);
}

static void move_away(const char *path)
{
	char moved[PATH_MAX];

	snprintf(moved, sizeof(moved), "%s.moved", path);
	CHECK(rename(path, moved) == 0);
}

static void squeeze(const char *how, const char *file)
{
	if (strcmp(how, "fsize") == 0)
		limit(RLIMIT_FSIZE, 0);
	if (strcmp(how, "fsize-soon") == 0)
		limit(RLIMIT_FSIZE, 300000);
	if (strcmp(how, "as") == 0)
		limit(RLIMIT_AS, memory_now());
	if (strcmp(how, "nofile") == 0)
		use_up_descriptors();
	if (strcmp(how, "chroot") == 0) {
		if (chroot(file) != 0)
			target_cannot("may not chroot");
		CHECK(chdir("/") == 0);
	}
	if (strcmp(how, "unlink") == 0)
		CHECK(unlink(file) == 0);
	if (strcmp(how, "replace") == 0) {
		move_away(file);
		write_victim(file);
	}
	if (strcmp(how, "link") == 0) {
		move_away(file);
		write_victim("victim");
		CHECK(symlink("victim", file) == 0);
	}
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "none", *file = argc > 2 ? argv[2] : "";

	target_cpu(1);
	stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(stack != MAP_FAILED);
	puts("squeezed");
	fflush(stdout);
	if (argc > 2 && strcmp(how, "chroot") != 0)
		CHECK(close(open(file, O_RDWR | O_CREAT, 0600)) == 0);
	squeeze(how, file);
	int before = descriptors();
	work();
	CHECK(descriptors() == before);
	if (strcmp(how, "replace") == 0)
		victim_is_unharmed(file);
	if (strcmp(how, "link") == 0)
		victim_is_unharmed("victim");
	limit(RLIMIT_FSIZE, RLIM_INFINITY); /* stderr may be a file */
	say_fact("created", CREATED);
	say_fact("sets", CREATED * SETS_EACH);
	return 0;
}
