/* SPDX-License-Identifier: BSD-3-Clause */
/* report.c - registers as people and debuggers know them, AArch64. */
#include "isa.h"
#include "lib/string.h"

const char *isa_frame_register(const struct isa_frame *f, unsigned i, uint64_t *value)
{
    static const char *const names[] = {
        "x0",  "x1",  "x2",  "x3",  "x4",  "x5",  "x6",  "x7",  "x8",  "x9",     "x10", "x11",
        "x12", "x13", "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21",    "x22", "x23",
        "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp",  "pc",  "pstate",
    };

    if (i >= ARRAY_COUNT(names))
        return NULL;
    *value = i < 31 ? f->x[i] : i == 31 ? f->sp : i == 32 ? f->pc : f->pstate;
    return names[i];
}

/* struct user_pt_regs (asm/ptrace.h). */
void isa_core_registers(const struct isa_frame *f, uint64_t *out)
{
    memcpy(out, f->x, 31 * sizeof(*out));
    out[31] = f->sp;
    out[32] = f->pc;
    out[33] = f->pstate;
}

no_inline void isa_frame_here(struct isa_frame *f)
{
    const uintptr_t *record = __builtin_frame_address(0);

    *f = (struct isa_frame){.pc = record[1], .sp = (uintptr_t)(record + 2)};
    f->x[29] = record[0];
    f->x[30] = record[1];
}

/* It has a note of its own there, NT_ARM_TLS. */
void isa_core_tls(uint64_t tls, uint64_t *out)
{
    (void)tls, (void)out;
}
