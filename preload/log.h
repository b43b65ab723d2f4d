/* SPDX-License-Identifier: MIT
 *
 * The leak log (PINWARDEN_LOG): one readable block for each leak as it happens, in one
 * write, with symbol names. Limited per site; the count says how many were held
 * back. Costs nothing until something leaks, and one branch without a log.
 */
#ifndef PINW_LOG_H
#define PINW_LOG_H

#include <stdint.h>

#include "preload/trace_format.h"

/* Frees the log's lock in a fork child. */
void pinw_log_child(void);

/* Logs one leak of `kind` (a word of the design's table). The slot is read, not kept. */
void pinw_log_leak(const char *kind, const struct pinw_slot *slot, uint64_t now_ns);

#endif
