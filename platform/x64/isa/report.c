/* SPDX-License-Identifier: BSD-3-Clause */
/* report.c - registers as people and debuggers know them, x86-64. */
#include "isa.h"
#include "lib/string.h"

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

void isa_core_tls(uint64_t tls, uint64_t *out)
{
    out[21] = tls; /* fs_base */
}
