/* SPDX-License-Identifier: MIT
 *
 * Shared by the files of the reader (reader*.c) and by nothing else.
 *
 * reader.c         the file, its header, its live page, problems
 * reader_walk.c    segments, cells and slots through one bounded window
 * reader_decode.c  what a checked record's bytes mean
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
	uint32_t kind;
};

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
	unsigned char *window;
	uint64_t window_offset;
	size_t window_bytes; /* valid ones */
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

#endif
