/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "reports/reader_private.h"

/* ---- cells that were passed before they were committed ------------------------------------- */

static void add_hole(struct pinw_reader *r, const struct pinw_reader_segment *s, uint64_t cell,
                     uint64_t cells)
{
	if (r->hole_count == PINW_HOLES_MAX) {
		memmove(r->holes, r->holes + 1, (PINW_HOLES_MAX - 1) * sizeof(r->holes[0]));
		r->hole_count--;
		r->tally.in_flight_cells++;
	}
	r->holes[r->hole_count++] = (struct pinw_reader_hole){
	    .offset = s->offset + sizeof(struct pinw_segment) + cell * PINW_CELL_BYTES,
	    .cells = cells - cell,
	    .kind = s->kind,
	};
}

/* Returns whether it is one no longer: what was committed there is delivered. */
static bool fill_hole(struct pinw_reader *r, const struct pinw_reader_hole *hole, pinw_record_fn fn,
                      void *arg)
{
	struct pinw_cell_walk w = {
	    .r = r, .first = hole->offset, .cells = hole->cells, .kind = hole->kind, .fn = fn, .arg = arg};
	const unsigned char *p = pinw_reader_window(r, hole->offset, PINW_CELL_BYTES);
	uint64_t head;

	if (!p)
		return true;
	memcpy(&head, p, sizeof(head));
	if (head == 0)
		return false;
	if (p[0] != PINW_REC_CONT)
		pinw_reader_step_record(&w);
	return true;
}

static void fill_holes(struct pinw_reader *r, uint32_t kind, pinw_record_fn fn, void *arg)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->hole_count; i++) {
		struct pinw_reader_hole hole = r->holes[i];
		if (hole.kind != kind || !fill_hole(r, &hole, fn, arg))
			r->holes[kept++] = hole;
	}
	r->hole_count = kept;
}

/* ---- cells that were not passed yet ----------------------------------------------------------- */

/* Zeros among the cells that were handed out: a hole each, the last ones when they are many. */
static void pass_zeros(struct pinw_reader *r, struct pinw_reader_segment *s, uint64_t zeros, uint64_t cells)
{
	uint64_t end = s->followed + zeros;

	if (zeros > PINW_HOLES_MAX) {
		r->tally.in_flight_cells += zeros - PINW_HOLES_MAX;
		s->followed = end - PINW_HOLES_MAX;
	}
	for (; s->followed < end; s->followed++)
		add_hole(r, s, s->followed, cells);
}

static void pass_record(struct pinw_reader *r, struct pinw_reader_segment *s, uint64_t cells,
                        pinw_record_fn fn, void *arg)
{
	struct pinw_cell_walk w = {.r = r,
	                           .first = s->offset + sizeof(struct pinw_segment),
	                           .cells = cells,
	                           .kind = s->kind,
	                           .at = s->followed,
	                           .fn = fn,
	                           .arg = arg};

	pinw_reader_step_record(&w);
	s->followed = w.at;
}

/* Up to the last cell that was handed out: what lies behind it comes with a later call. */
static void follow_segment(struct pinw_reader *r, struct pinw_reader_segment *s, pinw_record_fn fn, void *arg)
{
	uint64_t cells = (s->bytes - sizeof(struct pinw_segment)) / PINW_CELL_BYTES;
	struct pinw_segment head;

	if (s->followed >= cells ||
	    pinw_reader_pread(r, &head, sizeof(head), s->offset) != (ssize_t)sizeof(head))
		return;
	uint64_t end = head.reserved_cells < cells ? head.reserved_cells : cells;
	while (s->followed < end) {
		uint64_t offset = s->offset + sizeof(head) + s->followed * PINW_CELL_BYTES, first;
		const unsigned char *p = pinw_reader_window(r, offset, PINW_CELL_BYTES);
		if (!p)
			return;
		memcpy(&first, p, sizeof(first));
		if (p[0] == PINW_REC_CONT)
			s->followed++;
		else if (s->cut && p[offsetof(struct pinw_cell_head, cells)] > cells - s->followed)
			return; /* the rest of this record is not there yet */
		else if (first != 0)
			pass_record(r, s, cells, fn, arg);
		else {
			uint64_t max = (end - s->followed) * PINW_CELL_BYTES;
			uint64_t zeros = pinw_reader_zero_run(r, p, offset, max) / PINW_CELL_BYTES;
			pass_zeros(r, s, zeros ? zeros : 1, cells);
		}
	}
}

int pinw_reader_follow(struct pinw_reader *r, uint32_t kind, pinw_record_fn on_record, void *arg)
{
	int error = pinw_reader_refresh(r);

	if (error < 0)
		return error;
	fill_holes(r, kind, on_record, arg);
	for (size_t i = 0; i < r->segment_count; i++)
		if (r->segments[i].kind == kind && r->segments[i].bytes > sizeof(struct pinw_segment))
			follow_segment(r, &r->segments[i], on_record, arg);
	return 0;
}
