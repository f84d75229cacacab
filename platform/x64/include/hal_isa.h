/* SPDX-License-Identifier: BSD-3-Clause */
/* hal_isa.h - what platform/x64/isa/ must know about this backend; #defines only, for C and .S. */
#ifndef SELKIE_HAL_ISA_H
#define SELKIE_HAL_ISA_H

/* Programs run in ring 0 with the kernel's own selectors (gdt in cpu.c). Where everything runs in
 * ring 3 (ring3.c), the ways out put the selectors in that they need. */
#define HAL_USER_CS 0x08
#define HAL_USER_SS 0x10
/* A trampoline masks interrupts before it jumps to hal_direct_entry(): the entry runs its first
 * instructions on the program's stack, where an interrupt must not find it. */
#define HAL_DIRECT_ENTRY_CLI (!x64_ring3)

#ifndef __ASSEMBLER__
#include <stdbool.h>
extern bool x64_ring3; /* ring3.c */
#endif

#endif
