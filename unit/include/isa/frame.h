/* SPDX-License-Identifier: BSD-3-Clause */
/* frame.h - the instruction set of the unit tests: a made-up register frame with Linux's calling
 * convention reduced to its idea (number, six arguments, result). */
#ifndef SELKIE_ISA_FRAME_H
#define SELKIE_ISA_FRAME_H

#include <stdbool.h>
#include <stdint.h>

struct isa_frame {
    uint64_t arg[6];
    uint64_t sysno, orig_sysno;
    long result;
    uintptr_t pc, sp, fp;
    bool trapped;
};
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
    return f->fp;
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
    return f->arg[i];
}
static inline void isa_frame_set_result(struct isa_frame *f, long result)
{
    f->result = result;
}
static inline long isa_frame_result(const struct isa_frame *f)
{
    return f->result;
}
static inline void isa_frame_init(struct isa_frame *f, uintptr_t pc, uintptr_t sp)
{
    *f = (struct isa_frame){.pc = pc, .sp = sp};
}
static inline bool isa_frame_trapped(const struct isa_frame *f)
{
    return f->trapped;
}
static inline void isa_frame_restart(struct isa_frame *f)
{
    f->pc -= 2;
    f->sysno = f->orig_sysno;
}
static inline void isa_frame_set_sysno_restart(struct isa_frame *f)
{
    f->pc -= 2;
    f->sysno = 219; /* restart_syscall of x86-64 */
}

static inline uintptr_t isa_return_address(uintptr_t saved)
{
    return saved; /* nothing signs them */
}

#endif
