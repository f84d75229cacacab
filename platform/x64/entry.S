/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * entry.S - every way into the kernel and back.
 *
 * Program and kernel share ring 0, so the CPU never switches stacks by privilege. Three rules keep
 * the program's stack (and its red zone) untouched and the kernel nestable:
 *
 *  1. Every gate uses an interrupt stack (IST), with interrupts off. Nothing stays there: a frame
 *     from user code is built at the top of the thread's kernel stack, one from kernel code right
 *     below the interrupted stack pointer (kernel code has no red zone). Exceptions to that are
 *     traps that must not trust the interrupted stack: see trap_stay.
 *     Building a frame on a kernel stack may touch a page that the stack has not yet got (mm/kvm.c):
 *     page faults have an interrupt stack of their own, so that one inside the building of a frame
 *     leaves alone what it is built from. That of a page fault itself cannot fault: isa/uaccess.S
 *     has made room for it, and the top of a stack is always there.
 *  2. "From user code" means that the instruction pointer does not lie in the image's text.
 *  3. While kernel code runs on a user stack pointer (the first and last instructions of a system
 *     call), interrupts are off; the `sti` of the way out takes effect after the jump that follows
 *     it (SDM vol. 2, STI).
 *
 * Where everything runs in ring 3 instead (ring3.S), what this file does with the interrupt flag is
 * replaced (IRQ_ON, IRQ_OFF, ALT), and so is the last part of every way out.
 *
 * %gs is this CPU's struct x64_cpu. A frame is struct isa_frame for both kinds of interrupted code.
 */
#include "entry_macros.inc"

    .text

/* ---- system calls ---- */

/* LSTAR. FMASK has cleared IF, TF, DF and AC; rcx = return address, r11 = flags. */
    .globl x64_syscall_entry
x64_syscall_entry:
    movq %rsp, %gs:CPU_USER_SP
    movq %gs:CPU_KSTACK, %rsp
    movq $FRAME_TRAPPED_SYSCALL, FRAME_TRAPPED(%rsp)
    jmp x64_syscall_common

/* A patched site's trampoline comes here with interrupts off and rcx = return address. */
    .globl x64_direct_entry
x64_direct_entry:
    movq %rsp, %gs:CPU_USER_SP
    movq %gs:CPU_KSTACK, %rsp
    pushfq
    popq %r11
    testl $(RFLAGS_NT | RFLAGS_AC), %r11d
    jnz direct_flags
direct_clean:
    orq $RFLAGS_IF, %r11
    movq $0, FRAME_TRAPPED(%rsp)
    cld

    .globl x64_syscall_common
x64_syscall_common:
    movq %rax, FRAME_RAX(%rsp)
    movq %rax, FRAME_ORIG_RAX(%rsp)
    movq %rcx, FRAME_RCX(%rsp)
    movq %rcx, FRAME_RIP(%rsp)
    movq %rdx, FRAME_RDX(%rsp)
    SAVE_REST %rsp
    movq %r11, FRAME_RFLAGS(%rsp)
    movq %gs:CPU_USER_SP, %rax
    movq %rax, FRAME_RSP(%rsp)
    movq $HAL_USER_CS, FRAME_CS(%rsp)
    movq $HAL_USER_SS, FRAME_SS(%rsp)
    xorl %ebp, %ebp /* back traces end here */
    IRQ_ON
    movq %rsp, %rdi
    call kernel_syscall
    IRQ_OFF

/* The way out: interrupts off, rsp = the frame at the top of the kernel stack. */
    .globl x64_user_return
x64_user_return:
    movq %rsp, %rdi
    call kernel_user_return
    cmpb $0, %gs:CPU_FP_STALE
    jne return_fp
return_checked:
    ALT_BEGIN
    movq FRAME_RIP(%rsp), %rcx
    ALT_ELSE
    jmp x64_ring3_return
    ALT_END
    movq %rcx, %rax
    shrq $X64_USER_END_BIT, %rax
    jnz x64_user_return_wild
    movq FRAME_RFLAGS(%rsp), %rax
    /* Fast: nothing but what a system call returns anyway has changed, no single step. */
    testb $FRAME_TRAPPED_FULL, FRAME_TRAPPED(%rsp)
    jnz return_full
    cmpq %rcx, FRAME_RCX(%rsp)
    jne return_full
    testl $RFLAGS_TF, %eax
    jnz return_full
    btrq $RFLAGS_IF_BIT, %rax
    pushq %rax
    popfq
    LOAD_ALL
    movq FRAME_RSP(%rsp), %rsp
    sti
    jmp *%rcx

