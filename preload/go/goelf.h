/* SPDX-License-Identifier: MIT
 *
 * The pclntab of a Go program or library, found in the bytes of its ELF file: by its section, or where there is none
 * by a search of what is loaded. Files that the loader completes (PIE) have holes where addresses will be: those are
 * read from the relocations. Pure, and the bytes may be anything. Addresses are those of the file: without load bias.
 */
#ifndef PINW_GOELF_H
#define PINW_GOELF_H

#include "preload/go/pclntab.h"

struct pinw_goelf {
	const void *file; /* the caller's */
	uint64_t bytes;
	struct pinw_pclntab table;
	uint64_t address; /* of the table */
	const uint8_t *relocations; /* struct Elf64_Rela each, aligned to nothing */
	uint64_t relocation_count;
	bool in_relocations; /* the addresses of functions are there, and not in the table */
	uint64_t module; /* address of the runtime's description of the module; 0 = unknown ... */
	bool has_no_module; /* ... for good */
};

/* Opens the table of the file. False at once when the file is not Go's, and when there is no table or nothing says
 * what its addresses count from: then there are no names rather than wrong ones. */
bool pinw_goelf_open(const void *file, uint64_t bytes, struct pinw_goelf *ret);

/* The function that covers `address`, and where it starts. False: none. */
bool pinw_goelf_find(const struct pinw_goelf *g, uint64_t address, uint64_t *ret_i, uint64_t *ret_entry);

/* The innermost call inlined at the instruction `distance` bytes from the start of function `i`; the next one is at
 * the call's own distance. False: the instruction is the function's own, or (before Go 1.18) nothing is known. Looks
 * for the module's description at the first call. */
bool pinw_goelf_inlined(struct pinw_goelf *g, uint64_t i, uint64_t distance, struct pinw_pclntab_call *ret);

#endif
