/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policy/policy.h"
#include "reports/breaches.h"
#include "reports/model.h"
#include "reports/procfs.h"
#include "tests/trace_builder.h"

#define SECOND UINT64_C(1000000000)

static char folder[64];

static void make_folder(void)
{
	strcpy(folder, "/tmp/pinw-model-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(model, .init = make_folder, .fini = remove_folder);

/* ---- helpers -------------------------------------------------------------------------- */

static void write_trace(struct pinw_builder *b, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	cr_assert_eq(pinw_builder_write(b, path), 0);
	pinw_builder_done(b);
}

static struct pinw_model *read_folder(void)
{
	struct pinw_model *m;

	cr_assert_eq(pinw_model_new(&m), 0);
	cr_assert_geq(pinw_model_add_directory(m, folder), 0);
	cr_assert_eq(pinw_model_finish(m), 0);
	return m;
}

/* The model of one story. */
static struct pinw_model *model_of(struct pinw_builder *b)
{
	write_trace(b, "one.pwt");
	struct pinw_model *m = read_folder();
	cr_assert_eq(m->process_count, 1);
	return m;
}

static const struct pinw_process *only(const struct pinw_model *m)
{
	cr_assert_eq(m->processes[0]->error, 0);
	return m->processes[0];
}

static const struct pinw_process *named(const struct pinw_model *m, const char *name)
{
	for (size_t i = 0; i < m->process_count; i++)
		if (strcmp(strrchr(m->processes[i]->path, '/') + 1, name) == 0)
			return m->processes[i];
	cr_assert_fail("no process from %s", name);
	return NULL;
}

/* A worker's whole life: created by main at site 1, pinned at site 2 unless `pin_site` is 0. */
static void tell_life(struct pinw_builder *b, uint64_t at, uint32_t thread, uint32_t pin_site, bool releases)
{
	pinw_builder_create(b, at, 1, 1, thread, 0);
	pinw_builder_start(b, at + 10, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
	if (pin_site)
		pinw_builder_pin(b, at + 20, thread, thread, pin_site, PINW_EFFECT_OPEN, 1);
	if (pin_site && releases)
		pinw_builder_pin(b, at + 50, thread, thread, pin_site + 100, PINW_EFFECT_RELEASE, 0xf);
	if (pin_site && !releases)
		pinw_builder_exit_pinned(b, at + 60, thread, PINW_ORIGIN_SELF, pin_site, thread, 40);
	else
		pinw_builder_exit(b, at + 60, thread, PINW_EXIT_RETURN, 0xf);
	pinw_builder_join(b, at + 70, 1, thread);
}

/* ---- leaks ---------------------------------------------------------------------------- */

Test(model, finds_no_leak_where_everything_was_released_and_joined)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 10; i++)
		tell_life(&b, i * 100, i + 2, 2, true);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	cr_expect_eq(pinw_process_leaks(only(m)), 0);
	cr_expect_eq(only(m)->leak_count, 0);
	cr_expect_eq(pinw_process_open_at_end(only(m)), 0);
	cr_expect_eq(pinw_process_unjoined(only(m)), 0);
	cr_expect_not(m->damaged);
	pinw_model_free(m);
}

Test(model, counts_leaks_of_one_stack_once_with_their_hold_times)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 5; i++)
		tell_life(&b, i * 100, i + 2, 2, false);
	tell_life(&b, 600, 7, 3, false);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert_eq(p->leak_count, 2);
	cr_expect_eq(p->leaks_of[PINW_LEAK_EXIT_WHILE_PINNED], 6);
	cr_expect_eq(p->leaks[0].count, 5, "the most frequent one first");
	cr_expect_eq(p->leaks[0].kind, PINW_LEAK_EXIT_WHILE_PINNED);
	cr_expect_eq(p->leaks[0].origin, PINW_ORIGIN_SELF);
	cr_expect_eq(p->leaks[0].pin_site, 2);
	cr_expect_eq(p->leaks[0].creator_count, 1);
	cr_expect_eq(p->leaks[0].creators[0].site, 1);
	cr_expect_eq(p->leaks[0].creators[0].count, 5);
	cr_expect_eq(p->leaks[0].held_min_ns, 40);
	cr_expect_eq(p->leaks[0].held_max_ns, 40);
	cr_expect_eq(p->leaks[0].threads[0], 2);
	cr_expect_eq(p->leaks[0].threads[2], 4);
	cr_expect_eq(p->leaks[1].count, 1);
	pinw_model_free(m);
}

