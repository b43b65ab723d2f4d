/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "policy/mask.h"

static const char *printed(const uint64_t *m, unsigned words)
{
	static char buf[64];

	pinw_mask_print(buf, sizeof(buf), m, words);
	return buf;
}

Test(mask, loads_shorter_caller_masks_with_zeros)
{
	unsigned char two[2] = {0x01, 0x80};
	uint64_t m[2] = {~0ull, ~0ull};

	pinw_mask_load(m, 2, two, sizeof(two));
	cr_assert_eq(m[0], 0x8001);
	cr_assert_eq(m[1], 0);
}

Test(mask, cuts_longer_caller_masks_as_the_kernel_does)
{
	uint64_t big[32] = {0};
	uint64_t m[1];

	big[0] = 5;
	big[31] = ~0ull;
	pinw_mask_load(m, 1, big, sizeof(big));
	cr_assert_eq(m[0], 5);
}

Test(mask, keeps_cpus_beyond_1024)
{
	unsigned char bytes[512] = {0};
	uint64_t m[64];

	bytes[2000 / 8] = 1 << (2000 % 8);
	pinw_mask_load(m, 64, bytes, sizeof(bytes));
	cr_assert_eq(pinw_mask_width(m, 64), 1);
	cr_assert_str_eq(printed(m, 64), "2000");
}

Test(mask, a_mask_that_misses_a_baseline_cpu_is_a_pin)
{
	uint64_t baseline = 0xf, one = 0x1, all = 0xff, other = 0x30;

	cr_assert(pinw_mask_is_pin(&one, &baseline, 1));
	cr_assert(pinw_mask_is_pin(&other, &baseline, 1));
	cr_assert_not(pinw_mask_is_pin(&baseline, &baseline, 1));
	cr_assert_not(pinw_mask_is_pin(&all, &baseline, 1));
}

Test(mask, nothing_is_a_pin_on_a_one_cpu_baseline)
{
	uint64_t baseline = 0x4, same = 0x4, other = 0x8;

	cr_assert_not(pinw_mask_is_pin(&same, &baseline, 1));
	cr_assert_not(pinw_mask_is_pin(&other, &baseline, 1));
}

Test(mask, prints_ranges_and_pairs)
{
	uint64_t m[2] = {0x1ff0b, 1};

	cr_assert_str_eq(printed(m, 2), "0,1,3,8-16,64");
	m[0] = m[1] = 0;
	cr_assert_str_eq(printed(m, 2), "none");
	cr_assert_str_eq(printed(m, 0), "none");
}

Test(mask, prints_a_cut_list_with_dots_inside_the_buffer)
{
	uint64_t m[1] = {0x5555555555555555};
	char buf[16];
	size_t n = pinw_mask_print(buf, sizeof(buf), m, 1);

	cr_assert_lt(n, sizeof(buf));
	cr_assert_eq(strlen(buf), n);
	cr_assert_str_eq(buf + n - 3, "...");
}

Test(mask, parses_what_it_prints)
{
	uint64_t m[2] = {0x1ff0b, 1}, back[2];

	cr_assert_eq(pinw_mask_parse(printed(m, 2), back, 2, NULL), 0);
	cr_assert(pinw_mask_equal(m, back, 2));
}

Test(mask, rejects_what_is_not_a_list)
{
	static const struct {
		const char *text;
		int error;
		size_t bad;
	} cases[] = {
	    {"", -EINVAL, 0},   {"a", -EINVAL, 0},    {"1,", -EINVAL, 2},   {"3-1", -EINVAL, 1},
	    {"1-", -EINVAL, 1}, {"0 1", -EINVAL, 1},  {"64", -ERANGE, 0},   {"0,99999999999", -ERANGE, 2},
	    {"-1", -EINVAL, 0}, {"1,,2", -EINVAL, 2}, {"0-64", -ERANGE, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t m = 42;
		const char *bad = NULL;

		cr_expect_eq(pinw_mask_parse(cases[i].text, &m, 1, &bad), cases[i].error, "%s",
		             cases[i].text);
		cr_expect_eq(m, 42, "%s changed the mask", cases[i].text);
		cr_expect_eq(bad - cases[i].text, (long)cases[i].bad, "%s", cases[i].text);
	}
}
