/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boot.S - from the Linux arm64 boot protocol (Documentation/arch/arm64/booting.rst) to
 * aarch64_boot() in the higher half; and the same way for the other CPUs.
 *
 * Entered with the MMU off, at EL1 or EL2, at any 2 MiB aligned address, x0 = device tree. Until
 * the MMU is on, code and the C in early.c reach everything relative to the program counter. Then
 * the image moves to a random address (kaslr.c).
 */
#include "layout.h"

    .section .head.text, "ax"
    .globl aarch64_head
aarch64_head:
    b boot_entry
    .long 0
    .quad 0                  /* text_offset: none */
    .quad aarch64_image_size /* memory needed, .bss included */
    .quad 0xa                /* little endian, 4 KiB pages, anywhere in memory */
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long 0

    .section .text.boot, "ax"
boot_entry:
    msr daifset, #0xf
    mov x21, x0 /* device tree; calls preserve it */
    bl drop_to_el1

    /* .bss is not part of the image. Lines of it that a boot loader left in the caches would hide
     * what is written with the MMU off. */
    adrp x0, aarch64_bss_begin
    add x0, x0, :lo12:aarch64_bss_begin
    adrp x1, aarch64_image_end
    add x1, x1, :lo12:aarch64_image_end
1:  stp xzr, xzr, [x0], #16
    cmp x0, x1
    b.lo 1b
    adrp x0, aarch64_bss_begin
    add x0, x0, :lo12:aarch64_bss_begin
    bl invalidate

    adrp x0, aarch64_boot_stack
    add x0, x0, :lo12:aarch64_boot_stack
    add x0, x0, #A64_BOOT_STACK_SIZE
    mov sp, x0
    mov x29, xzr
    mov x0, x21
    adrp x1, aarch64_head
    bl aarch64_early_tables
    /* The tables were written past the caches. */
    adrp x0, aarch64_bss_begin
    add x0, x0, :lo12:aarch64_bss_begin
    adrp x1, aarch64_image_end
    add x1, x1, :lo12:aarch64_image_end
    bl invalidate
    bl enable_mmu

    ldr x0, =boot_high
    br x0
boot_high:
    A64_BTI_J
    adrp x0, aarch64_boot_stack
    add x0, x0, :lo12:aarch64_boot_stack
    add x0, x0, #A64_BOOT_STACK_SIZE
    mov sp, x0
    mov x29, xzr
    mov x0, x21
    bl aarch64_kaslr
    adr x1, boot_moved
    add x1, x1, x0
    br x1
boot_moved:
    A64_BTI_J
    adrp x0, aarch64_boot_stack
    add x0, x0, :lo12:aarch64_boot_stack
    add x0, x0, #A64_BOOT_STACK_SIZE
    mov sp, x0
    mov x29, xzr
    mov x30, xzr
    mov x0, x21
    adrp x1, aarch64_boot_stack
    add x1, x1, :lo12:aarch64_boot_stack
    mov x2, #A64_BOOT_STACK_SIZE
    bl aarch64_boot
    brk #1

/* A CPU started through PSCI: x0 = its struct aarch64_cpu (a kernel address). */
    .globl aarch64_secondary_entry
aarch64_secondary_entry:
    msr daifset, #0xf
    mov x21, x0
    bl drop_to_el1
    bl enable_mmu
    ldr x0, =secondary_high
    br x0
