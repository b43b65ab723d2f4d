/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/mask.h"
#include "preload/clock.h"
#include "preload/proc.h"
#include "preload/process.h"
#include "tests/rig.h"

static void setup(void)
{
	pinw_shim.pid = (uint32_t)getpid();
}

TestSuite(proc, .init = setup, .fini = pinw_rig_done);

/* ---- text --------------------------------------------------------------------------- */

Test(proc, builds_strings_that_always_end)
{
	char buf[8];

	memset(buf, 'x', sizeof(buf));
	cr_expect_eq(pinw_put(buf, sizeof(buf), 0, "abc"), 3);
	cr_expect_str_eq(buf, "abc");
	cr_expect_eq(pinw_put_number(buf, sizeof(buf), 3, 1234567), 7);
	cr_expect_str_eq(buf, "abc1234");
	cr_expect_eq(pinw_put(buf, sizeof(buf), 7, "more"), 7, "full");
	cr_expect_str_eq(buf, "abc1234");
	cr_expect_eq(pinw_put_bytes(buf, sizeof(buf), 0, "a\0b", 3), 3);
	cr_expect_eq(memcmp(buf, "a\0b", 4), 0);
	cr_expect_eq(pinw_put(buf, 1, 0, "abc"), 0);
	cr_expect_str_eq(buf, "");
}

Test(proc, writes_and_reads_numbers)
{
	static const struct {
		uint64_t value;
		const char *decimal, *hex;
	} cases[] = {
	    {0, "0", "0x0"},
	    {9, "9", "0x9"},
	    {10, "10", "0xa"},
	    {UINT64_MAX, "18446744073709551615", "0xffffffffffffffff"},
	};
	char buf[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pinw_put_number(buf, sizeof(buf), 0, cases[i].value);
		cr_expect_str_eq(buf, cases[i].decimal);
		const char *p = buf;
		cr_expect_eq(pinw_get_number(&p), cases[i].value);
		cr_expect_eq(*p, '\0');
		pinw_put_hex(buf, sizeof(buf), 0, cases[i].value);
		cr_expect_str_eq(buf, cases[i].hex);
	}
	const char *text = "12ab";
	cr_expect_eq(pinw_get_number(&text), 12);
	cr_expect_str_eq(text, "ab");
}

/* ---- files, processes ------------------------------------------------------------------ */

Test(proc, reads_files_up_to_the_buffer)
{
	char buf[8];
	FILE *out = fopen(pinw_rig_path("f"), "w");

	fputs("0123456789", out);
	fclose(out);
	unsigned before = pinw_rig_descriptors();
	errno = 77;
	cr_expect_eq(pinw_proc_read(pinw_rig_path("f"), buf, sizeof(buf)), 7);
	cr_expect_str_eq(buf, "0123456");
	cr_expect_eq(pinw_proc_read(pinw_rig_path("missing"), buf, sizeof(buf)), -ENOENT);
	cr_expect_eq(errno, 77, "errno is the host's");
	cr_expect_eq(pinw_rig_descriptors(), before);
}

/* A name may hold what looks like the fields behind it. */
Test(proc, reads_the_fields_behind_any_name)
{
	static const char *const names[] = {"plain", ") S 1 2 3", "a b) c", "))))", "((", " ", "R 99 (x"};
	uint32_t ppid;
	uint64_t ticks, first = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		cr_assert_eq(prctl(PR_SET_NAME, names[i]), 0);
		ppid = 0;
		cr_assert_eq(pinw_proc_stat((uint32_t)getpid(), &ppid, &ticks), 0);
		cr_expect_eq(ppid, (uint32_t)getppid(), "named \"%s\"", names[i]);
		cr_expect(i == 0 || ticks == first, "named \"%s\"", names[i]);
		first = ticks;
		cr_expect_not(pinw_proc_is_exiting((uint32_t)gettid()), "named \"%s\"", names[i]);
	}
	cr_expect_eq(pinw_proc_stat(0, &ppid, &ticks), 0, "0 is this process");
	cr_expect_eq(ticks, first);
	cr_expect_eq(pinw_proc_stat(UINT32_MAX, &ppid, &ticks), -ESRCH);
}

