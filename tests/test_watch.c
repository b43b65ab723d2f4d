/* SPDX-License-Identifier: MIT
 *
 * The watch: what it remembers between two looks, and what it makes of the trace of a living process. That process
 * is the test itself, with slots as the test tells them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "reports/growth.h"
#include "reports/reader.h"
#include "reports/watch.h"
#include "reports/watch_proc.h"
#include "reports/watch_state.h"
#include "tests/trace_builder.h"

TestSuite(watch, .timeout = 120);

#define S UINT64_C(1000000000)

/* ---- idleness ------------------------------------------------------------------------------------ */

Test(watch, idle_counts_from_the_last_time_it_was_seen_running)
{
	struct pinw_idle_state s = {0};

	cr_assert_not(pinw_idle_look(&s, 1, 100, 0, 10 * S));
	cr_assert_not(pinw_idle_look(&s, 1, 101, 9 * S, 10 * S), "it ran");
	cr_assert_not(pinw_idle_look(&s, 1, 101, 18 * S, 10 * S), "9 s since");
	cr_assert(pinw_idle_look(&s, 1, 101, 19 * S, 10 * S));
}

Test(watch, idle_is_told_once_until_it_runs_again)
{
	struct pinw_idle_state s = {0};

	pinw_idle_look(&s, 1, 100, 0, S);
	cr_assert(pinw_idle_look(&s, 1, 100, 2 * S, S));
	cr_assert_not(pinw_idle_look(&s, 1, 100, 4 * S, S));
	cr_assert_not(pinw_idle_look(&s, 1, 100 + 2 * PINW_STIR_NS, 5 * S, S));
	cr_assert(pinw_idle_look(&s, 1, 100 + 2 * PINW_STIR_NS, 6 * S, S));
}

/* What its stack cost, or a timer that wakes it in vain, is no work; however often. */
Test(watch, idle_is_not_told_again_when_the_thread_only_stirred)
{
	struct pinw_idle_state s = {0};
	uint64_t cpu = 100, now = 2 * S;

	pinw_idle_look(&s, 1, cpu, 0, S);
	cr_assert(pinw_idle_look(&s, 1, cpu, now, S));
	for (unsigned i = 0; i < 1000; i++) {
		cpu += PINW_STIR_NS / 4 - 1;
		now += S / 4;
		cr_assert_not(pinw_idle_look(&s, 1, cpu, now, S), "after %u s", i / 4);
	}
	cpu += PINW_STIR_NS + 1;
	cr_assert_not(pinw_idle_look(&s, 1, cpu, now += S / 4, S), "now it worked");
	cr_assert_not(pinw_idle_look(&s, 1, cpu, now += S / 2, S));
	cr_assert(pinw_idle_look(&s, 1, cpu, now += S / 2, S));
}

/* Nobody is called idle who ran, however little. */
Test(watch, idle_is_not_told_of_a_thread_that_runs_a_little)
{
	struct pinw_idle_state s = {0};

	for (uint64_t i = 0; i < 1000; i++)
		cr_assert_not(pinw_idle_look(&s, 1, i, i * S / 2, S));
}

Test(watch, idle_starts_anew_with_another_pin)
{
	struct pinw_idle_state s = {0};

	pinw_idle_look(&s, 1, 100, 0, S);
	cr_assert(pinw_idle_look(&s, 1, 100, 2 * S, S));
	cr_assert(pinw_idle_is_due(&s, 2, 2 * S));
	cr_assert_not(pinw_idle_look(&s, 2, 100, 2 * S, S));
	cr_assert(pinw_idle_look(&s, 2, 100, 3 * S, S));
}

Test(watch, idle_is_not_asked_more_often_than_it_needs)
{
	struct pinw_idle_state s = {0};

	cr_assert(pinw_idle_is_due(&s, 1, 0));
	pinw_idle_look(&s, 1, 100, 0, 8 * S);
	cr_assert_not(pinw_idle_is_due(&s, 1, S / 2));
	cr_assert(pinw_idle_is_due(&s, 1, S));
}

