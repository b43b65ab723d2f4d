/* SPDX-License-Identifier: MIT */
#include "preload/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/lock.h"
#include "preload/shim.h"
#include "preload/trace_file.h"

#define GROW_WAIT_NS 20000000u
#define WRITE_WAIT_NS 500000000u /* a writer waits this long for somebody else's growth, then drops */
#define HURRIED_WAIT_NS 20000000u /* and this long in a hook of Go code */
#define SEGMENTS_MAX 1024u
#define FIRST_SLOTS_BYTES 12288u
#define FIRST_META_BYTES 8192u
#define FIRST_EVENTS_BYTES 16384u
#define EVENTS_STEP_MAX (256u << 10)
#define RESERVE_BYTES (1u << 20)
#define META_STEP_MAX (256u << 10)
#define MADV_POPULATE_WRITE_ 23 /* Linux 5.14; older kernels say EINVAL and fault page by page */

/* A segment as the host knows it. The file's own copy of these numbers is never believed. */
struct segment {
	struct pinw_segment *head;
	struct pinw_cell *cells;
	uint64_t cell_count;
};

/* The segments of one kind of record. */
struct region {
	struct segment *current; /* atomic */
	struct segment *next; /* atomic: made ahead, when current is three quarters full */
	uint64_t step; /* bytes of the next segment */
	uint64_t step_max;
	uint32_t kind;
	uint32_t made; /* segments so far */
	uint64_t
	    failures; /* atomic: writers that found no room; only at powers of two do they wait or grow */
};

static struct {
	struct pinw_trace_file file;
	int open_fd; /* while growing */
	uint64_t max_bytes;
	uint64_t file_bytes;
	struct pinw_trace_header *header;
	struct pinw_trace_live *live;
	void *first_slots;
	uint32_t first_slots_count;
	uint32_t slot_bytes;
	bool growth_noted;
	struct pinw_lock lock;
	struct segment segments[SEGMENTS_MAX];
	uint32_t segments_used;
	struct region events, meta;
	struct {
		void *start;
		size_t bytes;
	} maps[SEGMENTS_MAX];
	uint32_t maps_used;
} trace;

/* ---- the file ------------------------------------------------------------------- */

static int map_range(int fd, uint64_t offset, uint64_t bytes, void **ret_start)
{
	if (trace.maps_used == SEGMENTS_MAX)
		return -ENOSPC;
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	long p = pinw_sys6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, flags, fd, (long)offset);
	if (p < 0 && p > -4096)
		return (int)p;
	if (fd >= 0)
		pinw_sys3(SYS_madvise, p, bytes, MADV_POPULATE_WRITE_);
	trace.maps[trace.maps_used].start = (void *)p;
	trace.maps[trace.maps_used].bytes = bytes;
	trace.maps_used++;
	*ret_start = (void *)p;
	return 0;
}

/* Appends `bytes` to the file and maps them. Called with the lock held. */
static int extend(uint64_t bytes, uint64_t limit, void **ret_start)
{
	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return -EPERM;
	if (trace.file_bytes + bytes > limit)
		return -E2BIG; /* the bound the user set, not the disk's */
	int fd = pinw_trace_file_reopen(&trace.file);
	if (fd < 0)
		return fd;
	trace.open_fd = fd;
	int r = pinw_trace_file_write_zeros(&trace.file, fd, trace.file_bytes, bytes);
	if (r == 0)
		r = map_range(fd, trace.file_bytes, bytes, ret_start);
	if (!pinw_trace_file_is(&trace.file, fd)) {
		if (r == 0) { /* mapped somebody else's file: nothing was stored in it */
			pinw_sys2(SYS_munmap, *ret_start, bytes);
			trace.maps_used--;
		}
		return -ESTALE;
	}
	pinw_sys1(SYS_close, fd);
	if (r < 0)
		return r;
	trace.file_bytes += bytes;
	__atomic_store_n(&trace.live->file_bytes, trace.file_bytes, __ATOMIC_RELAXED);
	return 0;
}

