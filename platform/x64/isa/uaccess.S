/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uaccess.S - the only instructions of the kernel that touch user memory.
 *
 * A fault between isa_uaccess_begin and isa_uaccess_end that the kernel cannot mend continues at
 * isa_uaccess_fault, which returns -EFAULT to the caller. So the functions here are leaves that
 * keep the stack pointer and the callee-saved registers as they were at the call.
 *
 * A fault needs room for a frame below the stack pointer. Kernel stacks grow when they are touched
 * (mm/kvm.c), but whoever builds that frame cannot have another fault, so each function touches the
 * room first. That fault is the stack's own, and handled on another one.
 *
 * `rep movsq` and not `movsb`: as fast on hardware for the lengths seen, eight times faster under
 * emulation. Copies below 64 bytes avoid its start-up cost.
 */
#include "isa/frame_offsets.h"

#define EFAULT 14

.macro FRAME_ROOM
    testb %al, -(FRAME_SIZE + 64)(%rsp)
.endm

.macro FUNC name
    .globl \name
    .type \name, @function
    .balign 16
\name:
.endm
.macro END name
    .size \name, . - \name
.endm

    .section .text.isa_uaccess, "ax", @progbits
    .globl isa_uaccess_begin
isa_uaccess_begin:

/* int isa_user_copy(void *dst, const void *src, size_t len) */
FUNC isa_user_copy
    FRAME_ROOM
    cmpq $64, %rdx
    jae 3f
    subq $8, %rdx
    jb 2f
1:  movq (%rsi), %rax
    movq %rax, (%rdi)
    addq $8, %rsi
    addq $8, %rdi
    subq $8, %rdx
    jae 1b
2:  addq $8, %rdx
    jz 5f
4:  movb (%rsi), %al
    movb %al, (%rdi)
    incq %rsi
    incq %rdi
    decq %rdx
    jnz 4b
5:  xorl %eax, %eax
    ret
3:  movq %rdx, %rcx
    shrq $3, %rcx
    andl $7, %edx
    rep movsq
    movl %edx, %ecx
    rep movsb
    xorl %eax, %eax
    ret
END isa_user_copy

/* int isa_user_zero(void *dst, size_t len) */
FUNC isa_user_zero
    FRAME_ROOM
    movq %rsi, %rcx
    shrq $3, %rcx
    andl $7, %esi
    xorl %eax, %eax
    rep stosq
    movl %esi, %ecx
    rep stosb
    ret
END isa_user_zero

/* long isa_user_strcpy(char *dst, const char *src, size_t size) */
FUNC isa_user_strcpy
    FRAME_ROOM
    xorl %eax, %eax
    testq %rdx, %rdx
    jz 2f
1:  movb (%rsi,%rax), %cl
    movb %cl, (%rdi,%rax)
    incq %rax
    testb %cl, %cl
    jz 2f
    cmpq %rdx, %rax
    jb 1b
2:  ret
END isa_user_strcpy

/* int isa_user_load_u32(const uint32_t *addr, uint32_t *out) */
FUNC isa_user_load_u32
    FRAME_ROOM
    movl (%rdi), %eax
    movl %eax, (%rsi)
    xorl %eax, %eax
    ret
END isa_user_load_u32

/* int isa_user_store_u32(uint32_t *addr, uint32_t value): xchg, for sequential consistency */
FUNC isa_user_store_u32
    FRAME_ROOM
    xchgl %esi, (%rdi)
    xorl %eax, %eax
    ret
END isa_user_store_u32

/* int isa_user_cmpxchg_u32(uint32_t *addr, uint32_t expected, uint32_t desired, uint32_t *seen) */
FUNC isa_user_cmpxchg_u32
    FRAME_ROOM
    movl %esi, %eax
    lock cmpxchgl %edx, (%rdi)
    movl %eax, (%rcx)
    xorl %eax, %eax
    ret
END isa_user_cmpxchg_u32

    .globl isa_uaccess_end
isa_uaccess_end:

    .globl isa_uaccess_fault
    .type isa_uaccess_fault, @function
isa_uaccess_fault:
    movq $-EFAULT, %rax
    ret
    .size isa_uaccess_fault, . - isa_uaccess_fault

    .section .note.GNU-stack, "", @progbits
