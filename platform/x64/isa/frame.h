/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frame.h - the user registers at kernel entry, x86-64.
 *
 * A frame lies at the top of the thread's kernel stack; its last five words are what iretq takes,
 * the word before them is where the CPU puts an error code. Whichever way the kernel was entered
 * (syscall instruction, direct jump, fault, interrupt), the frame is complete.
 *
 * The way out. After a system call Linux leaves rcx = rip and r11 = rflags; entry code stores
 * them so. A backend may leave by a plain jump through rcx if `trapped` is 0 and the frame's rcx
 * still equals its rip; otherwise it must restore every register (iretq). Everything here that
 * redirects a frame therefore sets FRAME_TRAPPED_FULL.
 *
 * cs and ss hold the selectors this backend runs programs with (hal_isa.h), not the ones programs
 * are shown (isa/sigframe.c).
 */
#ifndef SELKIE_ISA_FRAME_H
#define SELKIE_ISA_FRAME_H

#include "hal_isa.h"
#include "isa/frame_offsets.h"
#include "lib/types.h"

struct isa_frame {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t trapped;  /* FRAME_TRAPPED_* */
    uint64_t orig_rax; /* system-call number at entry; ISA_NO_SYSCALL for faults and interrupts */
    uint64_t rip, cs, rflags, rsp, ss;
};
STATIC_ASSERT(offsetof(struct isa_frame, rax) == FRAME_RAX);
STATIC_ASSERT(offsetof(struct isa_frame, rbx) == FRAME_RBX);
STATIC_ASSERT(offsetof(struct isa_frame, rcx) == FRAME_RCX);
STATIC_ASSERT(offsetof(struct isa_frame, rdx) == FRAME_RDX);
STATIC_ASSERT(offsetof(struct isa_frame, rsi) == FRAME_RSI);
STATIC_ASSERT(offsetof(struct isa_frame, rdi) == FRAME_RDI);
STATIC_ASSERT(offsetof(struct isa_frame, rbp) == FRAME_RBP);
STATIC_ASSERT(offsetof(struct isa_frame, r8) == FRAME_R8);
STATIC_ASSERT(offsetof(struct isa_frame, r9) == FRAME_R9);
STATIC_ASSERT(offsetof(struct isa_frame, r10) == FRAME_R10);
STATIC_ASSERT(offsetof(struct isa_frame, r11) == FRAME_R11);
STATIC_ASSERT(offsetof(struct isa_frame, r12) == FRAME_R12);
STATIC_ASSERT(offsetof(struct isa_frame, r13) == FRAME_R13);
STATIC_ASSERT(offsetof(struct isa_frame, r14) == FRAME_R14);
STATIC_ASSERT(offsetof(struct isa_frame, r15) == FRAME_R15);
STATIC_ASSERT(offsetof(struct isa_frame, trapped) == FRAME_TRAPPED);
STATIC_ASSERT(offsetof(struct isa_frame, orig_rax) == FRAME_ORIG_RAX);
STATIC_ASSERT(offsetof(struct isa_frame, rip) == FRAME_RIP);
STATIC_ASSERT(offsetof(struct isa_frame, cs) == FRAME_CS);
STATIC_ASSERT(offsetof(struct isa_frame, rflags) == FRAME_RFLAGS);
STATIC_ASSERT(offsetof(struct isa_frame, rsp) == FRAME_RSP);
STATIC_ASSERT(offsetof(struct isa_frame, ss) == FRAME_SS);
STATIC_ASSERT(sizeof(struct isa_frame) == FRAME_SIZE && FRAME_SIZE % 16 == 0);

#define ISA_NO_SYSCALL UINT64_MAX

