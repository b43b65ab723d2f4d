/* SPDX-License-Identifier: MIT
 *
 * Runs a program as a child and stays out of its way: same process group, same terminal, same
 * descriptors, same signal mask and dispositions as if it had been started directly. Signals sent to
 * this process alone are passed on, signals sent to the whole group are not; when the terminal stops
 * the group this process stops too, so that the shell sees what it would have seen.
 */
#ifndef PINW_REPORTS_LAUNCH_H
#define PINW_REPORTS_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pinw_launch {
	const char *path; /* what to execute */
	char **argv; /* argv[0] as the user typed it */
	char **envp;
	bool script; /* a text without "#!": /bin/sh reads it, as execvp(3) does */
	char *pid_text; /* inside one of envp: its 10 bytes become the child's pid; NULL = not wanted */
	void (*tick)(
	    void *
	        arg); /* called about every tick_ns while the program runs, in a thread of its own; NULL = not
	                 wanted. It may fork, and waits for its own children by pid. One under way when the
	                 program ends has 5 s; then it is cancelled, see pthreads(7) */
	void *tick_arg;
	uint64_t tick_ns;
};

struct pinw_outcome {
	pid_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat; 0 when unknown */
	int exec_error; /* errno of an exec that failed; then status means nothing */
	int status; /* as waitpid(2) gives it */
	uint64_t ended_ns; /* CLOCK_MONOTONIC when the end was seen */
};

/* Runs the program to its end; no child of this function is left behind. Standard input and output of this
 * process are /dev/null afterwards and all descriptors but stderr are closed: what the program closes is
 * closed for good. Returns 0 (also when exec failed) or -errno when no process could be made. */
int pinw_launch_run(const struct pinw_launch *launch, struct pinw_outcome *ret_outcome);

/* The exit status to end with: the child's, or 128 + the signal that killed it. */
int pinw_launch_exit_status(int wait_status);

#endif
