/* SPDX-License-Identifier: MIT
 *
 * x86-64 entry points that cannot be written in C: the thread trampoline, the
 * frameless syscall(), clone() and vfork() forwards, and the stack switch.
 */

	.text

/* void *pinw_trampoline(void *thread)
 *
 * The unwinder calls our personality routine for this frame when pthread_exit
 * or a cancellation passes through. It does its work there and lets the unwind
 * go on, so there is no landing pad, and the shim needs no _Unwind_* symbol. */
	.globl	pinw_trampoline
	.hidden	pinw_trampoline
	.type	pinw_trampoline, @function
	.p2align 4
pinw_trampoline:
	.cfi_startproc
	.cfi_personality 0x1b, pinw_trampoline_personality	/* pcrel, sdata4 */
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	leaq	16(%rbp), %rsi		/* our CFA: everything the thread runs lies below */
	call	pinw_thread_begin	/* rax: start routine, rdx: its argument */
	movq	%rdx, %rdi
	call	*%rax
	movq	%rax, %rdi
	call	pinw_thread_return	/* gives back its argument */
	popq	%rbp
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size	pinw_trampoline, . - pinw_trampoline

/* void pinw_on_stack(void (*fn)(void *), void *arg, void *top) */
	.globl	pinw_on_stack
	.hidden	pinw_on_stack
	.type	pinw_on_stack, @function
	.p2align 4
pinw_on_stack:
	.cfi_startproc
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	movq	%rdx, %rsp
	movq	%rdi, %rax
	movq	%rsi, %rdi
	call	*%rax
	movq	%rbp, %rsp
	popq	%rbp
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size	pinw_on_stack, . - pinw_on_stack

/* void pinw_get_registers(struct pinw_registers *ret) */
	.globl	pinw_get_registers
	.hidden	pinw_get_registers
	.type	pinw_get_registers, @function
	.p2align 4
pinw_get_registers:
	.cfi_startproc
	movq	%rbx, 0(%rdi)
	movq	%rbp, 8(%rdi)
	movq	%r12, 16(%rdi)
	movq	%r13, 24(%rdi)
	movq	%r14, 32(%rdi)
	movq	%r15, 40(%rdi)
	leaq	8(%rsp), %rax
	movq	%rax, 48(%rdi)
	movq	(%rsp), %rax
	movq	%rax, 56(%rdi)
	ret
	.cfi_endproc
	.size	pinw_get_registers, . - pinw_get_registers

/* ---- the exported entry points: not in the unit tests, which record without wrappers ---- */

#ifndef PINW_NO_ENTRIES

/* Saves the six argument registers (and rax) around a C call, 16-byte aligned
 * at entry of a function. Used by the forwards below before their tail jump. */
	.macro	SAVE_ARGS
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	pushq	%rcx
	.cfi_adjust_cfa_offset 8
	pushq	%r8
	.cfi_adjust_cfa_offset 8
	pushq	%r9
	.cfi_adjust_cfa_offset 8
	pushq	%rax
	.cfi_adjust_cfa_offset 8
	.endm

	.macro	RESTORE_ARGS
	popq	%rax
	.cfi_adjust_cfa_offset -8
	popq	%r9
	.cfi_adjust_cfa_offset -8
	popq	%r8
	.cfi_adjust_cfa_offset -8
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	.endm

/* long syscall(long nr, ...)
 *
 * A tail jump that leaves every register and the stack as the caller made
 * them, unless the number is one we watch: sched_setaffinity is handed to a
 * wrapper in C, the others are told to pinw_syscall_watch first. */
	.globl	pinw_entry_syscall
	.symver	pinw_entry_syscall, syscall@@GLIBC_2.2.5
	.type	pinw_entry_syscall, @function
	.p2align 4
pinw_entry_syscall:
	.cfi_startproc
	cmpq	$203, %rdi		/* sched_setaffinity */
	je	pinw_syscall_setaffinity
	cmpq	$56, %rdi		/* clone */
	je	1f
	cmpq	$57, %rdi		/* fork */
	je	1f
	cmpq	$58, %rdi		/* vfork */
	je	1f
	cmpq	$435, %rdi		/* clone3 */
	je	1f
	cmpq	$317, %rdi		/* seccomp */
	je	1f
	cmpq	$157, %rdi		/* prctl */
	je	1f
	cmpq	$231, %rdi		/* exit_group */
	je	1f
	cmpq	$60, %rdi		/* exit */
	je	1f
0:	movq	pinw_real_syscall(%rip), %r11
	testq	%r11, %r11
	je	2f
	jmp	*%r11
1:	SAVE_ARGS
	call	pinw_syscall_watch
	RESTORE_ARGS
	jmp	0b
2:	SAVE_ARGS
	call	pinw_ensure_init
	RESTORE_ARGS
	jmp	*pinw_real_syscall(%rip)
	.cfi_endproc
	.size	pinw_entry_syscall, . - pinw_entry_syscall

/* int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...) */
	.globl	pinw_entry_clone
	.symver	pinw_entry_clone, clone@@GLIBC_2.2.5
	.symver	pinw_entry_clone, __clone@@GLIBC_2.2.5
	.type	pinw_entry_clone, @function
	.p2align 4
pinw_entry_clone:
	.cfi_startproc
	SAVE_ARGS
	movl	%edx, %edi
	call	pinw_clone_watch
	RESTORE_ARGS
	jmp	*pinw_real_clone(%rip)
	.cfi_endproc
	.size	pinw_entry_clone, . - pinw_entry_clone

/* int vfork(void)
 *
 * The child borrows our stack and our memory, so nothing may be left above the
 * return address, and what it does must not be booked on the thread that
 * lent them: pinw_vfork_child marks the thread-local state, and
 * pinw_vfork_parent, which runs once the child is gone, clears it. The return
 * address survives in rdi, which the kernel preserves. */
	.globl	pinw_entry_vfork
	.symver	pinw_entry_vfork, vfork@@GLIBC_2.2.5
	.symver	pinw_entry_vfork, __vfork@@GLIBC_2.2.5
	.type	pinw_entry_vfork, @function
	.p2align 4
pinw_entry_vfork:
	.cfi_startproc
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	pinw_vfork_prepare
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rdi
	movl	$58, %eax
	syscall
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	.cfi_offset %rip, -8
	pushq	%rax
	.cfi_adjust_cfa_offset 8
	movq	%rax, %rdi
	testq	%rax, %rax
	jne	1f
	call	pinw_vfork_child
	jmp	2f
1:	call	pinw_vfork_parent	/* sets errno when rdi is an error */
2:	popq	%rax
	.cfi_adjust_cfa_offset -8
	cmpq	$-4095, %rax
	jb	3f
	movl	$-1, %eax
3:	ret
	.cfi_endproc
	.size	pinw_entry_vfork, . - pinw_entry_vfork

#endif /* PINW_NO_ENTRIES */

	.section .note.GNU-stack, "", @progbits
