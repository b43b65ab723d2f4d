/* SPDX-License-Identifier: MIT
 *
 * What `pinwarden top` and `metrics` make of a trace: of stories, of hostile names, and of files that are damaged in any way.
 * Nothing here needs the process: it is gone, or was never there.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/listen.h"
#include "reports/metrics.h"
#include "reports/top.h"
#include "reports/utf8.h"
#include "tests/report_rig.h"

TestSuite(live, .init = make_folder, .fini = remove_folder, .timeout = 120);

/* ---- top ---------------------------------------------------------------------------------------- */

/* Looks at a trace twice and draws it. The caller frees it. */
static char *draw(const char *path, struct pinw_top_view *view)
{
	struct pinw_top top = {.look_ns = 0};
	struct pinw_live *live;
	char *text = NULL;
	size_t len;

	if (pinw_live_open(path, &live) < 0)
		return strdup("");
	FILE *out = open_memstream(&text, &len);
	pinw_top_start(&top, live);
	top.all = view->choice.all;
	pinw_top_look(&top);
	pinw_top_look(&top);
	pinw_top_draw(&top, view, out);
	fclose(out);
	pinw_top_done(&top);
	return text;
}

static char *draw_plain(const char *path)
{
	struct pinw_top_view view = {.choice = {.all = true}};

	return draw(path, &view);
}

/* Our own sequences taken out, in place: nothing else may steer a terminal. Returns the number of lines, which all fit. */
static unsigned take_out_sequences(char *text, unsigned columns)
{
	char *to = text;
	unsigned lines = 1, at = 0;

	for (const char *from = text; *from;) {
		size_t len = strlen(from);
		uint32_t code;
		if (from[0] == '\033' && from[1] == '[') {
			from += 2 + strspn(from + 2, "0123456789;");
			cr_assert_not_null(strchr("HKm", *from), "another sequence: %.20s", from);
			from++;
			continue;
		}
		if (from[0] == '\r' && from[1] == '\n') {
			lines++;
			at = 0;
			from += 2;
			*to++ = '\n';
			continue;
		}
		size_t n = pinw_utf8_next(from, len, &code);
		cr_assert(n && pinw_utf8_plain(code), "not plain: %.20s", from);
		at += pinw_utf8_columns(code);
		cr_assert_leq(at, columns, "wider than %u: %.40s", columns, from);
		memmove(to, from, n);
		to += n;
		from += n;
	}
	*to = '\0';
	return lines;
}

static void write_much(void)
{
	struct pinw_builder b;

	tell_much(&b);
	struct pinw_slot *slot = pinw_builder_slot(&b, 4, PINW_SLOT_RUNNING, 2);
	memcpy(slot->name, "\xe7\x95\x8c\xe7\x95\x8c\xe7\x95\x8c\xe7\x95\x8c\x9b?1h", 16);
	slot->pin_depth = 2;
	slot->pin_origin = PINW_ORIGIN_SELF;
	slot->golock_depth = 3;
	slot->pin_since_ns = slot->golock_since_ns = SECOND;
	slot = pinw_builder_slot(&b, 5, PINW_SLOT_EXITED, 1);
	memcpy(slot->name, "\033[2J\r\n", 6);
	write_trace(&b, "much.pwt");
}

Test(live, top_shows_hostile_names_harmlessly)
{
	write_much();
	char *text = draw_plain(in_folder("much.pwt"));
	expect_harmless(text, false);
	expect_has(text, "ENDED: killed by SIGTERM (15) after 3 s");
	expect_has(text, "\\x1b[2J");
	expect_has(text, " self+go ");
	expect_has(text, " ended ");
	expect_has(text, " inherited ");
	free(text);
}

Test(live, top_fits_every_terminal)
{
	static const unsigned sizes[][2] = {{1, 1},   {2, 2},   {10, 3},  {20, 5},   {40, 10},
	                                    {80, 24}, {81, 25}, {100, 8}, {120, 40}, {300, 100}};

	write_much();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned mode = 0; mode < 8; mode++) {
			struct pinw_top_view view = {.columns = sizes[i][0],
			                             .rows = sizes[i][1],
			                             .color = mode & 1,
			                             .where = mode & 2,
			                             .help = mode == 7,
			                             .scroll = mode * 1000,
			                             .choice = {.all = mode & 4, .filter = "\033["}};
			view.choice.filter[0] = mode == 5 ? '\033' : '\0';
			char *text = draw(in_folder("much.pwt"), &view);
			cr_assert_eq(take_out_sequences(text, view.columns), view.rows, "%u x %u",
			             view.columns, view.rows);
			free(text);
		}
}

Test(live, top_says_what_a_policy_found)
{
	struct pinw_builder b;

	tell_breaches(&b, PINW_MODE_ENFORCE);
	write_trace(&b, "a.pwt");
	char *text = draw_plain(in_folder("a.pwt"));
	expect_harmless(text, false);
	expect_has(text, "policy   enforce ");
	expect_has(text, " times, ");
	free(text);
}

