/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy.h"
#include "reports/reader.h"
#include "reports/reader_private.h"

/* ---- the window ------------------------------------------------------------------ */

/* `len` bytes of the file at `offset`, valid until the next call; `len` is at most PINW_WINDOW_BYTES, both are
 * multiples of 8. NULL when the file has no such bytes (it was longer when it was opened). */
const unsigned char *pinw_reader_window(struct pinw_reader *r, uint64_t offset, size_t len)
{
	if (offset < r->window_offset || offset - r->window_offset > r->window_bytes ||
	    r->window_bytes - (offset - r->window_offset) < len) {
		ssize_t n = pinw_reader_pread(r, r->window, PINW_WINDOW_BYTES, offset);
		r->window_offset = offset;
		r->window_bytes = n < 0 ? 0 : (size_t)n;
		if (r->window_bytes < len) {
			pinw_reader_problem(r, n < 0 ? "cannot be read" : "file shrank while it was read",
			                    offset);
			return NULL;
		}
	}
	return r->window + (offset - r->window_offset);
}

/* What was read may be older than what is there now: a process can be writing. */
static void forget_window(struct pinw_reader *r)
{
	r->window_bytes = 0;
}

/* Bytes that can be had at `offset` without reading again, at most `max`. */
static size_t window_left(const struct pinw_reader *r, uint64_t offset, uint64_t max)
{
	size_t left = r->window_bytes - (size_t)(offset - r->window_offset);

	return left < max ? left : (size_t)max;
}

static size_t leading_zeros(const unsigned char *p, size_t len)
{
	size_t i = 0;

	while (i + 8 <= len) {
		uint64_t word;
		memcpy(&word, p + i, sizeof(word));
		if (word)
			break;
		i += 8;
	}
	return i;
}

