/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "preload/arch.h"
#include "preload/module.h"
#include "preload/site.h"
#include "tests/rig.h"

typedef int host_fn(void *arg);

/* What a call back from the host found out. */
struct asked {
	uint32_t id;
	uintptr_t cfa; /* of the call: the stack lies above */
	uint64_t hits, unwinds; /* by this call */
};

static char program_path[PINW_PATH_MAX];
static int (*host_without_cfi)(host_fn *, void *);
static int (*host_left)(host_fn *, void *);
static int (*host_right)(host_fn *, void *);
static int (*host_recurse)(unsigned, host_fn *, void *);
static int (*host_turns)(unsigned, unsigned, host_fn *, void *);
static int (*host_alloca)(size_t, host_fn *, void *);
static int (*host_twins)(unsigned, host_fn *, void *);

static void setup(void)
{
	pinw_rig_image(NULL);
	cr_assert_gt(readlink("/proc/self/exe", program_path, sizeof(program_path) - 1), 0);
	host_without_cfi = pinw_rig_host("libhost", "host_without_cfi");
	host_left = pinw_rig_host("libhost", "host_left");
	host_right = pinw_rig_host("libhost", "host_right");
	host_recurse = pinw_rig_host("libhost", "host_recurse");
	host_turns = pinw_rig_host("libhost", "host_turns");
	host_alloca = pinw_rig_host("libhost", "host_alloca");
	host_twins = pinw_rig_host("libhost", "host_twins");
}

TestSuite(site, .init = setup, .fini = pinw_rig_done);

static const struct pinw_counters *counters(void)
{
	return &pinw_shim.live->counters;
}

/* The wrapper: called by the host, asks which stack this is. */
static __attribute__((noinline)) int ask(void *arg)
{
	struct pinw_where where = PINW_WHERE();
	struct asked *asked = arg;
	uint64_t hits = counters()->memo_hits, unwinds = counters()->unwinds;

	asked->id = pinw_site(pinw_tls.thread, where);
	asked->cfa = where.cfa;
	asked->hits = counters()->memo_hits - hits;
	asked->unwinds = counters()->unwinds - unwinds;
	return 0;
}

static unsigned frames_of(uint32_t id, const struct pinw_rec_frame **ret_frames, uint16_t *ret_flags)
{
	unsigned count = pinw_site_frames(id, ret_frames, ret_flags);

	cr_assert_gt(count, 0, "site %u", id);
	return count;
}

static uint64_t offset_of(const struct pinw_rec_frame *frame)
{
	return frame->offset_low | (uint64_t)frame->offset_high << 32;
}

/* A module's load bias, as the loader has it now. */
static int match_base(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct dl_phdr_info *wanted = arg;
	bool main_program = !*info->dlpi_name && strcmp(wanted->dlpi_name, program_path) == 0;

	(void)size;
	if (!main_program && strcmp(info->dlpi_name, wanted->dlpi_name) != 0)
		return 0;
	wanted->dlpi_addr = info->dlpi_addr;
	return 1;
}

/* A frame's return address. */
static uintptr_t pc_of(const struct pinw_rec_frame *frame)
{
	struct dl_phdr_info info = {.dlpi_name = pinw_module_path(frame->module)};

	if (frame->module)
		cr_assert(dl_iterate_phdr(match_base, &info), "%s is not loaded", info.dlpi_name);
	return info.dlpi_addr + offset_of(frame);
}

/* The function that holds a frame's call. */
static const char *function_of(const struct pinw_rec_frame *frame)
{
	Dl_info info;

	return dladdr((void *)(pc_of(frame) - 1), &info) && info.dli_sname ? info.dli_sname : "?";
}

static unsigned count_function(uint32_t id, const char *name)
{
	const struct pinw_rec_frame *frames;
	uint16_t flags;
	unsigned count = frames_of(id, &frames, &flags), found = 0;

	for (unsigned i = 0; i < count; i++)
		found += strcmp(function_of(&frames[i]), name) == 0;
	return found;
}

/* ---- the memo -------------------------------------------------------------------------- */

