/* SPDX-License-Identifier: MIT
 *
 * From a patched place of Go code into pinw_go_hook and back.
 *
 * A stub has pushed the number of its patch and called us. Five words of the goroutine's stack are used: at an entry these
 * are below what its caller's stack check left for functions without a check of their own (StackSmall, 128 bytes, at least),
 * and inside a function likewise. No red zone: Go has none. Signals come on the signal stack of the M.
 *
 * The unwinder is told that nothing is above: C's tables cannot cross into Go.
 */
#include "preload/go/go.h"

	.text

/* Back onto the goroutine's stack. */
	.macro	LEAVE
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	movq	pinw_go_area@GOTTPOFF(%rip), %rax
	movq	%fs:(%rax), %rax
	movq	PINW_GO_AREA_RSP(%rax), %rsp
	movl	$0, PINW_GO_AREA_BUSY(%rax)
	.endm

	.macro	ENTER xmm
	.cfi_startproc
	.cfi_undefined rip
	pushfq
	pushq	%rax
	movq	pinw_go_area@GOTTPOFF(%rip), %rax
	movq	%fs:(%rax), %rax
	testq	%rax, %rax
	je	9f
	cmpl	$0, PINW_GO_AREA_BUSY(%rax)
	jne	9f
	movl	$1, PINW_GO_AREA_BUSY(%rax)
	movq	%rsp, PINW_GO_AREA_RSP(%rax)
	movq	%rax, %rsp		/* 64-byte aligned; the stack ends where the area begins */
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	movq	PINW_GO_AREA_RSP(%rax), %rdi
	movq	%rbp, %rsi
	movq	%r14, %rdx
	.if \xmm
	subq	$256, %rsp
	movups	%xmm0, 0(%rsp)
	movups	%xmm1, 16(%rsp)
	movups	%xmm2, 32(%rsp)
	movups	%xmm3, 48(%rsp)
	movups	%xmm4, 64(%rsp)
	movups	%xmm5, 80(%rsp)
	movups	%xmm6, 96(%rsp)
	movups	%xmm7, 112(%rsp)
	movups	%xmm8, 128(%rsp)
	movups	%xmm9, 144(%rsp)
	movups	%xmm10, 160(%rsp)
	movups	%xmm11, 176(%rsp)
	movups	%xmm12, 192(%rsp)
	movups	%xmm13, 208(%rsp)
	movups	%xmm14, 224(%rsp)
	movups	%xmm15, 240(%rsp)
	.endif
	call	pinw_go_hook
	.if \xmm
	movups	0(%rsp), %xmm0
	movups	16(%rsp), %xmm1
	movups	32(%rsp), %xmm2
	movups	48(%rsp), %xmm3
	movups	64(%rsp), %xmm4
	movups	80(%rsp), %xmm5
	movups	96(%rsp), %xmm6
	movups	112(%rsp), %xmm7
	movups	128(%rsp), %xmm8
	movups	144(%rsp), %xmm9
	movups	160(%rsp), %xmm10
	movups	176(%rsp), %xmm11
	movups	192(%rsp), %xmm12
	movups	208(%rsp), %xmm13
	movups	224(%rsp), %xmm14
	movups	240(%rsp), %xmm15
	addq	$256, %rsp
	.else
	xorps	%xmm15, %xmm15		/* Go's zero; no other is kept across a call (ABIInternal) */
	.endif
	.if !\xmm
	testl	%eax, %eax
	jne	8f
	.endif
	LEAVE
9:	popq	%rax
	popfq
	ret
	.if !\xmm
8:	LEAVE
	addq	$32, %rsp		/* rax, flags, the stub's address, the patch: what is left is a return */
	ret
	.endif
	.cfi_endproc
	.endm

/* At the entry of a Go function: its caller keeps no SSE register across the call but the zero in xmm15. It is not run
 * when the hook says PINW_GO_RETURN. */
	.globl	pinw_go_enter_function
	.hidden	pinw_go_enter_function
	.type	pinw_go_enter_function, @function
	.p2align 4
pinw_go_enter_function:
	ENTER	0
	.size	pinw_go_enter_function, . - pinw_go_enter_function

/* In the middle of one, or where arguments may be in any register. */
	.globl	pinw_go_enter_anywhere
	.hidden	pinw_go_enter_anywhere
	.type	pinw_go_enter_anywhere, @function
	.p2align 4
pinw_go_enter_anywhere:
	ENTER	1
	.size	pinw_go_enter_anywhere, . - pinw_go_enter_anywhere

/* At the entry of Syscall6, called for sched_setaffinity: number in rax, arguments in rbx, rcx, rdi. The call is made by
 * pinw_go_raw, and Syscall6 is not run: its results are the caller's, -1, 0 and the error in rax, rbx, rcx, or else the kernel's
 * rax, its rdx (the third argument, which no call but pipe changes) and 0. Go keeps no other register across the call but
 * rsp, rbp, r14 and the zero in xmm15; r11 is free at the entry. */
	.globl	pinw_go_enter_syscall
	.hidden	pinw_go_enter_syscall
	.type	pinw_go_enter_syscall, @function
	.p2align 4
pinw_go_enter_syscall:
	.cfi_startproc
	.cfi_undefined rip
#ifndef PINW_NO_ENTRIES			/* the unit tests record without wrappers */
	movq	pinw_go_area@GOTTPOFF(%rip), %r11
	movq	%fs:(%r11), %r11
	testq	%r11, %r11
	je	9f
	cmpl	$0, PINW_GO_AREA_BUSY(%r11)
	jne	9f
	movl	$1, PINW_GO_AREA_BUSY(%r11)
	movq	%rsp, PINW_GO_AREA_RSP(%r11)
	movq	%r11, %rsp
	pushq	%rdi
	pushq	%rdi			/* twice: 16-byte aligned */
	movq	%rdi, %rdx
	movq	%rcx, %rsi
	movq	%rbx, %rdi
	movq	PINW_GO_AREA_RSP(%r11), %rcx
	movq	%rbp, %r8
	movq	%r14, %r9
	call	pinw_go_raw
	popq	%rbx
	xorps	%xmm15, %xmm15
	movq	pinw_go_area@GOTTPOFF(%rip), %r11
	movq	%fs:(%r11), %r11
	movq	PINW_GO_AREA_RSP(%r11), %rsp
	movl	$0, PINW_GO_AREA_BUSY(%r11)
	addq	$16, %rsp		/* the stub's address, the patch: what is left is a return */
	xorl	%ecx, %ecx
	cmpq	$-4095, %rax
	jb	9f
	movq	%rax, %rcx
	negq	%rcx
	movq	$-1, %rax
	xorl	%ebx, %ebx
9:
#endif
	ret
	.cfi_endproc
	.size	pinw_go_enter_syscall, . - pinw_go_enter_syscall

	.section .note.GNU-stack, "", @progbits