static void write_segment_head(struct pinw_segment *head, uint32_t kind, uint64_t bytes, uint32_t first)
{
	head->kind = kind;
	head->bytes = bytes;
	head->first = first;
	head->check = kind ^ (uint32_t)bytes ^ first ^ PINW_SEGMENT_MAGIC;
	__atomic_store_n(&head->magic, PINW_SEGMENT_MAGIC, __ATOMIC_RELEASE);
}

/* Describes a mapped segment of records. NULL when the table is full. */
static struct segment *adopt_segment(struct region *region, void *start, uint64_t bytes)
{
	if (trace.segments_used == SEGMENTS_MAX)
		return NULL;
	struct segment *segment = &trace.segments[trace.segments_used++];
	segment->head = start;
	segment->cells = (struct pinw_cell *)start + 1;
	segment->cell_count = bytes / PINW_CELL_BYTES - 1;
	write_segment_head(start, region->kind, bytes, region->made++);
	return segment;
}

/* ---- growth --------------------------------------------------------------------- */

/* Events may fill three quarters of the bound; the rest is kept for slots and stacks. */
static uint64_t limit_of(const struct region *region)
{
	return region->kind == PINW_SEG_EVENTS ? trace.max_bytes / 4 * 3 : trace.max_bytes;
}

/* Makes the region's next segment unless somebody did meanwhile. Lock held. */
static int grow_locked(struct region *region)
{
	void *start = NULL;

	if (__atomic_load_n(&region->next, __ATOMIC_RELAXED))
		return 0;
	uint64_t bytes = region->step;
	if (bytes >= 2 * PINW_TRACE_PIECE) /* end where an aligned piece does */
		bytes -= (trace.file_bytes + bytes) % PINW_TRACE_PIECE;
	int r = extend(bytes, limit_of(region), &start);
	if (r == -E2BIG) {
		/* The last stretch before the bound, in whole pages. */
		uint64_t left = limit_of(region) - trace.file_bytes;
		bytes = left / PINW_SEGMENT_ALIGN * PINW_SEGMENT_ALIGN;
		if (trace.file_bytes < limit_of(region) && bytes && bytes < region->step)
			r = extend(bytes, limit_of(region), &start);
	}
	if (r < 0 || !start)
		return r;
	struct segment *segment = adopt_segment(region, start, bytes);
	if (!segment)
		return -ENOSPC;
	if (region->step < region->step_max)
		region->step *= 2;
	__atomic_store_n(&region->next, segment, __ATOMIC_RELEASE);
	return 0;
}

/* Moves on to the next segment once `full` has no room. 0: try again. */
static int advance(struct region *region, struct segment *full, uint64_t wait_ns)
{
	struct pinw_lock_state state;
	int r = pinw_lock_take(&trace.lock, wait_ns, &state);

	if (r < 0)
		return r;
	if (__atomic_load_n(&region->current, __ATOMIC_RELAXED) == full) {
		r = grow_locked(region);
		if (r == 0) {
			__atomic_store_n(&region->current, region->next, __ATOMIC_RELEASE);
			__atomic_store_n(&region->next, NULL, __ATOMIC_RELEASE);
			__atomic_store_n(&region->failures, 0, __ATOMIC_RELAXED);
		}
	}
	pinw_lock_give(&trace.lock, &state);
	return r;
}

/* Makes the next segment before it is needed, if the lock is free. */
static void grow_ahead(struct region *region)
{
	struct pinw_lock_state state;

	if (__atomic_load_n(&region->next, __ATOMIC_RELAXED) || pinw_lock_take(&trace.lock, 0, &state) < 0)
		return;
	grow_locked(region);
	pinw_lock_give(&trace.lock, &state);
}

