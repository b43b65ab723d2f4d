/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reports/pattern.h"

static char dir[64];
static char why[4 * PATH_MAX];

static void setup(void)
{
	strcpy(dir, "/tmp/pinwarden-pattern-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(pattern, .init = setup, .fini = teardown);

static const char *below(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", dir, name);
	return path;
}

/* `text`, `file`: below `dir`; file NULL = the pattern names no single file. */
static void expect(const char *given, const char *text, const char *directory, const char *file)
{
	struct pinw_pattern p;

	cr_assert_eq(pinw_pattern_parse(given, dir, &p, why, sizeof(why)), 0, "%s: %s",
	             given ? given : "(null)", why);
	cr_expect_str_eq(p.text, below(text), "%s", given);
	cr_expect_str_eq(p.directory, below(directory), "%s", given);
	cr_expect_eq(p.file == NULL, file == NULL, "%s", given);
	if (file && p.file)
		cr_expect_str_eq(p.file, below(file), "%s", given);
	pinw_pattern_done(&p);
}

static void expect_error(const char *given, int error, const char *words)
{
	struct pinw_pattern p = {.text = dir};
	int r = pinw_pattern_parse(given, dir, &p, why, sizeof(why));

	cr_expect_eq(r, error, "%s: %d, not %d", given, r, error);
	cr_expect_not_null(strstr(why, words), "\"%s\" does not say \"%s\"", why, words);
	cr_expect_eq(p.text, dir, "the result was touched");
}

Test(pattern, defaults_to_a_name_for_each_process)
{
	expect(NULL, "/" PINW_PATTERN_DEFAULT, "", NULL);
	expect("", "/" PINW_PATTERN_DEFAULT, "", NULL);
}

Test(pattern, takes_a_plain_file)
{
	expect("x.pwt", "/x.pwt", "", "/x.pwt");
	expect("100%%", "/100%%", "", "/100%");
	expect(below("/abs"), "/abs", "", "/abs");
}

Test(pattern, takes_conversions_in_the_name)
{
	expect("%e.%p.%h.%t.%n.pwt", "/%e.%p.%h.%t.%n.pwt", "", NULL);
}

Test(pattern, puts_the_default_name_into_a_directory)
{
	cr_assert_eq(mkdir(below("/sub"), 0755), 0);
	expect("sub", "/sub/" PINW_PATTERN_DEFAULT, "/sub", NULL);
	expect("sub/", "/sub/" PINW_PATTERN_DEFAULT, "/sub", NULL);
	expect("sub/x", "/sub/x", "/sub", "/sub/x");
}

Test(pattern, knows_the_root_directory)
{
	struct pinw_pattern p;

	if (access("/", W_OK) < 0)
		cr_skip_test("cannot write to / here");
	cr_assert_eq(pinw_pattern_parse("/x", dir, &p, why, sizeof(why)), 0, "%s", why);
	cr_assert_str_eq(p.directory, "/");
	pinw_pattern_done(&p);
	cr_assert_eq(pinw_pattern_parse("x", "/", &p, why, sizeof(why)), 0, "%s", why);
	cr_assert_str_eq(p.text, "/x");
	pinw_pattern_done(&p);
}

Test(pattern, takes_a_directory_as_it_stands)
{
	cr_assert_eq(mkdir(below("/100%p"), 0755), 0);
	expect("100%p/%p.pwt", "/100%p/%p.pwt", "/100%p", NULL);
	expect("100%p/x%%", "/100%p/x%%", "/100%p", "/100%p/x%");
}

Test(pattern, refuses_conversions_in_the_directory)
{
	expect_error("%p/x", -EINVAL, "file name only");
	expect_error("a%e/", -EINVAL, "file name only");
}

Test(pattern, refuses_unknown_and_cut_conversions)
{
	expect_error("x%q", -EINVAL, "%q");
	expect_error("%p%", -EINVAL, "%%");
	expect_error("%", -EINVAL, "%%");
}

Test(pattern, refuses_directories_it_cannot_use)
{
	int fd = open(below("/file"), O_CREAT | O_WRONLY, 0600);

	cr_assert_geq(fd, 0);
	close(fd);
	expect_error("none/x", -ENOENT, "does not exist");
	expect_error("none/", -ENOENT, "does not exist");
	expect_error("file/x", -ENOTDIR, "not a directory");
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	else
		cr_assert_eq(chmod(dir, 0500), 0);
	expect_error("x", -EACCES, "-o");
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
}

Test(pattern, refuses_names_that_get_too_long)
{
	char name[PATH_MAX];
	struct pinw_pattern p;

	memset(name, 'x', sizeof(name));
	name[NAME_MAX] = '\0';
	cr_assert_eq(pinw_pattern_parse(name, dir, &p, why, sizeof(why)), 0, "%s", why);
	pinw_pattern_done(&p);
	memset(name, 'x', sizeof(name));
	name[NAME_MAX + 1] = '\0';
	expect_error(name, -ENAMETOOLONG, "too long");
}

Test(pattern, reads_sizes)
{
	static const struct {
		const char *text;
		int error;
		uint64_t bytes;
	} cases[] = {
	    {"128K", 0, 128 << 10},
	    {"131072", 0, 128 << 10},
	    {"64M", 0, 64 << 20},
	    {"64m", 0, 64 << 20},
	    {"2G", 0, UINT64_C(2) << 30},
	    {"512G", 0, UINT64_C(512) << 30},
	    {"127K", -ERANGE, 0},
	    {"0", -ERANGE, 0},
	    {"513G", -ERANGE, 0},
	    {"99999999999999999999G", -ERANGE, 0},
	    {"", -EINVAL, 0},
	    {"K", -EINVAL, 0},
	    {"-1", -EINVAL, 0},
	    {"64MB", -EINVAL, 0},
	    {" 64M", -EINVAL, 0},
	    {"64 M", -EINVAL, 0},
	    {"64T", -EINVAL, 0},
	    {"1e9", -EINVAL, 0},
	    {"64 ", -EINVAL, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 42;

		cr_expect_eq(pinw_pattern_parse_size(cases[i].text, &bytes), cases[i].error, "%s",
		             cases[i].text);
		cr_expect_eq(bytes, cases[i].error ? 42 : cases[i].bytes, "%s", cases[i].text);
	}
}