Test(model, lists_the_creators_of_threads_that_leak_at_one_place)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 30; i++) {
		uint32_t thread = i + 2;
		pinw_builder_create(&b, i * 10, 1, i < 10 ? 50 : 51 + i % 15, thread, 0);
		pinw_builder_start(&b, i * 10 + 1, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
		pinw_builder_pin(&b, i * 10 + 2, thread, thread, 2, PINW_EFFECT_OPEN, 1);
		pinw_builder_exit_pinned(&b, i * 10 + 3, thread, PINW_ORIGIN_SELF, 2, thread, 1);
	}
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert_eq(p->leak_count, 1);
	cr_expect_eq(p->leaks[0].count, 30);
	cr_expect_eq(p->leaks[0].creators[0].site, 50);
	cr_expect_eq(p->leaks[0].creators[0].count, 10);
	uint64_t told = p->leaks[0].created_elsewhere;
	for (uint32_t i = 0; i < p->leaks[0].creator_count; i++)
		told += p->leaks[0].creators[i].count;
	cr_expect_eq(told, 30);
	pinw_model_free(m);
}

Test(model, counts_an_inherited_pin_once_and_under_its_own_kind)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	/* Thread 2 ends with it; thread 3 releases it; thread 4 still has it at the end. */
	for (uint32_t thread = 2; thread <= 4; thread++) {
		pinw_builder_create(&b, thread * 100, 1, 1, thread, 0);
		pinw_builder_start(&b, thread * 100 + 10, thread, PINW_ORIGIN_INHERITED, 9, 1, 1);
	}
	pinw_builder_exit_pinned(&b, 900, 2, PINW_ORIGIN_INHERITED, 9, 1, 690);
	pinw_builder_join(&b, 910, 1, 2);
	pinw_builder_pin(&b, 920, 3, 3, 5, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_exit(&b, 930, 3, PINW_EXIT_RETURN, 0xf);
	pinw_builder_join(&b, 940, 1, 3);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf);
	struct pinw_slot *slot = pinw_builder_slot(&b, 4, PINW_SLOT_RUNNING, 1);
	slot->pin_depth = 1;
	slot->pin_origin = PINW_ORIGIN_INHERITED;
	slot->pin_site = 9;
	slot->pin_since_ns = 410;
	slot->pins_opened = 1;
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect_eq(p->leaks_of[PINW_LEAK_INHERITED], 3);
	cr_expect_eq(p->leaks_of[PINW_LEAK_EXIT_WHILE_PINNED], 0);
	cr_expect_eq(p->leaks_of[PINW_LEAK_PINNED_AT_END], 0);
	cr_assert_eq(p->leak_count, 1);
	cr_expect_eq(p->leaks[0].pin_site, 9);
	cr_expect_eq(p->leaks[0].held_min_ns, 690, "the released one has no hold time of a leak");
	cr_expect_eq(p->leaks[0].held_max_ns, SECOND - 410);
	pinw_model_free(m);
}

/* A thread that is still pinned, by itself, when the story breaks off. */
static void tell_open_pin(struct pinw_builder *b)
{
	pinw_builder_init(b, 1);
	pinw_builder_create(b, 100, 1, 1, 2, 0);
	pinw_builder_start(b, 110, 2, PINW_ORIGIN_NONE, 0, 0, 0xf);
	pinw_builder_pin(b, 120, 2, 2, 7, PINW_EFFECT_OPEN, 2);
	pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 0xf);
	struct pinw_slot *slot = pinw_builder_slot(b, 2, PINW_SLOT_RUNNING, 2);
	slot->pin_depth = 1;
	slot->pin_origin = PINW_ORIGIN_SELF;
	slot->pin_site = 7;
	slot->pin_by = 2;
	slot->pin_since_ns = 120;
}

