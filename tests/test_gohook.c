/* SPDX-License-Identifier: MIT
 *
 * Hooks as Go code meets them: from a stub, with something in every register, on a goroutine that is made up.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "preload/go/go.h"
#include "tests/rig.h"

TestSuite(gohook, .fini = pinw_rig_done);

/* What is in the registers. `rdi` to `flags` are where the code below has them. */
struct registers {
	uint64_t rdi, rax, rbx, rcx, rdx, rsi, r8, r9, r10, r11, r12, r13, r14, r15, rbp, flags;
	uint64_t ymm[16][4]; /* 128 */
	uint64_t zmm[16][8]; /* 640: the upper sixteen */
	uint64_t k1; /* 1664 */
};

_Static_assert(offsetof(struct registers, ymm) == 128 && offsetof(struct registers, zmm) == 640 &&
                   offsetof(struct registers, k1) == 1664,
               "as the code below has it");

/* Pushes the number of a patch as a stub does, calls `entry` with these registers, and writes down what it left in them. `vectors`:
 * 1 with AVX, 2 with AVX-512 too. */
void gohook_probe(struct registers *registers, uint64_t patch, const void *entry, uint64_t vectors);

__asm__(".text\n"
        ".type gohook_probe, @function\n"
        "gohook_probe:\n"
        "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "	push %rcx; push %rdi; push %rdx; push %rsi\n"
        "	cmp $1, %rcx; jb 1f\n"
        "	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "	vmovups 128+32*\\n(%rdi), %ymm\\n\n"
        "	.endr\n"
        "	cmp $2, %rcx; jb 1f\n"
        "	.irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "	vmovups 640+64*(\\n-16)(%rdi), %zmm\\n\n"
        "	.endr\n"
        "	kmovq 1664(%rdi), %k1\n"
        "1:	mov 8(%rdi), %rax; mov 16(%rdi), %rbx; mov 24(%rdi), %rcx; mov 32(%rdi), %rdx\n"
        "	mov 40(%rdi), %rsi; mov 48(%rdi), %r8; mov 56(%rdi), %r9; mov 64(%rdi), %r10\n"
        "	mov 72(%rdi), %r11; mov 80(%rdi), %r12; mov 88(%rdi), %r13; mov 96(%rdi), %r14\n"
        "	mov 104(%rdi), %r15; mov 112(%rdi), %rbp\n"
        "	pushq 120(%rdi); popfq\n"
        "	mov (%rdi), %rdi\n"
        "	call *8(%rsp)\n"
        "	push %rdi\n"
        "	pushfq\n"
        "	mov 32(%rsp), %rdi\n" /* flags, rdi, the patch, the entry, the registers, the vectors */
        "	mov %rax, 8(%rdi); mov %rbx, 16(%rdi); mov %rcx, 24(%rdi); mov %rdx, 32(%rdi)\n"
        "	mov %rsi, 40(%rdi); mov %r8, 48(%rdi); mov %r9, 56(%rdi); mov %r10, 64(%rdi)\n"
        "	mov %r11, 72(%rdi); mov %r12, 80(%rdi); mov %r13, 88(%rdi); mov %r14, 96(%rdi)\n"
        "	mov %r15, 104(%rdi); mov %rbp, 112(%rdi)\n"
        "	popq 120(%rdi)\n"
        "	popq (%rdi)\n"
        "	pop %rsi; pop %rdx; pop %rdi; pop %rcx\n"
        "	cmp $1, %rcx; jb 2f\n"
        "	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "	vmovups %ymm\\n, 128+32*\\n(%rdi)\n"
        "	.endr\n"
        "	cmp $2, %rcx; jb 1f\n"
        "	.irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "	vmovups %zmm\\n, 640+64*(\\n-16)(%rdi)\n"
        "	.endr\n"
        "	kmovq %k1, 1664(%rdi)\n"
        "1:	vzeroupper\n"
        "2:	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "	ret\n"
        ".size gohook_probe, . - gohook_probe\n");

/* ---- a goroutine ------------------------------------------------------------------------------- */

#define LOCKED_EXT 0x200u
#define GOID 0x98u
#define FRAMES 10u

static const unsigned char text[4096];
static uint64_t m[128], g[64], g0[64], stack[64];
static struct pinw_go_runtime *runtime;

static uintptr_t pc_at(unsigned i)
{
	return (uintptr_t)text + 100 + i;
}

/* FRAMES frames of four words, the outermost at the stack's end. Their return addresses begin with the one of `first`. */
static void make_stack(unsigned first)
{
	uint64_t *frame = stack;

	for (unsigned i = 0; i < FRAMES; i++, frame += 4) {
		frame[0] = i + 1 < FRAMES ? (uintptr_t)(frame + 4) : 0;
		frame[1] = pc_at(first + i);
	}
}

static void patch(uint32_t number, enum pinw_go_patch_kind kind)
{
	pinw_go.patches[number] = (struct pinw_go_patch){
	    .kind = kind, .address = pc_at(1000), .next = pc_at(1011), .runtime = runtime};
}

