/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_test_user_aarch64.S - the program that hal_test_kernel.c runs as user code at 0x400000.
 * Exits with 42 if all went well, otherwise with the number of the failed check.
 */
    .arch armv8-a+fp+simd
/* void test_clobber(void): what a call may change is changed. */
    .text
    .globl test_clobber
test_clobber:
    ldr x0, =0x5e1c1e5e1c1e0000
    add x1, x0, #1
    add x2, x0, #2
    add x3, x0, #3
    add x4, x0, #4
    add x5, x0, #5
    add x6, x0, #6
    add x7, x0, #7
    add x8, x0, #8
    add x9, x0, #9
    add x10, x0, #10
    add x11, x0, #11
    add x12, x0, #12
    add x13, x0, #13
    add x14, x0, #14
    add x15, x0, #15
    add x16, x0, #16
    add x17, x0, #17
    add x18, x0, #18
    ret
    .ltorg

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
    /* 4: what lies below the stack pointer, vector registers, the thread pointer and all others
     * survive interrupts */
    mov x0, #1
    mov x8, #1
    svc #0
    ldr x6, =0x123456789
    fmov d5, x6
    msr tpidr_el0, x6
    str x6, [sp, #-8]
    str x6, [sp, #-128]
    ldr w7, =3000000
    mov x0, #100
    mov x1, #101
    mov x2, #102
    mov x3, #103
    mov x4, #104
    mov x5, #105
    mov x10, #110
    mov x11, #111
    mov x12, #112
    mov x13, #113
    mov x14, #114
    mov x15, #115
    mov x16, #116
    mov x17, #117
    mov x18, #118
    mov x19, #119
    mov x20, #120
    mov x21, #121
    mov x22, #122
    mov x23, #123
    mov x24, #124
    mov x25, #125
    mov x26, #126
    mov x27, #127
    mov x28, #128
    mov x29, #129
    mov x30, #130
1:  ldr x9, [sp, #-8]
    cmp x9, x6
    b.ne fail4
    ldr x9, [sp, #-128]
    cmp x9, x6
    b.ne fail4
    subs w7, w7, #1
    b.ne 1b
    cmp x0, #100
    b.ne fail4
    cmp x1, #101
    b.ne fail4
    cmp x2, #102
    b.ne fail4
    cmp x3, #103
    b.ne fail4
    cmp x4, #104
    b.ne fail4
    cmp x5, #105
    b.ne fail4
    cmp x10, #110
    b.ne fail4
    cmp x11, #111
    b.ne fail4
    cmp x12, #112
    b.ne fail4
    cmp x13, #113
    b.ne fail4
    cmp x14, #114
    b.ne fail4
    cmp x15, #115
    b.ne fail4
    cmp x16, #116
    b.ne fail4
    cmp x17, #117
    b.ne fail4
    cmp x18, #118
    b.ne fail4
    cmp x19, #119
    b.ne fail4
    cmp x20, #120
    b.ne fail4
    cmp x21, #121
    b.ne fail4
    cmp x22, #122
    b.ne fail4
    cmp x23, #123
    b.ne fail4
    cmp x24, #124
    b.ne fail4
    cmp x25, #125
    b.ne fail4
    cmp x26, #126
    b.ne fail4
    cmp x27, #127
    b.ne fail4
    cmp x28, #128
    b.ne fail4
    cmp x29, #129
    b.ne fail4
    cmp x30, #130
    b.ne fail4
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
