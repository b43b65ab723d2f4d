/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "reports/kept_names.h"
#include "reports/stacks.h"
#include "tests/report_rig.h"

#define AT 0x1234u
#define ABOVE 0x5678u

TestSuite(kept_names, .init = make_folder, .fini = remove_folder);

static const struct pinw_rec_function
    inner = {.module = 3, .offset = AT, .line = 7, .distance = 0x34, .flags = PINW_FUNCTION_INLINED},
    outer = {.module = 3, .offset = AT, .line = 21, .distance = 0x34, .depth = 1};

/* A pin by a program that is gone, from a call that was inlined into a function called by one without a name. */
static void tell(struct pinw_builder *b, const char *path)
{
	static const uint64_t offsets[] = {AT, ABOVE};

	pinw_builder_init(b, 1);
	pinw_builder_module(b, 3, path);
	pinw_builder_site(b, 5, 3, offsets, 2, 0);
	pinw_builder_pin(b, 10, 1, 1, 5, PINW_EFFECT_OPEN, 1);
	pinw_builder_end(b, PINW_END_EXIT, 0, SECOND);
}

static void read_stack(const struct pinw_model *m, struct pinw_stacks *stacks, struct pinw_stack *ret)
{
	pinw_stacks_read(stacks, only(m), pinw_process_site(only(m), 5), ret);
}

Test(kept_names, stand_in_for_a_file_that_is_gone)
{
	struct pinw_builder b;
	struct pinw_stacks *stacks;
	struct pinw_stack s;

	tell(&b, "/gone/story");
	pinw_builder_function(&b, outer, "main.handle", "/src/story.go");
	pinw_builder_function(&b, inner, "main.pin", "");
	struct pinw_model *m = model_of(&b);
	cr_assert_eq(pinw_stacks_open(&stacks), 0);
	read_stack(m, stacks, &s);
	cr_assert_eq(s.count, 3);
	cr_expect_str_eq(s.frames[0].function, "main.pin");
	cr_expect(s.frames[0].inlined);
	cr_expect_null(s.frames[0].file);
	cr_expect_null(s.frames[0].symbols, "rules do not see inlined calls");
	cr_expect_str_eq(s.frames[1].function, "main.handle");
	cr_expect_not(s.frames[1].inlined);
	cr_expect_str_eq(s.frames[1].file, "/src/story.go");
	cr_expect_eq(s.frames[1].line, 21);
	cr_expect_eq(s.frames[1].function_offset, 0x34);
	cr_expect_str_eq(s.frames[1].symbols, "main.handle");
	cr_expect_null(s.frames[2].function);
	cr_expect_str_eq(pinw_stacks_reason(&s.frames[2]), "the file is gone");
	pinw_stacks_free(stacks);
	pinw_model_free(m);
}

Test(kept_names, are_not_asked_where_the_file_has_an_answer)
{
	struct pinw_builder b;
	struct pinw_stacks *stacks;
	struct pinw_stack s;

	tell_of_myself(&b, 0);
	struct pinw_model *m = model_of(&b);
	struct pinw_process *p = (struct pinw_process *)only(m);
	const struct pinw_site *site = pinw_table_at(&p->sites, 0);
	const struct pinw_rec_frame *frame = &p->frames[site->first_frame];
	struct pinw_rec_function other = {
	    .module = frame->module, .offset = pinw_frame_offset(frame), .name_len = 5};
	struct pinw_read_record record = {.function = &other, .text = "other", .text_len = 5};
	cr_assert_eq(pinw_kept_names_add(p, &record), 0);
	cr_assert_eq(pinw_stacks_open(&stacks), 0);
	pinw_stacks_read(stacks, p, site, &s);
	cr_expect_str_eq(s.frames[0].function, "somebody_calls");
	pinw_stacks_free(stacks);
	pinw_model_free(m);
}

Test(kept_names, the_first_of_two_for_one_place_stays)
{
	struct pinw_builder b;

	tell(&b, "/gone/story");
	pinw_builder_function(&b, outer, "main.first", "");
	pinw_builder_function(&b, outer, "main.second", "");
	struct pinw_model *m = model_of(&b);
	cr_expect_str_eq(pinw_kept_names_find(only(m), 3, AT, 1)->function, "main.first");
	cr_expect_null(pinw_kept_names_find(only(m), 3, AT, 0));
	cr_expect_null(pinw_kept_names_find(only(m), 2, AT, 1));
	pinw_model_free(m);
}

/* What is wrong with a record of this function, in a trace that has nothing else. */
static void expect_problem(struct pinw_rec_function function, const char *text, const char *what)
{
	struct pinw_builder b;
	struct pinw_reader *r;
	struct pinw_problem problem;

	pinw_builder_init(&b, 1);
	pinw_builder_meta(&b, PINW_REC_FUNCTION, &function, sizeof(function), text, strlen(text));
	write_trace(&b, "a.pwt");
	cr_assert_eq(pinw_reader_open(in_folder("a.pwt"), &r), 0);
	pinw_reader_walk(r, NULL, NULL, NULL);
	cr_assert_eq(pinw_reader_problems(r, &problem, 1), what ? 1 : 0);
	cr_expect(!what || strcmp(problem.what, what) == 0, "%s", what ? problem.what : "");
	pinw_reader_free(r);
}

Test(kept_names, longer_than_their_record_are_damage)
{
	expect_problem((struct pinw_rec_function){.name_len = 3, .file_len = 2}, "abcde", NULL);
	expect_problem((struct pinw_rec_function){.name_len = 0, .file_len = 5}, "abcde",
	               "function without a name");
	expect_problem((struct pinw_rec_function){.name_len = 3, .file_len = 3}, "abcde",
	               "name longer than its record");
	expect_problem((struct pinw_rec_function){.name_len = 6}, "abcde", "name longer than its record");
	expect_problem((struct pinw_rec_function){.name_len = UINT16_MAX, .file_len = UINT16_MAX}, "abcde",
	               "name longer than its record");
}
