/* SPDX-License-Identifier: BSD-3-Clause */
/* hal_isa.h - what platform/x64/isa/ must know about this backend; #defines only, for C and .S. */
#ifndef SELKIE_HAL_ISA_H
#define SELKIE_HAL_ISA_H

/* Selectors that programs run with: Linux's __USER_CS and __USER_DS. */
#define HAL_USER_CS 0x33
#define HAL_USER_SS 0x2b
/* Must a trampoline mask interrupts before it jumps to hal_direct_entry()? Not here: they are a
 * flag in memory that is set while user code runs. */
#define HAL_DIRECT_ENTRY_CLI 0

#endif
