/* SPDX-License-Identifier: MIT
 *
 * What makes and ends process images: the loader's call, _Fork, the exec family, _exit, quick_exit; and
 * dlclose, which takes code away under remembered stacks. fork() itself needs no
 * wrapper (pthread_atfork), nor do posix_spawn, system and popen (their children run no
 * code of ours before exec). exec and _exit stay async-signal-safe.
 */
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/module.h"
#include "preload/proc.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/site.h"
#include "preload/trace.h"
#include "preload/wrap.h"

/* ---- start ---------------------------------------------------------------------------------- */

__attribute__((constructor)) static void construct(int argc, char **argv)
{
	(void)argc;
	pinw_construct(argv);
}

/* ---- fork ----------------------------------------------------------------------------------- */

PINW_WRAPPER("_Fork@@GLIBC_2.34")
pid_t Fork_234(void)
{
	struct pinw_thread *self = pinw_enter();

	if (!pinw_real._Fork)
		return pinw_missing();
	pid_t pid = pinw_real._Fork();
	if (pid == 0 && self)
		pinw_child_init();
	return pid;
}

/* ---- exec ----------------------------------------------------------------------------------- */

static void record_exec(const struct pinw_thread *self, const char *path, uint16_t flags, int error,
                        struct pinw_where where)
{
	/* Off the stack, which may be small. Whoever comes while it is in use (by the image of this number: a fork
	 * child finds it free) goes without the path. */
	static char copy[PINW_PATH_MAX];
	static uint32_t user;
	uint32_t gen = pinw_shim.image_gen, before = __atomic_load_n(&user, __ATOMIC_RELAXED);
	bool mine = before != gen && __atomic_compare_exchange_n(&user, &before, gen, false, __ATOMIC_ACQUIRE,
	                                                         __ATOMIC_RELAXED);
	/* exec answers a bad pointer with EFAULT */
	size_t len = mine ? strnlen(copy, pinw_proc_peek(copy, path, sizeof(copy))) : 0;
	struct pinw_rec_exec record = {
	    .e = {.time_ns = pinw_now(), .thread = pinw_tls.seq, .site = pinw_site(self, where)},
	    .flags = flags,
	    .error = (uint16_t)error,
	    .path_len = (uint32_t)len,
	};

	pinw_trace_event(PINW_REC_EXEC, &record, sizeof(record), copy, len);
	if (mine)
		__atomic_store_n(&user, 0, __ATOMIC_RELEASE);
}

/* Before an exec: the image is about to end. NULL: nothing to book here (recording is off, or a vfork child, whose
 * exec ends no image of ours). */
static struct pinw_thread *before_exec(const char *path, char *const envp[], struct pinw_where where)
{
	struct pinw_thread *self = pinw_enter();

	if (!self)
		return NULL;
	bool unfollowed = pinw_env_unfollowed(envp);
	if (unfollowed)
		pinw_count(exec_unfollowed, 1);
	if (!pinw_is_own_process())
		return NULL;
	record_exec(self, path, unfollowed ? PINW_EXEC_UNFOLLOWED : 0, 0, where);
	pinw_image_end(PINW_END_EXEC, 0);
	return self;
}

/* exec came back: it failed, the image goes on. Keeps errno. */
static int after_exec(const struct pinw_thread *self, const char *path, char *const envp[],
                      struct pinw_where where)
{
	int saved = errno;

	if (pinw_enter() && pinw_env_unfollowed(envp)) /* also in a vfork child, which may try many paths */
		pinw_uncount(exec_unfollowed, 1);
	if (self) {
		pinw_image_resume();
		record_exec(self, path, PINW_EXEC_FAILED, saved, where);
	}
	errno = saved;
	return -1;
}

static int exec_path(const char *path, char *const argv[], char *const envp[], struct pinw_where where)
{
	struct pinw_thread *self = before_exec(path, envp, where);

	if (!pinw_real.execve)
		return pinw_missing();
	pinw_real.execve(path, argv, envp);
	return after_exec(self, path, envp, where);
}

/* The forms that keep the environment go to their like, for what another preload wraps there. */
static int exec_path_here(const char *path, char *const argv[], struct pinw_where where)
{
	struct pinw_thread *self = before_exec(path, environ, where);

	if (!pinw_real.execv)
		return pinw_missing();
	pinw_real.execv(path, argv);
	return after_exec(self, path, environ, where);
}

static int exec_search_here(const char *file, char *const argv[], struct pinw_where where)
{
	struct pinw_thread *self = before_exec(file, environ, where);

	if (!pinw_real.execvp)
		return pinw_missing();
	pinw_real.execvp(file, argv);
	return after_exec(self, file, environ, where);
}

static int exec_search(const char *file, char *const argv[], char *const envp[], struct pinw_where where)
{
	struct pinw_thread *self = before_exec(file, envp, where);

	if (!pinw_real.execvpe)
		return pinw_missing();
	pinw_real.execvpe(file, argv, envp);
	return after_exec(self, file, envp, where);
}

PINW_WRAPPER("execve@@GLIBC_2.2.5")
int execve_225(const char *path, char *const argv[], char *const envp[])
{
	return exec_path(path, argv, envp, PINW_WHERE());
}

PINW_WRAPPER("execv@@GLIBC_2.2.5")
int execv_225(const char *path, char *const argv[])
{
	return exec_path_here(path, argv, PINW_WHERE());
}

PINW_WRAPPER("execvp@@GLIBC_2.2.5")
int execvp_225(const char *file, char *const argv[])
{
	return exec_search_here(file, argv, PINW_WHERE());
}

