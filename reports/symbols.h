/* SPDX-License-Identifier: MIT
 *
 * Names for addresses: which function, file and line a call came from, inlined calls included.
 *
 * Works on files on disk (of another machine: sysroot.h), never on live processes. Separate debug files are
 * found by build id and by .gnu_debuglink. The network is not touched, unless DEBUGINFOD_URLS is set and the
 * command allows it (sysroot.h); a server that fails is said once and not asked again. A file that is gone or
 * has been replaced is reported, not guessed at. Whatever the ELF or DWARF data say, a lookup
 * ends in a result or an error. Modules and lookups are cached; one object, one thread at a time.
 */
#ifndef PINW_REPORTS_SYMBOLS_H
#define PINW_REPORTS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pinw_symbols;

/* One function an address belongs to. Strings are owned by the symbols object. */
struct pinw_symbol_frame {
	const char *function; /* demangled; NULL when unknown */
	uint64_t function_offset; /* address - start of the function it is compiled into; 0 when unknown */
	const char *file; /* source file as the compiler recorded it; NULL when unknown */
	unsigned line; /* 0 when unknown */
	bool inlined; /* this function was inlined into the next frame's */
	const char
	    *symbols; /* names as the compiler wrote them, aliases included, one a line; NULL when unknown */
};

/* Returns 0 or -ENOMEM. The caller frees with pinw_symbols_free, which accepts NULL. */
int pinw_symbols_open(struct pinw_symbols **ret);
void pinw_symbols_free(struct pinw_symbols *s);

/* Looks up one address of one module. `module_address` is runtime address - load bias; for a
 * return address pass the call: return address - 1. With build_id_len 0 the file is taken as is.
 * Fills at most `max` frames, innermost inlined function first, the last one being the function
 * that holds the code (unless cut by `max`). Returns 0 with *ret_count >= 1, -ENOENT (no such file,
 * "[vdso]" included), -ESTALE (another build id than the one asked for), -ENODATA (no symbol
 * covers the address, or not an ELF file) or -ENOMEM. */
int pinw_symbols_lookup(struct pinw_symbols *s, const char *module_path, const uint8_t *build_id,
                        size_t build_id_len, uint64_t module_address, struct pinw_symbol_frame *ret_frames,
                        size_t max, size_t *ret_count);

#endif
