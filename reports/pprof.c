/* SPDX-License-Identifier: MIT */
#include "reports/pprof.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/export.h"
#include "reports/utf8.h"

enum {
	MAPPING_ID = 1,
	MAPPING_START = 2,
	MAPPING_LIMIT = 3,
	MAPPING_FILE = 5,
	MAPPING_BUILD_ID = 6,
	MAPPING_HAS_FUNCTIONS = 7,
	MAPPING_HAS_FILES = 8,
	MAPPING_HAS_LINES = 9,
	MAPPING_HAS_INLINES = 10,
	LOCATION_ID = 1,
	LOCATION_MAPPING = 2,
	LOCATION_ADDRESS = 3,
	LOCATION_LINE = 4,
	LINE_FUNCTION = 1,
	LINE_NUMBER = 2,
	FUNCTION_ID = 1,
	FUNCTION_NAME = 2,
	FUNCTION_SYSTEM_NAME = 3,
	FUNCTION_FILE = 4,
};

#define FLUSH_BYTES 65536u

/* One for each path and build id. */
struct mapping {
	uint32_t id;
	uint32_t file, build_id; /* strings */
	uint64_t start, limit; /* addresses in the file */
	bool has_functions, has_files, has_lines, has_inlines;
};

/* An address of a mapping; or, with a function, what stands for a stack. */
struct location {
	uint32_t mapping, function;
	uint64_t address;
	uint64_t id;
};

int pinw_pprof_open(struct pinw_pprof *f, FILE *out)
{
	*f = (struct pinw_pprof){0};
	pinw_intern_init(&f->strings);
	pinw_table_init(&f->mappings, sizeof(struct mapping));
	pinw_table_init(&f->functions, sizeof(uint32_t));
	pinw_table_init(&f->locations, sizeof(struct location));
	int error = pinw_gzip_open(out, &f->gzip);
	if (error == 0)
		pinw_pprof_string(f, ""); /* has to be the first one */
	return error;
}

void pinw_pprof_put(struct pinw_pprof *f, unsigned field, const struct pinw_pb *message)
{
	pinw_pb_message(&f->out, field, message);
	if (f->out.failed)
		f->error = -ENOMEM;
	if (f->error < 0 || f->out.len < FLUSH_BYTES)
		return;
	f->error = pinw_gzip_write(f->gzip, f->out.bytes, f->out.len);
	pinw_pb_reset(&f->out);
}

uint32_t pinw_pprof_string(struct pinw_pprof *f, const char *text)
{
	uint32_t number = 0;
	int error = pinw_intern_get(&f->strings, text, &number);

	if (error < 0)
		f->error = error;
	return number;
}

uint32_t pinw_pprof_clean_string(struct pinw_pprof *f, const char *text)
{
	char clean[PINW_EXPORT_TEXT];

	pinw_utf8_copy(clean, sizeof(clean), text, SIZE_MAX, true);
	return pinw_pprof_string(f, clean);
}

/* ---- mappings --------------------------------------------------------------------------- */

static struct mapping *find_mapping(struct pinw_pprof *f, const struct pinw_module *m)
{
	char build_id[2 * sizeof(m->build_id) + 1] = "";
	bool new;

	for (size_t i = 0; i < m->build_id_len && i < sizeof(m->build_id); i++)
		sprintf(build_id + 2 * i, "%02x", m->build_id[i]);
	uint32_t file = pinw_pprof_clean_string(f, m->path), id = pinw_pprof_string(f, build_id);
	struct mapping *row = pinw_table_get(&f->mappings, (uint64_t)file << 32 | id, &new);
	if (!row)
		f->error = -ENOMEM;
	else if (new)
		*row = (struct mapping){.id = (uint32_t)f->mappings.count,
		                        .file = file,
		                        .build_id = id,
		                        .start = m->start,
		                        .limit = m->end};
	return row;
}

uint32_t pinw_pprof_mapping(struct pinw_pprof *f, const struct pinw_module *m)
{
	const struct mapping *row = m && m->path ? find_mapping(f, m) : NULL;

	return row ? row->id : 0;
}

static void put_mapping(struct pinw_pprof *f, struct pinw_pb *message, const struct mapping *m)
{
	pinw_pb_reset(message);
	pinw_pb_number(message, MAPPING_ID, m->id);
	pinw_pb_number(message, MAPPING_START, m->start);
	pinw_pb_number(message, MAPPING_LIMIT, m->limit);
	pinw_pb_number(message, MAPPING_FILE, m->file);
	pinw_pb_number(message, MAPPING_BUILD_ID, m->build_id);
	pinw_pb_number(message, MAPPING_HAS_FUNCTIONS, m->has_functions);
	pinw_pb_number(message, MAPPING_HAS_FILES, m->has_files);
	pinw_pb_number(message, MAPPING_HAS_LINES, m->has_lines);
	pinw_pb_number(message, MAPPING_HAS_INLINES, m->has_inlines);
	pinw_pprof_put(f, PINW_PROFILE_MAPPING, message);
}

/* ---- functions --------------------------------------------------------------------------- */

/* Its id; writes it the first time. `system` is the name as the compiler wrote it. */
static uint32_t function_of(struct pinw_pprof *f, const char *name, const char *system, const char *file)
{
	uint32_t name_number = pinw_pprof_clean_string(f, name),
	         file_number = pinw_pprof_clean_string(f, file);
	struct pinw_pb message = {0};
	bool new;
	uint32_t *id = pinw_table_get(&f->functions, (uint64_t)name_number << 32 | file_number, &new);

	if (!id) {
		f->error = -ENOMEM;
		return 0;
	}
	if (!new)
		return *id;
	*id = (uint32_t)f->functions.count;
	pinw_pb_number(&message, FUNCTION_ID, *id);
	pinw_pb_number(&message, FUNCTION_NAME, name_number);
	pinw_pb_number(&message, FUNCTION_SYSTEM_NAME, pinw_pprof_clean_string(f, system));
	pinw_pb_number(&message, FUNCTION_FILE, file_number);
	pinw_pprof_put(f, PINW_PROFILE_FUNCTION, &message);
	pinw_pb_done(&message);
	return *id;
}

