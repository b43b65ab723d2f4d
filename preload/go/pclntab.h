/* SPDX-License-Identifier: MIT
 *
 * Go's table of functions and lines (pclntab), which every Go program carries for its own panics, stripped or not:
 * layouts of Go 1.2 to 1.15, 1.16 and 1.17, and from 1.18 on; little-endian, 64 bits. A pure reader of bytes that
 * may be anything: every offset is checked, nothing is allocated, and only string.h is called.
 */
#ifndef PINW_PCLNTAB_H
#define PINW_PCLNTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PINW_PCLNTAB_HEAD 8u /* bytes by which a table is recognised */

enum pinw_pclntab_layout {
	PINW_PCLNTAB_1_2,
	PINW_PCLNTAB_1_16,
	PINW_PCLNTAB_1_18,
};

/* A table that is open. The bytes stay the caller's. Offsets count from its first byte. */
struct pinw_pclntab {
	const uint8_t *bytes;
	uint64_t size; /* as far as it may be read; a table does not say where it ends */
	uint64_t text; /* what addresses in it count from; 0 = they are absolute, or nobody has said yet */
	uint64_t count; /* functions */
	uint64_t index; /* offset of their addresses ... */
	uint64_t functions, names, units, files, deltas; /* ... and of what describes them */
	enum pinw_pclntab_layout layout;
	bool has_start_lines; /* functions have one field more: from Go 1.20 on */
};

/* Where an instruction is in the source; of inlined code, the place it was written. */
struct pinw_pclntab_place {
	const char *file; /* `file_len` bytes, a NUL after them; NULL = unknown */
	size_t file_len;
	unsigned line; /* 0 = unknown */
};

/* Can a table begin with these PINW_PCLNTAB_HEAD bytes? */
bool pinw_pclntab_is_head(const uint8_t *bytes);

/* Opens the table at `bytes`. `text` is left as the header has it (0 from Go 1.26 on, and in files that the loader
 * completes): the caller may put it right before asking. False when this is no table. */
bool pinw_pclntab_open(const void *bytes, uint64_t size, struct pinw_pclntab *ret);

/* The address at which function `i` starts; i == count: where the last one ends. */
uint64_t pinw_pclntab_entry(const struct pinw_pclntab *t, uint64_t i);

/* The function that covers `address`. False: none. */
bool pinw_pclntab_find(const struct pinw_pclntab *t, uint64_t address, uint64_t *ret_i);

/* The name of function `i`, as Go writes it: "net/http.(*conn).serve". *ret_len bytes, a NUL after them. NULL: the
 * table is damaged there. */
const char *pinw_pclntab_name(const struct pinw_pclntab *t, uint64_t i, size_t *ret_len);

/* The unit that function `i` was compiled in, as the first of its rows of files at `units`. From Go 1.16 on. */
uint32_t pinw_pclntab_unit(const struct pinw_pclntab *t, uint64_t i);

/* The source of the instruction `distance` bytes from the start of function `i`. */
struct pinw_pclntab_place pinw_pclntab_place(const struct pinw_pclntab *t, uint64_t i, uint64_t distance);

/* How far the stack pointer is below the return address at the instruction `distance` bytes from the start of function `i`:
 * 0 where the function has no frame. -1: unknown. */
int32_t pinw_pclntab_depth(const struct pinw_pclntab *t, uint64_t i, uint64_t distance);

/* A call that the compiler has replaced by the function itself. */
struct pinw_pclntab_call {
	const char *name; /* of that function: `name_len` bytes, a NUL after them */
	size_t name_len;
	uint64_t
	    distance; /* an instruction where the call would be, from the start of the function that has it now */
};

/* Where the innermost call that was inlined at the instruction `distance` bytes from the start of function `i` is described
 * (from 1.18 on): so many bytes after a place that only the runtime's description of the module knows. False: the
 * instruction is the function's own, or nothing is known. */
bool pinw_pclntab_inlined(const struct pinw_pclntab *t, uint64_t i, uint64_t distance, uint64_t *ret_offset);

/* Words of that description which may hold the place's address: the versions differ. Returns how many, at most
 * PINW_PCLNTAB_PLACES. */
#define PINW_PCLNTAB_PLACES 2u
unsigned pinw_pclntab_places(const struct pinw_pclntab *t, const unsigned **ret_words);

/* Reads such a description, of a call in function `i`, where `bytes` may be read. False: it is none. */
bool pinw_pclntab_call(const struct pinw_pclntab *t, uint64_t i, const uint8_t *at, uint64_t bytes,
                       struct pinw_pclntab_call *ret);

#endif
