/* SPDX-License-Identifier: MIT
 *
 * Compares the runtime's code with what it must be, and puts jumps into it. A port replaces this file and
 * hook_x86_64.S.
 *
 * A jump goes to a stub on a page of ours within reach of its 32 bits: the stub calls pinw_go_enter_* with the number of the
 * patch, runs the instructions that the jump displaced, and jumps back behind them. No other code jumps into their middle:
 * they are one instruction (unlocks), or the start of a function, to which its stack check jumps back at most.
 */
#include <emmintrin.h>
#include <string.h>
#include <sys/mman.h>

#include "preload/arch.h"
#include "preload/enforce.h"
#include "preload/go/go.h"
#include "preload/trace.h"

#define JUMP_BYTES 5u
#define STORE_BYTES 11u
#define STUB_BYTES 64u
#define REACH (UINT64_C(3) << 29) /* 1.5 GB */
#define STUBS_STEP (UINT64_C(8) << 20)
#define STUBS_NEAREST (UINT64_C(1) << 30) /* leaves the C heap, which follows the program, its room */
#define MAP_FIXED_NOREPLACE_ 0x100000 /* Linux 4.17; before, the address is a wish */
#define FIELD_MAX 4096u /* g and m are smaller */
#define LOCK_CODE 128u
#define LOOK_AHEAD 32u
#define LOOK_BACK 35u /* bytes before the second of the stores in which m.lockedExt is looked at */
#define PAGE UINT64_C(4096)

struct pinw_go_state pinw_go;

/* One place as it will be patched. */
struct place {
	enum pinw_go_patch_kind kind;
	const unsigned char *at;
	unsigned displaced; /* bytes */
	unsigned
	    branch; /* offset of a 32-bit relative jump's 6 bytes among them (0f 8x rel32), 0 none; it is run first */
};

/* What is to become of a runtime. */
static struct plan {
	struct pinw_go_runtime *runtime;
	bool counts; /* its locks, and not the end of the process alone */
	uint32_t count;
	uint32_t copies; /* of LockOSThread, which are not patched */
	uint32_t left_alone; /* places for which there was no room */
	struct place places[PINW_GO_PLACES_MAX];
	unsigned char *stubs;
	size_t stub_bytes; /* whole pages */
} plan; /* one runtime at a time */

/* ---- what must be there ------------------------------------------------------------------- */

