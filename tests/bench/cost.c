/* SPDX-License-Identifier: MIT
 *
 * The operations whose cost is compared, bare and watched. One per process, so that
 * nothing of one is warm for another:
 *
 *   cost create COUNT     create+join cycles of a thread that does nothing       mean ns of one cycle
 *   cost pin COUNT        a warm thread, 16 frames deep, asks for its CPU again  mean ns of one call
 *   cost try COUNT        the same, whatever the answer: a policy may deny it    mean ns of one call
 *   cost flip COUNT       the same, but pins and releases by turns               mean ns of one call
 *   cost first COUNT      COUNT fresh threads, each pins itself once, 16 deep    median ns of the call
 *   cost getppid COUNT    a call that is not interposed                          mean ns of one call
 *   cost syscall COUNT    syscall(SYS_getpid): interposed, and passed on         mean ns of one call
 *   cost prctl COUNT      prctl(PR_GET_DUMPABLE): interposed, and passed on      mean ns of one call
 *   cost malloc COUNT     malloc+free, for what records those                    mean ns of one pair
 *   cost fault COUNT      a page fault, the same                                 mean ns of one
 *   cost rss 1            creates a thread that pins once; then KiB resident, as the kernel counts them
 *
 * Means run over everything, growth of the trace included. A first pin happens once
 * a thread, so each is timed for itself, and the median leaves out those that the
 * machine interrupted. Prints one number.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FRAMES 16
#define WARM_UP 100 /* operations before the clock starts: first-seen stacks, first pages */

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ---- create + join -------------------------------------------------------------- */

static void *idle(void *arg)
{
	return arg;
}