/* ---- growth ----------------------------------------------------------------------------------------- */

/* Looks four times a second for `seconds`; alive(t) threads. Returns how often growth was told, the first time in *ret_at. */
static unsigned rises(uint64_t (*alive)(uint64_t ms), unsigned seconds, uint64_t *ret_at)
{
	struct pinw_rise_state s = {0};
	uint64_t first, last;
	unsigned told = 0;

	for (uint64_t ms = 0; ms <= seconds * 1000u; ms += 250)
		if (pinw_rise_look(&s, 7 * S + ms * 1000000u, alive(ms), &first, &last)) {
			*ret_at = told ? *ret_at : ms;
			cr_assert_geq(last, first + PINW_GROWTH_LEAST);
			told++;
		}
	return told;
}

static uint64_t steady_rise(uint64_t ms)
{
	return 2 + ms / 500;
}

static uint64_t pool(uint64_t ms)
{
	return ms < 3000 ? 2 + ms / 100 : 32;
}

static uint64_t waves(uint64_t ms)
{
	return 10 + (ms / 5000 % 2 ? 40 : 0) + ms % 1000 / 250;
}

static uint64_t late_rise(uint64_t ms)
{
	return ms < 60000 ? 4 : 4 + (ms - 60000) / 100;
}

static uint64_t slow_rise(uint64_t ms)
{
	return 2 + ms / 20000;
}

Test(watch, growth_is_told_once_while_threads_rise)
{
	uint64_t at = 0;

	cr_assert_eq(rises(steady_rise, 600, &at), 1);
	cr_assert_geq(at, PINW_RISE_RUN_NS / 1000000);
}

Test(watch, growth_is_not_a_pool_that_fills_nor_a_load_that_comes_and_goes)
{
	uint64_t at;

	cr_assert_eq(rises(pool, 600, &at), 0);
	cr_assert_eq(rises(waves, 600, &at), 0);
	cr_assert_eq(rises(late_rise, 90, &at), 0, "two windows of the run are the same");
}

/* Stretches become one another, and yet the whole run is looked at. */
Test(watch, growth_is_seen_however_slow)
{
	uint64_t at = 0;

	cr_assert_eq(rises(slow_rise, 1200, &at), 1);
	cr_assert_gt(at, 100000);
}

Test(watch, growth_survives_a_long_gap)
{
	struct pinw_rise_state s = {0};
	uint64_t first, last;

	cr_assert_not(pinw_rise_look(&s, S, 5, &first, &last));
	cr_assert_not(pinw_rise_look(&s, 1000000 * S, 500, &first, &last), "nobody looked in between");
	cr_assert_leq(s.count, PINW_RISE_BUCKETS);
}

Test(watch, shows_the_first_three_and_then_each_doubling)
{
	unsigned shown = 0;

	for (uint64_t i = 1; i <= 1000; i++) {
		shown += pinw_watch_is_shown(i);
		cr_assert_eq(pinw_watch_hidden(i), i - shown);
	}
	cr_assert_eq(shown, 3 + 8, "4, 8, ... 512");
}

/* ---- /proc ---------------------------------------------------------------------------------------------- */

Test(watch, cpu_time_changes_when_a_thread_runs)
{
	int task = pinw_task_open(getpid());
	uint64_t before, after;
	volatile unsigned work = 0;

	cr_assert_geq(task, 0);
	cr_assert_eq(pinw_task_cpu(task, (uint32_t)getpid(), &before), 0);
	for (unsigned i = 0; i < 20000000; i++)
		work += i;
	cr_assert_eq(pinw_task_cpu(task, (uint32_t)getpid(), &after), 0);
	cr_assert_neq(before, after);
	cr_assert_eq(pinw_task_cpu(task, 0x7fffffff, &after), -ENOENT);
	close(task);
}

/* ---- a trace of this very process ------------------------------------------------------------------------ */