static uint32_t get32(const unsigned char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static bool has(const unsigned char *at, const char *bytes, size_t len)
{
	return memcmp(at, bytes, len) == 0;
}

#define HAS(at, bytes) has(at, bytes, sizeof(bytes) - 1)

/* mov 0x30(%r14),%rcx; incl EXT(%rcx); mov 0x30(%r14),%rcx; cmpl $0,EXT(%rcx) */
static bool is_count(const unsigned char *at, struct pinw_go_layout *ret)
{
	if (!HAS(at, "\x49\x8b\x4e\x30\xff\x81") || !HAS(at + 10, "\x49\x8b\x4e\x30\x83\xb9") ||
	    get32(at + 16) != get32(at + 6) || at[20] != 0)
		return false;
	ret->m_locked_ext = get32(at + 6);
	return true;
}

/* mov %rcx,LOCKEDG(%rax); mov 0x30(%r14),%rax; mov %rax,LOCKEDM(%r14) */
static bool is_wiring(const unsigned char *at, struct pinw_go_layout *ret)
{
	if (!HAS(at, "\x48\x89\x88") || !HAS(at + 7, "\x49\x8b\x46\x30\x49\x89\x86"))
		return false;
	ret->m_locked_g = get32(at + 3);
	ret->g_locked_m = get32(at + 14);
	return true;
}

static bool is_field(uint32_t offset, uint32_t align)
{
	return offset > 0 && offset < FIELD_MAX && offset % align == 0;
}

/* Reads the places of the fields from LockOSThread itself. */
static bool read_layout(const unsigned char *lock, struct pinw_go_layout *ret)
{
	bool counts = false, wires = false;

	if (lock + LOCK_CODE > plan.runtime->etext)
		return false;
	for (unsigned i = 0; i + 21 <= LOCK_CODE; i++) {
		counts = counts || is_count(lock + i, ret);
		wires = wires || (counts && is_wiring(lock + i, ret));
	}
	return counts && wires && is_field(ret->m_locked_ext, 4) && is_field(ret->m_locked_g, 8) &&
	       is_field(ret->g_locked_m, 8);
}

/* The entry of LockOSThread: until Go 1.20, and from 1.21 on. The goroutine's number has its place accordingly. */
static bool is_lock_entry(struct place *p)
{
	struct pinw_go_layout *layout = &plan.runtime->layout;

	if (!read_layout(p->at, layout))
		return false;
	layout->g_goid = 0x98;
	if (HAS(p->at, "\x48\x83\xec\x18\x48\x89\x6c\x24\x10"))
		p->displaced = 9;
	else if (HAS(p->at, "\x55\x48\x89\xe5\x48\x83\xec\x10")) {
		p->displaced = 8;
		layout->g_goid = layout->g_locked_m - 0x38;
	} else
		return false;
	return true;
}

/* cmp 0x10(%r14),%rsp; jbe */
static bool is_mexit_entry(struct place *p)
{
	p->displaced = 10;
	p->branch = 4;
	return HAS(p->at, "\x49\x3b\x66\x10\x0f\x86");
}

/* mov 8(%rsp),%edi; mov $231,%eax; syscall */
static bool is_exit_entry(struct place *p)
{
	p->displaced = 9;
	return HAS(p->at, "\x8b\x7c\x24\x08\xb8\xe7\x00\x00\x00\x0f\x05");
}

/* mov %rsi,%r10; mov %rdi,%rdx; mov %rcx,%rsi; mov %rbx,%rdi; syscall; cmp $-4095,%rax */
bool pinw_go_is_syscall(const unsigned char *entry)
{
	return HAS(entry, "\x49\x89\xf2\x48\x89\xfa\x48\x89\xce\x48\x89\xdf\x0f\x05\x48\x3d\x01\xf0\xff\xff");
}

/* mov argc(%rip),%rdi; mov argv(%rip),%rsi; jmp runtime.rt0_go */
bool pinw_go_is_first(const unsigned char *code)
{
	return HAS(code, "\x48\x8b\x3d") && HAS(code + 7, "\x48\x8b\x35") && code[14] == 0xe9;
}

/* The end of an unlock, at the second of its stores: movq $0,LOCKEDG(reg); movq $0,LOCKEDM(%r14), with a look at
 * m.lockedExt just before. */
static bool is_unlock(const unsigned char *at)
{
	const struct pinw_go_layout *layout = &plan.runtime->layout;
	const unsigned char *first = at - 11;

	if ((first[0] != 0x48 && first[0] != 0x49) || first[1] != 0xc7 || (first[2] & 0xf8) != 0x80 ||
	    get32(first + 3) != layout->m_locked_g || get32(first + 7) != 0)
		return false;
	for (unsigned back = 5; back <= LOOK_BACK - STORE_BYTES; back++)
		if (get32(first - back) == layout->m_locked_ext)
			return true;
	return false;
}

/* ---- stubs ---------------------------------------------------------------------------------- */

static unsigned char *map_at(uint64_t wish, size_t bytes)
{
	long p = pinw_sys6(SYS_mmap, (long)wish, (long)bytes, PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE_, -1, 0);

	if (p < 0 && p > -4096)
		return NULL;
	if ((uint64_t)p == wish)
		return (unsigned char *)p;
	pinw_sys2(SYS_munmap, p, bytes);
	return NULL;
}

/* Pages that every jump in the text can reach, and that can reach the text. */
static bool map_stubs(void)
{
	uint64_t text = (uintptr_t)plan.runtime->text & ~(PAGE - 1);
	uint64_t size = (uint64_t)(plan.runtime->etext - plan.runtime->text);
	size_t bytes = ((size_t)plan.count * STUB_BYTES + PAGE - 1) & ~(size_t)(PAGE - 1);

	plan.stubs = NULL;
	plan.stub_bytes = bytes;
	for (uint64_t far = STUBS_NEAREST; far + size + bytes < REACH && !plan.stubs; far += STUBS_STEP) {
		plan.stubs = map_at(text + far, bytes);
		if (!plan.stubs && text > far + (UINT64_C(16) << 20))
			plan.stubs = map_at(text - far, bytes);
	}
	for (uint64_t far = size + STUBS_STEP; far < STUBS_NEAREST && !plan.stubs; far += STUBS_STEP)
		plan.stubs = map_at(text + far, bytes);
	return plan.stubs != NULL;
}

static unsigned char *put(unsigned char *to, const void *bytes, size_t len)
{
	memcpy(to, bytes, len);
	return to + len;
}

/* A jump or call's 32 bits. */
static unsigned char *put_relative(unsigned char *to, const unsigned char *target)
{
	int32_t distance = (int32_t)(target - (to + 4));

	return put(to, &distance, 4);
}

/* Six bytes: the branch as it is, towards the same target. */
static unsigned char *put_branch(unsigned char *to, const unsigned char *branch)
{
	return put_relative(put(to, branch, 2), branch + 6 + (int32_t)get32(branch + 2));
}

static const char *entry_of(enum pinw_go_patch_kind kind)
{
	return kind == PINW_GO_LOCK || kind == PINW_GO_EXIT ? pinw_go_enter_function
	       : kind == PINW_GO_SYSCALL                    ? pinw_go_enter_syscall
	                                                    : pinw_go_enter_anywhere;
}

/* push $number; call *target; lea 8(%rsp),%rsp, with the displaced code before or after it; jmp back. Before all that, for
 * system calls: cmp $203,%rax; jne to the displaced code (16 bytes on). */
static unsigned char *make_stub(unsigned char *stub, const struct place *p, uint32_t number)
{
	unsigned char *to = stub;
	uint64_t target = (uintptr_t)entry_of(p->kind);

	if (p->kind == PINW_GO_SYSCALL)
		to = put(to, "\x48\x3d\xcb\x00\x00\x00\x75\x10", 8);

	if (p->branch)
		to = put_branch(put(to, p->at, p->branch), p->at + p->branch);
	to = put(put(to, "\x68", 1), &number, 4);
	to = put(to, "\xff\x15", 2);
	to = put_relative(to, stub + STUB_BYTES - 8);
	to = put(to, "\x48\x8d\x64\x24\x08", 5);
	if (!p->branch)
		to = put(to, p->at, p->displaced);
	put_relative(put(to, "\xe9", 1), p->at + p->displaced);
	put(stub + STUB_BYTES - 8, &target, 8);
	return stub;
}

/* ---- patches --------------------------------------------------------------------------------- */

static bool add_place(struct place place)
{
	if (plan.count == PINW_GO_PLACES_MAX)
		return false;
	plan.places[plan.count++] = place;
	return true;
}

static bool is_store(const unsigned char *at)
{
	return HAS(at, "\x49\xc7\x86") && get32(at + 3) == plan.runtime->layout.g_locked_m &&
	       get32(at + 7) == 0;
}

/* Instructions by three of their bytes, and the rest. */
struct sign {
	uint8_t offset[3];
	uint8_t byte[3];
	unsigned reads; /* bytes that `is` looks at */
	bool (*is)(const unsigned char *at);
};

static __m128i compare(const unsigned char *at, const struct sign *s, unsigned i)
{
	return _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(at + s->offset[i])),
	                      _mm_set1_epi8((char)s->byte[i]));
}