/* pprof demangles a name that is its own system name. Of several the first line is it. */
static uint32_t function_of_frame(struct pinw_pprof *f, const struct pinw_frame *frame)
{
	char system[PINW_EXPORT_TEXT];
	const char *symbols = frame->symbols && *frame->symbols ? frame->symbols : frame->function;

	snprintf(system, sizeof(system), "%.*s", (int)strcspn(symbols, "\n"), symbols);
	return function_of(f, frame->function, system, frame->file ? frame->file : "");
}

/* ---- locations ---------------------------------------------------------------------------- */

static struct location *find_location(struct pinw_pprof *f, uint32_t mapping, uint32_t function,
                                      uint64_t address)
{
	const struct {
		uint64_t mapping, function, address;
	} key = {mapping, function, address};

	for (uint64_t at = pinw_table_hash(&key, sizeof(key));; at++) {
		bool new;
		struct location *row = pinw_table_get(&f->locations, at, &new);
		if (!row) {
			f->error = -ENOMEM;
			return NULL;
		}
		if (new)
			*row =
			    (struct location){.mapping = mapping, .function = function, .address = address};
		if (row->mapping == mapping && row->function == function && row->address == address)
			return row;
	}
}

static void add_line(struct pinw_pb *location, uint32_t function, unsigned number)
{
	struct pinw_pb line = {0};

	pinw_pb_number(&line, LINE_FUNCTION, function);
	pinw_pb_number(&line, LINE_NUMBER, number);
	pinw_pb_message(location, LOCATION_LINE, &line);
	pinw_pb_done(&line);
}

static void begin_location(struct pinw_pprof *f, struct pinw_pb *message, struct location *row)
{
	row->id = f->locations.count;
	pinw_pb_number(message, LOCATION_ID, row->id);
	pinw_pb_number(message, LOCATION_MAPPING, row->mapping);
	pinw_pb_number(message, LOCATION_ADDRESS, row->address);
}

/* What pprof need not look up itself. */
static void note_known(struct mapping *m, const struct pinw_frame *frame)
{
	m->has_functions = true;
	m->has_files = m->has_files || frame->file;
	m->has_lines = m->has_lines || frame->line;
	m->has_inlines = m->has_inlines || frame->line;
}

/* The address is that of the call, as the format wants it: one byte before the return address. */
uint64_t pinw_pprof_location(struct pinw_pprof *f, const struct pinw_frame *frames, size_t count)
{
	const struct pinw_module *module = frames[0].in;
	struct mapping *mapping = module && module->path ? find_mapping(f, module) : NULL;
	uint64_t address = frames[0].offset ? frames[0].offset - 1 : 0;
	struct location *row = find_location(f, mapping ? mapping->id : 0, 0, address);
	struct pinw_pb message = {0};

	if (!row || row->id)
		return row ? row->id : 0;
	begin_location(f, &message, row);
	for (size_t i = 0; i < count; i++) {
		if (!frames[i].function)
			continue;
		add_line(&message, function_of_frame(f, &frames[i]), frames[i].line);
		if (mapping)
			note_known(mapping, &frames[i]);
	}
	if (mapping && address >= mapping->limit)
		mapping->limit = address + 1;
	pinw_pprof_put(f, PINW_PROFILE_LOCATION, &message);
	pinw_pb_done(&message);
	return row->id;
}

uint64_t pinw_pprof_placeholder(struct pinw_pprof *f, const char *text)
{
	uint32_t function = function_of(f, text, text, "");
	struct location *row = find_location(f, 0, function, 0);
	struct pinw_pb message = {0};

	if (!row || row->id)
		return row ? row->id : 0;
	begin_location(f, &message, row);
	add_line(&message, function, 0);
	pinw_pprof_put(f, PINW_PROFILE_LOCATION, &message);
	pinw_pb_done(&message);
	return row->id;
}

/* ---- the end ------------------------------------------------------------------------------ */

static void put_strings(struct pinw_pprof *f)
{
	struct pinw_pb *out = &f->out;

	for (uint32_t i = 0; f->error == 0 && i < pinw_intern_count(&f->strings); i++) {
		pinw_pb_text(out, PINW_PROFILE_STRING, pinw_intern_text(&f->strings, i));
		if (out->failed)
			f->error = -ENOMEM;
		if (f->error < 0 || out->len < FLUSH_BYTES)
			continue;
		f->error = pinw_gzip_write(f->gzip, out->bytes, out->len);
		pinw_pb_reset(out);
	}
	if (f->error == 0)
		f->error = pinw_gzip_write(f->gzip, out->bytes, out->len);
}

int pinw_pprof_close(struct pinw_pprof *f)
{
	struct pinw_pb message = {0};

	for (size_t i = 0; i < f->mappings.count; i++)
		put_mapping(f, &message, pinw_table_at(&f->mappings, i));
	pinw_pb_done(&message);
	put_strings(f);
	int error = pinw_gzip_close(f->gzip, f->error);
	pinw_pb_done(&f->out);
	pinw_intern_done(&f->strings);
	pinw_table_done(&f->mappings);
	pinw_table_done(&f->functions);
	pinw_table_done(&f->locations);
	return error;
}