Test(live, top_sorts_and_filters)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 1; i <= 9; i++) {
		struct pinw_slot *slot = pinw_builder_slot(&b, i, PINW_SLOT_RUNNING, i == 1 ? 0xf : 1);
		snprintf(slot->name, sizeof(slot->name), "%c%u", "zyxwvutsr"[i - 1], i);
		slot->pin_depth = i > 1;
		slot->pin_since_ns = i * SECOND;
	}
	pinw_builder_end(&b, PINW_END_EXIT, 0, 20 * SECOND);
	write_trace(&b, "a.pwt");
	struct pinw_top_view view = {.choice = {.order = PINW_ORDER_NAME}};
	char *text = draw(in_folder("a.pwt"), &view);
	cr_expect_lt(strstr(text, "r9"), strstr(text, "y2"), "%s", text);
	expect_has_not(text, "z1");
	free(text);
	view.choice = (struct pinw_top_choice){.order = PINW_ORDER_HELD};
	text = draw(in_folder("a.pwt"), &view);
	cr_expect_lt(strstr(text, "y2"), strstr(text, "r9"), "longest held first:\n%s", text);
	expect_has(text, " 18.0s ");
	free(text);
	view.choice =
	    (struct pinw_top_choice){.order = PINW_ORDER_TID, .reverse = true, .all = true, .filter = "1"};
	text = draw(in_folder("a.pwt"), &view);
	expect_has(text, "z1");
	expect_has_not(text, "y2");
	free(text);
}

Test(live, quantiles_are_upper_bounds)
{
	struct pinw_histogram h = {.bucket = {[10] = 98, [20] = 1, [39] = 1}};
	struct pinw_histogram none = {0};

	cr_expect_eq(pinw_top_quantile(&h, 0.5), UINT64_C(2) << 10);
	cr_expect_eq(pinw_top_quantile(&h, 0.99), UINT64_C(2) << 20);
	cr_expect_eq(pinw_top_quantile(&h, 1), UINT64_C(2) << 39);
	cr_expect_eq(pinw_top_quantile(&none, 0.5), 0u);
}

/* ---- metrics -------------------------------------------------------------------------------------- */

static char *page(const char *path, unsigned looks)
{
	const struct pinw_metrics_options options = {.sites = 2, .repeated = true};
	struct pinw_metrics *m;
	char *text = NULL;
	size_t len;

	cr_assert_eq(pinw_metrics_new(&options, &m), 0);
	cr_assert_eq(pinw_metrics_add(m, path), 0);
	while (looks--)
		cr_assert_geq(pinw_metrics_look(m), 0);
	FILE *out = open_memstream(&text, &len);
	pinw_metrics_print(m, out);
	fclose(out);
	pinw_metrics_free(m);
	return text;
}

/* Every line is a comment or a sample of ours, and no sample comes twice. */
static void expect_page(const char *text)
{
	expect_harmless(text, false);
	for (const char *at = text; *at; at += strcspn(at, "\n") + 1) {
		size_t len = strcspn(at, "\n");
		cr_assert_eq(at[len], '\n', "no end of line: %.80s", at);
		cr_assert(strncmp(at, "# ", 2) == 0 || strncmp(at, "pinwarden_", 10) == 0, "%.80s", at);
	}
}

Test(live, metrics_of_hostile_names_are_well_formed)
{
	struct pinw_builder b;

	write_much();
	tell_breaches(&b, PINW_MODE_AUDIT);
	write_trace(&b, "breaches.pwt");
	char *text = page(folder, 3);
	expect_page(text);
	expect_has(text, "exe=\"/opt/\\\\x1b]0;owned\\\\x07/pro\\\\xff\"");
	expect_has(text, ",kind=\"exit-while-pinned\"} 1\n");
	free(text);
}

Test(live, metrics_book_each_pin_at_its_function_once)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	for (uint32_t i = 0; i < 100; i++)
		pinw_builder_pin(&b, i, 1, 1, 1 + i % 5, PINW_EFFECT_OPEN, 1);
	pinw_builder_module(&b, 1, "/none/app");
	for (uint64_t id = 1; id <= 5; id++)
		pinw_builder_site(&b, (uint32_t)id, 1, (const uint64_t[]){0x1000 * id}, 1, 0);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 1)->pin_depth = 1;
	pinw_builder_end(&b, PINW_END_EXIT, 0, SECOND);
	write_trace(&b, "a.pwt");
	char *text = page(in_folder("a.pwt"), 3);
	expect_has(text, "kind=\"cpu\",site=\"app+0x1000\"} 20\n");
	expect_has(text, "kind=\"cpu\",site=\"app+0x2000\"} 20\n");
	expect_has_not(text, "app+0x3000");
	expect_has(text, "kind=\"cpu\",site=\"other\"} 60\n");
	free(text);
}

