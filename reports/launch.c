/* SPDX-License-Identifier: MIT */
#include "reports/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reports/witness.h"

#define SHELL "/bin/sh"
#define PID_TEXT_BYTES 10
#define LAST_TICK_S 5 /* a tick under way when the program ends may take so long */

/* What is to be put back in the child: the rest of its signal state nobody touched. */
struct signal_state {
	sigset_t mask;
	struct sigaction on_child;
};

struct run {
	const struct pinw_launch *launch;
	struct pinw_witness witness;
	sigset_t watched;
	pid_t child;
	bool stop_asked; /* a stop signal came to us or to the group */
	bool child_stopped;
	struct ticking {
		pthread_t thread;
		pthread_mutex_t lock;
		pthread_cond_t changed;
		bool begun, over; /* the program runs; it has ended */
	} ticking;
};

/* ---- signals ------------------------------------------------------------------------------ */

/* All that can be passed on: not the faults of this process itself, and not what cannot be caught. */
static void watched_signals(sigset_t *set)
{
	static const int ours[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL, SIGTRAP,
	                           SIGSYS,  SIGPIPE, SIGKILL, SIGSTOP};

	sigfillset(set);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		sigdelset(set, ours[i]);
}

/* With SIGCHLD ignored, as some parents leave it, the kernel would throw the child's status away. */
static void hold_signals(struct run *run, struct signal_state *ret_before)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	watched_signals(&run->watched);
	sigaction(SIGCHLD, &dfl, &ret_before->on_child);
	sigprocmask(SIG_BLOCK, &run->watched, &ret_before->mask);
}

static void restore_signals(const struct signal_state *before)
{
	sigaction(SIGCHLD, &before->on_child, NULL);
	sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

/* Signals that came too late for the child are not for us either. */
static void drop_pending(const sigset_t *set)
{
	static const struct timespec now = {0, 0};

	while (sigtimedwait(set, NULL, &now) > 0)
		;
}

static bool is_pending(int sig)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, sig);
}

static void pass_on(struct run *run, const siginfo_t *info)
{
	int sig = info->si_signo;
	/* Without a witness at least the terminal's own signals can be told. */
	bool group = run->witness.pid ? pinw_witness_saw(&run->witness, sig) : info->si_code == SI_KERNEL;

	if (sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)
		run->stop_asked = true;
	if (sig == SIGCONT)
		run->stop_asked = false;
	if (group)
		return;
	if (info->si_code == SI_QUEUE)
		sigqueue(run->child, sig, info->si_value);
	else
		kill(run->child, sig);
}

/* The shell waits for this process, not for the child: stop as the child did. Nothing is done when it was
 * stopped by other means (a debugger, kill -STOP): nobody would continue us. */
static void stop_with_child(struct run *run)
{
	if (!run->child_stopped || !run->stop_asked)
		return;
	run->stop_asked = false;
	if (!is_pending(SIGCONT))
		raise(SIGSTOP);
}

/* ---- the child ------------------------------------------------------------------------------ */

static void put_pid(char *text)
{
	char digits[PID_TEXT_BYTES + 1];
	int n = snprintf(digits, sizeof(digits), "%d", (int)getpid());

	memcpy(text, digits, (size_t)n + 1);
}

