/* SPDX-License-Identifier: MIT
 *
 * Read with pread and never mapped: the file belongs to a program that may do anything to it. Only slots,
 * live page and rule cells are looked at, so that a look at a thousand threads is a few system calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "reports/watch_private.h"

#define BUFFER_BYTES (256u << 10)
#define SEGMENTS_PER_LOOK 4096u
#define SLOTS_MAX (UINT64_C(1) << 22) /* more than a kernel has threads */

static int read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n;

	if (offset > INT64_MAX - len)
		return -ENODATA;
	do
		n = pread(fd, buf, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -ENODATA;
}

/* ---- header --------------------------------------------------------------------------------- */

static bool is_sound(const struct pinw_trace_header *h)
{
	return h->version == PINW_TRACE_VERSION && h->header_bytes == PINW_HEADER_BYTES &&
	       h->cell_bytes == PINW_CELL_BYTES && h->mask_words >= 1 &&
	       h->mask_words <= PINW_MASK_WORDS_MAX &&
	       h->slot_bytes >= sizeof(struct pinw_slot) + 8 * h->mask_words && h->slot_bytes % 8 == 0 &&
	       h->slot_bytes <= BUFFER_BYTES;
}

int pinw_live_trace_open(int fd, const uint8_t session[16], struct pinw_live_trace *ret_trace)
{
	static const char unwritten[8];
	struct pinw_live_trace t = {.fd = fd, .scanned = PINW_SEGMENTS_OFFSET};
	struct pinw_trace_header *h = &t.header;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return -ENOMSG;
	int r = read_at(fd, h, sizeof(*h), 0);
	if (r == -ENODATA || (r == 0 && memcmp(h->magic, unwritten, sizeof(unwritten)) == 0))
		return -EAGAIN;
	if (r < 0)
		return r;
	if (memcmp(h->magic, PINW_TRACE_MAGIC, sizeof(h->magic)) != 0 || !is_sound(h) ||
	    memcmp(h->session, session, sizeof(h->session)) != 0)
		return -ENOMSG;
	*ret_trace = t;
	return 0;
}

void pinw_live_done(struct pinw_live_trace *t)
{
	close(t->fd);
	free(t->slots);
}

int pinw_live_page(const struct pinw_live_trace *t, struct pinw_trace_live *ret_live)
{
	struct pinw_trace_live live;
	int r = read_at(t->fd, &live, sizeof(live), PINW_LIVE_OFFSET);

	if (r == 0)
		*ret_live = live;
	return r;
}

/* ---- segments ------------------------------------------------------------------------------ */

static bool is_segment(const struct pinw_segment *s)
{
	return s->magic == PINW_SEGMENT_MAGIC && s->bytes >= PINW_SEGMENT_ALIGN &&
	       s->bytes % PINW_SEGMENT_ALIGN == 0 &&
	       s->check == (s->kind ^ (uint32_t)s->bytes ^ s->first ^ PINW_SEGMENT_MAGIC);
}