static struct scene {
	char dir[64], trace[96], log[96];
	struct pinw_session session;
	struct pinw_builder b;
	const struct pinw_policy *policy;
	struct pinw_policy_memory memory;
	struct pinw_watch *watch;
} scene;

static uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * S + (uint64_t)ts.tv_nsec;
}

static void read_identity(struct pinw_identity *id)
{
	char text[4096], digits[33] = "";
	struct stat st;
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	cr_assert_gt(n, 0);
	fclose(f);
	text[n] = '\0';
	const char *p = strrchr(text, ')');
	for (int field = 2; field < 22; field++)
		p = strchr(p, ' ') + 1;
	id->start_ticks = strtoull(p, NULL, 10);
	id->pid = (uint32_t)getpid();
	id->pid_ns = stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
	f = fopen("/proc/sys/kernel/random/boot_id", "re");
	memset(id->boot_id, 0, sizeof(id->boot_id));
	for (int c, i = 0; f && (c = fgetc(f)) != EOF && i < 32;)
		if (c != '-' && c != '\n')
			digits[i++] = (char)c;
	if (f)
		fclose(f);
	for (int i = 0; i < 16; i++) {
		unsigned byte = 0;
		sscanf(digits + 2 * i, "%2x", &byte);
		id->boot_id[i] = (uint8_t)byte;
	}
}

/* A process of four CPUs that began 1000 s ago under this policy. */
static void open_scene(const char *text)
{
	static const uint64_t baseline[1] = {0xf};
	struct pinw_policy_host host = {.baseline = baseline, .mask_words = 1};
	struct pinw_policy_error error;

	strcpy(scene.dir, "/tmp/pinwarden-watch-XXXXXX");
	cr_assert_not_null(mkdtemp(scene.dir));
	snprintf(scene.trace, sizeof(scene.trace), "%s/a.pwt", scene.dir);
	snprintf(scene.log, sizeof(scene.log), "%s/log", scene.dir);
	cr_assert_eq(pinw_session_new(&scene.session), 0);
	scene.memory.size = pinw_policy_memory_needed(strlen(text), 1);
	scene.memory.bytes = calloc(1, scene.memory.size);
	int r =
	    pinw_policy_parse(text, strlen(text), "test.ini", &host, &scene.memory, &scene.policy, &error);
	cr_assert_eq(r, 0, "line %u: %s: %s", error.line, error.key, error.text);
	cr_assert(scene.policy->needs_watch);
	pinw_builder_init(&scene.b, 1);
	read_identity(&scene.b.header.self);
	memcpy(scene.b.header.session, scene.session.id, sizeof(scene.session.id));
	scene.b.header.start_mono_ns = mono_ns() - 1000 * S;
	pinw_builder_policy(&scene.b, "test.ini", PINW_MODE_AUDIT, scene.policy->rule_count);
	for (uint32_t i = 0; i < scene.policy->rule_count; i++) {
		const struct pinw_rule *rule = &scene.policy->rules[i];
		pinw_builder_rule(&scene.b, rule->line, rule->section, rule->action, rule->label);
	}
}

static void write_scene(void)
{
	struct pinw_watch_options options = {
	    .policy = scene.policy, .session = &scene.session, .directory = scene.dir, .log = scene.log};

	cr_assert_eq(pinw_builder_write(&scene.b, scene.trace), 0);
	cr_assert_eq(pinw_watch_new(&options, &scene.watch), 0);
}

static void close_scene(void)
{
	pinw_watch_free(scene.watch);
	pinw_builder_done(&scene.b);
	free(scene.memory.bytes);
	unlink(scene.trace);
	unlink(scene.log);
	rmdir(scene.dir);
}

static void take_cell(void *arg, const struct pinw_rule_cell *cell)
{
	struct pinw_rule_cell *cells = arg;

	if (cell->id < 16)
		cells[cell->id] = *cell;
}

/* The cell of a rule as it is in the file now. */
static struct pinw_rule_cell cell_of(uint32_t id)
{
	struct pinw_rule_cell cells[16] = {0};
	struct pinw_reader *reader;

