/* SPDX-License-Identifier: MIT
 *
 * Shows: identities that come again at once. Every second thread ends pinned; none of it may stick to the next.
 *   reuse handle     the same pthread_t (libc caches stacks)
 *   reuse tid        the same kernel tid, too: told to the kernel in a pid namespace of its own (needs root)
 * Facts: "handles" and "tids" that came again, "leaks" made.
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define THREADS 200

static bool reuse_tid;
static int last_tid, tids;

/* The kernel gives out the next number after the one written here (proc(5) of the pid namespace). */
static void rewind_tids(int next)
{
	char text[16];
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC), n;

	if (fd < 0)
		target_cannot("may not write ns_last_pid");
	n = snprintf(text, sizeof(text), "%d", next - 1);
	if (write(fd, text, (size_t)n) != n)
		target_cannot("may not choose the next pid");
	close(fd);
}

static void *ends_pinned(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));
	int tid = target_tid();

	CHECK(target_mask_is(target_all_cpus()));
	tids += tid == last_tid;
	last_tid = tid;
	if (arg)
		CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t, last = 0;
	long handles = 0, leaks = 0;

	target_cpu(1);
	reuse_tid = argc > 1 && strcmp(argv[1], "tid") == 0;
	for (int i = 0; i < THREADS; i++) {
		if (reuse_tid && last_tid)
			rewind_tids(last_tid);
		CHECK(pthread_create(&t, NULL, ends_pinned, i % 2 ? &t : NULL) == 0);
		if (i % 4 == 3) {
			CHECK(pthread_detach(t) == 0);
			target_wait_threads(1);
		} else {
			CHECK(pthread_join(t, NULL) == 0);
		}
		handles += t == last;
		last = t;
		leaks += i % 2;
	}
	CHECK(handles > THREADS / 2);
	CHECK(!reuse_tid || tids > THREADS / 2);
	say_fact("handles", handles);
	say_fact("tids", tids);
	say_fact("leaks", leaks);
	puts("came again");
	return 0;
}
