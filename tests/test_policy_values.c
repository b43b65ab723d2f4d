/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "policy/keys.h"
#include "policy/phrase.h"
#include "policy/values.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char said[256];

static struct pinw_phrase why(void)
{
	return pinw_phrase_start(said, sizeof(said));
}

/* ---- numbers ---------------------------------------------------------------------------------- */

Test(policy_values, a_count_may_be_reckoned_from_the_cpus)
{
	static const struct {
		const char *text;
		uint64_t want;
	} cases[] = {{"0", 0},          {"8", 8},       {"1000000000", 1000000000},
	             {"cpus", 6},       {"cpus-2", 4},  {"cpus-6", 0},
	             {"cpus+4", 10},    {"cpus*2", 12}, {"cpus - 1", 5},
	             {"cpus *\t3", 18}, {"007", 7},     {"cpus+0", 6}};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		uint64_t value = 99;
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_count(cases[i].text, 6, 0, &value, &t), 0, "%s: %s", cases[i].text,
		             said);
		cr_assert_eq(value, cases[i].want, "%s", cases[i].text);
	}
}

Test(policy_values, what_is_no_count_is_refused)
{
	static const struct {
		const char *text, *part;
	} cases[] = {{"", ""},
	             {"-1", ""},
	             {"1.5", ""},
	             {"8 threads", ""},
	             {"0x10", ""},
	             {"cpu", ""},
	             {"cpusx", ""},
	             {"cpus-", ""},
	             {"cpus/2", ""},
	             {"cpus-2x", ""},
	             {"2*cpus", ""},
	             {"cpus--1", ""},
	             {"Cpus", ""},
	             {"cpus-7", "the process may use 6 CPUs"},
	             {"1000000001", "more than 1000000000, the most"},
	             {"99999999999999999999999999", "more than"},
	             {"cpus*1000000000", "more than"}};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		uint64_t value = 99;
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_count(cases[i].text, 6, 0, &value, &t), -EINVAL, "%s", cases[i].text);
		cr_assert_eq(value, 99, "untouched: %s", cases[i].text);
		cr_assert(strstr(said, cases[i].part), "%s: %s", cases[i].text, said);
	}
}

Test(policy_values, a_count_below_the_least_is_refused_with_what_it_came_to)
{
	uint64_t value = 99;
	struct pinw_phrase t = why();

	cr_assert_eq(pinw_value_count("2", 6, 2, &value, &t), 0);
	cr_assert_eq(pinw_value_count("1", 6, 2, &value, &t), -EINVAL);
	cr_assert_str_eq(said, "the least is 2");
	t = why();
	cr_assert_eq(pinw_value_count("cpus-6", 6, 1, &value, &t), -EINVAL);
	cr_assert_str_eq(said, "0 here, as the process may use 6 CPUs; the least is 1");
	cr_assert_eq(value, 2);
}

Test(policy_values, durations_have_units)
{
	static const struct {
		const char *text;
		uint64_t want;
	} cases[] = {{"1us", 1000},
	             {"250ms", 250000000},
	             {"5s", 5000000000},
	             {"2m", 120000000000},
	             {"1h", 3600000000000},
	             {"10 s", 10000000000},
	             {"8760h", PINW_DURATION_MAX_NS}};
	static const char *const wrong[] = {
	    "",  "5", "s", "-5s", "5.5s", "5S", "5min", "5 s x", "1h30m", "8761h", "99999999999999999999s",
	    "0s"};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		uint64_t ns = 0;
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_duration(cases[i].text, 1, &ns, &t), 0, "%s: %s", cases[i].text,
		             said);
		cr_assert_eq(ns, cases[i].want, "%s", cases[i].text);
	}
	for (unsigned i = 0; i < COUNT(wrong); i++) {
		uint64_t ns = 99;
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_duration(wrong[i], 1, &ns, &t), -EINVAL, "%s", wrong[i]);
		cr_assert_eq(ns, 99, "untouched: %s", wrong[i]);
	}
}

