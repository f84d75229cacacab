/* SPDX-License-Identifier: BSD-3-Clause */
/* fp.h - the layout of the vector register area, for fp.c, fp_regs.S, sigframe.c and the machine.
 */
#ifndef SELKIE_ISA_FP_H
#define SELKIE_ISA_FP_H

#include "lib/types.h"

#define FP_VREGS_SIZE 512
#define FP_FPSR 512 /* u32 */
#define FP_FPCR 516 /* u32 */
#define FP_KEYS 528 /* pointer authentication: APIA, APDA, APDB, APGA, 16 bytes each */
#define FP_SIZE 592 /* a multiple of 16 */

bool isa_has_pointer_auth(void); /* does the CPU sign addresses? */
extern bool isa_pointer_auth;    /* the same, once isa_fp_setup has run */

#endif