/* The next instruction of that kind from `at` on. The text may be megabytes, and the program waits: sixteen places are compared at
 * once. */
static const unsigned char *next_of(const struct sign *s, const unsigned char *at, const unsigned char *end)
{
	for (; at + 16 + s->reads <= end; at += 16) {
		__m128i here = _mm_and_si128(compare(at, s, 0), compare(at, s, 1));

		here = _mm_and_si128(here, compare(at, s, 2));
		for (unsigned hits = (unsigned)_mm_movemask_epi8(here); hits; hits &= hits - 1)
			if (s->is(at + __builtin_ctz(hits)))
				return at + __builtin_ctz(hits);
	}
	for (; at + s->reads <= end; at++)
		if (s->is(at))
			return at;
	return NULL;
}

/* incl EXT(reg), and soon a look at what came of it: LockOSThread, wherever it is. */
static bool is_copy(const unsigned char *at)
{
	uint32_t ext = plan.runtime->layout.m_locked_ext;

	if (at[0] != 0xff || (at[1] & 0xf8) != 0x80 || get32(at + 2) != ext)
		return false;
	for (unsigned i = 6; i + 4 <= LOOK_AHEAD; i++)
		if (get32(at + i) == ext)
			return true;
	return false;
}

static void find_unlocks(const unsigned char *start, const unsigned char *end)
{
	static const struct sign stores = {{0, 1, 2}, {0x49, 0xc7, 0x86}, STORE_BYTES, is_store};
	const unsigned char *first = plan.runtime->text + LOOK_BACK, *at = start < first ? first : start;

	for (; (at = next_of(&stores, at, end)); at += STORE_BYTES)
		if (is_unlock(at) && !add_place((struct place){PINW_GO_UNLOCK, at, STORE_BYTES, 0}))
			plan.left_alone++;
}

