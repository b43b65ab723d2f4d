/* SPDX-License-Identifier: MIT
 *
 * Drives the recorder (preload/, without its wrappers) inside a unit test, and reads back what
 * it wrote. Criterion runs every test in a process of its own, so the recorder's globals start fresh.
 *
 * Either a bench, a recorder on CPUs that this machine need not have:
 *     pinw_rig_bench → ledger, registry, trace writer → pinw_rig_read → pinw_rig_done
 * or an image, the real start of a process with the environment's settings:
 *     pinw_rig_image → anything → pinw_rig_read → pinw_rig_done
 *
 * The test program plays the shim and tests/targets/libhost*.so the host: frames of the test program
 * itself are left out of stacks, as the shim's are. Whatever fails here fails the test.
 */
#ifndef PINW_TESTS_RIG_H
#define PINW_TESTS_RIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/shim.h"
#include "reports/reader.h"

/* A scratch directory, made when first asked for. */
const char *pinw_rig_dir(void);

/* A path in it. Valid until the eighth call after this one. */
const char *pinw_rig_path(const char *name);

/* Removes the directory. */
void pinw_rig_done(void);

/* A recorder whose process has `words` words of `baseline`, with a trace of at most `max_bytes`. */
void pinw_rig_bench(unsigned words, const uint64_t *baseline, uint64_t max_bytes);

/* The same with one word, CPUs 0-3 and 64 MiB. */
void pinw_rig_bench_small(void);

/* A recorder of this very process. `settings` are further "NAME=value" pairs, NULL at the end; may be NULL. */
void pinw_rig_image(const char *const *settings);

/* Where the trace of the bench or image is. */
const char *pinw_rig_trace(void);

/* A thread that lives (state RUNNING) on the baseline, or on `mask`. */
struct pinw_thread *pinw_rig_thread(uint32_t tid, const uint64_t *mask);

/* A real thread that starts in the trampoline, with its own struct; joinable, and joined by pinw_rig_join. `attr` may
 * be NULL. Returns its struct. */
struct pinw_thread *pinw_rig_spawn(void *(*routine)(void *), void *arg, const pthread_attr_t *attr);

/* Joins it, gives its struct back and returns its result. */
void *pinw_rig_join(struct pinw_thread *thread);

/* Runs routine(index) in `count` threads at once, released together, and waits for all of them. They are plain
 * threads, unknown to the recorder. */
void pinw_rig_together(unsigned count, void (*routine)(unsigned index));

/* What a reading of the trace found. */
struct pinw_rig_seen {
	uint64_t records[256]; /* by type */
	uint64_t all;
	uint64_t slots; /* not free */
	uint64_t problems; /* damage */
	const char *problem; /* the first one, or "none" */
	struct pinw_reader_tally tally;
	struct pinw_trace_live live;
	struct pinw_trace_header header;
};

/* Reads a trace; `on_record` and `on_slot` may be NULL. */
void pinw_rig_read_from(const char *path, pinw_record_fn on_record, pinw_slot_fn on_slot, void *arg,
                        struct pinw_rig_seen *ret_seen);

/* Reads the trace of the bench or image. */
void pinw_rig_read(pinw_record_fn on_record, pinw_slot_fn on_slot, void *arg, struct pinw_rig_seen *ret_seen);

/* A symbol of tests/targets/NAME.so, which is loaded for good. */
void *pinw_rig_host(const char *library, const char *symbol);

/* Path of tests/targets/NAME.so. */
const char *pinw_rig_host_path(const char *library);

/* Open descriptors of this process. */
unsigned pinw_rig_descriptors(void);

/* Copies a file, mode 0600. */
void pinw_rig_copy(const char *from, const char *to);

/* The counters of the trace that is being written. */
const struct pinw_counters *counters(void);

/* Fails the test unless the pin counters balance: opened = released + open + lost. */
void pinw_rig_balance(void);

#endif
