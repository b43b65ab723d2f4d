/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "preload/site.h"
#include "preload/unwind.h"
#include "tests/rig.h"

typedef int host_fn(void *arg);
typedef int host_entry(host_fn *fn, void *arg);

static struct pinw_walk walk;
static uintptr_t word_at[PINW_FRAMES_MAX]; /* what stood where each frame's address is said to come from */

static void setup(void)
{
	pinw_rig_image(NULL);
}

TestSuite(unwind, .init = setup, .fini = pinw_rig_done);

/* ---- walks ---------------------------------------------------------------------------------- */

/* The wrapper: called by the host, walks. `arg` says how: by frame pointers alone, on a stack with known bounds. */
struct how {
	bool fp_only, bounded;
};

static __attribute__((noinline)) int walk_here(void *arg)
{
	struct pinw_where where = PINW_WHERE();
	const struct how *how = arg;

	walk.cfa = where.cfa;
	walk.ra = where.ra;
	walk.stack_hi = how->bounded ? pinw_tls.thread->stack_hi : 0;
	pinw_unwind(&walk, how->fp_only);
	for (unsigned i = 0; i < walk.count; i++)
		word_at[i] = walk.frames[i].at ? *(uintptr_t *)walk.frames[i].at : 0;
	return 0;
}

static struct how full = {.fp_only = false, .bounded = true};
static struct how unbounded = {.fp_only = false, .bounded = false};
static struct how by_pointers = {.fp_only = true, .bounded = true};

static host_entry *entry(const char *library, const char *symbol)
{
	return (host_entry *)pinw_rig_host(library, symbol);
}

/* The exported function that holds a return address. */
static const char *function_at(uintptr_t pc)
{
	Dl_info info;

	return dladdr((void *)(pc - 1), &info) && info.dli_sname ? info.dli_sname : "?";
}

/* Does the walk begin with frames in these functions, innermost first? NULL ends them. */
static void expect_functions(const char *const *names)
{
	for (unsigned i = 0; names[i]; i++) {
		cr_assert_lt(i, walk.count, "no frame for %s", names[i]);
		cr_expect(strstr(function_at(walk.frames[i].pc), names[i]), "frame %u is %s, not %s", i,
		          function_at(walk.frames[i].pc), names[i]);
	}
}

/* Each address was read from the word that is said to hold it, further out with each frame. */
static void expect_places(void)
{
	uintptr_t last = walk.cfa - 16;

	cr_expect_eq(walk.frames[0].at, walk.cfa - 8);
	for (unsigned i = 0; i < walk.count; i++) {
		cr_assert_neq(walk.frames[i].at, 0, "frame %u", i);
		cr_assert_gt(walk.frames[i].at, last, "frame %u", i);
		cr_assert_eq(word_at[i], walk.frames[i].pc, "frame %u", i);
		last = walk.frames[i].at;
	}
}

/* The outermost frame of the main thread. */
static bool reaches_the_start(void)
{
	for (unsigned i = 0; i < walk.count; i++)
		if (strcmp(function_at(walk.frames[i].pc), "__libc_start_main") == 0)
			return true;
	return false;
}

/* ---- frames of every kind ---------------------------------------------------------------------- */

Test(unwind, passes_frames_without_frame_pointers)
{
	static const char *const names[] = {"host_call", "host_left", NULL};

	entry("libhost", "host_left")(walk_here, &full);
	expect_functions(names);
	expect_places();
	cr_expect(reaches_the_start());
	cr_expect_eq(walk.flags, 0, "neither cut nor guessed");
}

/* rbp holds any number there, and the frames have cleanups. */
Test(unwind, passes_cxx_frames_that_use_rbp_for_themselves)
{
	static const char *const names[] = {"inner", "outer", "host_cxx", NULL};

	cr_assert_eq(entry("libhost_cxx", "host_cxx")(walk_here, &full), 4);
	expect_functions(names);
	expect_places();
	cr_expect(reaches_the_start());
	cr_expect_eq(walk.flags, 0);
}

