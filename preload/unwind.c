/* SPDX-License-Identifier: MIT */
#define UNW_LOCAL_ONLY
#include "preload/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libunwind.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "preload/arch.h"
#include "preload/proc.h"
#include "preload/shim.h"

#define STACK_BYTES (256u << 10)
#define OWN_FRAMES_MAX 24u /* frames of ours between the walk and the wrapper's caller */

#define NAME2(x) #x
#define NAME(x) NAME2(x) /* the symbol behind one of libunwind's macros */

static struct {
	bool usable;
	char *stack_top;
	uintptr_t shim_start, shim_end;
	int (*getcontext)(unw_tdep_context_t *);
	int (*init_local)(unw_cursor_t *, unw_context_t *);
	int (*step)(unw_cursor_t *);
	int (*get_reg)(unw_cursor_t *, int, unw_word_t *);
	int (*get_proc_info)(unw_cursor_t *, unw_proc_info_t *);
	int (*is_signal_frame)(unw_cursor_t *);
} unwinder;

/* libunwind opens a pipe on first use, to probe memory, and keeps it. We never let it probe, so the pipe is
 * closed again: the target may close or reuse any descriptor number. Constructor only: nobody else is
 * opening files, so the pipe gets the two lowest free numbers. */
static void warm_up(void)
{
	long low = pinw_sys3(SYS_open, "/", O_PATH | O_CLOEXEC, 0);
	long high = pinw_sys3(SYS_open, "/", O_PATH | O_CLOEXEC, 0);
	unw_proc_info_t info;
	unw_context_t context;
	unw_cursor_t cursor;
	struct stat a, b;

	if (low >= 0)
		pinw_sys1(SYS_close, low);
	if (high >= 0)
		pinw_sys1(SYS_close, high);
	unwinder.getcontext(&context);
	unwinder.init_local(&cursor, &context);
	unwinder.get_proc_info(&cursor, &info);
	if (low >= 0 && high >= 0 && pinw_sys2(SYS_fstat, low, &a) == 0 && pinw_sys2(SYS_fstat, high, &b) == 0 &&
	    S_ISFIFO(a.st_mode) && S_ISFIFO(b.st_mode) && a.st_ino == b.st_ino) {
		pinw_sys1(SYS_close, low);
		pinw_sys1(SYS_close, high);
	}
}

int pinw_unwind_open(void)
{
	struct dl_find_object own;

	if (_dl_find_object(&unwinder, &own) == 0) {
		unwinder.shim_start = (uintptr_t)own.dlfo_map_start;
		unwinder.shim_end = (uintptr_t)own.dlfo_map_end;
	}
	void *lib = dlopen("libunwind.so.8", RTLD_LOCAL | RTLD_NOW);
	if (!lib)
		return -ENOENT;
	*(void **)&unwinder.getcontext = dlsym(lib, NAME(unw_tdep_getcontext));
	*(void **)&unwinder.init_local = dlsym(lib, NAME(unw_init_local));
	*(void **)&unwinder.step = dlsym(lib, NAME(unw_step));
	*(void **)&unwinder.get_reg = dlsym(lib, NAME(unw_get_reg));
	*(void **)&unwinder.get_proc_info = dlsym(lib, NAME(unw_get_proc_info));
	*(void **)&unwinder.is_signal_frame = dlsym(lib, NAME(unw_is_signal_frame));
	if (!unwinder.getcontext || !unwinder.init_local || !unwinder.step || !unwinder.get_reg ||
	    !unwinder.get_proc_info || !unwinder.is_signal_frame)
		return -ENOENT;
	long p = pinw_sys6(SYS_mmap, 0, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p < 0 && p > -4096)
		return -ENOENT;
	unwinder.stack_top = (char *)p + STACK_BYTES;
	warm_up();
	unwinder.usable = true;
	return 0;
}

void pinw_unwind_poison(void)
{
	unwinder.usable = false;
}

/* ---- frames --------------------------------------------------------------------- */

static bool is_own(uintptr_t pc)
{
	return pc >= unwinder.shim_start && pc < unwinder.shim_end;
}

/* Takes a frame unless it is ours. False when the table is full. */
static bool push(struct pinw_walk *walk, uintptr_t pc, uintptr_t at)
{
	if (is_own(pc))
		return true;
	if (walk->count == PINW_FRAMES_MAX) {
		walk->flags |= PINW_SITE_TRUNCATED;
		return false;
	}
	walk->frames[walk->count++] = (struct pinw_frame){.pc = pc, .at = at};
	return true;
}

/* Reads two words. On the known stack directly; elsewhere (coroutines, goroutines, an unknown thread's
 * stack) through the kernel, which fails instead of faulting. */