Test(model, counts_an_open_pin_as_leak_when_the_process_ends_but_not_across_exec)
{
	static const struct {
		enum pinw_end end;
		enum pinw_how how;
		uint64_t leaks;
		enum pinw_thread_how thread_how;
	} cases[] = {
	    {PINW_END_EXIT, PINW_HOW_EXIT, 1, PINW_THOW_PROCESS_END},
	    {PINW_END_SIGNAL, PINW_HOW_SIGNAL, 1, PINW_THOW_KILLED},
	    {PINW_END_EXEC, PINW_HOW_EXEC, 0, PINW_THOW_PROCESS_END},
	    {PINW_END_NONE, PINW_HOW_VIOLENT, 1, PINW_THOW_KILLED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pinw_builder b;
		tell_open_pin(&b);
		pinw_builder_end(&b, cases[i].end, 9, cases[i].end ? SECOND : 0);
		struct pinw_model *m = model_of(&b);
		const struct pinw_process *p = only(m);
		cr_expect_eq(p->how, cases[i].how);
		cr_expect_eq(p->leaks_of[PINW_LEAK_PINNED_AT_END], cases[i].leaks, "end %d", cases[i].end);
		cr_expect_eq(pinw_process_open_at_end(p), 1);
		const struct pinw_thread *t = pinw_process_thread(p, 2);
		cr_expect_eq(t->how, cases[i].thread_how);
		cr_expect_eq(t->pin.site, 7);
		cr_expect_eq(t->pin.held_ns, p->duration_ns - 120);
		pinw_model_free(m);
	}
}

Test(model, finds_ended_threads_nobody_joined_or_detached)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t thread = 2; thread <= 5; thread++) {
		pinw_builder_create(&b, thread, 1, 1, thread, 0);
		pinw_builder_exit(&b, thread + 100, thread, PINW_EXIT_PTHREAD_EXIT, 0xf);
		struct pinw_slot *slot = pinw_builder_slot(&b, thread, PINW_SLOT_EXITED, 0xf);
		slot->exit_how = PINW_EXIT_PTHREAD_EXIT;
		slot->exit_ns = thread + 100;
		slot->flags |= thread == 5 ? PINW_THREAD_DETACHED : 0; /* its slot is just being given back */
	}
	pinw_builder_join(&b, 200, 1, 4); /* so is this one's */
	pinw_builder_slot(&b, 1, PINW_SLOT_EXITED, 0xf); /* main left by pthread_exit */
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect_eq(p->leaks_of[PINW_LEAK_UNJOINED], 2);
	cr_assert_eq(p->leak_count, 1);
	cr_expect_eq(p->leaks[0].creators[0].site, 1);
	cr_expect_eq(p->leaks[0].threads[0], 2);
	cr_expect_eq(p->leaks[0].threads[1], 3);
	cr_expect_eq(pinw_process_thread(p, 2)->how, PINW_THOW_PTHREAD_EXIT);
	pinw_model_free(m);
}

Test(model, takes_counts_from_the_live_page_when_events_were_dropped)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	tell_life(&b, 0, 2, 2, false);
	b.live.counters.threads_created = 1000;
	b.live.counters.threads_joined = 990;
	b.live.counters.leaks_exit_while_pinned = 800;
	b.live.counters.events_dropped = 5000;
	/* A thread whose events found no room: only its slot tells of it. */
	struct pinw_slot *slot = pinw_builder_slot(&b, 900, PINW_SLOT_RUNNING, 1);
	slot->creator = 1;
	slot->create_site = 1;
	slot->create_ns = 77;
	slot->start_ns = 88;
	slot->pin_depth = 2;
	slot->pin_origin = PINW_ORIGIN_CROSS;
	slot->pin_site = 4;
	slot->pin_by = 1;
	slot->pin_since_ns = 99;
	memcpy(slot->name, "late", 5);
	b.live.counters.pins_open = 1;
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect_eq(p->leaks_of[PINW_LEAK_EXIT_WHILE_PINNED], 800);
	cr_expect_eq(p->leaks_of[PINW_LEAK_PINNED_AT_END], 1);
	cr_expect_eq(pinw_process_unjoined(p), 10);
	const struct pinw_thread *t = pinw_process_thread(p, 900);
	cr_assert_not_null(t);
	cr_expect_eq(t->created_ns, 77);
	cr_expect_eq(t->started_ns, 88);
	cr_expect_eq(t->pin.depth, 2);
	cr_expect_eq(t->pin.by, 1);
	cr_expect_str_eq(t->name, "late");
	cr_expect_eq(p->sorted_pin_sites[0].open + p->sorted_pin_sites[1].open, 1);
	cr_expect_not(p->growth.judged);
	pinw_model_free(m);
}

/* ---- threads and pins ----------------------------------------------------------------- */

Test(model, books_records_in_whatever_order_they_come)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	/* The child was faster than its creator's record, and its end is there before its start. */
	pinw_builder_exit(&b, 300, 2, PINW_EXIT_CANCEL, 0xf);
	pinw_builder_start(&b, 100, 2, PINW_ORIGIN_NONE, 0, 0, 3);
	pinw_builder_join(&b, 400, 3, 2);
	pinw_builder_create(&b, 50, 1, 8, 2, PINW_THREAD_ATTR_AFFINITY);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_thread *t = pinw_process_thread(only(m), 2);
	cr_assert_not_null(t);
	cr_expect_eq(t->created_ns, 50);
	cr_expect_eq(t->started_ns, 100);
	cr_expect_eq(t->ended_ns, 300);
	cr_expect_eq(t->how, PINW_THOW_CANCEL);
	cr_expect(t->joined);
	cr_expect_eq(t->joined_by, 3);
	cr_expect_eq(t->creator, 1);
	cr_expect_eq(t->create_site, 8);
	cr_expect(t->flags & PINW_THREAD_ATTR_AFFINITY);
	cr_expect_eq(pinw_process_site(only(m), 8)->created, 1);
	pinw_model_free(m);
}

