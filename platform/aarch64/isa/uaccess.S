/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uaccess.S - the only instructions of the kernel that touch user memory.
 *
 * A fault between isa_uaccess_begin and isa_uaccess_end that the kernel cannot mend continues at
 * isa_uaccess_fault, which returns -EFAULT to the caller. So the functions here are leaves that
 * keep the stack pointer, the return address and the callee-saved registers as they were.
 *
 * Ordinary loads and stores are right: the pages are EL1's own (isa/pte.h), PAN does not apply.
 */
#define EFAULT 14

.macro FUNC name
    .globl \name
    .type \name, %function
    .balign 16
\name:
.endm
.macro END name
    .size \name, . - \name
.endm

    .section .text.isa_uaccess, "ax", %progbits
    .globl isa_uaccess_begin
isa_uaccess_begin:

/* int isa_user_copy(void *dst, const void *src, size_t len) */
FUNC isa_user_copy
    subs x2, x2, #32
    b.lo 2f
1:  ldp x3, x4, [x1], #16
    ldp x5, x6, [x1], #16
    stp x3, x4, [x0], #16
    stp x5, x6, [x0], #16
    subs x2, x2, #32
    b.hs 1b
2:  adds x2, x2, #32 - 8
    b.mi 4f
3:  ldr x3, [x1], #8
    str x3, [x0], #8
    subs x2, x2, #8
    b.pl 3b
4:  adds x2, x2, #8
    b.eq 6f
5:  ldrb w3, [x1], #1
    strb w3, [x0], #1
    subs x2, x2, #1
    b.ne 5b
6:  mov x0, #0
    ret
END isa_user_copy

/* int isa_user_zero(void *dst, size_t len) */
FUNC isa_user_zero
    subs x1, x1, #32
    b.lo 2f
1:  stp xzr, xzr, [x0], #16
    stp xzr, xzr, [x0], #16
    subs x1, x1, #32
    b.hs 1b
2:  adds x1, x1, #32
    b.eq 4f
3:  strb wzr, [x0], #1
    subs x1, x1, #1
    b.ne 3b
4:  mov x0, #0
    ret
END isa_user_zero

/* long isa_user_strcpy(char *dst, const char *src, size_t size) */
FUNC isa_user_strcpy
    mov x3, #0
    cbz x2, 2f
1:  ldrb w4, [x1, x3]
    strb w4, [x0, x3]
    add x3, x3, #1
    cbz w4, 2f
    cmp x3, x2
    b.lo 1b
2:  mov x0, x3
    ret
END isa_user_strcpy

/* int isa_user_load_u32(const uint32_t *addr, uint32_t *out) */
FUNC isa_user_load_u32
    ldar w2, [x0]
    str w2, [x1]
    mov x0, #0
    ret
END isa_user_load_u32

/* int isa_user_store_u32(uint32_t *addr, uint32_t value): sequentially consistent with what follows
 * and, by the release, with what went before. */
FUNC isa_user_store_u32
    stlr w1, [x0]
    dmb ish
    mov x0, #0
    ret
END isa_user_store_u32

/* int isa_user_cmpxchg_u32(uint32_t *addr, uint32_t expected, uint32_t desired, uint32_t *seen) */
FUNC isa_user_cmpxchg_u32
1:  ldaxr w4, [x0]
    cmp w4, w1
    b.ne 2f
    stlxr w5, w2, [x0]
    cbnz w5, 1b
    dmb ish
    str w4, [x3]
    mov x0, #0
    ret
2:  clrex
    str w4, [x3]
    mov x0, #0
    ret
END isa_user_cmpxchg_u32

    .globl isa_uaccess_end
isa_uaccess_end:

    .globl isa_uaccess_fault
    .type isa_uaccess_fault, %function
isa_uaccess_fault:
    mov x0, #-EFAULT
    ret
    .size isa_uaccess_fault, . - isa_uaccess_fault

    .section .note.GNU-stack, "", %progbits
