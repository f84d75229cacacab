/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frame.h - the user registers at kernel entry, AArch64.
 *
 * A frame lies at the top of the thread's kernel stack. Whichever way the kernel was entered (svc
 * instruction, direct jump, fault, interrupt), the frame is complete, and the way out restores all
 * of it with eret.
 *
 * Programs run at EL1 with SP_EL0 as their stack pointer (EL1t), so `pstate` holds that mode here;
 * in signal frames programs see Linux's EL0t (isa/sigframe.c).
 */
#ifndef SELKIE_ISA_FRAME_H
#define SELKIE_ISA_FRAME_H

#include "frame_offsets.h" /* beside this file: unit tests include it by path */
#include "lib/types.h"

struct isa_frame {
    uint64_t x[31];
    uint64_t sp, pc, pstate;
    uint64_t orig_x0; /* x0 at the entry of a system call: the result overwrites it */
    uint64_t sysno;   /* system-call number at entry; ISA_NO_SYSCALL for faults and interrupts */
    uint64_t trapped; /* 1: entered by the svc at pc - 4, not by a direct jump */
    uint64_t pad;
};
STATIC_ASSERT(offsetof(struct isa_frame, x) == FRAME_X(0));
STATIC_ASSERT(offsetof(struct isa_frame, sp) == FRAME_SP);
STATIC_ASSERT(offsetof(struct isa_frame, pc) == FRAME_PC);
STATIC_ASSERT(offsetof(struct isa_frame, pstate) == FRAME_PSTATE);
STATIC_ASSERT(offsetof(struct isa_frame, orig_x0) == FRAME_ORIG_X0);
STATIC_ASSERT(offsetof(struct isa_frame, sysno) == FRAME_SYSNO);
STATIC_ASSERT(offsetof(struct isa_frame, trapped) == FRAME_TRAPPED);
STATIC_ASSERT(sizeof(struct isa_frame) == FRAME_SIZE && FRAME_SIZE % 16 == 0);

#define ISA_NO_SYSCALL UINT64_MAX
#define ISA_NR_RESTART_SYSCALL 128

static inline uintptr_t isa_frame_pc(const struct isa_frame *f)
{
    return f->pc;
}
static inline uintptr_t isa_frame_sp(const struct isa_frame *f)
{
    return f->sp;
}
static inline uintptr_t isa_frame_fp(const struct isa_frame *f)
{
    return f->x[29];
}
static inline void isa_frame_set_pc(struct isa_frame *f, uintptr_t pc)
{
    f->pc = pc;
}
static inline void isa_frame_set_sp(struct isa_frame *f, uintptr_t sp)
{
    f->sp = sp;
}
static inline uint64_t isa_frame_sysno(const struct isa_frame *f)
{
    return f->sysno;
}
static inline uint64_t isa_frame_arg(const struct isa_frame *f, unsigned i)
{
    return i == 0 ? f->orig_x0 : f->x[i];
}
static inline void isa_frame_set_result(struct isa_frame *f, long result)
{
    f->x[0] = (uint64_t)result;
}
static inline long isa_frame_result(const struct isa_frame *f)
{
    return (long)f->x[0];
}
static inline bool isa_frame_trapped(const struct isa_frame *f)
{
    return f->trapped != 0;
}

/* A fresh program: Linux starts one with all other registers zero. */
static inline void isa_frame_init(struct isa_frame *f, uintptr_t pc, uintptr_t sp)
{
    *f = (struct isa_frame){
        .sp = sp, .pc = pc, .pstate = FRAME_PSTATE_USER, .sysno = ISA_NO_SYSCALL};
}

/* Both ways in leave at pc - 4 an instruction that makes the call: the svc or the branch that
 * replaced it (isa/patch.c). */
static inline void isa_frame_restart(struct isa_frame *f)
{
    f->pc -= 4;
    f->x[0] = f->orig_x0;
}
static inline void isa_frame_set_sysno_restart(struct isa_frame *f)
{
    isa_frame_restart(f);
    f->x[8] = ISA_NR_RESTART_SYSCALL;
}

/* Of kernel code: its addresses have all upper bits set, and the signature takes their place (but
 * bit 55). */
static inline uintptr_t isa_return_address(uintptr_t saved)
{
    return saved >> 55 & 1 ? saved | 0xffffull << 48 : saved;
}

/* No system calls at fixed addresses here. */
static inline bool isa_vsyscall(uintptr_t pc, uint64_t *nr)
{
    (void)pc, (void)nr;
    return false;
}

#endif
