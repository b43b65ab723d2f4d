/* SPDX-License-Identifier: MIT */
#include "reports/idle_private.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libunwind-ptrace.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reports/ranges.h"
#include "reports/watch_proc.h"

#define PAGE 4096u
#define STACK_PAGES 32u /* 128 KiB: its copy takes a few microseconds */
#define STOP_WAIT_NS 100000000u
#define LINE_BYTES (PAGE + 256u)
#define EVENT_STOP 128 /* PTRACE_EVENT_STOP, which not every <sys/ptrace.h> has */

uint64_t pinw_idle_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void pinw_idle_pause(long ns)
{
	struct timespec ts = {.tv_nsec = ns};

	nanosleep(&ts, NULL);
}

/* ---- memory of the other process ----------------------------------------------------------------- */

static int add_mapping(struct snapshot *s, const char *line)
{
	struct mapping m = {0};
	char write;
	int name = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*c%c%*c%*c %" SCNx64 " %*x:%*x %" SCNu64 " %n", &m.start,
	           &m.end, &write, &m.offset, &m.inode, &name) < 5)
		return 0;
	m.constant = write == '-' && m.inode;
	if (pinw_grow((void **)&s->maps, s->map_count, &s->map_room, sizeof(*s->maps)) < 0)
		return -ENOMEM;
	m.path = line[name] && line[name] != '\n' ? strndup(line + name, strcspn(line + name, "\n")) : NULL;
	s->maps[s->map_count++] = m;
	return 0;
}

static int read_maps(struct snapshot *s)
{
	char path[40], line[LINE_BYTES];
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)s->pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (r == 0 && fgets(line, sizeof(line), f))
		r = add_mapping(s, line);
	fclose(f);
	return r == 0 && !s->map_count ? -ESRCH : r;
}

const struct mapping *pinw_idle_mapping(const struct snapshot *s, uint64_t address)
{
	size_t lo = 0, hi = s->map_count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (s->maps[mid].end <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->map_count && s->maps[lo].start <= address ? &s->maps[lo] : NULL;
}

/* Page by page, so that the end of the stack cuts the copy and does not fail it. */
static int copy_stack(struct snapshot *s)
{
	struct iovec from[STACK_PAGES], to = {.iov_base = s->stack, .iov_len = STACK_PAGES * PAGE};
	uint64_t sp = s->reg[UNW_X86_64_RSP], at = sp;

	for (unsigned i = 0; i < STACK_PAGES; i++) {
		uint64_t end = (at / PAGE + 1) * PAGE;
		from[i] = (struct iovec){.iov_base = (void *)(uintptr_t)at, .iov_len = end - at};
		at = end;
	}
	to.iov_len = at - sp;
	ssize_t n = process_vm_readv(s->pid, &to, 1, from, STACK_PAGES, 0);
	if (n <= 0)
		return n < 0 ? -errno : -EFAULT;
	s->base = sp;
	s->bytes = (size_t)n;
	return 0;
}

/* ---- the stop ---------------------------------------------------------------------------------------- */

static void take_registers(struct snapshot *s, const struct user_regs_struct *r)
{
	const uint64_t reg[PINW_IDLE_REGISTERS] = {
	    [UNW_X86_64_RAX] = r->rax, [UNW_X86_64_RDX] = r->rdx, [UNW_X86_64_RCX] = r->rcx,
	    [UNW_X86_64_RBX] = r->rbx, [UNW_X86_64_RSI] = r->rsi, [UNW_X86_64_RDI] = r->rdi,
	    [UNW_X86_64_RBP] = r->rbp, [UNW_X86_64_RSP] = r->rsp, [UNW_X86_64_R8] = r->r8,
	    [UNW_X86_64_R9] = r->r9,   [UNW_X86_64_R10] = r->r10, [UNW_X86_64_R11] = r->r11,
	    [UNW_X86_64_R12] = r->r12, [UNW_X86_64_R13] = r->r13, [UNW_X86_64_R14] = r->r14,
	    [UNW_X86_64_R15] = r->r15, [UNW_X86_64_RIP] = r->rip,
	};

	memcpy(s->reg, reg, sizeof(reg));
	s->known = (1u << PINW_IDLE_REGISTERS) - 1;
}

/* Waits until the thread stands. Nothing is taken from anybody who waits for it too: its end is the business of
 * whoever started it. *ret_signal is one that it was about to get, 0 = none; *ret_since is a time at which it did not stand yet. */
static int await_stop(pid_t tid, int *ret_signal, uint64_t *ret_since)
{
	uint64_t until = pinw_idle_now() + STOP_WAIT_NS, asked = 0;

	do {
		siginfo_t info = {0};

		*ret_since = asked ? asked : *ret_since;
		asked = pinw_idle_now();
		if (waitid(P_PID, (id_t)tid, &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL) < 0)
			return -ESRCH;
		if (info.si_pid && info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
			return -ESRCH;
		if (info.si_pid) {
			*ret_signal = info.si_status >> 8 == EVENT_STOP ? 0 : info.si_status & 0x7f;
			return 0;
		}
		pinw_idle_pause(10000);
	} while (pinw_idle_now() < until);
	return -EBUSY;
}

/* What the tracer waits for while the thread stands, the thread waits for: it takes precedence over everything, where that
 * is allowed. */
static void hurry(void)
{
	const struct sched_param param = {.sched_priority = 1};

	prctl(PR_SET_TIMERSLACK, 1UL);
	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param);
}

/* What is done while the thread stands is done once before: then all of it is in memory. And whoever has just slept is not
 * made to wait again so soon. */
static void rehearse(struct snapshot *s)
{
	struct user_regs_struct regs;
	siginfo_t info;

	waitid(P_PID, (id_t)s->tid, &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL);
	ptrace(PTRACE_GETREGS, s->tid, 0, &regs); /* refused: it runs */
	copy_stack(s);
	pinw_idle_pause(1000);
}

/* The life of the tracer. Whichever way it ends, the kernel detaches what it holds. */
static void *stop_and_copy(void *arg)
{
	struct snapshot *s = arg;
	struct user_regs_struct regs;
	int sig = 0;

	hurry();
	if (ptrace(PTRACE_SEIZE, s->tid, 0, 0) < 0) {
		s->error = -errno;
		return NULL;
	}
	rehearse(s);
	uint64_t before = pinw_idle_now();
	if (ptrace(PTRACE_INTERRUPT, s->tid, 0, 0) < 0)
		s->error = -errno;
	else
		s->error = await_stop(s->tid, &sig, &before);
	if (s->error < 0)
		return NULL;
	if (ptrace(PTRACE_GETREGS, s->tid, 0, &regs) < 0)
		s->error = -errno;
	else {
		take_registers(s, &regs);
		s->error = copy_stack(s);
	}
	ptrace(PTRACE_DETACH, s->tid, 0, (void *)(intptr_t)sig);
	s->stopped_ns = pinw_idle_now() - before;
	return NULL;
}

static int take_stopped(struct snapshot *s)
{
	pthread_t tracer;
	int r = pthread_create(&tracer, NULL, stop_and_copy, s);

	if (r)
		return -r;
	pthread_join(tracer, NULL);
	return s->error;
}

/* ---- without a stop ------------------------------------------------------------------------------------ */

/* Calls that end with EINTR when their thread is stopped and continued, though no handler ran (signal(7)). */
static bool minds_a_stop(int call)
{
	switch (call) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case 441: /* epoll_pwait2 */
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_io_uring_enter:
	case SYS_recvmsg:
	case SYS_recvfrom:
	case SYS_recvmmsg:
	case SYS_sendmsg:
	case SYS_sendto:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
		return true; /* sockets: only with a time limit set, which cannot be seen from here */
	default:
		return false;
	}
}

