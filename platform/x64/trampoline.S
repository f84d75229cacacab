/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trampoline.S - the first instructions of every CPU but the first.
 *
 * A start-up IPI begins at offset 0 of a page below 1 MiB, in real mode (SDM vol. 3, 9.4.4). cpu.c
 * copies this code there and fills in the data at TRAMPOLINE_DATA (layout.h): the page-table root
 * that also maps this page at its own address, the descriptor table, and where to go. The code
 * goes from real mode to long mode in one step, by setting CR0.PE and CR0.PG together.
 */
#include "layout.h"

    .section .rodata.trampoline, "a"
    .globl x64_trampoline_begin, x64_trampoline_end, x64_trampoline_64
    .code16
x64_trampoline_begin:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl TRAMPOLINE_GDTR
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl TRAMPOLINE_ROOT, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    movl TRAMPOLINE_EFER, %eax
    xorl %edx, %edx
    wrmsr
    movl %cr0, %eax
    andl $0x9fffffff, %eax /* caches on: CD and NW are set after INIT */
    orl $0x80000001, %eax
    movl %eax, %cr0
    ljmpl *TRAMPOLINE_FAR64

    .code64
x64_trampoline_64:
    leaq x64_trampoline_begin(%rip), %rbx
    xorl %eax, %eax
    movl %eax, %ss
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movq TRAMPOLINE_STACK(%rbx), %rsp
    movq TRAMPOLINE_CPU(%rbx), %rdi
    xorl %ebp, %ebp
    callq *TRAMPOLINE_ENTRY(%rbx)
    ud2
x64_trampoline_end:

    .section .note.GNU-stack, "", @progbits