Test(model, gives_threads_the_name_their_creator_had_then)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_create(&b, 10, 1, 1, 2, 0);
	pinw_builder_name(&b, 20, 1, 1, "boss");
	pinw_builder_create(&b, 30, 1, 1, 3, 0);
	pinw_builder_name(&b, 40, 3, 3, "own");
	pinw_builder_create(&b, 50, 3, 1, 4, 0);
	memcpy(pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf)->name, "boss", 5);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	cr_expect_str_eq(pinw_process_thread(only(m), 1)->name, "boss");
	cr_expect_str_eq(pinw_process_thread(only(m), 2)->name, "story", "the program's own");
	cr_expect_str_eq(pinw_process_thread(only(m), 3)->name, "own");
	cr_expect_str_eq(pinw_process_thread(only(m), 4)->name, "own");
	pinw_model_free(m);
}

Test(model, follows_depth_moves_and_hold_times_of_pins)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_pin(&b, 100, 1, 1, 5, PINW_EFFECT_OPEN, 7);
	pinw_builder_pin(&b, 150, 1, 1, 6, PINW_EFFECT_NARROW, 3);
	pinw_builder_pin(&b, 160, 1, 1, 6, PINW_EFFECT_MOVE, 6);
	pinw_builder_pin(&b, 400, 1, 1, 7, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_pin(&b, 500, 1, 1, 5, PINW_EFFECT_OPEN, 1);
	pinw_builder_pin(&b, 600, 1, 1, 7, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_pin_failed(&b, 700, 1, 5, EINVAL);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert_eq(p->pin_sites.count, 1);
	cr_expect_eq(p->sorted_pin_sites[0].site, 5);
	cr_expect_eq(p->sorted_pin_sites[0].opened, 2);
	cr_expect_eq(p->sorted_pin_sites[0].released, 2);
	cr_expect_eq(p->sorted_pin_sites[0].held_max_ns, 300);
	cr_expect_eq(p->sorted_pin_sites[0].held_sum_ns, 400);
	const struct pinw_thread *t = pinw_process_thread(p, 1);
	cr_expect_eq(t->pin.depth, 0);
	cr_expect_eq(t->pins_opened, 2);
	cr_expect_eq(t->affinity_calls, 6, "failed ones are not counted");
	cr_expect_eq(pinw_process_site(p, 5)->pins, 2);
	cr_expect_eq(pinw_process_site(p, 5)->failed, 1);
	cr_expect_eq(pinw_process_site(p, 6)->uses, PINW_USE_AFFINITY);
	pinw_model_free(m);
}

Test(model, keeps_masks_of_any_size_apart)
{
	uint64_t far_cpu[2][PINW_MASK_WORDS_MAX] = {{0}};
	struct pinw_rec_start start = {.e = {10, 2, 0}, .tid = 5002};
	struct pinw_builder b;

	pinw_builder_init(&b, PINW_MASK_WORDS_MAX);
	far_cpu[0][127] = 1ull << 63;
	far_cpu[1][127] = 1ull << 62;
	for (uint32_t i = 0; i < 8; i++) {
		start.e.thread = 2 + i;
		pinw_builder_event(&b, PINW_REC_THREAD_START, &start, sizeof(start), far_cpu[i % 2],
		                   sizeof(far_cpu[0]));
	}
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect_eq(p->masks.count, 2);
	cr_expect_eq(pinw_process_mask(p, pinw_process_thread(p, 2)->mask)[127], 1ull << 63);
	cr_expect_eq(pinw_process_mask(p, pinw_process_thread(p, 3)->mask)[127], 1ull << 62);
	cr_expect_eq(pinw_process_thread(p, 2)->mask, pinw_process_thread(p, 8)->mask);
	cr_expect_null(pinw_process_mask(p, 0));
	cr_expect_null(pinw_process_mask(p, 3));
	pinw_model_free(m);
}

Test(model, stores_by_what_is_there_not_by_the_numbers_it_is_given)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 1000; i++) /* numbers spread over all of 32 bits */
		pinw_builder_create(&b, i, i * 4294967u, i * 4294961u + 1, i * 4294963u + 7, 0);
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	struct pinw_model *m = model_of(&b);
	cr_expect_leq(only(m)->threads.count, 2002);
	cr_expect_not_null(pinw_process_thread(only(m), 999u * 4294963u + 7));
	pinw_model_free(m);
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

static void *wait_for_it(void *arg)
{
	pthread_mutex_lock(arg);
	pthread_mutex_unlock(arg);
	return NULL;
}

Test(model, asks_the_kernel_for_the_threads_of_a_running_process)
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