Test(unwind, passes_frames_of_variable_size)
{
	static const char *const names[] = {"host_call", "host_left", "host_alloca_deep", NULL};
	int (*deep)(size_t, host_fn *, void *) = pinw_rig_host("libhost", "host_alloca_deep");

	for (size_t bytes = 1; bytes < 100000; bytes = bytes * 3 + 1) {
		deep(bytes, walk_here, &full);
		expect_functions(names);
		expect_places();
		cr_expect(reaches_the_start());
		cr_expect_eq(walk.flags, 0);
	}
}

Test(unwind, needs_no_bounds_of_the_stack)
{
	static const char *const names[] = {"host_call", "host_left", NULL};

	entry("libhost", "host_left")(walk_here, &full);
	unsigned count = walk.count;
	entry("libhost", "host_left")(walk_here, &unbounded);
	expect_functions(names);
	cr_expect_eq(walk.count, count);
	cr_expect(reaches_the_start());
}

/* Where unwind information ends frame pointers go on, and where it begins again it is used again. */
Test(unwind, bridges_code_without_unwind_information)
{
	static const char *const names[] = {"host_without_cfi", "host_around_no_cfi", NULL};

	entry("libhost", "host_around_no_cfi")(walk_here, &full);
	expect_functions(names);
	expect_places();
	cr_expect(walk.flags & PINW_SITE_FP);
	cr_expect_not(walk.flags & PINW_SITE_TRUNCATED);
	cr_expect(reaches_the_start());
}

/* The bridge ends on code without a frame pointer of its own, deeper in: CFI goes on from there. */
static int call_left(void *arg)
{
	return entry("libhost", "host_left")(walk_here, arg);
}

Test(unwind, goes_on_from_a_bridge_in_the_middle)
{
	static const char *const names[] = {"host_call", "host_left", "host_without_cfi",
	                                    "host_around_no_cfi", NULL};

	entry("libhost", "host_around_no_cfi")(call_left, &full);
	expect_functions(names);
	cr_expect(reaches_the_start());
}

Test(unwind, marks_a_stack_that_nothing_leads_out_of)
{
	static const char *const names[] = {"host_lost", NULL};

	entry("libhost", "host_around_lost")(walk_here, &full);
	expect_functions(names);
	cr_expect_eq(walk.count, 1);
	cr_expect(walk.flags & PINW_SITE_TRUNCATED);
}

Test(unwind, cuts_at_64_frames)
{
	int (*recurse)(unsigned, host_fn *, void *) = pinw_rig_host("libhost", "host_recurse");

	recurse(1000, walk_here, &full);
	cr_expect_eq(walk.count, PINW_FRAMES_MAX);
	cr_expect(walk.flags & PINW_SITE_TRUNCATED);
	expect_places();
}

/* ---- signals ------------------------------------------------------------------------------------ */

static host_entry *host_right; /* found before a handler needs it */

static void handle(int number)
{
	(void)number;
	host_right(walk_here, &full);
}

static int raise_signal(void *arg)
{
	(void)arg;
	return raise(SIGUSR1);
}

Test(unwind, stops_where_a_signal_came)
{
	static const char *const names[] = {"host_call", "host_right", NULL};

	host_right = entry("libhost", "host_right");
	signal(SIGUSR1, handle);
	entry("libhost", "host_left")(raise_signal, NULL);
	expect_functions(names);
	cr_expect(walk.flags & PINW_SITE_SIGNAL);
	for (unsigned i = 0; i < walk.count; i++)
		cr_expect_str_neq(function_at(walk.frames[i].pc), "host_left");
}

static sigjmp_buf out_of_fault;

/* A wild jump: the stack's innermost address is nonsense, in a handler or out of it. */
static void handle_fault(int number)
{
	(void)number;
	host_right(walk_here, &full);
	siglongjmp(out_of_fault, 1);
}