Test(policy_values, a_wrong_unit_is_said_with_the_right_ones)
{
	uint64_t ns;
	struct pinw_phrase t = why();

	pinw_value_duration("5", 1, &ns, &t);
	cr_assert_str_eq(said, "the unit is missing");
	t = why();
	pinw_value_duration("5min", 1, &ns, &t);
	cr_assert_str_eq(said, "'min' is no unit; units are us, ms, s, m and h");
	t = why();
	pinw_value_duration("8761h", 1, &ns, &t);
	cr_assert_str_eq(said, "longer than 8760 h, the most");
	t = why();
	cr_assert_eq(pinw_value_duration("0s", 0, &ns, &t), 0, "zero where it has a meaning");
}

Test(policy_values, rates_are_a_number_in_a_time)
{
	static const struct {
		const char *text;
		uint64_t count, window_ns;
	} cases[] = {{"10/s", 10, 1000000000},
	             {"100/10s", 100, 10000000000},
	             {"600/m", 600, 60000000000},
	             {"1/us", 1, 1000},
	             {"5/250ms", 5, 250000000},
	             {"10 / 2 s", 10, 2000000000},
	             {"1000000/h", 1000000, 3600000000000}};
	static const char *const wrong[] = {"",    "10",     "/s",   "10/",       "10/0s", "0/s",   "10/x",
	                                    "10s", "10/s/s", "-1/s", "1000001/s", "1/2h",  "1.5/s", "10/-1s"};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		struct pinw_rate rate;
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_rate(cases[i].text, &rate, &t), 0, "%s: %s", cases[i].text, said);
		cr_assert(rate.count == cases[i].count && rate.window_ns == cases[i].window_ns, "%s",
		          cases[i].text);
	}
	for (unsigned i = 0; i < COUNT(wrong); i++) {
		struct pinw_rate rate = {.count = 99};
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_rate(wrong[i], &rate, &t), -EINVAL, "%s", wrong[i]);
		cr_assert_eq(rate.count, 99, "untouched: %s", wrong[i]);
	}
}

/* ---- CPUs --------------------------------------------------------------------------------------- */

Test(policy_values, cpu_lists_are_of_this_machine)
{
	static const uint64_t baseline[2] = {0xf}, present[2] = {0xff, 0x1};
	struct pinw_policy_host host = {.baseline = baseline, .present = present, .mask_words = 2};
	static const struct {
		const char *text;
		uint64_t low, high;
	} cases[] = {{"0", 1, 0}, {"0-3,7", 0x8f, 0}, {"1, 2,\t3", 0xe, 0}, {"64", 0, 1}, {"3,3", 8, 0}};
	static const struct {
		const char *text, *part;
	} wrong[] = {{"", ""},
	             {"all", ""},
	             {"3-1", ""},
	             {"1 2", ""},
	             {"1,", ""},
	             {"0x3", ""},
	             {"-1", ""},
	             {"8", "CPU 8 is not on this machine, which has 0-7,64"},
	             {"0-64", "CPU 8 is not"},
	             {"65", "CPU 65 is not"},
	             {"128", "a CPU beyond 127"},
	             {"4294967296", "a CPU beyond 127"}};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		uint64_t mask[2];
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_cpus(cases[i].text, &host, mask, &t), 0, "%s: %s", cases[i].text,
		             said);
		cr_assert(mask[0] == cases[i].low && mask[1] == cases[i].high, "%s", cases[i].text);
	}
	for (unsigned i = 0; i < COUNT(wrong); i++) {
		uint64_t mask[2] = {99, 98};
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_cpus(wrong[i].text, &host, mask, &t), -EINVAL, "%s", wrong[i].text);
		cr_assert(mask[0] == 99 && mask[1] == 98, "untouched: %s", wrong[i].text);
		cr_assert(strstr(said, wrong[i].part), "%s: %s", wrong[i].text, said);
	}
}

Test(policy_values, without_a_list_of_present_cpus_any_that_fits_is_taken)
{
	static const uint64_t baseline = 0x1;
	struct pinw_policy_host host = {.baseline = &baseline, .mask_words = 1};
	uint64_t mask = 0;
	struct pinw_phrase t = why();

	cr_assert_eq(pinw_value_cpus("63", &host, &mask, &t), 0);
	cr_assert_eq(mask, UINT64_C(1) << 63);
	cr_assert_eq(pinw_value_cpus("64", &host, &mask, &t), -EINVAL);
}

/* ---- words ------------------------------------------------------------------------------------------ */

