/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fp_regs.S - the only instructions of the kernel that touch the vector registers. The area:
 * q0..q31, then FPSR and FPCR as 32-bit words (isa/fp.h).
 */
    .arch armv8-a+fp+simd
    .text

/* void isa_fp_save(void *area) */
    .globl isa_fp_save
    .type isa_fp_save, %function
isa_fp_save:
    stp q0, q1, [x0, #0]
    stp q2, q3, [x0, #32]
    stp q4, q5, [x0, #64]
    stp q6, q7, [x0, #96]
    stp q8, q9, [x0, #128]
    stp q10, q11, [x0, #160]
    stp q12, q13, [x0, #192]
    stp q14, q15, [x0, #224]
    stp q16, q17, [x0, #256]
    stp q18, q19, [x0, #288]
    stp q20, q21, [x0, #320]
    stp q22, q23, [x0, #352]
    stp q24, q25, [x0, #384]
    stp q26, q27, [x0, #416]
    stp q28, q29, [x0, #448]
    stp q30, q31, [x0, #480]
    mrs x1, fpsr
    mrs x2, fpcr
    str w1, [x0, #512]
    str w2, [x0, #516]
    ret
    .size isa_fp_save, . - isa_fp_save

/* void isa_fp_restore(const void *area) */
    .globl isa_fp_restore
    .type isa_fp_restore, %function
isa_fp_restore:
    ldp q0, q1, [x0, #0]
    ldp q2, q3, [x0, #32]
    ldp q4, q5, [x0, #64]
    ldp q6, q7, [x0, #96]
    ldp q8, q9, [x0, #128]
    ldp q10, q11, [x0, #160]
    ldp q12, q13, [x0, #192]
    ldp q14, q15, [x0, #224]
    ldp q16, q17, [x0, #256]
    ldp q18, q19, [x0, #288]
    ldp q20, q21, [x0, #320]
    ldp q22, q23, [x0, #352]
    ldp q24, q25, [x0, #384]
    ldp q26, q27, [x0, #416]
    ldp q28, q29, [x0, #448]
    ldp q30, q31, [x0, #480]
    ldr w1, [x0, #512]
    ldr w2, [x0, #516]
    msr fpsr, x1
    msr fpcr, x2
    ret
    .size isa_fp_restore, . - isa_fp_restore

    .section .note.GNU-stack, "", %progbits
