/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frame_offsets.h - struct isa_frame for assembly: byte offsets, checked against the structure
 * in isa/frame.h. Nothing but #defines, so .S files may include it.
 */
#ifndef SELKIE_ISA_FRAME_OFFSETS_H
#define SELKIE_ISA_FRAME_OFFSETS_H

#define FRAME_RAX 0
#define FRAME_RBX 8
#define FRAME_RCX 16
#define FRAME_RDX 24
#define FRAME_RSI 32
#define FRAME_RDI 40
#define FRAME_RBP 48
#define FRAME_R8 56
#define FRAME_R9 64
#define FRAME_R10 72
#define FRAME_R11 80
#define FRAME_R12 88
#define FRAME_R13 96
#define FRAME_R14 104
#define FRAME_R15 112
#define FRAME_TRAPPED 120
#define FRAME_ORIG_RAX 128
/* From here on as the CPU pushes it and iretq wants it. */
#define FRAME_RIP 136
#define FRAME_CS 144
#define FRAME_RFLAGS 152
#define FRAME_RSP 160
#define FRAME_SS 168
#define FRAME_SIZE 176

/* Values of the `trapped` word (bits). */
#define FRAME_TRAPPED_SYSCALL 1 /* entered by the instruction at rip - 2, not by a direct jump */
#define FRAME_TRAPPED_FULL 2    /* every register must be restored on the way out */

#endif
