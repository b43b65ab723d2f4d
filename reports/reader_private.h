/* SPDX-License-Identifier: MIT
 *
 * Shared by the files of the reader (reader*.c) and by nothing else.
 *
 * reader.c         the file, its header, its live page, problems
 * reader_walk.c    segments, cells and slots through one bounded window
 * reader_follow.c  the records that came since the last look
 * reader_decode.c  what a checked record's bytes mean
 * reader_copy.c    what checks, as a trace of its own
 */
#ifndef PINW_REPORTS_READER_PRIVATE_H
#define PINW_REPORTS_READER_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "reports/reader.h"

#define PINW_WINDOW_BYTES (256u * 1024u) /* more than the longest record and the longest slot */
#define PINW_SEGMENTS_MAX 262144u

struct pinw_reader_segment {
	uint64_t offset;
	uint64_t bytes; /* cut to the end of the file */
	uint64_t reserved_cells;
	uint64_t followed; /* cells that pinw_reader_follow has passed */
	uint32_t kind;
	bool cut;
};

/* A cell that was handed out and not committed when pinw_reader_follow passed it. */
struct pinw_reader_hole {
	uint64_t offset; /* in the file */
	uint64_t cells; /* from it to the end of its segment */
	uint32_t kind; /* of its segment */
};

#define PINW_HOLES_MAX 256u

struct pinw_reader {
	int fd;
	uint64_t size; /* of the file, when opened */
	dev_t device;
	ino_t inode;
	struct pinw_trace_header header;
	struct pinw_trace_live live;
	struct pinw_problem problems[PINW_PROBLEMS_MAX];
	uint64_t problem_count;
	struct pinw_reader_tally tally;
	struct pinw_reader_segment *segments;
	size_t segment_count;
	bool prepared; /* its segments were looked for */
	unsigned char *window; /* NULL: to be had again */
	uint64_t window_offset;
	size_t window_bytes; /* valid ones */
	struct pinw_reader_hole holes[PINW_HOLES_MAX]; /* oldest first */
	size_t hole_count;
	uint64_t payload[255 * PINW_CELL_PAYLOAD / 8]; /* of one record, its cells put together */
};

void pinw_reader_problem(struct pinw_reader *r, const char *what, uint64_t offset);

/* pread until `len` bytes or the end of the file. Returns the bytes read or -errno. */
ssize_t pinw_reader_pread(const struct pinw_reader *r, void *buf, size_t len, uint64_t offset);

/* Sets every field of `rec` but type and offset from `bytes` bytes at `payload` (8-byte aligned).
 * Returns NULL, or what is wrong with the record. The type must be a known one. */
const char *pinw_reader_decode(const struct pinw_reader *r, const uint64_t *payload, size_t bytes,
                               struct pinw_read_record *rec);

bool pinw_reader_knows(uint8_t type);

/* ---- reader_walk.c ---- */

/* The window at `offset`; `len` is at most PINW_WINDOW_BYTES, both are multiples of 8. Valid until the next call. NULL when
 * the file has no such bytes. */
const unsigned char *pinw_reader_window(struct pinw_reader *r, uint64_t offset, size_t len);

/* How many bytes from `offset` on are zero and can be stepped over, up to `max`. `p` is the window there. */
uint64_t pinw_reader_zero_run(struct pinw_reader *r, const unsigned char *p, uint64_t offset, uint64_t max);

struct pinw_cell_walk {
	struct pinw_reader *r;
	uint64_t first; /* offset of cell 0 */
	uint64_t cells;
	uint64_t reserved; /* cells the writer handed out, of these */
	uint64_t at;
	uint64_t uncommitted; /* cells handed out since the last record, not yet known to be in flight */
	bool after_damage;
	uint32_t kind; /* of its segment */
	pinw_record_fn fn;
	void *arg;
};

/* Delivers the record that starts at cell `at`, which is committed, and goes on past it. One that does not check is read once
 * more: it may just have been committed. */
void pinw_reader_step_record(struct pinw_cell_walk *w);

/* Finds the segments, once. */
int pinw_reader_prepare(struct pinw_reader *r);

/* Finds the segments that came since. */
int pinw_reader_refresh(struct pinw_reader *r);

#endif
