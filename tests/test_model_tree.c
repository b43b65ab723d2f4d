/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reports/procfs.h"
#include "reports/kept_names.h"
#include "tests/report_rig.h"

TestSuite(model_tree, .init = make_folder, .fini = remove_folder);

static const struct pinw_process *named(const struct pinw_model *m, const char *name)
{
	for (size_t i = 0; i < m->process_count; i++)
		if (strcmp(strrchr(m->processes[i]->path, '/') + 1, name) == 0)
			return m->processes[i];
	cr_assert_fail("no process from %s", name);
	return NULL;
}

/* ---- ends and the census ----------------------------------------------------------------- */

static uint64_t start_ticks_of(pid_t pid)
{
	char path[64], line[1024];
	unsigned long long ticks = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "re");
	cr_assert_not_null(f);
	cr_assert_not_null(fgets(line, sizeof(line), f));
	fclose(f);
	cr_assert_eq(
	    sscanf(strrchr(line, ')') + 1,
	           " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
	           &ticks),
	    1);
	return ticks;
}

static void this_boot(uint8_t *id)
{
	char text[64];
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	cr_assert_not_null(f);
	cr_assert_not_null(fgets(text, sizeof(text), f));
	fclose(f);
	unsigned at = 0;
	for (const char *p = text; at < 16; p += 2) {
		unsigned byte;
		p += *p == '-';
		cr_assert_eq(sscanf(p, "%2x", &byte), 1);
		id[at++] = (uint8_t)byte;
	}
}

/* Makes the story one of a process that can be looked up. */
static void tell_of(struct pinw_builder *b, pid_t pid)
{
	struct stat ns;
	struct timespec now;

	pinw_builder_init(b, 1);
	this_boot(b->header.self.boot_id);
	cr_assert_eq(stat("/proc/self/ns/pid", &ns), 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	b->header.self.pid_ns = ns.st_ino;
	b->header.self.pid = (uint32_t)pid;
	b->header.self.start_ticks = start_ticks_of(pid);
	b->header.start_mono_ns = (uint64_t)now.tv_sec * SECOND;
	pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 0xf)->tid = (uint32_t)pid;
}

Test(model_tree, a_thread_that_may_still_be_joined_is_no_leak)
{
	struct pinw_builder b;

	tell_of(&b, getpid());
	pinw_builder_create(&b, 1, 1, 1, 2, 0);
	pinw_builder_exit(&b, 2, 2, PINW_EXIT_RETURN, 0xf);
	pinw_builder_slot(&b, 2, PINW_SLOT_EXITED, 0xf)->exit_ns = 2;
	struct pinw_model *m = model_of(&b);
	cr_assert_eq(only(m)->how, PINW_HOW_RUNNING);
	cr_expect_eq(only(m)->leaks_of[PINW_LEAK_UNJOINED], 0u);
	cr_expect_eq(pinw_process_unjoined(only(m)), 1u);
	pinw_model_free(m);
}

static void *wait_for_it(void *arg)
{
	pthread_mutex_lock(arg);
	pthread_mutex_unlock(arg);
	return NULL;
}

Test(model_tree, asks_the_kernel_for_the_threads_of_a_running_process)
{
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct pinw_builder b;
	pthread_t unseen;

	pthread_mutex_lock(&gate);
	cr_assert_eq(pthread_create(&unseen, NULL, wait_for_it, &gate), 0);
	tell_of(&b, getpid());
	b.live.census_kernel = 77;
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect_eq(p->how, PINW_HOW_RUNNING);
	cr_expect(p->census);
	uint32_t *tids;
	size_t count;
	cr_assert_eq(pinw_procfs_threads(getpid(), &tids, &count), 0);
	free(tids);
	cr_expect_geq(count, 2);
	cr_expect_eq(p->kernel_threads, count);
	cr_expect_eq(p->seen_threads, 1, "only main has a slot");
	cr_expect_eq(pinw_process_thread(p, 1)->how, PINW_THOW_ALIVE);
	pinw_model_free(m);
	pthread_mutex_unlock(&gate);
	pthread_join(unseen, NULL);
}

