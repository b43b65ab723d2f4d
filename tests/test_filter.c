/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "reports/filter.h"
#include "tests/report_rig.h"

enum { SITE_SELF = 1, SITE_CROSS = 2, SITE_LOCK = 3, SITE_CREATE = 4, SITES = 4 };

static struct pinw_builder b;
static struct pinw_model *m;
static struct pinw_stacks *stacks;
static const struct pinw_process *p;

/* Thread 2 "reader" pins itself to CPU 0, then 3, thread 3 "writer" is pinned to CPU 2 by main and ends so, and locked. */
static void start(void)
{
	static const uint64_t offsets[] = {0x1111};

	make_folder();
	pinw_builder_init(&b, 1);
	pinw_builder_module(&b, 1, "/opt/service");
	pinw_builder_module(&b, 2, "/opt/plugin.so");
	for (uint32_t id = 1; id <= SITES; id++)
		pinw_builder_site(&b, id, id == SITE_CROSS ? 2 : 1, offsets, 1, 0);
	for (uint32_t id = 2; id <= 3; id++) {
		pinw_builder_create(&b, SECOND, 1, SITE_CREATE, id, 0);
		pinw_builder_start(&b, SECOND, id, PINW_ORIGIN_NONE, 0, 0, 0xf);
		pinw_builder_name(&b, SECOND, id, id, id == 2 ? "reader" : "writer");
	}
	pinw_builder_pin(&b, 2 * SECOND, 2, 2, SITE_SELF, PINW_EFFECT_OPEN, 0x1);
	pinw_builder_pin(&b, 2 * SECOND + 1, 2, 2, SITE_SELF, PINW_EFFECT_MOVE, 0x8);
	pinw_builder_pin(&b, 3 * SECOND, 2, 2, SITE_SELF, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_pin(&b, 2 * SECOND, 1, 3, SITE_CROSS, PINW_EFFECT_OPEN, 0x4);
	pinw_builder_golock(&b, 2 * SECOND, 3, 20, SITE_LOCK);
	pinw_builder_gounlock(&b, 3 * SECOND, 3, 20, SITE_LOCK, SITE_LOCK, SECOND);
	pinw_builder_exit_pinned(&b, 4 * SECOND, 3, PINW_ORIGIN_CROSS, SITE_CROSS, 1, 2 * SECOND);
	pinw_builder_join(&b, 5 * SECOND, 1, 3);
	pinw_builder_exit(&b, 5 * SECOND, 2, PINW_EXIT_RETURN, 0xf);
	pinw_builder_join(&b, 5 * SECOND, 1, 2);
	pinw_builder_end(&b, PINW_END_EXIT, 0, 6 * SECOND);
	m = model_of(&b);
	p = only(m);
	cr_assert_eq(pinw_stacks_open(&stacks), 0);
}

static void end(void)
{
	pinw_stacks_free(stacks);
	pinw_model_free(m);
	remove_folder();
}

TestSuite(filter, .init = start, .fini = end);

static struct pinw_filter parsed(const char *text)
{
	struct pinw_filter f;
	char why[256] = "";

	cr_assert_eq(pinw_filter_parse(text, &f, why, sizeof(why)), 0, "%s: %s", text, why);
	f.stacks = stacks;
	return f;
}

static void expect_pins(const char *text, bool self, bool cross, bool golock)
{
	struct pinw_filter f = parsed(text);

	cr_expect_eq(pinw_filter_has_pins(&f, p, SITE_SELF, PINW_ORIGIN_SELF), self, "%s", text);
	cr_expect_eq(pinw_filter_has_pins(&f, p, SITE_CROSS, PINW_ORIGIN_CROSS), cross, "%s", text);
	cr_expect_eq(pinw_filter_has_pins(&f, p, SITE_LOCK, PINW_ORIGIN_GOLOCK), golock, "%s", text);
	pinw_filter_done(&f);
}

Test(filter, finds_pins_by_thread_cpu_kind_and_module)
{
	expect_pins("thread:READ", true, false, false);
	expect_pins("writ", false, true, true);
	expect_pins("cpu:0", true, false, false);
	expect_pins("cpu:2", false, true, false);
	expect_pins("cpu:3", true, false, false);
	expect_pins("cpu:77", false, false, false);
	expect_pins("kind:go", false, false, true);
	expect_pins("kind:cpu", true, true, false);
	expect_pins("kind:cross", false, true, false);
	expect_pins("module:plugin", false, true, false);
	expect_pins("plugin", false, true, false);
	expect_pins("function:plugin", false, false, false);
}

Test(filter, wants_every_term)
{
	expect_pins("thread:writer kind:go", false, false, true);
	expect_pins("  thread:writer\tcpu:2 ", false, true, false);
	expect_pins("thread:reader cpu:2", false, false, false);
}

Test(filter, finds_leaks_by_kind_stack_and_thread)
{
	static const struct {
		const char *text;
		bool has;
	} cases[] = {{"leak:any", true},      {"leak:exit-while-pinned", true}, {"leak:unjoined", false},
	             {"thread:writer", true}, {"thread:reader", false},         {"cpu:2", true},
	             {"module:plugin", true}, {"module:service", true},         {"kind:cross", true},
	             {"kind:self", false},    {"leak:any thread:main", false}};

	cr_assert_eq(p->leak_count, 1u);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pinw_filter f = parsed(cases[i].text);
		cr_expect_eq(pinw_filter_has_leak(&f, p, &p->leaks[0]), cases[i].has, "%s", cases[i].text);
		pinw_filter_done(&f);
	}
}

