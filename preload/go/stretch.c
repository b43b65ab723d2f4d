/* SPDX-License-Identifier: MIT
 *
 * Where in a program the code of runtime/proc.go can be. LockOSThread and UnlockOSThread are written there, and are part of other
 * packages' functions where the compiler inlines them. Go's table lists for each package that was compiled (its unit) the
 * files that its code is from, or no traceback could name them: the functions of all other packages need not be read, which
 * are most of a program of tens of megabytes, while that waits to start.
 */
#include <string.h>

#include "preload/go/go.h"

#define PLACES_MAX 512u /* units that list the file; Go programs have some ten */

static const char source[] = "runtime/proc.go"; /* after a folder, or alone (-trimpath) */

/* Where units list the file, as numbers of rows, and the unit that each is in. */
static struct {
	uint32_t count;
	uint32_t places[PLACES_MAX];
	uint32_t units[PLACES_MAX];
} listed; /* one program at a time; too large for a small stack */

static uint32_t row_at(const struct pinw_pclntab *t, uint64_t row)
{
	uint32_t value;

	memcpy(&value, t->bytes + t->units + row * sizeof(value), sizeof(value));
	return value;
}

/* Collects the rows of one file. False: they are too many. */
static bool list_file(const struct pinw_pclntab *t, uint32_t file)
{
	uint64_t rows = (t->files - t->units) / sizeof(uint32_t);

	for (uint64_t row = 0; row < rows; row++) {
		if (row_at(t, row) != file)
			continue;
		if (listed.count == PLACES_MAX)
			return false;
		listed.places[listed.count++] = (uint32_t)row;
	}
	return true;
}

/* The first file of that name, wherever its folder is. A program has one, which every unit lists by the same offset. */
static bool find_file(const struct pinw_pclntab *t, uint32_t *ret_file)
{
	const uint8_t *start = t->bytes + t->files, *end = t->bytes + t->deltas, *at = start;

	for (; (at = memmem(at, (size_t)(end - at), source, sizeof(source))); at++) {
		const uint8_t *name = at;

		while (name > start && name[-1])
			name--;
		if (name == at || at[-1] == '/') {
			*ret_file = (uint32_t)(name - start);
			return memmem(at + 1, (size_t)(end - at - 1), "/runtime/proc.go",
			              sizeof("/runtime/proc.go")) == NULL;
		}
	}
	return false;
}

/* The first listed place that is not before the unit. */
static uint32_t place_of(uint32_t unit)
{
	uint32_t low = 0, high = listed.count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (listed.places[middle] < unit)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A unit's rows end where the next unit's begin: of the units that begin before a place, it is the last one's. */
static void find_units(const struct pinw_pclntab *t)
{
	uint32_t unit, last = UINT32_MAX;

	memset(listed.units, 0, sizeof(listed.units));
	for (uint64_t i = 0; i < t->count; i++) {
		unit = pinw_pclntab_unit(t, i);
		uint32_t place = unit != last ? place_of(unit) : listed.count;

		if (place < listed.count && unit > listed.units[place])
			listed.units[place] = unit;
		last = unit;
	}
	for (uint32_t i = 1; i < listed.count; i++)
		if (listed.units[i] < listed.units[i - 1])
			listed.units[i] = listed.units[i - 1];
}

static bool lists_file(uint32_t unit)
{
	uint32_t place = place_of(unit);

	return place < listed.count && listed.units[place] == unit;
}

static bool find_listed(const struct pinw_pclntab *t)
{
	uint32_t file;

	listed.count = 0;
	if (t->layout == PINW_PCLNTAB_1_2 || t->units >= t->files || t->files >= t->deltas ||
	    t->deltas > t->size || !find_file(t, &file) || !list_file(t, file) || !listed.count)
		return false;
	find_units(t);
	return true;
}

/* Functions [first, end), as far as they are text: a damaged table may say anything. */
static void call(const struct pinw_go_runtime *runtime, pinw_go_stretch_fn fn, uint64_t first, uint64_t end)
{
	const unsigned char *from =
	    (const unsigned char *)(uintptr_t)pinw_pclntab_entry(&runtime->table, first);
	const unsigned char *to = (const unsigned char *)(uintptr_t)pinw_pclntab_entry(&runtime->table, end);

	if (from >= runtime->text && from < to && to <= runtime->etext)
		fn(from, to);
}

void pinw_go_each_stretch(const struct pinw_go_runtime *runtime, pinw_go_stretch_fn fn)
{
	const struct pinw_pclntab *t = &runtime->table;
	uint32_t last = UINT32_MAX;
	uint64_t since = 0;
	bool in = false;

	if (!find_listed(t)) {
		fn(runtime->text, runtime->etext);
		return;
	}
	for (uint64_t i = 0; i <= t->count; i++) {
		uint32_t unit = i < t->count ? pinw_pclntab_unit(t, i) : UINT32_MAX;
		bool now = unit == last ? in : i < t->count && lists_file(unit);

		if (now && !in)
			since = i;
		else if (in && !now)
			call(runtime, fn, since, i);
		in = now;
		last = unit;
	}
}
