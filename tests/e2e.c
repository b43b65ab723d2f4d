/* SPDX-License-Identifier: MIT */
#include "tests/e2e.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX 64
#define COMMAND_BYTES 8192
#define TIME_LIMIT_MS 60000

static char scene[PATH_MAX - 64];
static char traces[PATH_MAX - 32];
static bool report_made;

/* ---- the scene ------------------------------------------------------------------ */

const char *e2e_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	if (scene[0])
		return scene;
	snprintf(scene, sizeof(scene), "%s/pinwarden-e2e.XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(scene), "no directory %s", scene);
	cr_assert_eq(chmod(scene, 0755), 0);
	snprintf(traces, sizeof(traces), "%s/t", scene);
	cr_assert_eq(mkdir(traces, 0777), 0);
	return scene;
}

const char *e2e_traces(void)
{
	e2e_dir();
	return traces;
}

void e2e_done(void)
{
	char command[sizeof(scene) + 16];

	if (!scene[0])
		return;
	snprintf(command, sizeof(command), "rm -rf '%s'", scene);
	if (system(command) != 0)
		fprintf(stderr, "could not remove %s\n", scene);
	scene[0] = '\0';
}

void e2e_needs(int condition, const char *reason)
{
	if (!condition)
		cr_skip_test("%s", reason);
}

/* ---- commands -------------------------------------------------------------------- */

static const char *build_dir(void)
{
	const char *build = getenv("PINW_BUILD");
	static char path[PATH_MAX];

	if (!path[0])
		cr_assert_not_null(realpath(build ? build : "build", path), "no build folder");
	return path;
}

/* Appends `word` to `text` (`size` bytes in all) with "@name" and "%d" replaced. */
static void expand(char *text, size_t size, const char *word)
{
	size_t len = strlen(text);
	const char *mark = strstr(word, "%d");

	if (strcmp(word, E2E_PINWARDEN) == 0)
		snprintf(text + len, size - len, "%s/pinwarden", build_dir());
	else if (word[0] == '@')
		snprintf(text + len, size - len, "%s/targets/%s", build_dir(), word + 1);
	else if (mark)
		snprintf(text + len, size - len, "%.*s%s%s", (int)(mark - word), word, e2e_dir(), mark + 2);
	else
		snprintf(text + len, size - len, "%s", word);
}

/* The command's words in `text`, NULL after the last in `argv`. */
static void split(const char *command, char *text, char **argv)
{
	char copy[COMMAND_BYTES], *rest = copy, *word;
	size_t used = 0;
	int n = 0;

	snprintf(copy, sizeof(copy), "%s", command);
	while ((word = strsep(&rest, " ")) != NULL) {
		if (!*word)
			continue;
		cr_assert_lt(n, WORDS_MAX - 1, "too many words: %s", command);
		argv[n++] = text + used;
		text[used] = '\0';
		expand(text + used, COMMAND_BYTES - used, word);
		used += strlen(text + used) + 1;
		cr_assert_lt(used, COMMAND_BYTES, "too long: %s", command);
	}
	cr_assert_gt(n, 0, "an empty command");
	argv[n] = NULL;
}

