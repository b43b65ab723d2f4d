/* SPDX-License-Identifier: MIT
 *
 * The lookup behind symbols.h, without its protection: runs in the caller's process, where a hostile
 * ELF file may bring the ELF library down or keep it busy for ever. Only the worker of
 * symbols_worker.c calls it. symbols.c implements it and is the only file that knows elfutils.
 */
#ifndef PINW_REPORTS_SYMBOLS_ENGINE_H
#define PINW_REPORTS_SYMBOLS_ENGINE_H

#include "reports/symbols.h"

struct pinw_engine;

/* Takes DEBUGINFOD_URLS out of the environment, so that no server is asked. Returns 0 or -ENOMEM. */
int pinw_engine_new(struct pinw_engine **ret_engine);
void pinw_engine_free(struct pinw_engine *e);

/* As pinw_symbols_lookup, but the strings are valid until the next call only. */
int pinw_engine_lookup(struct pinw_engine *e, const char *module_path, const uint8_t *build_id,
                       size_t build_id_len, uint64_t module_address, struct pinw_symbol_frame *ret_frames,
                       size_t max, size_t *ret_count);

#endif
