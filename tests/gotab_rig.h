/* SPDX-License-Identifier: MIT
 *
 * Tables of three functions as each Go lays them out, alone and in small ELF files: for tests of
 * what reads them. What real compilers write is in tests/e2e_go.c.
 */
#ifndef PINW_TESTS_GOTAB_RIG_H
#define PINW_TESTS_GOTAB_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/go/pclntab.h"

#define TEXT 0x1000u
#define NAME_0 "main.main"
#define NAME_1 "main.(*server).pinHandler"
#define NAME_2 "main.F[...]"
#define ROOM 4096u
#define CALLS 0x20u /* where the calls inlined into pinHandler are, counted from what the module says */
#define MODULE_WORDS 44u
#define MAGICS 4u
#define KINDS 18u

extern const uint32_t go_starts[4]; /* from TEXT; the last is the end */
extern const char *const go_names[3];
extern const uint32_t go_magics[MAGICS];

struct bytes {
	unsigned char at[ROOM];
	size_t size;
};

/* Where things are in a table made by make_go_table. */
struct parts {
	size_t index, row, names, name[3], function[3];
};

/* How the table is to be found, and what it counts from. */
struct kind {
	const char *section; /* its name; NULL: there are no sections */
	uint32_t magic;
	unsigned calls; /* the word of the description that inlined calls count from; 0 = none */
	bool no_note;
	bool header_hole; /* the loader puts the text start into the header */
	bool no_text; /* only the runtime's description of the module has it */
	bool module_hole; /* ... which is the loader's work too */
	bool index_hole; /* as are the addresses in the index (to 1.17) */
};

/* Of every Go, with and without all that a linker may leave to the loader. */
extern const struct kind go_kinds[KINDS];

/* The parts of the table may be NULL. */
struct bytes make_go_table(uint32_t magic, struct parts *ret_parts);

struct bytes make_go_file(const struct kind *kind);

/* Writes eight bytes at an offset. */
void set64(struct bytes *b, size_t at, uint64_t value);

/* A copy of the bytes that ends where memory does, until the next call. */
const unsigned char *at_edge(const void *bytes, size_t size);

/* Reads everything that a table hands out. */
void read_go_table(const struct pinw_pclntab *t);

/* `distance` into pinHandler is this line of the file. */
void expect_place(const struct pinw_pclntab *t, uint64_t distance, const char *file, unsigned line);

#endif
