/* SPDX-License-Identifier: MIT
 *
 * Everything that depends on the machine: x86-64 Linux. Raw system calls (they
 * touch neither errno nor a lock, and are never cancellation points) and the
 * entry points written in arch_x86_64.S. A port replaces these two files.
 */
#ifndef PINW_ARCH_H
#define PINW_ARCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

/* Returns the kernel's result: >= 0, or -errno. */
static inline long pinw_sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
	                 : "=a"(ret)
	                 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return ret;
}

#define pinw_sys0(nr) pinw_sys6(nr, 0, 0, 0, 0, 0, 0)
#define pinw_sys1(nr, a) pinw_sys6(nr, (long)(a), 0, 0, 0, 0, 0)
#define pinw_sys2(nr, a, b) pinw_sys6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define pinw_sys3(nr, a, b, c) pinw_sys6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define pinw_sys4(nr, a, b, c, d) pinw_sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static inline void pinw_pause(void)
{
	__asm__ volatile("pause");
}

/* Copies bytes as they are, also of other functions' frames, which a sanitized build holds to be out of bounds. */
static inline void pinw_copy_raw(void *to, const void *from, size_t len)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

/* Zeroes bytes likewise: a sanitized program has its own memset, which would hold our locks to be none. */
static inline void pinw_zero_raw(void *to, size_t len)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(0) : "memory");
}

static inline uintptr_t pinw_stack_pointer(void)
{
	uintptr_t sp;

	__asm__ volatile("mov %%rsp, %0" : "=r"(sp));
	return sp;
}

/* The start routine given to the real pthread_create and thrd_create. Calls
 * pinw_thread_begin, the program's routine and pinw_thread_return; its
 * personality routine sees pthread_exit and cancellation pass by. */
void *pinw_trampoline(void *thread);

/* Runs fn(arg) on the stack that ends at `top` (16-byte aligned), with signals
 * as they are. Unwinders walk through it. */
void pinw_on_stack(void (*fn)(void *), void *arg, void *top);

/* The registers that a call preserves, as they are in the caller of pinw_get_registers. */
struct pinw_registers {
	uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip;
};
void pinw_get_registers(struct pinw_registers *ret);

/* The exported syscall(2), clone(2) and vfork(2) entry points. */
long pinw_entry_syscall(long nr, ...);
int pinw_entry_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
int pinw_entry_vfork(void);

#endif
