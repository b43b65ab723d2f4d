/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/ledger.h"
#include "preload/trace.h"
#include "tests/trace_rig.h"

#define LEAST_BYTES (UINT64_C(128) << 10)

TestSuite(trace, .fini = pinw_rig_done);

/* ---- the empty file ----------------------------------------------------------------------- */

Test(trace, starts_small_with_a_whole_header)
{
	const uint64_t baseline[2] = {0xff, 1};
	struct pinw_rig_seen seen;
	struct stat st;

	pinw_rig_bench(2, baseline, 1 << 20);
	read_all(&seen);
	cr_expect_eq(seen.all, 0);
	cr_expect_eq(seen.slots, 0);
	cr_expect_eq(seen.header.mask_words, 2);
	cr_expect_eq(seen.header.baseline[0], 0xff);
	cr_expect_eq(seen.header.baseline[1], 1);
	cr_expect_eq(seen.header.max_bytes, 1 << 20);
	cr_expect_gt(seen.header.slots_first, 10);
	cr_assert_eq(stat(pinw_rig_trace(), &st), 0);
	cr_expect_eq((uint64_t)st.st_size, seen.live.file_bytes);
	cr_expect_leq(st.st_size, 64 << 10, "a script starts a thousand processes");
	cr_expect_eq(st.st_mode & 0777, 0600);
}

Test(trace, has_room_for_slots_however_large_the_masks)
{
	struct pinw_rig_seen seen;

	bench(PINW_MASK_WORDS_MAX, 1 << 20);
	read_all(&seen);
	cr_expect_geq(seen.header.slots_first, 4);
	cr_expect_eq(seen.header.slot_bytes, sizeof(struct pinw_slot) + 8 * PINW_MASK_WORDS_MAX);
}

Test(trace, sets_flags_later_and_the_check_stays_right)
{
	struct pinw_rig_seen seen;

	bench(1, 1 << 20);
	pinw_trace_set_flags(PINW_HDR_NO_UNWINDER);
	pinw_trace_set_flags(PINW_HDR_CLOCK_MISMATCH);
	read_all(&seen);
	cr_expect_eq(seen.header.flags, PINW_HDR_NO_UNWINDER | PINW_HDR_CLOCK_MISMATCH);
}

/* ---- records ------------------------------------------------------------------------------- */

