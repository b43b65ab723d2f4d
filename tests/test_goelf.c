/* SPDX-License-Identifier: MIT
 *
 * The table of a Go program found in its file, of every layout, whole and damaged.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "preload/elfsym.h"
#include "preload/go/goelf.h"
#include "tests/gotab_rig.h"
#include "tests/rig.h"

TestSuite(goelf, .fini = pinw_rig_done);

static bool names_pin_handler(const struct bytes *b)
{
	struct pinw_goelf g;
	uint64_t i, start;
	size_t len;

	if (!pinw_goelf_open(at_edge(b->at, b->size), b->size, &g))
		return false;
	cr_assert(pinw_goelf_find(&g, TEXT + 0x150, &i, &start));
	cr_expect_eq(start, TEXT + 0x100);
	cr_expect_str_eq(pinw_pclntab_name(&g.table, i, &len), NAME_1);
	expect_place(&g.table, TEXT + 0x150 - start, "/src/pin.go", 9);
	cr_expect_not(pinw_goelf_find(&g, TEXT + 0x200, &i, &start));
	cr_expect_not(pinw_goelf_find(&g, TEXT - 1, &i, &start));
	return true;
}

Test(goelf, finds_tables_with_sections_and_without_and_what_they_count_from)
{
	for (unsigned k = 0; k < KINDS; k++) {
		struct bytes b = make_go_file(&go_kinds[k]);

		cr_expect(names_pin_handler(&b), "kind %u", k);
	}
}

Test(goelf, takes_a_file_without_a_note_by_its_section_only)
{
	struct kind kind = {.magic = 0xfffffff1, .no_note = true};
	struct bytes b = make_go_file(&kind);

	cr_expect_not(names_pin_handler(&b), "not Go's");
	kind.section = ".go.buildinfo";
	b = make_go_file(&kind);
	cr_expect(names_pin_handler(&b));
	kind.section = ".gopclntab";
	b = make_go_file(&kind);
	cr_expect_not(names_pin_handler(&b), "a file that only bears the name");
}

Test(goelf, has_no_names_rather_than_wrong_ones)
{
	struct kind kind = {.magic = 0xfffffff1, .no_text = true};
	struct bytes good = make_go_file(&kind);
	uint64_t text = TEXT, low = TEXT, *words = NULL;

	for (size_t at = 0; at + 8 * MODULE_WORDS <= good.size && !words; at += 8)
		if (memcmp(good.at + at + 160, &low, 8) == 0 && memcmp(good.at + at + 176, &text, 8) == 0)
			words = (uint64_t *)(good.at + at);
	cr_assert_not_null(words);
	static const unsigned matter[] = {0, 1, 20, 21, 22};
	for (unsigned i = 0; i < sizeof(matter) / sizeof(matter[0]); i++) {
		words[matter[i]] += 0x10;
		cr_expect_not(names_pin_handler(&good), "word %u of the module", matter[i]);
		words[matter[i]] -= 0x10;
	}
	words[20] += 0x10000, words[21] += 0x10000, words[22] += 0x10000;
	cr_expect_not(names_pin_handler(&good), "no code is there");
	words[20] -= 0x10000, words[21] -= 0x10000, words[22] -= 0x10000;
	cr_expect(names_pin_handler(&good));
}

static void expect_call(struct pinw_goelf *g, uint64_t distance, const char *name, uint64_t place)
{
	struct pinw_pclntab_call call;

	cr_assert(pinw_goelf_inlined(g, 1, distance, &call), "0x%lx", (unsigned long)distance);
	cr_expect_str_eq(call.name, name);
	cr_expect_eq(call.name_len, strlen(name));
	cr_expect_eq(call.distance, place);
}

Test(goelf, knows_inlined_calls)
{
	struct pinw_pclntab_call call;
	unsigned with_calls = 0;

	for (unsigned k = 0; k < KINDS; k++) {
		struct bytes b = make_go_file(&go_kinds[k]);
		struct pinw_goelf g;

		cr_assert(pinw_goelf_open(at_edge(b.at, b.size), b.size, &g));
		cr_expect_not(pinw_goelf_inlined(&g, 0, 0, &call), "another function's");
		cr_expect_not(pinw_goelf_inlined(&g, 1, 0x40, &call), "its own");
		cr_expect_not(pinw_goelf_inlined(&g, 3, 0, &call), "nobody's");
		if (!go_kinds[k].calls) {
			cr_expect_not(pinw_goelf_inlined(&g, 1, 0, &call));
			continue;
		}
		with_calls++;
		expect_call(&g, 0, NAME_0, 0x20);
		expect_call(&g, 0x20, NAME_2, 0x50);
		cr_expect_not(pinw_goelf_inlined(&g, 1, 0x50, &call));
	}
	cr_expect_eq(with_calls, 4);
}

static void read_calls(struct pinw_goelf *g, uint64_t i, uint64_t distance)
{
	struct pinw_pclntab_call call = {.distance = distance};

	for (unsigned depth = 0; depth < 4 && pinw_goelf_inlined(g, i, call.distance, &call); depth++)
		cr_assert_eq(strlen(call.name), call.name_len);
}

static void survives_as_file(const struct bytes *b, size_t size)
{
	struct pinw_goelf g;
	uint64_t i, start;

	if (!pinw_goelf_open(at_edge(b->at, size), size, &g))
		return;
	read_go_table(&g.table);
	for (uint64_t address = TEXT; address < TEXT + 0x200; address += 0x1f)
		if (pinw_goelf_find(&g, address, &i, &start)) {
			cr_assert(i < g.table.count && start <= address);
			read_calls(&g, i, address - start);
		}
}

Test(goelf, survives_a_cut_at_any_place)
{
	for (unsigned k = 0; k < KINDS; k++) {
		struct bytes b = make_go_file(&go_kinds[k]);

		for (size_t size = 0; size <= b.size; size++)
			survives_as_file(&b, size);
	}
}

Test(goelf, survives_any_byte)
{
	static const unsigned char values[] = {0, 0x80, 0xff};

	for (unsigned k = 0; k < KINDS; k++) {
		const struct bytes good = make_go_file(&go_kinds[k]);

		for (size_t at = 0; at < good.size; at++)
			for (unsigned v = 0; v < sizeof(values); v++) {
				struct bytes b = good;

				b.at[at] = values[v];
				survives_as_file(&b, b.size);
			}
	}
}

Test(goelf, names_functions_to_the_log_and_to_policies)
{
	struct bytes b = make_go_file(&go_kinds[KINDS - 1]);
	const char *path = pinw_rig_path("stripped");
	FILE *out = fopen(path, "wb");
	char name[64];
	uint64_t offset;

	cr_assert_not_null(out);
	cr_assert_eq(fwrite(b.at, 1, b.size, out), b.size);
	cr_assert_eq(fclose(out), 0);
	cr_assert_eq(pinw_elfsym_name(path, TEXT + 0x123, name, sizeof(name), &offset), 0);
	cr_expect_str_eq(name, NAME_1);
	cr_expect_eq(offset, 0x23);
	cr_assert_eq(pinw_elfsym_name(path, TEXT + 0x180, name, sizeof(name), &offset), 0);
	cr_expect_str_eq(name, NAME_2);
	cr_expect_lt(pinw_elfsym_name(path, TEXT + 0x200, name, sizeof(name), &offset), 0);
}
