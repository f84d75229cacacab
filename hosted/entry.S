/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * entry.S - every way between programs and the kernel on a virtual CPU, and the context switch.
 *
 * In: a patched site jumps to hosted_direct_entry. All other ways are host signals: the handler
 * (trap.c) has built the frame and lets its sigreturn continue here, on the thread's kernel
 * stack, with the program's vector registers restored by the host.
 *
 * Out: between hosted_exit_begin and hosted_exit_end the registers are loaded. An interrupt signal
 * that finds its thread there sends it back to hosted_exit_begin (the frame is untouched until
 * user code runs and the kernel stack below it is empty), so that the check for pending
 * interrupts and the jump to user code are one step. Nothing in the section may write to the frame.
 *
 * Interrupts are off (a flag, set while user code runs) except around kernel_syscall. %gs is the
 * struct vcpu. Sanitizer builds swap the FS base and save the vector registers at every entry.
 */
#include "hal_isa.h"
#include "isa/frame_offsets.h"
#include "vcpu_offsets.h"

#define RFLAGS_PLAIN 0x202
/* Flags that are not results of arithmetic: TF, DF, NT, AC, ID. */
#define RFLAGS_STICKY 0x244500
#define SYS_rt_sigreturn 15

.macro FUNC name
    .globl \name
    .type \name, @function
\name:
.endm
.macro END name
    .size \name, . - \name
.endm

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

.macro SANITIZER_ENTER
#if SELKIE_SANITIZE
    movq %rsp, %rdi
    call hosted_sanitizer_enter
#endif
.endm

.macro SIM_ENTER
#if SELKIE_SIM
    movq %rsp, %rdi
    call hosted_sim_enter
#endif
.endm

    .text

/* A trampoline comes here: rcx = return address, r11 free, rsp the program's (with its red zone).
 * Arithmetic flags are not kept over a direct system call: no compiler or libc relies on them. The
 * others are, by leaving as after a trap; until they are reset there must be no unaligned access.
 */
    .balign 64
FUNC hosted_direct_entry
    movq %rsp, %gs:VCPU_USER_RSP
    movq %gs:VCPU_FRAME, %rsp
    pushfq
    popq %r11
    movq %rax, FRAME_RAX(%rsp)
    movq %rax, FRAME_ORIG_RAX(%rsp)
    movq %rcx, FRAME_RCX(%rsp)
    movq %rcx, FRAME_RIP(%rsp)
    movq %gs:VCPU_USER_RSP, %rax
    movq %rax, FRAME_RSP(%rsp)
    movq %rbx, FRAME_RBX(%rsp)
    movq %rdx, FRAME_RDX(%rsp)
    movq %rsi, FRAME_RSI(%rsp)
    movq %rdi, FRAME_RDI(%rsp)
    movq %rbp, FRAME_RBP(%rsp)
    movq %r8, FRAME_R8(%rsp)
    movq %r9, FRAME_R9(%rsp)
    movq %r10, FRAME_R10(%rsp)
    movq %r11, FRAME_R11(%rsp)
    movq %r12, FRAME_R12(%rsp)
    movq %r13, FRAME_R13(%rsp)
    movq %r14, FRAME_R14(%rsp)
    movq %r15, FRAME_R15(%rsp)
    movq $0, FRAME_TRAPPED(%rsp)
    movq $HAL_USER_CS, FRAME_CS(%rsp)
    movq %r11, FRAME_RFLAGS(%rsp)
    movq $HAL_USER_SS, FRAME_SS(%rsp)
    testl $RFLAGS_STICKY, %r11d
    jnz direct_sticky
direct_plain:
    xorl %ebp, %ebp /* back traces end here */
/* The signal handler continues here for a trapped system call: rsp = the frame. */
    .globl hosted_entry_syscall
hosted_entry_syscall:
    SANITIZER_ENTER
    SIM_ENTER
    movb $0, %gs:VCPU_IRQ_OFF
    movq %rsp, %rdi
    call kernel_syscall
    movb $1, %gs:VCPU_IRQ_OFF

/* The way out: interrupts off, rsp = the frame at the top of the kernel stack. */
    .globl hosted_return
hosted_return:
    movq %rsp, %rdi
    call kernel_user_return
hosted_return_loaded:
#if SELKIE_SIM
    movq %rsp, %rdi
    call hosted_sim_leave
#endif
#if SELKIE_SANITIZE
    movq %rsp, %rdi
    call hosted_sanitizer_leave
