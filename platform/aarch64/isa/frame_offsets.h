/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frame_offsets.h - struct isa_frame for assembly: byte offsets, checked against the structure
 * in isa/frame.h. Nothing but #defines, so .S files may include it.
 */
#ifndef SELKIE_ISA_FRAME_OFFSETS_H
#define SELKIE_ISA_FRAME_OFFSETS_H

#define FRAME_X(n) ((n)*8)
#define FRAME_SP 248
#define FRAME_PC 256
#define FRAME_PSTATE 264
#define FRAME_ORIG_X0 272
#define FRAME_SYSNO 280
#define FRAME_TRAPPED 288
#define FRAME_SIZE 304

/* Program status of user code: EL1t (EL1 with SP_EL0), interrupts on (Arm DDI 0487, C5.2.19). */
#define FRAME_PSTATE_USER 0x4
#define FRAME_PSTATE_NZCV 0xf0000000
/* How the instruction was reached that comes next: by a branch that wants a landing pad there
 * (BTYPE). Set for a call. */
#define FRAME_PSTATE_BTYPE 0xc00
#define FRAME_PSTATE_BTYPE_CALL 0x800

#endif
