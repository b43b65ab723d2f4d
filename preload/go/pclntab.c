/* SPDX-License-Identifier: MIT */
#include "preload/go/pclntab.h"

#include <string.h>

#define MAGIC_1_2 0xfffffffbu
#define MAGIC_1_16 0xfffffffau
#define MAGIC_1_18 0xfffffff0u
#define MAGIC_1_20 0xfffffff1u

#define NO_FILE UINT32_MAX
#define NO_TABLE UINT32_MAX
#define INLINED_ROWS 2u /* which of a function's tables of values has the rows of inlined calls */
#define INLINED_CALLS 3u /* which of its other tables has those calls */

/* ---- reading ------------------------------------------------------------------------------ */

static bool fits(const struct pinw_pclntab *t, uint64_t offset, uint64_t bytes)
{
	return offset <= t->size && bytes <= t->size - offset;
}

/* What lies outside of the table is 0, which means nothing anywhere. */
static uint32_t get32(const struct pinw_pclntab *t, uint64_t offset)
{
	uint32_t value = 0;

	if (fits(t, offset, sizeof(value)))
		memcpy(&value, t->bytes + offset, sizeof(value));
	return value;
}

static uint64_t get64(const struct pinw_pclntab *t, uint64_t offset)
{
	uint64_t value = 0;

	if (fits(t, offset, sizeof(value)))
		memcpy(&value, t->bytes + offset, sizeof(value));
	return value;
}

/* Offsets are sums of what the table says: one that overflows is as wrong as any other, and as harmless. */
static const char *get_string(const struct pinw_pclntab *t, uint64_t offset, size_t *ret_len)
{
	if (offset >= t->size)
		return NULL;
	const char *text = (const char *)t->bytes + offset;
	const char *end = memchr(text, '\0', t->size - offset);
	if (!end || end == text)
		return NULL;
	*ret_len = (size_t)(end - text);
	return text;
}

/* Seven bits a byte, the lowest first. Returns how many bytes it took, 0 when it has no end. */
static unsigned get_varint(const struct pinw_pclntab *t, uint64_t offset, uint32_t *ret)
{
	uint32_t value = 0;

	for (unsigned n = 0; n < 5 && fits(t, offset, n + UINT64_C(1)); n++) {
		value |= (uint32_t)(t->bytes[offset + n] & 0x7f) << 7 * n;
		if (!(t->bytes[offset + n] & 0x80)) {
			*ret = value;
			return n + 1;
		}
	}
	return 0;
}

/* ---- header ---------------------------------------------------------------------------------- */

static bool layout_of(uint32_t magic, enum pinw_pclntab_layout *ret)
{
	switch (magic) {
	case MAGIC_1_2:
		*ret = PINW_PCLNTAB_1_2;
		return true;
	case MAGIC_1_16:
		*ret = PINW_PCLNTAB_1_16;
		return true;
	case MAGIC_1_18:
	case MAGIC_1_20:
		*ret = PINW_PCLNTAB_1_18;
		return true;
	default:
		return false;
	}
}

bool pinw_pclntab_is_head(const uint8_t *bytes)
{
	static const uint8_t rest[] = {0, 0, 1,
	                               8}; /* two of padding, the size of an instruction, of a pointer */
	enum pinw_pclntab_layout layout;
	uint32_t magic;

	memcpy(&magic, bytes, sizeof(magic));
	return layout_of(magic, &layout) && memcmp(bytes + sizeof(magic), rest, sizeof(rest)) == 0;
}

/* Bytes of one row of the index: an address, and where the function is described. */
static uint64_t row_bytes(const struct pinw_pclntab *t)
{
	return t->layout == PINW_PCLNTAB_1_18 ? 8 : 16;
}

/* Bytes of the function's own address, before all other fields. */
static uint64_t entry_bytes(const struct pinw_pclntab *t)
{
	return t->layout == PINW_PCLNTAB_1_18 ? 4 : 8;
}

static void read_offsets(struct pinw_pclntab *t)
{
	uint64_t at =
	    t->layout == PINW_PCLNTAB_1_18 ? 32 : 24; /* of the fields that the younger layouts share */

	t->count = get64(t, 8);
	if (t->layout == PINW_PCLNTAB_1_2) {
		t->index = 16; /* everything else counts from the header */
		return;
	}
	t->text = t->layout == PINW_PCLNTAB_1_18 ? get64(t, 24) : 0;
	t->names = get64(t, at);
	t->units = get64(t, at + 8);
	t->files = get64(t, at + 16);
	t->deltas = get64(t, at + 24);
	t->functions = get64(t, at + 32);
	t->index = t->functions;
}