#endif

    .globl hosted_exit_begin
hosted_exit_begin:
    cmpq $0, %gs:VCPU_WORK
    jne exit_work
    /* Fast: the system call changed nothing but its result. */
    cmpq $0, FRAME_TRAPPED(%rsp)
    jne exit_full
    movq FRAME_RIP(%rsp), %rax
    cmpq %rax, FRAME_RCX(%rsp)
    jne exit_full
    LOAD_ALL
    movq FRAME_RSP(%rsp), %rsp
    jmp *%rcx
exit_full:
    /* Nested-task or trap flags that the program may have left would make iretq fail. */
    pushq $RFLAGS_PLAIN
    popfq
    LOAD_ALL
    addq $FRAME_RIP, %rsp
    iretq
    .globl hosted_exit_end
hosted_exit_end:

direct_sticky:
    pushq $RFLAGS_PLAIN
    popfq
    movq $FRAME_TRAPPED_FULL, FRAME_TRAPPED(%rsp)
    jmp direct_plain

exit_work:
    SANITIZER_ENTER
    movq %rsp, %rdi
    call hosted_exit_work
    testl %eax, %eax
    jnz hosted_return
    jmp hosted_return_loaded
END hosted_direct_entry

/* From the signal handler: a fault of user code, described in the vcpu. */
FUNC hosted_entry_fault
    xorl %ebp, %ebp
    SANITIZER_ENTER
    SIM_ENTER
    movq %rsp, %rdi
    call hosted_user_fault
    jmp hosted_return
END hosted_entry_fault

/* From the signal handler: an interrupt while user code ran. */
FUNC hosted_entry_irq
    xorl %ebp, %ebp
    SANITIZER_ENTER
    SIM_ENTER
    movq %rsp, %rdi
    call hosted_user_irq
    jmp hosted_return
END hosted_entry_irq

/* From the signal handler: a fault of kernel code; rsp = a frame with the kernel's registers,
 * below what kernel code has on the stack. The function may change where they continue. */
FUNC hosted_entry_kernel_fault
    movq %rsp, %rdi
    call hosted_kernel_fault
kernel_fault_return:
    LOAD_ALL
    addq $FRAME_RIP, %rsp
    iretq
END hosted_entry_kernel_fault

/* The same on the panic stack, because the kernel's has no page where it was touched. */
FUNC hosted_entry_stack_fault
    movq %rsp, %rdi
    call hosted_stack_fault
    jmp kernel_fault_return
END hosted_entry_stack_fault

/* The end: a signal from outside; on the panic stack. */
FUNC hosted_entry_sent
    xorl %ebp, %ebp
    movq %rsp, %rdi
    call hosted_sent_end
    ud2
END hosted_entry_sent

/* _Noreturn void hosted_leave(struct isa_frame *frame)
 * Copies the frame to the top of the stack, from its end on: the two may overlap. */
FUNC hosted_leave
    movb $1, %gs:VCPU_IRQ_OFF
    movq %gs:VCPU_FRAME, %rax
    leaq FRAME_SIZE - 8(%rdi), %rsi
    leaq FRAME_SIZE - 8(%rax), %rdi
    movl $FRAME_SIZE / 8, %ecx
    std
    rep movsq
    cld
    movq %rax, %rsp
    xorl %ebp, %ebp
    jmp hosted_return
END hosted_leave

/* The signal handler's return address. */
FUNC hosted_sigreturn
    movl $SYS_rt_sigreturn, %eax
    syscall
END hosted_sigreturn

/* _Noreturn void hosted_start_on(void *stack_top, unsigned cpu) */
FUNC hosted_start_on
    movq %rdi, %rsp
    movl %esi, %edi
    xorl %ebp, %ebp
    call kernel_cpu_main
    ud2
END hosted_start_on

/* void hosted_switch(uintptr_t *save_sp, uintptr_t load_sp) */
FUNC hosted_switch
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
END hosted_switch

#if SELKIE_SIM
/* void hosted_call_on(void (*function)(void *), void *argument, void *stack_top) */
FUNC hosted_call_on
    pushq %rbp
    movq %rsp, %rbp
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsp
    call *%rax
    movq %rbp, %rsp
    popq %rbp
    ret
END hosted_call_on
#endif

/* First code of a new context. */
FUNC hosted_ctx_start
    xorl %ebp, %ebp
    call hosted_ctx_begin
    ud2
END hosted_ctx_start

    .section .note.GNU-stack, "", @progbits