Test(model_tree, takes_the_recorded_census_when_the_process_is_gone)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	b.live.census_kernel = 7;
	b.live.census_seen = 5;
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	cr_expect(only(m)->census);
	cr_expect_eq(only(m)->kernel_threads, 7);
	cr_expect_eq(only(m)->seen_threads, 5);
	pinw_model_free(m);
}

Test(model_tree, calls_an_end_violent_when_the_process_is_gone_without_a_word)
{
	struct pinw_builder b;
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	tell_of(&b, child);
	pinw_builder_pin(&b, 12345, 1, 1, 1, PINW_EFFECT_MOVE, 1);
	kill(child, SIGKILL);
	siginfo_t info;
	waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT); /* a zombie from here on */
	write_trace(&b, "one.pwt");
	struct pinw_model *m = read_folder();
	cr_expect_eq(only(m)->how, PINW_HOW_VIOLENT, "a zombie does not run");
	cr_expect_eq(only(m)->duration_ns, 12345, "lived at least as long as its last record says");
	cr_expect_not(only(m)->elsewhere);
	pinw_model_free(m);
	waitpid(child, NULL, 0);
	m = read_folder();
	cr_expect_eq(only(m)->how, PINW_HOW_VIOLENT);
	pinw_model_free(m);
}

Test(model_tree, does_not_take_another_process_with_the_same_pid_for_this_one)
{
	struct pinw_builder b;

	tell_of(&b, getpid());
	b.header.self.start_ticks--;
	struct pinw_model *m = model_of(&b);
	cr_expect_eq(only(m)->how, PINW_HOW_VIOLENT);
	pinw_model_free(m);
}

Test(model_tree, says_when_it_cannot_know_whether_a_process_runs)
{
	struct pinw_builder b;

	tell_of(&b, getpid());
	b.header.self.boot_id[3] ^= 1;
	struct pinw_model *m = model_of(&b);
	cr_expect_eq(only(m)->how, PINW_HOW_VIOLENT);
	cr_expect(only(m)->elsewhere);
	pinw_model_free(m);
}

Test(model_tree, knows_no_end_of_an_unknown_kind)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_end(&b, (enum pinw_end)99, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	cr_expect_eq(only(m)->how, PINW_HOW_VIOLENT);
	pinw_model_free(m);
}

/* ---- the tree ------------------------------------------------------------------------- */

/* One image: `pid`, started at `at` seconds after the others' boot, child of `parent`. */
static void write_image(const char *name, uint32_t pid, uint32_t parent, uint64_t at, enum pinw_end end)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	b.header.self.pid = pid;
	b.header.self.start_ticks = 1000 + pid;
	memset(b.header.self.nonce, (int)at + 1, sizeof(b.header.self.nonce));
	b.header.parent.pid = parent;
	b.header.parent.start_ticks = 1000 + parent;
	b.header.start_mono_ns = at * SECOND;
	b.header.start_real_ns = (1700000000 + at) * SECOND;
	pinw_builder_end(&b, end, 0, end ? SECOND : 0);
	write_trace(&b, name);
}