Test(model, takes_the_recorded_census_when_the_process_is_gone)
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

Test(model, calls_an_end_violent_when_the_process_is_gone_without_a_word)
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

Test(model, does_not_take_another_process_with_the_same_pid_for_this_one)
{
	struct pinw_builder b;

	tell_of(&b, getpid());
	b.header.self.start_ticks--;
	struct pinw_model *m = model_of(&b);
	cr_expect_eq(only(m)->how, PINW_HOW_VIOLENT);
	pinw_model_free(m);
}

Test(model, says_when_it_cannot_know_whether_a_process_runs)
{
	struct pinw_builder b;

	tell_of(&b, getpid());
	b.header.self.boot_id[3] ^= 1;
	struct pinw_model *m = model_of(&b);
	cr_expect_eq(only(m)->how, PINW_HOW_VIOLENT);
	cr_expect(only(m)->elsewhere);
	pinw_model_free(m);
}

Test(model, knows_no_end_of_an_unknown_kind)
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

Test(model, joins_parents_children_and_the_images_of_one_process)
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

Test(model, calls_an_image_replaced_when_a_later_one_of_the_same_process_is_there)
{
	write_image("a.pwt", 100, 1, 1, PINW_END_NONE);
	write_image("b.pwt", 100, 1, 4, PINW_END_EXIT);
	struct pinw_model *m = read_folder();
	cr_expect_eq(named(m, "a.pwt")->how, PINW_HOW_EXEC);
	cr_expect_eq(named(m, "a.pwt")->duration_ns, 3 * SECOND);
	cr_expect_eq(named(m, "b.pwt")->how, PINW_HOW_EXIT);
	pinw_model_free(m);
}

Test(model, finds_the_parent_by_nonce_where_there_is_one)
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

Test(model, takes_no_process_for_a_parent_that_only_shares_the_pid)
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

Test(model, is_not_led_round_in_circles)
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

Test(model, lends_a_fork_child_the_stacks_of_its_parent)
{
	static const uint64_t offsets[] = {0x1234, 0x5678};
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_module(&b, 3, "/usr/bin/story");
	pinw_builder_site(&b, 5, 3, offsets, 2, PINW_SITE_TRUNCATED);
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
	pinw_model_free(m);
}

/* ---- many traces ---------------------------------------------------------------------- */

Test(model, reads_a_thousand_traces)
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

Test(model, counts_a_trace_once_however_often_it_is_named)
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

Test(model, keeps_what_cannot_be_read_behind_what_can)
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

/* ---- growth --------------------------------------------------------------------------- */

/* Threads created at `from`, `from + every`, ... before `until`, each alive for `alive` (0 = to the end). */
static void tell_threads(struct pinw_builder *b, uint32_t first, uint64_t from, uint64_t every,
                         uint64_t until, uint64_t alive)
{
	uint32_t thread = first;

	for (uint64_t at = from; at < until; at += every, thread++) {
		pinw_builder_create(b, at, 1, 3, thread, 0);
		pinw_builder_start(b, at, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
		if (alive) {
			pinw_builder_exit(b, at + alive, thread, PINW_EXIT_RETURN, 0xf);
			pinw_builder_join(b, at + alive, 1, thread);
		} else {
			pinw_builder_slot(b, thread, PINW_SLOT_RUNNING, 0xf)->start_ns = at;
		}
	}
}

static struct pinw_growth growth_of(struct pinw_builder *b, uint64_t end, uint64_t *ret_leaks)
{
	pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 0xf);
	pinw_builder_end(b, PINW_END_EXIT, 0, end);
	struct pinw_model *m = model_of(b);
	struct pinw_growth growth = only(m)->growth;
	*ret_leaks = only(m)->leaks_of[PINW_LEAK_GROWTH];
	cr_expect_eq(growth.found, *ret_leaks > 0);
	pinw_model_free(m);
	return growth;
}

Test(model, sees_live_threads_rise_steadily)
{
	struct pinw_builder b;
	uint64_t leaks;

	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 10, 10 * SECOND, 0); /* ten a second that stay */
	tell_threads(&b, 1000, SECOND / 20, SECOND / 10, 9 * SECOND,
	             SECOND / 100); /* beside ten that do not */
	struct pinw_growth growth = growth_of(&b, 10 * SECOND, &leaks);
	cr_expect(growth.judged);
	cr_expect(growth.found);
	cr_expect_geq(leaks, 65);
	cr_expect_leq(leaks, 75);
}

Test(model, takes_no_burst_at_the_start_for_growth)
{
	struct pinw_builder b;
	uint64_t leaks;

	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 100, SECOND, 0);
	struct pinw_growth growth = growth_of(&b, 10 * SECOND, &leaks);
	cr_expect(growth.judged);
	cr_expect_not(growth.found);
}