Test(policy_values, every_action_is_taken_where_it_is_possible_and_nowhere_else)
{
	static const char *const names[] = {"off", "log", "deny", "reset", "crash"};

	for (unsigned i = 0; i < COUNT(names); i++) {
		uint8_t action = 99;
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_action(names[i], 1u << i, &action, &t), 0);
		cr_assert_eq(action, i);
		action = 99;
		cr_assert_eq(pinw_value_action(names[i], 0x1f & ~(1u << i), &action, &t), -EINVAL);
		cr_assert_str_eq(said, "an action that cannot be done here");
		cr_assert_eq(action, 99);
	}
	uint8_t action;
	struct pinw_phrase t = why();
	cr_assert_eq(pinw_value_action("dney", 0x1e, &action, &t), -EINVAL);
	cr_assert_str_eq(said, "unknown word (did you mean 'deny'?)");
}

Test(policy_values, every_call_is_a_bit)
{
	static const char *const names[] = {
	    "setaffinity", "pthread_setaffinity", "attr", "cross", "inherit", "golock", "raw"};
	uint32_t all = 0;
	struct pinw_phrase t = why();

	for (unsigned i = 0; i < COUNT(names); i++) {
		uint32_t call = 0;
		cr_assert_eq(pinw_value_calls(names[i], &call, &t), 0);
		cr_assert_eq(call, 1u << i);
		cr_assert_eq(pinw_value_calls(names[i], &all, &t), 0);
	}
	cr_assert_eq(all, 0x7f);
}

Test(policy_values, lists_of_words_are_divided_by_commas)
{
	static const char *const wrong[] = {"",
	                                    ",",
	                                    "attr,",
	                                    ",attr",
	                                    "attr,,cross",
	                                    "attr cross",
	                                    "attr;cross",
	                                    "attr,attr",
	                                    "atr",
	                                    "attr,x",
	                                    "pthread_setaffinity_np_of_a_very_long_name_indeed"};
	uint32_t calls = 0;
	struct pinw_phrase t = why();

	cr_assert_eq(pinw_value_calls(" attr ,\tcross,inherit", &calls, &t), 0);
	cr_assert_eq(calls, PINW_CALLS_ATTR | PINW_CALLS_CROSS | PINW_CALLS_INHERIT);
	for (unsigned i = 0; i < COUNT(wrong); i++) {
		calls = 0;
		t = why();
		cr_assert_eq(pinw_value_calls(wrong[i], &calls, &t), -EINVAL, "%s", wrong[i]);
		cr_assert_eq(calls, 0, "untouched: %s", wrong[i]);
		cr_assert(*said, "%s", wrong[i]);
	}
}

Test(policy_values, every_leak_is_a_bit_of_its_number)
{
	for (unsigned i = 0; i < PINW_PLEAKS; i++) {
		uint32_t leaks = 0;
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_leaks(pinw_policy_leak_name((enum pinw_policy_leak)i), &leaks, &t),
		             0);
		cr_assert_eq(leaks, 1u << i);
	}
}

Test(policy_values, single_words)
{
	uint32_t value = 0;
	bool flag = false;
	struct pinw_phrase t = why();

	cr_assert(pinw_value_mode("enforce", &value, &t) == 0 && value == PINW_MODE_ENFORCE);
	cr_assert(pinw_value_mode("audit", &value, &t) == 0 && value == PINW_MODE_AUDIT);
	cr_assert(pinw_value_kind("go", &value, &t) == 0 && value == PINW_KINDS_GO);
	cr_assert(pinw_value_kind("cpu", &value, &t) == 0 && value == PINW_KINDS_CPU);
	cr_assert(pinw_value_yes_no("yes", &flag, &t) == 0 && flag);
	cr_assert(pinw_value_yes_no("no", &flag, &t) == 0 && !flag);
	cr_assert(pinw_value_stop("stop", &flag, &t) == 0 && flag);
	cr_assert(pinw_value_stop("continue", &flag, &t) == 0 && !flag);
	cr_assert_eq(pinw_value_yes_no("true", &flag, &t), -EINVAL);
	cr_assert_eq(pinw_value_kind("cpu,go", &value, &t), -EINVAL);
	cr_assert_eq(pinw_value_mode("", &value, &t), -EINVAL);
}

