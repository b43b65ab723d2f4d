/* SPDX-License-Identifier: MIT
 *
 * From a patched place of Go code into pinw_go_quick, if that says so into pinw_go_hook, and back.
 *
 * A stub has pushed the number of its patch and called us. No more than seven words of the goroutine's stack are used: at an entry these
 * are below what its caller's stack check left for functions without a check of their own (StackSmall, 128 bytes, at least),
 * and inside a function likewise. No red zone: Go has none. Signals come on the signal stack of the M.
 *
 * Registers. At the entry of a Go function nothing is live but its arguments, r14 and rbp (ABIInternal), and xmm15 is 0;
 * flags are not. Anywhere else everything may be, up to what AVX-512 and AMX have: pinw_go_quick is compiled for general
 * registers alone and calls nothing but the kernel's clock, which is not compiled for AVX and leaves the upper parts of vector
 * registers as they are; what it may use is saved by SSE moves. Around pinw_go_hook, which may call anything, xsave does it.
 *
 * The unwinder is told that nothing is above: C's tables cannot cross into Go.
 */
#include "preload/go/go.h"

	.text

/* What C may use of general registers, but for rax. */
	.macro	PUSH_SCRATCH
	.irp register, rcx, rdx, rsi, rdi, r8, r9, r10, r11
	pushq	%\register
	.endr
	.endm

	.macro	POP_SCRATCH
	.irp register, r11, r10, r9, r8, rdi, rsi, rdx, rcx
	popq	%\register
	.endr
	.endm

/* Back onto the goroutine's stack: the registers as they were but for rax, and flags at an entry. */
	.macro	LEAVE
	POP_SCRATCH
	movq	%rbx, %rax
	popq	%rbx
	movq	PINW_GO_AREA_RSP(%rax), %rsp
	movl	$0, PINW_GO_AREA_BUSY(%rax)	/* not before: a handler's hook would begin where our words lie */
	.endm

	.macro	ENTER anywhere
	.cfi_startproc
	.cfi_undefined rip
	pushq	%rax
	.if \anywhere			/* lahf, seto and sahf take a tenth of the time of pushfq and popfq */
	lahf
	seto	%al
	.endif
	pushq	%rax
	movq	pinw_go_area@GOTTPOFF(%rip), %rax
	movq	%fs:(%rax), %rax
	testq	%rax, %rax
	.if \anywhere
	je	9f			/* no lock of this thread is known */
	.else
	jne	1f
	call	first_area
	testq	%rax, %rax
	je	9f
1:
	.endif
	cmpl	$0, PINW_GO_AREA_BUSY(%rax)
	jne	7f
	movl	$1, PINW_GO_AREA_BUSY(%rax)
	movq	%rsp, PINW_GO_AREA_RSP(%rax)
	movq	%rax, %rsp		/* 64-byte aligned; the stack ends where the area begins */
	pushq	%rbx
	PUSH_SCRATCH
	movq	%rax, %rbx
	movq	PINW_GO_AREA_RSP(%rbx), %rdi
	movq	%rbp, %rsi
	movq	%r14, %rdx
	.if \anywhere
	subq	$264, %rsp
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	%xmm\n, \n*16(%rsp)
	.endr
	.else
	subq	$8, %rsp
	.endif
	call	pinw_go_quick
	cmpl	$PINW_GO_LONG, %eax
	je	6f
5:
	.if \anywhere
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	\n*16(%rsp), %xmm\n
	.endr
	addq	$264, %rsp
	.else
	addq	$8, %rsp
	xorps	%xmm15, %xmm15
	testl	%eax, %eax
	jne	8f
	.endif
	LEAVE
9:	popq	%rax
	.if \anywhere
	addb	$127, %al		/* the overflow flag */
	sahf
	.endif
	popq	%rax
	ret
6:	movq	PINW_GO_AREA_RSP(%rbx), %rdi
	movq	%rbp, %rsi
	movq	%r14, %rdx
	.if \anywhere
	call	hook_apart
	.else
	call	pinw_go_hook
	.endif
	jmp	5b
7:	incl	PINW_GO_AREA_MISSED(%rax)
	jmp	9b
	.if !\anywhere
