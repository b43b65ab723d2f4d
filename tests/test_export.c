/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "reports/export.h"
#include "reports/protobuf.h"
#include "tests/export_story.h"
#include "tests/report_rig.h"

TestSuite(chrome, .init = make_folder, .fini = remove_folder);
TestSuite(jsonl, .init = make_folder, .fini = remove_folder);
TestSuite(folded, .init = make_folder, .fini = remove_folder);

/* The folder's traces, folded. The caller frees it. */
static char *folded(enum pinw_weight weight, uint64_t *ret_total)
{
	struct pinw_model *m = read_folder();
	struct pinw_stacks *stacks;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	cr_assert_eq(pinw_stacks_open(&stacks), 0);
	cr_assert_eq(pinw_export_folded(m, stacks, weight, out, ret_total), 0);
	fclose(out);
	pinw_stacks_free(stacks);
	pinw_model_free(m);
	return text;
}

/* As flamegraph.pl reads it: the last word is the weight, semicolons divide the frames. */
static uint64_t expect_lines(char *text)
{
	uint64_t sum = 0;

	expect_harmless(text, false);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *space = strrchr(line, ' '), *end;
		cr_assert_not_null(space, "no weight in: %s", line);
		sum += strtoull(space + 1, &end, 10);
		cr_expect(end > space + 1 && *end == '\0', "no number ends: %s", line);
		cr_expect_eq(strncmp(line, "pro:gram;", 9), 0, "no program in: %s", line);
	}
	return sum;
}

Test(folded, a_line_is_a_stack_whatever_the_names)
{
	static const uint64_t totals[PINW_WEIGHTS] = {3, 3, 7, 8 + 2 + 7 + 8 + 2, 6};
	struct pinw_builder b;

	tell_all(&b);
	write_trace(&b, "a.pwt");
	for (size_t w = 0; w < PINW_WEIGHTS; w++) {
		uint64_t total;
		char *text = folded((enum pinw_weight)w, &total);
		expect_has(text, "pro:gram;");
		cr_expect_eq(expect_lines(text), total);
		if (w != PINW_WEIGHT_HOLD) /* µs are rounded by stack */
			cr_expect_eq(total, totals[w], "%s: %lu", pinw_weight_name((enum pinw_weight)w),
			             (unsigned long)total);
		free(text);
	}
}

Test(folded, has_the_outermost_frame_first_and_says_what_has_no_stack)
{
	struct pinw_builder b;
	uint64_t total;

	tell_all(&b);
	write_trace(&b, "a.pwt");
	char *text = folded(PINW_WEIGHT_CREATIONS, &total);
	expect_has(text, "pro:gram;li:b.so+0x3333;li:b.so+0x2222;li:b.so+0x1111 2\n");
	expect_has(text, "pro:gram;(stack not recorded) 1\n");
	free(text);
	text = folded(PINW_WEIGHT_THREADS, &total);
	expect_has(text, "pro:gram;(main thread) 1\n");
	expect_has(text, "pro:gram;(adopted thread) 1\n");
	free(text);
	text = folded(PINW_WEIGHT_PINS, &total);
	expect_has(text, "pro:gram;(no call seen) 1\n");
	expect_has(text, "pro:gram;li:b.so+0x1111 3\n");
	free(text);
}

Test(folded, equal_stacks_of_many_processes_are_one_line)
{
	uint64_t total;

	for (uint32_t i = 0; i < 3; i++) {
		static const char *const names[] = {"a.pwt", "b.pwt", "c.pwt"};
		struct pinw_builder b;
		tell_all(&b);
		b.header.self.pid += i;
		b.header.self.nonce[0] = (uint8_t)i;
		write_trace(&b, names[i]);
	}
	char *text = folded(PINW_WEIGHT_LEAKS, &total);
	cr_expect_eq(total, 18);
	expect_has(text, "pro:gram;li:b.so+0x1111 6\n");
	free(text);
}

/* ---- a stream of objects ------------------------------------------------------------------ */

/* The folder's traces in a format. The caller frees it. */
static char *exported(int (*export)(const struct pinw_model *, struct pinw_stacks *, FILE *))
{
	struct pinw_model *m = read_folder();
	struct pinw_stacks *stacks;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	cr_assert_eq(pinw_stacks_open(&stacks), 0);
	cr_assert_eq(export(m, stacks, out), 0);
	fclose(out);
	pinw_stacks_free(stacks);
	pinw_model_free(m);
	return text;
}

