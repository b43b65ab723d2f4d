/* SPDX-License-Identifier: MIT
 *
 * What is there is delivered, what is no trace is refused, and a file may grow meanwhile.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/reader_rig.h"

/* ---- what is there is delivered ------------------------------------------------------ */

Test(reader, delivers_every_record_as_it_was_written)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_reader_tally tally;
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, &tally, NULL), 0);
	for (int type = PINW_REC_THREAD_CREATE; type <= PINW_REC_VIOLATION; type++)
		cr_expect_geq(seen.records[type], 1, "no record of type %d", type);
	cr_expect_eq(seen.records[PINW_REC_THREAD_CREATE], 2);
	cr_expect_eq(seen.records[PINW_REC_MODULE], 1);
	cr_expect_eq(seen.records[PINW_REC_SITE], 2);
	cr_expect_eq(seen.frames, 2 + PINW_FRAMES_MAX);
	cr_expect_eq(seen.slots, 2);
	cr_expect_eq(seen.records[PINW_REC_POLICY], 1);
	cr_expect_eq(seen.records[PINW_REC_RULE], 2);
	cr_expect_eq(seen.rules, 2);
	cr_expect_eq(seen.violations, 1);
	cr_expect_eq(tally.records, b.live.counters.events_written + 7);
	cr_expect_eq(tally.unknown, 0);
	cr_expect_eq(tally.in_flight_cells, 0);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, delivers_events_then_slots_then_metadata)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	walk_bytes(image, bytes, &seen, NULL, NULL);
	cr_expect_not(seen.meta_before_event);
	cr_expect_not(seen.meta_before_slot);
	cr_expect_not(seen.slot_before_event);
	free(image);
	pinw_builder_done(&b);
}

static void see_affinity(void *arg, const struct pinw_read_record *rec)
{
	if (rec->type != PINW_REC_AFFINITY)
		return;
	cr_expect_eq(rec->mask_count, 2);
	cr_expect_eq(rec->masks[0], 0xf);
	cr_expect_eq(rec->masks[128], 4);
	cr_expect_eq(rec->affinity->target, 7);
	cr_expect_eq(rec->affinity->e.time_ns, 123);
	*(bool *)arg = true;
}

Test(reader, puts_long_records_together_from_their_cells)
{
	struct pinw_builder b;
	bool met = false;
	size_t bytes;
	int error;

	pinw_builder_init(&b, PINW_MASK_WORDS_MAX); /* 8,192 CPUs: a record of 38 cells */
	pinw_builder_pin(&b, 123, 1, 7, 1, PINW_EFFECT_OPEN, 4);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	struct pinw_reader *r = open_bytes(image, bytes, &error);
	cr_assert_eq(error, 0);
	cr_assert_eq(pinw_reader_walk(r, see_affinity, NULL, &met), 0);
	cr_expect(met);
	pinw_reader_free(r);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, keeps_the_longest_path)
{
	char path[PINW_PATH_MAX + 1];
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	memset(path, 'p', sizeof(path) - 1);
	path[PINW_PATH_MAX] = '\0';
	pinw_builder_init(&b, 1);
	pinw_builder_exec(&b, 1, path, 0, 0);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 0);
	cr_expect_str_eq(seen.text, path);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, reads_events_over_many_segments)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	pinw_builder_init(&b, 3); /* affinity records of two cells: some do not fit the end of a segment */
	b.event_segment_bytes = 4096;
	for (uint32_t i = 0; i < 5000; i++)
		pinw_builder_pin(&b, i, 1, 1, 1, PINW_EFFECT_MOVE, 1);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 0);
	cr_expect_eq(seen.records[PINW_REC_AFFINITY], 5000);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, counts_cells_in_flight_and_calls_them_no_damage)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_reader_tally tally;
	size_t bytes;

	pinw_builder_init(&b, 3);
	pinw_builder_join(&b, 1, 1, 2);
	pinw_builder_in_flight(&b, 1);
	pinw_builder_pin(&b, 2, 1, 1, 1, PINW_EFFECT_MOVE, 1);
	pinw_builder_join(&b, 3, 1, 2);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	/* The first cell of the affinity record was not committed, its second one was already written. */
	size_t at = segment_at(image, bytes, PINW_SEG_EVENTS) + 3 * PINW_CELL_BYTES;
	cr_assert_eq(image[at], PINW_REC_AFFINITY);
	memset(image + at, 0, sizeof(struct pinw_cell_head));
	cr_expect_eq(walk_bytes(image, bytes, &seen, &tally, NULL), 0);
	cr_expect_eq(seen.records[PINW_REC_THREAD_JOIN], 2);
	cr_expect_eq(tally.records, 2);
	cr_expect_eq(tally.in_flight_cells, 3);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, does_not_count_what_was_never_handed_out)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_reader_tally tally;
	size_t bytes;

	pinw_builder_init(&b, 1);
	pinw_builder_join(&b, 1, 1, 2);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	walk_bytes(image, bytes, &seen, &tally, NULL);
	cr_expect_eq(tally.in_flight_cells, 0);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, steps_over_types_it_does_not_know)
{
	static const char text[200] = "from a later version";
	struct pinw_builder b;
	struct seen seen;
	struct pinw_reader_tally tally;
	size_t bytes;

	pinw_builder_init(&b, 1);
	pinw_builder_join(&b, 1, 1, 2);
	pinw_builder_event(&b, 40, text, sizeof(text), NULL, 0);
	pinw_builder_join(&b, 2, 1, 3);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, &tally, NULL), 0);
	cr_expect_eq(seen.all, 2);
	cr_expect_eq(tally.unknown, 1);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, accepts_records_that_grew_at_their_end)
{
	struct {
		struct pinw_rec_note note;
		uint64_t later[20];
	} longer = {.note.code = PINW_NOTE_CHROOT};
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	pinw_builder_init(&b, 1);
	pinw_builder_event(&b, PINW_REC_NOTE, &longer, sizeof(longer), NULL, 0);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 0);
	cr_expect_eq(seen.records[PINW_REC_NOTE], 1);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, accepts_slots_that_grew_at_their_end)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;

	pinw_builder_init(&b, 1);
	b.header.slot_bytes += 64;
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 1);
	pinw_builder_slot(&b, 2, PINW_SLOT_EXITED, 2);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 0);
	cr_expect_eq(seen.slots, 2);
	cr_expect_eq(seen.mask_sum, 3);
	free(image);
	pinw_builder_done(&b);
}