/* The offset at which function `i` is described. */
static uint64_t function_at(const struct pinw_pclntab *t, uint64_t i)
{
	uint64_t row = t->index + i * row_bytes(t);

	return t->functions +
	       (t->layout == PINW_PCLNTAB_1_18 ? get32(t, row + 4) : get64(t, row + sizeof(uint64_t)));
}

bool pinw_pclntab_open(const void *bytes, uint64_t size, struct pinw_pclntab *ret)
{
	struct pinw_pclntab t = {.bytes = bytes, .size = size};
	size_t len;

	if (size < PINW_PCLNTAB_HEAD || !pinw_pclntab_is_head(bytes) || !layout_of(get32(&t, 0), &t.layout))
		return false;
	read_offsets(&t);
	t.has_start_lines = get32(&t, 0) == MAGIC_1_20;
	if (!t.count || t.index >= size || t.count >= (size - t.index) / row_bytes(&t) || t.names >= size ||
	    t.units >= size || t.files >= size || t.deltas >= size)
		return false;
	/* Chance does not name its first and its last function. */
	if (pinw_pclntab_entry(&t, 0) > pinw_pclntab_entry(&t, t.count) || !pinw_pclntab_name(&t, 0, &len) ||
	    !pinw_pclntab_name(&t, t.count - 1, &len))
		return false;
	if (t.layout == PINW_PCLNTAB_1_2)
		t.files = get32(&t, t.index + t.count * row_bytes(&t) + sizeof(uint64_t));
	*ret = t;
	return true;
}

/* ---- functions ---------------------------------------------------------------------------------- */

uint64_t pinw_pclntab_entry(const struct pinw_pclntab *t, uint64_t i)
{
	uint64_t row = t->index + i * row_bytes(t);

	return t->layout == PINW_PCLNTAB_1_18 ? t->text + get32(t, row) : get64(t, row);
}

bool pinw_pclntab_find(const struct pinw_pclntab *t, uint64_t address, uint64_t *ret_i)
{
	uint64_t low = 0, high = t->count;

	if (address < pinw_pclntab_entry(t, 0) || address >= pinw_pclntab_entry(t, t->count))
		return false;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		if (pinw_pclntab_entry(t, middle) <= address)
			low = middle;
		else
			high = middle;
	}
	*ret_i = low;
	return true;
}

const char *pinw_pclntab_name(const struct pinw_pclntab *t, uint64_t i, size_t *ret_len)
{
	uint64_t f = function_at(t, i);

	if (i >= t->count || !fits(t, f, entry_bytes(t) + sizeof(uint32_t)))
		return NULL;
	return get_string(t, t->names + get32(t, f + entry_bytes(t)), ret_len);
}

/* ---- source ------------------------------------------------------------------------------------- */

/* A field of function `i` by its number, four bytes each: 0 name, 1 arguments, 2 deferreturn, 3 pcsp, 4 pcfile,
 * 5 pcln, 6 number of further tables, 7 unit (from 1.16 on). */
static uint32_t field(const struct pinw_pclntab *t, uint64_t i, unsigned number)
{
	return get32(t, function_at(t, i) + entry_bytes(t) + number * UINT64_C(4));
}

/* A value that changes along a function: pairs of steps, of the value (zigzag) and of the address, until a value that
 * does not change. Returns it at `distance`, or -1: a table at offset 0 is none. */
static int32_t value_at(const struct pinw_pclntab *t, uint32_t table, uint64_t distance)
{
	uint64_t at = t->deltas + table, address = 0;
	uint32_t value = UINT32_MAX, step, length;
	bool first = true;

	if (!table)
		return -1;
	for (;; first = false) {
		unsigned n = get_varint(t, at, &step);

		if (!n || (!step && !first))
			return -1;
		at += n;
		n = get_varint(t, at, &length);
		if (!n)
			return -1;
		at += n;
		value += step & 1 ? ~(step >> 1) : step >> 1;
		address += length;
		if (distance < address)
			return (int32_t)value;
	}
}

