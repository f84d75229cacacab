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

#define FP_X87 1ull
#define FP_SSE 2ull

struct isa_fp_info {
    bool xsave;          /* else FXSAVE: 512 bytes */
    uint32_t mxcsr_mask; /* bits of MXCSR that may be set */
    uint64_t features;   /* state components saved */
    size_t size;
};
extern struct isa_fp_info isa_fp_info;

#endif
