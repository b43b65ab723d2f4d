/* SPDX-License-Identifier: MIT */
#include "reports/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (256u * 1024)

/* A file in the same directory, so that it can take the other's place, with the rights a new file has. */
static int open_temporary(struct pinw_output *o)
{
	if (asprintf(&o->temporary, "%s.XXXXXX", o->path) < 0) {
		o->temporary = NULL;
		return -ENOMEM;
	}
	int fd = mkostemp(o->temporary, O_CLOEXEC);
	int error = fd < 0 ? -errno : 0;
	mode_t mask = umask(0);
	umask(mask);
	if (error == 0 && (fchmod(fd, 0666 & ~mask) < 0 || !(o->file = fdopen(fd, "w")))) {
		error = -errno;
		close(fd);
		unlink(o->temporary);
	}
	if (error < 0) {
		free(o->temporary);
		o->temporary = NULL;
	}
	return error;
}

/* Behind a symbolic link the file it names is the one to be replaced. */
static char *file_behind(const char *path)
{
	char *target = realpath(path, NULL);

	return target || errno == ENOMEM ? target : strdup(path);
}

int pinw_output_open(struct pinw_output *o, const char *path)
{
	static char buffer[BUFFER_BYTES];
	struct stat st;
	int error = 0;

	*o = (struct pinw_output){.file = stdout};
	signal(SIGPIPE, SIG_IGN);
	if (path && stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		o->file = fopen(path, "we");
		error = o->file ? 0 : -errno;
	} else if (path) {
		o->path = file_behind(path);
		error = o->path ? open_temporary(o) : -ENOMEM;
	}
	if (error < 0) {
		free(o->path);
		return error;
	}
	setvbuf(o->file, buffer, _IOFBF, sizeof(buffer));
	return 0;
}

int pinw_output_close(struct pinw_output *o, int error)
{
	errno = 0;
	if ((fflush(o->file) != 0 || ferror(o->file)) && error == 0)
		error = errno ? -errno : -EIO;
	if (o->file != stdout && fclose(o->file) != 0 && error == 0)
		error = -errno;
	if (o->temporary && error == 0 && rename(o->temporary, o->path) < 0)
		error = -errno;
	if (o->temporary && error < 0)
		unlink(o->temporary);
	free(o->temporary);
	free(o->path);
	return error;
}

bool pinw_output_replaces(const char *path, const char *file)
{
	struct stat to, from;

	return path && stat(path, &to) == 0 && S_ISREG(to.st_mode) && stat(file, &from) == 0 &&
	       from.st_dev == to.st_dev && from.st_ino == to.st_ino;
}

bool pinw_color_wanted(enum pinw_color color, const char *path)
{
	const char *no_color = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	if (color != PINW_COLOR_AUTO)
		return color == PINW_COLOR_ALWAYS;
	return !path && isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
	       !(terminal && strcmp(terminal, "dumb") == 0);
}
