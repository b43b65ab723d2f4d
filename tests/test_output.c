/* SPDX-License-Identifier: MIT */
#include "reports/output.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/report_rig.h"

TestSuite(output, .init = make_folder, .fini = remove_folder);

static void put(const char *name, const char *text)
{
	FILE *f = fopen(in_folder(name), "we");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

static int write_document(const char *path, const char *text)
{
	struct pinw_output out;
	int error = pinw_output_open(&out, path);

	if (error < 0)
		return error;
	fputs(text, out.file);
	return pinw_output_close(&out, 0);
}

static void expect_content(const char *name, const char *text)
{
	char *there = said_in(name);

	cr_expect_str_eq(there, text, "%s", name);
	free(there);
}

static unsigned files(void)
{
	DIR *dir = opendir(folder);
	unsigned count = 0;

	cr_assert_not_null(dir);
	for (const struct dirent *d; (d = readdir(dir)) != NULL;)
		count += d->d_name[0] != '.';
	closedir(dir);
	return count;
}

static mode_t rights(const char *name)
{
	struct stat st;

	cr_assert_eq(stat(in_folder(name), &st), 0);
	return st.st_mode & 0777;
}

/* ---- links and rights ------------------------------------------------------------------------ */

Test(output, a_link_is_written_through_also_one_that_leads_nowhere_yet)
{
	struct stat st;

	cr_assert_eq(symlink("far", in_folder("near")), 0);
	cr_assert_eq(symlink("near", in_folder("link")), 0);
	cr_expect_eq(write_document(in_folder("link"), "one"), 0);
	cr_assert_eq(lstat(in_folder("link"), &st), 0);
	cr_expect(S_ISLNK(st.st_mode));
	expect_content("far", "one");
	cr_expect_eq(write_document(in_folder("link"), "two"), 0);
	expect_content("far", "two");
	cr_expect_eq(files(), 3u);
}

Test(output, a_link_to_itself_is_refused_and_stays)
{
	cr_assert_eq(symlink("loop", in_folder("loop")), 0);
	cr_expect_eq(write_document(in_folder("loop"), "one"), -ELOOP);
	cr_expect_eq(files(), 1u);
}

Test(output, what_a_link_leads_to_is_not_left_empty_by_an_error)
{
	struct pinw_output out;

	cr_assert_eq(symlink("far", in_folder("link")), 0);
	cr_assert_eq(pinw_output_open(&out, in_folder("link")), 0);
	cr_expect_eq(pinw_output_close(&out, -EIO), -EIO);
	cr_expect_eq(files(), 1u);
}

Test(output, a_file_keeps_its_rights_and_a_new_one_has_those_of_the_umask)
{
	put("private", "old");
	cr_assert_eq(chmod(in_folder("private"), 0600), 0);
	umask(027);
	cr_expect_eq(write_document(in_folder("private"), "new"), 0);
	cr_expect_eq(write_document(in_folder("other"), "new"), 0);
	cr_expect_eq(rights("private"), 0600u);
	cr_expect_eq(rights("other"), 0640u);
	expect_content("private", "new");
}

Test(output, a_file_that_must_not_be_written_is_not_replaced)
{
	put("kept", "old");
	cr_assert_eq(chmod(in_folder("kept"), 0444), 0);
	cr_assert_eq(chmod(folder, 0777), 0);
	if (geteuid() == 0 && seteuid(65534) < 0)
		cr_skip_test("root may write everything, and cannot become nobody here");
	cr_expect_eq(write_document(in_folder("kept"), "new"), -EACCES);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	expect_content("kept", "old");
	cr_expect_eq(files(), 1u);
}

Test(output, standard_output_by_name_is_appended_to_where_it_was)
{
	put("log", "before\n");
	int log = open(in_folder("log"), O_WRONLY | O_APPEND | O_CLOEXEC);
	int standard = dup(STDOUT_FILENO);

	cr_assert_geq(log, 0);
	fflush(stdout);
	dup2(log, STDOUT_FILENO);
	int error = write_document("/dev/stdout", "after\n");
	dup2(standard, STDOUT_FILENO);
	cr_expect_eq(error, 0);
	expect_content("log", "before\nafter\n");
}

/* ---- what interrupts it ---------------------------------------------------------------------- */

static int write_in_child(void (*then)(FILE *out))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		static const struct rlimit no_core = {0, 0};
		struct pinw_output out;
		setrlimit(RLIMIT_CORE, &no_core);
		if (pinw_output_open(&out, in_folder("document")) < 0)
			_exit(99);
		fputs("half", out.file);
		fflush(out.file);
		then(out.file);
		_exit(pinw_output_close(&out, 0) == -EFBIG ? 1 : 0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void interrupt(FILE *out)
{
	(void)out;
	raise(SIGINT);
}

static void terminate(FILE *out)
{
	(void)out;
	raise(SIGTERM);
}

static void end_a_child(FILE *out)
{
	pid_t pid = fork();

	(void)out;
	if (pid == 0) {
		raise(SIGTERM);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void write_much(FILE *out)
{
	static const struct rlimit little = {4096, RLIM_INFINITY};

	setrlimit(RLIMIT_FSIZE, &little);
	for (unsigned i = 0; i < 100000; i++)
		fputs("much", out);
}

Test(output, nothing_is_left_behind_by_a_signal)
{
	put("document", "old");
	int status = write_in_child(interrupt);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
	status = write_in_child(terminate);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	expect_content("document", "old");
	cr_expect_eq(files(), 1u);
}

Test(output, a_signal_to_a_child_leaves_the_document_alone)
{
	cr_expect_eq(write_in_child(end_a_child), 0);
	expect_content("document", "half");
}

Test(output, a_file_that_grows_too_large_is_an_error)
{
	put("document", "old");
	int status = write_in_child(write_much);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%x", status);
	expect_content("document", "old");
	cr_expect_eq(files(), 1u);
}