Test(policy_values, errors_have_their_numbers)
{
	static const struct {
		const char *name;
		int error;
	} cases[] = {
	    {"EPERM", EPERM}, {"EAGAIN", EAGAIN}, {"EINVAL", EINVAL}, {"EBUSY", EBUSY}, {"ENOSYS", ENOSYS}};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		int error = 0;
		struct pinw_phrase t = why();
		cr_assert_eq(pinw_value_errno(cases[i].name, &error, &t), 0);
		cr_assert_eq(error, cases[i].error);
		cr_assert_str_eq(pinw_errno_name(error), cases[i].name);
	}
	int error = 99;
	struct pinw_phrase t = why();
	cr_assert_eq(pinw_value_errno("EAGIAN", &error, &t), -EINVAL);
	cr_assert_str_eq(said, "unknown word (did you mean 'EAGAIN'?)");
	cr_assert_eq(pinw_value_errno("1", &error, &t), -EINVAL);
	cr_assert_eq(error, 99);
	cr_assert_eq(pinw_errno_name(0), NULL);
}

Test(policy_values, days_are_of_the_calendar)
{
	static const struct {
		const char *text;
		uint32_t want; /* 0 = refused */
	} cases[] = {{"2027-03-31", 20270331}, {"2024-02-29", 20240229}, {"2000-02-29", 20000229},
	             {"1970-01-01", 19700101}, {"9999-12-31", 99991231}, {"2027-02-29", 0},
	             {"1900-02-29", 0},        {"2100-02-29", 0},        {"2027-04-31", 0},
	             {"2027-00-10", 0},        {"2027-13-10", 0},        {"2027-01-00", 0},
	             {"2027-01-32", 0},        {"1969-12-31", 0},        {"2027-1-1", 0},
	             {"2027/01/01", 0},        {"31.03.2027", 0},        {"", 0},
	             {"2027-03-31 ", 0},       {"tomorrow..", 0},        {"20270331", 0}};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		uint32_t date = 0;
		struct pinw_phrase t = why();
		int r = pinw_value_date(cases[i].text, &date, &t);
		cr_assert_eq(r, cases[i].want ? 0 : -EINVAL, "%s", cases[i].text);
		cr_assert_eq(date, cases[i].want, "%s", cases[i].text);
	}
}

/* ---- what was meant -------------------------------------------------------------------------------------- */

Test(policy_values, the_nearest_word_is_a_slip_away_or_there_is_none)
{
	static const char *const words[] = {"action", "function", "thread_name", "max"};
	static const struct {
		const char *word, *want;
	} cases[] = {{"action", "action"},
	             {"actoin", "action"},
	             {"acton", "action"},
	             {"actions", "action"},
	             {"ACTION", "action"},
	             {"func", "function"},
	             {"threadname", "thread_name"},
	             {"thread-name", "thread_name"},
	             {"mx", "max"},
	             {"man", "max"},
	             {"colour", NULL},
	             {"x", NULL},
	             {"", NULL},
	             {"a_word_that_is_much_longer_than_every_key", NULL}};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		const char *nearest = pinw_word_nearest(words, COUNT(words), cases[i].word);
		cr_assert(cases[i].want ? nearest && !strcmp(nearest, cases[i].want) : !nearest, "%s: %s",
		          cases[i].word, nearest ? nearest : "none");
	}
}

Test(policy_values, phrases_are_cut_and_always_ended)
{
	char buf[8];

	for (size_t size = 0; size <= sizeof(buf); size++) {
		memset(buf, 'x', sizeof(buf));
		struct pinw_phrase t = pinw_phrase_start(buf, size);
		pinw_phrase_add(&t, "%s%c%u%%", "ab", 'c', 120u);
		size_t want = size ? size - 1 < 7 ? size - 1 : 7 : 0;
		cr_assert_eq(t.len, want);
		if (size)
			cr_assert_eq(strncmp(buf, "abc120%", want) != 0 || buf[want], 0);
		else
			cr_assert_eq(buf[0], 'x');
	}
}

Test(policy_values, phrases_hold_the_largest_numbers)
{
	char buf[64];
	struct pinw_phrase t = pinw_phrase_start(buf, sizeof(buf));

	pinw_phrase_add(&t, "%lu %u %s", ~0ul, ~0u, "");
	cr_assert_str_eq(buf, "18446744073709551615 4294967295 ");
}
