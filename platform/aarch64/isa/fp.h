/* SPDX-License-Identifier: BSD-3-Clause */
/* fp.h - the layout of the vector register area, for fp.c, fp_regs.S and sigframe.c. Private to
 * isa/. */
#ifndef SELKIE_ISA_FP_H
#define SELKIE_ISA_FP_H

#include "lib/types.h"

#define FP_VREGS_SIZE 512
#define FP_FPSR 512 /* u32 */
#define FP_FPCR 516 /* u32 */
#define FP_SIZE 528 /* a multiple of 16 */

#endif
