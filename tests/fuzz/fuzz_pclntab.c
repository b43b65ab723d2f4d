/* SPDX-License-Identifier: MIT
 *
 * Feeds any bytes to the reader of Go's function tables, as a table and as an ELF file.
 *
 *   clang -g -O1 -std=gnu11 -D_GNU_SOURCE -I. -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
 *     -o fuzz_pclntab tests/fuzz/fuzz_pclntab.c preload/go/goelf.c preload/go/pclntab.c
 *   ./fuzz_pclntab -max_len=8192 CORPUS tests/fuzz/corpus/pclntab
 *
 * The bytes are copied to a place of just their size, so that a single byte read beyond them is caught.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "preload/go/goelf.h"

#define FUNCTIONS_READ 64u
#define DISTANCES_READ 32u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sum; /* of all that is handed out: strings have to be readable to their end */

static void read_string(const char *text, size_t len)
{
	if (!text)
		return;
	if (memchr(text, '\0', len + 1) != text + len)
		abort();
	for (size_t i = 0; i <= len; i++)
		sum += (unsigned char)text[i];
}

static void read_function(const struct pinw_pclntab *t, uint64_t i)
{
	size_t len = 0;
	const char *name = pinw_pclntab_name(t, i, &len);

	read_string(name, len);
	for (uint64_t distance = 0; distance < DISTANCES_READ; distance++) {
		struct pinw_pclntab_place place = pinw_pclntab_place(t, i, distance * distance);
		read_string(place.file, place.file_len);
		sum += place.line;
	}
}

static void read_table(const struct pinw_pclntab *t)
{
	for (uint64_t i = 0; i < t->count && i < FUNCTIONS_READ; i++) {
		uint64_t found, entry = pinw_pclntab_entry(t, i);

		read_function(t, i);
		if (pinw_pclntab_find(t, entry, &found) && found >= t->count)
			abort();
	}
	read_function(t, t->count);
	read_function(t, UINT64_MAX);
}

static void read_calls(struct pinw_goelf *g, uint64_t i)
{
	struct pinw_pclntab_call call = {.distance = 0};

	for (unsigned depth = 0; depth < DISTANCES_READ; depth++)
		if (pinw_goelf_inlined(g, i, call.distance, &call))
			read_string(call.name, call.name_len);
		else
			call.distance = depth; /* the next try is elsewhere */
}

static void read_file(const uint8_t *bytes, size_t size)
{
	struct pinw_goelf g;
	uint64_t i, start;

	if (!pinw_goelf_open(bytes, size, &g))
		return;
	read_table(&g.table);
	for (uint64_t k = 0; k < FUNCTIONS_READ; k++)
		if (pinw_goelf_find(&g, g.table.text + k * k, &i, &start)) {
			if (i >= g.table.count || start > g.table.text + k * k)
				abort();
			read_calls(&g, i);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size ? size : 1);
	struct pinw_pclntab t;

	if (!bytes)
		return 0;
	if (size)
		memcpy(bytes, data, size);
	if (pinw_pclntab_open(bytes, size, &t))
		read_table(&t);
	read_file(bytes, size);
	free(bytes);
	return 0;
}
