/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * layout.h - where things lie in memory, and the numbers that assembly and C share.
 * Nothing but #defines: included by .S files. linker.ld repeats the image's base.
 *
 *   0000000000010000 .. 0000fffffffff000   programs (TTBR0)
 *   ffff000000000000 ..                    direct map of all RAM (TTBR1, root slots 0..127)
 *   ffff600000000000 .. ffff800000000000   builds with SELKIE_KASAN: shadow (common/kasan.h)
 *   ffff800000000000 .. ffff808000000000   kernel window: stacks and the like (slot 256)
 *   ffffffff80000000 .. ffffffffc0000000   the image, at a random page (kaslr.c)
 *   ffffffffc0000000 .. ffffffffffe00000   device registers (mmu.c, aarch64_mmio_map)
 *
 * The image may be loaded at any 2 MiB boundary; aarch64_image_pa says where it is.
 */
#ifndef SELKIE_AARCH64_LAYOUT_H
#define SELKIE_AARCH64_LAYOUT_H

#define A64_USER_LO 0x10000
#define A64_USER_HI 0xfffffffff000
#define A64_USER_END_BIT 48 /* addresses from 1 << 48 on are not the program's */
#define A64_DIRECT_BASE 0xffff000000000000
#define A64_DIRECT_SIZE 0x0000400000000000  /* 64 TiB */
#define A64_PHYSICAL_END 0x0001000000000000 /* a page-table entry has no more address bits */
#define A64_WINDOW_LO 0xffff800000000000
#define A64_WINDOW_HI 0xffff808000000000
#define A64_IMAGE_BASE 0xffffffff80000000
#define A64_MMIO_LO 0xffffffffc0000000
#define A64_MMIO_HI 0xffffffffffe00000

/* MAIR_EL1: attribute 0 normal write-back, 1 device nGnRE (isa/pte.h). */
#define A64_MAIR 0x04ff

/*
 * SCTLR_EL1 (Arm DDI 0487, D17.2.118): M, C, SA, SA0, I, DZE, UCT, nTWI, nTWE, SPAN, UCI and the
 * bits that are 1 where a feature is missing. Pointer authentication is off (EnIA and friends 0:
 * its hint-space instructions are no-ops and `retaa` is `ret`) until a CPU's keys are set:
 * protect.h.
 */
#define A64_SCTLR_OFF 0x30d00800
#define A64_SCTLR_ON (A64_SCTLR_OFF | 0x405d01d)

/* struct aarch64_cpu for assembly; checked in cpu.c. */
#define CPU_ID 0
#define CPU_FP_STALE 4
#define CPU_STACK_LO 8
#define CPU_STACK_SIZE 16
#define CPU_SCRATCH 24
#define CPU_EMERGENCY 32 /* end of the emergency stack */
#define CPU_START_SP 40
#define CPU_START_THREAD 48
#define CPU_LOCAL 56

/* struct aarch64_secondary: what a CPU reads before its MMU is on (boot.S). */
#define SECONDARY_TTBR0 0
#define SECONDARY_TTBR1 8
#define SECONDARY_TCR 16

/* Checked frames are larger. */
#if SELKIE_KASAN
#define A64_BOOT_STACK_SIZE 65536
#else
#define A64_BOOT_STACK_SIZE 16384
#endif

/* Assemblers for ARMv8.0 know these as hints, and so do CPUs that have neither. Landing pads for
 * calls (and jumps through x16 and x17), for other jumps; the return address signed, checked. */
#define A64_BTI_C hint #34
#define A64_BTI_J hint #36
#define A64_PACIBSP hint #27
#define A64_AUTIBSP hint #31

#endif
