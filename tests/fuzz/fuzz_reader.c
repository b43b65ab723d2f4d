/* SPDX-License-Identifier: MIT
 *
 * Feeds traces of any content through the reader, the model and the renderers, through what looks at a process
 * that runs, and through recover.
 *
 *   clang -g -O1 -std=gnu11 -D_GNU_SOURCE -I. -DPINW_VERSION='"fuzz"' -DPINW_LIBDIR='"/"' \
 *     -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o fuzz_reader tests/fuzz/fuzz_reader.c \
 *     policy/[!.]*.c $(ls reports/[!.]*.c | grep -v -E '/(main|cmd_|symbols|jitmap|procfs|policy_[elt]|live_find|metrics\.)') \
 *     preload/go/{goelf,pclntab}.c reports/html/assets.S \
 *     -ldw -lelf -liberty -l:libinih.a -lz -lsqlite3
 *   ./fuzz_reader -max_len=131072 CORPUS      seeds: any traces
 *
 * A random change almost never has the right sums, and the reader would look no further. So the sums of header,
 * segments and records are put right first, unless a bit of the input's last byte says to leave them wrong.
 * Symbols, maps of generated code and /proc are left out: nothing here opens a file that the input names.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reports/export.h"
#include "reports/filter.h"
#include "reports/jitmap.h"
#include "reports/live_find.h"
#include "reports/metrics.h"
#include "reports/procfs.h"
#include "reports/report.h"
#include "reports/symbols.h"
#include "reports/top.h"

#define LEAVE_HEADER 0x1u
#define LEAVE_SEGMENTS 0x2u
#define LEAVE_RECORDS 0x4u
#define RUNNING 0x8u
#define SCORECARD 0x10u
#define BY(flags) ((enum pinw_text_by)((flags) >> 5 & 3)) /* a view of the text */
#define FILTERED 0x80u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what is left out ------------------------------------------------------------------- */

static unsigned flags;

int pinw_symbols_open(struct pinw_symbols **ret)
{
	*ret = NULL;
	return 0;
}

void pinw_symbols_free(struct pinw_symbols *s)
{
	(void)s;
}

int pinw_jitmap_open(const struct pinw_process *p, struct pinw_jitmap **ret_map)
{
	(void)p;
	*ret_map = NULL;
	return 0;
}

void pinw_jitmap_free(struct pinw_jitmap *m)
{
	(void)m;
}

const char *pinw_jitmap_find(const struct pinw_jitmap *m, uint64_t address, uint64_t *ret_offset)
{
	(void)m, (void)address, (void)ret_offset;
	return NULL;
}

/* Every answer a lookup can give, by address. */
int pinw_symbols_lookup(struct pinw_symbols *s, const char *module_path, const uint8_t *build_id,
                        size_t build_id_len, uint64_t module_address, struct pinw_symbol_frame *ret_frames,
                        size_t max, size_t *ret_count)
{
	static const int errors[] = {-ENOENT, -ESTALE, -ENODATA, -ENOMEM};

	(void)s;
	(void)build_id;
	if (module_address % 8 < 4)
		return errors[module_address % 4];
	size_t count = module_address % 8 - 3;
	for (size_t i = 0; i < count && i < max; i++)
		ret_frames[i] = (struct pinw_symbol_frame){.function = module_path,
		                                           .file = build_id_len ? module_path : NULL,
		                                           .line = (unsigned)i,
		                                           .inlined = i + 1 < count};
	*ret_count = count < max ? count : max;
	return 0;
}

/* No folder is searched. */
int pinw_live_find_parent(const struct pinw_live *l, struct pinw_live **ret_parent)
{
	(void)l;
	(void)ret_parent;
	return -ENOENT;
}

int pinw_procfs_find(const struct pinw_identity *id, pid_t *ret_pid)
{
	if (id->pid % 3 == 0)
		return -EXDEV;
	*ret_pid = 1;
	return flags & RUNNING ? 0 : -ESRCH;
}

int pinw_procfs_threads(pid_t pid, uint32_t **ret_tids, size_t *ret_count)
{
	static const uint32_t tids[] = {4711, 4712, 5002};

	(void)pid;
	*ret_tids = malloc(sizeof(tids));
	if (!*ret_tids)
		return -ENOMEM;
	memcpy(*ret_tids, tids, sizeof(tids));
	*ret_count = sizeof(tids) / sizeof(tids[0]);
	return 0;
}