Test(site, knows_a_stack_again_without_unwinding)
{
	struct asked first, again;

	for (unsigned i = 0; i < 3; i++) {
		host_left(ask, i ? &again : &first);
		if (!i)
			cr_expect_eq(first.unwinds, 1);
		else {
			cr_expect_eq(again.id, first.id);
			cr_expect_eq(again.unwinds, 0);
			cr_expect_eq(again.hits, 1);
		}
	}
	cr_expect_gt(first.id, 0);
	cr_expect_eq(counters()->sites, 1);
}

Test(site, tells_stacks_apart_that_end_in_one_call)
{
	struct asked left = {0}, right = {0};

	for (unsigned i = 0; i < 4; i++) {
		struct asked l, r;

		host_left(ask, &l);
		host_right(ask, &r);
		cr_assert_neq(l.id, r.id);
		cr_assert(i == 0 || (l.id == left.id && r.id == right.id));
		cr_assert_eq(l.unwinds + r.unwinds, i == 0 ? 2 : 0, "round %u", i);
		left = l;
		right = r;
	}
	cr_expect_eq(count_function(left.id, "host_left"), 1);
	cr_expect_eq(count_function(left.id, "host_right"), 0);
	cr_expect_eq(count_function(right.id, "host_right"), 1);
}

Test(site, tells_depths_of_recursion_apart)
{
	uint32_t ids[41] = {0};

	for (unsigned round = 0; round < 2; round++)
		for (unsigned depth = 1; depth <= 40; depth++) {
			struct asked a;

			host_recurse(depth, ask, &a);
			cr_assert_eq(a.unwinds, round == 0, "depth %u, round %u", depth, round);
			cr_assert(round == 0 || a.id == ids[depth]);
			ids[depth] = a.id;
			for (unsigned d = 1; d < depth; d++)
				cr_assert_neq(ids[d], a.id);
			cr_assert_eq(count_function(a.id, "host_recurse"), depth);
		}
}

/* Of a stack of more than 64 frames the innermost 64 are the site, and it says that it goes on. */
Test(site, cuts_and_marks_a_stack_of_more_than_64_frames)
{
	const struct pinw_rec_frame *frames;
	struct asked deep, deeper, whole;
	uint16_t flags;

	host_recurse(100, ask, &deep);
	cr_expect_eq(frames_of(deep.id, &frames, &flags), PINW_FRAMES_MAX);
	cr_expect(flags & PINW_SITE_TRUNCATED);
	cr_expect_eq(count_function(deep.id, "host_recurse"), PINW_FRAMES_MAX - 1);
	host_recurse(200, ask, &deeper);
	cr_expect_eq(deeper.id, deep.id, "what is kept of them is the same");
	host_recurse(200, ask, &deeper);
	cr_expect_eq(deeper.unwinds, 0);
	host_recurse(3, ask, &whole);
	frames_of(whole.id, &frames, &flags);
	cr_expect_not(flags & PINW_SITE_TRUNCATED);
}

/* More stacks from one call site than the memo keeps: all are told apart, only some without unwinding. */
Test(site, stays_right_beyond_what_the_memo_keeps)
{
	enum { TURNS = 10, STACKS = 1 << TURNS };
	static uint32_t ids[STACKS];
	static uint8_t used[STACKS * 2];

	for (unsigned round = 0; round < 2; round++)
		for (unsigned turns = 0; turns < STACKS; turns++) {
			struct asked a;

			host_turns(turns, TURNS, ask, &a);
			cr_assert(round == 0 || a.id == ids[turns]);
			ids[turns] = a.id;
		}
	for (unsigned turns = 0; turns < STACKS; turns++) {
		cr_assert_lt(ids[turns], sizeof(used));
		cr_assert_not(used[ids[turns]], "two stacks are site %u", ids[turns]);
		used[ids[turns]] = 1;
	}
	cr_expect_eq(counters()->sites, STACKS);
	cr_expect_gt(counters()->memo_hits, 100);
}

/* Where on the stack above `from` the word `value` is. Looks at every word, between variables too. */
__attribute__((no_sanitize("address"))) static uintptr_t *find_word(uintptr_t from, uintptr_t value)
{
	for (uintptr_t *word = (uintptr_t *)from; (uintptr_t)word < pinw_tls.thread->stack_hi; word++)
		if (*word == value)
			return word;
	return NULL;
}

static uint32_t known_id;
static unsigned changed_words;

