/* SPDX-License-Identifier: MIT
 *
 * The functions and lines of a table of Go's, of every layout, whole and damaged.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "preload/go/pclntab.h"
#include "tests/gotab_rig.h"

static bool survives(const struct bytes *b, size_t size)
{
	struct pinw_pclntab t;

	if (!pinw_pclntab_open(at_edge(b->at, size), size, &t))
		return false;
	read_go_table(&t);
	return true;
}

Test(pclntab, knows_functions_of_every_layout)
{
	for (unsigned m = 0; m < MAGICS; m++) {
		struct bytes b = make_go_table(go_magics[m], NULL);
		struct pinw_pclntab t;
		uint64_t found;
		size_t len;

		cr_assert(pinw_pclntab_open(at_edge(b.at, b.size), b.size, &t), "%x", go_magics[m]);
		cr_expect_eq(t.count, 3);
		for (uint32_t address = TEXT; address < TEXT + go_starts[3]; address += 0x7) {
			unsigned i = address >= TEXT + go_starts[2]   ? 2
			             : address >= TEXT + go_starts[1] ? 1
			                                              : 0;

			cr_assert(pinw_pclntab_find(&t, address, &found));
			cr_assert_eq(found, i);
			cr_expect_eq(pinw_pclntab_entry(&t, found), TEXT + go_starts[i]);
			cr_expect_str_eq(pinw_pclntab_name(&t, found, &len), go_names[i]);
			cr_expect_eq(len, strlen(go_names[i]));
		}
		cr_expect_not(pinw_pclntab_find(&t, TEXT - 1, &found));
		cr_expect_not(pinw_pclntab_find(&t, TEXT + go_starts[3], &found));
		cr_expect_null(pinw_pclntab_name(&t, 3, &len));
	}
}

Test(pclntab, knows_lines_of_every_layout)
{
	for (unsigned m = 0; m < MAGICS; m++) {
		struct bytes b = make_go_table(go_magics[m], NULL);
		struct pinw_pclntab t;

		cr_assert(pinw_pclntab_open(at_edge(b.at, b.size), b.size, &t));
		expect_place(&t, 0, "/src/main.go", 112);
		expect_place(&t, 0xf, "/src/main.go", 112);
		expect_place(&t, 0x10, "/src/main.go", 114);
		expect_place(&t, 0x3f, "/src/main.go", 114);
		expect_place(&t, 0x40, "/src/pin.go", 9);
		expect_place(&t, 0x7f, "/src/pin.go", 9);
		cr_expect_null(pinw_pclntab_place(&t, 1, 0x80).file, "after the function");
		cr_expect_eq(pinw_pclntab_place(&t, 1, 0x80).line, 0);
		cr_expect_null(pinw_pclntab_place(&t, 0, 0).file, "a function without lines");
		cr_expect_null(pinw_pclntab_place(&t, 3, 0).file, "no function");
	}
}

Test(pclntab, opens_nothing_else)
{
	const struct bytes good = make_go_table(0xfffffff1, NULL);
	static const struct {
		size_t at;
		unsigned char value;
	} changes[] = {{0, 0xf2}, {3, 0}, {4, 1}, {5, 1}, {6, 4}, {7, 4}};
	struct pinw_pclntab t;

	cr_expect(pinw_pclntab_is_head(good.at));
	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct bytes b = good;

		b.at[changes[i].at] = changes[i].value;
		cr_expect_not(pinw_pclntab_is_head(b.at));
		cr_expect_not(pinw_pclntab_open(b.at, b.size, &t));
	}
	cr_expect_not(pinw_pclntab_open(good.at, 0, &t));
	struct bytes b = good;
	set64(&b, 8, 0);
	cr_expect_not(pinw_pclntab_open(b.at, b.size, &t), "no functions");
	set64(&b, 8, UINT64_MAX);
	cr_expect_not(pinw_pclntab_open(b.at, b.size, &t), "more than fit");
	set64(&b, 8, UINT64_MAX / 8 + 4);
	cr_expect_not(pinw_pclntab_open(b.at, b.size, &t), "three, to who multiplies without care");
}

Test(pclntab, survives_a_cut_at_any_place)
{
	for (unsigned m = 0; m < MAGICS; m++) {
		struct bytes b = make_go_table(go_magics[m], NULL);

		for (size_t size = 0; size < b.size; size++)
			survives(&b, size);
		cr_expect(survives(&b, b.size));
	}
}

Test(pclntab, survives_any_byte)
{
	static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};

	for (unsigned m = 0; m < MAGICS; m++) {
		const struct bytes good = make_go_table(go_magics[m], NULL);
		unsigned opened = 0;

		for (size_t at = 0; at < good.size; at++)
			for (unsigned v = 0; v < sizeof(values); v++) {
				struct bytes b = good;

				b.at[at] = values[v];
				opened += survives(&b, b.size);
			}
		cr_expect_gt(opened, good.size, "%u of %zu read on", opened, 5 * good.size);
	}
}

Test(pclntab, survives_random_damage)
{
	unsigned seed = 1;

	for (unsigned round = 0; round < 20000; round++) {
		struct bytes b = make_go_table(go_magics[round % MAGICS], NULL);

		for (unsigned i = 0; i <= round % 8; i++)
			b.at[8 + (size_t)rand_r(&seed) % (b.size - 8)] = (unsigned char)rand_r(&seed);
		survives(&b, b.size);
	}
}