8:	LEAVE
	addq	$32, %rsp		/* rax twice, the stub's address, the patch: what is left is a return */
	ret
	.endif
	.cfi_endproc
	.endm

/* At the entry of a Go function: its caller keeps no vector register across the call but the zero in xmm15. It is not run
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
	jne	1f
	pushq	%rax
	call	first_area
	movq	%rax, %r11
	popq	%rax
	testq	%r11, %r11
	je	9f
1:	cmpl	$0, PINW_GO_AREA_BUSY(%r11)
	jne	8f
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
9:	ret
8:	incl	PINW_GO_AREA_MISSED(%r11)
#endif
	ret
	.cfi_endproc
	.size	pinw_go_enter_syscall, . - pinw_go_enter_syscall

/* pinw_go_hook, with all that xsave knows kept. Where there is no xsave there are no registers but those saved already. */
	.type	hook_apart, @function
	.p2align 4
hook_apart:
	.cfi_startproc
	.cfi_undefined rip
	pushq	%rbp
	movq	%rsp, %rbp
	pushq	%r12
	pushq	%rdx
	movl	pinw_go_xsave_bytes(%rip), %ecx
	testl	%ecx, %ecx
	je	1f
	subq	%rcx, %rsp
	andq	$-64, %rsp
	xorl	%eax, %eax
	.irp	word, 512, 520, 528, 536, 544, 552, 560, 568
	movq	%rax, \word(%rsp)	/* the header */
	.endr
	movl	$-1, %eax
	movl	$-1, %edx
	xsave64	(%rsp)
	movq	-16(%rbp), %rdx
	call	pinw_go_hook
	movl	%eax, %r12d
	movl	$-1, %eax
	movl	$-1, %edx
	xrstor64 (%rsp)
	movl	%r12d, %eax
	jmp	2f
1:	call	pinw_go_hook
2:	movq	-8(%rbp), %r12
	movq	%rbp, %rsp
	popq	%rbp
	ret
	.cfi_endproc
	.size	hook_apart, . - hook_apart

/* Asks the processor how much xsave writes. */
	.globl	pinw_go_enter_init
	.hidden	pinw_go_enter_init
	.type	pinw_go_enter_init, @function
	.p2align 4
pinw_go_enter_init:
	.cfi_startproc
	movq	%rbx, %r8
	movl	$1, %eax
	cpuid
	btl	$27, %ecx		/* the system has enabled it */
	jnc	1f
	movl	$13, %eax
	xorl	%ecx, %ecx
	cpuid
	movl	%ebx, pinw_go_xsave_bytes(%rip)
1:	movq	%r8, %rbx
	ret
	.cfi_endproc
	.size	pinw_go_enter_init, . - pinw_go_enter_init

	.local	pinw_go_xsave_bytes
	.comm	pinw_go_xsave_bytes, 4, 4

/* For a thread that was there before Go was: an area of its own, in rax, or 0. One thread at a time does it, on a stack
 * that is there for that; the others wait here, no longer than a second or so, since a stop-the-world waits for them. Keeps all general
 * registers but rax, the zero in xmm15, and uses one word of the goroutine's stack. */
	.type	first_area, @function
	.p2align 4
first_area:
	.cfi_startproc
	.cfi_undefined rip
	movl	$1 << 24, %eax
1:	lock btsl $0, pinw_go_first_busy(%rip)
	jnc	2f
	pause
	decl	%eax
	jne	1b
	lock incl pinw_go_missed(%rip)
	ret				/* rax is 0 */
2:	movq	%rsp, first_rsp(%rip)
	leaq	first_stack + 65536(%rip), %rsp
	PUSH_SCRATCH
	call	pinw_go_area_first
	POP_SCRATCH
	xorps	%xmm15, %xmm15
	movq	first_rsp(%rip), %rsp
	movl	$0, pinw_go_first_busy(%rip)
	ret
	.cfi_endproc
	.size	first_area, . - first_area

	.local	first_rsp, first_stack
	.comm	first_rsp, 8, 8
	.comm	first_stack, 65536, 64

	.section .note.GNU-stack, "", @progbits