/* The first three threads of a leak are named in it, the others are known by its stack. */
static void tell_of_many_leaks(uint32_t count)
{
	static const uint64_t offsets[] = {0x1111};

	pinw_builder_init(&b, 1);
	pinw_builder_module(&b, 1, "/opt/service");
	for (uint32_t id = 1; id <= SITES; id++)
		pinw_builder_site(&b, id, 1, offsets, 1, 0);
	for (uint32_t id = 2; id < 2 + count; id++) {
		char name[16];
		snprintf(name, sizeof(name), "number-%u", id);
		pinw_builder_create(&b, SECOND, 1, SITE_CREATE, id, 0);
		pinw_builder_start(&b, SECOND, id, PINW_ORIGIN_NONE, 0, 0, 0xf);
		pinw_builder_name(&b, SECOND, id, id, name);
		pinw_builder_pin(&b, 2 * SECOND, id, id, SITE_SELF, PINW_EFFECT_OPEN, 1u << id % 4);
		pinw_builder_exit_pinned(&b, 4 * SECOND, id, PINW_ORIGIN_SELF, SITE_SELF, id, 2 * SECOND);
	}
	for (uint32_t id = 20; id < 20 + count; id++) {
		struct pinw_slot *slot;
		pinw_builder_create(&b, SECOND, 1, SITE_CREATE, id, 0);
		pinw_builder_start(&b, SECOND, id, PINW_ORIGIN_NONE, 0, 0, 0xf);
		pinw_builder_exit(&b, 5 * SECOND, id, PINW_EXIT_RETURN, 0xf);
		slot = pinw_builder_slot(&b, id, PINW_SLOT_EXITED, 0xf);
		slot->create_site = SITE_CREATE;
		snprintf(slot->name, sizeof(slot->name), "number-%u", id);
	}
	pinw_builder_end(&b, PINW_END_EXIT, 0, 6 * SECOND);
}

static bool has_leak(const struct pinw_process *process, enum pinw_leak_kind kind, const char *text)
{
	struct pinw_filter f = parsed(text);
	bool has = false;

	for (size_t i = 0; i < process->leak_count; i++)
		has = has || (process->leaks[i].kind == kind &&
		              pinw_filter_has_leak(&f, process, &process->leaks[i]));
	pinw_filter_done(&f);
	return has;
}

Test(filter, finds_leaks_by_threads_that_are_not_named_in_them)
{
	end();
	make_folder();
	tell_of_many_leaks(9);
	m = model_of(&b);
	p = only(m);
	cr_assert_eq(pinw_stacks_open(&stacks), 0);
	cr_expect(has_leak(p, PINW_LEAK_EXIT_WHILE_PINNED, "thread:number-2"));
	cr_expect(has_leak(p, PINW_LEAK_EXIT_WHILE_PINNED, "thread:number-9"));
	cr_expect(has_leak(p, PINW_LEAK_EXIT_WHILE_PINNED, "thread:number-10"));
	cr_expect(!has_leak(p, PINW_LEAK_EXIT_WHILE_PINNED, "thread:number-11"));
	cr_expect(has_leak(p, PINW_LEAK_UNJOINED, "thread:number-20"));
	cr_expect(has_leak(p, PINW_LEAK_UNJOINED, "thread:number-28"), "by its creation");
	cr_expect(!has_leak(p, PINW_LEAK_UNJOINED, "thread:number-29"));
}

Test(filter, finds_threads_and_where_they_were_created)
{
	struct pinw_filter f = parsed("writer");
	struct pinw_creations c = {.site = SITE_CREATE};

	cr_expect(pinw_filter_has_thread(&f, p, pinw_process_thread(p, 3)));
	cr_expect(!pinw_filter_has_thread(&f, p, pinw_process_thread(p, 2)));
	cr_expect(pinw_filter_has_creations(&f, p, &c));
	pinw_filter_done(&f);
	f = parsed("nobody");
	cr_expect(!pinw_filter_has_creations(&f, p, &c));
	pinw_filter_done(&f);
}

Test(filter, takes_a_double_colon_for_a_name)
{
	struct pinw_filter f = parsed("Pool::run function:Pool::run");

	cr_expect_eq(f.terms[0].field, PINW_FILTER_WORD);
	cr_expect_eq(f.terms[0].len, 9u);
	cr_expect_eq(f.terms[1].field, PINW_FILTER_FUNCTION);
	cr_expect_eq(f.terms[1].len, 9u);
}

Test(filter, has_a_bound_on_terms)
{
	char text[128] = "", why[128] = "";
	struct pinw_filter f;

	for (unsigned i = 0; i < PINW_FILTER_TERMS; i++)
		strcat(text, "a ");
	cr_expect_eq(pinw_filter_parse(text, &f, why, sizeof(why)), 0);
	strcat(text, "a");
	cr_expect_neq(pinw_filter_parse(text, &f, why, sizeof(why)), 0);
	cr_expect_str_eq(why, "there can be 16 terms");
}