secondary_high:
    A64_BTI_J
    ldr x0, [x21, #CPU_START_SP]
    mov sp, x0
    ldr x0, [x21, #CPU_START_THREAD]
    msr tpidr_el1, x0
    msr tpidrro_el0, x21
    mov x29, xzr
    mov x30, xzr
    mov x0, x21
    bl aarch64_secondary_main
    brk #1

/* Drop from EL2, if we are there, to EL1h with everything masked; set SCTLR_EL1 with the MMU off.
 * Uses x0..x2 and x30. */
drop_to_el1:
    ldr x0, =A64_SCTLR_OFF
    mrs x1, CurrentEL
    cmp x1, #(2 << 2)
    b.eq 1f
    msr sctlr_el1, x0
    msr spsel, #1
    isb
    ret
    /* RW: EL1 is AArch64. APK, API: no traps of pointer authentication. E2H off: until then the
     * names of EL1's registers may mean EL2's. */
1:  ldr x1, =(1 << 31 | 3 << 40)
    msr hcr_el2, x1
    isb
    msr sctlr_el1, x0
    mov x0, #0x33ff /* CPTR_EL2: floating point is not trapped, SVE is */
    msr cptr_el2, x0
    msr hstr_el2, xzr
    msr mdcr_el2, xzr
    msr vttbr_el2, xzr
    mrs x0, midr_el1
    msr vpidr_el2, x0
    mrs x0, mpidr_el1
    msr vmpidr_el2, x0
    /* The counters are EL1's, and the virtual one is the physical one. */
    mov x0, #3
    msr cnthctl_el2, x0
    msr cntvoff_el2, xzr
    /* GICv3: EL1 uses the system registers. */
    mrs x0, id_aa64pfr0_el1
    ubfx x0, x0, #24, #4
    cbz x0, 2f
    mrs x0, s3_4_c12_c9_5 /* ICC_SRE_EL2 */
    mov x1, #9 /* SRE, Enable */
    orr x0, x0, x1
    msr s3_4_c12_c9_5, x0
    isb
    msr s3_4_c12_c11_0, xzr /* ICH_HCR_EL2 */
2:  mov x0, #0x3c5 /* EL1h, all masked */
    msr spsr_el2, x0
    msr elr_el2, x30
    eret

/* Turn the MMU on with the tables of aarch64_secondary. The identity map in TTBR0 covers this code.
 * Uses x0..x3. */
enable_mmu:
    adrp x3, aarch64_secondary
    add x3, x3, :lo12:aarch64_secondary
    ldr x0, [x3, #SECONDARY_TTBR0]
    ldr x1, [x3, #SECONDARY_TTBR1]
    ldr x2, [x3, #SECONDARY_TCR]
    msr ttbr0_el1, x0
    msr ttbr1_el1, x1
    msr tcr_el1, x2
    mov x0, #A64_MAIR
    msr mair_el1, x0
    isb
    tlbi vmalle1
    dsb nsh
    ic iallu
    dsb nsh
    isb
    ldr x0, =A64_SCTLR_ON
    msr sctlr_el1, x0
    isb
    ret

/* void aarch64_replace_ttbr1(uint64_t root), called at its physical address while TTBR0 holds the
 * identity map. Break before make (DDI 0487, D8.14): no translation of the old tables may be left
 * when the first one of the new tables, with other block sizes, is made. Uses x0..x2. */
    .globl aarch64_replace_ttbr1
aarch64_replace_ttbr1:
    A64_BTI_C
    mrs x1, tcr_el1
    orr x2, x1, #(1 << 23) /* EPD1: no walks */
    msr tcr_el1, x2
    isb
    tlbi vmalle1
    dsb nsh
    isb
    msr ttbr1_el1, x0
    isb
    msr tcr_el1, x1
    isb
    ret

/* Invalidate the data cache for [x0, x1). Uses x2, x3. */
invalidate:
    mrs x2, ctr_el0
    ubfx x2, x2, #16, #4
    mov x3, #4
    lsl x3, x3, x2
    sub x2, x3, #1
    bic x0, x0, x2
    dmb sy
1:  dc ivac, x0
    add x0, x0, x3
    cmp x0, x1
    b.lo 1b
    dsb sy
    ret

    .ltorg

    .section .bss.boot_stack, "aw", %nobits
    .balign 4096
    .globl aarch64_boot_guard, aarch64_boot_stack
aarch64_boot_guard: /* not mapped by the final page tables */
    .skip 4096
aarch64_boot_stack:
    .skip A64_BOOT_STACK_SIZE

    .section .note.GNU-stack, "", %progbits
