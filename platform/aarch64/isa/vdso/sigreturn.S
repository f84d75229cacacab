/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sigreturn.S - where signal handlers return to. Unwinders know a signal frame by exactly these two
 * instructions; the call-frame information says the same for those that read it: the interrupted
 * registers are in the sigcontext (isa/sigframe.c), x29 of it in the frame record.
 */
    .text
    nop /* unwinders look up the return address - 1: it must not be another function's */
    .globl __kernel_rt_sigreturn
    .type __kernel_rt_sigreturn, %function
    .cfi_startproc
    .cfi_signal_frame
    .cfi_def_cfa x29, 0
    .cfi_offset x29, 0
    .cfi_offset x30, 8
__kernel_rt_sigreturn:
    mov x8, #139
    svc #0
    .cfi_endproc
    .size __kernel_rt_sigreturn, . - __kernel_rt_sigreturn

    .section .note.GNU-stack, "", %progbits
