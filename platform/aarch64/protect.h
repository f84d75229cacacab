/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * protect.h - branch target identification and pointer authentication (Arm DDI 0487, D8.4.5, D8.9).
 *
 * The kernel's text is guarded (GP): a call or jump through a pointer that does not hit a landing
 * pad is an exception. Its return addresses are signed with instruction key B, the same on all
 * CPUs, new at each boot, and the stack pointer. Keys A, DA, DB and GA are the program's
 * (isa/fp.h), which runs at this exception level, too; what it signs with key B it signs with the
 * kernel's.
 */
#ifndef SELKIE_AARCH64_PROTECT_H
#define SELKIE_AARCH64_PROTECT_H

#include "aarch64.h"
#include "isa/fp.h"

#define SCTLR_ENIA (1ull << 31)
#define SCTLR_ENIB (1ull << 30)
#define SCTLR_ENDA (1ull << 27)
#define SCTLR_ENDB (1ull << 13)
#define SCTLR_BT1 (1ull << 36) /* PACIxSP is no landing pad for jumps but through x16 and x17 */

extern uint64_t aarch64_kernel_key[2];

static inline bool a64_has_bti(void)
{
    return a64_read(id_aa64pfr1_el1) & 15;
}

/* On the executing CPU. Inlined by force into functions that never return: who returns from here on
 * must have been called behind this. */
static inline __attribute__((always_inline)) void a64_pointer_auth_on(void)
{
    uint64_t sctlr = a64_read(sctlr_el1) | (a64_has_bti() ? SCTLR_BT1 : 0);

    if (isa_has_pointer_auth()) {
        a64_write(s3_0_c2_c1_2, aarch64_kernel_key[0]); /* APIBKeyLo_EL1 */
        a64_write(s3_0_c2_c1_3, aarch64_kernel_key[1]);
        sctlr |= SCTLR_ENIA | SCTLR_ENIB | SCTLR_ENDA | SCTLR_ENDB;
    }
    a64_write(sctlr_el1, sctlr);
    a64_isb();
}

/* Make the program's keys those of an area of vector registers. */
static inline void a64_keys_load(const void *fp)
{
    const uint64_t *key = (const uint64_t *)(const void *)((const uint8_t *)fp + FP_KEYS);

    a64_write(s3_0_c2_c1_0, key[0]); /* APIAKey{Lo,Hi}_EL1 */
    a64_write(s3_0_c2_c1_1, key[1]);
    a64_write(s3_0_c2_c2_0, key[2]); /* APDAKey */
    a64_write(s3_0_c2_c2_1, key[3]);
    a64_write(s3_0_c2_c2_2, key[4]); /* APDBKey */
    a64_write(s3_0_c2_c2_3, key[5]);
    a64_write(s3_0_c2_c3_0, key[6]); /* APGAKey */
    a64_write(s3_0_c2_c3_1, key[7]);
}

/* The return address of a function that was entered with this stack pointer, as PACIBSP signs it.
 */
static inline uintptr_t a64_sign_return(uintptr_t pc, uintptr_t sp)
{
    register uintptr_t x17 __asm__("x17") = pc;
    register uintptr_t x16 __asm__("x16") = sp;

    __asm__("hint #10" : "+r"(x17) : "r"(x16)); /* PACIB1716 */
    return x17;
}

#endif
