/* SPDX-License-Identifier: MIT */
#include "reports/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reports/reader_private.h"

void pinw_reader_problem(struct pinw_reader *r, const char *what, uint64_t offset)
{
	if (r->problem_count < PINW_PROBLEMS_MAX)
		r->problems[r->problem_count] = (struct pinw_problem){.what = what, .offset = offset};
	r->problem_count++;
}

uint64_t pinw_reader_problems(const struct pinw_reader *r, struct pinw_problem *ret_problems, size_t max)
{
	size_t kept = r->problem_count < PINW_PROBLEMS_MAX ? (size_t)r->problem_count : PINW_PROBLEMS_MAX;

	memcpy(ret_problems, r->problems, (kept < max ? kept : max) * sizeof(*ret_problems));
	return r->problem_count;
}

struct pinw_reader_tally pinw_reader_tally(const struct pinw_reader *r)
{
	return r->tally;
}

const struct pinw_trace_header *pinw_reader_header(const struct pinw_reader *r)
{
	return &r->header;
}

void pinw_reader_file(const struct pinw_reader *r, uint64_t *ret_device, uint64_t *ret_inode)
{
	*ret_device = r->device;
	*ret_inode = r->inode;
}

ssize_t pinw_reader_pread(const struct pinw_reader *r, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	if (offset > INT64_MAX - PINW_WINDOW_BYTES)
		return 0;
	while (done < len) {
		ssize_t n = pread(r->fd, (char *)buf + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Locks are counted before their ends, but a file that is still written is not read at one moment. */
static uint64_t golocks_open(const struct pinw_counters *n)
{
	uint64_t ended = n->gounlocks + n->golocks_lost;

	return n->golocks > ended ? n->golocks - ended : 0;
}

const struct pinw_trace_live *pinw_reader_live(struct pinw_reader *r)
{
	struct pinw_trace_live live;

	memset(&live, 0, sizeof(live));
	if (pinw_reader_pread(r, &live, sizeof(live), PINW_LIVE_OFFSET) >= 0) {
		live.counters.golocks_open = golocks_open(&live.counters);
		r->live = live;
	}
	return &r->live;
}

/* Four bits at a time: the header is short, and a table of 256 is not worth its page. */
static uint32_t crc32_step(uint32_t crc, const void *data, size_t len)
{
	static uint32_t nibbles[16];
	const unsigned char *p = data;

	if (!nibbles[1])
		for (uint32_t i = 0; i < 16; i++) {
			uint32_t value = i;
			for (int bit = 0; bit < 4; bit++)
				value = (value >> 1) ^ (0xedb88320u & -(value & 1u));
			nibbles[i] = value;
		}
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ nibbles[crc & 15];
		crc = crc >> 4 ^ nibbles[crc & 15];
	}
	return crc;
}

uint32_t pinw_reader_header_check(const struct pinw_trace_header *h)
{
	static const uint32_t zero;
	const char *bytes = (const char *)h;
	size_t before = offsetof(struct pinw_trace_header, check);
	size_t after = before + sizeof(h->check);
	uint32_t crc = crc32_step(~0u, bytes, before);

	crc = crc32_step(crc, &zero, sizeof(zero));
	return ~crc32_step(crc, bytes + after, sizeof(*h) - after);
}

/* Lengths are used as they are by everyone who gets the header, so they are made true here. */
static void bound_length(struct pinw_reader *r, uint32_t *length, uint32_t max, size_t field)
{
	if (*length <= max)
		return;
	*length = max;
	pinw_reader_problem(r, "a length in the header is too large", field);
}

static void bound_lengths(struct pinw_reader *r)
{
	struct pinw_trace_header *h = &r->header;

	bound_length(r, &h->exe_len, sizeof(h->exe), offsetof(struct pinw_trace_header, exe_len));
	bound_length(r, &h->cmdline_len, sizeof(h->cmdline), offsetof(struct pinw_trace_header, cmdline_len));
	bound_length(r, &h->version_len, sizeof(h->writer), offsetof(struct pinw_trace_header, version_len));
}

static int check_geometry(const struct pinw_trace_header *h)
{
	if (h->header_bytes != PINW_HEADER_BYTES || h->cell_bytes != PINW_CELL_BYTES)
		return PINW_READ_GEOMETRY;
	if (h->mask_words < 1 || h->mask_words > PINW_MASK_WORDS_MAX)
		return PINW_READ_GEOMETRY;
	if (h->slot_bytes < sizeof(struct pinw_slot) + 8 * h->mask_words || h->slot_bytes % 8 ||
	    h->slot_bytes > PINW_WINDOW_BYTES / 2)
		return PINW_READ_GEOMETRY;
	return 0;
}

/* The writer may set a flag while the header is read: a sum that is wrong once is computed again. */
static void check_header(struct pinw_reader *r)
{
	struct pinw_trace_header *h = &r->header;

	if (pinw_reader_header_check(h) == h->check)
		return;
	struct pinw_trace_header again;
	if (pinw_reader_pread(r, &again, sizeof(again), 0) == (ssize_t)sizeof(again) &&
	    pinw_reader_header_check(&again) == again.check &&
	    memcmp(again.magic, h->magic, sizeof(h->magic)) == 0 && check_geometry(&again) == 0)
		*h = again;
	else
		pinw_reader_problem(r, "header checksum wrong", offsetof(struct pinw_trace_header, check));
}

static int read_header(struct pinw_reader *r)
{
	static const char unwritten[8];
	struct pinw_trace_header *h = &r->header;
	ssize_t n = pinw_reader_pread(r, h, sizeof(*h), 0);

	if (n < 0)
		return (int)n;
	size_t begun = n < (ssize_t)sizeof(h->magic) ? (size_t)n : sizeof(h->magic);
	bool is_unwritten = memcmp(h->magic, unwritten, begun) == 0;
	if (!is_unwritten && memcmp(h->magic, PINW_TRACE_MAGIC, begun) != 0)
		return PINW_READ_NOT_A_TRACE;
	if (n < (ssize_t)sizeof(*h) || is_unwritten)
		return PINW_READ_EMPTY;
	if (h->version != PINW_TRACE_VERSION)
		return PINW_READ_VERSION;
	int error = check_geometry(h);
	if (error < 0)
		return error;
	check_header(r);
	bound_lengths(r);
	return 0;
}

/* The file is written in place and never shrinks, so less than the writer recorded means it was cut. The size is
 * asked for after the record of it is read, because a living process makes its file longer at any moment. */
static int check_size(struct pinw_reader *r)
{
	uint64_t recorded = pinw_reader_live(r)->file_bytes;
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return -errno;
	r->size = (uint64_t)st.st_size;
	if (r->size < PINW_SEGMENTS_OFFSET)
		pinw_reader_problem(r, "file ends before its live page does", r->size);
	else if (r->size < recorded)
		pinw_reader_problem(r, "file is shorter than it was when written", r->size);
	return 0;
}

static int open_file(struct pinw_reader *r)
{
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return PINW_READ_NOT_REGULAR;
	r->device = st.st_dev;
	r->inode = st.st_ino;
	int error = read_header(r);
	return error < 0 ? error : check_size(r);
}

int pinw_reader_open_fd(int fd, struct pinw_reader **ret_reader)
{
	struct pinw_reader *r = calloc(1, sizeof(*r));

	if (!r) {
		close(fd);
		return -ENOMEM;
	}
	r->fd = fd;
	int error = open_file(r);
	if (error < 0) {
		pinw_reader_free(r);
		return error;
	}
	*ret_reader = r;
	return 0;
}

int pinw_reader_open(const char *path, struct pinw_reader **ret_reader)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return pinw_reader_open_fd(fd, ret_reader);
}

void pinw_reader_free(struct pinw_reader *r)
{
	if (!r)
		return;
	close(r->fd);
	free(r->segments);
	free(r->window);
	free(r);
}

const char *pinw_reader_strerror(int error)
{
	switch (error) {
	case PINW_READ_NOT_REGULAR:
		return "not a regular file";
	case PINW_READ_EMPTY:
		return "no header: the process ended, or still is, before recording began, or the file was "
		       "cut";
	case PINW_READ_NOT_A_TRACE:
		return "not a Pinwarden trace; those are *.pwt, made by pinwarden run";
	case PINW_READ_VERSION:
		return "written in another version of the trace format";
	case PINW_READ_GEOMETRY:
		return "damaged header: sizes in it cannot be";
	default:
		return strerror(-error);
	}
}