static void exec_child(const struct pinw_launch *l, int error_fd)
{
	int error;

	if (l->pid_text)
		put_pid(l->pid_text);
	if (l->script)
		errno = ENOEXEC;
	else
		execve(l->path, l->argv, l->envp);
	if (errno == ENOEXEC) {
		size_t n = 0;
		while (l->argv[n])
			n++;
		char **argv = calloc(n + 3, sizeof(*argv));
		if (argv) {
			argv[0] = SHELL;
			argv[1] = (char *)l->path;
			memcpy(argv + 2, l->argv + 1, n * sizeof(*argv));
			execve(SHELL, argv, l->envp);
		}
	}
	error = errno;
	if (write(error_fd, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

/* A pipe away from descriptors 0 to 2, which may be closed and have to stay so for the child. */
static int high_pipe(int *fds)
{
	int low[2], error = 0;

	if (pipe2(low, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		fds[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 10);
		if (fds[i] < 0)
			error = -errno;
		close(low[i]);
	}
	if (error < 0)
		close(fds[fds[0] < 0]);
	return error;
}

/* Keeps stderr and two descriptors from 3 up: what the program closes, nobody else holds open. */
static void let_go(int keep_a, int keep_b)
{
	int lower = keep_a < keep_b ? keep_a : keep_b, higher = keep_a < keep_b ? keep_b : keep_a;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd < 3 && null >= 0; fd++)
		if (fd != null && (fd < STDERR_FILENO || fcntl(fd, F_GETFD) < 0))
			dup2(null, fd);
	if (lower > 3)
		close_range(3, (unsigned)lower - 1, 0);
	if (higher > lower + 1)
		close_range((unsigned)lower + 1, (unsigned)higher - 1, 0);
	close_range((unsigned)higher + 1, ~0U, 0);
}

/* Returns 0 when the program was started, or the errno of its exec. */
static int await_exec(int fd)
{
	int error = 0;
	ssize_t n;

	do
		n = read(fd, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	close(fd);
	return n == sizeof(error) ? error : 0;
}

/* ---- ticks -------------------------------------------------------------------------------------- */

/* Waits until it is time, which is counted from the end of the tick before. False: there is no next one. */
static bool await_tick(struct ticking *t, uint64_t wait_ns)
{
	struct timespec due;

	clock_gettime(CLOCK_MONOTONIC, &due);
	due.tv_sec += (time_t)(wait_ns / 1000000000u);
	due.tv_nsec += (long)(wait_ns % 1000000000u);
	if (due.tv_nsec >= 1000000000) {
		due.tv_nsec -= 1000000000;
		due.tv_sec++;
	}
	pthread_mutex_lock(&t->lock);
	while (!t->begun && !t->over)
		pthread_cond_wait(&t->changed, &t->lock);
	while (!t->over && pthread_cond_clockwait(&t->changed, &t->lock, CLOCK_MONOTONIC, &due) != ETIMEDOUT)
		;
	bool over = t->over;
	pthread_mutex_unlock(&t->lock);
	return !over;
}

/* Ticks have a thread of their own: some of them read the symbols of a huge program, and signals are passed on meanwhile.
 * It has every signal blocked, as it is started after that. */
static void *tick_on(void *arg)
{
	struct run *run = arg;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	while (await_tick(&run->ticking, run->launch->tick_ns)) {
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		run->launch->tick(run->launch->tick_arg);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	}
	return NULL;
}

static int start_ticks_thread(struct run *run)
{
	if (!run->launch->tick)
		return 0;
	return -pthread_create(&run->ticking.thread, NULL, tick_on, run);
}

static void tell_ticks(struct run *run, bool *flag)
{
	pthread_mutex_lock(&run->ticking.lock);
	*flag = true;
	pthread_cond_signal(&run->ticking.changed);
	pthread_mutex_unlock(&run->ticking.lock);
}

/* What takes too long is given up: what there was to say is counted already. */
static void stop_ticks(struct run *run)
{
	struct timespec until;

	if (!run->launch->tick)
		return;
	tell_ticks(run, &run->ticking.over);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LAST_TICK_S;
	if (pthread_timedjoin_np(run->ticking.thread, NULL, &until) == 0)
		return;
	pthread_cancel(run->ticking.thread);
	pthread_join(run->ticking.thread, NULL);
}

/* ---- the wait -------------------------------------------------------------------------------- */

static uint64_t start_ticks(pid_t pid)
{
	char path[32], text[1024];
	unsigned long long ticks = 0;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	const char *p = strrchr(text, ')'); /* the name may hold anything */
	for (int field = 2; p && field < 22; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (p)
		ticks = strtoull(p, NULL, 10);
	return ticks;
}

/* Takes what happened to the child. Also reaps children that an earlier program of this process left us,
 * or that came to us as process 1 of a container; those of the ticks are the ticks' own. Returns whether the child ended. */
static bool reap(struct run *run, int *ret_status)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD)) > 0) {
		bool ended = !WIFSTOPPED(status) && !WIFCONTINUED(status);

		if (pid == run->witness.pid && ended)
			pinw_witness_forget(&run->witness);
		if (pid != run->child)
			continue;
		if (ended) {
			*ret_status = status;
			return true;
		}
		run->child_stopped = WIFSTOPPED(status);
	}
	return false;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int await_end(struct run *run)
{
	siginfo_t info;
	int status;

	while (!reap(run, &status)) {
		stop_with_child(run);
		int sig = sigwaitinfo(&run->watched, &info);
		if (sig > 0 && sig != SIGCHLD)
			pass_on(run, &info);
	}
	return status;
}

int pinw_launch_run(const struct pinw_launch *launch, struct pinw_outcome *ret_outcome)
{
	struct run run = {
	    .launch = launch,
	    .witness = {.fd = -1},
	    .ticking = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}};
	struct pinw_outcome out = {0};
	struct signal_state before;
	int error_pipe[2] = {-1, -1};
	int r = high_pipe(error_pipe);

	if (r < 0)
		return r;
	hold_signals(&run, &before);
	r = start_ticks_thread(&run);
	if (r < 0) {
		restore_signals(&before);
		close(error_pipe[0]);
		close(error_pipe[1]);
		return r;
	}
	pinw_witness_start(&run.witness);
	run.child = fork();
	if (run.child == 0) {
		restore_signals(&before);
		exec_child(launch, error_pipe[1]);
	}
	r = run.child < 0 ? -errno : 0;
	close(error_pipe[1]);
	if (r == 0) {
		let_go(error_pipe[0], run.witness.fd >= 0 ? run.witness.fd : error_pipe[0]);
		out.pid = run.child;
		out.exec_error = await_exec(error_pipe[0]);
		out.start_ticks = start_ticks(run.child);
		tell_ticks(&run, &run.ticking.begun);
		out.status = await_end(&run);
		out.ended_ns = now_ns();
		*ret_outcome = out;
	}
	stop_ticks(&run);
	pinw_witness_stop(&run.witness);
	drop_pending(&run.watched);
	restore_signals(&before);
	return r;
}

int pinw_launch_exit_status(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
