/* SPDX-License-Identifier: MIT
 *
 * Cases for the reader of symbol tables: libhost.so, changed in memory, and what is heard of it.
 */
#ifndef PINW_TESTS_ELFSYM_RIG_H
#define PINW_TESTS_ELFSYM_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/elfsym.h"

/* The library the cases are made of, changed and put back. */
extern unsigned char *library;
extern size_t library_bytes;
extern uint64_t known_offset; /* of host_call in it */

void load_library(void);

/* Changes every section of one type; returns how many there were. */
unsigned retype_sections(uint32_t from, uint32_t to);

/* A path to a file of these bytes, until the next call; in memory: there are thousands of cases. */
const char *write_case(const void *bytes, size_t size);

/* Looks a case up: found, or refused with an errno, and the buffer holds a string either way. */
int look_up(const char *path, uint64_t address);

struct heard {
	char names[64][48];
	uint32_t keys[64];
	uint64_t starts[64];
	unsigned count;
};

/* For pinw_elfsym_each, with a struct heard. */
void hear(void *arg, const struct pinw_elfsym_ask *ask, const char *name, size_t len, bool is_global);
unsigned times_heard(const struct heard *heard, uint32_t key, const char *name);

#endif