/* ---- putting sums right ----------------------------------------------------------------- */

static void repair_header(uint8_t *file)
{
	struct pinw_trace_header h;

	memcpy(&h, file, sizeof(h));
	memcpy(h.magic, PINW_TRACE_MAGIC, sizeof(h.magic));
	h.version = PINW_TRACE_VERSION;
	h.header_bytes = PINW_HEADER_BYTES;
	h.cell_bytes = PINW_CELL_BYTES;
	h.mask_words = 1 + (h.mask_words - 1) % PINW_MASK_WORDS_MAX;
	h.slot_bytes = (uint32_t)sizeof(struct pinw_slot) + 8 * h.mask_words;
	h.check = pinw_reader_header_check(&h);
	memcpy(file, &h, sizeof(h));
}

static size_t repair_record(uint8_t *cell, size_t cells_left)
{
	struct pinw_cell_head head;
	uint64_t sum;

	memcpy(&head, cell, sizeof(head));
	if (head.type == PINW_REC_NONE || head.type == PINW_REC_CONT || head.cells == 0 ||
	    head.cells > cells_left)
		return 1;
	head.index = 0;
	head.check = 0;
	memcpy(&sum, &head, sizeof(sum));
	sum = pinw_check_step(0, sum);
	for (size_t i = 0; i < head.cells; i++) {
		struct pinw_cell c;
		memcpy(&c, cell + i * sizeof(c), sizeof(c));
		if (i) {
			c.head = (struct pinw_cell_head){.type = PINW_REC_CONT, .index = (uint8_t)i};
			memcpy(cell + i * sizeof(c), &c, sizeof(c));
		}
		for (size_t word = 0; word < PINW_CELL_PAYLOAD / 8; word++)
			sum = pinw_check_step(sum, c.payload[word]);
	}
	head.check = pinw_check_fold(sum);
	memcpy(cell, &head, sizeof(head));
	return head.cells;
}

static void repair_segments(uint8_t *file, size_t size)
{
	for (size_t at = PINW_SEGMENTS_OFFSET; at + sizeof(struct pinw_segment) <= size;) {
		struct pinw_segment s;
		memcpy(&s, file + at, sizeof(s));
		s.magic = PINW_SEGMENT_MAGIC;
		s.bytes = (1 + s.bytes / PINW_SEGMENT_ALIGN % 4) * PINW_SEGMENT_ALIGN;
		s.check = s.kind ^ (uint32_t)s.bytes ^ s.first ^ PINW_SEGMENT_MAGIC;
		if (!(flags & LEAVE_SEGMENTS))
			memcpy(file + at, &s, sizeof(s));
		size_t end = at + s.bytes < size ? at + s.bytes : size;
		size_t cells = (end - at) / PINW_CELL_BYTES;
		for (size_t i = 1; i < cells && s.kind != PINW_SEG_SLOTS && !(flags & LEAVE_RECORDS);)
			i += repair_record(file + at + i * PINW_CELL_BYTES, cells - i);
		at += s.bytes;
	}
}

/* ---- one input -------------------------------------------------------------------------- */

/* Formats for tools; the database goes to a file without a name. */
static void export(const struct pinw_model *m, struct pinw_stacks *stacks, FILE *out)
{
	uint64_t total;
	char path[64];
	int fd = memfd_create("database", MFD_CLOEXEC);

	for (size_t weight = 0; weight < PINW_WEIGHTS; weight++)
		pinw_export_folded(m, stacks, (enum pinw_weight)weight, out, &total);
	pinw_export_pprof(m, stacks, PINW_WEIGHT_PINS, out);
	pinw_export_jsonl(m, stacks, out);
	pinw_export_chrome(m, stacks, out);
	pinw_export_html(m, stacks, flags & LEAVE_RECORDS ? SIZE_MAX : 5, out);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd >= 0)
		pinw_export_sqlite(m, stacks, path);
	close(fd);
}

