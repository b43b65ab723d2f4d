/* SPDX-License-Identifier: MIT */
#include "tests/live_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/e2e.h"

#define LOOKS 1500 /* of 20 ms */

static struct {
	pid_t runner, pid;
	int out; /* the scene's stdout */
	bool terminal;
	char screen[1 << 16];
} rig = {.out = -1};

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* ---- the scene -------------------------------------------------------------------------------------- */

static void read_line(char *line, size_t size)
{
	size_t len = 0;
	ssize_t n = 1;

	while (len + 1 < size && n > 0 && (len == 0 || line[len - 1] != '\n')) {
		n = read(rig.out, line + len, 1);
		len += n > 0;
	}
	line[len] = '\0';
}

pid_t live_start(const char *options, int idlers, int spinners)
{
	char command[512], fifo[512], line[64];

	snprintf(fifo, sizeof(fifo), "%s/fifo", e2e_dir());
	cr_assert(mkfifo(fifo, 0600) == 0 || errno == EEXIST);
	snprintf(command, sizeof(command), "@@ run -q %s -o %%d/t/ -- @live_scene %%d/fifo %d %d", options,
	         idlers, spinners);
	if (rig.out >= 0)
		close(rig.out);
	rig.runner = e2e_start(command, &rig.out);
	read_line(line, sizeof(line));
	if (line[0] == '\0' && live_end() == 77)
		cr_skip_test("fewer than two CPUs");
	cr_assert_eq(sscanf(line, "ready %d", &rig.pid), 1, "not ready: %s", line);
	return rig.pid;
}

void live_tell(const char *word)
{
	char fifo[512], line[64];

	snprintf(fifo, sizeof(fifo), "%s/fifo", e2e_dir());
	FILE *f = fopen(fifo, "w");
	cr_assert_not_null(f);
	fprintf(f, "%s\n", word);
	cr_assert_eq(fclose(f), 0);
	if (strcmp(word, "quit") == 0 || strcmp(word, "crash") == 0)
		return;
	read_line(line, sizeof(line));
	cr_assert(strncmp(line, "done", 4) == 0 || strncmp(line, "ready", 5) == 0, "%s: %s", word, line);
}

int live_end(void)
{
	int status;
	pid_t r;

	do
		r = waitpid(rig.runner, &status, 0);
	while (r < 0 && errno == EINTR);
	cr_assert_eq(r, rig.runner);
	rig.runner = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- the terminal ------------------------------------------------------------------------------------ */

__attribute__((format(printf, 1, 2))) static int tmux(const char *format, ...)
{
	char arguments[2048], command[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(arguments, sizeof(arguments), format, args);
	va_end(args);
	snprintf(command, sizeof(command), "env -u TMUX tmux -S '%s/tmux' -f /dev/null %s", e2e_dir(),
	         arguments);
	return system(command);
}

void live_terminal(int columns, int rows)
{
	e2e_needs(system("tmux -V >/dev/null 2>&1") == 0, "tmux is not installed");
	rig.terminal = true;
	cr_assert_eq(tmux("new-session -d -x %d -y %d env -u NO_COLOR PS1='$ ' sh", columns, rows), 0);
	live_await("$");
}

void live_keys(const char *keys)
{
	cr_assert_eq(tmux("send-keys %s", keys), 0);
}

void live_type(const char *command)
{
	const char *build = getenv("PINW_BUILD");
	char text[1024] = "", word[512];
	size_t len = 0;

	for (const char *at = command; *at && len + 300 < sizeof(text); at++) {
		word[0] = *at;
		word[1] = '\0';
		if (strncmp(at, "@@", 2) == 0)
			snprintf(word, sizeof(word), "%s/pinwarden", build ? build : "build");
		else if (strncmp(at, "%d", 2) == 0)
			snprintf(word, sizeof(word), "%s", e2e_dir());
		else if (strncmp(at, "%p", 2) == 0)
			snprintf(word, sizeof(word), "%d", (int)rig.pid);
		at += (at[0] == '@' && at[1] == '@') || (at[0] == '%' && strchr("dp", at[1]));
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", word);
	}
	cr_assert_eq(tmux("send-keys -l \"%s\"", text), 0);
	live_keys("Enter");
}

void live_resize(int columns, int rows)
{
	cr_assert_eq(tmux("resize-window -x %d -y %d", columns, rows), 0);
}

const char *live_screen(void)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/screen", e2e_dir());
	cr_assert_eq(tmux("capture-pane -p >'%s'", path), 0);
	FILE *f = fopen(path, "r");
	cr_assert_not_null(f);
	size_t n = fread(rig.screen, 1, sizeof(rig.screen) - 1, f);
	fclose(f);
	rig.screen[n] = '\0';
	return rig.screen;
}

static const char *await(const char *text, bool there)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		if ((strstr(live_screen(), text) != NULL) == there)
			return rig.screen;
		pause_ms(20);
	}
	cr_assert_fail("\"%s\" is %s on the screen:\n%s", text, there ? "not" : "still", rig.screen);
	return rig.screen;
}

const char *live_await(const char *text)
{
	return await(text, true);
}

const char *live_await_gone(const char *text)
{
	return await(text, false);
}

const char *live_line(const char *text)
{
	static char line[1024];
	const char *at = strstr(rig.screen, text);

	cr_assert_not_null(at, "\"%s\" is not on the screen:\n%s", text, rig.screen);
	while (at > rig.screen && at[-1] != '\n')
		at--;
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
	return line;
}

void live_done(void)
{
	if (rig.terminal)
		tmux("kill-server 2>/dev/null");
	if (rig.runner > 0) {
		kill(-rig.runner, SIGKILL);
		if (rig.pid > 0)
			kill(rig.pid, SIGKILL);
		waitpid(rig.runner, NULL, 0);
	}
	e2e_done();
}
