/* SPDX-License-Identifier: MIT */
#include "reports/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEAVE_WAIT_TICKS 2000 /* of 0.1 ms */
#define ANSWER_WAIT_MS 500 /* a witness that was stopped or killed does not answer */

static void testify(int fd)
{
	static const struct timespec now = {0, 0};
	sigset_t all, one;
	unsigned char sig;

	prctl(PR_SET_NAME, "pinw-witness");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* Descriptors of the program's must not live on here: somebody may wait for the end of a pipe. */
	if (fd != 0 && dup2(fd, 0) < 0)
		return;
	close_range(1, ~0U, 0);
	while (recv(0, &sig, 1, 0) == 1) {
		unsigned char saw;

		sigemptyset(&one);
		sigaddset(&one, sig);
		saw = sigtimedwait(&one, NULL, &now) == sig;
		if (send(0, &saw, 1, MSG_NOSIGNAL) != 1)
			return;
	}
}

int pinw_witness_start(struct pinw_witness *ret_witness)
{
	sigset_t all, before;
	int fds[2];
	pid_t pid;
	int error;

	*ret_witness = (struct pinw_witness){.fd = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before); /* no handler of ours ever runs in the witness */
	pid = fork();
	error = errno;
	if (pid == 0) {
		testify(fds[1]);
		_exit(0);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(fds[1]);
	/* Descriptors 0 to 2 may be closed, and have to stay so for the program. */
	int fd = pid < 0 ? -1 : fcntl(fds[0], F_DUPFD_CLOEXEC, 10);
	close(fds[0]);
	if (pid < 0)
		return -error;
	*ret_witness = (struct pinw_witness){.pid = pid, .fd = fd};
	return 0;
}

bool pinw_witness_saw(struct pinw_witness *w, int sig)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	unsigned char byte = (unsigned char)sig;

	if (!w->pid || send(w->fd, &byte, 1, MSG_NOSIGNAL) != 1)
		return false;
	if (poll(&p, 1, ANSWER_WAIT_MS) != 1 || recv(w->fd, &byte, 1, 0) != 1) {
		pinw_witness_stop(w);
		return false;
	}
	return byte;
}

void pinw_witness_forget(struct pinw_witness *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->pid = 0;
	w->fd = -1;
}

void pinw_witness_stop(struct pinw_witness *w)
{
	static const struct timespec tick = {.tv_nsec = 100000};
	pid_t pid = w->pid;

	if (!pid)
		return;
	pinw_witness_forget(w); /* it leaves by itself when the socket is closed */
	for (unsigned i = 0; i < LEAVE_WAIT_TICKS; i++) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return;
		nanosleep(&tick, NULL);
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
