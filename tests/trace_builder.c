/* SPDX-License-Identifier: MIT */
#include "tests/trace_builder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *grown(void *old, size_t bytes)
{
	void *p = realloc(old, bytes);

	if (!p) {
		fputs("trace builder: out of memory\n", stderr);
		abort();
	}
	return p;
}

/* ---- header and live page ----------------------------------------------------------- */

static void set_writer(struct pinw_trace_header *h)
{
	static const char version[] = "0.1.0";

	h->version_len = sizeof(version) - 1;
	memcpy(h->writer, version, h->version_len);
}

void pinw_builder_init(struct pinw_builder *b, uint32_t mask_words)
{
	struct pinw_trace_header *h = &b->header;

	memset(b, 0, sizeof(*b));
	memcpy(h->magic, PINW_TRACE_MAGIC, sizeof(h->magic));
	h->version = PINW_TRACE_VERSION;
	h->header_bytes = PINW_HEADER_BYTES;
	h->cell_bytes = PINW_CELL_BYTES;
	h->slot_bytes = (uint32_t)sizeof(struct pinw_slot) + 8 * mask_words;
	h->mask_words = mask_words;
	h->max_bytes = UINT64_C(64) << 20;
	h->self.pid = 4711;
	h->self.start_ticks = 100000;
	memset(h->self.boot_id, 0xb0, sizeof(h->self.boot_id));
	memset(h->self.nonce, 0x11, sizeof(h->self.nonce));
	memcpy(h->parent.boot_id, h->self.boot_id, sizeof(h->parent.boot_id));
	h->parent.pid = 4000;
	h->parent.start_ticks = 90000;
	h->start_mono_ns = UINT64_C(1000000000000);
	h->start_real_ns = UINT64_C(1700000000123456789);
	h->image = PINW_IMAGE_START;
	h->cpus_online = 4;
	h->baseline[0] = 0xf;
	set_writer(h);
	pinw_builder_set_exe(b, "/usr/bin/story");
	pinw_builder_set_cmdline(b, "story\0--fast", sizeof("story\0--fast"));
	b->live.counters.threads_live = 1;
	b->live.counters.threads_peak = 1;
	b->live.next_thread = 2;
	b->event_segment_bytes = 1 << 20;
}

void pinw_builder_done(struct pinw_builder *b)
{
	free(b->events.cells);
	free(b->meta.cells);
	free(b->slots);
	free(b->rules);
	memset(b, 0, sizeof(*b));
}

void pinw_builder_set_exe(struct pinw_builder *b, const char *exe)
{
	b->header.exe_len = (uint32_t)strlen(exe);
	memcpy(b->header.exe, exe, b->header.exe_len);
}

void pinw_builder_set_cmdline(struct pinw_builder *b, const char *bytes, size_t len)
{
	b->header.cmdline_len = (uint32_t)len;
	memcpy(b->header.cmdline, bytes, len);
}

void pinw_builder_end(struct pinw_builder *b, enum pinw_end how, uint32_t status, uint64_t time_ns)
{
	b->live.end_how = how;
	b->live.end_status = status;
	b->live.end_ns = time_ns;
}

/* ---- records ------------------------------------------------------------------------ */

static struct pinw_cell *add_cells(struct pinw_builder_region *region, size_t cells)
{
	if (region->count + cells > region->room) {
		region->room = region->room * 2 + cells;
		region->cells = grown(region->cells, region->room * sizeof(*region->cells));
	}
	struct pinw_cell *first = region->cells + region->count;
	memset(first, 0, cells * sizeof(*first));
	region->count += cells;
	return first;
}