Test(model_tree, joins_parents_children_and_the_images_of_one_process)
{
	/* 100 forks 200; 200 becomes another program by exec, which forks 300; 100 forks 400. */
	write_image("e.pwt", 100, 1, 1, PINW_END_EXIT);
	write_image("d.pwt", 200, 100, 2, PINW_END_EXEC);
	write_image("c.pwt", 200, 100, 3, PINW_END_EXIT);
	write_image("b.pwt", 300, 200, 4, PINW_END_EXIT);
	write_image("a.pwt", 400, 100, 5, PINW_END_EXIT);
	struct pinw_model *m = read_folder();
	static const char *const order[] = {"e.pwt", "d.pwt", "c.pwt", "b.pwt", "a.pwt"};
	static const uint32_t depth[] = {0, 1, 2, 3, 1};
	for (size_t i = 0; i < 5; i++) {
		cr_expect_str_eq(strrchr(m->processes[i]->path, '/') + 1, order[i]);
		cr_expect_eq(m->processes[i]->tree_depth, depth[i]);
	}
	cr_expect_null(named(m, "e.pwt")->parent);
	cr_expect_eq(named(m, "d.pwt")->parent, named(m, "e.pwt"));
	cr_expect_not(named(m, "d.pwt")->by_exec);
	cr_expect_eq(named(m, "c.pwt")->parent, named(m, "d.pwt"));
	cr_expect(named(m, "c.pwt")->by_exec);
	cr_expect_eq(named(m, "b.pwt")->parent, named(m, "c.pwt"), "the image that was there when it began");
	pinw_model_free(m);
}

Test(model_tree, calls_an_image_replaced_when_a_later_one_of_the_same_process_is_there)
{
	write_image("a.pwt", 100, 1, 1, PINW_END_NONE);
	write_image("b.pwt", 100, 1, 4, PINW_END_EXIT);
	struct pinw_model *m = read_folder();
	cr_expect_eq(named(m, "a.pwt")->how, PINW_HOW_EXEC);
	cr_expect_eq(named(m, "a.pwt")->duration_ns, 3 * SECOND);
	cr_expect_eq(named(m, "b.pwt")->how, PINW_HOW_EXIT);
	pinw_model_free(m);
}

Test(model_tree, finds_the_parent_by_nonce_where_there_is_one)
{
	struct pinw_builder b;

	write_image("a.pwt", 100, 1, 1, PINW_END_EXEC);
	write_image("b.pwt", 100, 1, 2, PINW_END_EXIT);
	pinw_builder_init(&b, 1);
	b.header.self.pid = 200;
	b.header.parent.pid = 100;
	b.header.parent.start_ticks = 1100;
	memset(b.header.parent.nonce, 2, 16); /* the first image, though the second was there by then */
	b.header.start_mono_ns = 9 * SECOND;
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	write_trace(&b, "c.pwt");
	struct pinw_model *m = read_folder();
	cr_expect_eq(named(m, "c.pwt")->parent, named(m, "a.pwt"));
	pinw_model_free(m);
}

Test(model_tree, takes_no_process_for_a_parent_that_only_shares_the_pid)
{
	struct pinw_builder b;

	write_image("a.pwt", 100, 1, 1, PINW_END_EXIT);
	pinw_builder_init(&b, 1);
	b.header.self.pid = 200;
	b.header.parent.pid = 100;
	b.header.parent.start_ticks = 999999;
	b.header.start_mono_ns = 5 * SECOND;
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	write_trace(&b, "b.pwt");
	struct pinw_model *m = read_folder();
	cr_expect_null(named(m, "b.pwt")->parent);
	pinw_model_free(m);
}

Test(model_tree, is_not_led_round_in_circles)
{
	/* Each the parent of the other, at the same moment; and one that is its own parent. */
	write_image("a.pwt", 100, 200, 1, PINW_END_EXIT);
	write_image("b.pwt", 200, 100, 1, PINW_END_EXIT);
	write_image("c.pwt", 300, 300, 1, PINW_END_EXIT);
	struct pinw_model *m = read_folder();
	cr_assert_eq(m->process_count, 3);
	cr_expect_null(named(m, "a.pwt")->parent);
	cr_expect_eq(named(m, "b.pwt")->parent, named(m, "a.pwt"));
	cr_expect_null(named(m, "c.pwt")->parent);
	pinw_model_free(m);
}