Test(model, takes_no_pool_and_no_coming_and_going_for_growth)
{
	struct pinw_builder b;
	uint64_t leaks;

	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 5, 5 * SECOND, 0); /* fills over half of the run, then stays */
	growth_of(&b, 10 * SECOND, &leaks);
	cr_expect_eq(leaks, 0);
	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 50, 9 * SECOND, SECOND / 2);
	growth_of(&b, 10 * SECOND, &leaks);
	cr_expect_eq(leaks, 0);
	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND, 8 * SECOND, 0); /* a handful of threads over the run */
	growth_of(&b, 10 * SECOND, &leaks);
	cr_expect_eq(leaks, 0);
}

Test(model, does_not_judge_growth_where_it_cannot)
{
	struct pinw_builder b;
	uint64_t leaks;

	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 100, SECOND, 0);
	cr_expect_not(growth_of(&b, SECOND, &leaks).judged, "all start-up");
	pinw_builder_init(&b, 1);
	tell_threads(&b, 2, 0, SECOND / 10, 10 * SECOND, 0);
	b.live.counters.events_dropped = 1;
	cr_expect_not(growth_of(&b, 10 * SECOND, &leaks).judged, "events are missing");
}

/* ---- policies ------------------------------------------------------------------------- */

/* A process under a policy of a ban, a cap and a suppression. */
static void tell_policy(struct pinw_builder *b)
{
	pinw_builder_init(b, 1);
	pinw_builder_policy(b, "/etc/staging.ini", PINW_MODE_ENFORCE, 3);
	pinw_builder_rule(b, 4, PINW_SECTION_BAN, PINW_ACTION_DENY, "ban:handlers");
	pinw_builder_rule(b, 9, PINW_SECTION_CAPS, PINW_ACTION_LOG, "caps:max_pinned");
	pinw_builder_rule(b, 12, PINW_SECTION_SUPPRESS, PINW_ACTION_NONE, "suppress:pool");
	pinw_builder_end(b, PINW_END_EXIT, 0, SECOND);
}

static void tell_denial(struct pinw_builder *b, uint64_t at, uint32_t thread, uint32_t site, uint64_t mask)
{
	struct pinw_rec_violation v = {.e = {at, thread, site},
	                               .rule = 1,
	                               .action = PINW_ACTION_DENY,
	                               .done = PINW_DONE_DENIED,
	                               .attempt = PINW_ATTEMPT_PIN,
	                               .target = thread,
	                               .error = EPERM};

	pinw_builder_violation(b, &v, mask);
}

static void tell_excess(struct pinw_builder *b, uint64_t at, uint64_t value)
{
	struct pinw_rec_violation v = {.e = {at, 9, 5},
	                               .rule = 2,
	                               .action = PINW_ACTION_LOG,
	                               .done = PINW_DONE_LOGGED,
	                               .attempt = PINW_ATTEMPT_PIN,
	                               .value = value,
	                               .limit = 4};

	pinw_builder_violation(b, &v, 0);
}

Test(model, has_no_policy_where_none_was)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	b.live.counters.violations = 3; /* nobody can have counted these */
	struct pinw_model *m = model_of(&b);
	cr_expect_not(only(m)->has_policy);
	cr_expect_eq(only(m)->rules.count, 0);
	cr_expect_eq(pinw_process_violations(only(m)), 0);
	pinw_model_free(m);
}

Test(model, tells_the_policy_and_every_rule)
{
	struct pinw_builder b;

	tell_policy(&b);
	b.rules[2].matched = 2;
	b.rules[2].watch_matched = 3;
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert(p->has_policy);
	cr_expect_str_eq(p->policy.path, "/etc/staging.ini");
	cr_expect_eq(p->policy.mode, PINW_MODE_ENFORCE);
	cr_expect_eq(p->policy.hash, 0x1234);
	cr_expect_eq(p->rules.count, 3);
	cr_expect_eq(p->uncounted_rules, 0);
	const struct pinw_rule_row *ban = pinw_process_rule(p, 1);
	cr_assert_not_null(ban);
	cr_expect_str_eq(ban->label, "ban:handlers");
	cr_expect_eq(ban->line, 4);
	cr_expect_eq(ban->section, PINW_SECTION_BAN);
	cr_expect_eq(ban->action, PINW_ACTION_DENY);
	cr_expect_eq(ban->last_ns, PINW_TIME_UNKNOWN);
	cr_expect_eq(pinw_process_rule(p, 3)->matched, 5, "inside the process and by its watcher");
	cr_expect_null(pinw_process_rule(p, 4));
	cr_expect_eq(p->violation_count, 0);
	pinw_model_free(m);
}