/* ---- the header ---------------------------------------------------------------------- */

/* What opening says after `len` bytes at `offset` of the header were changed and its sum put right. */
static int open_with(size_t offset, const void *value, size_t len)
{
	struct pinw_builder b;
	struct pinw_trace_header h;
	size_t bytes;
	int error;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	memcpy(image + offset, value, len);
	memcpy(&h, image, sizeof(h));
	h.check = pinw_reader_header_check(&h);
	memcpy(image, &h, sizeof(h));
	struct pinw_reader *r = open_bytes(image, bytes, &error);
	pinw_reader_free(r);
	free(image);
	pinw_builder_done(&b);
	return error;
}

static int open_with_u32(size_t offset, uint32_t value)
{
	return open_with(offset, &value, sizeof(value));
}

/* The beginning of a file that has no more than this. */
static int open_short(const char *text)
{
	int error;

	cr_assert_null(open_bytes((const unsigned char *)text, strlen(text), &error));
	return error;
}

Test(reader, tells_a_short_text_from_a_trace_that_was_cut)
{
	cr_expect_eq(open_short("hello\n"), PINW_READ_NOT_A_TRACE);
	cr_expect_eq(open_short("P"), PINW_READ_EMPTY);
	cr_expect_eq(open_short("PINWTRC\n"), PINW_READ_EMPTY);
	cr_expect_eq(open_short("PINWTRX\n"), PINW_READ_NOT_A_TRACE);
}

Test(reader, refuses_what_is_no_trace_of_this_version)
{
	cr_expect_eq(open_with(0,
	                       "\x7f"
	                       "ELF\2\1\1\0",
	                       8),
	             PINW_READ_NOT_A_TRACE);
	cr_expect_eq(open_with(0, "\0\0\0\0\0\0\0\0", 8), PINW_READ_EMPTY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, version), 2), PINW_READ_VERSION);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, version), 0), PINW_READ_VERSION);
}

Test(reader, refuses_sizes_that_cannot_be)
{
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, mask_words), 0), PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, mask_words), 129), PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, mask_words), UINT32_MAX),
	             PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, slot_bytes), 0), PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, slot_bytes), 199), PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, slot_bytes), UINT32_MAX - 7),
	             PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, cell_bytes), 128), PINW_READ_GEOMETRY);
	cr_expect_eq(open_with_u32(offsetof(struct pinw_trace_header, header_bytes), 8192),
	             PINW_READ_GEOMETRY);
}

Test(reader, bounds_lengths_in_the_header_and_names_them)
{
	struct pinw_builder b;
	struct seen seen;
	size_t bytes;
	int error;

	tell_every_record(&b);
	b.header.exe_len = 0xffffffff;
	b.header.cmdline_len = 1409;
	b.header.version_len = 33;
	unsigned char *image = pinw_builder_image(&b, &bytes);
	struct pinw_reader *r = open_bytes(image, bytes, &error);
	cr_assert_eq(error, 0);
	cr_expect_eq(pinw_reader_header(r)->exe_len, 512);
	cr_expect_eq(pinw_reader_header(r)->cmdline_len, 1408);
	cr_expect_eq(pinw_reader_header(r)->version_len, 32);
	pinw_reader_free(r);
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, NULL), 3);
	free(image);
	pinw_builder_done(&b);
}

Test(reader, names_a_wrong_header_sum_and_reads_on)
{
	struct pinw_builder b;
	struct seen seen;
	struct pinw_problem problem = {0};
	size_t bytes;

	tell_every_record(&b);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	image[offsetof(struct pinw_trace_header, start_real_ns)] ^= 1;
	cr_expect_eq(walk_bytes(image, bytes, &seen, NULL, &problem), 1);
	cr_expect_str_eq(problem.what, "header checksum wrong");
	cr_expect_gt(seen.all, 10);
	free(image);
	pinw_builder_done(&b);
}