/* Changes one return address after the other on the way out, each back at once: none of these stacks is the known one. */
static __attribute__((noinline)) int change_and_ask(void *arg)
{
	struct pinw_where where = PINW_WHERE();
	const struct pinw_rec_frame *frames;
	uint16_t flags;

	(void)arg;
	if (!known_id) {
		known_id = pinw_site(pinw_tls.thread, where);
		return 0;
	}
	uint64_t hits = counters()->memo_hits;
	cr_assert_eq(pinw_site(pinw_tls.thread, where), known_id);
	cr_assert_eq(counters()->memo_hits, hits + 1);
	unsigned count = frames_of(known_id, &frames, &flags);
	uintptr_t from = where.cfa;
	for (unsigned i = 1; i < count; i++) {
		uintptr_t *word = find_word(from, pc_of(&frames[i]));

		if (!word)
			continue;
		from = (uintptr_t)(word + 1);
		uintptr_t was = *word;
		*word = (uintptr_t)host_right + 1;
		uint32_t id = pinw_site(pinw_tls.thread, where);
		*word = was;
		cr_assert_neq(id, known_id, "frame %u", i);
		changed_words++;
	}
	cr_assert_eq(counters()->memo_hits, hits + 1, "none was taken for known");
	return 0;
}

Test(site, takes_no_stack_for_another_when_one_word_differs)
{
	for (unsigned i = 0; i < 2; i++)
		host_recurse(20, change_and_ask, NULL);
	cr_expect_gt(changed_words, 20);
}

Test(site, knows_frames_of_any_size_apart)
{
	struct asked small, large, again;

	host_alloca(64, ask, &small);
	host_alloca(4096, ask, &large);
	cr_expect_eq(large.unwinds, 1, "not at the places remembered");
	cr_expect_eq(large.id, small.id, "but the same frames");
	host_alloca(64, ask, &again);
	cr_expect_eq(again.unwinds, 0);
	host_alloca(4096, ask, &again);
	cr_expect_eq(again.unwinds, 0);
	cr_expect_eq(again.id, small.id);
}

/* The words that are compared may be left over from the very stack that was remembered. */
Test(site, is_not_taken_in_by_what_an_earlier_stack_left)
{
	struct asked one, other, known;

	for (unsigned i = 0; i < 3; i++) {
		host_twins(0, ask, &one);
		host_twins(1, ask, &other);
		cr_assert_eq(one.cfa, other.cfa, "both are equally deep");
		cr_assert_eq(count_function(one.id, "host_twins"), 1);
		cr_assert_neq(one.id, other.id, "round %u", i);
	}
	host_twins(0, ask, &known);
	cr_expect_eq(known.unwinds, 0);
}

/* ---- other stacks ---------------------------------------------------------------------- */

#define COROUTINE_BYTES (256u << 10)

static struct {
	ucontext_t out, in;
	struct asked asked;
	unsigned depth;
} coroutine;

static void run_coroutine(void)
{
	for (;;) {
		host_recurse(coroutine.depth, ask, &coroutine.asked);
		swapcontext(&coroutine.in, &coroutine.out);
	}
}

static void make_coroutine(char *stack)
{
	cr_assert_eq(getcontext(&coroutine.in), 0);
	coroutine.in.uc_stack.ss_sp = stack;
	coroutine.in.uc_stack.ss_size = COROUTINE_BYTES;
	makecontext(&coroutine.in, run_coroutine, 0);
}

static struct asked ask_in_coroutine(unsigned depth)
{
	coroutine.depth = depth;
	cr_assert_eq(swapcontext(&coroutine.out, &coroutine.in), 0);
	return coroutine.asked;
}

Test(site, walks_coroutines_every_time_and_gets_them_right)
{
	char *stack = mmap(NULL, COROUTINE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(stack, MAP_FAILED);
	make_coroutine(stack);
	struct asked first = ask_in_coroutine(5);
	for (unsigned i = 0; i < 3; i++) {
		struct asked a = ask_in_coroutine(5);

		cr_expect_eq(a.id, first.id);
		cr_expect_eq(a.unwinds, 1, "its stack has no known end");
	}
	struct asked other = ask_in_coroutine(9);
	cr_expect_neq(other.id, first.id);
	cr_expect_eq(count_function(first.id, "host_recurse"), 5);
	cr_expect_eq(count_function(other.id, "host_recurse"), 9);
	cr_expect_eq(ask_in_coroutine(5).id, first.id);
}

/* A coroutine's stack may be a part of the thread's: the memo may help, but must not mistake it. */
Test(site, tells_coroutines_on_the_threads_own_stack_apart)
{
	char stack[COROUTINE_BYTES] __attribute__((aligned(16)));
	uint32_t ids[30] = {0};

	make_coroutine(stack);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned depth = 1; depth < 30; depth++) {
			struct asked a = ask_in_coroutine(depth);

			cr_assert(round == 0 || ids[depth] == a.id);
			cr_assert_eq(count_function(a.id, "host_recurse"), depth);
			ids[depth] = a.id;
		}
}