/* Copies of LockOSThread in its callers: a profile (PGO) can make the compiler inline it here and there. */
static void count_copies(const unsigned char *start, const unsigned char *end)
{
	uint32_t ext = plan.runtime->layout.m_locked_ext;
	const struct sign increments = {
	    {0, 2, 3}, {0xff, (uint8_t)ext, (uint8_t)(ext >> 8)}, LOOK_AHEAD, is_copy};
	const unsigned char *lock = plan.runtime->lock;

	for (const unsigned char *at = start; (at = next_of(&increments, at, end)); at++)
		if (at < lock || at >= lock + LOCK_CODE)
			plan.copies++;
}

/* Collects what is to be patched; makes the notes about what is not. */
static void find_places(void)
{
	const struct pinw_go_runtime *r = plan.runtime;
	struct place lock = {.kind = PINW_GO_LOCK, .at = r->lock};
	struct place mexit = {.kind = PINW_GO_MEXIT, .at = r->mexit};
	struct place leave = {.kind = PINW_GO_EXIT, .at = r->exit};
	struct place raw = {.kind = PINW_GO_SYSCALL, .at = r->syscall, .displaced = 6};

	if (leave.at && is_exit_entry(&leave))
		add_place(leave);
	else
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_GO_EXIT, 0);
	if (raw.at)
		add_place(raw);
	else
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_GO_RAW, 0);
	if (!lock.at) { /* it is not linked, and there will be none, or it is inlined everywhere */
		plan.counts = !r->inlined;
		return;
	}
	if (!is_lock_entry(&lock)) {
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_GO_UNKNOWN, 0);
		return;
	}
	uint32_t before = plan.count;
	pinw_go_each_stretch(r, find_unlocks);
	if (plan.count == before || plan.left_alone || !add_place(lock)) {
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_GO_UNLOCKS,
		                plan.count == before ? 0 : plan.left_alone + 1);
		plan.count = before;
		return;
	}
	plan.counts = true;
	pinw_go_each_stretch(r, count_copies);
	if (plan.copies) {
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_GO_COPIES, plan.copies);
		pinw_enforce_golocks_unseen();
	}
	if (!mexit.at || !is_mexit_entry(&mexit) || !add_place(mexit))
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_GO_MEXIT, 0);
}

/* The pages of a place, which may be two: the rest of the text stays the file's, shared by all who run it. */
static long protect(const struct place *p, int protection)
{
	uintptr_t start = (uintptr_t)p->at & ~(PAGE - 1);
	uintptr_t end = ((uintptr_t)p->at + p->displaced + PAGE - 1) & ~(PAGE - 1);

	return pinw_sys3(SYS_mprotect, start, end - start, protection);
}

