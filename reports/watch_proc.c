/* SPDX-License-Identifier: MIT */
#include "reports/watch_proc.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int pinw_task_open(pid_t pid)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The start of a small file, NUL terminated. Returns its length or -errno. */
static ssize_t read_text(int task, uint32_t tid, const char *name, char *buf, size_t size)
{
	char path[48];

	buf[0] = '\0';
	snprintf(path, sizeof(path), "%u/%s", tid, name);
	int fd = openat(task, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, buf, size - 1);
	int error = errno;
	close(fd);
	if (n < 0)
		return error == ESRCH ? -ENOENT : -error;
	buf[n] = '\0';
	return n;
}

/* CPU time as the kernel's clock ticks count it. */
static int read_ticks(int task, uint32_t tid, uint64_t *ret_cpu_ns)
{
	char text[1024];
	ssize_t n = read_text(task, tid, "stat", text, sizeof(text));

	if (n < 0)
		return (int)n;
	const char *p = strrchr(text, ')'); /* the name may hold anything */
	for (int field = 2; p && field < 14; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	*ret_cpu_ns = 0;
	if (p) {
		uint64_t tick_ns = UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK);
		char *end;
		*ret_cpu_ns += strtoull(p, &end, 10) * tick_ns;
		*ret_cpu_ns += strtoull(end, NULL, 10) * tick_ns;
	}
	return 0;
}

