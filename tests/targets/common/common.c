/* SPDX-License-Identifier: MIT */
#include "tests/targets/common/common.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static cpu_set_t all_cpus;

/* Before main, and with no call the shim knows: the mask the process was started with. */
__attribute__((constructor)) static void remember_cpus(void)
{
	CPU_ZERO(&all_cpus);
	sched_getaffinity(0, sizeof(all_cpus), &all_cpus);
}

void target_broken(const char *file, int line, const char *what)
{
	dprintf(2, "%s:%d: not so: %s\n", file, line, what);
	_exit(TARGET_BROKEN);
}

void target_cannot(const char *why)
{
	dprintf(2, "%s\n", why);
	_exit(TARGET_CANNOT);
}

int target_cpu(int n)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all_cpus) && n-- == 0)
			return cpu;
	target_cannot("needs more CPUs than this process may use");
}

const cpu_set_t *target_all_cpus(void)
{
	return &all_cpus;
}

cpu_set_t target_one_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return set;
}

bool target_mask_is(const cpu_set_t *set)
{
	cpu_set_t now;

	CPU_ZERO(&now);
	return sched_getaffinity(0, sizeof(now), &now) == 0 && CPU_EQUAL(&now, set);
}

int target_tid(void)
{
	return (int)syscall(SYS_gettid);
}

static int threads_now(void)
{
	char text[4096], *line;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	CHECK(n > 0);
	text[n] = '\0';
	line = strstr(text, "\nThreads:");
	CHECK(line != NULL);
	return atoi(line + strlen("\nThreads:"));
}

void target_wait_threads(int n)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	while (threads_now() != n)
		nanosleep(&pause, NULL);
}

long target_arg(int argc, char **argv, int i, long missing)
{
	return i < argc ? strtol(argv[i], NULL, 10) : missing;
}