Test(unwind, walks_in_the_handler_of_a_wild_call)
{
	struct sigaction action = {.sa_handler = handle_fault};
	void (*volatile nowhere)(void) = (void (*)(void))16;

	host_right = entry("libhost", "host_right");
	cr_assert_eq(sigaction(SIGSEGV, &action, NULL), 0);
	if (!sigsetjmp(out_of_fault, 1))
		nowhere();
	cr_expect(walk.flags & PINW_SITE_SIGNAL);
	cr_expect_geq(walk.count, 2);
}

/* ---- by frame pointers alone ---------------------------------------------------------------------- */

Test(unwind, walks_by_frame_pointers_without_the_library)
{
	uint64_t before = pinw_shim.live->counters.unwinds_fp_only;

	entry("libhost", "host_without_cfi")(walk_here, &by_pointers);
	cr_expect_geq(walk.count, 1);
	cr_expect_str_eq(function_at(walk.frames[0].pc), "host_without_cfi");
	cr_expect_eq(pinw_shim.live->counters.unwinds_fp_only, before + 1);
	entry("libhost_cxx", "host_cxx")(walk_here, &by_pointers);
	cr_expect(walk.flags & PINW_SITE_TRUNCATED, "rbp led nowhere");
	pinw_unwind_poison();
	entry("libhost", "host_left")(walk_here, &full);
	cr_expect_eq(pinw_shim.live->counters.unwinds_fp_only, before + 3);
}

/* A stack of the test's making: words[0], [1] are the wrapper's own frame, the rest what its pointer may lead to. */
static uintptr_t words[256];

static void walk_words(uintptr_t first_pointer)
{
	memset(&walk, 0, sizeof(walk));
	words[0] = first_pointer;
	words[1] = (uintptr_t)strlen + 1;
	walk.cfa = (uintptr_t)&words[2];
	walk.ra = words[1];
	walk.stack_hi = (uintptr_t)&words[256];
	pinw_unwind(&walk, true);
}

static void put_frame(unsigned at, uintptr_t next, uintptr_t pc)
{
	words[at] = next;
	words[at + 1] = pc;
}

static uintptr_t here(unsigned at)
{
	return (uintptr_t)&words[at];
}

Test(unwind, follows_a_chain_to_its_zero)
{
	put_frame(10, here(20), (uintptr_t)strlen + 5);
	put_frame(20, here(30), (uintptr_t)strlen + 6);
	put_frame(30, 0, (uintptr_t)strlen + 7);
	walk_words(here(10));
	cr_expect_eq(walk.count, 4);
	cr_expect_eq(walk.frames[3].pc, (uintptr_t)strlen + 7);
	cr_expect_eq(walk.frames[3].at, here(31));
	cr_expect_eq(walk.flags, PINW_SITE_FP);
	walk_words(0);
	cr_expect_eq(walk.count, 1);
	cr_expect_eq(walk.flags, 0, "nothing was left out");
}

Test(unwind, ends_a_chain_that_is_none)
{
	unsigned char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(page, MAP_FAILED);
	cr_assert_eq(munmap(page + 4096, 4096), 0);
	const struct {
		uintptr_t pointer;
		const char *what;
	} cases[] = {
	    {1, "a small number"},
	    {here(10) + 4, "not aligned"},
	    {8, "the first page"},
	    {(uintptr_t)page + 4096, "not mapped"},
	    {(uintptr_t)page + 4088, "half mapped"},
	    {UINTPTR_MAX & ~7ull, "the end of the address space"},
	    {UINT64_C(0x8000000000000000), "not canonical"},
	    {here(256), "the end of the stack"},
	};

	memset(&words[10], 0, sizeof(words) - 10 * sizeof(words[0]));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		walk_words(cases[i].pointer);
		cr_expect_eq(walk.count, 1, "%s", cases[i].what);
		cr_expect_eq(walk.flags, PINW_SITE_TRUNCATED, "%s", cases[i].what);
	}
}