PINW_WRAPPER("execvpe@@GLIBC_2.11")
int execvpe_211(const char *file, char *const argv[], char *const envp[])
{
	return exec_search(file, argv, envp, PINW_WHERE());
}

PINW_WRAPPER("fexecve@@GLIBC_2.2.5")
int fexecve_225(int fd, char *const argv[], char *const envp[])
{
	struct pinw_where where = PINW_WHERE();
	struct pinw_thread *self = before_exec("(descriptor)", envp, where);

	if (!pinw_real.fexecve)
		return pinw_missing();
	pinw_real.fexecve(fd, argv, envp);
	return after_exec(self, "(descriptor)", envp, where);
}

PINW_WRAPPER("execveat@@GLIBC_2.34")
int execveat_234(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct pinw_where where = PINW_WHERE();
	struct pinw_thread *self = before_exec(path, envp, where);

	if (!pinw_real.execveat)
		return pinw_missing();
	pinw_real.execveat(dir, path, argv, envp, flags);
	return after_exec(self, path, envp, where);
}

/* The list forms build a vector on the stack, as the C library does: COUNT_LIST arguments and their NULL. */
#define COUNT_LIST(count, first)                                                                             \
	size_t count = 0;                                                                                    \
	va_list count_args;                                                                                  \
	va_start(count_args, first);                                                                         \
	for (const char *arg = (first); arg; arg = va_arg(count_args, const char *))                         \
		(count)++;                                                                                   \
	va_end(count_args)

#define FILL_LIST(vector, count, first, args)                                                                \
	(vector)[0] = (char *)(first);                                                                       \
	for (size_t i = 1; i <= (count); i++)                                                                \
	(vector)[i] = va_arg(args, char *)

PINW_WRAPPER("execl@@GLIBC_2.2.5")
int execl_225(const char *path, const char *arg0, ...)
{
	COUNT_LIST(count, arg0);
	char *argv[count + 1];
	va_list args;

	va_start(args, arg0);
	FILL_LIST(argv, count, arg0, args);
	va_end(args);
	return exec_path_here(path, argv, PINW_WHERE());
}

PINW_WRAPPER("execlp@@GLIBC_2.2.5")
int execlp_225(const char *file, const char *arg0, ...)
{
	COUNT_LIST(count, arg0);
	char *argv[count + 1];
	va_list args;

	va_start(args, arg0);
	FILL_LIST(argv, count, arg0, args);
	va_end(args);
	return exec_search_here(file, argv, PINW_WHERE());
}

PINW_WRAPPER("execle@@GLIBC_2.2.5")
int execle_225(const char *path, const char *arg0, ...)
{
	COUNT_LIST(count, arg0);
	char *argv[count + 1];
	va_list args;

	va_start(args, arg0);
	FILL_LIST(argv, count, arg0, args);
	char *const *envp = va_arg(args, char *const *);
	va_end(args);
	return exec_path(path, argv, envp, PINW_WHERE());
}

/* ---- exit ------------------------------------------------------------------------------------ */

/* The parent leaves inside the C library, by an _exit that nobody can wrap: its end is booked before. */
PINW_WRAPPER("daemon@@GLIBC_2.2.5")
int daemon_225(int nochdir, int noclose)
{
	struct pinw_thread *self = pinw_enter();

	if (!pinw_real.daemon)
		return pinw_missing();
	if (self)
		pinw_image_end(PINW_END_EXIT, 0);
	int r = pinw_real.daemon(nochdir, noclose);
	if (r < 0 && self) {
		int saved = errno;
		pinw_image_resume();
		errno = saved;
	}
	return r;
}

PINW_WRAPPER("_exit@@GLIBC_2.2.5")
void exit_225(int status)
{
	if (pinw_enter())
		pinw_image_end(PINW_END_EXIT, (uint32_t)status & 0xff);
	if (pinw_real._exit)
		pinw_real._exit(status);
	for (;;)
		pinw_sys1(SYS_exit_group, status);
}

PINW_WRAPPER("_Exit@@GLIBC_2.2.5")
void Exit_225(int status)
{
	exit_225(status);
}

PINW_WRAPPER("quick_exit@@GLIBC_2.24")
void quick_exit_224(int status)
{
	if (pinw_enter())
		pinw_image_end(PINW_END_EXIT, (uint32_t)status & 0xff);
	if (pinw_real.quick_exit)
		pinw_real.quick_exit(status);
	for (;;)
		pinw_sys1(SYS_exit_group, status);
}
PINW_ALSO(quick_exit_224, v210, "quick_exit@GLIBC_2.10");

/* ---- dlclose ----------------------------------------------------------------------------------- */

static int read_unloads(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(unsigned long long *)arg = info->dlpi_subs;
	return 1;
}

PINW_WRAPPER("dlclose@@GLIBC_2.34")
int dlclose_234(void *handle)
{
	static unsigned long long unloads_seen;
	unsigned long long unloads = 0;

	(void)pinw_enter();
	if (!pinw_real.dlclose)
		return pinw_missing();
	int r = pinw_real.dlclose(handle);
	dl_iterate_phdr(read_unloads, &unloads);
	if (__atomic_exchange_n(&unloads_seen, unloads, __ATOMIC_RELAXED) != unloads)
		__atomic_fetch_add(&pinw_module_gen, 1, __ATOMIC_RELEASE);
	return r;
}
PINW_ALSO(dlclose_234, v225, "dlclose@GLIBC_2.2.5");