Test(live, metrics_name_a_series_once)
{
	struct pinw_builder b;

	for (uint32_t i = 0; i < 3; i++) {
		char name[16];
		pinw_builder_init(&b, 1);
		b.header.start_real_ns += i;
		b.live.counters.threads_created = 10 + i;
		pinw_builder_end(&b, i == 2 ? PINW_END_EXIT : PINW_END_EXEC, 0, SECOND);
		snprintf(name, sizeof(name), "%u.pwt", i);
		write_trace(&b, name);
	}
	char *text = page(folder, 1);
	const char *line = strstr(text, "\npinwarden_threads_created_total{");
	cr_assert_not_null(line);
	expect_has(text, "} 12\n");
	cr_expect_null(strstr(line + 1, "\npinwarden_threads_created_total{"), "the newest image alone:\n%s",
	               line);
}

static void expect_label(const char *text, const char *label)
{
	char *made = pinw_metric_label(text, strlen(text));

	cr_expect_str_eq(made, label);
	free(made);
}

Test(live, labels_are_escaped_and_bounded)
{
	static const char long_text[] =
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789012345678901234567890123456789";
	static const struct {
		const char *text, *label;
	} cases[] = {{"plain", "plain"},    {"a\"b", "a\\\"b"},  {"a\\b", "a\\\\b"},
	             {"a\nb", "a\\\\x0ab"}, {"\xff", "\\\\xff"}, {"", ""}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_label(cases[i].text, cases[i].label);
	char *label = pinw_metric_label(long_text, strlen(long_text));
	cr_expect_eq(strlen(label), 200u);
	free(label);
}

Test(live, addresses_are_loopback_or_refused)
{
	static const struct {
		const char *text;
		int result;
	} cases[] = {{"127.0.0.1:9464", 0},
	             {"127.9.9.9:0", 0},
	             {"localhost:1", 0},
	             {"[::1]:65535", 0},
	             {"0.0.0.0:1", -EACCES},
	             {"[::]:1", -EACCES},
	             {":1", -EACCES},
	             {"*:1", -EACCES},
	             {"10.0.0.1:1", -EACCES},
	             {"[::2]:1", -EACCES},
	             {"[::ffff:127.0.0.1]:1", -EACCES},
	             {"", -EINVAL},
	             {"127.0.0.1", -EINVAL},
	             {"127.0.0.1:", -EINVAL},
	             {"127.0.0.1:-1", -EINVAL},
	             {"127.0.0.1:65536", -EINVAL},
	             {"127.0.0.1:1x", -EINVAL},
	             {"host:1", -EINVAL},
	             {"[::1:1", -EINVAL}};
	union pinw_address a;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(pinw_listen_parse(cases[i].text, &a), cases[i].result, "%s", cases[i].text);
}

Test(live, listens_when_asked_for_by_address_or_as_localhost)
{
	static const char *const ours[] = {"localhost", "LocalHost:9464", "127.0.0.1",  "127.0.0.1:9464",
	                                   "[::1]",     "[::1]:9464",     "10.0.0.1:80"};
	static const char *const others[] = {
	    "",
	    ":9464",
	    "example.org",
	    "localhost.example.org:9464",
	    "127.0.0.1.example.org",
	    "[::1",
	    "[]",
	    "[example.org]:80",
	    "1",
	    "2130706433",
	    "@localhost",
	    "0000000000000000000000000000000000000000000000000000000000000000000000127.0.0.1"};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		cr_expect(pinw_listen_is_ours(ours[i]), "%s", ours[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_expect(!pinw_listen_is_ours(others[i]), "%s", others[i]);
}

/* ---- damage ------------------------------------------------------------------------------------------ */

static void put_file(const char *path, const unsigned char *data, size_t bytes)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(data, 1, bytes, f), bytes);
	cr_assert_eq(fclose(f), 0);
}

/* Whatever a file says, both end, and what they write stays well-formed. */
Test(live, no_damage_harms)
{
	struct pinw_builder b;
	size_t bytes;

	tell_breaches(&b, PINW_MODE_ENFORCE);
	pinw_builder_slot(&b, 7, PINW_SLOT_RUNNING, 1)->pin_depth = 1;
	unsigned char *image = pinw_builder_image(&b, &bytes), *copy = malloc(bytes);
	pinw_builder_done(&b);
	unsigned state = 12345;
	for (unsigned round = 0; round < 400; round++) {
		size_t len = bytes;
		memcpy(copy, image, bytes);
		for (unsigned i = 0; i < 1 + round % 16; i++) {
			state = state * 1103515245u + 12345u;
			size_t at = 64 + (state >> 8) % (bytes - 64);
			copy[at] = (unsigned char)(state >> 24);
			if (round % 5 == 0) /* numbers that cannot be */
				memset(copy + (at & ~7ul), 0xff, 8);
		}
		if (round % 7 == 0)
			len = (state >> 8) % bytes;
		put_file(in_folder("a.pwt"), copy, len);
		char *text = draw_plain(in_folder("a.pwt"));
		expect_harmless(text, false);
		free(text);
		text = page(folder, 2);
		expect_page(text);
		free(text);
	}
	free(image);
	free(copy);
}
