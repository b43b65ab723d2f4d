/* SPDX-License-Identifier: MIT */
#include "tests/report_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/names.h"
#include "reports/report.h"
#include "reports/term.h"
#include "reports/utf8.h"

/* ---- a folder ------------------------------------------------------------------------- */

char folder[64];

void make_folder(void)
{
	strcpy(folder, "/tmp/pinw-reports-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

void remove_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

const char *in_folder(const char *name)
{
	static char paths[4][160];
	static unsigned at;
	char *path = paths[at++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

void write_trace(struct pinw_builder *b, const char *name)
{
	cr_assert_eq(pinw_builder_write(b, in_folder(name)), 0);
	pinw_builder_done(b);
}

int run_command(int (*command)(int, char **), const char *one, const char *two, const char *three)
{
	const char *argv[] = {"command", one, two, three, NULL};
	int argc = 1;

	while (argv[argc])
		argc++;
	fflush(stdout);
	fflush(stderr);
	cr_assert_not_null(freopen(in_folder("out"), "we", stdout));
	cr_assert_not_null(freopen(in_folder("err"), "we", stderr));
	int status = command(argc, (char **)argv);
	fflush(stdout);
	fflush(stderr);
	return status;
}

char *said_in(const char *name)
{
	FILE *f = fopen(in_folder(name), "re");
	char *text = calloc(1, 65536);

	cr_assert_not_null(f);
	cr_assert_not_null(text);
	fread(text, 1, 65535, f);
	fclose(f);
	return text;
}

struct pinw_model *read_folder(void)
{
	struct pinw_model *m;

	cr_assert_eq(pinw_model_new(&m), 0);
	m->with_history = true;
	cr_assert_geq(pinw_model_add_directory(m, folder), 0);
	cr_assert_eq(pinw_model_finish(m), 0);
	return m;
}

/* The model of one story. */
struct pinw_model *model_of(struct pinw_builder *b)
{
	write_trace(b, "one.pwt");
	struct pinw_model *m = read_folder();
	cr_assert_eq(m->process_count, 1);
	return m;
}

const struct pinw_process *only(const struct pinw_model *m)
{
	cr_assert_eq(m->processes[0]->error, 0);
	return m->processes[0];
}

/* ---- a report ------------------------------------------------------------------------- */

/* The report on every trace in the folder. The caller frees it. */
char *render(enum format format)
{
	struct pinw_text_options options = {.color = format == COLORED_TEXT,
	                                    .top = format == ALL_TEXT ? 0 : 20};
	struct pinw_model *m;
	struct pinw_stacks *stacks;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	cr_assert_not_null(out);
	cr_assert_eq(pinw_model_new(&m), 0);
	m->with_history = true;
	cr_assert_geq(pinw_model_add_directory(m, folder), 0);
	cr_assert_eq(pinw_model_finish(m), 0);
	cr_assert_eq(pinw_stacks_open(&stacks), 0);
	cr_assert_eq(pinw_names_give(m, stacks), 0);
	if (format == JSON)
		cr_assert_eq(pinw_report_json(m, stacks, false, out), 0);
	else
		cr_assert_eq(pinw_report_text(m, stacks, &options, out), 0);
	pinw_stacks_free(stacks);
	pinw_model_free(m);
	fclose(out);
	return text;
}

/* Nothing in it can act on a terminal, and no line is longer than the page. */
void expect_harmless(const char *text, bool limited)
{
	unsigned columns = 0;

	for (size_t left = strlen(text); left;) {
		uint32_t code;
		size_t n = pinw_utf8_next(text, left, &code);
		cr_assert_neq(n, 0, "not UTF-8: %.20s", text);
		cr_assert(code == '\n' || pinw_utf8_plain(code), "U+%04X in the report", code);
		columns = code == '\n' ? 0 : columns + pinw_utf8_columns(code);
		cr_assert(!limited || columns <= PINW_TERM_COLUMNS, "a line is too long before: %.20s", text);
		text += n;
		left -= n;
	}
}

void expect_has(const char *text, const char *part)
{
	cr_expect_not_null(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

void expect_has_not(const char *text, const char *part)
{
	cr_expect_null(strstr(text, part), "\"%s\" in:\n%s", part, text);
}

void expect_starts(const char *text, const char *part)
{
	cr_expect_eq(strncmp(text, part, strlen(part)), 0, "not \"%s\" first in:\n%s", part, text);
}

/* ---- stories -------------------------------------------------------------------------- */

/* A process with some of everything in it, hostile names included. */
void tell_much(struct pinw_builder *b)
{
	static const uint64_t offsets[] = {0x1111, 0x2222, 0x3333};
	struct pinw_rec_adopt adopt = {.e = {400, 9, 0}, .tid = 5009, .flags = PINW_THREAD_CENSUS};
	const uint64_t mask[1] = {0xf};

	pinw_builder_init(b, 1);
	pinw_builder_set_exe(b, "/opt/\033]0;owned\007/pro\xff");
	pinw_builder_set_cmdline(b, "pro\033[2J\0two words\0\xe2\x80\xae",
	                         sizeof("pro\033[2J\0two words\0\xe2\x80\xae"));
	pinw_builder_module(b, 1, "/opt/\033[31mred/libred.so");
	for (uint32_t id = 1; id <= 4; id++)
		pinw_builder_site(b, id, id == 4 ? 0 : 1, offsets, 3, id == 2 ? PINW_SITE_TRUNCATED : 0);
	pinw_builder_create(b, 100, 1, 1, 2, 0);
	pinw_builder_start(b, 110, 2, PINW_ORIGIN_NONE, 0, 0, 0xf);
	pinw_builder_name(b, 115, 2, 2, "bell\007\x1b[5m");
	pinw_builder_pin(b, 120, 2, 2, 2, PINW_EFFECT_OPEN, 1);
	pinw_builder_exit_pinned(b, 200, 2, PINW_ORIGIN_SELF, 2, 2, 80);
	pinw_builder_join(b, 210, 1, 2);
	pinw_builder_create(b, 300, 1, 1, 3, PINW_THREAD_BORN_DETACHED | PINW_THREAD_ATTR_AFFINITY);
	pinw_builder_start(b, 310, 3, PINW_ORIGIN_INHERITED, 4, 1, 1);
	pinw_builder_name(b, 320, 3, 3, "\xff\xfe\xc3");
	pinw_builder_pin_failed(b, 330, 3, 3, EINVAL);
	pinw_builder_event(b, PINW_REC_THREAD_ADOPT, &adopt, sizeof(adopt), mask, sizeof(mask));
	b->live.counters.threads_adopted = 1;
	pinw_builder_exec(b, 500, "/bin/\x9b\x33\x31msudo", PINW_EXEC_UNFOLLOWED, 0);
	pinw_builder_note(b, PINW_NOTE_SECCOMP, 0);
	pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 0xf);
	struct pinw_slot *slot = pinw_builder_slot(b, 3, PINW_SLOT_RUNNING, 1);
	slot->pin_depth = 1;
	slot->pin_origin = PINW_ORIGIN_INHERITED;
	slot->pin_site = 4;
	b->live.census_kernel = 4;
	b->live.census_seen = 3;
	b->live.exit_ns.count = 1;
	b->live.exit_ns.sum_ns = 5000;
	b->live.exit_ns.bucket[12] = 1;
	pinw_builder_end(b, PINW_END_SIGNAL, 15, 3 * SECOND);
}

void tell_nothing(struct pinw_builder *b, uint32_t pid, uint32_t parent)
{
	pinw_builder_init(b, 1);
	b->header.self.pid = pid;
	b->header.self.start_ticks = pid;
	b->header.parent.pid = parent;
	b->header.parent.start_ticks = parent;
	b->header.start_mono_ns += pid * SECOND;
	b->header.start_real_ns += pid * SECOND;
	memset(b->header.self.nonce, (int)pid, sizeof(b->header.self.nonce));
	pinw_builder_end(b, PINW_END_EXIT, 0, SECOND);
}

static void tell_violation(struct pinw_builder *b, uint64_t at, uint32_t thread, uint32_t rule,
                           uint8_t action, uint8_t done, uint8_t attempt, uint64_t value, uint64_t mask)
{
	bool late = attempt == PINW_ATTEMPT_EXIT || attempt == PINW_ATTEMPT_RUN;
	struct pinw_rec_violation v = {.e = {at, thread,
	                                     late        ? 0
	                                     : rule == 1 ? 2
	                                                 : 3},
	                               .rule = rule,
	                               .action = action,
	                               .done = done,
	                               .attempt = attempt,
	                               .target = attempt == PINW_ATTEMPT_CREATE ? 0 : thread,
	                               .error = done == PINW_DONE_DENIED ? EPERM : 0,
	                               .value = value,
	                               .limit = value ? 64 : 0};

	pinw_builder_violation(b, &v, mask);
}

/* A process under a policy: rules broken in every way, rules that never matched, suppressions used and unused. */
void tell_breaches(struct pinw_builder *b, enum pinw_mode mode)
{
	bool enforcing = mode == PINW_MODE_ENFORCE;

	tell_much(b);
	pinw_builder_policy(b, "/etc/pin\033[31m/staging.ini", mode, 8);
	pinw_builder_rule(b, 6, PINW_SECTION_BAN, PINW_ACTION_DENY, "ban:per\033[2J-request");
	pinw_builder_rule(b, 11, PINW_SECTION_CAPS, PINW_ACTION_CRASH, "caps:max_threads");
	pinw_builder_rule(b, 15, PINW_SECTION_LEAK, PINW_ACTION_LOG, "leak:exit_while_pinned");
	pinw_builder_rule(b, 16, PINW_SECTION_LEAK, PINW_ACTION_RESET, "leak:inherited");
	pinw_builder_rule(b, 20, PINW_SECTION_BAN, PINW_ACTION_LOG, "ban:never");
	pinw_builder_rule(b, 24, PINW_SECTION_SUPPRESS, PINW_ACTION_NONE, "suppress:pool");
	pinw_builder_rule(b, 29, PINW_SECTION_SUPPRESS, PINW_ACTION_NONE, "suppress:old");
	pinw_builder_rule(b, 33, PINW_SECTION_REQUIRE, PINW_ACTION_LOG, "require:workers");
	b->rules[5].matched = 4;
	b->rules[7].matched = 9;
	for (uint32_t i = 0; i < 5; i++)
		tell_violation(b, (100 + i) * 10000000, 2 + i, 1, PINW_ACTION_DENY,
		               enforcing ? PINW_DONE_DENIED : PINW_DONE_WOULD, PINW_ATTEMPT_PIN, 0,
		               2 + i % 2);
	tell_violation(b, 2 * SECOND, 1, 2, PINW_ACTION_CRASH,
	               enforcing ? PINW_DONE_CRASHED : PINW_DONE_WOULD, PINW_ATTEMPT_CREATE, 65, 0);
	tell_violation(b, 200, 2, 3, PINW_ACTION_LOG, PINW_DONE_LOGGED, PINW_ATTEMPT_EXIT, 0, 1);
	tell_violation(b, 310, 3, 4, PINW_ACTION_RESET, enforcing ? PINW_DONE_FAILED : PINW_DONE_WOULD,
	               PINW_ATTEMPT_INHERIT, 0, 1);
	b->rules[7].watch_violations = 2;
	b->rules[7].watch_ns = 1500000000;
	b->rules[7].watch_thread = 3;
	b->live.counters.affinity_denied = enforcing ? 5 : 0;
	b->live.counters.stack_rules_unknown = 1;
}

static int first_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(uintptr_t *)arg = info->dlpi_addr;
	return 1;
}

/* A function of this program, to be found in its symbols. */
__attribute__((noinline)) static void somebody_calls(void (*fn)(void))
{
	fn();
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static void handle_request(void (*fn)(void))
{
	fn();
	__asm__ volatile("nop; nop" ::: "memory");
}

/* This program as module 1 of the story. Returns its load address. */
static uint64_t tell_program(struct pinw_builder *b, uint16_t build_id_len)
{
	char path[PINW_PATH_MAX];
	uintptr_t bias = 0;
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path));
	struct pinw_rec_module module = {.id = 1, .build_id_len = build_id_len};

	cr_assert_gt(len, 0);
	dl_iterate_phdr(first_object, &bias);
	module.path_len = (uint16_t)len;
	memset(module.build_id, 0x5a, sizeof(module.build_id));
	pinw_builder_init(b, 1);
	pinw_builder_meta(b, PINW_REC_MODULE, &module, sizeof(module), path, (size_t)len);
	return bias;
}

/* A story whose only pin was made from somebody_calls(), in this very program. */
void tell_of_myself(struct pinw_builder *b, uint16_t build_id_len)
{
	uint64_t offset = (uint64_t)(uintptr_t)somebody_calls - tell_program(b, build_id_len) + 5;

	pinw_builder_site(b, 1, 1, &offset, 1, 0);
	pinw_builder_pin(b, 1, 1, 1, 1, PINW_EFFECT_OPEN, 1);
	pinw_builder_end(b, PINW_END_EXIT, 0, SECOND);
}

void tell_golocks(struct pinw_builder *b)
{
	uint64_t bias = tell_program(b, 0), lock = (uint64_t)(uintptr_t)handle_request - bias + 3,
	         unlock = lock + 1, elsewhere = (uint64_t)(uintptr_t)somebody_calls - bias + 3;
	struct pinw_slot *slot;

	pinw_builder_site(b, 1, 1, &lock, 1, 0);
	pinw_builder_site(b, 2, 1, &unlock, 1, 0);
	pinw_builder_site(b, 3, 1, &elsewhere, 1, 0);
	pinw_builder_create(b, 10, 1, 0, 2, 0);
	pinw_builder_start(b, 20, 2, PINW_ORIGIN_NONE, 0, 0, 0xf);
	pinw_builder_golock(b, 1000, 2, 17, 1);
	pinw_builder_gounlock(b, 3000, 2, 17, 1, 2, 2000);
	pinw_builder_golock(b, 4000, 2, 17, 1);
	pinw_builder_gounlock(b, 5000, 2, 17, 1, 3, 1000);
	pinw_builder_golock(b, 6000, 2, 18, 1);
	pinw_builder_godestroyed(b, 7000, 2, 18, 1, 1000);
	pinw_builder_exit(b, 7100, 2, PINW_EXIT_RETURN, 0xf);
	pinw_builder_pin(b, 8000, 1, 1, 3, PINW_EFFECT_OPEN, 8);
	slot = pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 8);
	slot->pin_depth = 1;
	slot->pin_origin = PINW_ORIGIN_SELF;
	slot->pin_site = 3;
	slot->pin_since_ns = 8000;
	pinw_builder_goheld(b, slot, 9000, 19, 1, 2);
	b->live.counters.golocks_covered = 3;
	b->live.counters.golocks_denied = 7;
	b->live.counters.golock_max_depth = 2;
	b->live.counters.golocks_nested = 1;
	pinw_builder_end(b, PINW_END_EXIT, 0, SECOND);
}