	cr_assert_eq(pinw_reader_open(scene.trace, &reader), 0);
	cr_assert_eq(pinw_reader_rules(reader, take_cell, cells), 0);
	pinw_reader_free(reader);
	return cells[id];
}

static const char *log_text(void)
{
	static char text[65536];
	FILE *f = fopen(scene.log, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = '\0';
	return text;
}

static void ticks(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		pinw_watch_tick(scene.watch);
}

Test(watch, an_ended_thread_nobody_joins_is_told_once)
{
	open_scene("[policy]\nversion = 1\n[leak]\nunjoined = log\ngrace = 5s\n");
	struct pinw_slot *slot = pinw_builder_slot(&scene.b, 2, PINW_SLOT_EXITED, 0xf);
	strcpy(slot->name, "lost");
	slot->exit_ns = 900 * S;
	slot = pinw_builder_slot(&scene.b, 3, PINW_SLOT_EXITED, 0xf);
	slot->exit_ns = 900 * S;
	slot->flags = PINW_THREAD_DETACHED;
	slot = pinw_builder_slot(&scene.b, 4, PINW_SLOT_EXITED, 0xf);
	slot->exit_ns = 2000 * S; /* still young */
	write_scene();
	ticks(5);
	struct pinw_rule_cell cell = cell_of(1);
	cr_expect_eq(cell.watch_violations, 1);
	cr_expect_eq(cell.watch_thread, 2);
	cr_expect_geq(cell.watch_ns, 1000 * S);
	cr_expect_eq(cell.violations, 0, "the shim's own count is the shim's");
	cr_expect_not_null(strstr(log_text(), "leak:unjoined (test.ini:4): logged"), "%s", log_text());
	cr_expect_not_null(strstr(log_text(), "thread \"lost\" (#2"));
	close_scene();
}

Test(watch, a_suppressed_leak_is_counted_and_not_told)
{
	open_scene("[policy]\nversion = 1\n[leak]\nunjoined = log\ngrace = 5s\n"
	           "[suppress \"known\"]\nleak = unjoined\nthread_name = lost\nreason = later\n");
	struct pinw_slot *slot = pinw_builder_slot(&scene.b, 2, PINW_SLOT_EXITED, 0xf);
	strcpy(slot->name, "lost");
	slot->exit_ns = 900 * S;
	write_scene();
	ticks(3);
	cr_expect_eq(cell_of(1).watch_violations, 0);
	cr_expect_eq(cell_of(2).watch_matched, 1);
	cr_expect_str_empty(log_text());
	close_scene();
}

Test(watch, a_thread_that_should_be_pinned_by_now_is_told_once)
{
	open_scene("[policy]\nversion = 1\n[require \"workers\"]\nthread_name = worker*\npinned = "
	           "yes\nwithin = 5s\n");
	struct pinw_slot *slot = pinw_builder_slot(&scene.b, 2, PINW_SLOT_RUNNING, 0xf);
	strcpy(slot->name, "worker-1");
	slot->tid = 7;
	slot->start_ns = 10 * S;
	slot = pinw_builder_slot(&scene.b, 3, PINW_SLOT_RUNNING, 0x2);
	strcpy(slot->name, "worker-2");
	slot->tid = 8;
	slot->start_ns = 10 * S;
	slot->pin_depth = slot->pins_opened = 1;
	slot = pinw_builder_slot(&scene.b, 4, PINW_SLOT_RUNNING, 0xf);
	strcpy(slot->name, "other");
	slot->tid = 9;
	slot->start_ns = 10 * S;
	write_scene();
	ticks(4);
	cr_expect_eq(cell_of(1).watch_violations, 1);
	cr_expect_eq(cell_of(1).watch_thread, 2);
	cr_expect_not_null(strstr(log_text(), "require:workers (test.ini:3): logged"), "%s", log_text());
	cr_expect_not_null(strstr(log_text(), "is not pinned and should be"));
	close_scene();
}

static struct pinw_slot seen_slot;

static void take_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	(void)mask;
	if (slot->thread == *(const uint32_t *)arg)
		seen_slot = *slot;
}