return_full:
    orq $RFLAGS_IF, %rax
    movq %rax, FRAME_RFLAGS(%rsp)
    movq $HAL_USER_CS, FRAME_CS(%rsp)
    movq $HAL_USER_SS, FRAME_SS(%rsp)
    LOAD_ALL
    addq $FRAME_RIP, %rsp
    iretq

return_fp:
    call x64_fp_load
    jmp return_checked

/* NT makes IRETQ fault: ours, and, as a switch does not change it, that of the thread that goes on
 * after this one in an interrupt. */
direct_flags:
    pushq $2
    popfq
    jmp direct_clean

/* The program is to continue at an address that is not its own: a protection fault of its own. */
    .globl x64_user_return_wild
x64_user_return_wild:
    movq %rsp, %rdi
    call x64_return_wild
    jmp x64_user_return

/* _Noreturn void hal_user_enter(struct isa_frame *frame)
 * The frame may lie anywhere, also where its copy goes: the copy runs downwards. */
    .globl hal_user_enter
hal_user_enter:
    IRQ_OFF
    movq %gs:CPU_KSTACK, %rax
    leaq FRAME_SIZE - 8(%rdi), %rsi
    leaq FRAME_SIZE - 8(%rax), %rdi
    movl $FRAME_SIZE / 8, %ecx
    std
    rep movsq
    cld
    movq %rax, %rsp
    xorl %ebp, %ebp
    jmp x64_user_return

/* ---- exceptions and interrupts ---- */

trap_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    IF_KERNEL_RIP AT_RIP(%rsp), %rcx, trap_kernel
    movq %gs:CPU_KSTACK, %rcx
    FRAME_FROM_IST
    xorl %ebp, %ebp
    call x64_trap_user
    jmp x64_user_return

trap_kernel:
    /* The interrupted stack is not to be trusted if kernel code had a page fault, but where it may
     * have one on a user address (the stack may have to grow, or has run into the guard page), nor
     * for a debug trap (may hit in the system-call entry, still on the user stack). */
    movl AT_VECTOR(%rsp), %eax
    cmpl $VECTOR_DB, %eax
    je trap_stay
    cmpl $VECTOR_PF, %eax
    jne 1f
    IF_NOT_UACCESS AT_RIP(%rsp), %rcx, trap_stay
    movq %cr2, %rcx
    shrq $X64_USER_END_BIT, %rcx
    jnz trap_stay
1:  movq AT_RSP(%rsp), %rcx
    andq $-16, %rcx
    subq $FRAME_SIZE, %rcx
trap_kernel_frame:
    FRAME_FROM_IST
    movq %cr2, %rcx /* from here on another page fault may change it */
    call x64_trap_kernel
    LOAD_ALL
    addq $FRAME_RIP, %rsp
    iretq

trap_stay:
    leaq -FRAME_SIZE(%rsp), %rcx
    andq $-16, %rcx
    jmp trap_kernel_frame

/* NMI, double fault, machine check: own stacks, whatever was interrupted. */
trap_ist_only:
    pushq %rax
    pushq %rcx
    pushq %rdx
    jmp trap_stay

.macro TRAP vector, error, common=trap_common
    .balign 16
x64_trap_\vector:
    .if \error == 0
    pushq $0
    .endif
    pushq $\vector
    jmp \common
.endm

    TRAP 0, 0
    TRAP 1, 0
    TRAP 2, 0, trap_ist_only
    TRAP 3, 0
    TRAP 4, 0
    TRAP 5, 0
    TRAP 6, 0
    TRAP 7, 0
    TRAP 8, 1, trap_ist_only
    TRAP 9, 0
    TRAP 10, 1
    TRAP 11, 1
    TRAP 12, 1
    TRAP 13, 1
    TRAP 14, 1
    TRAP 15, 0
    TRAP 16, 0
    TRAP 17, 1
    TRAP 18, 0, trap_ist_only
    TRAP 19, 0
    TRAP 20, 0
    TRAP 21, 1
    .irp vector, 22,23,24,25,26,27,28
    TRAP \vector, 0
    .endr
    TRAP 29, 1
    TRAP 30, 1
    TRAP 31, 0
    .irp vector, 32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47
    TRAP \vector, 0
    .endr

    .section .rodata
    .globl x64_trap_table
    .balign 8
x64_trap_table:
    .irp vector, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .quad x64_trap_\vector
    .endr
    .irp vector, 32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47
    .quad x64_trap_\vector
    .endr

    .text
/* ---- contexts ---- */

/* void x64_switch(uintptr_t *save_sp, uintptr_t load_sp) */
    .globl x64_switch
x64_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret

/* First code of a new context (hal_ctx_init put fn and arg into r12, r13). */
    .globl x64_ctx_start
x64_ctx_start:
    movq %r13, %rdi
    xorl %ebp, %ebp
    call *%r12
    ud2

    .section .note.GNU-stack, "", @progbits
