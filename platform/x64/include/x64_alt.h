/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * x64_alt.h - instructions that exist twice: for ring 0, as the image has them, and for ring 3.
 *
 * At boot, if the machine is one where everything runs in ring 3 (ring3.c), each such place is
 * overwritten by its second form and filled up with NOPs. To make room without spending an
 * instruction, the first form carries segment prefixes, which mean nothing to PUSHF, CLI and STI.
 * A second form that is a call or jump is written for the place where it is stored; ring3.c
 * corrects the distance. For C; entry_macros.inc has the same for .S.
 */
#ifndef SELKIE_X64_ALT_H
#define SELKIE_X64_ALT_H

#include "layout.h"

#define X64_STRING2(x) #x
#define X64_STRING(x) X64_STRING2(x)
/* One entry of .x64_alt is struct x64_alt (x64.h). */
#define X64_ALT(ring0, ring3) \
    "771:\n" ring0 "\n772:\n" \
    ".pushsection .x64_alt_code, \"a\"\n773:\n" ring3 "\n774:\n.popsection\n" \
    ".pushsection .x64_alt, \"a\"\n.balign 4\n" \
    ".long 771b - ., 773b - .\n.byte 772b - 771b, 774b - 773b, 0, 0\n.popsection\n"

#define X64_ALT_IRQ_OFF \
    X64_ALT(".byte 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e\ncli", \
            "movb $0, %%gs:" X64_STRING(CPU_IRQ_ON) " + 1")
#define X64_ALT_IRQ_ON X64_ALT(".byte 0x3e, 0x3e, 0x3e, 0x3e\nsti", "call x64_ring3_irq_on")
/* `to`: a 64-bit register; only X64_FLAGS_IF of it counts. */
#define X64_ALT_IRQ_FLAGS(to) \
    X64_ALT(".byte 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e\npushfq\npopq %q" to, \
            "movl %%gs:" X64_STRING(CPU_IRQ_ON) ", %k" to)

#endif