static void *end_at_once(void *arg)
{
	*(uint32_t *)arg = (uint32_t)gettid();
	return NULL;
}

Test(proc, knows_who_is_gone)
{
	pthread_t thread;
	uint32_t tid = 0;

	cr_assert_eq(pthread_create(&thread, NULL, end_at_once, &tid), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_expect(pinw_proc_is_exiting(tid));
	cr_expect_not(pinw_proc_is_our_task(pinw_shim.pid, tid));
	cr_expect(pinw_proc_is_our_task(pinw_shim.pid, (uint32_t)gettid()));
	cr_expect_not(pinw_proc_is_our_task(pinw_shim.pid, (uint32_t)getppid()));
}

static uint32_t tasks[64];
static unsigned task_count;

static void note_task(uint32_t tid, void *arg)
{
	(void)arg;
	if (task_count < 64)
		tasks[task_count++] = tid;
}

static pthread_barrier_t barrier;

static void *wait_to_be_listed(void *arg)
{
	*(uint32_t *)arg = (uint32_t)gettid();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

Test(proc, lists_every_thread)
{
	pthread_t threads[20];
	uint32_t tids[21];

	cr_assert_eq(pthread_barrier_init(&barrier, NULL, 21), 0);
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, wait_to_be_listed, &tids[i]), 0);
	tids[20] = (uint32_t)gettid();
	pthread_barrier_wait(&barrier);
	unsigned before = pinw_rig_descriptors();
	cr_expect_eq(pinw_proc_each_task(note_task, NULL), task_count);
	cr_expect_geq(task_count, 21, "there may be threads of the test framework's");
	cr_expect_eq(pinw_rig_descriptors(), before);
	for (unsigned i = 0; i < 21; i++) {
		unsigned found = 0;
		for (unsigned t = 0; t < task_count; t++)
			found += tasks[t] == tids[i];
		cr_expect_eq(found, 1, "tid %u", tids[i]);
	}
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < 20; i++)
		pthread_join(threads[i], NULL);
}

/* ---- CPUs --------------------------------------------------------------------------------- */

