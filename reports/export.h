/* SPDX-License-Identifier: MIT
 *
 * What traces recorded, for tools that people already have. As with text and JSON a finished model and
 * the stacks' names go in and one document comes out:
 *
 *   traces ─► model, with_history ─┬─► timeline.h ────► export_html.c   a browser
 *             (reports/history.h)  ├─► samples.h ─┬─► export_folded.c   flame graphs: one line per stack
 *             (reports/history.h)  │              └─► export_pprof.c    go tool pprof; protobuf.h, zlib
 *             stacks.h ────────────┼─► export_chrome.c                  Perfetto: lanes and spans
 *                                  └─► events.h ──┬─► export_jsonl.c    jq: one object per line
 *                                                 └─► export_sqlite.c   SQL
 *
 * Each takes any number of processes, and promises what its file says at the top; the formats' fields are in
 * pinwarden-formats(5). All need a model with_history. Times are nanoseconds since the start of the process (image)
 * unless a format has its own; text from traces and symbol tables arrives as valid UTF-8.
 *
 * Each writes to `out`, leaves it open, and returns 0, -ENOMEM, or -errno of the first write that failed.
 */
#ifndef PINW_REPORTS_EXPORT_H
#define PINW_REPORTS_EXPORT_H

#include <stdio.h>

#include "reports/history.h"
#include "reports/model.h"
#include "reports/stacks.h"

/* What a stack is weighed by. */
enum pinw_weight {
	PINW_WEIGHT_CREATIONS, /* threads created there */
	PINW_WEIGHT_THREADS, /* of these, alive at the end, or now */
	PINW_WEIGHT_PINS, /* pins opened and Go locks taken there */
	PINW_WEIGHT_HOLD, /* how long these were held: ns in pprof, µs in folded */
	PINW_WEIGHT_LEAKS, /* pins, locks and threads that leaked, but for growth */
	PINW_WEIGHTS,
};

/* "creations", ... */
const char *pinw_weight_name(enum pinw_weight weight);

/* Stacks as "process;outermost;...;innermost weight", by text; those of weight 0 are left out. *ret_total is the sum of the
 * weights. */
int pinw_export_folded(const struct pinw_model *m, struct pinw_stacks *stacks, enum pinw_weight weight,
                       FILE *out, uint64_t *ret_total);

/* A profile for `go tool pprof`, gzipped; `weight` is the sample type it shows first. */
int pinw_export_pprof(const struct pinw_model *m, struct pinw_stacks *stacks, enum pinw_weight weight,
                      FILE *out);

/* One object per line, of every process: sites, threads, events, pins, locks, violations, leaks. */
int pinw_export_jsonl(const struct pinw_model *m, struct pinw_stacks *stacks, FILE *out);

/* A page that needs no other file. Tables have `top` rows, 0 = all. */
int pinw_export_html(const struct pinw_model *m, struct pinw_stacks *stacks, size_t top, FILE *out);

/* Lanes and slices, in the Trace Event Format of Perfetto and chrome://tracing. */
int pinw_export_chrome(const struct pinw_model *m, struct pinw_stacks *stacks, FILE *out);

/* A database at `path`, an empty file. Does not write to a stream. */
int pinw_export_sqlite(const struct pinw_model *m, struct pinw_stacks *stacks, const char *path);

/* Numbers for the processes that could be read, from 1 in the order of the model, so that a parent's comes first. Returns 0 or
 * -ENOMEM; the caller ends the table in either case. Of NULL and of others the number is 0. */
int pinw_export_numbers(const struct pinw_model *m, struct pinw_table *ret_numbers);
uint32_t pinw_export_number(const struct pinw_table *numbers, const struct pinw_process *p);

/* Room for any text below. */
#define PINW_EXPORT_TEXT 8192u

/* What a frame is called: its function, else "FILE+0xOFFSET", else an address. Plain UTF-8. `buf` has PINW_EXPORT_TEXT bytes. */
void pinw_export_frame(const struct pinw_frame *frame, char *buf);

/* The last part of the program's path, and a thread's name, as plain UTF-8. */
void pinw_export_program(const struct pinw_process *p, char *buf);
void pinw_export_thread(const char name[PINW_NAME_BYTES], char *buf);

/* The CPUs of a mask, "0-3,8"; empty when it is not known. */
void pinw_export_mask(const struct pinw_process *p, uint32_t mask, char *buf);

/* One thing that leaked: a pin, a lock, or a thread. */
struct pinw_leaked {
	enum pinw_leak_kind kind;
	const struct pinw_thread *thread;
	const struct pinw_span *span; /* NULL when the leak is the thread */
	uint8_t origin; /* enum pinw_origin of the pin, 0 when the kind has none */
	uint32_t site; /* of the pin, else where the thread was created; 0 unknown */
	uint64_t time_ns; /* from when on it is one; PINW_TIME_UNKNOWN */
};

typedef void (*pinw_leaked_fn)(void *arg, const struct pinw_leaked *leaked);

/* Hands out every leak of a process that has its own record, spans first. Locks that were undone in another function are known
 * once the model has its names (reports/names.h). Returns 0, or -ENOMEM with none handed out. */
int pinw_export_leaks(const struct pinw_process *p, pinw_leaked_fn fn, void *arg);

#endif
