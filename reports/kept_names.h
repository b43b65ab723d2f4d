/* SPDX-License-Identifier: MIT
 *
 * Names of functions that came with a trace: the program told them itself while it was recorded (Go). They are asked when its
 * file is gone or has changed since, as that of a Go test or of another machine. The process owns all text.
 */
#ifndef PINW_REPORTS_KEPT_NAMES_H
#define PINW_REPORTS_KEPT_NAMES_H

#include "reports/process.h"
#include "reports/reader.h"

/* One function at a return address; inlined calls have a row of their own, the innermost at depth 0. */
struct pinw_kept_name {
	uint64_t offset; /* in its module */
	uint32_t module;
	unsigned depth;
	unsigned distance; /* from the function's start */
	unsigned line; /* 0 when unknown */
	bool inlined; /* into the function of the next depth */
	char *function;
	char *file; /* NULL when unknown */
};

/* Takes in a PINW_REC_FUNCTION. Returns 0 or -ENOMEM. */
int pinw_kept_names_add(struct pinw_process *p, const struct pinw_read_record *rec);

/* NULL: none came. */
const struct pinw_kept_name *pinw_kept_names_find(const struct pinw_process *p, uint32_t module,
                                                  uint64_t offset, unsigned depth);

/* Copies what `from` has about an address. Returns 0 or -ENOMEM. */
int pinw_kept_names_copy(struct pinw_process *p, const struct pinw_process *from, uint32_t module,
                         uint64_t offset);

void pinw_kept_names_done(struct pinw_process *p);

#endif