static const struct {
	uint8_t type;
	uint16_t bytes;
	uint8_t masks;
	uint8_t tail; /* bytes of text or frames */
	const char *name;
} shapes[] = {
    {PINW_REC_THREAD_CREATE, sizeof(struct pinw_rec_create), 0, 0, "create"},
    {PINW_REC_THREAD_CREATE, sizeof(struct pinw_rec_create), 1, 0, "create with a mask"},
    {PINW_REC_THREAD_START, sizeof(struct pinw_rec_start), 1, 0, "start"},
    {PINW_REC_THREAD_EXIT, sizeof(struct pinw_rec_exit), 1, 0, "exit"},
    {PINW_REC_THREAD_JOIN, sizeof(struct pinw_rec_join), 0, 0, "join"},
    {PINW_REC_THREAD_DETACH, sizeof(struct pinw_rec_join), 0, 0, "detach"},
    {PINW_REC_THREAD_NAME, sizeof(struct pinw_rec_name), 0, 0, "name"},
    {PINW_REC_THREAD_ADOPT, sizeof(struct pinw_rec_adopt), 1, 0, "adopt"},
    {PINW_REC_AFFINITY, sizeof(struct pinw_rec_affinity), 2, 0, "affinity"},
    {PINW_REC_AFFINITY, sizeof(struct pinw_rec_affinity), 3, 0, "affinity with what was asked for"},
    {PINW_REC_PIN_EXTERNAL, sizeof(struct pinw_rec_external), 2, 0, "external"},
    {PINW_REC_EXEC, sizeof(struct pinw_rec_exec), 0, 200, "exec"},
    {PINW_REC_EXEC, sizeof(struct pinw_rec_exec), 0, 0, "exec of nothing"},
    {PINW_REC_NOTE, sizeof(struct pinw_rec_note), 0, 0, "note"},
    {PINW_REC_MODULE, sizeof(struct pinw_rec_module), 0, 113, "module"},
    {PINW_REC_FUNCTION, sizeof(struct pinw_rec_function), 0, 97, "function"},
    {PINW_REC_SITE, sizeof(struct pinw_rec_site), 0, 20 * sizeof(struct pinw_rec_frame), "site"},
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* What record number `i` holds: `bytes` bytes of struct, then masks and tail. */
struct content {
	union {
		unsigned char bytes[128];
		uint64_t aligned;
		struct pinw_rec_affinity affinity;
		struct pinw_rec_exec exec;
		struct pinw_rec_module module;
		struct pinw_rec_site site;
		struct pinw_rec_function function;
	} fixed;
	unsigned char extra[3 * 8 * PINW_MASK_WORDS_MAX];
	size_t extra_bytes;
};

/* Any bytes, but for the lengths and flags that say what follows. */
static void make_content(unsigned i, unsigned words, struct content *c)
{
	for (size_t k = 0; k < sizeof(c->fixed.bytes); k++)
		c->fixed.bytes[k] = (unsigned char)(i * 31 + k * 7 + 1);
	for (size_t k = 0; k < sizeof(c->extra); k++)
		c->extra[k] = (unsigned char)(i * 17 + k * 5 + k / 251);
	c->extra_bytes = shapes[i].masks * 8u * words + shapes[i].tail;
	if (shapes[i].type == PINW_REC_AFFINITY)
		c->fixed.affinity.flags = shapes[i].masks == 3 ? PINW_AFF_REQUESTED : 0;
	else if (shapes[i].type == PINW_REC_EXEC)
		c->fixed.exec.path_len = shapes[i].tail;
	else if (shapes[i].type == PINW_REC_MODULE) {
		c->fixed.module.path_len = shapes[i].tail;
		c->fixed.module.build_id_len = 20;
	} else if (shapes[i].type == PINW_REC_FUNCTION) {
		c->fixed.function.name_len = 40;
		c->fixed.function.file_len = (uint16_t)(shapes[i].tail - 40);
	} else if (shapes[i].type == PINW_REC_SITE)
		c->fixed.site.frames = 20;
}

static struct {
	unsigned words;
	bool seen[SHAPES];
} expected;

/* Same type, same struct, same masks, same tail. */
static bool holds(const struct pinw_read_record *rec, unsigned i)
{
	struct content c;
	size_t mask_bytes = (size_t)shapes[i].masks * 8 * expected.words,
	       second = rec->type == PINW_REC_FUNCTION ? rec->function->file_len : 0;

	make_content(i, expected.words, &c);
	return rec->type == shapes[i].type && memcmp(rec->payload, c.fixed.bytes, shapes[i].bytes) == 0 &&
	       rec->mask_count == shapes[i].masks &&
	       (!rec->mask_count || memcmp(rec->masks, c.extra, mask_bytes) == 0) &&
	       (!rec->text || (rec->text_len + second == shapes[i].tail &&
	                       memcmp(rec->text, c.extra, shapes[i].tail) == 0)) &&
	       (!rec->frames || memcmp(rec->frames, c.extra, shapes[i].tail) == 0);
}

static void compare_record(void *arg, const struct pinw_read_record *rec)
{
	(void)arg;
	for (unsigned i = 0; i < SHAPES; i++)
		if (!expected.seen[i] && holds(rec, i)) {
			expected.seen[i] = true;
			return;
		}
	cr_assert_fail("a record of type %u that nobody wrote", rec->type);
}

static void write_every_type(unsigned words)
{
	struct pinw_rig_seen seen;
	struct content c;
	uint64_t events = 0;

	bench(words, 4 << 20);
	for (unsigned i = 0; i < SHAPES; i++) {
		make_content(i, words, &c);
		if (shapes[i].type >= PINW_REC_MODULE) {
			cr_expect_eq(pinw_trace_meta(shapes[i].type, c.fixed.bytes, shapes[i].bytes, c.extra,
			                             c.extra_bytes),
			             0);
			continue;
		}
		pinw_trace_event(shapes[i].type, c.fixed.bytes, shapes[i].bytes, c.extra, c.extra_bytes);
		events++;
	}
	expected.words = words;
	pinw_rig_read(compare_record, NULL, NULL, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	cr_expect_eq(seen.all, SHAPES);
	cr_expect_eq(seen.tally.unknown, 0);
	cr_expect_eq(counters()->events_written, events);
	for (unsigned i = 0; i < SHAPES; i++)
		cr_expect(expected.seen[i], "%s", shapes[i].name);
}

Test(trace, is_read_back_as_it_was_written)
{
	write_every_type(1);
}

Test(trace, is_read_back_with_masks_that_take_several_cells)
{
	write_every_type(7);
}

Test(trace, is_read_back_with_the_largest_masks)
{
	write_every_type(PINW_MASK_WORDS_MAX);
}

/* Every length there can be, around each border between cells. */
static void count_lengths(void *arg, const struct pinw_read_record *rec)
{
	uint64_t *lengths = arg;

	cr_assert_eq(rec->type, PINW_REC_EXEC);
	for (size_t i = 0; i < rec->text_len; i++)
		cr_assert_eq((unsigned char)rec->text[i], (unsigned char)(i + rec->text_len));
	lengths[rec->text_len]++;
}

Test(trace, keeps_every_length_of_record)
{
	static uint64_t lengths[PINW_PATH_MAX + 1];
	struct pinw_rig_seen seen;
	unsigned char text[PINW_PATH_MAX];

	bench(1, 8 << 20);
	for (uint32_t len = 0; len <= PINW_PATH_MAX; len++) {
		struct pinw_rec_exec exec = {.path_len = len};

		for (uint32_t i = 0; i < len; i++)
			text[i] = (unsigned char)(i + len);
		pinw_trace_event(PINW_REC_EXEC, &exec, sizeof(exec), text, len);
	}
	pinw_rig_read(count_lengths, NULL, lengths, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	for (uint32_t len = 0; len <= PINW_PATH_MAX; len++)
		cr_assert_eq(lengths[len], 1, "%u bytes", len);
}

Test(trace, touches_no_errno_and_keeps_no_descriptor)
{
	bench(1, 16 << 20);
	unsigned before = pinw_rig_descriptors();

	errno = 12345;
	write_notes(0, 100000); /* grows many times */
	cr_expect_eq(errno, 12345);
	cr_expect_eq(counters()->events_written, 100000);
	cr_expect_eq(pinw_rig_descriptors(), before);
}

/* ---- many writers ----------------------------------------------------------------------------- */

#define WRITERS 8u
#define EACH 20000u

static uint8_t came[WRITERS][EACH];

/* Records of one to eight cells, growing over many segments. */
static void write_numbered(unsigned index)
{
	uint64_t words[56];

	for (uint32_t i = 0; i < EACH; i++) {
		struct pinw_rec_exec exec = {.e = {.thread = index, .site = i},
		                             .path_len = (i + index) % 56 * 8};

		for (unsigned w = 0; w < 56; w++)
			words[w] = (uint64_t)index << 32 | i;
		pinw_trace_event(PINW_REC_EXEC, &exec, sizeof(exec), words, exec.path_len);
	}
}

static void check_numbered(void *arg, const struct pinw_read_record *rec)
{
	uint32_t index = rec->event->thread, i = rec->event->site;
	uint64_t word;

	(void)arg;
	cr_assert(index < WRITERS && i < EACH);
	cr_assert_eq(rec->text_len, (i + index) % 56 * 8);
	for (size_t at = 0; at < rec->text_len; at += 8) {
		memcpy(&word, rec->text + at, sizeof(word));
		cr_assert_eq(word, (uint64_t)index << 32 | i);
	}
	came[index][i]++;
}

Test(trace, keeps_what_eight_threads_write_at_once)
{
	struct pinw_rig_seen seen;

	bench(1, UINT64_C(256) << 20);
	pinw_rig_together(WRITERS, write_numbered);
	pinw_rig_read(check_numbered, NULL, NULL, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	cr_expect_eq(seen.all, counters()->events_written);
	cr_expect_eq(counters()->events_written + counters()->events_dropped, WRITERS * EACH);
	/* A writer waits 20 ms for another one's growth: a busy machine may make it give up once in a while, not often. */
	cr_expect_lt(counters()->events_dropped, WRITERS * EACH / 100);
	cr_expect_eq(seen.tally.in_flight_cells, 0);
	uint64_t once = 0;
	for (unsigned t = 0; t < WRITERS; t++)
		for (unsigned i = 0; i < EACH; i++) {
			cr_assert_leq(came[t][i], 1);
			once += came[t][i];
		}
	cr_expect_eq(once, seen.all);
}

/* Killed at any moment: what was committed is there, the rest is in flight, nothing is torn. */
static void *write_for_ever(void *arg)
{
	uint64_t masks[3 * 7] = {0};
	struct pinw_rec_affinity record = {.e = {.thread = 1}, .flags = PINW_AFF_REQUESTED};

	for (uint32_t i = 0;; i++) {
		record.e.site = i;
		pinw_trace_event(PINW_REC_AFFINITY, &record, sizeof(record), masks, sizeof(masks));
		__atomic_store_n((uint32_t *)arg, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* A recorder in a process of its own, which four of its threads write to until the end. */
static void write_and_be_killed(uint32_t *acknowledged)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		pthread_t thread;

		bench(7, UINT64_C(64) << 20);
		for (unsigned i = 0; i < 4; i++)
			pthread_create(&thread, NULL, write_for_ever, &acknowledged[i * 16]);
		while (__atomic_load_n(&acknowledged[0], __ATOMIC_ACQUIRE) < 200)
			sched_yield();
		kill(getpid(), SIGKILL);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(trace, loses_nothing_acknowledged_to_a_kill)
{
	uint32_t *acknowledged = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *path = pinw_rig_path("bench.pwt");
	struct pinw_rig_seen seen;

	cr_assert_neq(acknowledged, MAP_FAILED);
	for (unsigned round = 0; round < 20; round++) {
		uint64_t written = 0;

		memset(acknowledged, 0, 4096);
		write_and_be_killed(acknowledged);
		for (unsigned i = 0; i < 4; i++)
			written += acknowledged[i * 16];
		pinw_rig_read_from(path, NULL, NULL, NULL, &seen);
		cr_assert_eq(seen.problems, 0, "%s", seen.problem);
		cr_assert_geq(seen.all + seen.live.counters.events_dropped, written, "round %u", round);
		cr_assert_leq(seen.all, written + 4, "at most one of each thread was not acknowledged yet");
		cr_assert_eq(unlink(path), 0);
	}
}

/* ---- the bound --------------------------------------------------------------------------------- */

Test(trace, drops_and_counts_at_the_bound)
{
	struct pinw_rig_seen seen;
	struct stat st;

	bench(1, LEAST_BYTES);
	write_until_dropped();
	write_notes(0, 10000);
	read_all(&seen);
	cr_expect_eq(seen.all, counters()->events_written);
	cr_expect_geq(counters()->events_dropped, 10000);
	cr_expect_eq(seen.live.counters.events_dropped, counters()->events_dropped);
	cr_assert_eq(stat(pinw_rig_trace(), &st), 0);
	cr_expect_leq((uint64_t)st.st_size, LEAST_BYTES);
	cr_expect_gt((uint64_t)st.st_size, LEAST_BYTES / 2, "the bound is made use of");
	cr_expect_eq(seen.records[PINW_REC_NOTE], counters()->events_written,
	             "no note: the user set the bound");
}

/* Events may not take all: who exists and which stacks there are still finds room. */
Test(trace, keeps_room_for_slots_and_stacks_when_events_are_full)
{
	struct pinw_rec_site site = {.id = 1};
	struct pinw_rig_seen seen;
	struct pinw_pinner self = {.origin = PINW_ORIGIN_SELF};
	uint64_t before;

	bench(1, 1 << 20);
	write_until_dropped();
	for (unsigned i = 0; i < 1000; i++) {
		site.id = i + 1;
		cr_assert_eq(pinw_trace_meta(PINW_REC_SITE, &site, sizeof(site), NULL, 0), 0, "site %u", i);
	}
	for (uint32_t i = 0; i < 300; i++) {
		const uint64_t one = 1;
		struct pinw_thread *t = pinw_rig_thread(i + 1, NULL);

		pinw_ledger_set(t, t->slot->thread, &one, self, i, &before);
	}
	read_all(&seen);
	cr_expect_eq(seen.records[PINW_REC_SITE], 1000);
	cr_expect_eq(seen.slots, 300);
	cr_expect_eq(seen.live.counters.slots_unfiled, 0);
	cr_expect_eq(seen.live.counters.pins_open, 300, "counters are exact whatever is dropped");
	cr_expect_eq(seen.live.counters.pins_opened, 300);
	pinw_rig_balance();
}

/* A record too long for what is left of a segment goes to the next one; smaller ones are not lost by it. */
Test(trace, fills_segments_with_records_of_every_size)
{
	static const uint32_t lengths[] = {0, 1000, 24, 25, 600, 1024, 80};
	struct pinw_rig_seen seen;
	char text[PINW_PATH_MAX] = {0};

	bench(1, LEAST_BYTES);
	for (uint32_t i = 0; counters()->events_dropped < 20; i++) {
		struct pinw_rec_exec exec = {.path_len = lengths[i % 7]};

		pinw_trace_event(PINW_REC_EXEC, &exec, sizeof(exec), text, exec.path_len);
	}
	read_all(&seen);
	cr_expect_eq(seen.all, counters()->events_written);
}

/* ---- fork --------------------------------------------------------------------------------------- */

Test(trace, is_let_go_by_a_fork_child_without_a_trace_of_it)
{
	struct pinw_rig_seen before, after;
	int status;

	bench(1, 16 << 20);
	write_notes(0, 3000);
	read_all(&before);
	pid_t pid = fork();
	if (pid == 0) {
		pinw_trace_abandon();
		_exit(open_new("child.pwt", 16 << 20) == 0 ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
	read_all(&after);
	cr_expect_eq(after.all, before.all);
	cr_expect_eq(memcmp(&after.live, &before.live, sizeof(after.live)), 0);
	pinw_rig_read_from(pinw_rig_path("child.pwt"), NULL, NULL, NULL, &after);
	cr_expect_eq(after.problems, 0, "%s", after.problem);
	cr_expect_eq(after.all, 0);
}

/* How many mappings of the trace this process has. */
static unsigned mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned count = 0;

	cr_assert_not_null(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, pinw_rig_trace()) != NULL;
	fclose(maps);
	return count;
}

Test(trace, keeps_its_mappings_until_it_is_abandoned)
{
	bench(1, 16 << 20);
	write_notes(0, 30000);
	cr_expect_gt(mappings(), 0);
	pinw_trace_abandon();
	cr_expect_eq(mappings(), 0);
}