static void add_record(struct pinw_builder_region *region, uint8_t type, const void *record, size_t bytes,
                       const void *extra, size_t extra_bytes)
{
	unsigned char payload[255 * PINW_CELL_PAYLOAD];
	size_t cells = (bytes + extra_bytes + PINW_CELL_PAYLOAD - 1) / PINW_CELL_PAYLOAD;
	struct pinw_cell *first = add_cells(region, cells);
	struct pinw_cell_head head = {
	    .type = type, .cells = (uint8_t)cells, .bytes = (uint16_t)(bytes + extra_bytes)};
	uint64_t sum;

	memset(payload, 0, cells * PINW_CELL_PAYLOAD);
	memcpy(payload, record, bytes);
	if (extra_bytes)
		memcpy(payload + bytes, extra, extra_bytes);
	memcpy(&sum, &head, sizeof(sum));
	sum = pinw_check_step(0, sum);
	for (size_t i = 0; i < cells; i++) {
		first[i].head = (struct pinw_cell_head){
		    .type = PINW_REC_CONT, .cells = (uint8_t)cells, .index = (uint8_t)i};
		memcpy(first[i].payload, payload + i * PINW_CELL_PAYLOAD, PINW_CELL_PAYLOAD);
		for (size_t word = 0; word < PINW_CELL_PAYLOAD / 8; word++)
			sum = pinw_check_step(sum, first[i].payload[word]);
	}
	first->head = head;
	first->head.check = pinw_check_fold(sum);
}

void pinw_builder_event(struct pinw_builder *b, uint8_t type, const void *record, size_t bytes,
                        const void *extra, size_t extra_bytes)
{
	add_record(&b->events, type, record, bytes, extra, extra_bytes);
	b->live.counters.events_written++;
}

void pinw_builder_meta(struct pinw_builder *b, uint8_t type, const void *record, size_t bytes,
                       const void *extra, size_t extra_bytes)
{
	add_record(&b->meta, type, record, bytes, extra, extra_bytes);
}

void pinw_builder_in_flight(struct pinw_builder *b, unsigned cells)
{
	add_cells(&b->events, cells);
}

/* The first word of a mask; the others are 0. */
static const uint64_t *mask_of(const struct pinw_builder *b, uint64_t word, size_t *ret_bytes)
{
	static uint64_t mask[PINW_MASK_WORDS_MAX];

	mask[0] = word;
	*ret_bytes = b->header.mask_words * sizeof(mask[0]);
	return mask;
}

static void add_masked(struct pinw_builder *b, uint8_t type, const void *record, size_t bytes, uint64_t mask)
{
	size_t mask_bytes;
	const uint64_t *words = mask_of(b, mask, &mask_bytes);

	pinw_builder_event(b, type, record, bytes, words, mask_bytes);
}

/* ---- threads ------------------------------------------------------------------------ */

void pinw_builder_create(struct pinw_builder *b, uint64_t time_ns, uint32_t creator, uint32_t site,
                         uint32_t thread, uint16_t flags)
{
	struct pinw_counters *n = &b->live.counters;
	struct pinw_rec_create rec = {
	    .e = {time_ns, creator, site}, .new_thread = thread, .flags = flags, .latency_ns = 20000};

	n->threads_created++;
	n->threads_live++;
	if (n->threads_live > n->threads_peak)
		n->threads_peak = n->threads_live;
	if (flags & PINW_THREAD_BORN_DETACHED) {
		n->threads_detached++;
		n->threads_born_detached++;
	}
	b->live.create_ns.count++;
	b->live.create_ns.sum_ns += rec.latency_ns;
	b->live.create_ns.bucket[14]++;
	if (b->live.next_thread <= thread)
		b->live.next_thread = thread + 1;
	if (flags & PINW_THREAD_ATTR_AFFINITY) {
		n->affinity_attr++;
		add_masked(b, PINW_REC_THREAD_CREATE, &rec, sizeof(rec), 1);
		return;
	}
	pinw_builder_event(b, PINW_REC_THREAD_CREATE, &rec, sizeof(rec), NULL, 0);
}

void pinw_builder_start(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, enum pinw_origin origin,
                        uint32_t site, uint32_t by, uint64_t mask)
{
	struct pinw_counters *n = &b->live.counters;
	struct pinw_rec_start rec = {
	    .e = {time_ns, thread, site}, .tid = 5000 + thread, .origin = (uint16_t)origin, .pin_by = by};

	n->pins_opened += origin != PINW_ORIGIN_NONE;
	n->pins_open += origin != PINW_ORIGIN_NONE;
	n->pins_born += origin == PINW_ORIGIN_BORN;
	n->pins_inherited += origin == PINW_ORIGIN_INHERITED;
	n->leaks_inherited += origin == PINW_ORIGIN_INHERITED;
	add_masked(b, PINW_REC_THREAD_START, &rec, sizeof(rec), mask);
}

