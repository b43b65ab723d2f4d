/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reports/jitmap.h"
#include "reports/stacks.h"
#include "reports/sysroot.h"
#include "tests/report_rig.h"

#define STARTED (UINT64_C(1700000000) * SECOND)

static char path[160];

static void make_root(void)
{
	make_folder();
	cr_assert_eq(mkdir(in_folder("tmp"), 0755), 0);
	snprintf(path, sizeof(path), "%s", in_folder("tmp/perf-4711.map"));
	cr_assert_eq(pinw_sysroot_set("test", folder), 0);
}

TestSuite(jitmap, .init = make_root, .fini = remove_folder);

/* A process that ran for 10 seconds. */
static struct pinw_process a_process(void)
{
	return (struct pinw_process){
	    .header = {.self.pid = 4711, .uid = getuid(), .start_real_ns = STARTED},
	    .how = PINW_HOW_EXIT,
	    .duration_ns = 10 * SECOND,
	};
}

/* A map written so many seconds after the process's start. */
static void write_map(const char *text, int after_s)
{
	FILE *f = fopen(path, "w");
	struct timespec times[2] = {{.tv_sec = (time_t)(STARTED / SECOND) + after_s},
	                            {.tv_sec = (time_t)(STARTED / SECOND) + after_s}};

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
	cr_assert_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static struct pinw_jitmap *open_map(const struct pinw_process *p)
{
	struct pinw_jitmap *m;

	cr_assert_eq(pinw_jitmap_open(p, &m), 0);
	return m;
}

static void expect_at(const struct pinw_jitmap *m, uint64_t address, const char *name, uint64_t offset)
{
	uint64_t found = 0;
	const char *function = pinw_jitmap_find(m, address, &found);

	if (!name) {
		cr_expect_null(function, "0x%lx: %s", (unsigned long)address, function);
		return;
	}
	cr_assert_not_null(function, "0x%lx", (unsigned long)address);
	cr_expect_str_eq(function, name);
	cr_expect_eq(found, offset);
}

Test(jitmap, names_what_is_within_a_function)
{
	struct pinw_process p = a_process();

	write_map("2000 100 void Later.on(int, long)\n0x0000000000001000 0x10 first\n", 5);
	struct pinw_jitmap *m = open_map(&p);
	expect_at(m, 0xfff, NULL, 0);
	expect_at(m, 0x1000, "first", 0);
	expect_at(m, 0x100f, "first", 15);
	expect_at(m, 0x1010, NULL, 0);
	expect_at(m, 0x20ff, "void Later.on(int, long)", 0xff);
	expect_at(m, 0x2100, NULL, 0);
	expect_at(m, UINT64_MAX, NULL, 0);
	pinw_jitmap_free(m);
}

Test(jitmap, believes_the_last_of_functions_that_were_at_one_place)
{
	struct pinw_process p = a_process();

	write_map("1000 100 old\n1000 80 new\n1040 10 newest\n", 5);
	struct pinw_jitmap *m = open_map(&p);
	expect_at(m, 0x1000, "new", 0);
	expect_at(m, 0x1045, "newest", 5);
	expect_at(m, 0x1070, "new", 0x70);
	expect_at(m, 0x1090, "old", 0x90);
	pinw_jitmap_free(m);
}

Test(jitmap, steps_over_lines_that_are_none)
{
	struct pinw_process p = a_process();

	write_map("\nnonsense\n1000\n1000 10\n1000 10 \n1000 0 empty\nffffffffffffffff 10 round\n"
	          "3000 10 whole\n4000 10 half writt",
	          5);
	struct pinw_jitmap *m = open_map(&p);
	expect_at(m, 0x1000, NULL, 0);
	expect_at(m, UINT64_MAX, NULL, 0);
	expect_at(m, 0x3000, "whole", 0);
	expect_at(m, 0x4000, NULL, 0);
	pinw_jitmap_free(m);
	write_map("", 5);
	m = open_map(&p);
	expect_at(m, 0x1000, NULL, 0);
	pinw_jitmap_free(m);
}

Test(jitmap, is_not_that_of_another_process)
{
	struct pinw_process p = a_process(), other = a_process();

	cr_expect_null(open_map(&p), "there is none");
	write_map("1000 10 f\n", -1);
	cr_expect_null(open_map(&p), "of a process before");
	write_map("1000 10 f\n", 600);
	cr_expect_null(open_map(&p), "of a process after");
	other.how = PINW_HOW_RUNNING;
	struct pinw_jitmap *m = open_map(&other);
	cr_expect_not_null(m, "it may still run");
	pinw_jitmap_free(m);
	write_map("1000 10 f\n", 5);
	other = a_process();
	other.header.self.pid = 4712;
	cr_expect_null(open_map(&other));
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_expect_null(open_map(&p), "no file, and nobody waits for it");
}

Test(jitmap, is_not_that_of_another_user)
{
	struct pinw_process p = a_process();

	if (getuid() != 0)
		cr_skip_test("needs root");
	write_map("1000 10 f\n", 5);
	p.header.uid = 1000;
	struct pinw_jitmap *m = open_map(&p);
	cr_expect_not_null(m, "root's is believed");
	pinw_jitmap_free(m);
	cr_assert_eq(chown(path, 1001, 1001), 0);
	cr_expect_null(open_map(&p));
}

/* In a stack: rules on functions are not asked, as they were not asked in the process. */
Test(jitmap, names_frames_in_no_module)
{
	struct pinw_builder b;
	struct pinw_stacks *stacks;
	struct pinw_stack s;
	static const uint64_t offsets[] = {0x1005, 0x9000};

	pinw_builder_init(&b, 1);
	b.header.self.pid = 4711;
	b.header.uid = getuid();
	b.header.start_real_ns = STARTED;
	pinw_builder_site(&b, 5, 0, offsets, 2, 0);
	pinw_builder_pin(&b, 10, 1, 1, 5, PINW_EFFECT_OPEN, 1);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	write_map("1000 10 void Worker.run()\n", 1);
	cr_assert_eq(pinw_stacks_open(&stacks), 0);
	pinw_stacks_read(stacks, only(m), pinw_process_site(only(m), 5), &s);
	cr_assert_eq(s.count, 2);
	cr_assert_not_null(s.frames[0].function);
	cr_expect_str_eq(s.frames[0].function, "void Worker.run()");
	cr_expect_eq(s.frames[0].function_offset, 5);
	cr_expect_null(s.frames[0].symbols);
	cr_expect_str_eq(pinw_stacks_reason(&s.frames[0]), "generated code");
	cr_expect_null(s.frames[1].function);
	cr_expect_str_eq(pinw_stacks_reason(&s.frames[1]), "in no module: generated code");
	pinw_stacks_free(stacks);
	pinw_model_free(m);
}
