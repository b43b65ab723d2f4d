/* SPDX-License-Identifier: MIT
 *
 * Builds traces in memory, byte for byte as preload/trace_format.h says, without
 * the shim: so that the reader and the reports can be shown any story, also ones
 * that no healthy process would leave behind.
 *
 * The story functions book the counters of the live page as the shim would; a test
 * may change header and live freely before pinw_builder_image(). Out of memory
 * ends the program. Times are nanoseconds since image start; site and thread
 * numbers are the caller's.
 */
#ifndef PINW_TESTS_TRACE_BUILDER_H
#define PINW_TESTS_TRACE_BUILDER_H

#include <stddef.h>
#include <stdint.h>

#include "preload/trace_format.h"

struct pinw_builder_region {
	struct pinw_cell *cells;
	size_t count;
	size_t room;
};

struct pinw_builder {
	struct pinw_trace_header header;
	struct pinw_trace_live live;
	struct pinw_builder_region events;
	struct pinw_builder_region meta;
	unsigned char *slots; /* header.slot_bytes each */
	size_t slot_count;
	struct pinw_rule_cell *rules; /* by id - 1; none = no segment of rules */
	uint32_t rule_count;
	size_t event_segment_bytes; /* default 1 MiB; a record never crosses segments */
};

/* A process with pid 4711 that began at boot + 1000 s as /usr/bin/story, on `mask_words` words of baseline
 * CPUs 0-3, and has not ended. */
void pinw_builder_init(struct pinw_builder *b, uint32_t mask_words);
void pinw_builder_done(struct pinw_builder *b);

void pinw_builder_set_exe(struct pinw_builder *b, const char *exe);
void pinw_builder_set_cmdline(struct pinw_builder *b, const char *bytes, size_t len);
void pinw_builder_end(struct pinw_builder *b, enum pinw_end how, uint32_t status, uint64_t time_ns);

/* Any record; `extra` follows the fixed part. */
void pinw_builder_event(struct pinw_builder *b, uint8_t type, const void *record, size_t bytes,
                        const void *extra, size_t extra_bytes);
void pinw_builder_meta(struct pinw_builder *b, uint8_t type, const void *record, size_t bytes,
                       const void *extra, size_t extra_bytes);

/* Cells handed out and not committed. */
void pinw_builder_in_flight(struct pinw_builder *b, unsigned cells);

void pinw_builder_create(struct pinw_builder *b, uint64_t time_ns, uint32_t creator, uint32_t site,
                         uint32_t thread, uint16_t flags);
void pinw_builder_start(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, enum pinw_origin origin,
                        uint32_t site, uint32_t by, uint64_t mask);
void pinw_builder_exit(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, enum pinw_exit how,
                       uint64_t mask);

/* A thread's end with a pin open: a leak, unless it was inherited. */
void pinw_builder_exit_pinned(struct pinw_builder *b, uint64_t time_ns, uint32_t thread,
                              enum pinw_origin origin, uint32_t site, uint32_t by, uint64_t held_ns);
void pinw_builder_join(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t target);
void pinw_builder_detach(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t target);
void pinw_builder_name(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t target,
                       const char *name);

/* An affinity call that succeeded; `mask` is what it set. */
void pinw_builder_pin(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t target,
                      uint32_t site, enum pinw_effect effect, uint64_t mask);
void pinw_builder_pin_failed(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t site,
                             int error);

/* A Go lock on `thread` begins, at `site`; ends, after `held_ns`, unlocked at `site`, or with its thread. */
void pinw_builder_golock(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint64_t goid,
                         uint32_t site);
void pinw_builder_gounlock(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint64_t goid,
                           uint32_t lock_site, uint32_t site, uint64_t held_ns);
void pinw_builder_godestroyed(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint64_t goid,
                              uint32_t lock_site, uint64_t held_ns);

/* One that is still held: its slot, once the thread has one, and what was counted of it. */
void pinw_builder_goheld(struct pinw_builder *b, struct pinw_slot *slot, uint64_t since_ns, uint64_t goid,
                         uint32_t site, uint32_t depth);
void pinw_builder_note(struct pinw_builder *b, enum pinw_note code, uint32_t arg);
void pinw_builder_exec(struct pinw_builder *b, uint64_t time_ns, const char *path, uint16_t flags,
                       uint16_t error);

/* The policy: its record, and one for each rule added after it. Returns the rule's id; its cell, in b->rules, may be changed.
 * `mode` is enum pinw_mode, `section` enum pinw_section, `action` enum pinw_action. */
void pinw_builder_policy(struct pinw_builder *b, const char *path, uint32_t mode, uint32_t rules);
uint32_t pinw_builder_rule(struct pinw_builder *b, uint32_t line, uint8_t section, uint8_t action,
                           const char *label);

/* A verdict against a rule that was added before, booked in its cell. */
void pinw_builder_violation(struct pinw_builder *b, const struct pinw_rec_violation *violation,
                            uint64_t mask);

void pinw_builder_module(struct pinw_builder *b, uint32_t id, const char *path);

/* A stack of `frames` return addresses in one module. */
void pinw_builder_site(struct pinw_builder *b, uint32_t id, uint32_t module, const uint64_t *offsets,
                       unsigned frames, uint16_t flags);

/* What a program called the function at a return address, `distance` bytes from that function's start. */
void pinw_builder_function(struct pinw_builder *b, struct pinw_rec_function function, const char *name,
                           const char *file);

/* A live slot; returns it to be changed. Valid until the next slot is added. */
struct pinw_slot *pinw_builder_slot(struct pinw_builder *b, uint32_t thread, enum pinw_slot_state state,
                                    uint64_t mask);

/* The whole file. The caller frees it. */
unsigned char *pinw_builder_image(struct pinw_builder *b, size_t *ret_bytes);

/* The whole file at `path`. Returns 0 or -errno. */
int pinw_builder_write(struct pinw_builder *b, const char *path);

/* `bytes` bytes as a file without a name. Returns its descriptor or -errno. */
int pinw_builder_memory_file(const void *data, size_t bytes);

#endif