static int add_slots(struct pinw_live_trace *t, uint64_t offset, uint64_t bytes)
{
	struct pinw_live_slots s = {.offset = offset + sizeof(struct pinw_segment),
	                            .count = (bytes - sizeof(struct pinw_segment)) / t->header.slot_bytes};

	if (t->slots_count) {
		const struct pinw_live_slots *last = &t->slots[t->slots_count - 1];

		s.before = last->before + last->count;
	}
	if (s.before + s.count > SLOTS_MAX)
		return -EFBIG;
	if (t->slots_count == t->slots_room) {
		size_t room = t->slots_room ? 2 * t->slots_room : 4;
		struct pinw_live_slots *grown = reallocarray(t->slots, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->slots = grown;
		t->slots_room = room;
	}
	t->slots[t->slots_count++] = s;
	return 0;
}

/* Takes the segments that came since the last look. Where none starts yet, one is being made, or all is broken: the
 * next look begins there again. */
static int find_segments(struct pinw_live_trace *t)
{
	struct stat st;
	int r = fstat(t->fd, &st) < 0 ? -errno : 0;

	for (unsigned i = 0; r == 0 && i < SEGMENTS_PER_LOOK; i++) {
		struct pinw_segment s;

		r = read_at(t->fd, &s, sizeof(s), t->scanned);
		if (r < 0 || !is_segment(&s) || s.bytes > (uint64_t)st.st_size - t->scanned)
			break;
		if (s.kind == PINW_SEG_SLOTS)
			r = add_slots(t, t->scanned, s.bytes);
		if (s.kind == PINW_SEG_RULES && !t->rules_offset) {
			t->rules_offset = t->scanned + sizeof(s);
			t->rules_count = (s.bytes - sizeof(s)) / sizeof(struct pinw_rule_cell);
		}
		if (r == 0)
			t->scanned += s.bytes;
	}
	return r == -ENODATA ? 0 : r;
}

/* ---- slots ---------------------------------------------------------------------------------- */

static bool is_usable(const struct pinw_slot *slot)
{
	return slot->state != PINW_SLOT_FREE && slot->state <= PINW_SLOT_EXITED && slot->thread &&
	       !slot->busy;
}

/* Slots of one segment, as many at a time as the buffer holds. A slot caught in the middle of a change is left for the
 * next look. Returns 1 when the callback had enough. */
static int walk_segment(const struct pinw_live_trace *t, const struct pinw_live_slots *s, char *buffer,
                        pinw_live_slot_fn fn, void *arg)
{
	size_t stride = t->header.slot_bytes;
	uint64_t at = 0;

	while (at < s->count) {
		uint64_t n = BUFFER_BYTES / stride;
		if (n > s->count - at)
			n = s->count - at;
		int r = read_at(t->fd, buffer, n * stride, s->offset + at * stride);
		if (r < 0)
			return r;
		for (uint64_t i = 0; i < n; i++) {
			const struct pinw_slot *slot = (const void *)(buffer + i * stride);
			if (is_usable(slot) &&
			    !fn(arg, s->before + at + i, slot, (const uint64_t *)(slot + 1)))
				return 1;
		}
		at += n;
	}
	return 0;
}

int pinw_live_walk(struct pinw_live_trace *t, pinw_live_slot_fn fn, void *arg)
{
	int r = find_segments(t);

	if (r < 0)
		return r;
	char *buffer = malloc(BUFFER_BYTES);
	if (!buffer)
		return -ENOMEM;
	for (size_t i = 0; i < t->slots_count && r == 0; i++)
		r = walk_segment(t, &t->slots[i], buffer, fn, arg);
	free(buffer);
	return r < 0 ? r : 0;
}

/* ---- what was told ---------------------------------------------------------------------------- */

/* The same file for writing, whatever its name leads to by now. */
static int reopen(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int writable = open(path, O_WRONLY | O_CLOEXEC);
	return writable < 0 ? -errno : writable;
}

static int write_at(int fd, const void *buf, size_t len, uint64_t offset)
{
	ssize_t n;

	do
		n = pwrite(fd, buf, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (size_t)n == len ? 0 : -EIO;
}

/* Where a slot is in the file, 0 = unknown. */
static uint64_t slot_offset(const struct pinw_live_trace *t, uint64_t index)
{
	for (size_t i = 0; i < t->slots_count; i++) {
		const struct pinw_live_slots *s = &t->slots[i];
		if (index >= s->before && index - s->before < s->count)
			return s->offset + (index - s->before) * t->header.slot_bytes;
	}
	return 0;
}

#define MARK_BYTES (offsetof(struct pinw_watch_mark, thread) + sizeof(uint32_t))

static int write_mark(const struct pinw_live_trace *t, const struct pinw_watch_mark *mark, uint64_t offset)
{
	int fd = reopen(t->fd);

	if (fd < 0)
		return fd;
	/* No byte more: what follows is the program's. */
	int r = write_at(fd, mark, MARK_BYTES, offset + offsetof(struct pinw_slot, watch_told));
	close(fd);
	return r;
}

/* The program takes its word back when it sees the mark, within a few instructions: so it is asked twice. */
int pinw_live_claim(struct pinw_live_trace *t, uint64_t index, const struct pinw_watch_mark *mark,
                    uint64_t bit)
{
	uint64_t offset = slot_offset(t, index);
	struct pinw_slot slot;
	int r = offset ? read_at(t->fd, &slot, sizeof(slot), offset) : -ENOENT;

	if (r < 0)
		return r;
	if (slot.thread != mark->thread)
		return -ESRCH;
	if (slot.told & bit)
		return -EALREADY;
	r = write_mark(t, mark, offset);
	for (unsigned look = 0; r == 0 && look < 2; look++) {
		if (look > 0)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		r = read_at(t->fd, &slot, sizeof(slot), offset);
		if (r < 0 || slot.thread != mark->thread || !(slot.told & bit))
			return r;
	}
	return r < 0 ? r : -EALREADY;
}

_Static_assert(offsetof(struct pinw_slot, watch_idle_pin) - offsetof(struct pinw_slot, watch_told) ==
                       offsetof(struct pinw_watch_mark, idle_pin) &&
                   offsetof(struct pinw_slot, watch_thread) - offsetof(struct pinw_slot, watch_told) ==
                       offsetof(struct pinw_watch_mark, thread),
               "a mark is laid out as in the slot");

/* ---- rule cells ------------------------------------------------------------------------------ */

/* Only the fields that are ours are written: the others change at any moment. */
static int write_cell(int fd, const struct pinw_rule_cell *cell, bool matched, uint64_t offset)
{
	size_t from = matched ? offsetof(struct pinw_rule_cell, watch_matched)
	                      : offsetof(struct pinw_rule_cell, watch_thread);
	size_t to = matched ? offsetof(struct pinw_rule_cell, matched) : sizeof(*cell);

	return write_at(fd, (const char *)cell + from, to - from, offset + from);
}

int pinw_live_book(struct pinw_live_trace *t, uint16_t id, bool matched, uint32_t thread, uint64_t now_ns)
{
	struct pinw_rule_cell cell;
	int r = find_segments(t);

	if (r < 0)
		return r;
	if (!t->rules_offset || id == 0 || id > t->rules_count)
		return -ENOENT;
	uint64_t offset = t->rules_offset + (id - UINT64_C(1)) * sizeof(cell);
	r = read_at(t->fd, &cell, sizeof(cell), offset); /* also says that the file still reaches there */
	if (r < 0 || cell.id != id)
		return r < 0 ? r : -ENOENT;
	if (matched)
		cell.watch_matched++;
	else {
		cell.watch_violations++;
		cell.watch_thread = thread;
		cell.watch_ns = now_ns;
	}
	int fd = reopen(t->fd);
	if (fd < 0)
		return fd;
	r = write_cell(fd, &cell, matched, offset);
	close(fd);
	return r;
}

_Static_assert(offsetof(struct pinw_rule_cell, watch_thread) + 4 + 16 == sizeof(struct pinw_rule_cell) &&
                   offsetof(struct pinw_rule_cell, watch_violations) ==
                       offsetof(struct pinw_rule_cell, watch_thread) + 4,
               "what the watch writes is the end of the cell");
