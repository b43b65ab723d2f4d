/* SPDX-License-Identifier: MIT */
#include "reports/sysroot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reports/say.h"

static struct {
	char *dir; /* NULL: the files are this machine's */
	bool servers;
} places;

static int open_below(const char *dir, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	                       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return -errno;
	long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	int error = fd < 0 ? -errno : 0;
	close(root);
	return error < 0 ? error : (int)fd;
}

int pinw_sysroot_open_file(const char *path)
{
	if (places.dir)
		return open_below(places.dir, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int pinw_sysroot_set(const char *command, const char *dir)
{
	char *full = realpath(dir, NULL);
	int fd = full ? open_below(full, "/") : -errno;

	if (fd >= 0)
		close(fd);
	if (full && fd == -ENOENT)
		fd = -ENOTDIR;
	if (fd == -ENOSYS || fd == -EPERM)
		pinw_say("%s: --sysroot needs openat2(), which this kernel or its filter of system calls "
		         "lacks (Linux 5.6)",
		         command);
	else if (fd < 0)
		pinw_say("%s: --sysroot=%s: %s; name a directory that holds the root of the other machine",
		         command, dir, strerror(-fd));
	if (fd < 0) {
		free(full);
		return fd;
	}
	free(places.dir);
	places.dir = full;
	return 0;
}

const char *pinw_sysroot(void)
{
	return places.dir;
}

void pinw_sysroot_allow_servers(bool allowed)
{
	places.servers = allowed;
}

bool pinw_sysroot_servers(void)
{
	return places.servers;
}
