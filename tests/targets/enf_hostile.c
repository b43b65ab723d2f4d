/* SPDX-License-Identifier: MIT
 *
 * Shows: programs whose calls come at bad moments, or with bad arguments. Each mode prints one line.
 *
 *   enf_hostile pointers     bad masks from a coroutine's stack, and once sealed: errno of each call
 *   enf_hostile explicit N   a creator pinned to one CPU gives N threads another CPU at once; how many had it
 *   enf_hostile moved N      N threads born pinned, moved at once; how many were not refused
 *   enf_hostile forks        children of a handler that forks inside affinity calls; each then pins 8 threads at once:
 *                            "exact" when of most children just 4 were not refused
 *   enf_hostile sealed N     how many of N threads can be made and left alive after a seal
 *   enf_hostile untraced     a fork child under RLIMIT_FSIZE = 0 pins itself: its errno
 *   enf_hostile talk N       N times 64 pins, each refused, with a stderr that nobody reads; "done"
 *   enf_hostile crash        a thread passes max_threads while the process forks; the children do the same later
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static void seal(void)
{
	struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {.len = 1, .filter = allow};

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* ---- pointers ------------------------------------------------------------------------------- */

static ucontext_t outside, coroutine;
static void *nowhere;

static int error_of(const void *mask)
{
	errno = 0;
	return sched_setaffinity(0, 128, mask) < 0 ? errno : 0;
}

static void ask(void)
{
	printf("%d %d", error_of(nowhere), pthread_setaffinity_np(pthread_self(), 128, nowhere));
}

static int pointers(int unused)
{
	char *stack = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	CHECK(stack != MAP_FAILED);
	nowhere = stack + (1 << 19); /* above the coroutine's stack, below the thread's */
	CHECK(munmap(nowhere, 4096) == 0);
	CHECK(getcontext(&coroutine) == 0);
	coroutine.uc_stack.ss_sp = stack;
	coroutine.uc_stack.ss_size = 1 << 18;
	coroutine.uc_link = &outside;
	makecontext(&coroutine, ask, 0);
	CHECK(swapcontext(&outside, &coroutine) == 0);
	seal();
	printf(" %d %d\n", error_of(NULL), error_of((void *)-8L)); /* NOLINT(performance-no-int-to-ptr) */
	return 0;
}

/* ---- masks given before a thread has run ------------------------------------------------------ */

static void *is_on_second(void *arg)
{
	cpu_set_t second = target_one_cpu(target_cpu(1));

	(void)arg;
	usleep(2000); /* the creator's call comes before or after the start */
	return target_mask_is(&second) ? &coroutine : NULL;
}

static int explicit(int threads)
{
	cpu_set_t first = target_one_cpu(target_cpu(0)), second = target_one_cpu(target_cpu(1));
	int right = 0;

	CHECK(sched_setaffinity(0, sizeof(first), &first) == 0);
	for (int i = 0; i < threads; i++) {
		pthread_t t;
		void *on_second;

		CHECK(pthread_create(&t, NULL, is_on_second, NULL) == 0);
		CHECK(pthread_setaffinity_np(t, sizeof(second), &second) == 0);
		CHECK(pthread_join(t, &on_second) == 0);
		right += on_second != NULL;
	}
	printf("%d\n", right);
	return 0;
}

static int moved(int threads)
{
	cpu_set_t first = target_one_cpu(target_cpu(0)), second = target_one_cpu(target_cpu(1));
	pthread_attr_t attr;
	int done = 0;

	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setaffinity_np(&attr, sizeof(first), &first) == 0);
	for (int i = 0; i < threads; i++) {
		pthread_t t;

		CHECK(pthread_create(&t, &attr, is_on_second, NULL) == 0);
		done += pthread_setaffinity_np(t, sizeof(second), &second) == 0;
		CHECK(pthread_join(t, NULL) == 0);
	}
	printf("%d\n", done);
	return 0;
}

/* ---- forks in a handler ------------------------------------------------------------------------- */

#define CHILDREN 40
#define WORKERS 8

static volatile sig_atomic_t children, is_child;
static pthread_barrier_t together;