/* A thread's slot as it is in the file now. */
static const struct pinw_slot *slot_of(uint32_t thread)
{
	struct pinw_reader *reader;

	memset(&seen_slot, 0, sizeof(seen_slot));
	cr_assert_eq(pinw_reader_open(scene.trace, &reader), 0);
	cr_assert_eq(pinw_reader_walk(reader, NULL, take_slot, &thread), 0);
	pinw_reader_free(reader);
	cr_assert_eq(seen_slot.thread, thread);
	return &seen_slot;
}

/* Two threads, each unjoined and never pinned; of the second one the program spoke already. The require has bit 1: it is the
 * second one. */
Test(watch, what_the_program_told_is_not_told_again)
{
	open_scene("[policy]\nversion = 1\n[require \"first\"]\nthread_name = nobody\npinned = no\n"
	           "[require \"workers\"]\nthread_name = worker*\npinned = yes\nwithin = 5s\n"
	           "[leak]\nunjoined = log\ngrace = 5s\n");
	for (uint32_t i = 2; i <= 5; i++) {
		struct pinw_slot *slot =
		    pinw_builder_slot(&scene.b, i, i < 4 ? PINW_SLOT_EXITED : PINW_SLOT_RUNNING, 0xf);
		strcpy(slot->name, "worker");
		slot->tid = i;
		slot->start_ns = 10 * S;
		slot->exit_ns = 900 * S;
		slot->told = i == 3 ? PINW_TOLD_UNJOINED : i == 5 ? PINW_TOLD_REQUIRE(1) : PINW_TOLD_IDLE;
	}
	write_scene();
	ticks(3);
	cr_expect_eq(cell_of(2).watch_violations, 1);
	cr_expect_eq(cell_of(2).watch_thread, 4);
	cr_expect_eq(cell_of(3).watch_violations, 1);
	cr_expect_eq(cell_of(3).watch_thread, 2);
	cr_expect_eq(slot_of(2)->watch_told, PINW_TOLD_UNJOINED);
	cr_expect_eq(slot_of(2)->watch_thread, 2, "so that the next one in this slot is not meant");
	cr_expect_eq(slot_of(4)->watch_told, PINW_TOLD_REQUIRE(1));
	cr_expect_eq(slot_of(3)->watch_told, 0);
	cr_expect_eq(slot_of(5)->watch_told, 0);
	close_scene();
}

Test(watch, a_trace_of_another_session_is_left_alone)
{
	open_scene("[policy]\nversion = 1\n[leak]\nunjoined = log\ngrace = 5s\n");
	pinw_builder_slot(&scene.b, 2, PINW_SLOT_EXITED, 0xf)->exit_ns = 900 * S;
	scene.b.header.session[3] ^= 1;
	write_scene();
	ticks(3);
	cr_expect_eq(cell_of(1).watch_violations, 0);
	close_scene();
}

/* The file is the program's to spoil: nothing is written where no cell of the rule is, and nothing makes it longer. */
Test(watch, a_spoilt_or_short_file_is_not_written_to)
{
	struct stat before, after;

	open_scene("[policy]\nversion = 1\n[leak]\nunjoined = log\ngrace = 5s\n");
	pinw_builder_slot(&scene.b, 2, PINW_SLOT_EXITED, 0xf)->exit_ns = 900 * S;
	scene.b.rules[0].id = 77;
	write_scene();
	cr_assert_eq(stat(scene.trace, &before), 0);
	ticks(2);
	cr_expect_eq(cell_of(1).watch_violations, 0);
	cr_assert_eq(truncate(scene.trace, 12000), 0);
	ticks(2);
	cr_assert_eq(stat(scene.trace, &after), 0);
	cr_expect_eq(after.st_size, 12000);
	close_scene();
}
