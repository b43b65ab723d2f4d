/* SPDX-License-Identifier: MIT
 *
 * Which stack this is: the memo, what is recorded of a site, and what a fork child and a sealed target make of it.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/module.h"
#include "tests/site_rig.h"

TestSuite(site, .init = make_hosts, .fini = pinw_rig_done);

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
	uint32_t id = pinw_module_of((uintptr_t)make_hosts + 1, &offset);

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