Test(unwind, ends_a_chain_with_an_address_that_is_none)
{
	static const uintptr_t addresses[] = {0, 1, 65535, UINT64_C(0x800000000000), UINTPTR_MAX};

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		put_frame(10, 0, addresses[i]);
		walk_words(here(10));
		cr_expect_eq(walk.count, 1, "%lx", addresses[i]);
		cr_expect_eq(walk.flags & PINW_SITE_TRUNCATED, PINW_SITE_TRUNCATED, "%lx", addresses[i]);
	}
}

/* Chains that turn back on themselves come to an end, wherever they turn. */
Test(unwind, ends_a_chain_in_a_circle)
{
	static uintptr_t below[8]; /* on another stack, lower or higher than ours */
	uintptr_t own = (uintptr_t)setup + 1;

	put_frame(10, here(10), (uintptr_t)strlen + 5);
	walk_words(here(10));
	cr_expect_eq(walk.count, 2);
	cr_expect(walk.flags & PINW_SITE_TRUNCATED);
	put_frame(20, here(10), (uintptr_t)strlen + 5);
	put_frame(10, here(20), (uintptr_t)strlen + 6);
	walk_words(here(10));
	cr_expect_leq(walk.count, PINW_FRAMES_MAX);
	cr_expect(walk.flags & PINW_SITE_TRUNCATED);
	uintptr_t far[] = {(uintptr_t)strlen + 5, own};
	for (unsigned i = 0; i < 2; i++) {
		below[0] = (uintptr_t)&below[2];
		below[1] = far[i];
		below[2] = (uintptr_t)&below[0];
		below[3] = far[i];
		walk_words((uintptr_t)&below[0]);
		cr_expect_leq(walk.count, PINW_FRAMES_MAX);
		cr_expect(walk.flags & PINW_SITE_TRUNCATED);
	}
}

/* ---- what the host must not notice ------------------------------------------------------------------ */

Test(unwind, keeps_no_descriptor_and_touches_no_errno)
{
	unsigned before = pinw_rig_descriptors();

	errno = 4321;
	for (unsigned i = 0; i < 50; i++)
		entry("libhost_cxx", "host_cxx")(walk_here, &unbounded);
	errno = 4321;
	walk_here(&unbounded);
	cr_expect_eq(errno, 4321);
	cr_expect_eq(pinw_rig_descriptors(), before);
}

/* The walk runs on a stack of its own: a host's smallest one has room for it. */
static char small_stack[16 << 10] __attribute__((aligned(16)));
static ucontext_t outside, inside;

static host_entry *left;

static void walk_on_the_small_stack(void)
{
	left(walk_here, &unbounded);
}

#ifdef __SANITIZE_ADDRESS__
#	define LITTLE 4096u /* its frames are larger */
#else
#	define LITTLE 1536u
#endif

Test(unwind, uses_little_of_the_hosts_stack)
{
	left = entry("libhost", "host_left");
	left(walk_here, &unbounded); /* what is only done once is done */
	memset(small_stack, 0x5a, sizeof(small_stack));
	cr_assert_eq(getcontext(&inside), 0);
	inside.uc_stack.ss_sp = small_stack;
	inside.uc_stack.ss_size = sizeof(small_stack);
	inside.uc_link = &outside;
	makecontext(&inside, walk_on_the_small_stack, 0);
	cr_assert_eq(swapcontext(&outside, &inside), 0);
	size_t untouched = 0;
	while (untouched < sizeof(small_stack) && small_stack[untouched] == 0x5a)
		untouched++;
	cr_expect_geq(untouched, sizeof(small_stack) - LITTLE, "%zu bytes of stack were used",
	              sizeof(small_stack) - untouched);
	cr_expect_geq(walk.count, 2);
}