Test(jsonl, has_a_line_for_each_thing)
{
	static const char *const lines[] = {
	    "{\"type\": \"stream\", \"format\": 1, \"pinwarden\": \"" PINW_VERSION "\"}\n",
	    "{\"type\": \"event\", \"process\": 1, \"event\": \"thread-create\", \"time_ns\": 100, "
	    "\"thread\": 1, "
	    "\"site\": 1, \"target\": 2,",
	    "{\"type\": \"event\", \"process\": 1, \"event\": \"affinity\", \"time_ns\": 1000, \"thread\": "
	    "2, "
	    "\"site\": 2, \"target\": 2, \"tid\": 5002, \"call\": \"pthread_setaffinity_np\", \"relation\": "
	    "\"self\", "
	    "\"effect\": \"open\", \"depth\": 1, \"took_ns\": 800, \"mask\": \"1\"}\n",
	    "\"event\": \"exec\", \"time_ns\": 6000, \"thread\": 1, \"errno\": 2, \"text\": "
	    "\"/bin/\xef\xbf\xbdtrue\"}\n",
	    "{\"type\": \"pin\", \"process\": 1, \"id\": 5, \"thread\": 2, \"site\": 2, \"origin\": "
	    "\"self\", \"by\": 2, "
	    "\"mask\": \"1\", \"begin_ns\": 1000, \"end_ns\": 3000, \"held_ns\": 2000, \"depth\": 1, "
	    "\"end\": \"released\"}\n",
	    "{\"type\": \"lock\", \"process\": 1, \"id\": 2, \"thread\": 3, \"site\": 5, \"unlock_site\": 3, "
	    "\"goroutine\": 19, \"begin_ns\": 300, \"end_ns\": 800, \"held_ns\": 500, \"depth\": 1, "
	    "\"end\": \"released\"}\n",
	    "{\"type\": \"violation\", \"process\": 1, \"time_ns\": 1000, \"rule\": "
	    "\"ban:a;b\\\"\\u000a\xef\xbf\xbd\\udb40\\udc01\", "
	    "\"action\": \"deny\", \"done\": \"denied\", \"attempt\": \"pin\", \"thread\": 2, \"target\": 2, "
	    "\"site\": 2, "
	    "\"mask\": \"1\", \"value\": 4, \"limit\": 3, \"errno\": 1}\n",
	    "{\"type\": \"leak\", \"process\": 1, \"leak\": \"unjoined\", \"thread\": 4, \"origin\": null, "
	    "\"pin\": null, "
	    "\"site\": 4, \"create_site\": 4, \"time_ns\": 600}\n",
	};
	struct pinw_builder b;

	tell_all(&b);
	write_trace(&b, "a.pwt");
	char *text = exported(pinw_export_jsonl);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		expect_has(text, lines[i]);
	free(text);
}

Test(jsonl, says_what_could_not_be_read_and_how_many_lines_there_were)
{
	FILE *bad = fopen(in_folder("bad.pwt"), "w");

	fputs("no trace", bad);
	fclose(bad);
	char *text = exported(pinw_export_jsonl);
	expect_has(text, "{\"type\": \"unreadable\", \"trace\": \"/tmp/");
	expect_has(text, "{\"type\": \"end\", \"lines\": 3}\n");
	free(text);
}

/* ---- profiles ------------------------------------------------------------------------------- */

Test(protobuf, writes_what_others_read)
{
	static const unsigned char expected[] = {
	    0x08, 0x96, 0x01, /* field 1: 150, the example of the format's documentation */
	    0x1a, 0x00, /* field 3: an empty text of a repeated field */
	    0x22, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05, /* field 4: packed 3, 270, 86942, likewise */
	    0x2a, 0x02, 0x08, 0x01, /* field 5: a message */
	};
	const uint64_t packed[] = {3, 270, 86942};
	struct pinw_pb pb = {0}, inner = {0};

	pinw_pb_number(&pb, 1, 150);
	pinw_pb_number(&pb, 2, 0);
	pinw_pb_text(&pb, 3, "");
	pinw_pb_numbers(&pb, 4, packed, 3);
	pinw_pb_number(&inner, 1, 1);
	pinw_pb_message(&pb, 5, &inner);
	cr_assert_eq(pb.len, sizeof(expected));
	cr_expect_arr_eq(pb.bytes, expected, sizeof(expected));
	cr_expect(!pb.failed);
	pinw_pb_done(&pb);
	pinw_pb_done(&inner);
}

/* ---- lanes ---------------------------------------------------------------------------------- */