static void create_join(long count)
{
	for (long i = 0; i < count; i++) {
		pthread_t t;

		CHECK(pthread_create(&t, NULL, idle, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
}

/* ---- pins, 16 frames deep --------------------------------------------------------- */

/* Calls itself until `frames` frames lie on the stack, then runs fn(arg). */
static __attribute__((noinline)) double at_depth(int frames, double (*fn)(long), long arg)
{
	double r = frames > 1 ? at_depth(frames - 1, fn, arg) : fn(arg);

	__asm__ volatile("" ::: "memory"); /* or the call becomes a jump */
	return r;
}

static void set_mask(const cpu_set_t *mask)
{
	CHECK(sched_setaffinity(0, sizeof(*mask), mask) == 0);
}

static double pin_again(long count)
{
	cpu_set_t here = target_one_cpu(sched_getcpu());

	for (long i = 0; i < WARM_UP; i++)
		set_mask(&here);
	double start = now_ns();
	for (long i = 0; i < count; i++)
		set_mask(&here);
	return (now_ns() - start) / (double)count;
}

static double try_to_pin(long count)
{
	cpu_set_t here = target_one_cpu(sched_getcpu());

	for (long i = 0; i < WARM_UP; i++)
		sched_setaffinity(0, sizeof(here), &here);
	double start = now_ns();
	for (long i = 0; i < count; i++)
		sched_setaffinity(0, sizeof(here), &here);
	return (now_ns() - start) / (double)count;
}

/* The thread is pinned between the turns, so that "the CPU it is on" stays the same one. */
static double pin_and_release(long count)
{
	cpu_set_t here = target_one_cpu(sched_getcpu());
	double start = 0;

	for (long i = -WARM_UP; i < count; i += 2) {
		if (i == 0)
			start = now_ns();
		set_mask(&here);
		set_mask(target_all_cpus());
	}
	return (now_ns() - start) / (double)count;
}

static double first_pin(long unused)
{
	cpu_set_t here = target_one_cpu(sched_getcpu());

	(void)unused;
	double start = now_ns();
	int r = sched_setaffinity(0, sizeof(here), &here);
	double took = now_ns() - start;
	CHECK(r == 0);
	return took;
}

struct job {
	double (*fn)(long);
	long arg;
	double result;
};

static void *run_job(void *arg)
{
	struct job *job = arg;

	job->result = at_depth(FRAMES - 1, job->fn, job->arg);
	set_mask(target_all_cpus());
	return NULL;
}

/* In a thread of its own: one that pins itself leaves no trace in the next. */
static double in_thread(double (*fn)(long), long arg)
{
	struct job job = {fn, arg, 0};
	pthread_t t;

	CHECK(pthread_create(&t, NULL, run_job, &job) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	return job.result;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double first_pins(long count)
{
	double *took = calloc((size_t)count, sizeof(*took));

	CHECK(took != NULL);
	for (long i = 0; i < WARM_UP; i++)
		in_thread(first_pin, 0);
	for (long i = 0; i < count; i++)
		took[i] = in_thread(first_pin, 0);
	qsort(took, (size_t)count, sizeof(*took), ascending);
	double median = took[count / 2];
	free(took);
	return median;
}

/* ---- calls that must cost nothing ---------------------------------------------------- */

static void call_getppid(long count)
{
	for (long i = 0; i < count; i++)
		getppid();
}

static void call_syscall(long count)
{
	for (long i = 0; i < count; i++)
		syscall(SYS_getpid);
}

static void call_prctl(long count)
{
	for (long i = 0; i < count; i++)
		prctl(PR_GET_DUMPABLE);
}

/* ---- events of other tools ------------------------------------------------------------- */

static void malloc_free(long count)
{
	for (long i = 0; i < count; i++) {
		void *volatile p = malloc(16);

		free(p);
	}
}

static void fault(long count)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(page != MAP_FAILED);
	for (long i = 0; i < count; i++) {
		*(volatile char *)page = 1;
		CHECK(madvise(page, 4096, MADV_DONTNEED) == 0);
	}
}

static double mean_of(void (*fn)(long), long count)
{
	fn(WARM_UP);
	double start = now_ns();
	fn(count);
	return (now_ns() - start) / (double)count;
}

/* ---- memory ----------------------------------------------------------------------------- */

static double resident_kib(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	char line[256];
	long kib = -1;

	CHECK(f != NULL);
	while (kib < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, "Rss: %ld kB", &kib) != 1)
			kib = -1;
	fclose(f);
	CHECK(kib > 0);
	return (double)kib;
}

static double rss(void)
{
	in_thread(first_pin, 0);
	return resident_kib();
}

/* ---- choice ------------------------------------------------------------------------------- */

static double run(const char *what, long count)
{
	if (strcmp(what, "create") == 0)
		return mean_of(create_join, count);
	if (strcmp(what, "pin") == 0)
		return in_thread(pin_again, count);
	if (strcmp(what, "try") == 0)
		return in_thread(try_to_pin, count);
	if (strcmp(what, "flip") == 0)
		return in_thread(pin_and_release, count);
	if (strcmp(what, "first") == 0)
		return first_pins(count);
	if (strcmp(what, "getppid") == 0)
		return mean_of(call_getppid, count);
	if (strcmp(what, "syscall") == 0)
		return mean_of(call_syscall, count);
	if (strcmp(what, "prctl") == 0)
		return mean_of(call_prctl, count);
	if (strcmp(what, "malloc") == 0)
		return mean_of(malloc_free, count);
	if (strcmp(what, "fault") == 0)
		return mean_of(fault, count);
	if (strcmp(what, "rss") == 0)
		return rss();
	return -1;
}

int main(int argc, char **argv)
{
	long count = target_arg(argc, argv, 2, 0);
	double result = argc == 3 && count > 0 ? run(argv[1], count) : -1;

	if (result < 0) {
		fprintf(stderr,
		        "usage: %s create|pin|try|flip|first|getppid|syscall|prctl|malloc|fault|rss COUNT\n",
		        argv[0]);
		return 2;
	}
	printf("%.1f\n", result);
	return 0;
}