Test(model, groups_violations_by_rule_stack_and_what_was_done)
{
	struct pinw_builder b;

	tell_policy(&b);
	tell_excess(&b, 50, 5);
	tell_excess(&b, 60, 7);
	tell_excess(&b, 70, 6);
	for (uint32_t i = 0; i < 5; i++)
		tell_denial(&b, 100 + i, 2 + i, 3, 2);
	tell_denial(&b, 90, 2, 3, 4);
	tell_denial(&b, 200, 2, 4, 2);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert_eq(p->violation_count, 3);
	const struct pinw_violation *v = &p->violations[0];
	cr_expect_eq(v->rule, 1, "the strongest action first");
	cr_expect_eq(v->count, 6);
	cr_expect_eq(v->site, 3);
	cr_expect_eq(v->attempt, PINW_ATTEMPT_PIN);
	cr_expect_eq(v->done, PINW_DONE_DENIED);
	cr_expect_eq(v->error, EPERM);
	cr_expect_eq(v->first_ns, 90);
	cr_expect_eq(v->last_ns, 104);
	cr_expect_eq(v->threads[0], 2);
	cr_expect_eq(v->threads[2], 4);
	cr_expect(v->more_threads);
	cr_expect(v->masks_differ);
	cr_expect_eq(pinw_process_mask(p, v->mask)[0], 2);
	cr_expect_eq(p->violations[1].site, 4);
	cr_expect_not(p->violations[1].more_threads);
	cr_expect_not(p->violations[1].masks_differ);
	v = &p->violations[2];
	cr_expect_eq(v->rule, 2);
	cr_expect_eq(v->count, 3);
	cr_expect_eq(v->value, 7, "the largest");
	cr_expect_eq(v->limit, 4);
	cr_expect_eq(v->mask, 0, "no mask");
	cr_expect_eq(v->threads[0], 9, "who acted, when it was about nobody");
	cr_expect_eq(pinw_process_violations(p), 10);
	cr_expect_null(pinw_process_thread(p, 9), "a thread is not there for having been named");
	pinw_model_free(m);
}

Test(model, believes_the_cells_of_rules_when_events_were_dropped)
{
	struct pinw_builder b;

	tell_policy(&b);
	tell_denial(&b, 100, 2, 3, 2);
	b.rules[0].violations = 1000;
	b.rules[0].done = 999;
	b.rules[0].last_ns = 5555;
	b.rules[0].last_thread = 77;
	b.rules[1].watch_violations = 4;
	b.rules[1].watch_ns = 6666;
	b.rules[1].watch_thread = 78;
	b.live.counters.violations = 1000;
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	const struct pinw_rule_row *ban = pinw_process_rule(p, 1), *cap = pinw_process_rule(p, 2);
	cr_expect(ban->counted);
	cr_expect_eq(ban->violations, 1000);
	cr_expect_eq(ban->done, 999);
	cr_expect_eq(ban->told, 1);
	cr_expect_eq(ban->last_ns, 5555);
	cr_expect_eq(ban->last_thread, 77);
	cr_expect_eq(cap->watched, 4);
	cr_expect_eq(cap->last_ns, 6666);
	cr_expect_eq(cap->last_thread, 78);
	cr_expect_eq(pinw_rule_violations(cap), 4);
	cr_expect_eq(pinw_process_violations(p), 1004);
	pinw_model_free(m);
}

Test(model, falls_back_to_events_where_cells_are_lost)
{
	struct pinw_builder b;

	tell_policy(&b);
	tell_denial(&b, 100, 2, 3, 2);
	tell_denial(&b, 300, 3, 3, 2);
	b.rules[0].id = 9; /* damaged */
	b.live.counters.violations = 7;
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect(m->damaged);
	cr_expect_eq(p->uncounted_rules, 1);
	const struct pinw_rule_row *ban = pinw_process_rule(p, 1);
	cr_expect_not(ban->counted);
	cr_expect_eq(ban->violations, 2);
	cr_expect_eq(ban->done, 2);
	cr_expect_eq(ban->last_ns, 300);
	cr_expect_eq(ban->last_thread, 3);
	cr_expect_eq(pinw_process_violations(p), 7, "the live page counts them, too");
	pinw_model_free(m);
}

Test(model, names_rules_whose_records_are_lost)
{
	struct pinw_builder b;

	tell_policy(&b);
	tell_denial(&b, 100, 2, 3, 2);
	b.meta.count = 0;
	free(b.rules);
	b.rules = NULL;
	b.rule_count = 0;
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert(p->has_policy);
	cr_expect_null(p->policy.path);
	cr_assert_eq(p->rules.count, 1);
	cr_expect_str_eq(pinw_process_rule(p, 1)->label, "rule 1");
	cr_expect_eq(pinw_process_rule(p, 1)->action, PINW_ACTION_DENY, "as the violation says");
	cr_expect_eq(p->violations[0].action, PINW_ACTION_DENY);
	pinw_model_free(m);
}