static struct asked in_handler;

static void handle(int number)
{
	(void)number;
	host_right(ask, &in_handler);
}

static int raise_signal(void *arg)
{
	(void)arg;
	return raise(SIGUSR1);
}

static void expect_cut_at_the_signal(uint32_t id)
{
	const struct pinw_rec_frame *frames;
	uint16_t flags;
	unsigned count = frames_of(id, &frames, &flags);

	cr_expect(flags & PINW_SITE_SIGNAL);
	cr_expect_not(flags & PINW_SITE_TRUNCATED);
	cr_expect_eq(count_function(id, "host_right"), 1);
	cr_expect_eq(count_function(id, "host_recurse"), 0, "where a handler came is chance");
	cr_expect_leq(count, 4);
}

Test(site, ends_a_handlers_stack_where_the_signal_came)
{
	signal(SIGUSR1, handle);
	host_recurse(3, raise_signal, NULL);
	uint32_t first = in_handler.id;
	expect_cut_at_the_signal(first);
	host_recurse(8, raise_signal, NULL);
	cr_expect_eq(in_handler.id, first, "from elsewhere it is the same site");
	host_recurse(8, raise_signal, NULL);
	cr_expect_eq(in_handler.id, first);
}

Test(site, ends_a_handlers_stack_on_its_own_stack_too)
{
	static char alternative[64 << 10];
	stack_t stack = {.ss_sp = alternative, .ss_size = sizeof(alternative)};
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};

	cr_assert_eq(sigaltstack(&stack, NULL), 0);
	cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
	host_recurse(3, raise_signal, NULL);
	uint32_t first = in_handler.id;
	expect_cut_at_the_signal(first);
	host_recurse(8, raise_signal, NULL);
	cr_expect_eq(in_handler.id, first);
	cr_expect_eq(in_handler.unwinds, 1);
}

/* ---- threads ------------------------------------------------------------------------------- */

static void *ask_in_thread(void *arg)
{
	host_recurse(6, ask, arg);
	return arg;
}

Test(site, knows_a_stack_again_in_another_thread)
{
	struct asked first, second;

	pinw_rig_join(pinw_rig_spawn(ask_in_thread, &first, NULL));
	pinw_rig_join(pinw_rig_spawn(ask_in_thread, &second, NULL));
	cr_expect_eq(first.unwinds, 1);
	cr_expect_eq(second.unwinds, 0, "on a stack of its own");
	cr_expect_eq(second.id, first.id);
	cr_expect_eq(count_function(first.id, "pinw_trampoline"), 0, "the shim's own frames are left out");
}

#define DEPTHS 40u

static uint32_t found[8][DEPTHS + 1];

static void *ask_all_depths(void *arg)
{
	for (unsigned round = 0; round < 20; round++)
		for (unsigned depth = 1; depth <= DEPTHS; depth++) {
			struct asked a;
			uint32_t *mine = &((uint32_t *)arg)[depth];

			host_recurse(depth, ask, &a);
			if (*mine && *mine != a.id)
				return NULL;
			*mine = a.id;
		}
	return arg;
}

Test(site, gives_eight_threads_the_same_ids)
{
	struct pinw_thread *threads[8];

	for (unsigned i = 0; i < 8; i++)
		threads[i] = pinw_rig_spawn(ask_all_depths, found[i], NULL);
	for (unsigned i = 0; i < 8; i++)
		cr_expect_not_null(pinw_rig_join(threads[i]), "one stack had two ids");
	for (unsigned depth = 1; depth <= DEPTHS; depth++)
		for (unsigned i = 0; i < 8; i++) {
			cr_assert_neq(found[i][depth], 0);
			cr_assert_eq(found[i][depth], found[0][depth]);
			cr_assert_neq(found[i][depth], found[0][depth - 1]);
		}
	cr_expect_eq(counters()->sites, DEPTHS);
}