void pinw_builder_exit(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, enum pinw_exit how,
                       uint64_t mask)
{
	struct pinw_rec_exit rec = {.e = {time_ns, thread, 0}, .how = (uint16_t)how};

	b->live.counters.threads_exited++;
	b->live.counters.threads_live--;
	add_masked(b, PINW_REC_THREAD_EXIT, &rec, sizeof(rec), mask);
}

void pinw_builder_exit_pinned(struct pinw_builder *b, uint64_t time_ns, uint32_t thread,
                              enum pinw_origin origin, uint32_t site, uint32_t by, uint64_t held_ns)
{
	struct pinw_counters *n = &b->live.counters;
	struct pinw_rec_exit rec = {.e = {time_ns, thread, site},
	                            .how = PINW_EXIT_RETURN,
	                            .origin = (uint16_t)origin,
	                            .depth = 1,
	                            .held_ns = held_ns,
	                            .pin_by = by};

	n->threads_exited++;
	n->threads_live--;
	n->pins_open--;
	n->pins_lost++;
	n->leaks_exit_while_pinned += origin != PINW_ORIGIN_INHERITED;
	add_masked(b, PINW_REC_THREAD_EXIT, &rec, sizeof(rec), 1);
}

void pinw_builder_join(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t target)
{
	struct pinw_rec_join rec = {.e = {time_ns, thread, 0}, .target = target, .waited_ns = 3000};

	b->live.counters.threads_joined++;
	pinw_builder_event(b, PINW_REC_THREAD_JOIN, &rec, sizeof(rec), NULL, 0);
}

void pinw_builder_detach(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t target)
{
	struct pinw_rec_join rec = {.e = {time_ns, thread, 0}, .target = target};

	b->live.counters.threads_detached++;
	pinw_builder_event(b, PINW_REC_THREAD_DETACH, &rec, sizeof(rec), NULL, 0);
}

void pinw_builder_name(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t target,
                       const char *name)
{
	struct pinw_rec_name rec = {.e = {time_ns, thread, 0}, .target = target};

	memcpy(rec.name, name, strnlen(name, sizeof(rec.name) - 1));
	pinw_builder_event(b, PINW_REC_THREAD_NAME, &rec, sizeof(rec), NULL, 0);
}

/* ---- affinity ----------------------------------------------------------------------- */

static void add_affinity(struct pinw_builder *b, const struct pinw_rec_affinity *rec, uint64_t mask)
{
	uint64_t masks[2 * PINW_MASK_WORDS_MAX] = {0};

	masks[0] = b->header.baseline[0];
	masks[b->header.mask_words] = rec->error ? masks[0] : mask;
	pinw_builder_event(b, PINW_REC_AFFINITY, rec, sizeof(*rec), masks,
	                   2 * b->header.mask_words * sizeof(masks[0]));
}

void pinw_builder_pin(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t target,
                      uint32_t site, enum pinw_effect effect, uint64_t mask)
{
	struct pinw_counters *n = &b->live.counters;
	struct pinw_rec_affinity rec = {.e = {time_ns, thread, site},
	                                .target = target,
	                                .target_tid = 5000 + target,
	                                .call = PINW_CALL_PTHREAD_SETAFFINITY,
	                                .relation = thread == target ? PINW_REL_SELF : PINW_REL_CROSS,
	                                .effect = (uint8_t)effect,
	                                .depth =
	                                    effect == PINW_EFFECT_NARROW ? 2 : effect != PINW_EFFECT_RELEASE,
	                                .cost_ns = 800,
	                                .cpusetsize = 128};

	if (thread == target)
		n->affinity_self++;
	else
		n->affinity_cross++;
	n->pins_opened += effect == PINW_EFFECT_OPEN;
	n->pins_open += effect == PINW_EFFECT_OPEN;
	n->pins_released += effect == PINW_EFFECT_RELEASE;
	n->pins_open -= effect == PINW_EFFECT_RELEASE;
	b->live.affinity_ns.count++;
	b->live.affinity_ns.sum_ns += rec.cost_ns;
	b->live.affinity_ns.bucket[9]++;
	add_affinity(b, &rec, mask);
}

