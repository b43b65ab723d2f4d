/* SPDX-License-Identifier: MIT
 *
 * The writer of the trace file (layout: trace_format.h).
 *
 * Promises: after pinw_trace_open the writer holds no descriptor; growth re-opens
 * the file by path, checks that it is the same inode, writes zeros (so that a full
 * disk is an error and never a SIGBUS), maps the new segment and closes again. Nothing
 * is ever unmapped while the image lives. Writing a record is lock-free; only growth
 * is done by one thread at a time, with signals blocked, and a thread that cannot
 * wait for it drops its record and counts it. errno is never touched.
 */
#ifndef PINW_TRACE_H
#define PINW_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "preload/trace_format.h"

/* What becomes the file's header. Strings are borrowed for the call. */
struct pinw_trace_setup {
	char path[PINW_PATH_MAX]; /* absolute; filled by pinw_outfile_create */
	int fd; /* open on it, consumed by pinw_trace_open */
	uint64_t max_bytes;
	struct pinw_trace_header header; /* check is computed here */
};

/* Lays out the new file and maps it. Closes setup->fd in any case. On success the live page is
 * `*ret_live` (mapped) and slots, metadata and events have their first segments.
 * Returns 0 or -errno (then the file is removed again). */
int pinw_trace_open(struct pinw_trace_setup *setup, struct pinw_trace_live **ret_live);

/* Forgets the parent's mappings in a fork child, without writing to them. */
void pinw_trace_abandon(void);

/* Sets header flags after the fact (init only: not atomic against a reader). */
void pinw_trace_set_flags(uint32_t flags);

/* Appends one event record: `fixed` bytes of struct, then `extra` bytes (may be 0). Counts it as written or
 * dropped. `type` is an event of enum pinw_record. */
void pinw_trace_event(unsigned type, const void *record, size_t fixed, const void *extra, size_t extra_bytes);

/* pinw_trace_event in two steps, for one cell, that use general registers only and call nothing. The first returns 0 and a cell,
 * which must be filled, or NULL where the event is dropped, and counted; -EAGAIN where the file has to grow for it or for those
 * after it: then pinw_trace_event does that. */
int pinw_trace_take_cell(struct pinw_cell **ret_cell);
void pinw_trace_fill_cell(struct pinw_cell *cell, unsigned type, const uint64_t *record, size_t words);

/* The same as pinw_trace_event for metadata. Returns 0 or -ENOSPC. */
int pinw_trace_meta(unsigned type, const void *record, size_t fixed, const void *extra, size_t extra_bytes);

/* Makes the next event segment, a large one, now: soon the file can no longer grow. */
void pinw_trace_reserve(void);

/* Notes (enum pinw_note); thread is the caller's sequence or 0. */
void pinw_trace_note(uint32_t thread, uint32_t code, uint32_t arg);

/* Makes room for `count` more slots; the segment's slots are `*ret_slots`, zeroed, pinw_slot_bytes() apart.
 * Returns 0, or -errno when the file cannot hold them. Called with the growth lock free. */
int pinw_trace_grow_slots(uint32_t first, uint32_t count, void **ret_slots);

/* Makes the segment of rule cells, zeroed. Returns 0 or -errno. */
int pinw_trace_rules(uint32_t count, struct pinw_rule_cell **ret_cells);

/* The first slot segment, made by pinw_trace_open. */
void *pinw_trace_first_slots(uint32_t *ret_count);

size_t pinw_slot_bytes(void);

#endif