/* Where the file's next data can be: holes need not be read, however long they are. */
static uint64_t next_data(const struct pinw_reader *r, uint64_t offset)
{
	off_t data = lseek(r->fd, (off_t)offset, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? r->size : offset;
	return (uint64_t)data > offset ? (uint64_t)data : offset;
}

/* How many bytes from `offset` on are zero and can be stepped over, up to `max`. `p` is the window there. */
uint64_t pinw_reader_zero_run(struct pinw_reader *r, const unsigned char *p, uint64_t offset, uint64_t max)
{
	size_t left = window_left(r, offset, max);
	size_t zeros = leading_zeros(p, left);

	if (zeros < left)
		return zeros;
	uint64_t data = next_data(r, offset + zeros) - offset;
	return data < max ? data : max;
}

/* ---- segments -------------------------------------------------------------------- */

static bool segment_valid(const struct pinw_segment *s)
{
	return s->magic == PINW_SEGMENT_MAGIC && s->bytes >= PINW_SEGMENT_ALIGN &&
	       s->bytes % PINW_SEGMENT_ALIGN == 0 &&
	       s->check == (s->kind ^ (uint32_t)s->bytes ^ s->first ^ PINW_SEGMENT_MAGIC);
}

static int add_segment(struct pinw_reader *r, uint64_t offset, const struct pinw_segment *s)
{
	if ((r->segment_count & (r->segment_count - 1)) == 0) {
		size_t room = r->segment_count ? r->segment_count * 2 : 1;
		struct pinw_reader_segment *grown = realloc(r->segments, room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		r->segments = grown;
	}
	uint64_t left = r->size - offset;
	if (s->bytes > left)
		pinw_reader_problem(r, "segment runs past the end of the file", offset);
	r->segments[r->segment_count++] = (struct pinw_reader_segment){
	    .offset = offset,
	    .bytes = s->bytes < left ? s->bytes : left,
	    .reserved_cells = s->reserved_cells,
	    .kind = s->kind,
	    .cut = s->bytes > left,
	};
	return 0;
}

/* Finds the segments from `offset` on. Where one should start and none does, the search goes on page by page, so one damaged
 * header does not hide what follows. Zeros at the end are no damage: the writer was growing the file. */
static int find_segments(struct pinw_reader *r, uint64_t offset)
{
	uint64_t gap = 0; /* where zeros began that should have been a segment */
	bool lost = false;

	while (offset < r->size && r->size - offset >= sizeof(struct pinw_segment)) {
		struct pinw_segment s;
		ssize_t n = pinw_reader_pread(r, &s, sizeof(s), offset);
		if (n < (ssize_t)sizeof(s)) {
			pinw_reader_problem(r, "cannot be read", offset);
			return n < 0 ? (int)n : 0;
		}
		if (segment_valid(&s)) {
			if (gap)
				pinw_reader_problem(r, "segment header missing", gap);
			gap = 0;
			lost = false;
			if (r->segment_count == PINW_SEGMENTS_MAX) {
				pinw_reader_problem(r, "too many segments", offset);
				return 0;
			}
			int error = add_segment(r, offset, &s);
			if (error < 0)
				return error;
			offset += r->segments[r->segment_count - 1].bytes;
			continue;
		}
		if (s.magic != 0 && !lost) {
			pinw_reader_problem(r, "segment header damaged", offset);
			lost = true;
		}
		if (s.magic == 0 && !lost && !gap)
			gap = offset;
		uint64_t data =
		    next_data(r, offset + PINW_SEGMENT_ALIGN) & ~(uint64_t)(PINW_SEGMENT_ALIGN - 1);
		offset += PINW_SEGMENT_ALIGN;
		offset = data > offset ? data : offset;
	}
	return 0;
}

/* ---- cells ----------------------------------------------------------------------- */

static void step_uncommitted(struct pinw_cell_walk *w, uint64_t cells)
{
	if (w->at < w->reserved && !w->after_damage) {
		uint64_t handed_out = w->reserved - w->at;
		w->uncommitted += cells < handed_out ? cells : handed_out;
	}
	w->at += cells;
}

/* Finds one whole record at `offset`. Returns NULL and its cells, or what is wrong. */
static const char *check_record(struct pinw_reader *r, uint64_t offset, uint64_t max_cells,
                                unsigned *ret_cells)
{
	const unsigned char *p = pinw_reader_window(r, offset, PINW_CELL_BYTES);
	if (!p)
		return "record cannot be read";
	struct pinw_cell_head head;
	memcpy(&head, p, sizeof(head));
	if (head.type == PINW_REC_NONE || head.cells == 0 || head.index != 0 ||
	    head.bytes > head.cells * PINW_CELL_PAYLOAD)
		return "record head damaged";
	if (head.cells > max_cells)
		return "record runs past its segment";
	p = pinw_reader_window(r, offset, (size_t)head.cells * PINW_CELL_BYTES);
	if (!p)
		return "record cannot be read";

	uint16_t check = head.check;
	uint64_t sum;
	head.check = 0;
	memcpy(&sum, &head, sizeof(sum));
	sum = pinw_check_step(0, sum);
	for (unsigned i = 0; i < head.cells; i++) {
		struct pinw_cell cell;
		memcpy(&cell, p + (size_t)i * PINW_CELL_BYTES, sizeof(cell));
		if (i > 0 && (cell.head.type != PINW_REC_CONT || cell.head.index != i))
			return "record continued by another one";
		for (unsigned word = 0; word < PINW_CELL_PAYLOAD / 8; word++)
			sum = pinw_check_step(sum, cell.payload[word]);
		memcpy(r->payload + (size_t)i * (PINW_CELL_PAYLOAD / 8), cell.payload, sizeof(cell.payload));
	}
	if (pinw_check_fold(sum) != check)
		return "record check wrong";
	*ret_cells = head.cells;
	return NULL;
}

static void deliver(struct pinw_cell_walk *w, uint64_t offset, const struct pinw_cell_head *head)
{
	struct pinw_read_record rec = {.type = head->type, .segment = w->kind, .offset = offset};

	if (!pinw_reader_knows(head->type)) {
		w->r->tally.unknown++;
		return;
	}
	const char *what = pinw_reader_decode(w->r, w->r->payload, head->bytes, &rec);
	if (what) {
		pinw_reader_problem(w->r, what, offset);
		return;
	}
	w->r->tally.records++;
	if (w->fn)
		w->fn(w->arg, &rec);
}

void pinw_reader_step_record(struct pinw_cell_walk *w)
{
	uint64_t offset = w->first + w->at * PINW_CELL_BYTES;
	unsigned cells = 1;
	const char *what = check_record(w->r, offset, w->cells - w->at, &cells);

	if (what) {
		forget_window(w->r);
		what = check_record(w->r, offset, w->cells - w->at, &cells);
	}
	w->r->tally.in_flight_cells += w->uncommitted;
	w->uncommitted = 0;
	w->after_damage = what != NULL;
	w->at += cells;
	if (what) {
		pinw_reader_problem(w->r, what, offset);
		return;
	}
	struct pinw_cell_head head;
	memcpy(&head, pinw_reader_window(w->r, offset, PINW_CELL_BYTES), sizeof(head));
	deliver(w, offset, &head);
}

static void walk_cells(struct pinw_reader *r, const struct pinw_reader_segment *s, pinw_record_fn fn,
                       void *arg)
{
	struct pinw_cell_walk w = {
	    .r = r, .first = s->offset + sizeof(struct pinw_segment), .kind = s->kind, .fn = fn, .arg = arg};

	w.cells = (s->bytes - sizeof(struct pinw_segment)) / PINW_CELL_BYTES;
	w.reserved = s->reserved_cells < w.cells ? s->reserved_cells : w.cells;
	while (w.at < w.cells) {
		uint64_t offset = w.first + w.at * PINW_CELL_BYTES;
		const unsigned char *p = pinw_reader_window(r, offset, PINW_CELL_BYTES);
		if (!p)
			return;
		uint64_t head; /* stored at once: one that was not committed is all zero */
		memcpy(&head, p, sizeof(head));
		if (p[0] == PINW_REC_CONT)
			step_uncommitted(&w, 1);
		else if (head != 0)
			pinw_reader_step_record(&w);
		else {
			uint64_t max = (w.cells - w.at) * PINW_CELL_BYTES;
			uint64_t zeros = pinw_reader_zero_run(r, p, offset, max) / PINW_CELL_BYTES;
			step_uncommitted(&w, zeros ? zeros : 1);
		}
	}
	/* The last cells of a full segment can be too few for the record that asked for them. */
	if (s->reserved_cells <= w.cells)
		r->tally.in_flight_cells += w.uncommitted;
}

/* ---- slots ----------------------------------------------------------------------- */

/* A slot caught in the middle of a change is read again; a process that was killed leaves it so for good. */
static const struct pinw_slot *steady_slot(struct pinw_reader *r, uint64_t offset)
{
	const struct pinw_slot *slot = NULL;

	for (int tries = 0; tries < 3; tries++) {
		slot = (const void *)pinw_reader_window(r, offset, r->header.slot_bytes);
		if (!slot || !slot->busy)
			break;
		forget_window(r);
	}
	return slot;
}

static void deliver_slot(struct pinw_reader *r, uint64_t offset, pinw_slot_fn fn, void *arg)
{
	const struct pinw_slot *slot = steady_slot(r, offset);

	if (!slot || slot->state == PINW_SLOT_FREE)
		return;
	if (slot->state > PINW_SLOT_EXITED)
		pinw_reader_problem(r, "slot in an unknown state", offset);
	else if (slot->thread == 0 && !slot->busy)
		pinw_reader_problem(r, "slot in use without a thread", offset);
	else if (slot->thread != 0 && fn)
		fn(arg, slot, (const uint64_t *)(slot + 1));
}

static void walk_slots(struct pinw_reader *r, const struct pinw_reader_segment *s, pinw_slot_fn fn, void *arg)
{
	uint32_t stride = r->header.slot_bytes;
	uint64_t first = s->offset + sizeof(struct pinw_segment);
	uint64_t slots = (s->bytes - sizeof(struct pinw_segment)) / stride;

	for (uint64_t at = 0; at < slots;) {
		uint64_t offset = first + at * stride;
		const unsigned char *p = pinw_reader_window(r, offset, stride);
		if (!p)
			return;
		uint64_t zeros = pinw_reader_zero_run(r, p, offset, (slots - at) * stride) / stride;
		if (!zeros)
			deliver_slot(r, offset, fn, arg);
		at += zeros ? zeros : 1;
	}
}

/* ---- rules ----------------------------------------------------------------------- */

/* Cell number `at` of the table is that of rule `at` + 1, and so it says. */
static bool cell_is_unused(const struct pinw_rule_cell *cell)
{
	static const struct pinw_rule_cell unused;

	return memcmp(cell, &unused, sizeof(unused)) == 0;
}

static void walk_rules(struct pinw_reader *r, const struct pinw_reader_segment *s, pinw_rule_fn fn, void *arg)
{
	uint64_t first = s->offset + sizeof(struct pinw_segment);
	uint64_t cells = (s->bytes - sizeof(struct pinw_segment)) / sizeof(struct pinw_rule_cell);

	if (cells > PINW_POLICY_RULES_MAX + PINW_SEGMENT_ALIGN / sizeof(struct pinw_rule_cell)) {
		pinw_reader_problem(r, "more rules than a policy can have", s->offset);
		cells = PINW_POLICY_RULES_MAX;
	}
	for (uint64_t at = 0; at < cells; at++) {
		uint64_t offset = first + at * sizeof(struct pinw_rule_cell);
		const unsigned char *p = pinw_reader_window(r, offset, sizeof(struct pinw_rule_cell));
		struct pinw_rule_cell cell;
		if (!p)
			return;
		memcpy(&cell, p, sizeof(cell));
		if (cell_is_unused(&cell))
			continue;
		if (cell.id != at + 1 || cell.id > PINW_POLICY_RULES_MAX)
			pinw_reader_problem(r, "rule cell damaged", offset);
		else
			fn(arg, &cell);
	}
}

/* ---- all of it ------------------------------------------------------------------- */

static void walk_kind(struct pinw_reader *r, uint32_t kind, pinw_record_fn fn, void *arg)
{
	for (size_t i = 0; i < r->segment_count; i++)
		if (r->segments[i].kind == kind)
			walk_cells(r, &r->segments[i], fn, arg);
}

int pinw_reader_prepare(struct pinw_reader *r)
{
	if (!r->window && !(r->window = malloc(PINW_WINDOW_BYTES)))
		return -ENOMEM;
	if (r->prepared)
		return 0;
	r->prepared = true;
	return find_segments(r, PINW_SEGMENTS_OFFSET);
}

/* The last segment as far as it is there now. */
static int mend_cut_segment(struct pinw_reader *r, struct pinw_reader_segment *s)
{
	struct pinw_segment head;
	ssize_t n = pinw_reader_pread(r, &head, sizeof(head), s->offset);

	if (n < (ssize_t)sizeof(head) || !segment_valid(&head))
		return n < 0 ? (int)n : 0;
	uint64_t left = r->size - s->offset;
	s->cut = head.bytes > left;
	s->bytes = s->cut ? left : head.bytes;
	return 0;
}

int pinw_reader_refresh(struct pinw_reader *r)
{
	struct stat st;
	uint64_t end = PINW_SEGMENTS_OFFSET;

	bool known = r->prepared;
	int error = pinw_reader_prepare(r);
	if (error < 0 || !known)
		return error;
	forget_window(r);
	if (fstat(r->fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size <= r->size)
		return 0;
	r->size = (uint64_t)st.st_size;
	if (r->segment_count) {
		struct pinw_reader_segment *last = &r->segments[r->segment_count - 1];
		error = last->cut ? mend_cut_segment(r, last) : 0;
		if (error < 0)
			return error;
		end = last->offset + last->bytes;
	}
	return find_segments(r, end);
}

void pinw_reader_rest(struct pinw_reader *r)
{
	free(r->window);
	r->window = NULL;
	r->window_bytes = 0;
}

int pinw_reader_slots(struct pinw_reader *r, pinw_slot_fn on_slot, void *arg)
{
	int error = pinw_reader_refresh(r);

	for (size_t i = 0; error == 0 && i < r->segment_count; i++)
		if (r->segments[i].kind == PINW_SEG_SLOTS)
			walk_slots(r, &r->segments[i], on_slot, arg);
	return error;
}

int pinw_reader_walk(struct pinw_reader *r, pinw_record_fn on_record, pinw_slot_fn on_slot, void *arg)
{
	int error = pinw_reader_prepare(r);

	if (error < 0)
		return error;
	walk_kind(r, PINW_SEG_EVENTS, on_record, arg);
	forget_window(r);
	for (size_t i = 0; i < r->segment_count; i++)
		if (r->segments[i].kind == PINW_SEG_SLOTS)
			walk_slots(r, &r->segments[i], on_slot, arg);
		else if (r->segments[i].kind < PINW_SEG_SLOTS || r->segments[i].kind > PINW_SEG_RULES)
			r->tally.unknown++;
	forget_window(r);
	walk_kind(r, PINW_SEG_META, on_record, arg);
	return 0;
}

int pinw_reader_rules(struct pinw_reader *r, pinw_rule_fn on_rule, void *arg)
{
	bool met = false;
	int error = pinw_reader_prepare(r);

	if (error < 0)
		return error;
	forget_window(r);
	for (size_t i = 0; i < r->segment_count; i++) {
		if (r->segments[i].kind != PINW_SEG_RULES)
			continue;
		if (met)
			pinw_reader_problem(r, "a second table of rules", r->segments[i].offset);
		else
			walk_rules(r, &r->segments[i], on_rule, arg);
		met = true;
	}
	return 0;
}

int pinw_reader_walk_meta(struct pinw_reader *r, pinw_record_fn on_record, void *arg)
{
	int error = pinw_reader_prepare(r);

	if (error < 0)
		return error;
	forget_window(r);
	walk_kind(r, PINW_SEG_META, on_record, arg);
	return 0;
}