Test(proc, reads_masks_of_any_size)
{
	uint64_t mask[PINW_MASK_WORDS_MAX];
	cpu_set_t set;
	unsigned words = pinw_proc_mask_words();

	cr_assert(words >= 1 && words <= PINW_MASK_WORDS_MAX);
	cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	for (unsigned w = words; w <= PINW_MASK_WORDS_MAX; w *= 2) {
		memset(mask, 0xff, sizeof(mask));
		cr_assert_eq(pinw_proc_affinity(0, mask, w), 0);
		cr_expect_eq(pinw_mask_width(mask, w), (unsigned)CPU_COUNT(&set), "%u words", w);
		cr_expect_eq(mask[0], *(uint64_t *)&set);
	}
	cr_expect_lt(pinw_proc_affinity(0x7fffffff, mask, words), 0);
	cr_expect_eq(pinw_proc_cpus_online(), (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
}

/* ---- memory ---------------------------------------------------------------------------------- */

Test(proc, copies_what_is_there_and_no_more)
{
	char *pages = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char to[3 * 4096];

	cr_assert_neq(pages, MAP_FAILED);
	memset(pages, 'a', 4 * 4096);
	cr_assert_eq(munmap(pages + 2 * 4096, 4096), 0);
	cr_assert_eq(mprotect(pages + 3 * 4096, 4096, PROT_NONE), 0);
	cr_expect_eq(pinw_proc_peek(to, pages, 100), 100);
	cr_expect_eq(pinw_proc_peek(to, pages, sizeof(to)), 8192, "up to the first page that is not there");
	cr_expect_eq(pinw_proc_peek(to, pages + 8191, 10), 1);
	cr_expect_eq(pinw_proc_peek(to, pages + 4093, 8), 8, "over a border, not aligned");
	cr_expect_eq(pinw_proc_peek(to, pages + 2 * 4096, 8), 0);
	cr_expect_eq(pinw_proc_peek(to, pages + 3 * 4096, 8), 0, "not readable");
	cr_expect_eq(pinw_proc_peek(to, NULL, 8), 0);
	cr_expect_eq(pinw_proc_peek(to, (void *)8, 8), 0);
	cr_expect_eq(pinw_proc_peek(to, (void *)(UINTPTR_MAX - 7), 8), 0);
	cr_expect_eq(pinw_proc_peek(to, (void *)(UINTPTR_MAX - 4), 64), 0);
	cr_expect_eq(pinw_proc_peek(to, (void *)UINT64_C(0x8000000000000000), 8), 0);
	cr_expect_eq(pinw_proc_peek(to, pages, 0), 0);
}

/* A file that became shorter under its mapping: its pages raise SIGBUS, and may not here. */
Test(proc, copies_nothing_beyond_the_end_of_a_file)
{
	int fd = open(pinw_rig_path("f"), O_RDWR | O_CREAT, 0600);
	char to[64];

	cr_assert_eq(ftruncate(fd, 8192), 0);
	char *map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(map, MAP_FAILED);
	cr_assert_eq(ftruncate(fd, 4096), 0);
	cr_expect_eq(pinw_proc_peek(to, map + 4096, 8), 0);
	cr_expect_eq(pinw_proc_peek(to, map + 4090, 64), 6);
	close(fd);
}

Test(proc, changes_no_signal_by_looking_at_memory)
{
	sigset_t before, after;
	uint64_t word = ~0ull, to;

	sigprocmask(SIG_BLOCK, NULL, &before);
	cr_expect_eq(pinw_proc_peek(&to, &word, 8), 8);
	cr_expect_eq(to, word);
	sigprocmask(SIG_BLOCK, NULL, &after);
	cr_expect_eq(memcmp(&before, &after, 8), 0);
}

/* ---- writing ------------------------------------------------------------------------------------ */

Test(proc, writes_to_a_broken_pipe_without_a_signal)
{
	int ends[2];
	sigset_t pending;

	cr_assert_eq(pipe(ends), 0);
	close(ends[0]);
	signal(SIGPIPE, SIG_DFL);
	cr_expect_eq(pinw_proc_write(ends[1], "x", 1), -EPIPE);
	sigpending(&pending);
	cr_expect_not(sigismember(&pending, SIGPIPE));
}

/* A signal that the host had pending is the host's. */
Test(proc, keeps_a_pending_sigpipe_of_the_hosts)
{
	int ends[2];
	sigset_t one, pending;

	cr_assert_eq(pipe(ends), 0);
	close(ends[0]);
	sigemptyset(&one);
	sigaddset(&one, SIGPIPE);
	sigprocmask(SIG_BLOCK, &one, NULL);
	raise(SIGPIPE);
	cr_expect_eq(pinw_proc_write(ends[1], "x", 1), -EPIPE);
	sigpending(&pending);
	cr_expect(sigismember(&pending, SIGPIPE));
}

/* The host closed its stderr and the number now is another file: nothing of ours goes there. */
Test(proc, writes_to_stderr_only_while_it_is_the_same)
{
	char buf[32];
	int real = dup(2), first = open(pinw_rig_path("first"), O_RDWR | O_CREAT, 0600);
	int other = open(pinw_rig_path("other"), O_RDWR | O_CREAT, 0600);

	dup2(first, 2);
	pinw_proc_stderr_init();
	pinw_proc_stderr("one", 3);
	dup2(other, 2);
	pinw_proc_stderr("two", 3);
	close(2);
	pinw_proc_stderr("three", 5);
	dup2(first, 2);
	pinw_proc_stderr("four", 4);
	dup2(real, 2);
	cr_expect_eq(pread(first, buf, sizeof(buf), 0), 7);
	cr_expect_eq(memcmp(buf, "onefour", 7), 0);
	cr_expect_eq(pread(other, buf, sizeof(buf), 0), 0);
}

/* ---- the clock ------------------------------------------------------------------------------------ */

Test(proc, reads_the_kernels_clock_with_and_without_the_vdso)
{
	for (unsigned i = 0; i < 2; i++) {
		struct timespec before, after;

		clock_gettime(CLOCK_MONOTONIC, &before);
		uint64_t now = pinw_clock_mono();
		clock_gettime(CLOCK_MONOTONIC, &after);
		cr_expect_geq(now, (uint64_t)before.tv_sec * 1000000000u + (uint64_t)before.tv_nsec);
		cr_expect_leq(now, (uint64_t)after.tv_sec * 1000000000u + (uint64_t)after.tv_nsec);
		pinw_clock_init(); /* by system call first, then by vDSO */
	}
#ifndef __SANITIZE_ADDRESS__ /* which puts its own clock_gettime before the C library's */
	cr_expect_not(pinw_clock_is_faked());
#endif
}

/* ---- the environment of an exec ---------------------------------------------------------------------- */

Test(proc, knows_an_environment_that_drops_the_preload)
{
	static char *const with[] = {"A=1", "LD_PRELOAD=/lib/libpinwarden.so", NULL};
	static char *const among[] = {"LD_PRELOAD=/x/libfirst.so:/y/libpinwarden.so", NULL};
	static char *const without[] = {"A=1", "LD_PRELOAD=/lib/libother.so", NULL};
	static char *const none[] = {"A=1", "XLD_PRELOAD=/lib/libpinwarden.so", NULL};
	static char *const cleared[] = {"LD_PRELOAD=", NULL};
	static char *const empty[] = {NULL};

	cr_expect_not(pinw_env_unfollowed(with));
	cr_expect_not(pinw_env_unfollowed(among));
	cr_expect(pinw_env_unfollowed(without));
	cr_expect(pinw_env_unfollowed(none));
	cr_expect(pinw_env_unfollowed(cleared));
	cr_expect(pinw_env_unfollowed(empty));
	cr_expect(pinw_env_unfollowed(NULL));
}

/* exec answers bad pointers with EFAULT, and so it must be with us before it. */
Test(proc, reads_an_environment_that_is_not_there)
{
	char *const bad_entry[] = {(char *)16, "LD_PRELOAD=/lib/libpinwarden.so", NULL};

	cr_expect_not(pinw_env_unfollowed(bad_entry));
	char *const *volatile nowhere = (char *const *)16;
	cr_expect(pinw_env_unfollowed(nowhere));
	char *volatile page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(page, MAP_FAILED);
	cr_assert_eq(munmap(page + 4096, 4096), 0);
	char **last = (char **)(void *)(page + 4096 - sizeof(char *));
	*last = "A=1";
	cr_expect(pinw_env_unfollowed(last), "an array without an end");
	char *text = page + 4096 - 10;
	for (unsigned i = 0; i < 10; i++) /* a string without an end */
		text[i] = "LD_PRELOAD"[i];
	char *const cut[] = {text, NULL};
	cr_expect(pinw_env_unfollowed(cut));
}

/* A long preload list, the shim at its end. */
Test(proc, finds_the_shim_in_a_long_list)
{
	static char entry[4096] = "LD_PRELOAD=";
	char *const env[] = {entry, NULL};

	while (strlen(entry) < 3000)
		strcat(entry, "/usr/lib/x86_64-linux-gnu/libsomething.so:");
	for (unsigned i = 0; i < 600; i++) { /* at any place */
		strcat(entry, "x");
		size_t len = strlen(entry);
		strcat(entry, "/libpinwarden.so");
		cr_assert_not(pinw_env_unfollowed(env), "%u", i);
		entry[len] = '\0';
		cr_assert(pinw_env_unfollowed(env), "%u", i);
	}
}