static void render(const struct pinw_model *m)
{
	struct pinw_text_options options = {.color = flags & LEAVE_HEADER,
	                                    .top = flags & LEAVE_RECORDS ? 0 : 5,
	                                    .scorecard = flags & SCORECARD,
	                                    .by = BY(flags)};
	struct pinw_filter filter;
	char why[256];
	struct pinw_stacks *stacks;
	char *text = NULL;
	size_t len;

	if (pinw_stacks_open(&stacks) < 0)
		return;
	if (flags & FILTERED && pinw_filter_parse("cpu:1 thread:a", &filter, why, sizeof(why)) == 0)
		options.filter = &filter;
	FILE *out = open_memstream(&text, &len);
	if (out) {
		pinw_report_text(m, stacks, &options, out);
		pinw_report_json(m, stacks, m->with_history, out);
		export(m, stacks, out);
		fclose(out);
	}
	free(text);
	pinw_stacks_free(stacks);
}

static void read_file(int fd)
{
	struct pinw_model *m;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (pinw_model_new(&m) < 0)
		return;
	m->with_history = true;
	if (pinw_model_add(m, path) == 0 && pinw_model_finish(m) == 0)
		render(m);
	pinw_model_free(m);
}

/* Both take over what they open. */
static void look_at_file(int fd)
{
	struct pinw_top_view view = {.columns = 100, .rows = 30, .choice = {.all = flags & RUNNING}};
	struct pinw_top top = {.look_ns = 0};
	struct pinw_live *live;
	FILE *out = fopen("/dev/null", "w");

	if (out && pinw_live_open_fd(dup(fd), "fuzz.pwt", &live) == 0) {
		pinw_top_start(&top, live);
		for (unsigned i = 0; i < 2; i++) {
			pinw_top_look(&top);
			pinw_top_draw(&top, &view, out);
		}
		pinw_top_done(&top);
	}
	if (out)
		fclose(out);
}

static void count_file(int fd)
{
	struct pinw_stacks *stacks = NULL;
	struct pinw_metered *m;
	struct pinw_live *live;
	FILE *out = fopen("/dev/null", "w");

	if (out && pinw_stacks_open(&stacks) == 0 && pinw_live_open_fd(dup(fd), "fuzz.pwt", &live) == 0 &&
	    pinw_metered_new(live, 3, &m) == 0) {
		const struct pinw_metrics_page page = {.processes = &m, .count = 1, .times = true};
		for (unsigned i = 0; i < 2; i++)
			if (pinw_metered_look(m, stacks) != -ENOMEM)
				pinw_metrics_write(&page, out);
		pinw_metered_free(m);
	}
	pinw_stacks_free(stacks);
	if (out)
		fclose(out);
}

static void ignore_rule(void *arg, const struct pinw_rule_cell *cell)
{
	(void)arg;
	(void)cell;
}

/* What is recovered has no damage, whatever it came from. */
static void expect_whole(int fd, const struct pinw_reader_copied *copied)
{
	struct pinw_problem problem;
	struct pinw_reader *r;

	if (pinw_reader_open_fd(fd, &r) < 0)
		abort();
	if (pinw_reader_walk(r, NULL, NULL, NULL) < 0 || pinw_reader_rules(r, ignore_rule, NULL) < 0 ||
	    pinw_reader_problems(r, &problem, 1) || pinw_reader_tally(r).records != copied->records)
		abort();
	pinw_reader_free(r);
}

static void recover_file(int fd)
{
	struct pinw_reader_copied copied;
	struct pinw_reader *r;
	int mended = memfd_create("mended", MFD_CLOEXEC);
	FILE *out = mended >= 0 ? fdopen(dup(mended), "w") : NULL;

	if (out && pinw_reader_open_fd(dup(fd), &r) == 0) {
		if (pinw_reader_copy(r, out, &copied) == 0)
			expect_whole(dup(mended), &copied);
		pinw_reader_free(r);
	}
	if (out)
		fclose(out);
	close(mended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *file = malloc(size + 1);
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	flags = size ? data[size - 1] : 0;
	if (file && fd >= 0) {
		if (size)
			memcpy(file, data, size);
		if (size >= PINW_HEADER_BYTES && !(flags & LEAVE_HEADER))
			repair_header(file);
		repair_segments(file, size);
		if (write(fd, file, size) == (ssize_t)size)
			read_file(fd);
		look_at_file(fd);
		count_file(fd);
		recover_file(fd);
	}
	close(fd);
	free(file);
	return 0;
}