/* A thread asleep in a call leaves its stack alone; where it entered the kernel is known, the other registers are not. */
static int take_asleep(struct snapshot *s, int task, const struct pinw_sleep *before)
{
	struct pinw_sleep after;
	uint64_t cpu, cpu_after = 0;
	int r = pinw_task_cpu(task, (uint32_t)s->tid, &cpu);

	s->reg[UNW_X86_64_RSP] = before->sp;
	s->reg[UNW_X86_64_RIP] = before->pc;
	s->known = 1u << UNW_X86_64_RSP | 1u << UNW_X86_64_RIP;
	if (r == 0)
		r = copy_stack(s);
	if (r == 0)
		r = pinw_task_cpu(task, (uint32_t)s->tid, &cpu_after);
	if (r < 0)
		return r;
	pinw_task_sleep(task, (uint32_t)s->tid, &after);
	return cpu == cpu_after && after.call == before->call && after.sp == before->sp ? 0 : -EAGAIN;
}

/* ---- which object, and where in it ---------------------------------------------------------------------- */

/* The address that the object's symbols count from: that of the loaded part which holds the file's byte `at`. */
static bool link_address(const char *path, uint64_t at, uint64_t inode, uint64_t *ret, bool *ret_changed)
{
	Elf64_Ehdr head;
	Elf64_Phdr part;
	struct stat st;
	bool found = false;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	*ret_changed = fd < 0 || fstat(fd, &st) < 0 || st.st_ino != inode;
	if (fd >= 0 && !*ret_changed && pread(fd, &head, sizeof(head), 0) == sizeof(head) &&
	    memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 && head.e_phentsize == sizeof(part))
		for (unsigned i = 0; i < head.e_phnum && !found; i++) {
			off_t where = (off_t)(head.e_phoff + i * sizeof(part));
			if (pread(fd, &part, sizeof(part), where) != sizeof(part))
				break;
			found = part.p_type == PT_LOAD && at >= part.p_offset &&
			        at - part.p_offset < part.p_filesz;
		}
	if (fd >= 0)
		close(fd);
	if (found)
		*ret = at - part.p_offset + part.p_vaddr;
	return found;
}