/* ---- files that are none ------------------------------------------------------------- */

static int open_path(const char *path)
{
	struct pinw_reader *r = NULL;
	int error = pinw_reader_open(path, &r);

	pinw_reader_free(r);
	return error;
}

Test(reader, refuses_what_is_not_a_regular_file)
{
	char dir[] = "/tmp/pinw-reader-XXXXXX";
	char path[64];

	cr_assert_not_null(mkdtemp(dir));
	cr_expect_eq(open_path(dir), PINW_READ_NOT_REGULAR);
	cr_expect_eq(open_path("/dev/zero"), PINW_READ_NOT_REGULAR);
	snprintf(path, sizeof(path), "%s/fifo", dir);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_expect_eq(open_path(path), PINW_READ_NOT_REGULAR, "and without waiting for a writer");
	unlink(path);
	snprintf(path, sizeof(path), "%s/empty", dir);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	cr_expect_eq(open_path(path), PINW_READ_EMPTY);
	unlink(path);
	cr_expect_eq(open_path(path), -ENOENT);
	rmdir(dir);
}

Test(reader, gives_a_reason_for_every_error)
{
	static const int errors[] = {PINW_READ_NOT_REGULAR, PINW_READ_EMPTY,    PINW_READ_NOT_A_TRACE,
	                             PINW_READ_VERSION,     PINW_READ_GEOMETRY, -ENOENT};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		for (size_t k = 0; k < i; k++)
			cr_expect_str_neq(pinw_reader_strerror(errors[i]), pinw_reader_strerror(errors[k]));
}

/* ---- a file that is being written ----------------------------------------------------- */

struct writer {
	struct pinw_segment *segment;
	struct pinw_cell *cells;
	uint64_t records;
	bool stop;
};

/* Commits two-cell records as the format says: the head of the first cell last. */
static void *write_on(void *arg)
{
	struct writer *w = arg;
	struct pinw_builder b;

	pinw_builder_init(&b, 3);
	pinw_builder_pin(&b, 1, 1, 1, 1, PINW_EFFECT_MOVE, 1);
	for (uint64_t i = 0; i < w->records && !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); i++) {
		__atomic_fetch_add(&w->segment->reserved_cells, 2, __ATOMIC_RELAXED);
		struct pinw_cell *to = w->cells + i * 2;
		to[1] = b.events.cells[1];
		memcpy(to[0].payload, b.events.cells[0].payload, sizeof(to[0].payload));
		uint64_t head;
		memcpy(&head, &b.events.cells[0].head, sizeof(head));
		__atomic_store_n((uint64_t *)(void *)to, head, __ATOMIC_RELEASE);
	}
	pinw_builder_done(&b);
	return NULL;
}

Test(reader, reads_a_trace_that_is_being_written)
{
	const uint64_t records = 200000;
	struct writer w = {.records = records};
	struct pinw_builder b;
	pthread_t thread;
	size_t bytes;

	pinw_builder_init(&b, 3);
	unsigned char *image = pinw_builder_image(&b, &bytes);
	size_t segment_bytes = (64 + records * 128 + 4095) / 4096 * 4096;
	struct pinw_segment s = {
	    .magic = PINW_SEGMENT_MAGIC, .kind = PINW_SEG_EVENTS, .bytes = segment_bytes};
	s.check = s.kind ^ (uint32_t)s.bytes ^ PINW_SEGMENT_MAGIC;
	int fd = pinw_builder_memory_file(image, bytes);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, &s, sizeof(s), (off_t)bytes), (ssize_t)sizeof(s));
	cr_assert_eq(ftruncate(fd, (off_t)(bytes + segment_bytes)), 0);
	char *map = mmap(NULL, bytes + segment_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(map, MAP_FAILED);
	w.segment = (struct pinw_segment *)(void *)(map + bytes);
	w.cells = (struct pinw_cell *)(void *)(map + bytes + 64);
	cr_assert_eq(pthread_create(&thread, NULL, write_on, &w), 0);
	while (!__atomic_load_n(&w.segment->reserved_cells, __ATOMIC_RELAXED))
		sched_yield();

	unsigned last = 0;
	for (int round = 0; round < 50; round++) {
		struct pinw_reader *r;
		struct pinw_problem problem = {.what = "none"};
		struct seen seen = {0};
		cr_assert_eq(pinw_reader_open_fd(dup(fd), &r), 0);
		pinw_reader_walk(r, see_record, NULL, &seen);
		cr_assert_eq(pinw_reader_problems(r, &problem, 1), 0, "round %d: %s", round, problem.what);
		cr_assert_geq(seen.all, last);
		last = seen.all;
		pinw_reader_free(r);
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	munmap(map, bytes + segment_bytes);
	close(fd);
	free(image);
	pinw_builder_done(&b);
}