Test(model, makes_no_rule_up_that_a_policy_does_not_announce)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_policy(&b, "/etc/x.ini", PINW_MODE_AUDIT, 2);
	struct pinw_model *m = model_of(&b);
	cr_expect_eq(only(m)->rules.count, 2);
	cr_expect_eq(only(m)->uncounted_rules, 2);
	cr_expect_eq(pinw_process_violations(only(m)), 0);
	pinw_model_free(m);
}

/* ---- rules over processes --------------------------------------------------------------- */

static const struct pinw_breach *breach_of(const struct pinw_breaches *b, const char *label)
{
	for (size_t i = 0; i < b->table.count; i++)
		if (strcmp(b->sorted[i]->label, label) == 0)
			return b->sorted[i];
	cr_assert_fail("no rule %s", label);
	return NULL;
}

Test(model, adds_rules_up_over_processes)
{
	struct pinw_breaches breaches;
	struct pinw_builder b;

	tell_policy(&b);
	tell_denial(&b, 100, 2, 3, 2);
	b.rules[0].violations = 5;
	b.rules[0].done = 3;
	b.rules[2].matched = 4;
	write_trace(&b, "a.pwt");
	tell_policy(&b);
	memset(b.header.self.nonce, 7, 16);
	b.header.self.pid = 9;
	tell_excess(&b, 50, 5);
	b.rules[1].watch_violations = 2;
	write_trace(&b, "b.pwt");
	pinw_builder_init(&b, 1); /* and one without a policy */
	b.header.self.pid = 10;
	write_trace(&b, "c.pwt");
	struct pinw_model *m = read_folder();
	pinw_breaches_init(&breaches);
	for (size_t i = 0; i < m->process_count; i++)
		cr_assert_eq(pinw_breaches_add(&breaches, m->processes[i]), 0);
	cr_assert_eq(pinw_breaches_sort(&breaches), 0);
	cr_assert_eq(breaches.table.count, 3);
	cr_expect_eq(breaches.count, 8);
	cr_expect_eq(breaches.suppressed, 4);
	cr_expect_eq(breaches.worst, PINW_ACTION_DENY);
	cr_expect_str_eq(breaches.sorted[0]->label, "ban:handlers");
	const struct pinw_breach *ban = breach_of(&breaches, "ban:handlers");
	cr_expect_eq(ban->by_result[PINW_RESULT_DONE], 3);
	cr_expect_eq(ban->by_result[PINW_RESULT_NOT_DONE], 2, "enforced, and yet not done");
	cr_expect_eq(ban->by_result[PINW_RESULT_WOULD], 0);
	const struct pinw_breach *cap = breach_of(&breaches, "caps:max_pinned");
	cr_expect_eq(cap->by_result[PINW_RESULT_LOGGED], 1);
	cr_expect_eq(cap->by_result[PINW_RESULT_WATCHED], 2);
	cr_expect_eq(cap->count, 3);
	pinw_breaches_done(&breaches);
	pinw_model_free(m);
}

Test(model, keeps_policies_of_one_label_apart)
{
	struct pinw_breaches breaches;
	struct pinw_builder b;

	tell_policy(&b);
	write_trace(&b, "a.pwt");
	pinw_builder_init(&b, 1);
	b.header.self.pid = 9;
	pinw_builder_policy(&b, "/etc/staging.ini", PINW_MODE_AUDIT, 1);
	pinw_builder_rule(&b, 5, PINW_SECTION_BAN, PINW_ACTION_CRASH, "ban:handlers");
	struct pinw_rec_violation v = {
	    .rule = 1, .action = PINW_ACTION_CRASH, .done = PINW_DONE_WOULD, .attempt = PINW_ATTEMPT_CREATE};
	pinw_builder_violation(&b, &v, 0);
	write_trace(&b, "b.pwt");
	struct pinw_model *m = read_folder();
	pinw_breaches_init(&breaches);
	for (size_t i = 0; i < m->process_count; i++)
		cr_assert_eq(pinw_breaches_add(&breaches, m->processes[i]), 0);
	cr_assert_eq(pinw_breaches_sort(&breaches), 0);
	cr_expect_eq(breaches.table.count, 4);
	cr_expect_eq(breaches.worst, PINW_ACTION_CRASH);
	cr_expect_eq(breaches.sorted[0]->line, 5);
	cr_expect_eq(breaches.sorted[0]->by_result[PINW_RESULT_WOULD], 1);
	pinw_breaches_done(&breaches);
	pinw_model_free(m);
}