static void start(const char *max_size)
{
	const char *const settings[] = {max_size, NULL};

	pinw_rig_image(settings);
	runtime = &pinw_go.runtimes[0];
	*runtime = (struct pinw_go_runtime){.text = text,
	                                    .etext = text + sizeof(text),
	                                    .layout = {.m_locked_ext = LOCKED_EXT, .g_goid = GOID}};
	patch(0, PINW_GO_LOCK);
	patch(1, PINW_GO_UNLOCK);
	pinw_go_enter_init();
	pinw_go_area = pinw_go_area_take();
	cr_assert(pinw_go_area);
	cr_assert(pinw_enter());
	g[PINW_GO_G_STACK_LO / 8] = (uintptr_t)stack;
	g[PINW_GO_G_STACK_HI / 8] = (uintptr_t)(stack + 4 * FRAMES - 2);
	g[PINW_GO_G_M / 8] = (uintptr_t)m;
	m[PINW_GO_M_G0 / 8] = (uintptr_t)g0;
	g[GOID / 8] = 7;
	make_stack(0);
}

/* ---- registers ----------------------------------------------------------------------------------- */

#define FLAGS UINT64_C(0xad5) /* carry, parity, adjust, zero, sign, overflow, and interrupts as they are */
#define FLAGS_SEEN UINT64_C(0x8d5)

static void fill(struct registers *r)
{
	uint64_t *words = (uint64_t *)r;

	for (size_t i = 0; i < sizeof(*r) / 8; i++)
		words[i] = UINT64_C(0x0123456789abcdef) * (i + 1);
	r->r14 = (uintptr_t)g;
	r->rbp = (uintptr_t)stack;
	r->flags = FLAGS | 0x202;
}

static uint64_t vectors(void)
{
	if (__builtin_cpu_supports("avx512bw"))
		return 2;
	return __builtin_cpu_supports("avx") ? 1 : 0;
}

/* An unlock's hook, which must leave all as it was. */
static void unlock(void)
{
	struct registers before, after;

	fill(&before);
	after = before;
	gohook_probe(&after, 1, pinw_go_enter_anywhere, vectors());
	cr_expect_eq(after.flags & FLAGS_SEEN, before.flags & FLAGS_SEEN, "%lx", (unsigned long)after.flags);
	after.flags = before.flags;
	for (size_t i = 0; i < sizeof(before) / 8; i++)
		cr_expect_eq(((uint64_t *)&after)[i], ((uint64_t *)&before)[i],
		             "word %zu of struct registers", i);
}

/* A lock's hook, where the stub's word is the last before the return address of the function. */
static void lock(void)
{
	struct registers r;

	fill(&r);
	gohook_probe(&r, 0, pinw_go_enter_function, vectors());
	cr_expect(r.r14 == (uintptr_t)g && r.rbp == (uintptr_t)stack);
	if (vectors())
		cr_expect(r.ymm[15][0] == 0 && r.ymm[15][1] == 0, "Go's zero");
}

Test(gohook, at_an_unlock_leaves_every_register_as_it_was)
{
	start("PINWARDEN_MAX_SIZE=64M");
	for (unsigned i = 0; i < 3; i++) {
		lock();
		cr_expect_eq(counters()->golocks, i + 1);
		unlock();
		cr_expect_eq(counters()->gounlocks, i + 1);
	}
}

/* What the long way counts stays as it is. */
Test(gohook, of_a_stack_that_came_by_before_is_quick)
{
	struct pinw_rig_seen seen;

	start("PINWARDEN_MAX_SIZE=64M");
	lock();
	unlock();
	uint64_t asked = counters()->unwinds + counters()->memo_hits;
	cr_expect_gt(asked, 0);
	for (unsigned i = 0; i < 5; i++) {
		lock();
		unlock();
	}
	cr_expect_eq(counters()->unwinds + counters()->memo_hits, asked);
	make_stack(1);
	lock();
	cr_expect_gt(counters()->unwinds, asked, "another stack");
	unlock();
	cr_expect(counters()->golocks == 7 && counters()->gounlocks == 7);
	pinw_rig_read(NULL, NULL, NULL, &seen);
	cr_expect_eq(seen.records[PINW_REC_GOLOCK], 14);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
}

/* The same words, but the stack ends before the last of them. */
Test(gohook, does_not_look_beyond_the_stack)
{
	start("PINWARDEN_MAX_SIZE=64M");
	lock();
	unlock();
	uint64_t unwinds = counters()->unwinds;
	g[PINW_GO_G_STACK_HI / 8] -= 64;
	lock();
	cr_expect_eq(counters()->unwinds, unwinds + 1);
	unlock();
	cr_expect_eq(counters()->unwinds, unwinds + 2);
}

Test(gohook, that_comes_while_one_is_on_the_stack_is_counted_as_dropped)
{
	start("PINWARDEN_MAX_SIZE=64M");
	lock();
	pinw_go_area->busy = 1;
	unlock();
	unlock();
	cr_expect(counters()->gounlocks == 0 && counters()->events_dropped == 0);
	pinw_go_area->busy = 0;
	unlock();
	cr_expect(counters()->gounlocks == 1 && counters()->events_dropped == 2);
}

/* The file has no more room: nothing of it is lost silently, and counters stay exact. */
Test(gohook, at_the_bound_drops_and_counts)
{
	start("PINWARDEN_MAX_SIZE=256K");
	for (unsigned i = 0; i < 5000; i++) {
		lock();
		unlock();
	}
	cr_expect(counters()->golocks == 5000 && counters()->gounlocks == 5000);
	cr_expect_gt(counters()->events_dropped, 0);
	cr_expect_geq(counters()->events_written + counters()->events_dropped, 10000);
}
