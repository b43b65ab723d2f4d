/* SPDX-License-Identifier: MIT
 *
 * Reads a trace by what preload/trace_format.h says and nothing else: no code of the shim, none of the report.
 * A second opinion on what a killed process left behind.
 */
#ifndef PINW_TESTS_FAULTS_SCAN_H
#define PINW_TESTS_FAULTS_SCAN_H

#include <stdint.h>

#include "preload/trace_format.h"

struct scan {
	uint64_t records; /* committed, of both kinds of segment */
	uint64_t torn; /* with a head but a wrong check, or cells that do not follow */
	uint64_t in_flight; /* cells handed out in event segments and not committed */
	uint64_t written, dropped; /* the process's own counters */
	uint32_t mask_words;
	uint32_t end_how; /* enum pinw_end */
	uint32_t pid;
};

/* Reads a whole file and calls fn(type, payload, bytes, arg) for each intact event. Returns 0; -1 when the file cannot be read
 * or has no header (killed before it was written): then *ret is all zero. */
int scan_trace(const char *path, void (*fn)(unsigned type, const void *payload, unsigned bytes, void *arg),
               void *arg, struct scan *ret);

#endif