/* Flags (Intel SDM vol. 1, 3.4.3). */
#define ISA_RFLAGS_FIXED 0x2ull
#define ISA_RFLAGS_TF 0x100ull
#define ISA_RFLAGS_IF 0x200ull
#define ISA_RFLAGS_DF 0x400ull
#define ISA_RFLAGS_NT 0x4000ull
#define ISA_RFLAGS_RF 0x10000ull
#define ISA_RFLAGS_AC 0x40000ull
/* What programs may set through a signal frame: CF PF AF ZF SF TF DF OF RF AC, as Linux. */
#define ISA_RFLAGS_USER 0x50dd5ull

static inline uintptr_t isa_frame_pc(const struct isa_frame *f)
{
    return f->rip;
}
static inline uintptr_t isa_frame_sp(const struct isa_frame *f)
{
    return f->rsp;
}
static inline uintptr_t isa_frame_fp(const struct isa_frame *f)
{
    return f->rbp;
}
static inline void isa_frame_set_pc(struct isa_frame *f, uintptr_t pc)
{
    f->rip = pc;
    f->trapped |= FRAME_TRAPPED_FULL;
}
static inline void isa_frame_set_sp(struct isa_frame *f, uintptr_t sp)
{
    f->rsp = sp;
}
static inline uint64_t isa_frame_sysno(const struct isa_frame *f)
{
    return f->orig_rax;
}
static inline uint64_t isa_frame_arg(const struct isa_frame *f, unsigned i)
{
    switch (i) {
    case 0:
        return f->rdi;
    case 1:
        return f->rsi;
    case 2:
        return f->rdx;
    case 3:
        return f->r10;
    case 4:
        return f->r8;
    default:
        return f->r9;
    }
}
static inline void isa_frame_set_result(struct isa_frame *f, long result)
{
    f->rax = (uint64_t)result;
}
static inline long isa_frame_result(const struct isa_frame *f)
{
    return (long)f->rax;
}
static inline bool isa_frame_trapped(const struct isa_frame *f)
{
    return f->trapped & FRAME_TRAPPED_SYSCALL;
}

/* A fresh program: Linux starts one with all other registers zero. */
static inline void isa_frame_init(struct isa_frame *f, uintptr_t pc, uintptr_t sp)
{
    *f = (struct isa_frame){
        .trapped = FRAME_TRAPPED_FULL,
        .orig_rax = ISA_NO_SYSCALL,
        .rip = pc,
        .cs = HAL_USER_CS,
        .rflags = ISA_RFLAGS_FIXED | ISA_RFLAGS_IF,
        .rsp = sp,
        .ss = HAL_USER_SS,
    };
}

/* Both ways in leave a whole `syscall` instruction at rip - 2 (patched sites keep theirs, see
 * isa/patch.c), so restarting is the same for both. */
#define ISA_NR_RESTART_SYSCALL 219
static inline void isa_frame_restart(struct isa_frame *f)
{
    isa_frame_set_pc(f, f->rip - 2);
    f->rax = f->orig_rax;
}
static inline void isa_frame_set_sysno_restart(struct isa_frame *f)
{
    isa_frame_set_pc(f, f->rip - 2);
    f->rax = ISA_NR_RESTART_SYSCALL;
}

/* The vsyscall page, older than the vDSO: three system calls at fixed addresses that programs call
 * as functions (Linux: arch/x86/entry/vsyscall, mode xonly). False: pc is not on it. *nr is
 * ISA_NO_SYSCALL where none starts. Hosted asks while the program's thread pointer is loaded. */
#define ISA_VSYSCALL_PAGE 0xffffffffff600000ull
static inline no_sanitize bool isa_vsyscall(uintptr_t pc, uint64_t *nr)
{
    static const uint16_t numbers[] = {96 /* gettimeofday */, 201 /* time */, 309 /* getcpu */};
    uint64_t offset = pc - ISA_VSYSCALL_PAGE;

    if (offset >= 4096)
        return false;
    *nr = offset % 1024 == 0 && offset / 1024 < 3 ? numbers[offset / 1024] : ISA_NO_SYSCALL;
    return true;
}

static inline uintptr_t isa_return_address(uintptr_t saved)
{
    return saved; /* nothing signs them */
}

#endif