Test(chrome, draws_lives_pins_locks_and_what_went_wrong)
{
	static const char *const events[] = {
	    "{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": 4711, \"tid\": 4711, \"args\": {\"name\": "
	    "\"pro;gram (pid "
	    "4711)\"}}",
	    "{\"ph\": \"X\", \"name\": \"life\", \"cat\": \"thread\", \"pid\": 4711, \"tid\": 5002, \"ts\": "
	    "0.110, \"dur\": 4.890, "
	    "\"args\": {\"thread\": 2, \"tid\": 5002, \"creator\": 1, \"created in\": \"li;b.so+0x1111\", "
	    "\"end\": \"return\"",
	    "{\"ph\": \"X\", \"name\": \"CPU 1\", \"cat\": \"pin\", \"pid\": 4711, \"tid\": 5002, \"ts\": "
	    "1.000, \"dur\": 2.000, "
	    "\"args\": {\"pinned in\": \"li;b.so+0x1111\", \"origin\": \"self\", \"by\": 2, \"cpus\": \"1\", "
	    "\"depth\": 1, "
	    "\"end\": \"released\"}}",
	    "{\"ph\": \"X\", \"name\": \"Go lock\", \"cat\": \"lock\", \"pid\": 4711, \"tid\": 2147483651, "
	    "\"ts\": 0.300, "
	    "\"dur\": 0.500, \"args\": {\"locked in\": \"li;b.so+0x1111\", \"unlocked in\": "
	    "\"li;b.so+0x1111\", "
	    "\"goroutine\": 19, \"depth\": 1, \"end\": \"released\"}}",
	    "{\"ph\": \"i\", \"name\": \"unjoined\", \"cat\": \"leak\", \"pid\": 4711, \"tid\": 5004, "
	    "\"ts\": 0.600, \"s\": \"t\", "
	    "\"args\": {\"created in\": \"(stack not recorded)\"}}",
	    "{\"ph\": \"i\", \"name\": \"ban:a;b\\\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\", \"cat\": "
	    "\"violation\", \"pid\": "
	    "4711, \"tid\": 5002, "
	    "\"ts\": 1.000,",
	    "{\"ph\": \"i\", \"name\": \"create\", \"cat\": \"create\", \"pid\": 4711, \"tid\": 4711, "
	    "\"ts\": 0.100, "
	    "\"s\": \"t\", \"args\": {\"thread\": 2, \"in\": \"li;b.so+0x1111\"}},\n"
	    "  {\"ph\": \"s\", \"name\": \"create\", \"cat\": \"create\", \"pid\": 4711, \"tid\": 4711, "
	    "\"ts\": 0.100, "
	    "\"id\": \"0x126700000002\"},\n"
	    "  {\"ph\": \"f\", \"name\": \"create\", \"cat\": \"create\", \"pid\": 4711, \"tid\": 5002, "
	    "\"ts\": 0.110, "
	    "\"bp\": \"e\", \"id\": \"0x126700000002\"}",
	    "{\"ph\": \"C\", \"name\": \"threads\", \"pid\": 4711, \"tid\": 4711, \"ts\": 0.600, \"args\": "
	    "{\"alive\": 3, \"pinned\": "
	    "1, \"locked by Go\": 1}}",
	};
	struct pinw_builder b;

	tell_all(&b);
	pinw_builder_start(&b, 0, 1, PINW_ORIGIN_NONE, 0, 0, 0xf);
	write_trace(&b, "a.pwt");
	char *text = exported(pinw_export_chrome);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		expect_has(text, events[i]);
	free(text);
}

Test(chrome, draws_a_thread_of_which_only_pins_are_known_by_these)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_pin(&b, 1000, 3, 3, 0, PINW_EFFECT_OPEN, 1);
	pinw_builder_pin(&b, 3000, 3, 3, 0, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_end(&b, PINW_END_EXIT, 0, 9000);
	write_trace(&b, "a.pwt");
	char *text = exported(pinw_export_chrome);
	expect_has(text,
	           "\"name\": \"life\", \"cat\": \"thread\", \"pid\": 4711, \"tid\": 4194307, \"ts\": 1.000, "
	           "\"dur\": 2.000,");
	expect_has(text, "\"ts\": 3.000, \"args\": {\"alive\": 1, \"pinned\": 0, ");
	free(text);
}

Test(chrome, gives_the_second_thread_with_the_same_number_one_of_its_own)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t thread = 2; thread <= 3; thread++) {
		pinw_builder_create(&b, thread, 1, 0, thread, 0);
		pinw_builder_slot(&b, thread, PINW_SLOT_RUNNING, 0xf)->tid = 77;
	}
	pinw_builder_end(&b, PINW_END_EXIT, 0, 9000);
	write_trace(&b, "a.pwt");
	char *text = exported(pinw_export_chrome);
	expect_has(text, "\"tid\": 77, \"ts\": 0.000, \"dur\": 9.000, \"args\": {\"thread\": 2, \"tid\": 77");
	expect_has(text,
	           "\"tid\": 4194307, \"ts\": 0.000, \"dur\": 9.000, \"args\": {\"thread\": 3, \"tid\": 77");
	free(text);
}