static void set_timer(long us)
{
	struct itimerval timer = {{0, us}, {0, us}};

	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void fork_here(int sig)
{
	int saved = errno;

	(void)sig;
	if (!is_child && children < CHILDREN) {
		children++;
		if (fork() == 0) {
			is_child = 1;
			set_timer(0);
		}
	}
	errno = saved;
}

static void *pin_together(void *arg)
{
	cpu_set_t first = target_one_cpu(target_cpu(0));
	bool done = sched_setaffinity(0, sizeof(first), &first) == 0;

	(void)arg;
	pthread_barrier_wait(&together);
	return done ? &together : NULL;
}

static int pin_workers(void)
{
	pthread_t t[WORKERS];
	void *done;
	int count = 0;

	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	CHECK(pthread_barrier_init(&together, NULL, WORKERS) == 0);
	for (int i = 0; i < WORKERS; i++)
		CHECK(pthread_create(&t[i], NULL, pin_together, NULL) == 0);
	for (int i = 0; i < WORKERS; i++) {
		CHECK(pthread_join(t[i], &done) == 0);
		count += done != NULL;
	}
	return count;
}

static int forks(int unused)
{
	struct sigaction action = {.sa_handler = fork_here, .sa_flags = SA_RESTART};
	cpu_set_t first = target_one_cpu(target_cpu(0));
	int status, exact = 0;

	(void)unused;
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	set_timer(700);
	while (!is_child && children < CHILDREN) {
		CHECK(sched_setaffinity(0, sizeof(first), &first) == 0);
		CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	}
	if (is_child)
		_exit(pin_workers());
	set_timer(0);
	while (wait(&status) > 0)
		exact += WIFEXITED(status) && WEXITSTATUS(status) == WORKERS / 2;
	/* A fork in the very step that counts leaves one number wrong. */
	printf("%s\n", exact >= CHILDREN * 3 / 4 ? "exact" : "wrong");
	return 0;
}

/* ---- threads that stay ------------------------------------------------------------------------------ */

static void *stay(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static int create_staying(int threads)
{
	pthread_attr_t attr;
	pthread_t t;
	int made = 0;

	CHECK(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, 65536) == 0);
	while (made < threads && pthread_create(&t, &attr, stay, NULL) == 0)
		made++;
	return made;
}

static int sealed(int threads)
{
	seal();
	printf("%d\n", create_staying(threads));
	return 0;
}

static void *create_later(void *arg)
{
	usleep(2000);
	create_staying(50);
	return arg;
}

#define FORKS 200

static int crash(int unused)
{
	pthread_t t;

	(void)unused;
	CHECK(pthread_create(&t, NULL, create_later, NULL) == 0);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0) {
			usleep(300000); /* until the parent's crash is over */
			alarm(20);
			create_staying(50);
			_exit(0);
		}
		usleep(200);
	}
	pause();
	return 1;
}

/* ---- a child without a trace ---------------------------------------------------------------------- */

static int untraced(int unused)
{
	struct rlimit none = {.rlim_cur = 0, .rlim_max = RLIM_INFINITY};
	cpu_set_t first = target_one_cpu(target_cpu(0));
	int status;

	(void)unused;
	CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(sched_setaffinity(0, sizeof(first), &first) == 0 ? 0 : errno);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	printf("%d\n", WEXITSTATUS(status));
	return 0;
}

/* ---- talk ------------------------------------------------------------------------------------------------ */

/* Sixteen sites by four calls of depth two. */
__attribute__((noinline)) static void refused(void)
{
	cpu_set_t first = target_one_cpu(target_cpu(0));

	CHECK(sched_setaffinity(0, sizeof(first), &first) < 0);
	CHECK(sched_setaffinity(0, sizeof(first), &first) < 0);
	CHECK(sched_setaffinity(0, sizeof(first), &first) < 0);
	CHECK(sched_setaffinity(0, sizeof(first), &first) < 0);
}

__attribute__((noinline)) static void refused_from_four(void)
{
	refused();
	refused();
	refused();
	refused();
}

static int talking(int times)
{
	for (int i = 0; i < times; i++) {
		refused_from_four();
		refused_from_four();
		refused_from_four();
		refused_from_four();
	}
	puts("done");
	return 0;
}

/* Once more, with a pipe for stderr that holds a page and is not read. */
static int talk(int times)
{
	char number[16];
	int ends[2];

	CHECK(pipe(ends) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 4096 && dup2(ends[1], 2) == 2);
	snprintf(number, sizeof(number), "%d", times);
	execl("/proc/self/exe", "enf_hostile", "talking", number, (char *)NULL);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int);
	} modes[] = {{"pointers", pointers}, {"explicit", explicit}, {"moved", moved},
	             {"forks", forks},       {"sealed", sealed},     {"talk", talk},
	             {"talking", talking},   {"untraced", untraced}, {"crash", crash}};

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0) {
			int r = modes[i].run(argc > 2 ? atoi(argv[2]) : 0);

			fflush(stdout);
			return r;
		}
	return 2;
}
