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
 * emulation. Copies below 256 bytes avoid its start-up cost, and what each round of it takes there.
 * What is left behind their last word is copied with bytes before it that have been copied already.
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
    cmpq $256, %rdx
    jae 3f
    movq %rdx, %r11
    subq $32, %rdx
    jb 7f
6:  movq (%rsi), %rax
    movq 8(%rsi), %rcx
    movq 16(%rsi), %r8
    movq 24(%rsi), %r9
    movq %rax, (%rdi)
    movq %rcx, 8(%rdi)
    movq %r8, 16(%rdi)
    movq %r9, 24(%rdi)
    addq $32, %rsi
    addq $32, %rdi
    subq $32, %rdx
    jae 6b
7:  addq $24, %rdx
    jnc 2f
1:  movq (%rsi), %rax
    movq %rax, (%rdi)
    addq $8, %rsi
    addq $8, %rdi
    subq $8, %rdx
    jae 1b
2:  addq $8, %rdx
    jz 5f
    cmpq $8, %r11
    jb 4f
    movq -8(%rsi,%rdx), %rax
    movq %rax, -8(%rdi,%rdx)
    xorl %eax, %eax
    ret
4:  testb $4, %dl
    jz 8f
    movl (%rsi), %eax
    movl -4(%rsi,%rdx), %ecx
    movl %eax, (%rdi)
    movl %ecx, -4(%rdi,%rdx)
    xorl %eax, %eax
    ret
8:  movb (%rsi), %al
    movb %al, (%rdi)
    incq %rsi
    incq %rdi
    decq %rdx
    jnz 8b
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

/* long isa_user_strcpy(char *dst, const char *src, size_t size)
 * Eight bytes at a time while there is room for them and they lie in one page, as the next one may
 * not be there. The lowest bit set in (word - 0x01..) & ~word & 0x80.. is in the first byte that is
 * 0; what stands behind it in dst does not matter. */
FUNC isa_user_strcpy
    FRAME_ROOM
    xorl %eax, %eax
    testq %rdx, %rdx
    jz 2f
    movabsq $0x0101010101010101, %r8
    movq %r8, %r9
    shlq $7, %r9
3:  leaq 8(%rax), %rcx
    cmpq %rdx, %rcx
    ja 1f
    leal (%rsi,%rax), %ecx
    andl $4095, %ecx
    cmpl $4088, %ecx
    ja 1f
    movq (%rsi,%rax), %rcx
    movq %rcx, (%rdi,%rax)
    movq %rcx, %r10
    subq %r8, %r10
    notq %rcx
    andq %rcx, %r10
    andq %r9, %r10
    jnz 4f
    addq $8, %rax
    cmpq %rdx, %rax
    jb 3b
    ret
4:  bsfq %r10, %r10
    shrl $3, %r10d
    leaq 1(%rax,%r10), %rax
    ret
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
