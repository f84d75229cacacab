/* SPDX-License-Identifier: BSD-3-Clause */
/* insn.h - how long an x86-64 instruction is, and of what it consists. Private to isa/. */
#ifndef SELKIE_ISA_INSN_H
#define SELKIE_ISA_INSN_H

#include "lib/types.h"

/* Prefixes. */
#define INSN_OPSIZE 1u
#define INSN_ADDRSIZE 2u
#define INSN_LOCK 4u
#define INSN_REP 8u
#define INSN_FS 16u
#define INSN_GS 32u
#define INSN_VECTOR 64u /* VEX, EVEX, XOP: map and opcode are of their tables */

struct x64_insn {
    uint8_t length;
    uint8_t prefixes;
    uint8_t rex;    /* 0: none */
    uint8_t map;    /* 0: one byte; 1: 0f; 2: 0f 38; 3: 0f 3a */
    uint8_t opcode; /* the last byte of it */
    bool has_modrm;
    uint8_t modrm, sib;  /* sib: if modrm calls for one */
    uint8_t rip_disp_at; /* where a displacement from the next instruction is; 0: nowhere */
};

/* The instruction at the beginning of `code`. False: none in 64-bit mode, or it is cut. Every valid
 * instruction is known; some invalid ones are taken for valid. */
bool x64_insn_decode(const uint8_t *code, size_t len, struct x64_insn *out);

#endif
