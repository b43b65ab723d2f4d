/* SPDX-License-Identifier: MIT */
#include "reports/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads a small file whole, NUL terminated. Returns its length or -errno. */
static ssize_t read_small(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, buf, size - 1);
	int error = errno;
	close(fd);
	if (n < 0)
		return -error;
	buf[n] = '\0';
	return n;
}

/* 0 when unknown. */
static uint64_t pid_namespace(const char *pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%.10s/ns/pid", pid);
	return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* The boot as the kernel spells it, to 16 bytes. */
static int this_boot(uint8_t *ret_id)
{
	char text[64] = "";
	uint8_t id[16] = {0};
	unsigned digits = 0;

	if (read_small("/proc/sys/kernel/random/boot_id", text, sizeof(text)) < 36)
		return -ENOENT;
	for (const char *p = text; *p && digits < 32; p++) {
		if (!isxdigit((unsigned char)*p))
			continue;
		unsigned v =
		    isdigit((unsigned char)*p) ? (unsigned)(*p - '0') : (unsigned)(tolower(*p) - 'a' + 10);
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | v);
		digits++;
	}
	memcpy(ret_id, id, sizeof(id));
	return 0;
}

/* Is /proc/PID a living process that started at `start_ticks`? The name in field 2 may hold anything. */
static bool lives_since(const char *pid, uint64_t start_ticks)
{
	char path[64], stat_line[1024];
	char state;
	unsigned long long start;

	snprintf(path, sizeof(path), "/proc/%.10s/stat", pid);
	if (read_small(path, stat_line, sizeof(stat_line)) <= 0)
		return false;
	const char *after = strrchr(stat_line, ')');
	if (!after ||
	    sscanf(after + 1,
	           " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
	           &start) != 2)
		return false;
	return state != 'Z' && state != 'X' && start == start_ticks;
}

/* The innermost namespace's number on the NSpid line of a status file, 0 when there is none. */
static uint32_t inner_pid(const char *path)
{
	char status[4096];

	if (read_small(path, status, sizeof(status)) <= 0)
		return 0;
	const char *line = strstr(status, "\nNSpid:");
	if (!line)
		return 0;
	uint32_t last = 0;
	line += strlen("\nNSpid:");
	while (*line == '\t' || *line == ' ') {
		char *end;
		last = (uint32_t)strtoul(line, &end, 10);
		line = end;
	}
	return last;
}

static uint32_t inner_pid_of(const char *pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.10s/status", pid);
	return inner_pid(path);
}

/* A process of another pid namespace has another number here: look through all of them. */
static int find_in_namespaces(const struct pinw_identity *id, pid_t *ret_pid)
{
	DIR *proc = opendir("/proc");
	int error = -ESRCH;

	if (!proc)
		return -ESRCH;
	for (const struct dirent *d; (d = readdir(proc));) {
		if (!isdigit((unsigned char)d->d_name[0]) || strlen(d->d_name) > 10)
			continue;
		if (!lives_since(d->d_name, id->start_ticks) || pid_namespace(d->d_name) != id->pid_ns ||
		    inner_pid_of(d->d_name) != id->pid)
			continue;
		*ret_pid = (pid_t)strtol(d->d_name, NULL, 10);
		error = 0;
		break;
	}
	closedir(proc);
	return error;
}

int pinw_procfs_find(const struct pinw_identity *id, pid_t *ret_pid)
{
	static const uint8_t unknown[16];
	uint8_t boot[16];
	char pid[16];

	if (memcmp(id->boot_id, unknown, sizeof(unknown)) != 0 && this_boot(boot) == 0 &&
	    memcmp(id->boot_id, boot, sizeof(boot)) != 0)
		return -EXDEV;
	if (id->pid == 0 || id->pid > INT32_MAX)
		return -ESRCH;
	if (id->pid_ns != 0 && id->pid_ns != pid_namespace("self"))
		return find_in_namespaces(id, ret_pid);
	snprintf(pid, sizeof(pid), "%u", id->pid);
	if (!lives_since(pid, id->start_ticks))
		return -ESRCH;
	*ret_pid = (pid_t)id->pid;
	return 0;
}

static int compare_tids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int add_tid(uint32_t **tids, size_t *count, uint32_t tid)
{
	if ((*count & (*count - 1)) == 0) {
		uint32_t *grown = realloc(*tids, (*count ? *count * 2 : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		*tids = grown;
	}
	(*tids)[(*count)++] = tid;
	return 0;
}

int pinw_procfs_threads(pid_t pid, uint32_t **ret_tids, size_t *ret_count)
{
	char path[64], text[16];
	uint32_t *tids = NULL;
	size_t count = 0;
	int error = 0;

	snprintf(text, sizeof(text), "%d", (int)pid);
	bool other_namespace = pid_namespace(text) != pid_namespace("self");
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *task = opendir(path);
	if (!task)
		return -errno;
	for (const struct dirent *d; error == 0 && (d = readdir(task));) {
		char status[96];
		if (!isdigit((unsigned char)d->d_name[0]) || strlen(d->d_name) > 10)
			continue;
		snprintf(status, sizeof(status), "/proc/%d/task/%.10s/status", (int)pid, d->d_name);
		uint32_t tid = other_namespace ? inner_pid(status) : (uint32_t)strtoul(d->d_name, NULL, 10);
		error = add_tid(&tids, &count, tid);
	}
	closedir(task);
	if (error < 0) {
		free(tids);
		return error;
	}
	if (count)
		qsort(tids, count, sizeof(*tids), compare_tids);
	*ret_tids = tids;
	*ret_count = count;
	return 0;
}