/* A plain thread, whose stack nobody told: always walked, always right. */
static void *ask_unknown(void *arg)
{
	pinw_enter();
	host_recurse(6, ask, arg);
	host_recurse(6, ask, (struct asked *)arg + 1);
	return NULL;
}

Test(site, walks_a_stack_whose_bounds_nobody_told)
{
	struct asked asked[2];
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, ask_unknown, asked), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_expect_eq(asked[1].unwinds, 1);
	cr_expect_eq(asked[1].id, asked[0].id);
	cr_expect_eq(count_function(asked[0].id, "host_recurse"), 6);
}

/* ---- objects that come and go ------------------------------------------------------------------ */

/* The bytes of libhost.so's build id in a copy of it. */
static size_t find_build_id(const unsigned char *file, size_t size)
{
	for (size_t i = 0; i + 36 < size; i += 4) {
		const Elf64_Nhdr *note = (const void *)(file + i);

		if (note->n_namesz == 4 && note->n_descsz == 20 && note->n_type == NT_GNU_BUILD_ID &&
		    memcmp(file + i + sizeof(*note), "GNU", 4) == 0)
			return i + sizeof(*note) + 4;
	}
	cr_assert_fail("libhost.so has no build id");
	return 0;
}

/* Another build of libhost at `path`: its first byte of the build id is `mark`. */
static void install_build(const char *path, unsigned char mark)
{
	char new_path[256];
	unsigned char *file = malloc(1 << 20);
	FILE *in = fopen(pinw_rig_host_path("libhost"), "rb");

	cr_assert(file && in);
	size_t size = fread(file, 1, 1 << 20, in);
	fclose(in);
	file[find_build_id(file, size)] = mark;
	snprintf(new_path, sizeof(new_path), "%s.new", path);
	FILE *out = fopen(new_path, "wb");
	cr_assert_not_null(out);
	cr_assert_eq(fwrite(file, 1, size, out), size);
	cr_assert_eq(fclose(out), 0);
	cr_assert_eq(rename(new_path, path), 0);
	free(file);
}

struct loaded {
	struct asked asked;
	uintptr_t base;
	uint32_t module;
};

/* Loads an object, pins from it, unloads it; as the dlclose wrapper does, says that code went away. */
static struct loaded use_object(const char *path)
{
	struct loaded loaded = {.module = 0};
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	struct link_map *map;
	int (*call)(host_fn *, void *);
	uint64_t offset;

