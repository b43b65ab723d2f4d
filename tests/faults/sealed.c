/* SPDX-License-Identifier: MIT
 *
 * Shows: a program that seals itself with seccomp and then goes on. sealed BY WHAT.
 * BY: prctl | syscall | libseccomp: a filter that kills the process for any system call but those that WHAT needs bare;
 *     strict: the strict mode (WHAT: strict).
 * WHAT: pins      known and new stacks, enough of them that the trace would grow
 *       threads   creates, joins, names, detaches
 *       handlers  a signal handler pins
 *       others    pins another process, and a task that does not exist
 *       children  forks; the child pins and leaves
 *       vfork     a vfork child pins itself
 *       exec      executes what does not exist
 *       leaks     a thread ends pinned, the process ends pinned
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS 7
#define CALLS 1500

/* What glibc needs for each case and nothing else. */
static const int always[] = {SYS_write, SYS_exit_group, SYS_sched_setaffinity, SYS_rt_sigreturn};
static const int for_threads[] = {
    SYS_mmap, SYS_mprotect,       SYS_munmap,          SYS_madvise, SYS_clone3, SYS_rseq,        SYS_futex,
    SYS_exit, SYS_rt_sigprocmask, SYS_set_robust_list, SYS_prctl,   SYS_brk,    SYS_rt_sigaction};
static const int for_children[] = {SYS_clone, SYS_vfork, SYS_wait4, SYS_set_robust_list};
static const int for_exec[] = {SYS_execve};
static const int for_handlers[] = {SYS_setitimer};

static int allowed[64];
static unsigned allowed_count;

static void allow(const int *numbers, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(*numbers); i++)
		allowed[allowed_count++] = numbers[i];
}

/* ---- seals ------------------------------------------------------------------------------ */

static struct sock_fprog *program(void)
{
	static struct sock_filter filter[2 * 64 + 2];
	static struct sock_fprog whole = {.filter = filter};
	unsigned n = 0;

	filter[n++] =
	    (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < allowed_count; i++) {
		filter[n++] =
		    (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	whole.len = (unsigned short)n;
	return &whole;
}

/* The calls of libseccomp, whose header need not be there. */
static void seal_by_library(void)
{
	void *library = dlopen("libseccomp.so.2", RTLD_NOW);
	void *(*init)(uint32_t);
	int (*add)(void *, uint32_t, int, unsigned, ...);
	int (*load)(void *);

	if (!library)
		target_cannot("libseccomp.so.2 is not installed");
	*(void **)&init = dlsym(library, "seccomp_init");
	*(void **)&add = dlsym(library, "seccomp_rule_add");
	*(void **)&load = dlsym(library, "seccomp_load");
	CHECK(init && add && load);
	void *filter = init(SECCOMP_RET_KILL_PROCESS);
	CHECK(filter != NULL);
	for (unsigned i = 0; i < allowed_count; i++)
		add(filter, SECCOMP_RET_ALLOW, allowed[i], 0);
	CHECK(load(filter) == 0);
}

static void seal(const char *by)
{
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if (strcmp(by, "prctl") == 0)
		CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program()) == 0);
	else if (strcmp(by, "syscall") == 0)
		CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program()) == 0);
	else if (strcmp(by, "strict") == 0)
		CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
	else
		seal_by_library();
}

/* ---- what goes on ------------------------------------------------------------------------- */

static cpu_set_t one, all;
static pid_t other;
static pthread_t joinable;
static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;

/* Without CHECK's reading of masks: that is a system call of its own. */
static void pin(void *unused)
{
	(void)unused;
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(syscall(SYS_sched_setaffinity, 0, sizeof(all), &all) == 0);
}

static void *pins(void *arg)
{
	pin(NULL);
	return arg;
}

static void *ends_pinned(void *arg)
{
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	return arg;
}

static void do_pins(void)
{
	for (int i = 0; i < CALLS; i++)
		wander(wander_next() % 512, pin, NULL);
}

static void do_threads(void)
{
	pthread_t t;

	CHECK(pthread_mutex_unlock(&hold) == 0);
	CHECK(pthread_join(joinable, NULL) == 0);
	for (int i = 0; i < 300; i++) {
		CHECK(pthread_create(&t, NULL, pins, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
	CHECK(pthread_create(&t, NULL, ends_pinned, NULL) == 0);
	CHECK(pthread_detach(t) == 0);
	CHECK(prctl(PR_SET_NAME, "sealed") == 0);
}

static void on_alarm(int signal)
{
	(void)signal;
	pin(NULL);
}

static void do_handlers(void)
{
	static const struct itimerval every = {.it_interval.tv_usec = 200, .it_value.tv_usec = 200};

	CHECK(syscall(SYS_setitimer, 0, &every, NULL) == 0);
	do_pins();
}

static void do_others(void)
{
	CHECK(sched_setaffinity(other, sizeof(one), &one) == 0);
	CHECK(sched_setaffinity(0x3ffffff, sizeof(one), &one) == -1 && errno == ESRCH);
	CHECK(sched_setaffinity(0, 0, &one) == -1 && errno == EINVAL);
}

static void expect(pid_t pid)
{
	int status;

	CHECK(pid > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == STATUS);
}

static void do_children(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		do_pins();
		_exit(STATUS);
	}
	expect(pid);
	do_pins();
}

static void do_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		pin(NULL);
		_exit(STATUS);
	}
	expect(pid);
	do_pins();
}

static void do_exec(void)
{
	char *none[] = {NULL};

	CHECK(execve("/nonexistent", none, none) == -1 && errno == ENOENT);
	do_pins();
}

static void do_leaks(void)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, ends_pinned, NULL) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
}

/* The strict mode leaves read, write, sigreturn and the exit of this one task. */
static void do_strict(void)
{
	CHECK(write(1, "sealed\n", 7) == 7);
	syscall(SYS_exit, STATUS);
}

static void *waits(void *arg)
{
	CHECK(pthread_mutex_lock(&hold) == 0);
	CHECK(pthread_mutex_unlock(&hold) == 0);
	return pins(arg);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[2] : "pins";
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

	one = target_one_cpu(target_cpu(1));
	all = *target_all_cpus();
	void *volatile once = malloc(1); /* asks the kernel for random bytes, once */
	free(once);
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	allow(always, sizeof(always));
	if (strcmp(what, "threads") == 0 || strcmp(what, "leaks") == 0)
		allow(for_threads, sizeof(for_threads));
	if (strcmp(what, "threads") == 0) {
		CHECK(pthread_mutex_lock(&hold) == 0);
		CHECK(pthread_create(&joinable, NULL, waits, NULL) == 0);
	}
	if (strcmp(what, "handlers") == 0)
		allow(for_handlers, sizeof(for_handlers));
	if (strcmp(what, "children") == 0 || strcmp(what, "vfork") == 0)
		allow(for_children, sizeof(for_children));
	if (strcmp(what, "exec") == 0)
		allow(for_exec, sizeof(for_exec));
	if (strcmp(what, "others") == 0) {
		other = fork();
		CHECK(other >= 0);
		if (other == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	pin(NULL);
	seal(argc > 1 ? argv[1] : "prctl");
	static const struct {
		const char *name;
		void (*go_on)(void);
	} cases[] = {{"pins", do_pins},     {"threads", do_threads},   {"handlers", do_handlers},
	             {"others", do_others}, {"children", do_children}, {"vfork", do_vfork},
	             {"exec", do_exec},     {"leaks", do_leaks},       {"strict", do_strict}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].name, what) == 0)
			cases[i].go_on();
	CHECK(write(1, "sealed\n", 7) == 7);
	return STATUS;
}
