/* SPDX-License-Identifier: MIT
 *
 * The present stack of a thread of another process: the frames are those it sleeps in, the thread runs on
 * afterwards, and neither signals nor its calls are disturbed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reports/idle.h"
#include "reports/stacks.h"
#include "reports/watch_proc.h"

TestSuite(idle, .timeout = 120);

/* Their frames have a fixed size, also in a build with frame pointers. Clang cannot be told so. */
#ifdef __clang__ /* which clones nothing either */
#	define NOINLINE __attribute__((noinline))
#	define FIXED_FRAME NOINLINE
#else
#	define NOINLINE __attribute__((noinline, noclone))
#	define FIXED_FRAME __attribute__((noinline, noclone, optimize("O2,omit-frame-pointer")))
#endif

/* What a child shows its parent. */
static struct shared {
	_Atomic int tid; /* of the thread to look at */
	_Atomic int go; /* asked to end */
	_Atomic int result; /* of its last call */
	_Atomic int error;
	_Atomic int signals;
	_Atomic int done;
} * shared;

static int wake[2];

static void pause_a_little(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* ---- what the child does ----------------------------------------------------------------------- */

static void FIXED_FRAME idle_sleep_in_read(void)
{
	static char byte;

	shared->tid = (int)syscall(SYS_gettid);
	shared->result = (int)read(wake[0], &byte, 1);
	shared->error = errno;
	__asm__ volatile("" ::: "memory");
}

/* Its frame has no fixed size, so a register is needed to find where it ends. */
static void NOINLINE idle_sleep_in_a_loose_frame(void)
{
	volatile size_t size = 64;
	char bytes[size];

	bytes[0] = 0;
	shared->tid = (int)syscall(SYS_gettid);
	shared->result = (int)read(wake[0], bytes, 1);
	shared->error = errno;
	__asm__ volatile("" : : "r"(bytes) : "memory");
}

static void NOINLINE idle_sleep_in_epoll(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = epoll_create1(0);

	epoll_ctl(fd, EPOLL_CTL_ADD, wake[0], &event);
	shared->tid = (int)syscall(SYS_gettid);
	shared->result = epoll_wait(fd, &event, 1, -1);
	shared->error = errno;
	__asm__ volatile("" ::: "memory");
}

static void NOINLINE idle_run_on(void)
{
	shared->tid = (int)syscall(SYS_gettid);
	while (!shared->go)
		;
	shared->result = 1;
	__asm__ volatile("" ::: "memory");
}

static void on_signal(int sig)
{
	(void)sig;
	shared->signals++;
}

static void *FIXED_FRAME idle_thread_start(void *arg)
{
	void (*sleep_somewhere)(void) = *(void (**)(void))arg;

	sleep_somewhere();
	shared->done = 1;
	__asm__ volatile("" ::: "memory");
	return NULL;
}

static bool in_main_thread; /* the routine is run by the child's first thread */

/* A child with one thread that goes to sleep in `routine`; the thread's tid is in shared->tid. */
static pid_t start_child(void (*routine)(void))
{
	pthread_t thread;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(shared, MAP_FAILED);
	cr_assert_eq(pipe(wake), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
		sigaction(SIGUSR1, &action, NULL);
		if (in_main_thread) {
			routine();
			_exit(0);
		}
		pthread_create(&thread, NULL, idle_thread_start, &routine);
		pthread_join(thread, NULL);
		_exit(0);
	}
	return pid;
}

static bool is_asleep(pid_t pid, int call)
{
	struct pinw_sleep sleep;
	int task = pinw_task_open(pid);

	cr_assert_geq(task, 0);
	pinw_task_sleep(task, (uint32_t)shared->tid, &sleep);
	close(task);
	return sleep.state == 'S' && sleep.call == call;
}

static void await_sleep(pid_t pid, int call)
{
	for (int i = 0; i < 10000 && !(shared->tid && is_asleep(pid, call)); i++)
		pause_a_little();
	cr_assert(is_asleep(pid, call));
}

/* Wakes the thread and expects the child to end well. */
static void end_child(pid_t pid)
{
	int status;

	shared->go = 1;
	cr_assert_eq(write(wake[1], "x", 1), 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}

/* ---- names ---------------------------------------------------------------------------------------- */

struct looked_for {
	const char *name;
	bool found;
};

static void look_for(void *arg, const struct pinw_frame *frame)
{
	struct looked_for *l = arg;

	l->found |= frame->function && strcmp(frame->function, l->name) == 0;
}

/* Is this function on the stack? */
static bool has(const struct pinw_idle_stack *s, const char *name)
{
	struct looked_for l = {.name = name};
	struct pinw_stacks *stacks;

	cr_assert_eq(pinw_stacks_open(&stacks), 0);
	for (unsigned i = 0; i < s->count; i++) {
		struct pinw_module m = {.path = s->frames[i].path};
		if (m.path && !s->frames[i].changed)
			pinw_stacks_address(stacks, &m, s->frames[i].offset - 1, look_for, &l);
	}
	pinw_stacks_free(stacks);
	return l.found;
}

/* ---- tests ------------------------------------------------------------------------------------------ */

Test(idle, names_the_functions_a_thread_sleeps_in)
{
	struct pinw_idle_stack stack;
	pid_t pid = start_child(idle_sleep_in_read);

	await_sleep(pid, SYS_read);
	cr_assert_eq(pinw_idle_stack_take(pid, shared->tid, &stack), 0);
#if !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) /* which has frames of its own below every thread */
	cr_expect_not(stack.stopped, "it is asleep, and its frames tell where they end");
#endif
	cr_expect(has(&stack, "idle_sleep_in_read"));
	cr_expect(has(&stack, "idle_thread_start"));
	cr_expect_not(stack.truncated);
	pinw_idle_stack_done(&stack);
	end_child(pid);
	cr_expect_eq(shared->result, 1);
}

Test(idle, stops_a_thread_whose_registers_are_needed)
{
	struct pinw_idle_stack stack;
	pid_t pid = start_child(idle_sleep_in_a_loose_frame);

	await_sleep(pid, SYS_read);
	cr_assert_eq(pinw_idle_stack_take(pid, shared->tid, &stack), 0);
	cr_expect(stack.stopped);
	cr_expect_gt(stack.stopped_ns, 0);
	cr_expect(has(&stack, "idle_sleep_in_a_loose_frame"));
	cr_expect(has(&stack, "idle_thread_start"));
	cr_expect_not(stack.truncated);
	pinw_idle_stack_done(&stack);
	end_child(pid);
	cr_expect_eq(shared->result, 1, "its read went on and got its byte");
}

Test(idle, does_not_stop_a_thread_whose_call_would_notice)
{
	struct pinw_idle_stack stack;
	pid_t pid = start_child(idle_sleep_in_epoll);

	await_sleep(pid, SYS_epoll_wait);
	cr_assert_eq(pinw_idle_stack_take(pid, shared->tid, &stack), 0);
	cr_expect_not(stack.stopped);
	cr_expect(has(&stack, "idle_sleep_in_epoll"));
	pinw_idle_stack_done(&stack);
	cr_assert(is_asleep(pid, SYS_epoll_wait));
	end_child(pid);
	cr_expect_eq(shared->result, 1, "epoll_wait returned %d, errno %d", shared->result, shared->error);
}

Test(idle, leaves_a_thread_running_that_runs)
{
	struct pinw_idle_stack stack;
	pid_t pid = start_child(idle_run_on);

	while (!shared->tid)
		pause_a_little();
	cr_assert_eq(pinw_idle_stack_take(pid, shared->tid, &stack), 0);
	cr_expect(has(&stack, "idle_run_on"));
	pinw_idle_stack_done(&stack);
	end_child(pid);
	cr_expect_eq(shared->result, 1);
}

/* Signals come while the thread is stopped and let go again and again; each that was sent is handled. */
Test(idle, loses_no_signal)
{
	struct pinw_idle_stack stack;
	pid_t pid = start_child(idle_sleep_in_a_loose_frame);
	int sent = 0;

	await_sleep(pid, SYS_read);
	pid_t sender = fork();
	if (sender == 0) {
		/* One at a time: a standard signal that is pending already is not queued twice. */
		for (sent = 0; sent < 3000; sent++) {
			syscall(SYS_tgkill, pid, shared->tid, SIGUSR1);
			for (int i = 0; i < 10000 && shared->signals <= sent; i++)
				nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
			if (shared->signals <= sent)
				_exit(1);
		}
		_exit(0);
	}
	int status, taken = 0;
	while (waitpid(sender, &status, WNOHANG) == 0) {
		int r = pinw_idle_stack_take(pid, shared->tid, &stack);
		cr_assert(r == 0 || r == -ENODATA || r == -EBUSY, "%d",
		          r); /* busy: a machine is, and let it go */
		if (r == 0)
			pinw_idle_stack_done(&stack);
		taken += r != -EBUSY;
	}
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a signal got lost");
	cr_expect_eq(shared->signals, 3000);
	cr_expect_gt(taken, 0);
	end_child(pid);
	cr_expect_eq(shared->result, 1);
}

/* Another tracer has it: said, and nothing else. */
Test(idle, says_so_when_a_debugger_is_attached)
{
	struct pinw_idle_stack stack;
	pid_t pid = start_child(idle_sleep_in_a_loose_frame);
	int held[2], release[2];
	char byte;

	await_sleep(pid, SYS_read);
	cr_assert_eq(pipe(held), 0);
	cr_assert_eq(pipe(release), 0);
	pid_t debugger = fork();
	if (debugger == 0) {
		if (ptrace(PTRACE_SEIZE, shared->tid, 0, 0) < 0)
			_exit(77);
		if (write(held[1], "x", 1) != 1 || read(release[0], &byte, 1) != 1)
			_exit(1);
		_exit(0);
	}
	close(held[1]);
	if (read(held[0], &byte, 1) != 1) {
		waitpid(debugger, NULL, 0);
		end_child(pid);
		cr_skip_test("this system does not let a sibling trace");
	}
	cr_expect_eq(pinw_idle_stack_take(pid, shared->tid, &stack), -EPERM);
	cr_expect_not_null(strstr(pinw_idle_strerror(-EPERM), "debugger"));
	cr_assert_eq(write(release[1], "x", 1), 1);
	waitpid(debugger, NULL, 0);
	end_child(pid);
}

Test(idle, says_so_when_the_thread_is_gone)
{
	struct pinw_idle_stack stack;
	pid_t pid = start_child(idle_sleep_in_read);

	await_sleep(pid, SYS_read);
	int tid = shared->tid;
	end_child(pid);
	cr_expect_eq(pinw_idle_stack_take(pid, tid, &stack), -ESRCH);
}

/* The end of a child is its parent's to see, also when the parent has just traced it. */
Test(idle, leaves_the_end_of_a_process_to_its_parent)
{
	struct pinw_idle_stack stack;
	int status;

	in_main_thread = true;
	for (int round = 0; round < 50; round++) {
		pid_t pid = start_child(idle_run_on);

		while (!shared->tid)
			pause_a_little();
		pid_t killer = fork();
		if (killer == 0) {
			nanosleep(&(struct timespec){.tv_nsec = round * 20000}, NULL);
			kill(pid, SIGKILL);
			_exit(0);
		}
		if (pinw_idle_stack_take(pid, pid, &stack) == 0)
			pinw_idle_stack_done(&stack);
		waitpid(killer, NULL, 0);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
	}
}

/* A process stopped by job control stays stopped, and goes on with SIGCONT as if nothing had been. */
Test(idle, leaves_a_stopped_process_stopped)
{
	struct pinw_idle_stack stack;
	pid_t pid = start_child(idle_run_on);
	int status;

	while (!shared->tid)
		pause_a_little();
	kill(pid, SIGSTOP);
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status));
	cr_assert_eq(pinw_idle_stack_take(pid, shared->tid, &stack), 0);
	cr_expect(has(&stack, "idle_run_on"));
	pinw_idle_stack_done(&stack);

	struct pinw_sleep sleep;
	int task = pinw_task_open(pid);
	for (int i = 0; i < 1000; i++) {
		pinw_task_sleep(task, (uint32_t)shared->tid, &sleep);
		if (sleep.state == 'T')
			break;
		pause_a_little();
	}
	close(task);
	cr_expect_eq(sleep.state, 'T', "it is %c", sleep.state);
	kill(pid, SIGCONT);
	end_child(pid);
}