int pinw_task_times_open(int task, uint32_t tid)
{
	char path[48];

	snprintf(path, sizeof(path), "%u/schedstat", tid);
	int fd = openat(task, path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int pinw_task_times_read(int fd, struct pinw_task_times *ret_times)
{
	char text[128], *end;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return errno == ESRCH ? -ENOENT : -errno;
	text[n] = '\0';
	if (!isdigit((unsigned char)text[0]))
		return -EOPNOTSUPP;
	struct pinw_task_times t = {.exact = true, .cpu_ns = strtoull(text, &end, 10)};
	t.delay_ns = strtoull(end, &end, 10);
	t.slices = strtoull(end, NULL, 10);
	*ret_times = t;
	return 0;
}

int pinw_task_times(int task, uint32_t tid, struct pinw_task_times *ret_times)
{
	struct pinw_task_times ticks = {.exact = false};
	int fd = pinw_task_times_open(task, tid), r = fd;

	if (fd >= 0) {
		r = pinw_task_times_read(fd, ret_times);
		close(fd);
	}
	if (r < 0) {
		r = read_ticks(task, tid, &ticks.cpu_ns);
		if (r == 0)
			*ret_times = ticks;
	}
	return r;
}

#define SWITCH_NS 20000u /* what a short run may cost */

/* A kernel without schedstat counts at least how often a thread was switched away from, and no thread that ran comes to
 * sleep again without that; one that runs on without sleeping is seen by its clock ticks. */
int pinw_task_cpu(int task, uint32_t tid, uint64_t *ret_cpu_ns)
{
	struct pinw_task_times times = {.exact = true};
	char text[4096];
	int r = pinw_task_times(task, tid, &times);

	if (r < 0)
		return r;
	if (!times.exact) {
		ssize_t n = read_text(task, tid, "status", text, sizeof(text));
		if (n < 0)
			return (int)n;
		for (const char *p = text; (p = strstr(p, "voluntary_ctxt_switches:")) != NULL;) {
			p += sizeof("voluntary_ctxt_switches:") - 1;
			times.cpu_ns += strtoull(p, NULL, 10) * SWITCH_NS;
		}
	}
	*ret_cpu_ns = times.cpu_ns;
	return 0;
}

int pinw_task_migrations(int task, uint32_t tid, uint64_t *ret_count)
{
	static const char key[] = "nr_migrations";
	char text[4096];
	ssize_t n = read_text(task, tid, "sched", text, sizeof(text));

	if (n < 0)
		return (int)n;
	const char *p = strstr(text, key);
	p = p ? strchr(p, ':') : NULL;
	if (!p)
		return -EOPNOTSUPP;
	*ret_count = strtoull(p + 1, NULL, 10);
	return 0;
}

uint32_t pinw_task_inner(int task, uint32_t tid)
{
	char text[4096];
	ssize_t n = read_text(task, tid, "status", text, sizeof(text));
	const char *p = n > 0 ? strstr(text, "\nNSpid:") : NULL;
	uint32_t inner = 0;

	for (p = p ? p + sizeof("\nNSpid:") - 1 : ""; *p == '\t' || *p == ' ';) {
		char *end;
		inner = (uint32_t)strtoul(p, &end, 10);
		p = end;
	}
	return inner;
}

bool pinw_is_dumping(pid_t pid)
{
	char text[4096];
	int task = pinw_task_open(pid);

	if (task < 0)
		return false;
	ssize_t n = read_text(task, (uint32_t)pid, "status", text, sizeof(text));
	close(task);
	const char *p = n > 0 ? strstr(text, "\nCoreDumping:") : NULL;
	return p && strtoul(p + sizeof("\nCoreDumping:") - 1, NULL, 10) == 1;
}

/* ---- where it sleeps ----------------------------------------------------------------------------- */

void pinw_task_sleep(int task, uint32_t tid, struct pinw_sleep *ret_sleep)
{
	struct pinw_sleep s = {.state = '?', .call = -1, .cpu = -1};
	char text[1024];

	if (read_text(task, tid, "stat", text, sizeof(text)) > 0) {
		const char *p = strrchr(text, ')');
		if (p && p[1] == ' ' && p[2])
			s.state = p[2];
		for (int field = 2; p && field < 39; field++) {
			p = strchr(p, ' ');
			p = p ? p + 1 : NULL;
		}
		if (p && isdigit((unsigned char)*p))
			s.cpu = (int)strtoul(p, NULL, 10);
	}
	if (read_text(task, tid, "wchan", text, sizeof(text)) > 0 && text[0] != '0')
		snprintf(s.wchan, sizeof(s.wchan), "%.63s", text);
	/* "NUMBER ARG1 ... ARG6 SP PC", or "running", or "-1 SP PC" outside of any call */
	if (read_text(task, tid, "syscall", text, sizeof(text)) > 0 && isdigit((unsigned char)text[0])) {
		unsigned long long sp, pc;
		if (sscanf(text, "%d %*x %*x %*x %*x %*x %*x %llx %llx", &s.call, &sp, &pc) == 3) {
			s.sp = sp;
			s.pc = pc;
		}
	}
	*ret_sleep = s;
}

const char *pinw_state_words(char state)
{
	switch (state) {
	case 'R':
		return "running";
	case 'S':
		return "sleeping";
	case 'D':
		return "sleeping where no signal reaches it";
	case 'T':
		return "stopped by a signal";
	case 't':
		return "stopped by a debugger";
	case 'I':
		return "idle in the kernel";
	case 'Z':
	case 'X':
		return "dead";
	default:
		return "unknown";
	}
}

const char *pinw_sleep_call_name(int call)
{
	static const struct {
		int number;
		const char *name;
	} calls[] = {
	    {SYS_read, "read"},
	    {SYS_write, "write"},
	    {SYS_poll, "poll"},
	    {SYS_ppoll, "ppoll"},
	    {SYS_select, "select"},
	    {SYS_pselect6, "pselect6"},
	    {SYS_pause, "pause"},
	    {SYS_nanosleep, "nanosleep"},
	    {SYS_clock_nanosleep, "clock_nanosleep"},
	    {SYS_accept, "accept"},
	    {SYS_accept4, "accept4"},
	    {SYS_connect, "connect"},
	    {SYS_recvfrom, "recvfrom"},
	    {SYS_recvmsg, "recvmsg"},
	    {SYS_recvmmsg, "recvmmsg"},
	    {SYS_sendto, "sendto"},
	    {SYS_sendmsg, "sendmsg"},
	    {SYS_wait4, "wait4"},
	    {SYS_waitid, "waitid"},
	    {SYS_futex, "futex"},
	    {SYS_epoll_wait, "epoll_wait"},
	    {SYS_epoll_pwait, "epoll_pwait"},
	    {441, "epoll_pwait2"},
	    {449, "futex_waitv"},
	    {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
	    {SYS_rt_sigsuspend, "rt_sigsuspend"},
	    {SYS_semop, "semop"},
	    {SYS_semtimedop, "semtimedop"},
	    {SYS_msgrcv, "msgrcv"},
	    {SYS_msgsnd, "msgsnd"},
	    {SYS_mq_timedreceive, "mq_timedreceive"},
	    {SYS_mq_timedsend, "mq_timedsend"},
	    {SYS_io_getevents, "io_getevents"},
	    {SYS_io_uring_enter, "io_uring_enter"},
	    {SYS_flock, "flock"},
	    {SYS_fcntl, "fcntl"},
	    {SYS_ioctl, "ioctl"},
	    {SYS_readv, "readv"},
	    {SYS_pread64, "pread64"},
	    {SYS_splice, "splice"},
	    {SYS_fsync, "fsync"},
	    {SYS_openat, "openat"},
	    {SYS_restart_syscall, "restart_syscall"},
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].number == call)
			return calls[i].name;
	return NULL;
}
