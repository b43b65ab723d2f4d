/* SPDX-License-Identifier: MIT
 *
 * Shows: what kill -9 leaves. Each round starts a process under the shim, kills it at a random moment and reads its trace with
 * scan.c, which shares no code with the shim. The process (kill9 work ACKS) numbers each of its affinity calls through the
 * size it passes, which the kernel cuts and the shim records; when the call has returned, the number goes to
 * memory shared with the judge. So every single acknowledged call can be looked for.
 *   kill9 ROUNDS SHIM DIR     DIR keeps the last round's trace
 * Facts: rounds, acknowledged, missing, torn, invented, in-flight (most in a round), untraced (killed before there was a trace).
 */
#include "tests/targets/common/common.h"
#include "tests/faults/scan.h"
#include "tests/faults/wander.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 3u
#define MASK_BYTES 1024u /* no kernel reads more */
#define NUMBERS_MAX 1000000u /* by one thread in one round */

struct acks {
	atomic_uint done[THREADS]; /* calls of each thread that returned */
};

/* ---- the process that is killed ------------------------------------------------------------ */

struct worker {
	struct acks *acks;
	unsigned number;
	size_t size; /* what its next call passes */
	bool pin;
};

/* The tag of call `n` of a thread. Sizes are multiples of a word. */
static size_t size_of(unsigned thread, unsigned n)
{
	return MASK_BYTES + 8u * ((size_t)n * THREADS + thread);
}

static void set(void *arg)
{
	const struct worker *w = arg;
	static cpu_set_t one[MASK_BYTES / sizeof(cpu_set_t)], all[MASK_BYTES / sizeof(cpu_set_t)];

	one[0] = target_one_cpu(target_cpu(0));
	all[0] = *target_all_cpus();
	CHECK(sched_setaffinity(0, w->size, w->pin ? one : all) == 0);
}

static void *works(void *arg)
{
	struct worker *w = arg;

	for (unsigned n = 0; n < NUMBERS_MAX; n++) {
		w->size = size_of(w->number, n);
		w->pin = n % 2 == 0;
		/* Mostly from a known stack, now and then from a new one. */
		if (n % 64 == 0)
			wander(wander_next(), set, w);
		else
			set(w);
		atomic_store_explicit(&w->acks->done[w->number], n + 1, memory_order_release);
	}
	return arg;
}

static int work(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct acks *acks = mmap(NULL, sizeof(*acks), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct worker workers[THREADS];
	pthread_t t;

	CHECK(acks != MAP_FAILED);
	for (unsigned i = 0; i < THREADS; i++)
		workers[i] = (struct worker){.acks = acks, .number = i};
	for (unsigned i = 1; i < THREADS; i++)
		CHECK(pthread_create(&t, NULL, works, &workers[i]) == 0);
	works(&workers[0]);
	pause();
	return 0;
}

/* ---- the judge ------------------------------------------------------------------------------ */

static unsigned char seen[THREADS]
                         [NUMBERS_MAX]; /* how often each number is in the trace; 2: more than once */
static unsigned last[THREADS]; /* one behind the highest */
static long acknowledged, missing, torn, invented, in_flight, untraced;

static void see(unsigned type, const void *payload, unsigned bytes, void *arg)
{
	const struct pinw_rec_affinity *record = payload;

	(void)arg;
	if (type != PINW_REC_AFFINITY || bytes < sizeof(*record) || record->cpusetsize < MASK_BYTES ||
	    record->error)
		return;
	unsigned tag = (record->cpusetsize - MASK_BYTES) / 8;
	unsigned t = tag % THREADS, n = tag / THREADS;
	if (n >= NUMBERS_MAX)
		return;
	seen[t][n] += seen[t][n] < 2;
	last[t] = n >= last[t] ? n + 1 : last[t];
}

static void nap(long us)
{
	const struct timespec pause = {.tv_nsec = us * 1000};

	nanosleep(&pause, NULL);
}

/* Starts a process, kills it: half of the rounds at any moment from its first instruction on, half while it works. */
static void start_and_kill(const char *self, const char *shim, const char *trace, const char *path,
                           struct acks *acks, int round)
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid == 0) {
		setenv("LD_PRELOAD", shim, 1);
		setenv("PINWARDEN_OUTPUT", trace, 1);
		execl(self, self, "work", path, NULL);
		_exit(127);
	}
	if (round % 2)
		while (!atomic_load(&acks->done[THREADS - 1]) && waitpid(pid, &status, WNOHANG) == 0)
			nap(50);
	nap(random() % (round % 2 ? 12000 : 4000));
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void judge(const char *trace, const struct acks *acks)
{
	struct scan scan;

	if (scan_trace(trace, see, NULL, &scan) < 0)
		untraced++;
	CHECK(scan.dropped == 0);
	torn += (long)scan.torn;
	if ((long)scan.in_flight > in_flight)
		in_flight = (long)scan.in_flight;
	for (unsigned t = 0; t < THREADS; t++) {
		unsigned done = atomic_load(&acks->done[t]);

		acknowledged += done;
		for (unsigned n = 0; n < done || n < last[t]; n++) {
			missing += n < done && seen[t][n] != 1;
			invented += n > done && seen[t][n];
			seen[t][n] = 0;
		}
		last[t] = 0;
	}
}

int main(int argc, char **argv)
{
	char trace[PATH_MAX], path[PATH_MAX];
	long rounds = target_arg(argc, argv, 1, 200);

	target_cpu(1);
	if (argc == 3)
		return work(argv[2]);
	CHECK(argc == 4);
	snprintf(trace, sizeof(trace), "%s/killed.pwt", argv[3]);
	snprintf(path, sizeof(path), "%s/acks", argv[3]);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, sizeof(struct acks)) == 0);
	struct acks *acks = mmap(NULL, sizeof(*acks), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(acks != MAP_FAILED);
	srandom((unsigned)getpid());
	for (int i = 0; i < rounds; i++) {
		unlink(trace);
		memset(acks, 0, sizeof(*acks));
		start_and_kill("/proc/self/exe", argv[2], trace, path, acks, i);
		judge(trace, acks);
	}
	say_fact("rounds", rounds);
	say_fact("acknowledged", acknowledged);
	say_fact("missing", missing);
	say_fact("torn", torn);
	say_fact("invented", invented);
	say_fact("in-flight", in_flight);
	say_fact("untraced", untraced);
	return 0;
}