	cr_assert_not_null(handle, "%s", dlerror());
	cr_assert_eq(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	call = (int (*)(host_fn *, void *))dlsym(handle, "host_left");
	call(ask, &loaded.asked);
	loaded.base = map->l_addr;
	loaded.module = pinw_module_of((uintptr_t)call + 1, &offset);
	cr_assert_eq(offset, (uintptr_t)call + 1 - map->l_addr);
	cr_assert_eq(dlclose(handle), 0);
	__atomic_fetch_add(&pinw_module_gen, 1, __ATOMIC_RELEASE);
	return loaded;
}

Test(site, takes_another_object_at_the_same_place_for_another)
{
	char a[256], b[256];

	snprintf(a, sizeof(a), "%s", pinw_rig_path("liba.so"));
	snprintf(b, sizeof(b), "%s", pinw_rig_path("libb.so"));
	install_build(a, 1);
	install_build(b, 1);
	struct loaded first = use_object(a), second = use_object(b);
	if (first.base != second.base)
		cr_skip_test("the loader chose another address");
	cr_expect_neq(second.asked.id, first.asked.id);
	cr_expect_neq(second.module, first.module);
	cr_expect_str_eq(pinw_module_path(first.module), a);
	cr_expect_str_eq(pinw_module_path(second.module), b);
}

/* A plug-in rebuilt and loaded again, under the same name, at the same address. */
Test(site, takes_another_build_at_the_same_place_for_another)
{
	char a[256];

	snprintf(a, sizeof(a), "%s", pinw_rig_path("liba.so"));
	install_build(a, 1);
	struct loaded first = use_object(a);
	install_build(a, 2);
	struct loaded second = use_object(a);
	if (first.base != second.base)
		cr_skip_test("the loader chose another address");
	cr_expect_neq(second.module, first.module);
	cr_expect_neq(second.asked.id, first.asked.id);
}

struct module_seen {
	char path[256];
	uint8_t build_id[3]; /* first bytes, in order of id */
	unsigned count;
};

static void see_module(void *arg, const struct pinw_read_record *rec)
{
	struct module_seen *seen = arg;

	if (rec->type != PINW_REC_MODULE || rec->text_len != strlen(seen->path) ||
	    memcmp(rec->text, seen->path, rec->text_len) != 0)
		return;
	cr_assert_lt(seen->count, 3);
	cr_expect_eq(rec->module->build_id_len, 20);
	seen->build_id[seen->count++] = rec->module->build_id[0];
}

Test(site, records_each_build_with_its_own_id)
{
	struct module_seen seen = {.count = 0};
	struct pinw_rig_seen all;

	snprintf(seen.path, sizeof(seen.path), "%s", pinw_rig_path("liba.so"));
	install_build(seen.path, 0x11);
	use_object(seen.path);
	install_build(seen.path, 0x22);
	use_object(seen.path);
	pinw_rig_read(see_module, NULL, &seen, &all);
	cr_expect_eq(all.problems, 0, "%s", all.problem);
	cr_assert_eq(seen.count, 2);
	cr_expect_eq(seen.build_id[0], 0x11);
	cr_expect_eq(seen.build_id[1], 0x22);
}

/* What was learnt of objects that stayed is still good. */
Test(site, keeps_its_sites_when_another_object_goes)
{
	char a[256];
	struct asked before, after, again;

	snprintf(a, sizeof(a), "%s", pinw_rig_path("liba.so"));
	install_build(a, 1);
	for (unsigned i = 0; i < 4; i++) {
		if (i == 1)
			use_object(a);
		host_left(ask, i == 0 ? &before : i == 1 ? &after : &again);
	}
	cr_expect_eq(after.id, before.id);
	cr_expect_eq(after.unwinds, 1, "checked once after something was unloaded");
	cr_expect_eq(again.unwinds, 0);
	cr_expect_eq(again.id, before.id);
}

/* ---- what is recorded ----------------------------------------------------------------------------- */

struct site_seen {
	uint32_t id;
	unsigned records;
	unsigned frames;
	struct pinw_rec_frame frame[PINW_FRAMES_MAX];
	char module_path[8][256]; /* by id */
	uint64_t module_base[8];
};

static void see_site(void *arg, const struct pinw_read_record *rec)
{
	struct site_seen *seen = arg;

	if (rec->type == PINW_REC_MODULE && rec->module->id < 8) {
		snprintf(seen->module_path[rec->module->id], 256, "%.*s", (int)rec->text_len, rec->text);
		seen->module_base[rec->module->id] = rec->module->base;
	}
	if (rec->type != PINW_REC_SITE || rec->site->id != seen->id)
		return;
	seen->records++;
	seen->frames = rec->site->frames;
	memcpy(seen->frame, rec->frames, seen->frames * sizeof(seen->frame[0]));
}

Test(site, is_recorded_once_as_modules_and_offsets)
{
	struct site_seen seen = {0};
	struct pinw_rig_seen all;
	struct asked a;
	const struct pinw_rec_frame *frames;
	uint16_t flags;

	for (unsigned i = 0; i < 5; i++)
		host_right(ask, &a);
	seen.id = a.id;
	pinw_rig_read(see_site, NULL, &seen, &all);
	cr_assert_eq(seen.records, 1);
	cr_expect_eq(seen.frames, frames_of(a.id, &frames, &flags));
	for (unsigned i = 0; i < seen.frames; i++) {
		uint32_t module = seen.frame[i].module;

		cr_assert(module >= 1 && module < 8, "frame %u is in no module", i);
		cr_expect_eq(seen.module_base[module] + offset_of(&seen.frame[i]), pc_of(&frames[i]));
	}
	cr_expect(strstr(seen.module_path[seen.frame[0].module], "/libhost.so"), "the call site comes first");
}

Test(site, names_the_main_program_by_its_full_path)
{
	uint64_t offset;
	uint32_t id = pinw_module_of((uintptr_t)setup + 1, &offset);

	cr_assert_gt(id, 0);
	cr_expect_str_eq(pinw_module_path(id), program_path);
	cr_expect_null(pinw_module_path(0));
	cr_expect_null(pinw_module_path(1000));
}

/* Code that a program makes at run time is in no module; its address is all there is. */
Test(site, shows_generated_code_by_its_address)
{
	static const unsigned char code[] = {
	    0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8,
	    0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3}; /* push rbp; mov rsp,rbp; call fn(arg) */
	unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct asked a;
	const struct pinw_rec_frame *frames;
	uint16_t flags;
	uint64_t offset;

	cr_assert_neq(page, MAP_FAILED);
	memcpy(page, code, sizeof(code));
	cr_assert_eq(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
	((int (*)(host_fn *, void *))(uintptr_t)page)(ask, &a);
	frames_of(a.id, &frames, &flags);
	cr_expect_eq(frames[0].module, 0);
	cr_expect_eq(offset_of(&frames[0]), (uintptr_t)page + 12);
	cr_expect(flags & PINW_SITE_FP);
	cr_expect_eq(pinw_module_of((uintptr_t)page + 12, &offset), 0);
	cr_expect_eq(offset, (uintptr_t)page + 12);
}

/* ---- fork ----------------------------------------------------------------------------------------- */

/* Runs `body` in a fork child that records; returns its exit status. */
static int in_child(int (*body)(void))
{
	int status = -1;
	pid_t pid = fork(); /* pthread_atfork was called by pinw_construct */

	cr_assert_geq(pid, 0);
	if (pid == 0)
		_exit(body());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + status;
}

static int ask_as_before(void)
{
	struct asked a, b;

	if (pinw_shim.status != PINW_STATUS_ON || counters()->sites)
		return 1;
	for (unsigned i = 0; i < 2; i++)
		host_left(ask, i ? &b : &a);
	/* The parent's site, recorded anew in the child's trace, and remembered. */
	return a.id == known_id && b.id == known_id && counters()->sites == 1 && b.unwinds == 0 ? 0 : 2;
}

Test(site, is_recorded_again_in_a_fork_child)
{
	struct asked a;

	host_left(ask, &a);
	host_left(ask, &a);
	known_id = a.id;
	cr_expect_eq(in_child(ask_as_before), 0);
	cr_expect_eq(counters()->sites, 1);
}

static bool stop_walking;

/* Walks without end, most of the time inside the unwinder: nobody told where this thread's stack ends. */
static void *walk_for_ever(void *arg)
{
	struct asked a;

	pinw_enter();
	while (!__atomic_load_n(&stop_walking, __ATOMIC_RELAXED))
		host_recurse(20, ask, &a);
	return arg;
}

static int ask_in_time(void)
{
	struct asked a;

	alarm(20); /* a child that waits for a thread it does not have is killed by this */
	host_without_cfi(ask, &a); /* a stack that frame pointers can walk as well */
	return a.id ? 0 : 2;
}

/* Wherever the other threads were when the process was copied, the child waits for none of them. */
Test(site, waits_in_a_child_for_no_thread_that_is_not_there)
{
	struct pinw_counters *c = &pinw_shim.live->counters;
	pthread_t threads[3];

	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, walk_for_ever, NULL), 0);
	while (__atomic_load_n(&c->unwinds, __ATOMIC_RELAXED) < 10)
		usleep(1000);
	for (unsigned i = 0; i < 60; i++)
		cr_assert_eq(in_child(ask_in_time), 0, "child %u", i);
	__atomic_store_n(&stop_walking, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
}

/* ---- sealed ------------------------------------------------------------------------------------------ */

Test(site, goes_by_frame_pointers_once_the_target_sealed_itself)
{
	struct asked a, again;
	host_right(ask, &a); /* memory is there: none is asked for any more */
	uint64_t before = counters()->unwinds_fp_only;
	pinw_shim.sealed = true;
	for (unsigned i = 0; i < 2; i++)
		host_left(ask, i ? &again : &a);
	cr_expect_gt(a.id, 0);
	cr_expect_eq(again.id, a.id);
	cr_expect_geq(counters()->unwinds_fp_only, before + 1);
	pinw_shim.sealed = false;
}