int32_t pinw_pclntab_depth(const struct pinw_pclntab *t, uint64_t i, uint64_t distance)
{
	return i < t->count ? value_at(t, field(t, i, 3), distance) : -1;
}

uint32_t pinw_pclntab_unit(const struct pinw_pclntab *t, uint64_t i)
{
	return field(t, i, 7);
}

static const char *file_name(const struct pinw_pclntab *t, uint64_t i, int32_t number, size_t *ret_len)
{
	uint64_t offset;

	if (number < 0)
		return NULL;
	if (t->layout == PINW_PCLNTAB_1_2) {
		offset = get32(t, t->files + (uint64_t)number * 4);
		return number && offset ? get_string(t, offset, ret_len) : NULL;
	}
	uint64_t row = t->units + ((uint64_t)pinw_pclntab_unit(t, i) + (uint64_t)number) * 4;
	offset = get32(t, row);
	return fits(t, row, 4) && offset != NO_FILE ? get_string(t, t->files + offset, ret_len) : NULL;
}

struct pinw_pclntab_place pinw_pclntab_place(const struct pinw_pclntab *t, uint64_t i, uint64_t distance)
{
	struct pinw_pclntab_place place = {.file = NULL};

	if (i >= t->count)
		return place;
	int32_t line = value_at(t, field(t, i, 5), distance);
	place.line = line > 0 ? (unsigned)line : 0;
	place.file = file_name(t, i, value_at(t, field(t, i, 4), distance), &place.file_len);
	return place;
}

/* ---- inlined calls ------------------------------------------------------------------------------ */

/* A call is described in 20 bytes, from Go 1.20 on in 16. */
bool pinw_pclntab_inlined(const struct pinw_pclntab *t, uint64_t i, uint64_t distance, uint64_t *ret_offset)
{
	uint64_t end = function_at(t, i) + (t->has_start_lines ? 44 : 40), values = field(t, i, 6);

	/* The last byte of the fixed part counts the tables that are not of values; theirs follow. */
	if (i >= t->count || t->layout != PINW_PCLNTAB_1_18 || values <= INLINED_ROWS ||
	    !fits(t, end - 1, 1) || t->bytes[end - 1] <= INLINED_CALLS)
		return false;
	int32_t row = value_at(t, get32(t, end + INLINED_ROWS * UINT64_C(4)), distance);
	uint64_t at = end + (values + INLINED_CALLS) * 4;
	if (row < 0 || !fits(t, at, 4) || get32(t, at) == NO_TABLE)
		return false;
	*ret_offset = get32(t, at) + (uint64_t)row * (t->has_start_lines ? 16 : 20);
	return true;
}

/* 1.18 and 1.19; 1.20 to 1.26; 1.27. */
unsigned pinw_pclntab_places(const struct pinw_pclntab *t, const unsigned **ret_words)
{
	static const unsigned old[] = {38}, young[PINW_PCLNTAB_PLACES] = {40, 43};

	*ret_words = t->has_start_lines ? young : old;
	return t->has_start_lines ? 2 : 1;
}

/* A name by its offset among the names, which is where one begins; else NULL. */
static const char *name_at(const struct pinw_pclntab *t, uint32_t offset, size_t *ret_len)
{
	uint64_t at = t->names + offset;

	if (!offset || !fits(t, at - 1, 1) || t->bytes[at - 1] != '\0')
		return NULL;
	return get_string(t, at, ret_len);
}

/* It is one if it names a function, and its place is in the function at hand. */
bool pinw_pclntab_call(const struct pinw_pclntab *t, uint64_t i, const uint8_t *at, uint64_t bytes,
                       struct pinw_pclntab_call *ret)
{
	uint64_t size = pinw_pclntab_entry(t, i + 1) - pinw_pclntab_entry(t, i),
	         name_at_byte = t->has_start_lines ? 4 : 12;
	uint32_t name, distance;

	if (bytes < name_at_byte + 8 || (t->has_start_lines && (at[1] || at[2] || at[3])))
		return false;
	memcpy(&name, at + name_at_byte, sizeof(name));
	memcpy(&distance, at + name_at_byte + 4, sizeof(distance));
	ret->name = name_at(t, name, &ret->name_len);
	ret->distance = distance;
	return ret->name && distance < size;
}
