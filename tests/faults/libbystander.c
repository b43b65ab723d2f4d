/* SPDX-License-Identifier: MIT
 *
 * Another preload, written as most are: it wraps some of the functions that the shim wraps, without versions, finds
 * the next one with dlsym(RTLD_NEXT), and counts. Says on stdout what it counted when the process exits, so that a shim
 * that passes it by, or calls it twice, changes the output.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

enum wrapped { CREATE, JOIN, DETACH, NAME, SET, THREAD_SET, EXEC, PRCTL, WRAPPED };

static const char *const names[WRAPPED] = {
    "pthread_create",    "pthread_join",           "pthread_detach", "pthread_setname_np",
    "sched_setaffinity", "pthread_setaffinity_np", "execve",         "prctl"};
static atomic_int counts[WRAPPED];

/* Counts a call and says whom to pass it to. */
static void *next(enum wrapped which)
{
	atomic_fetch_add(&counts[which], 1);
	return dlsym(RTLD_NEXT, names[which]);
}

int pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	*(void **)&real = next(CREATE);
	return real(out, attr, start, arg);
}

int pthread_join(pthread_t thread, void **result)
{
	int (*real)(pthread_t, void **);

	*(void **)&real = next(JOIN);
	return real(thread, result);
}

int pthread_detach(pthread_t thread)
{
	int (*real)(pthread_t);

	*(void **)&real = next(DETACH);
	return real(thread);
}

int pthread_setname_np(pthread_t thread, const char *name)
{
	int (*real)(pthread_t, const char *);

	*(void **)&real = next(NAME);
	return real(thread, name);
}

int sched_setaffinity(pid_t pid, size_t bytes, const cpu_set_t *mask)
{
	int (*real)(pid_t, size_t, const cpu_set_t *);

	*(void **)&real = next(SET);
	return real(pid, bytes, mask);
}

int pthread_setaffinity_np(pthread_t thread, size_t bytes, const cpu_set_t *mask)
{
	int (*real)(pthread_t, size_t, const cpu_set_t *);

	*(void **)&real = next(THREAD_SET);
	return real(thread, bytes, mask);
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	int (*real)(const char *, char *const[], char *const[]);

	*(void **)&real = next(EXEC);
	dprintf(1, "bystander: execve %s\n", path);
	return real(path, argv, envp);
}

int prctl(int option, ...)
{
	int (*real)(int, ...);
	unsigned long a, b, c, d;
	va_list args;

	va_start(args, option);
	a = va_arg(args, unsigned long);
	b = va_arg(args, unsigned long);
	c = va_arg(args, unsigned long);
	d = va_arg(args, unsigned long);
	va_end(args);
	*(void **)&real = next(PRCTL);
	return real(option, a, b, c, d);
}

__attribute__((destructor)) static void say(void)
{
	for (int i = 0; i < WRAPPED; i++)
		if (atomic_load(&counts[i]))
			dprintf(1, "bystander: %s %d\n", names[i], atomic_load(&counts[i]));
}
