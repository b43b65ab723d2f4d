/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "reports/reader_private.h"

int pinw_reader_layout(struct pinw_reader *r, struct pinw_reader_layout *ret_layout)
{
	int error = pinw_reader_prepare(r);

	*ret_layout = (struct pinw_reader_layout){.bytes = r->size};
	for (size_t i = 0; error == 0 && i < r->segment_count; i++) {
		uint32_t kind = r->segments[i].kind <= PINW_SEG_RULES ? r->segments[i].kind : 0;

		ret_layout->segments[kind].count++;
		ret_layout->segments[kind].bytes += r->segments[i].bytes;
	}
	return error;
}

/* A file being written: one segment for as long as what comes is of its kind. */
struct copier {
	struct pinw_reader *r;
	FILE *out;
	struct pinw_reader_copied *done;
	uint64_t at; /* bytes written */
	uint32_t kind; /* of the segment that is open, 0 = none */
	uint64_t start; /* where that begins */
	uint64_t before; /* slots or segments of its kind before it */
	uint64_t segments[PINW_SEG_RULES + 1]; /* of each kind */
	int error;
};

static void put(struct copier *c, const void *data, size_t len)
{
	if (c->error == 0 && fwrite(data, 1, len, c->out) != len)
		c->error = errno ? -errno : -EIO;
	c->at += len;
}

static void put_at(struct copier *c, uint64_t offset, const void *data, size_t len)
{
	uint64_t at = c->at;

	if (c->error == 0 && fseeko(c->out, (off_t)offset, SEEK_SET) < 0)
		c->error = -errno;
	put(c, data, len);
	if (c->error == 0 && fseeko(c->out, (off_t)at, SEEK_SET) < 0)
		c->error = -errno;
	c->at = at;
}

static void put_zeros(struct copier *c, uint64_t len)
{
	static const char zeros[PINW_SEGMENT_ALIGN];

	for (; len > 0; len -= len < sizeof(zeros) ? len : sizeof(zeros))
		put(c, zeros, len < sizeof(zeros) ? (size_t)len : sizeof(zeros));
}

static void end_segment(struct copier *c)
{
	struct pinw_segment s = {.magic = PINW_SEGMENT_MAGIC, .kind = c->kind, .first = (uint32_t)c->before};

	if (!c->kind)
		return;
	if (c->kind == PINW_SEG_EVENTS || c->kind == PINW_SEG_META)
		s.reserved_cells = (c->at - c->start - sizeof(s)) / PINW_CELL_BYTES;
	put_zeros(c, -c->at % PINW_SEGMENT_ALIGN);
	s.bytes = c->at - c->start;
	s.check = s.kind ^ (uint32_t)s.bytes ^ s.first ^ PINW_SEGMENT_MAGIC;
	put_at(c, c->start, &s, sizeof(s));
	c->kind = 0;
}

/* Makes sure that what is written next goes to a segment of this kind. */
static void want_segment(struct copier *c, uint32_t kind)
{
	if (c->kind == kind)
		return;
	end_segment(c);
	c->kind = kind;
	c->start = c->at;
	c->before = kind == PINW_SEG_SLOTS ? c->done->slots : c->segments[kind];
	c->segments[kind]++;
	put_zeros(c, sizeof(struct pinw_segment));
}

/* The cells as they are in the file: they were just checked. */
static void copy_record(void *arg, const struct pinw_read_record *rec)
{
	struct copier *c = arg;
	struct pinw_cell cells[255];
	ssize_t n = pinw_reader_pread(c->r, cells, sizeof(cells), rec->offset);
	size_t len = n < (ssize_t)sizeof(cells[0]) ? 0 : (size_t)cells[0].head.cells * PINW_CELL_BYTES;

	if (len == 0 || (size_t)n < len) {
		c->error = c->error ? c->error : n < 0 ? (int)n : -EIO;
		return;
	}
	want_segment(c, rec->segment);
	put(c, cells, len);
	c->done->records++;
}

static void copy_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct copier *c = arg;

	(void)mask; /* follows the slot */
	want_segment(c, PINW_SEG_SLOTS);
	put(c, slot, c->r->header.slot_bytes);
	c->done->slots++;
}

/* The cell of a rule has its place. */
static void copy_rule(void *arg, const struct pinw_rule_cell *cell)
{
	struct copier *c = arg;

	want_segment(c, PINW_SEG_RULES);
	put_zeros(c, c->start + sizeof(struct pinw_segment) + (cell->id - 1) * sizeof(*cell) - c->at);
	put(c, cell, sizeof(*cell));
	c->done->rules++;
}

static void put_front(struct copier *c)
{
	struct pinw_trace_header header = c->r->header;
	struct pinw_trace_live live = *pinw_reader_live(c->r);

	header.slots_first = (uint32_t)c->done->slots;
	header.check = pinw_reader_header_check(&header);
	live.file_bytes = c->at;
	live.counters.golocks_open = 0; /* told from the others */
	put_at(c, 0, &header, sizeof(header));
	put_at(c, PINW_LIVE_OFFSET, &live, sizeof(live));
}

int pinw_reader_copy(struct pinw_reader *r, FILE *out, struct pinw_reader_copied *ret_copied)
{
	struct copier c = {.r = r, .out = out, .done = ret_copied};

	*ret_copied = (struct pinw_reader_copied){0};
	errno = 0;
	put_zeros(&c, PINW_SEGMENTS_OFFSET);
	int error = pinw_reader_walk(r, copy_record, copy_slot, &c);
	if (error == 0)
		error = pinw_reader_rules(r, copy_rule, &c);
	if (error == -ENOMEM)
		return error; /* of another file error the rest is what there is to recover, and it is a problem */
	end_segment(&c);
	put_front(&c);
	if (c.error == 0 && fflush(out) != 0)
		c.error = -errno;
	ret_copied->bytes = c.at;
	return c.error;
}
