/* SPDX-License-Identifier: MIT
 *
 * What /proc says about one thread: does it run, and where does it sleep. `task` is a descriptor of
 * /proc/PID/task; the tid is that of our own pid namespace.
 */
#ifndef PINW_REPORTS_WATCH_PROC_H
#define PINW_REPORTS_WATCH_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A descriptor of the process's task folder, or -errno. */
int pinw_task_open(pid_t pid);

/* Its CPU time in nanoseconds; where the kernel does not keep that, an estimate that grows whenever the thread runs.
 * Returns 0 or -errno (-ENOENT: the thread is gone). */
int pinw_task_cpu(int task, uint32_t tid, uint64_t *ret_cpu_ns);

/* What the scheduler gave it so far. */
struct pinw_task_times {
	uint64_t cpu_ns;
	uint64_t delay_ns; /* it was runnable and waited for a CPU */
	uint64_t slices; /* times it was given a CPU */
	bool exact; /* false: a kernel without schedstat; CPU time in clock ticks, the others 0 */
};

/* Returns 0 or -errno (-ENOENT: the thread is gone). */
int pinw_task_times(int task, uint32_t tid, struct pinw_task_times *ret_times);

/* The same in two steps, for who asks again and again: a descriptor or -errno; and its content, 0, -ENOENT, -EOPNOTSUPP (a kernel
 * without schedstat) or another -errno. */
int pinw_task_times_open(int task, uint32_t tid);
int pinw_task_times_read(int fd, struct pinw_task_times *ret_times);

/* How often the kernel moved it to another CPU. Returns 0; -ENOENT when the thread is gone or the kernel was built without
 * CONFIG_SCHED_DEBUG; or another -errno. */
int pinw_task_migrations(int task, uint32_t tid, uint64_t *ret_count);

/* Its number in the innermost pid namespace it is in, 0 unknown. */
uint32_t pinw_task_inner(int task, uint32_t tid);

/* Is the kernel writing the process's core? (Linux 4.15; before: never told.) */
bool pinw_is_dumping(pid_t pid);

struct pinw_sleep {
	char state; /* the kernel's letter, '?' unknown */
	char wchan[64]; /* function of the kernel it waits in, "" unknown */
	int cpu; /* it ran on last, -1 unknown */
	int call; /* number of the system call it is in, -1 none or unknown */
	uint64_t sp, pc; /* where it entered the kernel, when call >= 0; else 0 */
};

/* What cannot be read is unknown. */
void pinw_task_sleep(int task, uint32_t tid, struct pinw_sleep *ret_sleep);

/* "sleeping", "running", ... for a state letter. Never NULL. */
const char *pinw_state_words(char state);

/* Name of a system call in which threads wait; NULL for the others. */
const char *pinw_sleep_call_name(int call);

#endif
