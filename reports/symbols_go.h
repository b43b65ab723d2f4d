/* SPDX-License-Identifier: MIT
 *
 * Go's own table of functions, of a file on disk: it has names and lines in programs that were stripped, and the calls that
 * were inlined. Part of the engine (symbols_engine.h), under whose protection it runs.
 */
#ifndef PINW_REPORTS_SYMBOLS_GO_H
#define PINW_REPORTS_SYMBOLS_GO_H

#include "preload/go/goelf.h"
#include "reports/symbols.h"

/* All zero: the file is not Go's. */
struct pinw_symbols_go {
	void *file; /* its bytes */
	size_t bytes;
	struct pinw_goelf elf;
};

/* Keeps the file at hand if it is Go's. `fd` stays the caller's. */
void pinw_symbols_go_open(struct pinw_symbols_go *g, int fd, size_t bytes);
void pinw_symbols_go_close(struct pinw_symbols_go *g);

/* Frames of `address` as that table has them, calls inlined there first; its strings are in the file. Returns their
 * number, 0 when it has nothing; *ret_start is where the function starts. */
size_t pinw_symbols_go_frames(struct pinw_symbols_go *g, uint64_t address, struct pinw_symbol_frame *frames,
                              size_t max, uint64_t *ret_start);

/* Does it go before the debug information? In sources that use cgo, that has the lines of generated files for inlined
 * calls, and that of new versions is more than an older ELF library reads. */
bool pinw_symbols_go_leads(const struct pinw_symbols_go *g);

#endif