/* Small functions have no frame, and are in no chain of frame pointers. */
static bool is_frameless(const struct pinw_go_runtime *runtime, const unsigned char *at)
{
	uint64_t i, address = (uintptr_t)at;

	return pinw_pclntab_find(&runtime->table, address, &i) &&
	       pinw_pclntab_depth(&runtime->table, i, address - pinw_pclntab_entry(&runtime->table, i)) == 0;
}

/* The first `count` places as the linker left them. */
static void protect_again(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		protect(&plan.places[i], PROT_READ | PROT_EXEC);
}

/* All of them or none. Executable all the while: were that refused afterwards, nothing could run. */
static long make_writable(void)
{
	for (uint32_t i = 0; i < plan.count; i++) {
		long r = protect(&plan.places[i], PROT_READ | PROT_WRITE | PROT_EXEC);

		if (r < 0) {
			protect_again(i);
			return r;
		}
	}
	return 0;
}

static unsigned char *stub_of(uint32_t i)
{
	return plan.stubs + (size_t)i * STUB_BYTES;
}

static void prepare_jump(uint32_t i)
{
	const struct place *p = &plan.places[i];
	uint32_t number = pinw_go.patch_count++;

	pinw_go.patches[number] = (struct pinw_go_patch){.kind = p->kind,
	                                                 .frameless = is_frameless(plan.runtime, p->at),
	                                                 .address = (uintptr_t)p->at,
	                                                 .next = (uintptr_t)p->at + p->displaced,
	                                                 .runtime = plan.runtime};
	make_stub(stub_of(i), p, number);
}

static void write_jump(uint32_t i)
{
	const struct place *p = &plan.places[i];
	unsigned char jump[16] = {0xe9};

	int32_t distance = (int32_t)(stub_of(i) - (p->at + JUMP_BYTES));
	put(jump + 1, &distance, 4);
	memset(jump + JUMP_BYTES, 0xcc, p->displaced - JUMP_BYTES); /* int3 */
	memcpy((unsigned char *)(uintptr_t)p->at, jump, p->displaced);
}

/* Returns 0, or the note about what is in the way, with what the kernel said in *ret_errno. */
static int write_jumps(uint32_t *ret_errno)
{
	*ret_errno = 0;
	if (plan.count > PINW_GO_PATCHES_MAX - pinw_go.patch_count)
		return PINW_NOTE_GO_UNLOCKS;
	if (!map_stubs())
		return PINW_NOTE_GO_MEMORY;
	uint32_t before = pinw_go.patch_count;
	for (uint32_t i = 0; i < plan.count; i++)
		prepare_jump(i);
	long r = pinw_sys3(SYS_mprotect, plan.stubs, plan.stub_bytes, PROT_READ | PROT_EXEC);
	if (r == 0)
		r = make_writable();
	if (r < 0) {
		pinw_go.patch_count = before;
		pinw_sys2(SYS_munmap, plan.stubs, plan.stub_bytes);
		*ret_errno = (uint32_t)-r;
		return PINW_NOTE_GO_MEMORY;
	}
	for (uint32_t i = 0; i < plan.count; i++)
		write_jump(i);
	protect_again(plan.count);
	return 0;
}

void pinw_go_patch(struct pinw_go_runtime *runtime)
{
	uint32_t error;

	plan.runtime = runtime;
	plan.counts = false;
	plan.count = 0;
	plan.left_alone = 0;
	plan.copies = 0;
	find_places();
	if (!plan.count)
		return;
	int note = write_jumps(&error);
	if (note) {
		pinw_trace_note(pinw_tls.seq, (uint32_t)note, error);
		return;
	}
	if (plan.counts)
		__atomic_fetch_add(&pinw_go.covered, plan.count, __ATOMIC_RELAXED);
	__atomic_store_n(&pinw_go.on, true, __ATOMIC_RELEASE);
}