Test(model_tree, lends_a_fork_child_the_stacks_of_its_parent)
{
	static const uint64_t offsets[] = {0x1234, 0x5678};
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_module(&b, 3, "/usr/bin/story");
	pinw_builder_site(&b, 5, 3, offsets, 2, PINW_SITE_TRUNCATED);
	pinw_builder_function(&b, (struct pinw_rec_function){.module = 3, .offset = 0x5678}, "main.main", "");
	pinw_builder_pin(&b, 10, 1, 1, 5, PINW_EFFECT_OPEN, 1);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	write_trace(&b, "a.pwt");
	pinw_builder_init(&b, 1);
	b.header.parent = b.header.self;
	b.header.self.pid = 4712;
	b.header.image = PINW_IMAGE_FORK;
	b.header.start_mono_ns += 1;
	pinw_builder_start(&b, 0, 1, PINW_ORIGIN_INHERITED, 5, 0, 1);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	write_trace(&b, "b.pwt");
	struct pinw_model *m = read_folder();
	const struct pinw_process *child = named(m, "b.pwt");
	const struct pinw_site *site = pinw_process_site(child, 5);
	cr_assert_not_null(site);
	cr_expect(site->known);
	cr_assert_eq(site->frame_count, 2);
	cr_expect_eq(child->frames[site->first_frame + 1].offset_low, 0x5678);
	cr_expect_str_eq(pinw_process_module(child, 3)->path, "/usr/bin/story");
	cr_assert_not_null(pinw_kept_names_find(child, 3, 0x5678, 0));
	cr_expect_str_eq(pinw_kept_names_find(child, 3, 0x5678, 0)->function, "main.main");
	cr_expect_null(pinw_kept_names_find(child, 3, 0x1234, 0));
	pinw_model_free(m);
}

/* ---- many traces ---------------------------------------------------------------------- */

Test(model_tree, reads_a_thousand_traces)
{
	char name[32];

	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%04u.pwt", i);
		write_image(name, 100 + i, i % 10 ? 100 : 1, i + 1, PINW_END_EXIT);
	}
	struct pinw_model *m = read_folder();
	cr_assert_eq(m->process_count, 1000);
	cr_expect_not(m->damaged);
	size_t children = 0;
	for (const struct pinw_process *p = named(m, "0000.pwt")->children; p; p = p->sibling)
		children++;
	cr_expect_eq(children, 900);
	pinw_model_free(m);
}

Test(model_tree, counts_a_trace_once_however_often_it_is_named)
{
	char path[128], link_path[128];
	struct pinw_builder b;
	struct pinw_model *m;

	pinw_builder_init(&b, 1);
	write_trace(&b, "one.pwt");
	snprintf(path, sizeof(path), "%s/one.pwt", folder);
	snprintf(link_path, sizeof(link_path), "%s/two.pwt", folder);
	cr_assert_eq(symlink(path, link_path), 0);
	cr_assert_eq(pinw_model_new(&m), 0);
	cr_expect_eq(pinw_model_add(m, path), 0);
	cr_expect_eq(pinw_model_add(m, path), 0);
	cr_expect_eq(pinw_model_add(m, link_path), 0);
	cr_expect_eq(m->process_count, 1);
	cr_expect(pinw_model_holds(m, link_path));
	cr_expect_not(pinw_model_holds(m, folder));
	cr_expect_eq(pinw_model_finish(m), 0);
	pinw_model_free(m);
}

Test(model_tree, keeps_what_cannot_be_read_behind_what_can)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/a.pwt", folder);
	fclose(fopen(path, "we"));
	write_image("b.pwt", 100, 1, 1, PINW_END_EXIT);
	struct pinw_model *m = read_folder();
	cr_assert_eq(m->process_count, 2);
	cr_expect_eq(m->processes[0]->error, 0);
	cr_expect_eq(m->processes[1]->error, PINW_READ_EMPTY);
	cr_expect(m->damaged);
	pinw_model_free(m);
}
