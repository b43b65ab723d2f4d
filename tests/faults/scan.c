/* SPDX-License-Identifier: MIT */
#include "tests/faults/scan.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_BYTES_MAX (255u * PINW_CELL_PAYLOAD)

struct walk {
	void (*fn)(unsigned type, const void *payload, unsigned bytes, void *arg);
	void *arg;
	struct scan *scan;
};

/* Copies the payload of `count` cells. False when they do not belong together or the check is wrong. */
static bool take_record(const struct pinw_cell *cells, unsigned count, uint64_t *payload)
{
	uint64_t head;
	uint64_t sum;

	memcpy(&head, &cells[0].head, sizeof(head));
	sum = pinw_check_step(0, head & UINT64_C(0x0000ffffffffffff));
	for (unsigned i = 0; i < count; i++) {
		if (i && (cells[i].head.type != PINW_REC_CONT || cells[i].head.index != i))
			return false;
		for (unsigned w = 0; w < PINW_CELL_PAYLOAD / 8; w++) {
			payload[i * (PINW_CELL_PAYLOAD / 8) + w] = cells[i].payload[w];
			sum = pinw_check_step(sum, cells[i].payload[w]);
		}
	}
	return pinw_check_fold(sum) == cells[0].head.check &&
	       cells[0].head.bytes <= count * PINW_CELL_PAYLOAD;
}

static void scan_cells(const struct walk *walk, const struct pinw_segment *segment, uint64_t count)
{
	const struct pinw_cell *cells = (const struct pinw_cell *)segment + 1;
	uint64_t used = segment->reserved_cells < count ? segment->reserved_cells : count;
	uint64_t payload[RECORD_BYTES_MAX / 8];

	for (uint64_t i = 0; i < used;) {
		const struct pinw_cell_head *head = &cells[i].head;
		unsigned n = head->cells;

		if (head->type == PINW_REC_NONE || head->type == PINW_REC_CONT) {
			walk->scan->in_flight += segment->kind == PINW_SEG_EVENTS;
			i++;
			continue;
		}
		if (!n || n > used - i || head->index || !take_record(cells + i, n, payload)) {
			walk->scan->torn++;
			i++;
			continue;
		}
		walk->scan->records++;
		if (walk->fn && segment->kind == PINW_SEG_EVENTS)
			walk->fn(head->type, payload, head->bytes, walk->arg);
		i += n;
	}
}

static void scan_segments(const struct walk *walk, const char *file, uint64_t size)
{
	uint64_t at = PINW_SEGMENTS_OFFSET;

	while (at + sizeof(struct pinw_segment) <= size) {
		const struct pinw_segment *segment = (const void *)(file + at);

		if (segment->magic != PINW_SEGMENT_MAGIC || segment->bytes > size - at ||
		    segment->bytes % PINW_SEGMENT_ALIGN || !segment->bytes)
			return; /* the file may have been growing */
		if (segment->kind != PINW_SEG_SLOTS)
			scan_cells(walk, segment, segment->bytes / PINW_CELL_BYTES - 1);
		at += segment->bytes;
	}
}

/* The whole file in memory of its own, zero filled up to the first segment. NULL when it cannot be read. */
static char *read_file(const char *path, uint64_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *file = NULL;
	ssize_t n = -1;

	if (fd >= 0 && fstat(fd, &st) == 0)
		file = calloc(1, (size_t)st.st_size + PINW_SEGMENTS_OFFSET);
	if (file)
		n = read(fd, file, (size_t)st.st_size);
	if (fd >= 0)
		close(fd);
	if (n >= 0) {
		*ret_size = (uint64_t)n;
		return file;
	}
	free(file);
	return NULL;
}

int scan_trace(const char *path, void (*fn)(unsigned, const void *, unsigned, void *), void *arg,
               struct scan *ret)
{
	uint64_t size = 0;
	char *file = read_file(path, &size);
	const struct pinw_trace_header *header = (const void *)file;
	const struct pinw_trace_live *live = (const void *)(file + PINW_LIVE_OFFSET);
	struct walk walk = {.fn = fn, .arg = arg, .scan = ret};

	memset(ret, 0, sizeof(*ret));
	if (!file || memcmp(header->magic, PINW_TRACE_MAGIC, sizeof(header->magic)) != 0) {
		free(file);
		return -1;
	}
	scan_segments(&walk, file, size);
	ret->written = live->counters.events_written;
	ret->dropped = live->counters.events_dropped;
	ret->mask_words = header->mask_words;
	ret->end_how = live->end_how;
	ret->pid = header->self.pid;
	free(file);
	return 0;
}
