/* SPDX-License-Identifier: MIT
 *
 * The log (PINWARDEN_LOG, or the policy's): one readable block for each leak and each
 * violation as it happens, in one write, with symbol names. Limited per site; the count
 * says how many were held back. Costs nothing until something happens, and one branch
 * without a log.
 */
#ifndef PINW_LOG_H
#define PINW_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/lock.h"
#include "preload/logtext.h"
#include "preload/trace_format.h"

/* Frees the log's lock in a fork child. */
void pinw_log_child(void);

/* Logs one leak of `kind` (a word of the design's table), if leaks were asked for (PINWARDEN_LOG). The slot is
 * read, not kept. */
void pinw_log_leak(const char *kind, const struct pinw_slot *slot, uint64_t now_ns);

/* The same of the Go lock that the slot has open; `how` completes the sentence: ": M destroyed while locked". */
void pinw_log_golock_leak(const char *kind, const char *how, const struct pinw_slot *slot, uint64_t now_ns);

/* A block being written: between begin and end the log is ours. */
struct pinw_log_block {
	struct pinw_logtext *text;
	struct pinw_lock_state lock;
	uint32_t count; /* of blocks with this key, this one included */
};

/* Starts a block. `key` says what is counted as the same: the first three are shown, then each time the count
 * doubles. False: no log, held back (counted) or the log is busy; then there is nothing to end. */
bool pinw_log_begin(struct pinw_log_block *block, uint32_t key);

/* Says how many were held back, if any, writes the block and lets go. */
void pinw_log_end(struct pinw_log_block *block);

/* A report in pieces that nobody holds back: to stderr, and to the log when that is a file. Waits long for its turn, then
 * goes without. */
void pinw_log_report_begin(struct pinw_log_block *block);

/* Writes out what the text holds and empties it. */
void pinw_log_report_flush(struct pinw_log_block *block);

#endif