void pinw_trace_reserve(void)
{
	struct pinw_lock_state state;

	if (pinw_lock_take(&trace.lock, GROW_WAIT_NS, &state) < 0)
		return;
	if (trace.events.step < RESERVE_BYTES)
		trace.events.step = RESERVE_BYTES;
	grow_locked(&trace.events);
	grow_locked(&trace.meta);
	pinw_lock_give(&trace.lock, &state);
}

/* A writer found no room and growth failed with `error`. */
static void note_no_growth(int error)
{
	/* At the bound the count of drops says it all. */
	if (error == -EBUSY || error == -E2BIG ||
	    __atomic_exchange_n(&trace.growth_noted, true, __ATOMIC_RELAXED))
		return;
	pinw_trace_note(pinw_tls.seq, PINW_NOTE_NO_GROWTH, (uint32_t)-error);
}

/* ---- records -------------------------------------------------------------------- */

/* Who takes this cell makes the next segment. */
static uint64_t growth_mark(const struct segment *segment)
{
	return segment->cell_count / 4 * 3;
}

/* Is a writer that finds no room not to try for more? */
static bool has_given_up(const struct region *region)
{
	uint64_t failures = __atomic_load_n(&region->failures, __ATOMIC_RELAXED);

	return failures & (failures - 1) && !__atomic_load_n(&region->next, __ATOMIC_RELAXED);
}

