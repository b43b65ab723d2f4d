/* SPDX-License-Identifier: MIT */
#include "preload/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/shim.h"

#define PAGE 4096u /* what a pipe takes as a whole, PIPE_BUF in pipe(7) */
#define STALL_MS 1000
#define PF_EXITING_ 0x4u /* include/linux/sched.h; field 9 of /proc/PID/stat, proc(5) */

/* ---- text ------------------------------------------------------------------------ */

size_t pinw_put_bytes(char *buf, size_t size, size_t at, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && at + 1 < size; i++)
		buf[at++] = bytes[i];
	buf[at] = '\0';
	return at;
}

size_t pinw_put(char *buf, size_t size, size_t at, const char *text)
{
	return pinw_put_bytes(buf, size, at, text, strlen(text));
}

static size_t put_base(char *buf, size_t size, size_t at, uint64_t value, unsigned base)
{
	char digits[24];
	size_t n = sizeof(digits);

	do
		digits[--n] = "0123456789abcdef"[value % base];
	while (value /= base);
	return pinw_put_bytes(buf, size, at, digits + n, sizeof(digits) - n);
}

size_t pinw_put_number(char *buf, size_t size, size_t at, uint64_t value)
{
	return put_base(buf, size, at, value, 10);
}

size_t pinw_put_hex(char *buf, size_t size, size_t at, uint64_t value)
{
	return put_base(buf, size, pinw_put(buf, size, at, "0x"), value, 16);
}

uint64_t pinw_get_number(const char **text)
{
	uint64_t value = 0;

	while (**text >= '0' && **text <= '9')
		value = value * 10 + (uint64_t)(*(*text)++ - '0');
	return value;
}

/* ---- files ----------------------------------------------------------------------- */