static bool read_pair(const struct pinw_walk *walk, uintptr_t at, uintptr_t *pair)
{
	if (at & 7)
		return false;
	if (at >= walk->cfa - 16 && walk->stack_hi && at + 16 <= walk->stack_hi) {
		memcpy(pair, (const void *)at, 16);
		return true;
	}
	if (at < 4096 || __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return false;
	return pinw_proc_peek(pair, (const void *)at, 16) == 16;
}

/* Is this address code that unwind information covers? Decided without entering libunwind's fallbacks. */
static bool in_object_with_cfi(uintptr_t pc)
{
	struct dl_find_object found;

	return _dl_find_object((void *)(pc - 1), &found) == 0 && found.dlfo_eh_frame;
}

/* A return address found by frame pointer: code of an object, or (JIT) at least not a small number. */
static bool is_plausible(uintptr_t pc)
{
	return pc >= 65536 && pc < UINT64_C(0x800000000000);
}

/* ---- frame pointers -------------------------------------------------------------- */

/* One step from frame pointer *fp. Returns false at the end of the chain; sets TRUNCATED unless the
 * chain ends in the zero that the ABI asks of the outermost frame. */
static bool step_fp(struct pinw_walk *walk, uintptr_t *fp, uintptr_t *ret_pc, uintptr_t *ret_sp)
{
	uintptr_t pair[2];

	if (*fp == 0)
		return false;
	if (!read_pair(walk, *fp, pair) || !is_plausible(pair[1])) {
		walk->flags |= PINW_SITE_TRUNCATED;
		return false;
	}
	*ret_pc = pair[1];
	*ret_sp = *fp + 16;
	walk->flags |= PINW_SITE_FP;
	if (!push(walk, pair[1], *fp + 8))
		return false;
	/* On one stack the chain only goes up; anything else is garbage unless it changes stacks. */
	if (pair[0] && pair[0] <= *fp && walk->stack_hi && pair[0] >= walk->cfa - 16) {
		walk->flags |= PINW_SITE_TRUNCATED;
		return false;
	}
	*fp = pair[0];
	return true;
}

static void walk_fp(struct pinw_walk *walk)
{
	uintptr_t fp = *(uintptr_t *)(walk->cfa - 16), pc, sp;

	push(walk, walk->ra, walk->cfa - 8);
	while (step_fp(walk, &fp, &pc, &sp))
		;
}

/* ---- CFI, then frame pointers, then CFI again -------------------------------------- */

static bool has_cfi(unw_cursor_t *cursor, uintptr_t pc)
{
	unw_proc_info_t info;

	if (!in_object_with_cfi(pc) || unwinder.get_proc_info(cursor, &info) < 0)
		return false;
	/* libunwind 1.6 answers an address without information with a one-byte procedure. */
	return !(info.format == 0 && info.end_ip == info.start_ip + 1);
}

static uintptr_t reg(unw_cursor_t *cursor, int number)
{
	unw_word_t value = 0;

	unwinder.get_reg(cursor, number, &value);
	return value;
}

/* Steps the cursor from here out to the wrapper's caller. */
static bool find_caller(const struct pinw_walk *walk, unw_cursor_t *cursor)
{
	for (unsigned i = 0; i < OWN_FRAMES_MAX; i++) {
		if (reg(cursor, UNW_REG_SP) == walk->cfa && reg(cursor, UNW_REG_IP) == walk->ra)
			return true;
		if (unwinder.step(cursor) <= 0)
			return false;
	}
	return false;
}

/* Starts a cursor in the middle of nowhere: a frame found by frame pointer. */
static void start_at(unw_cursor_t *cursor, unw_context_t *context, uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
	memset(context, 0, sizeof(*context));
	context->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
	context->uc_mcontext.gregs[REG_RSP] = (greg_t)sp;
	context->uc_mcontext.gregs[REG_RBP] = (greg_t)fp;
	unwinder.init_local(cursor, context);
}

/* Walks by frame pointer from the cursor's frame until CFI can take over again. */
static bool bridge_fp(struct pinw_walk *walk, unw_cursor_t *cursor, unw_context_t *context)
{
	uintptr_t fp = reg(cursor, UNW_X86_64_RBP), pc, sp;

	while (step_fp(walk, &fp, &pc, &sp)) {
		start_at(cursor, context, pc, sp, fp);
		if (has_cfi(cursor, pc))
			return true;
	}
	return false;
}

/* Where a frame's address was read from: the call left it right below the frame's stack pointer. */
static uintptr_t place_of(const struct pinw_walk *walk, uintptr_t pc, uintptr_t sp)
{
	uintptr_t pair[2];

	return read_pair(walk, sp - 16, pair) && pair[1] == pc ? sp - 8 : 0;
}

static void walk_cfi(void *arg)
{
	struct pinw_walk *walk = arg;
	unw_context_t context;
	unw_cursor_t cursor;

	unwinder.getcontext(&context);
	if (unwinder.init_local(&cursor, &context) < 0 || !find_caller(walk, &cursor)) {
		walk_fp(walk);
		return;
	}
	if (!push(walk, walk->ra, walk->cfa - 8))
		return;
	for (;;) {
		uintptr_t pc = reg(&cursor, UNW_REG_IP);

		if (unwinder.is_signal_frame(&cursor) > 0) {
			/* Where a handler interrupted is chance: the handler's own frames are the site. */
			walk->flags |= PINW_SITE_SIGNAL;
			return;
		}
		if (!has_cfi(&cursor, pc)) {
			if (!bridge_fp(walk, &cursor, &context))
				return;
			continue;
		}
		int r = unwinder.step(&cursor);
		if (r < 0)
			walk->flags |= PINW_SITE_TRUNCATED;
		pc = reg(&cursor, UNW_REG_IP);
		if (r <= 0 || pc == 0)
			return;
		if (!push(walk, pc, place_of(walk, pc, reg(&cursor, UNW_REG_SP))))
			return;
	}
}

void pinw_unwind(struct pinw_walk *walk, bool fp_only)
{
	walk->count = 0;
	walk->flags = 0;
	if (fp_only || !unwinder.usable) {
		pinw_count(unwinds_fp_only, 1);
		walk_fp(walk);
		return;
	}
	pinw_on_stack(walk_cfi, walk, unwinder.stack_top);
}
