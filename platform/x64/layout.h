/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * layout.h - where things lie in memory, and the numbers that assembly and C share.
 * Nothing but #defines: included by .S files. linker.ld repeats the image's addresses.
 *
 *   0000000000010000 .. 00007ffffffff000   programs
 *   ffff888000000000 ..                    direct map of all RAM (PML4 slot 273 on)
 *   ffffc90000000000 .. ffffc98000000000   kernel window: stacks and the like (slot 402)
 *   ffffec0000000000 .. fffffc0000000000   builds with SELKIE_KASAN: shadow (common/kasan.h)
 *   ffffffff80000000 .. ffffffffc0000000   the image, somewhere (kaslr.c); linked at its physical
 *                                          address + that
 *   ffffffffc0000000 .. ffffffffffe00000   device registers (mmu.c, x64_mmio_map)
 *
 * PML4 slot 256 stays empty: a KVM module without hardware support claims it.
 */
#ifndef SELKIE_X64_LAYOUT_H
#define SELKIE_X64_LAYOUT_H

#define X64_USER_LO 0x10000
#define X64_USER_HI 0x7ffffffff000
#define X64_USER_END_BIT 47 /* addresses from 1 << 47 on are the kernel's */
#define X64_DIRECT_BASE 0xffff888000000000
#define X64_DIRECT_SIZE 0x0000200000000000 /* 32 TiB */
#define X64_WINDOW_LO 0xffffc90000000000
#define X64_WINDOW_HI 0xffffc98000000000
#define X64_IMAGE_BASE 0xffffffff80000000
#define X64_MMIO_LO 0xffffffffc0000000
#define X64_MMIO_HI 0xffffffffffe00000

/* Checked frames are larger. */
#if SELKIE_KASAN
#define X64_BOOT_STACK_SIZE 65536
#define X64_TRAP_STACK_SIZE 16384
#define X64_FATAL_STACK_SIZE 16384
#define X64_FAULT_STACK_SIZE 32768
#else
#define X64_BOOT_STACK_SIZE 16384
#define X64_TRAP_STACK_SIZE 4096
#define X64_FATAL_STACK_SIZE 4096
#define X64_FAULT_STACK_SIZE 8192 /* a kernel bug is reported from here */
#endif

/* Selectors. 0x28 and 0x30 stand where Linux has its user segments: a hypervisor that runs guest
 * ring 3 against the host's descriptor table needs them there. */
#define X64_CS 0x08
#define X64_DS 0x10
#define X64_CS32 0x18
#define X64_USER_DS 0x2b
#define X64_USER_CS 0x33
#define X64_TSS 0x38

/* struct x64_cpu for assembly; checked in cpu.c. */
#define CPU_SELF 0
#define CPU_THREAD 8
#define CPU_ID 16
#define CPU_TLB_PENDING 20
#define CPU_FP_STALE 21
#define CPU_KSTACK 24
#define CPU_USER_SP 32
#define CPU_IRQ_ON 40
#define CPU_IRQ_NOTED 44
#define CPU_INT_RIP 48
#define CPU_INT_RSP 56
#define CPU_INT_RFLAGS 64
#define CPU_INT_VECTOR 72
#define CPU_INT_RAX 80
#define CPU_TRAP_TOP 88
#define CPU_CR2 96
#define CPU_LOCAL 104

/* Interrupt vectors. */
#define X64_VECTOR_TIMER 0x20
#define X64_VECTOR_IPI 0x21
#define X64_VECTOR_TLB 0x22
#define X64_VECTOR_SERIAL 0x23
#define X64_VECTOR_DEVICE 0x24 /* and those up to the spurious one */
#define X64_VECTOR_SPURIOUS 0x2f
#define X64_VECTOR_COUNT 0x30
#define X64_VECTOR_NOTED 0x30 /* not the CPU's: those in irq_noted (ring3.S) */

/* Where in its page the AP trampoline keeps what the boot CPU fills in (trampoline.S). */
#define TRAMPOLINE_DATA 0xf00
#define TRAMPOLINE_ROOT (TRAMPOLINE_DATA + 0)
#define TRAMPOLINE_EFER (TRAMPOLINE_DATA + 8)
#define TRAMPOLINE_STACK (TRAMPOLINE_DATA + 16)
#define TRAMPOLINE_CPU (TRAMPOLINE_DATA + 24)
#define TRAMPOLINE_ENTRY (TRAMPOLINE_DATA + 32)
#define TRAMPOLINE_GDTR (TRAMPOLINE_DATA + 40)
#define TRAMPOLINE_FAR64 (TRAMPOLINE_DATA + 48)
#define TRAMPOLINE_GDT (TRAMPOLINE_DATA + 64) /* 3 descriptors */

#endif