void pinw_builder_pin_failed(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t site,
                             int error)
{
	struct pinw_rec_affinity rec = {.e = {time_ns, thread, site},
	                                .target = thread,
	                                .target_tid = 5000 + thread,
	                                .error = (uint16_t)error,
	                                .call = PINW_CALL_SETAFFINITY,
	                                .relation = PINW_REL_SELF,
	                                .cpusetsize = 128};

	b->live.counters.affinity_failed++;
	add_affinity(b, &rec, 0);
}

/* ---- other records ------------------------------------------------------------------ */

static void golock(struct pinw_builder *b, const struct pinw_rec_golock *rec)
{
	pinw_builder_event(b, PINW_REC_GOLOCK, rec, sizeof(*rec), NULL, 0);
}

void pinw_builder_golock(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint64_t goid,
                         uint32_t site)
{
	golock(b, &(struct pinw_rec_golock){.e = {time_ns, thread, site},
	                                    .kind = PINW_GOLOCK_LOCK,
	                                    .depth = 1,
	                                    .goid = goid,
	                                    .lock_site = site});
	b->live.counters.golocks++;
	b->live.counters.golocks_open++;
}

void pinw_builder_gounlock(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint64_t goid,
                           uint32_t lock_site, uint32_t site, uint64_t held_ns)
{
	golock(b, &(struct pinw_rec_golock){.e = {time_ns, thread, site},
	                                    .kind = site ? PINW_GOLOCK_UNLOCK : PINW_GOLOCK_UNLOCK_UNSEEN,
	                                    .depth = 1,
	                                    .goid = goid,
	                                    .held_ns = held_ns,
	                                    .lock_site = lock_site});
	b->live.counters.gounlocks++;
	b->live.counters.golocks_open--;
}

void pinw_builder_godestroyed(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint64_t goid,
                              uint32_t lock_site, uint64_t held_ns)
{
	golock(b, &(struct pinw_rec_golock){.e = {time_ns, thread, 0},
	                                    .kind = PINW_GOLOCK_DESTROYED,
	                                    .depth = 1,
	                                    .goid = goid,
	                                    .held_ns = held_ns,
	                                    .lock_site = lock_site});
	b->live.counters.golocks_lost++;
	b->live.counters.golocks_open--;
}

void pinw_builder_goheld(struct pinw_builder *b, struct pinw_slot *slot, uint64_t since_ns, uint64_t goid,
                         uint32_t site, uint32_t depth)
{
	pinw_builder_golock(b, since_ns, slot->thread, goid, site);
	slot->golock_since_ns = since_ns;
	slot->golock_goid = goid;
	slot->golock_site = site;
	slot->golock_depth = depth;
}

void pinw_builder_note(struct pinw_builder *b, enum pinw_note code, uint32_t arg)
{
	struct pinw_rec_note rec = {.code = code, .arg = arg};

	pinw_builder_meta(b, PINW_REC_NOTE, &rec, sizeof(rec), NULL, 0);
}

void pinw_builder_exec(struct pinw_builder *b, uint64_t time_ns, const char *path, uint16_t flags,
                       uint16_t error)
{
	struct pinw_rec_exec rec = {
	    .e = {time_ns, 1, 0}, .flags = flags, .error = error, .path_len = (uint32_t)strlen(path)};

	b->live.counters.exec_unfollowed += (flags & PINW_EXEC_UNFOLLOWED) && !(flags & PINW_EXEC_FAILED);
	pinw_builder_event(b, PINW_REC_EXEC, &rec, sizeof(rec), path, rec.path_len);
}

/* ---- policy ------------------------------------------------------------------------- */

