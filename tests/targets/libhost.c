/* SPDX-License-Identifier: MIT
 *
 * The host of the recorder's unit tests: stacks of every shape around one call back into the test, which
 * plays the shim. Built without frame pointers, as programs are.
 */
#include <alloca.h>
#include <stddef.h>
#include <string.h>

typedef int host_fn(void *arg);

int host_call(host_fn *fn, void *arg);
int host_left(host_fn *fn, void *arg);
int host_right(host_fn *fn, void *arg);
int host_recurse(unsigned depth, host_fn *fn, void *arg);
int host_turns(unsigned turns, unsigned count, host_fn *fn, void *arg);
int host_alloca(size_t bytes, host_fn *fn, void *arg);
int host_alloca_deep(size_t bytes, host_fn *fn, void *arg);
int host_without_cfi(host_fn *fn, void *arg);
int host_around_no_cfi(host_fn *fn, void *arg);
int host_lost(host_fn *fn, void *arg);
int host_around_lost(host_fn *fn, void *arg);
int host_twins(unsigned which, host_fn *fn, void *arg);

#define NOINLINE __attribute__((noinline, noclone))

/* Keeps a call from being the last thing a function does, and functions from being merged. */
#define AFTER(result) __asm__ volatile("# %0" : "+r"(result) : : "memory")

/* The innermost frame of them all. */
NOINLINE int host_call(host_fn *fn, void *arg)
{
	int r = fn(arg);

	AFTER(r);
	return r;
}

NOINLINE int host_left(host_fn *fn, void *arg)
{
	int r = host_call(fn, arg);

	AFTER(r);
	return r + 1;
}

NOINLINE int host_right(host_fn *fn, void *arg)
{
	int r = host_call(fn, arg);

	AFTER(r);
	return r + 2;
}

/* `depth` frames of its own. */
NOINLINE int host_recurse(unsigned depth, host_fn *fn, void *arg)
{
	int r = depth > 1 ? host_recurse(depth - 1, fn, arg) : host_call(fn, arg);

	AFTER(r);
	return r + 1;
}

static int turn_left(unsigned turns, unsigned count, host_fn *fn, void *arg);

static NOINLINE int turn_right(unsigned turns, unsigned count, host_fn *fn, void *arg)
{
	int r = !count      ? host_call(fn, arg)
	        : turns & 1 ? turn_left(turns >> 1, count - 1, fn, arg)
	                    : turn_right(turns >> 1, count - 1, fn, arg);

	AFTER(r);
	return r + 1;
}

static NOINLINE int turn_left(unsigned turns, unsigned count, host_fn *fn, void *arg)
{
	int r = !count      ? host_call(fn, arg)
	        : turns & 1 ? turn_left(turns >> 1, count - 1, fn, arg)
	                    : turn_right(turns >> 1, count - 1, fn, arg);

	AFTER(r);
	return r + 2;
}

/* `count` frames, left or right by the bits of `turns`: 2^count stacks of one depth that end in one call. */
NOINLINE int host_turns(unsigned turns, unsigned count, host_fn *fn, void *arg)
{
	int r = turn_right(turns, count, fn, arg);

	AFTER(r);
	return r + 1;
}

/* A frame of any size, its bytes left as they are. */
NOINLINE int host_alloca(size_t bytes, host_fn *fn, void *arg)
{
	char *room = alloca(bytes);

	__asm__ volatile("# %0" : : "r"(room) : "memory");
	int r = fn(arg);
	__asm__ volatile("# %0" : : "r"(room) : "memory");
	return r + 1;
}

NOINLINE int host_alloca_deep(size_t bytes, host_fn *fn, void *arg)
{
	char *room = alloca(bytes);

	memset(room, 1, bytes);
	__asm__ volatile("# %0" : : "r"(room) : "memory");
	int r = host_left(fn, arg);
	__asm__ volatile("# %0" : : "r"(room) : "memory");
	return r + 1;
}

/* No unwind information, but a frame pointer: as Go, or code made at run time, has it. */
__asm__(".text\n"
        ".globl host_without_cfi\n"
        ".type host_without_cfi, @function\n"
        "host_without_cfi:\n"
        "	push %rbp\n"
        "	mov %rsp, %rbp\n"
        "	mov %rdi, %rax\n"
        "	mov %rsi, %rdi\n"
        "	call *%rax\n"
        "	pop %rbp\n"
        "	ret\n"
        ".size host_without_cfi, . - host_without_cfi\n");

/* The frame pointer that it keeps must be that of a frame: this function has one. */
__attribute__((noinline, noclone, optimize("no-omit-frame-pointer"))) int host_around_no_cfi(host_fn *fn,
                                                                                             void *arg)
{
	int r = host_without_cfi(fn, arg);

	AFTER(r);
	return r + 1;
}

/* Neither unwind information nor a frame pointer: rbp is a number like any other. */
__asm__(".text\n"
        ".globl host_lost\n"
        ".type host_lost, @function\n"
        "host_lost:\n"
        "	push %rbp\n"
        "	mov $0x1234567, %rbp\n"
        "	mov %rdi, %rax\n"
        "	mov %rsi, %rdi\n"
        "	call *%rax\n"
        "	pop %rbp\n"
        "	ret\n"
        ".size host_lost, . - host_lost\n");

NOINLINE int host_around_lost(host_fn *fn, void *arg)
{
	int r = host_lost(fn, arg);

	AFTER(r);
	return r + 1;
}

/* Two stacks of one depth, with the same innermost call and the same outermost ones. The second has less fixed and
 * more variable room, which still holds what the first left on the stack: its return address. */
static NOINLINE int first_twin(host_fn *fn, void *arg)
{
	char room[512];

	__asm__ volatile("# %0" : : "r"(room) : "memory");
	int r = host_alloca(64, fn, arg);
	__asm__ volatile("# %0" : : "r"(room) : "memory");
	return r + 1;
}

static NOINLINE int second_twin(host_fn *fn, void *arg)
{
	char room[256];

	__asm__ volatile("# %0" : : "r"(room) : "memory");
	int r = host_alloca(64 + 256, fn, arg);
	__asm__ volatile("# %0" : : "r"(room) : "memory");
	return r + 2;
}

NOINLINE int host_twins(unsigned which, host_fn *fn, void *arg)
{
	static int (*const twins[])(host_fn *, void *) = {first_twin, second_twin};
	int r = twins[which % 2](fn, arg);

	AFTER(r);
	return r + 1;
}
