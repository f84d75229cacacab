/* SPDX-License-Identifier: BSD-3-Clause */
/* vcpu_offsets.h - the words of struct vcpu (hosted.h) that assembly and inline code reach through
 * %gs. Nothing but #defines; checked in cpu.c. */
#ifndef SELKIE_VCPU_OFFSETS_H
#define SELKIE_VCPU_OFFSETS_H

#define VCPU_SELF 0
#define VCPU_THREAD 8
#define VCPU_FRAME 16
#define VCPU_ID 24
#define VCPU_IRQ_OFF 28
#define VCPU_SELECTOR 29
#define VCPU_WORK 32 /* pending and fp_stale as one word */
#define VCPU_PENDING 32
#define VCPU_FP_STALE 36
#define VCPU_USER_RSP 40
#define VCPU_LOCAL 48

#endif