void pinw_builder_policy(struct pinw_builder *b, const char *path, uint32_t mode, uint32_t rules)
{
	struct pinw_rec_policy rec = {
	    .hash = 0x1234, .mode = mode, .rules = rules, .path_len = (uint32_t)strlen(path)};

	pinw_builder_meta(b, PINW_REC_POLICY, &rec, sizeof(rec), path, rec.path_len);
}

uint32_t pinw_builder_rule(struct pinw_builder *b, uint32_t line, uint8_t section, uint8_t action,
                           const char *label)
{
	struct pinw_rec_rule rec = {.id = b->rule_count + 1,
	                            .line = line,
	                            .section = section,
	                            .action = action,
	                            .label_len = (uint32_t)strlen(label)};

	b->rules = grown(b->rules, (b->rule_count + 1) * sizeof(*b->rules));
	b->rules[b->rule_count++] = (struct pinw_rule_cell){.id = rec.id};
	pinw_builder_meta(b, PINW_REC_RULE, &rec, sizeof(rec), label, rec.label_len);
	return rec.id;
}

void pinw_builder_violation(struct pinw_builder *b, const struct pinw_rec_violation *violation, uint64_t mask)
{
	struct pinw_rule_cell *cell = &b->rules[violation->rule - 1];

	cell->matched++;
	cell->violations++;
	cell->done += violation->done == PINW_DONE_DENIED || violation->done == PINW_DONE_RESET ||
	              violation->done == PINW_DONE_CRASHED;
	cell->last_ns = violation->e.time_ns;
	cell->last_thread = violation->target;
	b->live.counters.violations++;
	add_masked(b, PINW_REC_VIOLATION, violation, sizeof(*violation), mask);
}

/* ---- modules and sites -------------------------------------------------------------- */

void pinw_builder_module(struct pinw_builder *b, uint32_t id, const char *path)
{
	struct pinw_rec_module rec = {.id = id, .path_len = (uint16_t)strlen(path), .base = 0x555555554000};

	rec.start = rec.base;
	rec.end = rec.base + 0x100000;
	pinw_builder_meta(b, PINW_REC_MODULE, &rec, sizeof(rec), path, rec.path_len);
}

void pinw_builder_function(struct pinw_builder *b, struct pinw_rec_function function, const char *name,
                           const char *file)
{
	char text[2 * PINW_PATH_MAX];

	function.name_len = (uint16_t)strlen(name);
	function.file_len = (uint16_t)strlen(file);
	snprintf(text, sizeof(text), "%s%s", name, file);
	pinw_builder_meta(b, PINW_REC_FUNCTION, &function, sizeof(function), text, strlen(text));
}

void pinw_builder_site(struct pinw_builder *b, uint32_t id, uint32_t module, const uint64_t *offsets,
                       unsigned frames, uint16_t flags)
{
	struct pinw_rec_site rec = {.id = id, .frames = (uint16_t)frames, .flags = flags};
	struct pinw_rec_frame list[PINW_FRAMES_MAX] = {{0}};

	for (unsigned i = 0; i < frames; i++)
		list[i] = (struct pinw_rec_frame){.module = module,
		                                  .offset_low = (uint32_t)offsets[i],
		                                  .offset_high = (uint32_t)(offsets[i] >> 32)};
	b->live.counters.sites++;
	pinw_builder_meta(b, PINW_REC_SITE, &rec, sizeof(rec), list, frames * sizeof(list[0]));
}

struct pinw_slot *pinw_builder_slot(struct pinw_builder *b, uint32_t thread, enum pinw_slot_state state,
                                    uint64_t mask)
{
	size_t stride = b->header.slot_bytes;

	b->slots = grown(b->slots, (b->slot_count + 1) * stride);
	struct pinw_slot *slot = (struct pinw_slot *)(b->slots + b->slot_count++ * stride);
	memset(slot, 0, stride);
	slot->state = state;
	slot->thread = thread;
	slot->tid = thread == 1 ? b->header.self.pid : 5000 + thread;
	slot->flags = thread == 1 ? PINW_THREAD_MAIN : 0;
	memcpy(slot + 1, &mask, sizeof(mask));
	return slot;
}

