/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boot.S - PVH entry: from 32-bit protected mode without paging to x64_boot() in the higher half.
 *
 * The loader (QEMU, Firecracker, Cloud Hypervisor) finds the entry in an ELF note and comes with
 * flat 32-bit segments, interrupts off and %ebx = struct hvm_start_info ("x86/HVM direct boot ABI",
 * xen/docs/misc/pvh.pandoc). It has zeroed .bss, as it must for any ELF image.
 *
 * The tables made here map the first GiB of memory twice with 2 MiB pages, where it is and at the
 * direct map, and the first 4 MiB at the image base. x64_kaslr() adds the image at its random
 * address, and the loop here changes the addresses in it. mmu.c replaces these tables by the real
 * ones.
 */
#include "layout.h"

#define PHYS(symbol) ((symbol) - X64_IMAGE_BASE)

    .section .note.Xen, "a", @note
    .align 4
    .long 4, 8, 18 /* name size, value size, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad x64_pvh_entry_phys

    .section .text.boot, "ax"
    .code32
    .globl x64_pvh_entry
x64_pvh_entry:
    cli
    cld
    movl $PHYS(boot_stack_top), %esp

    /* Tables: entries are 7 = present, writable, user. */
    movl $PHYS(boot_pdpt_low) + 7, %eax
    movl %eax, PHYS(x64_boot_pml4)
    movl %eax, PHYS(x64_boot_pml4) + 273 * 8
    movl $PHYS(boot_pdpt_high) + 7, PHYS(x64_boot_pml4) + 511 * 8
    movl $PHYS(boot_pd) + 7, PHYS(boot_pdpt_low)
    movl $PHYS(x64_boot_image_pd) + 7, PHYS(boot_pdpt_high) + 510 * 8
    movl $0x87, PHYS(x64_boot_image_pd) /* present, writable, user, 2 MiB */
    movl $0x200087, PHYS(x64_boot_image_pd) + 8
    xorl %ecx, %ecx
    movl $0x87, %eax /* present, writable, user, 2 MiB */
1:  movl %eax, PHYS(boot_pd)(, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $512, %ecx
    jne 1b

    /* Long mode (SDM vol. 3, 10.8.5): PAE, root, EFER.LME, paging. */
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $PHYS(x64_boot_pml4), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0
    lgdt PHYS(boot_gdtr)
    ljmp $X64_CS, $PHYS(boot_64)

    .code64
boot_64:
    movabsq $boot_high, %rax
    jmp *%rax
boot_high:
    xorl %eax, %eax
    movl %eax, %ss
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    leaq boot_stack_top(%rip), %rsp
    xorl %ebp, %ebp
    movl %ebx, %edi
    call x64_kaslr
    testq %rax, %rax
    jz boot_moved

    /* Both places show the same memory. Lists: see cmake/relocs.sh. */
    movq %rax, %rdi
    leaq x64_relocs(%rip), %rsi
    leaq x64_image_begin - 1(%rip), %rdx
1:  call next_distance
    addq %rax, %rdx
    testl %eax, %eax
    jz 2f
    addq %rdi, (%rdx)
    jmp 1b
2:  leaq x64_image_begin - 1(%rip), %rdx
3:  call next_distance
    addq %rax, %rdx
    testl %eax, %eax
    jz 4f
    addl %edi, (%rdx)
    jmp 3b
4:  leaq x64_data_begin - 1(%rip), %rdx
5:  call next_distance
    addq %rax, %rdx
    testl %eax, %eax
    jz 6f
    addq %rdi, (%rdx)
    jmp 5b
6:  leaq boot_moved(%rip), %rax
    addq %rdi, %rax
    jmp *%rax
boot_moved:
    leaq boot_stack_top(%rip), %rsp
    movl %ebx, %edi
    leaq x64_boot_stack(%rip), %rsi
    movl $X64_BOOT_STACK_SIZE, %edx
    call x64_boot
    ud2

/* Of the list at rsi the next number, ULEB128, in eax. Changes ecx, r8, r9. */
next_distance:
    xorl %eax, %eax
    xorl %ecx, %ecx
1:  movzbl (%rsi), %r8d
    incq %rsi
    movl %r8d, %r9d
    andl $0x7f, %r9d
    shll %cl, %r9d
    orl %r9d, %eax
    addl $7, %ecx
    testb %r8b, %r8b
    js 1b
    ret

    .section .rodata.boot, "a"
    .align 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 0x08: 64-bit code */
boot_gdtr:
    .word . - boot_gdt - 1
    .long PHYS(boot_gdt)
    .long 0

    .section .bss.boot, "aw", @nobits
    .align 4096
    .globl x64_boot_pml4
x64_boot_pml4:
    .skip 4096
boot_pdpt_low:
    .skip 4096
boot_pdpt_high:
    .skip 4096
boot_pd:
    .skip 4096
    .globl x64_boot_image_pd, x64_boot_image_pt
x64_boot_image_pd:
    .skip 4096
x64_boot_image_pt:
    .skip 3 * 4096
    .globl x64_boot_guard, x64_boot_stack
x64_boot_guard: /* not mapped by the final page tables */
    .skip 4096
x64_boot_stack:
    .skip X64_BOOT_STACK_SIZE
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