/* Hands out `count` adjacent cells, or NULL. */
static struct pinw_cell *reserve_cells(struct region *region, unsigned count)
{
	for (;;) {
		struct segment *segment = __atomic_load_n(&region->current, __ATOMIC_ACQUIRE);
		uint64_t at = __atomic_load_n(&segment->head->reserved_cells, __ATOMIC_RELAXED);

		while (at + count <= segment->cell_count) {
			if (!__atomic_compare_exchange_n(&segment->head->reserved_cells, &at, at + count,
			                                 true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
				continue;
			uint64_t mark = growth_mark(segment);
			if (pinw_unlikely(at <= mark && mark < at + count))
				grow_ahead(region);
			/* The next record will start here, on a line that is in no cache yet. */
			__builtin_prefetch(&segment->cells[at + count], 1);
			return &segment->cells[at];
		}
		uint64_t failures = __atomic_load_n(&region->failures, __ATOMIC_RELAXED);
		bool give_up = failures & (failures - 1) && !__atomic_load_n(&region->next, __ATOMIC_RELAXED);
		int r = give_up
		            ? -EAGAIN
		            : advance(region, segment, pinw_tls.hurried ? HURRIED_WAIT_NS : WRITE_WAIT_NS);
		if (r < 0) {
			__atomic_fetch_add(&region->failures, 1, __ATOMIC_RELAXED);
			if (r != -EAGAIN)
				note_no_growth(r);
			return NULL;
		}
	}
}

static uint64_t head_word(unsigned type, unsigned cells, unsigned index, unsigned bytes)
{
	return type | (uint64_t)cells << 8 | (uint64_t)index << 16 | (uint64_t)bytes << 32;
}

/* Copies payload bytes [at, at + PINW_CELL_PAYLOAD) of the two parts, zero filled. */
static void slice(uint64_t *words, size_t at, const void *record, size_t fixed, const void *extra,
                  size_t bytes)
{
	char *out = (char *)words;
	size_t want = PINW_CELL_PAYLOAD, n = 0;

	memset(words, 0, PINW_CELL_PAYLOAD);
	if (at < fixed) {
		n = fixed - at < want ? fixed - at : want;
		memcpy(out, (const char *)record + at, n);
	}
	if (n < want && at + n < bytes) {
		size_t left = bytes - at - n < want - n ? bytes - at - n : want - n;
		memcpy(out + n, (const char *)extra + (at + n - fixed), left);
	}
}

static int write_record(struct region *region, unsigned type, const void *record, size_t fixed,
                        const void *extra, size_t extra_bytes)
{
	size_t bytes = fixed + extra_bytes;
	unsigned count = (unsigned)((bytes + PINW_CELL_PAYLOAD - 1) / PINW_CELL_PAYLOAD);
	struct pinw_cell *cells = reserve_cells(region, count);

	if (!cells)
		return -ENOSPC;
	uint64_t head = head_word(type, count, 0, (unsigned)bytes);
	uint64_t sum = pinw_check_step(0, head);
	for (unsigned i = 0; i < count; i++) {
		uint64_t words[PINW_CELL_PAYLOAD / 8];

		slice(words, i * (size_t)PINW_CELL_PAYLOAD, record, fixed, extra, bytes);
		for (unsigned w = 0; w < PINW_CELL_PAYLOAD / 8; w++) {
			sum = pinw_check_step(sum, words[w]);
			cells[i].payload[w] = words[w];
		}
		if (i)
			*(uint64_t *)&cells[i].head = head_word(PINW_REC_CONT, count, i, 0);
	}
	/* Commit: the head of the first cell, last. */
	__atomic_store_n((uint64_t *)&cells[0].head, head | (uint64_t)pinw_check_fold(sum) << 48,
	                 __ATOMIC_RELEASE);
	return 0;
}

void pinw_trace_event(unsigned type, const void *record, size_t fixed, const void *extra, size_t extra_bytes)
{
	if (write_record(&trace.events, type, record, fixed, extra, extra_bytes) == 0)
		pinw_count(events_written, 1);
	else
		pinw_count(events_dropped, 1);
}

int pinw_trace_take_cell(struct pinw_cell **ret_cell)
{
	struct segment *segment = __atomic_load_n(&trace.events.current, __ATOMIC_ACQUIRE);
	uint64_t at = __atomic_load_n(&segment->head->reserved_cells, __ATOMIC_RELAXED);

	*ret_cell = NULL;
	do {
		if (at >= segment->cell_count && has_given_up(&trace.events)) {
			__atomic_fetch_add(&trace.events.failures, 1, __ATOMIC_RELAXED);
			pinw_count(events_dropped, 1);
			return 0;
		}
		if (at >= segment->cell_count || at == growth_mark(segment))
			return -EAGAIN;
	} while (!__atomic_compare_exchange_n(&segment->head->reserved_cells, &at, at + 1, true,
	                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	__builtin_prefetch(&segment->cells[at + 1], 1);
	*ret_cell = &segment->cells[at];
	return 0;
}

void pinw_trace_fill_cell(struct pinw_cell *cell, unsigned type, const uint64_t *record, size_t words)
{
	uint64_t head = head_word(type, 1, 0, (unsigned)(8 * words));
	uint64_t sum = pinw_check_step(0, head);

	for (size_t i = 0; i < words; i++)
		sum = pinw_check_step(sum, cell->payload[i] = record[i]);
	for (size_t i = words; i < PINW_CELL_PAYLOAD / 8; i++)
		sum = pinw_check_step(sum, cell->payload[i] = 0);
	__atomic_store_n((uint64_t *)&cell->head, head | (uint64_t)pinw_check_fold(sum) << 48,
	                 __ATOMIC_RELEASE);
	pinw_count(events_written, 1);
}

int pinw_trace_meta(unsigned type, const void *record, size_t fixed, const void *extra, size_t extra_bytes)
{
	return write_record(&trace.meta, type, record, fixed, extra, extra_bytes);
}

/* Notes live with the metadata, so that "the events are full" still finds room. */
void pinw_trace_note(uint32_t thread, uint32_t code, uint32_t arg)
{
	struct pinw_rec_note note = {.e = {.thread = thread}, .code = code, .arg = arg};

	note.e.time_ns = pinw_clock_mono() - pinw_shim.start_mono_ns;
	pinw_trace_meta(PINW_REC_NOTE, &note, sizeof(note), NULL, 0);
}

/* ---- slots ---------------------------------------------------------------------- */

size_t pinw_slot_bytes(void)
{
	return trace.slot_bytes;
}

void *pinw_trace_first_slots(uint32_t *ret_count)
{
	*ret_count = trace.first_slots_count;
	return trace.first_slots;
}

/* Appends a segment that is a table of `bytes` bytes. */
static int grow_table(uint32_t kind, uint32_t first, uint64_t bytes, void **ret_table)
{
	struct pinw_lock_state state;
	void *start = NULL;

	bytes += sizeof(struct pinw_segment);
	bytes = (bytes + PINW_SEGMENT_ALIGN - 1) / PINW_SEGMENT_ALIGN * PINW_SEGMENT_ALIGN;
	int r = pinw_lock_take(&trace.lock, GROW_WAIT_NS, &state);
	if (r < 0)
		return r;
	r = extend(bytes, trace.max_bytes, &start);
	if (r == 0 && start)
		write_segment_head(start, kind, bytes, first);
	pinw_lock_give(&trace.lock, &state);
	if (r < 0) {
		note_no_growth(r);
		return r;
	}
	*ret_table = (char *)start + sizeof(struct pinw_segment);
	return 0;
}

int pinw_trace_grow_slots(uint32_t first, uint32_t count, void **ret_slots)
{
	return grow_table(PINW_SEG_SLOTS, first, (uint64_t)count * trace.slot_bytes, ret_slots);
}

int pinw_trace_rules(uint32_t count, struct pinw_rule_cell **ret_cells)
{
	void *table;
	int r = grow_table(PINW_SEG_RULES, 0, (uint64_t)count * sizeof(struct pinw_rule_cell), &table);

	if (r == 0)
		*ret_cells = table;
	return r;
}

/* ---- open, fork ----------------------------------------------------------------- */

/* CRC-32 as in IEEE 802.3, reflected, four bits at a time. */
static uint32_t crc32_ieee(const unsigned char *p, size_t len)
{
	static const uint32_t nibble[16] = {
	    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
	    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ nibble[crc & 15];
		crc = crc >> 4 ^ nibble[crc & 15];
	}
	return ~crc;
}

/* The magic goes last: a reader that finds it finds a whole header. */
static void write_header(struct pinw_trace_header *to, const struct pinw_trace_header *from)
{
	struct pinw_trace_header *copy = to;

	memcpy((char *)copy + sizeof(copy->magic), (const char *)from + sizeof(from->magic),
	       sizeof(*from) - sizeof(from->magic));
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy(copy->magic, PINW_TRACE_MAGIC, sizeof(copy->magic));
}

static void complete_header(struct pinw_trace_header *h, uint64_t max_bytes)
{
	memcpy(h->magic, PINW_TRACE_MAGIC, sizeof(h->magic));
	h->version = PINW_TRACE_VERSION;
	h->header_bytes = PINW_HEADER_BYTES;
	h->cell_bytes = PINW_CELL_BYTES;
	h->slot_bytes = trace.slot_bytes;
	h->max_bytes = max_bytes;
	h->slots_first = trace.first_slots_count;
	h->check = 0;
	h->check = crc32_ieee((const unsigned char *)h, sizeof(*h));
}

/* Lays out the first segments in the mapped start of the file. */
static void lay_out(char *start)
{
	char *slots = start + PINW_SEGMENTS_OFFSET;
	char *meta = slots + FIRST_SLOTS_BYTES;
	char *events = meta + FIRST_META_BYTES;

	trace.header = (struct pinw_trace_header *)start;
	trace.live = (struct pinw_trace_live *)(start + PINW_LIVE_OFFSET);
	trace.live->file_bytes = trace.file_bytes;
	trace.first_slots = slots + sizeof(struct pinw_segment);
	write_segment_head((struct pinw_segment *)slots, PINW_SEG_SLOTS, FIRST_SLOTS_BYTES, 0);
	trace.meta =
	    (struct region){.kind = PINW_SEG_META, .step = 2 * FIRST_META_BYTES, .step_max = META_STEP_MAX};
	trace.meta.current = adopt_segment(&trace.meta, meta, FIRST_META_BYTES);
	uint64_t step_max = trace.max_bytes / 512 > EVENTS_STEP_MAX ? trace.max_bytes / 512 : EVENTS_STEP_MAX;
	trace.events =
	    (struct region){.kind = PINW_SEG_EVENTS, .step = 2 * FIRST_EVENTS_BYTES, .step_max = step_max};
	trace.events.current = adopt_segment(&trace.events, events, FIRST_EVENTS_BYTES);
}

/* Makes room for PINW_TRACE_HIGH_FD while no other thread shares the table of descriptors: later, at the first growth, the kernel would
 * hold up the program for 4 to 16 ms until every CPU has noticed (synchronize_rcu in expand_fdtable, fs/file.c). */
static void widen_fd_table(int fd)
{
	long high = pinw_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, PINW_TRACE_HIGH_FD);

	if (high >= 0)
		pinw_sys1(SYS_close, high);
}

/* Takes the file's first pages, or as much memory, and lets go of the file. */
static int open_file(struct pinw_trace_setup *setup, uint64_t bytes, void **ret_start)
{
	struct stat st = {0};
	int r;

	if (setup->fd < 0)
		return map_range(-1, 0, bytes, ret_start);
	r = (int)pinw_sys2(SYS_fstat, setup->fd, &st);
	trace.file.dev = st.st_dev;
	trace.file.ino = st.st_ino;
	if (r == 0)
		r = pinw_trace_file_write_zeros(&trace.file, setup->fd, 0, bytes);
	if (r == 0)
		r = map_range(setup->fd, 0, bytes, ret_start);
	widen_fd_table(setup->fd);
	pinw_sys1(SYS_close, setup->fd);
	if (r < 0)
		pinw_sys1(SYS_unlink, setup->path);
	return r;
}

int pinw_trace_open(struct pinw_trace_setup *setup, struct pinw_trace_live **ret_live)
{
	uint64_t bytes = PINW_SEGMENTS_OFFSET + FIRST_SLOTS_BYTES + FIRST_META_BYTES + FIRST_EVENTS_BYTES;
	void *start = NULL;

	trace.segments_used = trace.maps_used = 0;
	trace.growth_noted = false;
	trace.max_bytes = setup->max_bytes;
	trace.file_bytes = bytes;
	trace.slot_bytes = (uint32_t)(sizeof(struct pinw_slot) + 8 * setup->header.mask_words);
	trace.first_slots_count =
	    (FIRST_SLOTS_BYTES - (uint32_t)sizeof(struct pinw_segment)) / trace.slot_bytes;
	memcpy(trace.file.path, setup->path, sizeof(trace.file.path));
	int r = open_file(setup, bytes, &start);
	if (r < 0 || !start)
		return r < 0 ? r : -ENOMEM;
	lay_out(start);
	complete_header(&setup->header, setup->max_bytes);
	write_header(trace.header, &setup->header);
	*ret_live = trace.live;
	return 0;
}

void pinw_trace_abandon(void)
{
	/* Empty pages take their place: the child may return into a wrapper that a signal handler interrupted. */
	bool sealed =
	    __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED); /* then nothing is written any more */
	for (uint32_t i = 0; i < trace.maps_used && !sealed; i++)
		pinw_sys6(SYS_mmap, (long)trace.maps[i].start, (long)trace.maps[i].bytes,
		          PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	trace.maps_used = trace.segments_used = 0;
	if (pinw_lock_reset(&trace.lock) && !sealed && pinw_trace_file_is(&trace.file, trace.open_fd))
		pinw_sys1(SYS_close, trace.open_fd); /* somebody was growing the parent's file */
}

void pinw_trace_set_flags(uint32_t flags)
{
	struct pinw_trace_header *h = trace.header;

	h->flags |= flags;
	h->check = 0;
	h->check = crc32_ieee((const unsigned char *)h, sizeof(*h));
}