/* Forks and executes, stdin empty, in a process group of its own; `err` may be -1 for the test's own stderr. */
static pid_t launch(const char *command, int out, int err)
{
	char text[COMMAND_BYTES], *argv[WORDS_MAX];
	pid_t pid;

	split(command, text, argv);
	e2e_dir();
	pid = fork();
	cr_assert_geq(pid, 0, "fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	setpgid(0, 0);
	if (dup2(open("/dev/null", O_RDONLY), 0) < 0 || dup2(out, 1) < 0 || (err >= 0 && dup2(err, 2) < 0))
		_exit(126);
	closefrom(3);
	if (chdir(scene) == 0)
		execvp(argv[0], argv);
	dprintf(2, "cannot execute %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Takes what can be read now; keeps what fits, drops the rest. Returns false at the end of the stream. */
static bool take(int fd, char *text, size_t *len)
{
	char dropped[4096];
	size_t room = E2E_TEXT_BYTES - 1 - *len;
	ssize_t n = room ? read(fd, text + *len, room) : read(fd, dropped, sizeof(dropped));

	if (n > 0 && room)
		*len += (size_t)n;
	return n > 0 || (n < 0 && errno == EINTR);
}

/* Reads both streams until they end. Returns false when time is over before. */
static bool drain(struct e2e_result *r, int out, int err, long until)
{
	struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
	char *text[2] = {r->out, r->err};
	size_t len[2] = {0, 0};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		long left = until - now_ms();

		if (left <= 0)
			return false;
		if (poll(fds, 2, (int)left) < 0 && errno != EINTR)
			return false;
		for (int i = 0; i < 2; i++)
			if (fds[i].fd >= 0 && fds[i].revents && !take(fds[i].fd, text[i], &len[i]))
				fds[i].fd = -1;
	}
	r->out[len[0]] = r->err[len[1]] = '\0';
	return true;
}

void e2e_run(struct e2e_result *ret, const char *command)
{
	long until = now_ms() + TIME_LIMIT_MS;
	int out[2], err[2], status = 0;
	bool drained;
	pid_t pid;

	cr_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
	pid = launch(command, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	drained = drain(ret, out[0], err[0], until);
	close(out[0]);
	close(err[0]);
	if (!drained)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	cr_assert(drained, "still running after %d s: %s", TIME_LIMIT_MS / 1000, command);
	ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

const struct e2e_result *e2e_status(int status, const char *command)
{
	static struct e2e_result r;

	e2e_run(&r, command);
	cr_assert_eq(r.status, status, "%s: status %d, not %d\n%s%s", command, r.status, status, r.out,
	             r.err);
	return &r;
}

pid_t e2e_start(const char *command, int *ret_out)
{
	int out[2];
	pid_t pid;

	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	pid = launch(command, out[1], -1);
	close(out[1]);
	*ret_out = out[0];
	return pid;
}

/* ---- bare against audited ---------------------------------------------------------- */

static const struct e2e_result *compare(const char *command, bool with_stderr)
{
	static struct e2e_result bare, audited;
	char wrapped[COMMAND_BYTES];

	e2e_run(&bare, command);
	if (bare.status == 77)
		cr_skip_test("%s", bare.err);
	snprintf(wrapped, sizeof(wrapped), E2E_PINWARDEN " run -q -o %%d/t/ -- %s", command);
	e2e_run(&audited, wrapped);
	cr_assert_eq(audited.status, bare.status, "%s: status %d, bare %d\n%s", command, audited.status,
	             bare.status, audited.err);
	cr_assert_str_eq(audited.out, bare.out, "%s: another output", command);
	if (with_stderr)
		cr_assert_str_eq(audited.err, bare.err, "%s: another stderr", command);
	report_made = false;
	return &bare;
}

const struct e2e_result *e2e_same(const char *command)
{
	return compare(command, true);
}

const struct e2e_result *e2e_same_output(const char *command)
{
	return compare(command, false);
}

/* ---- the report -------------------------------------------------------------------- */

void e2e_reread(void)
{
	report_made = false;
}

static void make_report(void)
{
	static struct e2e_result r;

	e2e_run(&r, E2E_PINWARDEN " report -f json -o %d/report.json %d/t");
	cr_assert_eq(r.status, 0, "report ended with %d: %s", r.status, r.err);
	report_made = true;
}

void e2e_true(const char *expression)
{
	char path[sizeof(scene) + 32], *argv[] = {"jq", "-e", (char *)expression, path, NULL};
	static struct e2e_result why;
	int status;
	pid_t pid;

	if (!report_made)
		make_report();
	snprintf(path, sizeof(path), "%s/report.json", scene);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	e2e_run(&why, "jq -c .totals,(.processes[]|del(.thread_list,.sites)) %d/report.json");
	cr_assert_fail("not so: %s\n%s%s", expression, why.out, why.err);
}

static bool is_trace(const char *name, const char *part)
{
	size_t len = strlen(name);

	return len > 4 && strcmp(name + len - 4, ".pwt") == 0 && (!part || strstr(name, part));
}

/* Counts the traces whose names contain `part`; the last one's path into `ret_path` when it is not NULL. */
static int find_traces(const char *part, char *ret_path, size_t size)
{
	DIR *dir = opendir(e2e_traces());
	struct dirent *entry;
	int n = 0;

	cr_assert_not_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (!is_trace(entry->d_name, part))
			continue;
		n++;
		if (ret_path)
			snprintf(ret_path, size, "%s/%s", traces, entry->d_name);
	}
	closedir(dir);
	return n;
}

const char *e2e_trace(const char *part)
{
	static char path[PATH_MAX + 256];

	cr_assert_gt(find_traces(part, path, sizeof(path)), 0, "no trace of %s", part ? part : "anything");
	return path;
}

int e2e_trace_count(void)
{
	return find_traces(NULL, NULL, 0);
}

void e2e_write(const char *path, const char *text)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s%s", path[0] == '/' ? "" : e2e_dir(), path[0] == '/' ? "" : "/",
	         path);
	FILE *f = fopen(full, "w");
	cr_assert_not_null(f, "%s", full);
	fputs(text, f);
	cr_assert_eq(fclose(f), 0);
}

void e2e_has(const char *text, const char *part)
{
	cr_assert(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

void e2e_refuses(int status, const char *command, const char *why)
{
	e2e_has(e2e_status(status, command)->err, why);
}
