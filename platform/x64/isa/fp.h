/* SPDX-License-Identifier: BSD-3-Clause */
/* fp.h - what fp.c and sigframe.c share about the XSAVE area (Intel SDM vol. 1, chapter 13:
 * standard format). Private to isa/. */
#ifndef SELKIE_ISA_FP_H
#define SELKIE_ISA_FP_H

#include "lib/types.h"

#define FP_LEGACY_SIZE 512
#define FP_FCW 0           /* u16 */
#define FP_MXCSR 24        /* u32 */
#define FP_MXCSR_MASK 28   /* u32 */
#define FP_SW_RESERVED 464 /* 48 bytes that software owns */
#define FP_XSTATE_BV 512   /* u64 */
#define FP_XCOMP_BV 520    /* u64; zero in the standard format */
#define FP_HEADER_SIZE 64

#define FP_FCW_INIT 0x37fu
#define FP_MXCSR_INIT 0x1f80u

/* State components (SDM vol. 1, 13.1). */
#define FP_X87 1ull
#define FP_SSE 2ull
#define FP_AVX 4ull       /* upper halves of ymm0-15 */
#define FP_OPMASK 0x20ull /* k0-7 */
#define FP_HI256 0x40ull  /* upper halves of zmm0-15 */
#define FP_HI16 0x80ull   /* zmm16-31 */
#define FP_EXTENDED_FIRST 2
#define FP_EXTENDED_LAST 7

struct isa_fp_info {
    bool xsave;          /* else FXSAVE: 512 bytes */
    bool pointers_leak;  /* the x87 exception pointers are not saved and restored each time */
    uint32_t mxcsr_mask; /* bits of MXCSR that may be set */
    uint64_t features;   /* state components saved */
    size_t size;
    /* Components are moved by plain loads and stores: the CPU tells which are in use. */
    bool by_hand;
    bool x87_untracked; /* XGETBV says that x87 is in use, always */
    uint16_t offset[FP_EXTENDED_LAST + 1], length[FP_EXTENDED_LAST + 1];
};
extern struct isa_fp_info isa_fp_info;

/* An area says which components it holds; what is stored of the others means nothing. Give those
 * the initial values, for someone who looks at them: `area` becomes as XSAVE writes it. */
void isa_fp_complete(void *area);

#endif