long pinw_proc_read(const char *path, char *buf, size_t len)
{
	size_t at = 0;
	long fd = pinw_sys3(SYS_open, path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);

	if (fd < 0)
		return fd;
	while (at + 1 < len) {
		long n = pinw_sys3(SYS_read, fd, buf + at, len - 1 - at);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	buf[at] = '\0';
	pinw_sys1(SYS_close, fd);
	return (long)at;
}

long pinw_proc_readlink(const char *path, char *buf, size_t len)
{
	return pinw_sys3(SYS_readlink, path, buf, len);
}

/* Steps over n fields of a stat line, from just behind the command's closing parenthesis. */
static const char *skip_fields(const char *p, unsigned n)
{
	while (n-- && *p) {
		while (*p == ' ')
			p++;
		while (*p && *p != ' ')
			p++;
	}
	while (*p == ' ')
		p++;
	return p;
}

/* The text behind "pid (comm)" of a stat file; comm may hold anything but ends at the last parenthesis. */
static const char *read_stat(const char *path, char *buf, size_t len)
{
	if (pinw_proc_read(path, buf, len) <= 0)
		return NULL;
	const char *close = strrchr(buf, ')');
	return close ? close + 1 : NULL;
}

int pinw_proc_stat(uint32_t pid, uint32_t *ret_ppid, uint64_t *ret_start_ticks)
{
	char path[32], buf[512];
	size_t n = pinw_put(path, sizeof(path), 0, "/proc/");

	/* In a pid namespace with another's /proc only "self" means what we mean. */
	n = pid ? pinw_put_number(path, sizeof(path), n, pid) : pinw_put(path, sizeof(path), n, "self");
	pinw_put(path, sizeof(path), n, "/stat");
	const char *rest = read_stat(path, buf, sizeof(buf));
	if (!rest)
		return -ESRCH;
	const char *p = skip_fields(rest, 1); /* behind field 3, the state */
	*ret_ppid = (uint32_t)pinw_get_number(&p);
	p = skip_fields(rest, 19); /* behind field 21 */
	*ret_start_ticks = pinw_get_number(&p);
	return 0;
}

bool pinw_proc_is_exiting(uint32_t tid)
{
	char path[48], buf[512];
	size_t n = pinw_put(path, sizeof(path), 0, "/proc/self/task/");

	n = pinw_put_number(path, sizeof(path), n, tid);
	pinw_put(path, sizeof(path), n, "/stat");
	const char *rest = read_stat(path, buf, sizeof(buf));
	if (!rest)
		return true;
	const char *p = skip_fields(rest, 6); /* behind field 8 */
	return pinw_get_number(&p) & PF_EXITING_;
}

/* ---- CPUs ------------------------------------------------------------------------ */

int pinw_proc_affinity(uint32_t tid, uint64_t *ret_mask, unsigned words)
{
	long r = pinw_sys3(SYS_sched_getaffinity, tid, (size_t)words * 8, ret_mask);

	if (r < 0)
		return (int)r;
	for (unsigned i = (unsigned)r / 8; i < words; i++)
		ret_mask[i] = 0;
	return 0;
}

/* Reads a CPU list file of sysfs. */
static int read_cpu_list(const char *path, uint64_t *ret_mask, unsigned words)
{
	char buf[256];
	long n = pinw_proc_read(path, buf, sizeof(buf));

	if (n <= 0)
		return n < 0 ? (int)n : -ENODATA;
	if (n == sizeof(buf) - 1) /* cut, perhaps within a number */
		return -E2BIG;
	if (buf[n - 1] == '\n')
		buf[n - 1] = '\0';
	return pinw_mask_parse(buf, ret_mask, words, NULL);
}

/* Far fewer than the kernel was built for: a CPU that is not possible can never be in a mask. */
unsigned pinw_proc_mask_words(void)
{
	uint64_t mask[PINW_MASK_WORDS_MAX];
	unsigned words = PINW_MASK_WORDS_MAX;

	if (read_cpu_list("/sys/devices/system/cpu/possible", mask, words) < 0) {
		long r = pinw_sys3(SYS_sched_getaffinity, 0, sizeof(mask), mask);
		return r < 8 ? 1 : (unsigned)r / 8;
	}
	while (words > 1 && !mask[words - 1])
		words--;
	return words;
}

unsigned pinw_proc_cpus_online(void)
{
	uint64_t mask[PINW_MASK_WORDS_MAX];

	return read_cpu_list("/sys/devices/system/cpu/online", mask, PINW_MASK_WORDS_MAX) == 0
	           ? pinw_mask_width(mask, PINW_MASK_WORDS_MAX)
	           : 0;
}

/* ---- tasks ----------------------------------------------------------------------- */

/* A thread's CPU clock is ~tid << 3 | 6 (make_thread_cpuclock, include/linux/posix-timers.h). */
uint64_t pinw_proc_cpu_ns(uint32_t tid)
{
	struct {
		int64_t sec, nsec;
	} time = {0, 0};

	if (!tid || __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) ||
	    pinw_sys2(SYS_clock_gettime, (int32_t)(~tid << 3 | 6), &time) < 0)
		return 0;
	return (uint64_t)time.sec * 1000000000u + (uint64_t)time.nsec;
}

uint32_t pinw_proc_tid(void)
{
	return (uint32_t)pinw_sys0(SYS_gettid);
}

uint32_t pinw_proc_pid(void)
{
	return (uint32_t)pinw_sys0(SYS_getpid);
}

bool pinw_proc_is_our_task(uint32_t pid, uint32_t tid)
{
	long r = pinw_sys3(SYS_tgkill, pid, tid, 0);

	return r == 0 || r == -EPERM;
}

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};

