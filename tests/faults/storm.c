/* SPDX-License-Identifier: MIT
 *
 * Shows: signals that arrive everywhere, in handlers that call what the shim wraps.
 *   storm calls     every 200 us a handler pins, releases and names; threads create, join, pin, fork
 *   storm stacks    the same handler; threads do nothing but set affinities from new stacks
 *   storm alt       as stacks, with the handlers on alternate stacks of 16 KiB
 *   storm queue     2,000 queued signals to a thread in the unwinder: none may be lost
 * Facts: "sets" is how often an affinity was set, "handled" how many signals were.
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 2
#define SIGNALS 150
#define QUEUED 2000
#define ALT_BYTES (16 << 10)

static atomic_long sets, handled, wanted = SIGNALS;
static bool on_alternate;

static void on_signal(int signal)
{
	cpu_set_t one = target_one_cpu(target_cpu(1));
	int saved = errno;

	(void)signal;
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(prctl(PR_SET_NAME, "struck") == 0);
	CHECK(syscall(SYS_sched_setaffinity, 0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	atomic_fetch_add(&sets, 2);
	atomic_fetch_add(&handled, 1);
	errno = saved;
}

static bool is_over(void)
{
	return atomic_load(&handled) >= atomic_load(&wanted);
}

static void *nothing(void *arg)
{
	return arg;
}

static void set_from_new_stack(void)
{
	wander(wander_next(), wander_set_all, NULL);
	atomic_fetch_add(&sets, 1);
}

static void *calls(void *arg)
{
	while (!is_over()) {
		pthread_t t;

		CHECK(pthread_create(&t, NULL, nothing, arg) == 0);
		CHECK(pthread_setname_np(t, "created") == 0 || true);
		CHECK(pthread_join(t, NULL) == 0);
		set_from_new_stack();
	}
	return arg;
}

static void use_alternate(char *stack)
{
	stack_t alternate = {.ss_sp = stack, .ss_size = ALT_BYTES};

	CHECK(sigaltstack(&alternate, NULL) == 0);
}

static void *stacks(void *arg)
{
	char alternate[ALT_BYTES];

	if (on_alternate)
		use_alternate(alternate);
	while (!is_over())
		set_from_new_stack();
	if (on_alternate)
		CHECK(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL) == 0);
	return arg;
}

static void forks(void)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0)
		_exit(0);
	while (waitpid(pid, &status, 0) < 0)
		CHECK(errno == EINTR);
	CHECK(status == 0);
}

static void set_timer(long us)
{
	struct itimerval every = {.it_interval.tv_usec = us, .it_value.tv_usec = us};

	CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
}

static void handle(int signal)
{
	struct sigaction action = {.sa_handler = on_signal,
	                           .sa_flags = SA_RESTART | (on_alternate ? SA_ONSTACK : 0)};

	CHECK(sigaction(signal, &action, NULL) == 0);
}

static void queue(void)
{
	pthread_t t;

	atomic_store(&wanted, QUEUED);
	handle(SIGRTMIN);
	CHECK(pthread_create(&t, NULL, stacks, NULL) == 0);
	for (int i = 0; i < QUEUED; i++)
		while (pthread_sigqueue(t, SIGRTMIN, (union sigval){0}) != 0)
			sched_yield();
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(atomic_load(&handled) == QUEUED);
}

static void storm(const char *how)
{
	void *(*start)(void *) = strcmp(how, "calls") == 0 ? calls : stacks;
	pthread_t t[THREADS];
	char alternate[ALT_BYTES];

	on_alternate = strcmp(how, "alt") == 0;
	if (on_alternate)
		use_alternate(alternate);
	handle(SIGALRM);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, start, NULL) == 0);
	set_timer(200);
	while (!is_over()) {
		if (start == calls)
			forks();
		else
			set_from_new_stack();
	}
	set_timer(0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL) == 0);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "calls";

	target_cpu(1);
	if (strcmp(how, "queue") == 0)
		queue();
	else
		storm(how);
	CHECK(target_mask_is(target_all_cpus()));
	say_fact("sets", atomic_load(&sets));
	say_fact("handled", atomic_load(&handled));
	puts("weathered");
	return 0;
}
