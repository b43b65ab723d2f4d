/* SPDX-License-Identifier: MIT */
#include "reports/find_shim.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/elf_probe.h"

#define SHIM_NAME "libpinwarden.so"
/* ld.so splits LD_PRELOAD at these, and expands what follows a dollar sign. */
#define PRELOAD_BREAKERS " :$"

int pinw_find_own_dir(char **ret_dir)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n < 0)
		return -errno;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return -ENOENT;
	*ret_dir = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	return *ret_dir ? 0 : -ENOMEM;
}

/* Is it a shared library? Returns 0 or -ENOEXEC. */
static int check_library(const char *path)
{
	struct pinw_elf_facts facts = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? -errno : pinw_elf_probe(fd, &facts);

	if (fd >= 0)
		close(fd);
	return r == 0 && facts.type == ET_DYN && facts.has_dynamic ? 0 : -ENOEXEC;
}

/* Returns 0, -ENOENT when there is no such file, or what speaks against it. */
static int try_place(const char *dir, const char *below, char **ret_path, char *why, size_t why_len)
{
	char *name, *path;
	int r = 0;

	if (asprintf(&name, "%s%s/" SHIM_NAME, dir, below) < 0)
		return -ENOMEM;
	path = realpath(name, NULL);
	free(name);
	if (!path)
		return -ENOENT;
	if (strpbrk(path, PRELOAD_BREAKERS)) {
		snprintf(why, why_len,
		         "%s: its path has a space, a colon or a dollar sign in it, and the dynamic linker "
		         "takes no such path in "
		         "LD_PRELOAD; install pinwarden elsewhere",
		         path);
		r = -EINVAL;
	} else if (check_library(path) < 0) {
		snprintf(why, why_len, "%s is not a shared library; install pinwarden again", path);
		r = -ENOEXEC;
	}
	if (r < 0)
		free(path);
	else
		*ret_path = path;
	return r;
}

int pinw_find_shim(const char *program_dir, const char *installed_dir, char **ret_path, char *why,
                   size_t why_len)
{
	int r = try_place(program_dir, "", ret_path, why, why_len);

	if (r == -ENOENT)
		r = try_place(program_dir, "/../lib", ret_path, why, why_len);
	if (r == -ENOENT)
		r = try_place(installed_dir, "", ret_path, why, why_len);
	if (r == -ENOENT)
		snprintf(why, why_len,
		         SHIM_NAME " is neither in %s nor in %s/../lib nor in %s; build it (make) or install "
		                   "pinwarden again",
		         program_dir, program_dir, installed_dir);
	return r;
}

char *pinw_preload_value(const char *shim, const char *existing)
{
	size_t shim_len = strlen(shim);
	char *value = malloc(shim_len + (existing ? strlen(existing) : 0) + 2);
	size_t at = shim_len;

	if (!value)
		return NULL;
	memcpy(value, shim, shim_len + 1);
	for (const char *p = existing ? existing : ""; *p;) {
		size_t n = strcspn(p, " :");

		if (n && (n != shim_len || memcmp(p, shim, n) != 0)) {
			value[at++] = ':';
			memcpy(value + at, p, n);
			at += n;
			value[at] = '\0';
		}
		p += n + (p[n] != '\0');
	}
	return value;
}
