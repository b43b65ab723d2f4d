/* SPDX-License-Identifier: MIT
 *
 * The present stack of one thread of another process. While it sleeps in a system call its stack is read without
 * its notice. Only where that does not lead to the stack's end, as a register is needed that the kernel does not show,
 * is it stopped: while its registers and the top of its stack are copied, for about a tenth of a millisecond where this
 * process may use SCHED_FIFO; else that long on a machine that is not overloaded. It is unwound from the copy, after it
 * runs again. A thread in a system call that would return early (EINTR) when disturbed, such as epoll_wait, is not
 * stopped at all.
 *
 * Whatever happens, the thread is not left standing: it is stopped by a thread of this process that exists for
 * that alone, and the kernel lets go of what a tracer holds when the tracer ends. Signals that arrive meanwhile are
 * delivered.
 */
#ifndef PINW_REPORTS_IDLE_H
#define PINW_REPORTS_IDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PINW_IDLE_FRAMES 64u

struct pinw_idle_frame {
	char *path; /* of the object, NULL in none; with its build id unchecked */
	uint64_t offset; /* return address, relative to the object's load address; else the address itself */
	bool changed; /* the file at `path` is another one by now */
};

struct pinw_idle_stack {
	struct pinw_idle_frame frames[PINW_IDLE_FRAMES];
	unsigned count;
	bool truncated; /* the walk ended before the stack did */
	bool stopped; /* false: read while it slept */
	uint64_t stopped_ns; /* for at most so long it stood still */
};

/* `tid` as our own pid namespace numbers it. Returns 0; -EPERM: a debugger is there already, or tracing is not
 * allowed (the reason is in /proc/sys/kernel/yama/ptrace_scope when the process is no child of ours); -ESRCH: it is
 * gone; -EBUSY: it did not stop in time; -EAGAIN: it ran; or another -errno. */
int pinw_idle_stack_take(pid_t pid, pid_t tid, struct pinw_idle_stack *ret_stack);
void pinw_idle_stack_done(struct pinw_idle_stack *s);

/* Why there is no stack, as a phrase. */
const char *pinw_idle_strerror(int error);

#endif
