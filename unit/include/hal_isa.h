/* SPDX-License-Identifier: BSD-3-Clause */
/* hal_isa.h - what a backend tells the x86-64 ISA code, for tests of that code alone. */
#ifndef HAL_ISA_H
#define HAL_ISA_H

#define HAL_USER_CS 0x33
#define HAL_USER_SS 0x2b
#define HAL_DIRECT_ENTRY_CLI 0

#endif
