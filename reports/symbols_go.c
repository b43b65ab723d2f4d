/* SPDX-License-Identifier: MIT */
#include "reports/symbols_go.h"

#include <sys/mman.h>

void pinw_symbols_go_open(struct pinw_symbols_go *g, int fd, size_t bytes)
{
	void *file = bytes ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;

	if (file == MAP_FAILED)
		return;
	if (pinw_goelf_open(file, bytes, &g->elf)) {
		g->file = file;
		g->bytes = bytes;
	} else {
		munmap(file, bytes);
	}
}

void pinw_symbols_go_close(struct pinw_symbols_go *g)
{
	if (g->file)
		munmap(g->file, g->bytes);
	g->file = NULL;
}

size_t pinw_symbols_go_frames(struct pinw_symbols_go *g, uint64_t address, struct pinw_symbol_frame *frames,
                              size_t max, uint64_t *ret_start)
{
	uint64_t function, start;
	size_t len, count = 0;

	if (!g->file || !pinw_goelf_find(&g->elf, address, &function, &start))
		return 0;
	const char *name = pinw_pclntab_name(&g->elf.table, function, &len);
	struct pinw_pclntab_call call = {.distance = address - start};
	for (bool inlined = true; name && inlined && count < max; count++) {
		struct pinw_pclntab_place place = pinw_pclntab_place(&g->elf.table, function, call.distance);

		inlined = pinw_goelf_inlined(&g->elf, function, call.distance, &call);
		frames[count] = (struct pinw_symbol_frame){.function = inlined ? call.name : name,
		                                           .function_offset = address - start,
		                                           .file = place.file,
		                                           .line = place.file ? place.line : 0,
		                                           .symbols = inlined ? NULL : name,
		                                           .inlined = inlined};
	}
	*ret_start = start;
	return count;
}

bool pinw_symbols_go_leads(const struct pinw_symbols_go *g)
{
	return g->elf.table.layout == PINW_PCLNTAB_1_18;
}
