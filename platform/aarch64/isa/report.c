/* SPDX-License-Identifier: BSD-3-Clause */
/* report.c - registers as people and debuggers know them, AArch64. */
#include "fp.h"
#include "isa.h"
#include "lib/string.h"

#define NT_PRFPREG 2
#define NT_ARM_TLS 0x401
#define NT_ARM_PAC_MASK 0x406
#define CORE_FP_SIZE \
    (FP_FPCR + 12) /* struct user_fpsimd_state: FPCR is its last but for 8 bytes \
                    */

#define ADDRESS_BITS 48 /* T0SZ */

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

size_t isa_core_fp(const void *area, unsigned i, uint32_t *type, const char **name, void *out)
{
    if (i > 0)
        return 0;
    *type = NT_PRFPREG;
    *name = "CORE";
    memset(out, 0, CORE_FP_SIZE);
    memcpy(out, area, FP_FPCR + 4);
    return CORE_FP_SIZE;
}

/* It has a note of its own there. */
void isa_core_tls(uint64_t tls, uint64_t *out)
{
    (void)tls, (void)out;
}

/* The mask: where in an address its signature is, of data and of code; bit 55 tells the halves
 * apart, and the byte above it is a tag (early.c: TBI0). Linux: arch/arm64/kernel/ptrace.c, struct
 * user_pac_mask. */
size_t isa_core_note(uint64_t tls, unsigned i, uint32_t *type, const char **name, void *out)
{
    uint64_t words[2] = {tls, 0};
    size_t size = sizeof(words[0]);

    if (i > 1 || (i == 1 && !isa_has_pointer_auth()))
        return 0;
    *type = NT_ARM_TLS;
    *name = "LINUX";
    if (i == 1) {
        *type = NT_ARM_PAC_MASK;
        words[0] = words[1] = (1ull << 55) - (1ull << ADDRESS_BITS);
        size = sizeof(words);
    }
    memcpy(out, words, size);
    return size;
}
