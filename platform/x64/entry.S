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
 *  2. "From user code" means that the instruction pointer does not lie in the image.
 *  3. While kernel code runs on a user stack pointer (the first and last instructions of a system
 *     call), interrupts are off; the `sti` of the way out takes effect after the jump that follows
 *     it (SDM vol. 2, STI).
 *
 * %gs is this CPU's struct x64_cpu. A frame is struct isa_frame for both kinds of interrupted code.
 */
#include "hal_isa.h"
#include "isa/frame_offsets.h"
#include "layout.h"

#define RFLAGS_IF_BIT 9
#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200
#define VECTOR_DB 1
#define VECTOR_PF 14

    .text

/* Registers that no stub has touched, into the frame at \base. */
.macro SAVE_REST base
    movq %rbx, FRAME_RBX(\base)
    movq %rsi, FRAME_RSI(\base)
    movq %rdi, FRAME_RDI(\base)
    movq %rbp, FRAME_RBP(\base)
    movq %r8, FRAME_R8(\base)
    movq %r9, FRAME_R9(\base)
    movq %r10, FRAME_R10(\base)
    movq %r11, FRAME_R11(\base)
    movq %r12, FRAME_R12(\base)
    movq %r13, FRAME_R13(\base)
    movq %r14, FRAME_R14(\base)
    movq %r15, FRAME_R15(\base)
.endm

/* All general registers but rsp, from the frame at rsp. */
.macro LOAD_ALL
    movq FRAME_RAX(%rsp), %rax
    movq FRAME_RBX(%rsp), %rbx
    movq FRAME_RCX(%rsp), %rcx
    movq FRAME_RDX(%rsp), %rdx
    movq FRAME_RSI(%rsp), %rsi
    movq FRAME_RDI(%rsp), %rdi
    movq FRAME_RBP(%rsp), %rbp
    movq FRAME_R8(%rsp), %r8
    movq FRAME_R9(%rsp), %r9
    movq FRAME_R10(%rsp), %r10
    movq FRAME_R11(%rsp), %r11
    movq FRAME_R12(%rsp), %r12
    movq FRAME_R13(%rsp), %r13
    movq FRAME_R14(%rsp), %r14
    movq FRAME_R15(%rsp), %r15
.endm

/* ---- system calls ---- */

/* LSTAR. FMASK has cleared IF, TF, DF and AC; rcx = return address, r11 = flags. */
    .globl x64_syscall_entry
x64_syscall_entry:
    movq %rsp, %gs:CPU_USER_SP
    movq %gs:CPU_KSTACK, %rsp
    movq $FRAME_TRAPPED_SYSCALL, FRAME_TRAPPED(%rsp)
    jmp syscall_common

/* A patched site's trampoline comes here with interrupts off and rcx = return address. */
    .globl x64_direct_entry
x64_direct_entry:
    movq %rsp, %gs:CPU_USER_SP
    movq %gs:CPU_KSTACK, %rsp
    pushfq
    popq %r11
    orq $RFLAGS_IF, %r11
    movq $0, FRAME_TRAPPED(%rsp)
    cld

syscall_common:
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
    sti
    movq %rsp, %rdi
    call kernel_syscall
    cli

/* The way out: interrupts off, rsp = the frame at the top of the kernel stack. */
user_return:
    movq %rsp, %rdi
    call kernel_user_return
    cmpb $0, %gs:CPU_FP_STALE
    jne return_fp
return_checked:
    movq FRAME_RIP(%rsp), %rcx
    movq %rcx, %rax
    shrq $X64_USER_END_BIT, %rax
    jnz return_wild
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

/* The program is to continue at an address that is not its own: a protection fault of its own. */
return_wild:
    movq %rsp, %rdi
    call x64_return_wild
    jmp user_return

/* _Noreturn void hal_user_enter(struct isa_frame *frame)
 * The frame may lie anywhere, also where its copy goes: the copy runs downwards. */
    .globl hal_user_enter
hal_user_enter:
    cli
    movq %gs:CPU_KSTACK, %rax
    leaq FRAME_SIZE - 8(%rdi), %rsi
    leaq FRAME_SIZE - 8(%rax), %rdi
    movl $FRAME_SIZE / 8, %ecx
    std
    rep movsq
    cld
    movq %rax, %rsp
    xorl %ebp, %ebp
    jmp user_return

/* ---- exceptions and interrupts ---- */

/* An IST stack holds, from rsp: rdx rcx rax | vector | error | rip cs rflags rsp ss */
#define AT_RDX 0
#define AT_RCX 8
#define AT_RAX 16
#define AT_VECTOR 24
#define AT_ERROR 32
#define AT_RIP 40
#define AT_CS 48
#define AT_RFLAGS 56
#define AT_RSP 64
#define AT_SS 72

/* Complete the frame at rcx and continue on it; rdi, rsi, rdx become the C arguments. */
.macro FRAME_FROM_IST
    SAVE_REST %rcx
    movq AT_RAX(%rsp), %rax
    movq %rax, FRAME_RAX(%rcx)
    movq AT_RCX(%rsp), %rax
    movq %rax, FRAME_RCX(%rcx)
    movq AT_RDX(%rsp), %rax
    movq %rax, FRAME_RDX(%rcx)
    movq AT_RIP(%rsp), %rax
    movq %rax, FRAME_RIP(%rcx)
    movq AT_CS(%rsp), %rax
    movq %rax, FRAME_CS(%rcx)
    movq AT_RFLAGS(%rsp), %rax
    movq %rax, FRAME_RFLAGS(%rcx)
    movq AT_RSP(%rsp), %rax
    movq %rax, FRAME_RSP(%rcx)
    movq AT_SS(%rsp), %rax
    movq %rax, FRAME_SS(%rcx)
    movq $FRAME_TRAPPED_FULL, FRAME_TRAPPED(%rcx)
    movq $-1, FRAME_ORIG_RAX(%rcx)
    movl AT_VECTOR(%rsp), %esi
    movl AT_ERROR(%rsp), %edx
    movq %rcx, %rdi
    movq %rcx, %rsp
    cld
.endm

trap_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    cmpq $-0x80000000, AT_RIP(%rsp) /* X64_IMAGE_BASE */
    jae trap_kernel
    movq %gs:CPU_KSTACK, %rcx
    FRAME_FROM_IST
    xorl %ebp, %ebp
    call x64_trap_user
    jmp user_return

trap_kernel:
    /* The interrupted stack is not to be trusted if kernel code faulted on a kernel address (its
     * stack may have run into the guard page), nor for a debug trap (may hit in the system-call
     * entry, still on the user stack). */
    movl AT_VECTOR(%rsp), %eax
    cmpl $VECTOR_DB, %eax
    je trap_stay
    cmpl $VECTOR_PF, %eax
    jne 1f
    movq %cr2, %rcx
    shrq $X64_USER_END_BIT, %rcx
    jnz trap_stay
1:  movq AT_RSP(%rsp), %rcx
    andq $-16, %rcx
    subq $FRAME_SIZE, %rcx
trap_kernel_frame:
    FRAME_FROM_IST
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