/* ---- the file ----------------------------------------------------------------------- */

static uint32_t crc32(const unsigned char *p, size_t len)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len * 8; i++) {
		if (i % 8 == 0)
			crc ^= p[i / 8];
		crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
	}
	return ~crc;
}

struct image {
	unsigned char *bytes;
	size_t len;
	uint32_t made[PINW_SEG_RULES + 1]; /* segments of each kind */
};

/* Appends a segment, as long as its pages have to be. `count` is cells, or slots. */
static void add_segment(struct image *image, uint32_t kind, const void *data, size_t bytes, size_t count)
{
	size_t len = (sizeof(struct pinw_segment) + bytes + PINW_SEGMENT_ALIGN - 1) / PINW_SEGMENT_ALIGN *
	             PINW_SEGMENT_ALIGN;
	struct pinw_segment head = {
	    .magic = PINW_SEGMENT_MAGIC, .kind = kind, .bytes = len, .first = image->made[kind]++};

	if (kind != PINW_SEG_SLOTS && kind != PINW_SEG_RULES)
		head.reserved_cells = count;
	head.check = head.kind ^ (uint32_t)head.bytes ^ head.first ^ PINW_SEGMENT_MAGIC;
	image->bytes = grown(image->bytes, image->len + len);
	memset(image->bytes + image->len, 0, len);
	memcpy(image->bytes + image->len, &head, sizeof(head));
	if (bytes)
		memcpy(image->bytes + image->len + sizeof(head), data, bytes);
	image->len += len;
}

/* Cells that fit `room` without cutting a record in two. */
static size_t whole_records(const struct pinw_cell *cells, size_t count, size_t room)
{
	size_t fit = count < room ? count : room;

	while (fit < count && fit > 0 && cells[fit].head.type == PINW_REC_CONT)
		fit--;
	return fit;
}

unsigned char *pinw_builder_image(struct pinw_builder *b, size_t *ret_bytes)
{
	struct image image = {.bytes = grown(NULL, PINW_SEGMENTS_OFFSET), .len = PINW_SEGMENTS_OFFSET};
	size_t room = b->event_segment_bytes / PINW_CELL_BYTES - 1;

	if (b->rule_count)
		add_segment(&image, PINW_SEG_RULES, b->rules, b->rule_count * sizeof(*b->rules), 0);
	add_segment(&image, PINW_SEG_SLOTS, b->slots, b->slot_count * b->header.slot_bytes, b->slot_count);
	add_segment(&image, PINW_SEG_META, b->meta.cells, b->meta.count * PINW_CELL_BYTES, b->meta.count);
	for (size_t at = 0; at < b->events.count;) {
		size_t cells = whole_records(b->events.cells + at, b->events.count - at, room);
		add_segment(&image, PINW_SEG_EVENTS, b->events.cells + at, cells * PINW_CELL_BYTES, cells);
		at += cells;
	}
	b->live.file_bytes = image.len;
	b->header.check = 0;
	b->header.check = crc32((const unsigned char *)&b->header, sizeof(b->header));
	memcpy(image.bytes, &b->header, sizeof(b->header));
	memcpy(image.bytes + PINW_LIVE_OFFSET, &b->live, sizeof(b->live));
	*ret_bytes = image.len;
	return image.bytes;
}

static int write_all(int fd, const unsigned char *data, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, data, bytes);
		if (n < 0)
			return -errno;
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

int pinw_builder_write(struct pinw_builder *b, const char *path)
{
	size_t bytes;
	unsigned char *image = pinw_builder_image(b, &bytes);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error = fd < 0 ? -errno : write_all(fd, image, bytes);

	free(image);
	if (fd >= 0)
		close(fd);
	return error;
}

int pinw_builder_memory_file(const void *data, size_t bytes)
{
	int fd = memfd_create("trace", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	int error = write_all(fd, data, bytes);
	if (error < 0) {
		close(fd);
		return error;
	}
	return fd;
}
