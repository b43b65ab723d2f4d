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

/* ---- what a signal leaves ------------------------------------------------------------------ */

static struct {
	const char *volatile temporary; /* NULL: none is there */
	pid_t owner; /* a child of this process has the handler, too, but no file to remove */
} unfinished;

/* It acts as it would have: the handler is gone by now. */
static void on_end(int number)
{
	const char *temporary = unfinished.temporary;

	if (temporary && getpid() == unfinished.owner)
		unlink(temporary);
	raise(number);
}

/* Commands that have handlers of their own for these signals end in their own way, the file closed. */
static void remove_when_ended(void)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXCPU};
	const struct sigaction action = {.sa_handler = on_end, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
	struct sigaction before;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
			sigaction(signals[i], &action, NULL);
}

int pinw_output_temporary(char *name)
{
	int fd = mkostemp(name, O_CLOEXEC);

	if (fd < 0)
		return -errno;
	unfinished.owner = getpid();
	unfinished.temporary = name;
	remove_when_ended();
	return fd;
}

void pinw_output_forget(void)
{
	unfinished.temporary = NULL;
}

/* ---- a file -------------------------------------------------------------------------------- */

/* A file in the same directory, so that it can take the other's place, with the rights of that: `before`, NULL when it is new. */
static int open_temporary(struct pinw_output *o, const struct stat *before)
{
	if (asprintf(&o->temporary, "%s.XXXXXX", o->path) < 0) {
		o->temporary = NULL;
		return -ENOMEM;
	}
	int fd = pinw_output_temporary(o->temporary);
	int error = fd < 0 ? fd : 0;
	mode_t mask = umask(0);
	umask(mask);
	mode_t mode = before ? before->st_mode & 0777 : 0666 & ~mask;
	/* Root gives a file back to its owner; others may not, and then it is theirs. */
	if (error == 0 && before && fchown(fd, before->st_uid, before->st_gid) < 0 && errno != EPERM)
		error = -errno;
	if (error == 0 && (fchmod(fd, mode) < 0 || !(o->file = fdopen(fd, "w"))))
		error = -errno;
	if (error < 0 && fd >= 0) {
		close(fd);
		unlink(o->temporary);
	}
	if (error < 0) {
		pinw_output_forget();
		free(o->temporary);
		o->temporary = NULL;
	}
	return error;
}

/* Opens what is there as a shell's > would, so that the kernel says who may write it and which links are followed; the file
 * behind a link that leads to none is made. Returns -ENOENT when nothing is there. */
static int open_existing(struct pinw_output *o, const char *path)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT || lstat(path, &st) < 0)
		return fd < 0 ? -errno : fd;
	fd = open(path, O_WRONLY | O_CREAT | O_NOCTTY | O_CLOEXEC, 0666);
	o->made = fd >= 0;
	return fd < 0 ? -errno : fd;
}

/* `fd` is of what is at `path`, and is taken over. */
static int open_over(struct pinw_output *o, const char *path, int fd)
{
	struct stat st, standard;
	int error = fstat(fd, &st) < 0 ? -errno : 0;

	if (error == 0 && !S_ISREG(st.st_mode)) {
		o->file = fdopen(fd, "w");
		return o->file ? 0 : -ENOMEM;
	}
	close(fd);
	if (error < 0)
		return error;
	if (fstat(STDOUT_FILENO, &standard) == 0 && st.st_dev == standard.st_dev &&
	    st.st_ino == standard.st_ino)
		return 0; /* /dev/stdout, which may be appended to */
	o->path = realpath(path, NULL);
	if (!o->path)
		return -errno;
	error = open_temporary(o, &st);
	if (error < 0 && o->made)
		unlink(o->path);
	return error;
}

static int open_new(struct pinw_output *o, const char *path)
{
	o->path = strdup(path);
	return o->path ? open_temporary(o, NULL) : -ENOMEM;
}

int pinw_output_open(struct pinw_output *o, const char *path)
{
	static char buffer[BUFFER_BYTES];
	int error = 0;

	*o = (struct pinw_output){.file = stdout};
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (path) {
		int fd = open_existing(o, path);
		error = fd >= 0 ? open_over(o, path, fd) : fd == -ENOENT ? open_new(o, path) : fd;
	}
	if (error < 0) {
		free(o->path);
		o->path = NULL;
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
	if (o->temporary && error < 0) {
		unlink(o->temporary);
		if (o->made)
			unlink(o->path);
	}
	pinw_output_forget();
	free(o->temporary);
	free(o->path);
	return error;
}

const char *pinw_output_place(const char *path)
{
	return path ? path : "/dev/stdout";
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
