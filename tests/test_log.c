/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/image.h"
#include "preload/log.h"
#include "preload/site.h"
#include "tests/rig.h"

typedef int host_fn(void *arg);

TestSuite(leak_log, .fini = pinw_rig_done);

/* A recorder that logs to log.txt. */
static void start(void)
{
	static char setting[PATH_MAX + 32];
	const char *const settings[] = {setting, NULL};

	snprintf(setting, sizeof(setting), "PINWARDEN_LOG=%s", pinw_rig_path("log.txt"));
	pinw_rig_image(settings);
}

static const char *log_text(void)
{
	static char text[1 << 20];
	FILE *in = fopen(pinw_rig_path("log.txt"), "r");

	text[0] = '\0';
	if (in) {
		text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
		fclose(in);
	}
	return text;
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned count = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		count++;
	return count;
}

static __attribute__((noinline)) int ask(void *arg)
{
	struct pinw_where where = PINW_WHERE();

	*(uint32_t *)arg = pinw_site(pinw_tls.thread, where);
	return 0;
}

/* The site of a call from host_left, or from `depth` frames of host_recurse. */
static uint32_t site_of_left(void)
{
	uint32_t id = 0;

	((int (*)(host_fn *, void *))pinw_rig_host("libhost", "host_left"))(ask, &id);
	return id;
}

static uint32_t site_of_depth(unsigned depth)
{
	uint32_t id = 0;

	((int (*)(unsigned, host_fn *, void *))pinw_rig_host("libhost", "host_recurse"))(depth, ask, &id);
	return id;
}

/* A thread that leaks: pinned at one site, created at another. Its mask is CPUs 1 and 2. */
static struct pinw_slot *leaking(uint32_t pin_site, uint32_t create_site)
{
	const uint64_t mask[PINW_MASK_WORDS_MAX] = {0x6};
	struct pinw_slot *slot = pinw_rig_thread(4711, mask)->slot;

	strcpy(slot->name, "worker");
	slot->pin_depth = 2;
	slot->pin_origin = PINW_ORIGIN_SELF;
	slot->pin_site = pin_site;
	slot->pin_since_ns = 1000000000;
	slot->create_site = create_site;
	return slot;
}

/* ---- the block ------------------------------------------------------------------------------ */

Test(leak_log, says_who_leaked_what_since_when_and_from_where)
{
	char line[128];

	start();
	struct pinw_slot *slot = leaking(site_of_left(), site_of_depth(3));
	pinw_log_leak("exit-while-pinned", slot, UINT64_C(2203000000));
	const char *text = log_text();
	snprintf(line, sizeof(line),
	         "pinwarden: leak: exit-while-pinned: thread \"worker\" (#%u, tid 4711) of process %d\n",
	         slot->thread, getpid());
	cr_expect_eq(strncmp(text, line, strlen(line)), 0, "%s", text);
	cr_expect(strstr(text, "  pinned by itself to CPU 1,2, held 1.203 s, depth 2\n"), "%s", text);
	const char *pinned = strstr(text, "  pinned at:\n"), *created = strstr(text, "  created at:\n");
	cr_assert(pinned && created && pinned < created, "%s", text);
	cr_expect(strstr(pinned, "    #0 host_call+0x"), "%s", text);
	cr_expect(strstr(pinned, "    #1 host_left+0x"), "%s", text);
	cr_expect(strstr(pinned, "/targets/libhost.so)\n"), "%s", text);
	cr_expect_eq(count_of(created, " host_recurse+0x"), 3, "%s", text);
	cr_expect_eq(text[strlen(text) - 1], '\n');
	cr_expect_eq(pinw_shim.live->counters.logged, 1);
}

Test(leak_log, shows_no_pin_where_there_is_none)
{
	start();
	struct pinw_slot *slot = leaking(0, site_of_left());
	slot->pin_depth = 0;
	pinw_log_leak("unjoined", slot, 5);
	cr_expect_null(strstr(log_text(), "pinned"), "%s", log_text());
	cr_expect(strstr(log_text(), "created at:\n"), "%s", log_text());
}

