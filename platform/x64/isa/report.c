/* SPDX-License-Identifier: BSD-3-Clause */
/* report.c - registers as people and debuggers know them, x86-64. */
#include "isa.h"
#include "isa/fp.h"
#include "lib/string.h"

#define NT_PRFPREG 2
#define NT_X86_XSTATE 0x202

const char *isa_frame_register(const struct isa_frame *f, unsigned i, uint64_t *value)
{
    const struct {
        const char *name;
        uint64_t value;
    } registers[] = {
        {"rax", f->rax}, {"rbx", f->rbx},       {"rcx", f->rcx}, {"rdx", f->rdx}, {"rsi", f->rsi},
        {"rdi", f->rdi}, {"rbp", f->rbp},       {"r8", f->r8},   {"r9", f->r9},   {"r10", f->r10},
        {"r11", f->r11}, {"r12", f->r12},       {"r13", f->r13}, {"r14", f->r14}, {"r15", f->r15},
        {"rip", f->rip}, {"rflags", f->rflags}, {"rsp", f->rsp},
    };

    if (i >= ARRAY_COUNT(registers))
        return NULL;
    *value = registers[i].value;
    return registers[i].name;
}

/* struct user_regs_struct (asm/user_64.h). */
void isa_core_registers(const struct isa_frame *f, uint64_t *out)
{
    const uint64_t registers[ISA_CORE_REGISTERS] = {
        f->r15, f->r14,      f->r13, f->r12, f->rbp,    f->rbx, f->r11,
        f->r10, f->r9,       f->r8,  f->rax, f->rcx,    f->rdx, f->rsi,
        f->rdi, f->orig_rax, f->rip, f->cs,  f->rflags, f->rsp, f->ss,
    };

    memcpy(out, registers, sizeof(registers));
}

no_inline void isa_frame_here(struct isa_frame *f)
{
    *f = (struct isa_frame){
        .rip = (uintptr_t)__builtin_return_address(0),
        .rsp = (uintptr_t)__builtin_frame_address(0) + 16,
        .rbp = *(const uintptr_t *)__builtin_frame_address(0),
        .orig_rax = ISA_NO_SYSCALL,
        .cs = HAL_USER_CS,
        .ss = HAL_USER_SS,
    };
}

/* struct user_i387_struct, and an XSAVE area, which says in a place that is software's what it may
 * contain (asm/user.h, struct user_xstateregs; debuggers look there). */
size_t isa_core_fp(const void *area, unsigned i, uint32_t *type, const char **name, void *out)
{
    uint64_t held;

    if (i > (isa_fp_info.xsave ? 1 : 0))
        return 0;
    *type = i == 0 ? NT_PRFPREG : NT_X86_XSTATE;
    *name = i == 0 ? "CORE" : "LINUX";
    memcpy(out, area, isa_fp_info.size);
    isa_fp_complete(out);
    memset((uint8_t *)out + FP_SW_RESERVED, 0, FP_LEGACY_SIZE - FP_SW_RESERVED);
    if (i == 0)
        return FP_LEGACY_SIZE;
    memcpy(&held, (uint8_t *)out + FP_XSTATE_BV, sizeof(held));
    held &= isa_fp_info.features; /* the host's may have more (hosted/trap.c) */
    memcpy((uint8_t *)out + FP_XSTATE_BV, &held, sizeof(held));
    memcpy((uint8_t *)out + FP_SW_RESERVED, &isa_fp_info.features, sizeof(isa_fp_info.features));
    return isa_fp_info.size;
}

void isa_core_tls(uint64_t tls, uint64_t *out)
{
    out[21] = tls; /* fs_base */
}

size_t isa_core_note(uint64_t tls, unsigned i, uint32_t *type, const char **name, void *out)
{
    (void)tls, (void)i, (void)type, (void)name, (void)out;
    return 0; /* all that debuggers want is among the registers */
}
