/* SPDX-License-Identifier: MIT
 *
 * The lookup behind symbols.h, without its protection: runs in the caller's process, where a hostile
 * ELF file may bring the ELF library down or keep it busy for ever. Only the worker of
 * symbols_worker.c calls it. symbols.c implements it; it and symbols_find.c are the only files that know elfutils.
 */
#ifndef PINW_REPORTS_SYMBOLS_ENGINE_H
#define PINW_REPORTS_SYMBOLS_ENGINE_H

#include "reports/symbols.h"

struct pinw_engine;

/* Takes DEBUGINFOD_URLS out of the environment. Returns 0 or -ENOMEM. */
int pinw_engine_new(struct pinw_engine **ret_engine);
void pinw_engine_free(struct pinw_engine *e);

/* Why no server is asked any more: -errno, -ELIBACC without libdebuginfod; 0: there is no reason. */
int pinw_engine_server_error(const struct pinw_engine *e);

/* As pinw_symbols_lookup, but the strings are valid until the next call only. */
int pinw_engine_lookup(struct pinw_engine *e, const char *module_path, const uint8_t *build_id,
                       size_t build_id_len, uint64_t module_address, struct pinw_symbol_frame *ret_frames,
                       size_t max, size_t *ret_count);

#endif