Test(leak_log, says_unknown_where_no_stack_is_known)
{
	start();
	pinw_log_leak("pinned-at-end", leaking(0, 999999), 1000000000);
	cr_expect(strstr(log_text(), "  pinned at: unknown\n"), "%s", log_text());
	cr_expect(strstr(log_text(), "  created at: unknown\n"), "%s", log_text());
}

Test(leak_log, writes_durations_in_units_one_can_read)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
	    {0, "held 0.000 us"},
	    {999, "held 0.999 us"},
	    {1000, "held 1.000 us"},
	    {1500, "held 1.500 us"},
	    {999999, "held 999.999 us"},
	    {1000000, "held 1.000 ms"},
	    {12003000, "held 12.003 ms"},
	    {1000000000, "held 1.000 s"},
	    {UINT64_C(3661050000000), "held 3661.050 s"},
	};

	start();
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pinw_slot *slot = leaking(100 + i, 0);

		slot->pin_since_ns = 0;
		pinw_log_leak("exit-while-pinned", slot, cases[i].ns);
		cr_expect(strstr(log_text(), cases[i].text), "%s", cases[i].text);
	}
}

/* Names come from the program: nothing that a terminal would obey. */
Test(leak_log, repeats_no_control_bytes)
{
	start();
	struct pinw_slot *slot = leaking(1, 1);
	memcpy(slot->name, "\033[2J\n\x9b\xff\x7f\"ok\0zz", 15);
	pinw_log_leak("exit-while-pinned", slot, 1000000000);
	cr_expect(strstr(log_text(), "thread \"?[2J????\"ok\" (#"), "%s", log_text());
	memset(slot->name, 'n', sizeof(slot->name)); /* without an end */
	slot->pin_site = 2;
	pinw_log_leak("exit-while-pinned", slot, 1000000000);
	cr_expect(strstr(log_text(), "thread \"nnnnnnnnnnnnnnnn\" (#"), "%s", log_text());
}

Test(leak_log, ends_a_long_stack_with_a_word)
{
	start();
	pinw_log_leak("exit-while-pinned", leaking(site_of_depth(40), 0), 1000000000);
	cr_expect_eq(count_of(log_text(), " host_recurse+0x"), 15, "and host_call: 16 frames");
	cr_expect(strstr(log_text(), "    ... the stack goes on\n"), "%s", log_text());
}

/* Two stacks of a library with a path of a thousand bytes are more than a block holds. */
Test(leak_log, ends_a_block_that_is_too_long_with_its_line)
{
	char path[960];
	uint32_t id = 0;

	start();
	snprintf(path, sizeof(path), "%s", pinw_rig_dir());
	while (strlen(path) < 850) {
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%040d", 0);
		cr_assert_eq(mkdir(path, 0700), 0);
	}
	strcat(path, "/libdeep.so");
	pinw_rig_copy(pinw_rig_host_path("libhost"), path);
	void *handle = dlopen(path, RTLD_NOW);
	cr_assert_not_null(handle, "%s", dlerror());
	((int (*)(unsigned, host_fn *, void *))dlsym(handle, "host_recurse"))(30, ask, &id);
	pinw_log_leak("exit-while-pinned", leaking(id, id), 1000000000);
	pinw_log_leak("exit-while-pinned", leaking(site_of_left(), 0), 1000000000);
	cr_expect_eq(count_of(log_text(), "\npinwarden: leak: "), 1,
	             "the second block begins on a line of its own");
	cr_expect_eq(count_of(log_text(), "pinwarden: leak: "), 2);
}

/* ---- how much ------------------------------------------------------------------------------------ */

