/* SPDX-License-Identifier: MIT
 *
 * Shows: threads and a process that get their pin at birth: through an attribute, from a pinned creator, from a pinned
 * parent of a fork. Prints what the creation returned (errno, 0 = done) and where the child found itself: "pinned" to
 * one CPU, "free" on the process's mask, or "none" when there was no child.
 *
 *   enf_born attr|inherit|fork|chain...      in the order given; chain: an heir that makes an heir
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *place(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	return target_mask_is(&one) ? "pinned" : target_mask_is(target_all_cpus()) ? "free" : "elsewhere";
}

static void *look(void *arg)
{
	*(const char **)arg = place();
	return NULL;
}

__attribute__((noinline)) static int make_born(pthread_t *t, const char **where)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));
	pthread_attr_t attr;
	int error;

	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setaffinity_np(&attr, sizeof(one), &one) == 0);
	error = pthread_create(t, &attr, look, where);
	CHECK(pthread_attr_destroy(&attr) == 0);
	return error;
}

__attribute__((noinline)) static int make_heir(pthread_t *t, void *(*start)(void *), const char **where)
{
	return pthread_create(t, NULL, start, where);
}

static void *look_twice(void *arg)
{
	const char **where = arg;
	pthread_t t;

	where[0] = place();
	if (make_heir(&t, look, &where[1]) == 0)
		CHECK(pthread_join(t, NULL) == 0);
	return NULL;
}

/* Pins the caller, unless that is refused; releases it. */
static void pinned(bool yes)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(sched_setaffinity(0, sizeof(one), yes ? &one : target_all_cpus()) == 0);
}

static void show_thread(const char *how, bool by_attribute)
{
	const char *where = "none";
	pthread_t t;
	int error;

	if (!by_attribute)
		pinned(true);
	error = by_attribute ? make_born(&t, &where) : make_heir(&t, look, &where);
	if (!error)
		CHECK(pthread_join(t, NULL) == 0);
	if (!by_attribute)
		pinned(false);
	printf("%s %d %s\n", how, error, where);
}

static void show_chain(void)
{
	const char *where[2] = {"none", "none"};
	pthread_t t;
	int error;

	pinned(true);
	error = make_heir(&t, look_twice, where);
	pinned(false);
	if (!error)
		CHECK(pthread_join(t, NULL) == 0);
	printf("chain %d %s %s\n", error, where[0], where[1]);
}

static void show_fork(void)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pinned(true);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		printf("fork %s\n", place());
		fflush(stdout);
		_exit(0);
	}
	pinned(false);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
	target_cpu(1);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "fork") == 0)
			show_fork();
		else if (strcmp(argv[i], "chain") == 0)
			show_chain();
		else
			show_thread(argv[i], strcmp(argv[i], "attr") == 0);
	}
	return 0;
}
