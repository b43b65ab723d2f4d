/* SPDX-License-Identifier: MIT
 *
 * The real functions behind the interposed names, resolved eagerly, once, with
 * dlvsym: no wrapper ever looks a symbol up. PINW_INTERPOSED is the one list of
 * what is interposed through C; it declares the pointers and drives the
 * resolver. An entry that the C library does not have stays NULL and its wrapper
 * fails with ENOSYS.
 *
 * Columns: return type, name, version asked for, parameters.
 */
#ifndef PINW_REAL_H
#define PINW_REAL_H

#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <threads.h>
#include <time.h>

#define PINW_INTERPOSED(X)                                                                                   \
	X(int, pthread_create, "GLIBC_2.34",                                                                 \
	  (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))                                  \
	X(void, pthread_exit, "GLIBC_2.2.5", (void *))                                                       \
	X(int, pthread_join, "GLIBC_2.34", (pthread_t, void **))                                             \
	X(int, pthread_tryjoin_np, "GLIBC_2.34", (pthread_t, void **))                                       \
	X(int, pthread_timedjoin_np, "GLIBC_2.34", (pthread_t, void **, const struct timespec *))            \
	X(int, pthread_clockjoin_np, "GLIBC_2.34", (pthread_t, void **, clockid_t, const struct timespec *)) \
	X(int, pthread_detach, "GLIBC_2.34", (pthread_t))                                                    \
	X(int, pthread_setname_np, "GLIBC_2.34", (pthread_t, const char *))                                  \
	X(int, thrd_create, "GLIBC_2.34", (thrd_t *, thrd_start_t, void *))                                  \
	X(void, thrd_exit, "GLIBC_2.34", (int))                                                              \
	X(int, thrd_join, "GLIBC_2.34", (thrd_t, int *))                                                     \
	X(int, thrd_detach, "GLIBC_2.34", (thrd_t))                                                          \
	X(int, prctl, "GLIBC_2.2.5", (int, ...))                                                             \
	X(int, sched_setaffinity, "GLIBC_2.3.4", (pid_t, size_t, const cpu_set_t *))                         \
	X(int, pthread_setaffinity_np, "GLIBC_2.34", (pthread_t, size_t, const cpu_set_t *))                 \
	X(int, pthread_setattr_default_np, "GLIBC_2.34", (const pthread_attr_t *))                           \
	X(int, pthread_attr_setaffinity_np, "GLIBC_2.32", (pthread_attr_t *, size_t, const cpu_set_t *))     \
	X(int, pthread_attr_getaffinity_np, "GLIBC_2.34", (const pthread_attr_t *, size_t, cpu_set_t *))     \
	X(int, pthread_getattr_default_np, "GLIBC_2.34", (pthread_attr_t *))                                 \
	X(int, pthread_getcpuclockid, "GLIBC_2.34", (pthread_t, clockid_t *))                                \
	X(pid_t, _Fork, "GLIBC_2.34", (void))                                                                \
	X(int, execve, "GLIBC_2.2.5", (const char *, char *const[], char *const[]))                          \
	X(int, execv, "GLIBC_2.2.5", (const char *, char *const[]))                                          \
	X(int, execvp, "GLIBC_2.2.5", (const char *, char *const[]))                                         \
	X(int, execvpe, "GLIBC_2.11", (const char *, char *const[], char *const[]))                          \
	X(int, fexecve, "GLIBC_2.2.5", (int, char *const[], char *const[]))                                  \
	X(int, execveat, "GLIBC_2.34", (int, const char *, char *const[], char *const[], int))               \
	X(int, daemon, "GLIBC_2.2.5", (int, int))                                                            \
	X(void, _exit, "GLIBC_2.2.5", (int))                                                                 \
	X(void, quick_exit, "GLIBC_2.24", (int))                                                             \
	X(int, setuid, "GLIBC_2.2.5", (uid_t))                                                               \
	X(int, seteuid, "GLIBC_2.2.5", (uid_t))                                                              \
	X(int, setreuid, "GLIBC_2.2.5", (uid_t, uid_t))                                                      \
	X(int, setresuid, "GLIBC_2.2.5", (uid_t, uid_t, uid_t))                                              \
	X(int, chroot, "GLIBC_2.2.5", (const char *))                                                        \
	X(int, dlclose, "GLIBC_2.34", (void *))

struct pinw_real {
#define X(type, name, version, params) type(*name) params; /* NOLINT(bugprone-macro-parentheses) */
	PINW_INTERPOSED(X)
#undef X
};

extern struct pinw_real pinw_real;

/* Targets of the tail jumps in arch_x86_64.S; NULL until resolved. */
extern long (*pinw_real_syscall)(long, ...);
extern int (*pinw_real_clone)(int (*)(void *), void *, int, void *, ...);

/* Resolves every pointer. Returns the number of names not found; `ret_first`, when not
 * NULL, is set to the index of the first of them. Only called during init. */
unsigned pinw_real_resolve(unsigned *ret_first);

#endif