Test(leak_log, is_limited_per_site_and_says_what_it_held_back)
{
	start();
	struct pinw_slot *slot = leaking(site_of_left(), 0);
	for (unsigned i = 0; i < 1000; i++)
		pinw_log_leak("exit-while-pinned", slot, 1000000000);
	/* 1, 2, 3, then 4, 8, 16 ... 512. */
	cr_expect_eq(count_of(log_text(), "pinwarden: leak: "), 3 + 8);
	cr_expect_eq(pinw_shim.live->counters.logged, 3 + 8);
	cr_expect_eq(pinw_shim.live->counters.log_suppressed, 1000 - 11);
	cr_expect(strstr(log_text(), "  number 2 from this site, 0 not shown\n"));
	cr_expect(strstr(log_text(), "  number 8 from this site, 3 not shown\n"));
	cr_expect(strstr(log_text(), "  number 512 from this site, 501 not shown\n"));
	struct pinw_slot *other = leaking(site_of_depth(2), 0);
	pinw_log_leak("exit-while-pinned", other, 1000000000);
	cr_expect_eq(pinw_shim.live->counters.logged, 12, "another site is another matter");
}

static void leak_a_lot(unsigned index)
{
	struct pinw_slot *slot = leaking(1000 + index, 1000 + index);

	for (unsigned i = 0; i < 64; i++)
		pinw_log_leak("exit-while-pinned", slot, 1000000000);
}

Test(leak_log, keeps_blocks_of_eight_threads_apart)
{
	start();
	pinw_rig_together(8, leak_a_lot);
	const char *text = log_text();
	uint64_t logged = pinw_shim.live->counters.logged;
	cr_expect_eq(logged + pinw_shim.live->counters.log_suppressed, 8 * 64);
	cr_expect_eq(count_of(text, "pinwarden: leak: "), logged);
	cr_expect_eq(count_of(text, "\npinwarden: leak: "), logged - 1, "each at the beginning of a line");
	cr_expect_eq(count_of(text, "  created at: unknown\n"), logged, "each whole");
}

Test(leak_log, costs_nothing_without_a_log)
{
	pinw_rig_image(NULL);
	pinw_log_leak("exit-while-pinned", leaking(site_of_left(), 0), 1);
	cr_expect_eq(pinw_shim.live->counters.logged, 0);
	cr_expect_eq(pinw_shim.live->counters.log_suppressed, 0);
}

/* ---- where it cannot be written --------------------------------------------------------------------- */

static void count_note(void *arg, const struct pinw_read_record *rec)
{
	if (rec->type == PINW_REC_NOTE && rec->note->code == PINW_NOTE_LOG_FAILED)
		(*(unsigned *)arg)++;
}

static void expect_failure_noted_once(void)
{
	struct pinw_slot *slot = leaking(site_of_left(), 0);
	struct pinw_rig_seen seen;
	unsigned notes = 0;

	for (unsigned i = 0; i < 3; i++)
		pinw_log_leak("exit-while-pinned", slot, 1000000000);
	pinw_rig_read(count_note, NULL, &notes, &seen);
	cr_expect_eq(notes, 1);
	cr_expect_eq(pinw_shim.live->counters.logged, 0);
}

Test(leak_log, notes_once_that_it_cannot_be_written)
{
	start();
	cr_assert_eq(mkdir(pinw_rig_path("log.txt"), 0700), 0);
	expect_failure_noted_once();
}

Test(leak_log, does_not_wait_for_a_reader_of_a_pipe)
{
	start();
	cr_assert_eq(mkfifo(pinw_rig_path("log.txt"), 0600), 0);
	expect_failure_noted_once();
}

Test(leak_log, follows_no_planted_link)
{
	start();
	cr_assert_eq(symlink(pinw_rig_path("victim"), pinw_rig_path("log.txt")), 0);
	expect_failure_noted_once();
	cr_expect_eq(access(pinw_rig_path("victim"), F_OK), -1);
}

Test(leak_log, adds_to_a_file_and_keeps_no_descriptor)
{
	start();
	int fd = open(pinw_rig_path("log.txt"), O_WRONLY | O_CREAT, 0644);
	cr_assert_eq(write(fd, "before\n", 7), 7);
	close(fd);
	unsigned descriptors = pinw_rig_descriptors();
	pinw_log_leak("exit-while-pinned", leaking(1, 1), 1000000000);
	cr_expect_eq(strncmp(log_text(), "before\npinwarden: leak: ", 24), 0, "%s", log_text());
	cr_expect_eq(pinw_rig_descriptors(), descriptors);
}