static void place_frame(const struct snapshot *s, uint64_t pc, struct pinw_idle_frame *ret)
{
	const struct mapping *m = pinw_idle_mapping(s, pc - 1);

	*ret = (struct pinw_idle_frame){.offset = pc};
	if (!m || !m->path)
		return;
	uint64_t at = pc - m->start + m->offset;
	ret->path = strdup(m->path);
	if (!m->inode || !link_address(m->path, at, m->inode, &ret->offset, &ret->changed))
		ret->offset = at;
}

/* ---- the whole --------------------------------------------------------------------------------------------- */

static void snapshot_done(struct snapshot *s)
{
	for (size_t i = 0; i < s->map_count; i++)
		free(s->maps[i].path);
	free(s->maps);
	free(s->stack);
}

/* Reads its stack while it sleeps, which it does not notice. */
static int try_asleep(struct snapshot *s, int task, const struct pinw_sleep *sleep, struct walk *walk)
{
	int r = sleep->sp ? take_asleep(s, task, sleep) : -EAGAIN;

	return r < 0 ? r : pinw_idle_unwind(s, walk);
}

static int try_stopped(struct snapshot *s, struct walk *walk)
{
	int r = take_stopped(s);

	*walk = (struct walk){0};
	return r < 0 ? r : pinw_idle_unwind(s, walk);
}

/* A stop is for the threads that run, and for those whose registers are needed to go on from some frame. */
static int walk_stack(struct snapshot *s, struct walk *walk, bool *ret_stopped)
{
	struct pinw_sleep sleep;
	int task = pinw_task_open(s->pid);

	if (task < 0)
		return -ESRCH;
	pinw_task_sleep(task, (uint32_t)s->tid, &sleep);
	s->reg[UNW_X86_64_RSP] = sleep.sp;
	int r = try_asleep(s, task, &sleep, walk);
	if ((r < 0 || walk->truncated || !walk->done) && r != -ELIBACC &&
	    !(sleep.sp && minds_a_stop(sleep.call))) {
		*ret_stopped = true;
		r = try_stopped(s, walk);
	}
	close(task);
	return r;
}

static int take(pid_t pid, pid_t tid, struct pinw_idle_stack *ret_stack)
{
	struct snapshot s = {.pid = pid, .tid = tid, .stack = malloc(STACK_PAGES * PAGE)};
	struct walk *walk =
	    mmap(NULL, sizeof(*walk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pinw_idle_stack out = {0};
	int r = s.stack && walk != MAP_FAILED ? read_maps(&s) : -ENOMEM;

	if (r == 0) {
		memset(s.stack, 0, STACK_PAGES * PAGE); /* touched now, not while the thread stands */
		r = walk_stack(&s, walk, &out.stopped);
	}
	if (r == 0) {
		out.stopped_ns = s.stopped_ns;
		out.count = walk->count < PINW_IDLE_FRAMES ? walk->count : PINW_IDLE_FRAMES;
		out.truncated = walk->truncated || !walk->done;
		for (unsigned i = 0; i < out.count; i++)
			place_frame(&s, walk->pc[i], &out.frames[i]);
		*ret_stack = out;
	}
	snapshot_done(&s);
	if (walk != MAP_FAILED)
		munmap(walk, sizeof(*walk));
	return r;
}

/* Never left half way: the tracer works on this thread's stack. */
int pinw_idle_stack_take(pid_t pid, pid_t tid, struct pinw_idle_stack *ret_stack)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	int r = take(pid, tid, ret_stack);
	pthread_setcancelstate(before, NULL);
	return r;
}

void pinw_idle_stack_done(struct pinw_idle_stack *s)
{
	for (unsigned i = 0; i < s->count; i++)
		free(s->frames[i].path);
	s->count = 0;
}

const char *pinw_idle_strerror(int error)
{
	switch (error) {
	case -EPERM:
		return "not permitted: a debugger is attached, or this system lets only a parent trace "
		       "(kernel.yama.ptrace_scope)";
	case -ESRCH:
		return "the thread is gone";
	case -EBUSY:
		return "the thread did not stop in time and was let go";
	case -EAGAIN:
		return "the thread ran meanwhile";
	case -EXDEV:
		return "the process is in another pid namespace";
	case -ELIBACC:
		return "libunwind-x86_64.so.8 and libunwind-ptrace.so.0 could not be opened (Debian package "
		       "libunwind8)";
	case -ENODATA:
		return "it could not be unwound";
	default:
		return strerror(-error);
	}
}
