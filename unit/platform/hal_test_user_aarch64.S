/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_test_user_aarch64.S - the program that hal_test_kernel.c runs as user code at 0x400000.
 * Exits with 42 if all went well, otherwise with the number of the failed check.
 */
    .arch armv8-a+fp+simd
    .section .rodata.test_user, "a"
    .globl test_user_begin, test_user_end, test_user_resume
    .balign 8
test_user_begin:
    /* 1: six arguments, result, preserved registers and flags */
    mov x0, #1
    mov x1, #2
    mov x2, #3
    mov x3, #4
    mov x4, #5
    mov x5, #6
    mov x16, #0x1111
    mov x17, #0x2222
    mov x29, #0x3333
    mov x30, #0x4444
    mov x8, #1
    cmp x8, #1
    svc #0
    b.ne fail1
    ldr x6, =654321
    cmp x0, x6
    b.ne fail1
    mov x7, #0x1111
    cmp x16, x7
    b.ne fail1
    mov x7, #0x2222
    cmp x17, x7
    b.ne fail1
    mov x7, #0x3333
    cmp x29, x7
    b.ne fail1
    mov x7, #0x4444
    cmp x30, x7
    b.ne fail1
    cmp x5, #6
    b.ne fail1
    /* 2: a page that the fault handler maps */
    mov x9, #0x600000
    mov x10, #0x77
    str x10, [x9]
    ldr x11, [x9]
    cmp x11, x10
    mov x0, #2
    b.ne fail
    /* 3: an illegal instruction, resumed behind it */
    mov x0, #3
    udf #0
    b fail
test_user_resume:
    /* 4: what lies below the stack pointer, vector registers and the thread pointer survive
     * interrupts */
    mov x0, #1
    mov x8, #1
    svc #0
    ldr x6, =0x123456789
    fmov d5, x6
    msr tpidr_el0, x6
    str x6, [sp, #-8]
    str x6, [sp, #-128]
    ldr w7, =3000000
1:  ldr x9, [sp, #-8]
    cmp x9, x6
    b.ne fail4
    ldr x9, [sp, #-128]
    cmp x9, x6
    b.ne fail4
    subs w7, w7, #1
    b.ne 1b
    fmov x9, d5
    cmp x9, x6
    b.ne fail4
    mrs x9, tpidr_el0
    cmp x9, x6
    b.ne fail4
    /* 5: an unknown call */
    mov x8, #999
    svc #0
    cmn x0, #38
    mov x0, #5
    b.ne fail
    mov x0, #42
    b fail
fail1:
    mov x0, #1
    b fail
fail4:
    mov x0, #4
fail:
    mov x8, #2
    svc #0
    udf #0
    .ltorg
test_user_end:
    .section .note.GNU-stack, "", %progbits
