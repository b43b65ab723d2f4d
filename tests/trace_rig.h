/* SPDX-License-Identifier: MIT
 *
 * A bench of tests/rig.h for tests of the trace's writer, and records to fill it.
 */
#ifndef PINW_TESTS_TRACE_RIG_H
#define PINW_TESTS_TRACE_RIG_H

#include "tests/rig.h"

/* Masks of `words` words, all of whose CPUs are the baseline; at most `max_bytes` of trace. */
void bench(unsigned words, uint64_t max_bytes);

/* Writes `count` records of one cell, numbered from `first` in their site. */
void write_notes(uint32_t first, uint32_t count);

/* Writes such records until one is dropped. Returns how many. */
uint64_t write_until_dropped(void);

/* Reads the trace, which must be whole. */
void read_all(struct pinw_rig_seen *seen);

/* A new trace in the rig's directory, in place of the bench's. Returns as pinw_trace_open. */
int open_new(const char *name, uint64_t max_bytes);

#endif
