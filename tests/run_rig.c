/* SPDX-License-Identifier: MIT */
#include "tests/run_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reports/commands.h"
#include "tests/report_rig.h"

void put(const char *name, const void *data, size_t len, mode_t mode)
{
	int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

char said[8192];
static int said_fds[2], said_saved;

void listen_to_stderr(void)
{
	said_saved = dup(STDERR_FILENO);
	cr_assert_eq(pipe(said_fds), 0);
	dup2(said_fds[1], STDERR_FILENO);
	close(said_fds[1]);
}

void heard(void)
{
	dup2(said_saved, STDERR_FILENO);
	close(said_saved);
	size_t len = 0;
	for (ssize_t n; (n = read(said_fds[0], said + len, sizeof(said) - 1 - len)) > 0;)
		len += (size_t)n;
	said[len] = '\0';
	close(said_fds[0]);
}

int refuse(int argc, ...)
{
	char *argv[8] = {"run"};
	va_list args;
	int code;

	va_start(args, argc);
	for (int i = 1; i <= argc; i++)
		argv[i] = va_arg(args, char *);
	va_end(args);
	listen_to_stderr();
	code = pinw_cmd_run(argc + 1, argv);
	heard();
	return code;
}

void expect_said(int code, int expected, const char *words)
{
	cr_expect_eq(code, expected, "%d, not %d: %s", code, expected, said);
	cr_expect_eq(strncmp(said, "pinwarden: ", 11), 0);
	cr_expect_not_null(strstr(said, words), "\"%s\" does not say \"%s\"", said, words);
}
