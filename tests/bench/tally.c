/* SPDX-License-Identifier: MIT
 *
 * What the writer left in a trace, straight from its bytes: for checks of the writer
 * that do not lean on the reader.
 *
 *   tally TRACE             prints "name value" lines
 *
 * Counters of the live page, slot segments and the slots they hold that are not free.
 */
#include <stdio.h>
#include <string.h>

#include "preload/trace_format.h"

struct tally {
	unsigned long segments, slots, slots_used;
};

static int read_at(FILE *f, long offset, void *to, size_t bytes)
{
	return fseek(f, offset, SEEK_SET) == 0 && fread(to, 1, bytes, f) == bytes ? 0 : -1;
}

static void count_slots(FILE *f, long at, const struct pinw_segment *segment, unsigned stride,
                        struct tally *t)
{
	unsigned long room = (segment->bytes - sizeof(*segment)) / stride;

	t->segments++;
	for (unsigned long i = 0; i < room; i++) {
		struct pinw_slot slot;
		if (read_at(f, at + (long)(sizeof(*segment) + i * stride), &slot, sizeof(slot)) < 0)
			return;
		t->slots++;
		t->slots_used += slot.state != PINW_SLOT_FREE;
	}
}

static void walk(FILE *f, unsigned stride, struct tally *t)
{
	struct pinw_segment segment;

	for (long at = PINW_SEGMENTS_OFFSET; read_at(f, at, &segment, sizeof(segment)) == 0;
	     at += (long)segment.bytes) {
		if (segment.magic != PINW_SEGMENT_MAGIC || segment.bytes < PINW_SEGMENT_ALIGN)
			return;
		if (segment.kind == PINW_SEG_SLOTS)
			count_slots(f, at, &segment, stride, t);
	}
}

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "re") : NULL;
	struct pinw_trace_header header;
	struct pinw_trace_live live;
	struct tally t = {0, 0, 0};

	if (!f || read_at(f, 0, &header, sizeof(header)) < 0 ||
	    read_at(f, PINW_LIVE_OFFSET, &live, sizeof(live)) < 0 ||
	    memcmp(header.magic, PINW_TRACE_MAGIC, sizeof(header.magic)) != 0 ||
	    header.slot_bytes < sizeof(struct pinw_slot)) {
		fprintf(stderr, "usage: %s TRACE (a whole one)\n", argv[0]);
		return 2;
	}
	walk(f, header.slot_bytes, &t);
	fclose(f);
	const struct pinw_counters *c = &live.counters;
#define SAY(name, value) printf("%s %lu\n", name, (unsigned long)(value))
	SAY("created", c->threads_created);
	SAY("joined", c->threads_joined);
	SAY("exited", c->threads_exited);
	SAY("live", c->threads_live);
	SAY("peak", c->threads_peak);
	SAY("written", c->events_written);
	SAY("dropped", c->events_dropped);
	SAY("unfiled", c->slots_unfiled);
	SAY("slot_segments", t.segments);
	SAY("slots", t.slots);
	SAY("slots_used", t.slots_used);
#undef SAY
	return 0;
}
