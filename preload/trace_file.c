/* SPDX-License-Identifier: MIT */
#include "preload/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "preload/arch.h"

/* Never written: reads of untouched .bss all share the kernel's zero page. */
static char zeros[PINW_TRACE_PIECE];

bool pinw_trace_file_is(const struct pinw_trace_file *file, int fd)
{
	struct stat st = {0};

	return pinw_sys2(SYS_fstat, fd, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino &&
	       S_ISREG(st.st_mode);
}

int pinw_trace_file_write_zeros(const struct pinw_trace_file *file, int fd, uint64_t from, uint64_t bytes)
{
	struct rlimit limit = {0, 0};
	uint64_t end = from + bytes;

	/* Passing RLIMIT_FSIZE would raise SIGXFSZ in the host. */
	if (pinw_sys4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &limit) == 0 && limit.rlim_cur < end)
		return -EFBIG;
	while (from < end) {
		/* Aligned pieces come to lie in large folios, which are cheaper to write and to map. */
		uint64_t n = sizeof(zeros) - from % sizeof(zeros);
		if (n > end - from)
			n = end - from;
		if (!pinw_trace_file_is(file, fd))
			return -ESTALE;
		long done = pinw_sys4(SYS_pwrite64, fd, zeros, n, from);
		if (done == -EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? (int)done : -ENOSPC;
		from += (uint64_t)done;
	}
	return 0;
}

int pinw_trace_file_reopen(const struct pinw_trace_file *file)
{
	struct stat st = {0};
	long r = pinw_sys2(SYS_lstat, file->path, &st);

	if (r < 0)
		return (int)r;
	if (st.st_dev != file->dev || st.st_ino != file->ino)
		return -ESTALE;
	long low = pinw_sys3(SYS_open, file->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0);

	if (low < 0)
		return (int)low;
	long fd = pinw_sys3(SYS_fcntl, low, F_DUPFD_CLOEXEC, PINW_TRACE_HIGH_FD);
	if (fd < 0)
		fd = low;
	else if (pinw_trace_file_is(file, (int)low))
		pinw_sys1(SYS_close, low);
	if (!pinw_trace_file_is(file, (int)fd)) {
		if (fd != low)
			pinw_sys1(SYS_close, fd); /* a copy of the program's */
		return -ESTALE;
	}
	return (int)fd;
}