long pinw_proc_each_task(void (*fn)(uint32_t tid, void *arg), void *arg)
{
	/* Off the stack: the last thread may have a small one. */
	static union {
		char bytes[8192];
		uint64_t align;
	} buf;
	long count = 0, n;
	long fd = pinw_sys3(SYS_open, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	while ((n = pinw_sys3(SYS_getdents64, fd, buf.bytes, sizeof(buf.bytes))) > 0) {
		for (long at = 0; at < n;) {
			struct linux_dirent64 *d = (struct linux_dirent64 *)(buf.bytes + at);
			const char *name = d->d_name;
			uint32_t tid = (uint32_t)pinw_get_number(&name);

			if (tid) {
				fn(tid, arg);
				count++;
			}
			at += d->d_reclen;
		}
	}
	pinw_sys1(SYS_close, fd);
	return n < 0 ? n : count;
}

/* ---- stderr ---------------------------------------------------------------------- */

static struct {
	uint64_t dev, ino;
	bool known;
} stderr_file;

void pinw_proc_stderr_init(void)
{
	struct stat st = {0};

	stderr_file.known = pinw_sys2(SYS_fstat, 2, &st) == 0;
	if (stderr_file.known) {
		stderr_file.dev = st.st_dev;
		stderr_file.ino = st.st_ino;
	}
}

/* A write to a pipe without a reader raises SIGPIPE in the writing thread, one past RLIMIT_FSIZE SIGXFSZ: held back, and
 * taken off the pending set again unless one was pending before. */
long pinw_proc_write(int fd, const char *text, size_t len)
{
	const uint64_t sigpipe = UINT64_C(1) << (SIGPIPE - 1), sigxfsz = UINT64_C(1) << (SIGXFSZ - 1);
	uint64_t both = sigpipe | sigxfsz, before = 0, pending = 0;
	struct {
		int64_t sec, nsec;
	} now = {0, 0};

	pinw_sys4(SYS_rt_sigprocmask, SIG_BLOCK, &both, &before, sizeof(both));
	pinw_sys2(SYS_rt_sigpending, &pending, sizeof(pending));
	long r = pinw_sys3(SYS_write, fd, text, len);
	uint64_t raised = (r == -EPIPE ? sigpipe : r == -EFBIG ? sigxfsz : 0) & ~pending;
	if (raised)
		pinw_sys4(SYS_rt_sigtimedwait, &raised, 0, &now, sizeof(raised));
	pinw_sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof(before));
	return r;
}

/* Waits until a page can be written to stderr, but only for the first that cannot: then nobody seems to read it, and the
 * program is not to stand still for what we have to say. */
static bool is_stderr_writable(void)
{
	static bool stalled; /* atomic */
	struct pollfd fd = {.fd = 2, .events = POLLOUT};
	int wait_ms = __atomic_load_n(&stalled, __ATOMIC_RELAXED) ? 0 : STALL_MS;

	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return true;
	bool writable = pinw_sys3(SYS_poll, &fd, 1, wait_ms) != 0;
	__atomic_store_n(&stalled, !writable, __ATOMIC_RELAXED);
	return writable;
}

/* To a pipe, a socket or a terminal by pages, each of which has room once one byte has. */
static long write_by_pages(const char *text, size_t len)
{
	for (size_t at = 0, n; at < len; at += n) {
		n = len - at < PAGE ? len - at : PAGE;
		if (!is_stderr_writable())
			return -EAGAIN;
		long r = pinw_proc_write(2, text + at, n);
		if (r < 0)
			return r;
	}
	return 0;
}

long pinw_proc_stderr(const char *text, size_t len)
{
	struct stat st = {0};

	if (!stderr_file.known || pinw_sys2(SYS_fstat, 2, &st) < 0 || st.st_dev != stderr_file.dev ||
	    st.st_ino != stderr_file.ino)
		return 0;
	return S_ISREG(st.st_mode) ? pinw_proc_write(2, text, len) : write_by_pages(text, len);
}

/* ---- memory ----------------------------------------------------------------------- */

void *pinw_proc_map(size_t bytes)
{
	long p =
	    pinw_sys6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p < 0 && p > -4096 ? NULL : (void *)p;
}

/* Can the word at `at` be read? The kernel compares it with a value and then wakes nobody (futex(2), FUTEX_CMP_REQUEUE):
 * EFAULT says no. Unlike process_vm_readv no filter forbids this call, and valgrind knows it. */
static bool is_readable(uintptr_t at)
{
	static uint32_t nobody_waits;

	return pinw_sys6(SYS_futex, (long)at, FUTEX_CMP_REQUEUE_PRIVATE, 0, 0, (long)&nobody_waits, 0) !=
	       -EFAULT;
}

size_t pinw_proc_peek(void *to, const void *from, size_t len)
{
	uintptr_t at = (uintptr_t)from, done = 0;

	if (at < 4096 || __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return 0;
	while (done < len) {
		size_t n = 4096 - (at + done) % 4096; /* to the end of the page */

		if (!is_readable((at + done) & ~(uintptr_t)7))
			break;
		if (n > len - done)
			n = len - done;
		pinw_copy_raw((char *)to + done, (const char *)from + done, n);
		done += n;
	}
	return done;
}
