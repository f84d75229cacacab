/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * patch.c - turning an `svc` site into a direct jump to the kernel, AArch64.
 *
 * One instruction is replaced by another: `svc #0` by `b trampoline`. Both are among those that may
 * be exchanged while other CPUs execute them (DDI 0487, B2.2.5), so no thread has to stand still:
 * each makes the call by one way or the other. A restarted system call goes back to the site and
 * takes the branch.
 *
 *     trampoline:  msr  daifset, #6       no interrupt while the stack pointer changes
 *                  msr  spsel, #1         the thread's kernel stack
 *                  sub  sp, sp, #FRAME_SIZE
 *                  stp  x16, x17, [sp, #FRAME_X(16)]
 *                  ldr  x16, entry
 *                  ldr  x17, next
 *                  br   x16
 *                  nop
 *           entry: .quad
 *           next:  .quad                  the address behind the site
 *
 * A system call keeps all registers but x0, so the entry gets its two scratch registers saved.
 *
 * rt_sigreturn is left alone because unwinders know a signal frame by the code of its restorer.
 */
#include "isa.h"
#include "lib/string.h"

#define INSN_SVC 0xd4000001u
#define INSN_MOV_X8_RT_SIGRETURN 0xd2801168u /* mov x8, #139 */
#define INSN_B 0x14000000u
#define INSN_NOP 0xd503201fu
#define INSN_DAIFSET_6 0xd50346dfu
#define INSN_SPSEL_1 0xd50041bfu
#define INSN_SUB_SP_SP 0xd10003ffu      /* imm12 at bit 10 */
#define INSN_STP_X16_X17_SP 0xa90047f0u /* imm7 / 8 at bit 15 */
#define INSN_LDR_LITERAL 0x58000000u    /* imm19 / 4 at bit 5, register at bit 0 */
#define INSN_BR_X16 0xd61f0200u

#define BRANCH_MAX ((int64_t)1 << 27) /* 26 bits of words, signed */
#define CODE_WORDS 8u
#define ENTRY_AT (4 * CODE_WORDS)
#define NEXT_AT (ENTRY_AT + 8)

const uintptr_t isa_patch_reach = 0x7ff0000;
const uint8_t isa_patch_guard = 0; /* one store is enough */

static uint32_t load_insn(const uint8_t *at)
{
    uint32_t insn;

    memcpy(&insn, at, sizeof(insn));
    return insn;
}

static uint32_t ldr_literal(unsigned reg, uint32_t from, uint32_t to)
{
    return INSN_LDR_LITERAL | (to - from) / 4 << 5 | reg;
}

static void trampoline_write(struct isa_patch *out, uint64_t next, uint64_t entry)
{
    const uint32_t code[CODE_WORDS] = {
        INSN_DAIFSET_6,
        INSN_SPSEL_1,
        INSN_SUB_SP_SP | FRAME_SIZE << 10,
        INSN_STP_X16_X17_SP | FRAME_X(16) / 8 << 15,
        ldr_literal(16, 16, ENTRY_AT),
        ldr_literal(17, 20, NEXT_AT),
        INSN_BR_X16,
        INSN_NOP,
    };

    memcpy(out->tramp, code, sizeof(code));
    memcpy(out->tramp + ENTRY_AT, &entry, sizeof(entry));
    memcpy(out->tramp + NEXT_AT, &next, sizeof(next));
    out->tramp_len = NEXT_AT + 8;
}

static void branch_write(struct isa_patch *out, uintptr_t site, uintptr_t tramp_va)
{
    uint32_t branch = INSN_B | ((uint32_t)((int64_t)(tramp_va - site) / 4) & 0x3ffffff);

    out->patch_va = site;
    out->patch_len = sizeof(branch);
    memcpy(out->patch, &branch, sizeof(branch));
}

bool isa_patch_plan(const uint8_t *code, size_t len, uintptr_t va, uintptr_t site,
                    uintptr_t tramp_va, uintptr_t entry, struct isa_patch *out)
{
    int64_t distance = (int64_t)(tramp_va - site);
    size_t at;

    if (entry == 0 || site < va || site - va > len || len - (site - va) < ISA_SYSCALL_LEN ||
        (site | tramp_va) % 4 != 0 || distance < -BRANCH_MAX || distance >= BRANCH_MAX)
        return false;
    at = site - va;
    if (load_insn(code + at) != INSN_SVC ||
        (at >= 4 && load_insn(code + at - 4) == INSN_MOV_X8_RT_SIGRETURN))
        return false;
    branch_write(out, site, tramp_va);
    trampoline_write(out, site + ISA_SYSCALL_LEN, entry);
    return true;
}

static uintptr_t site_of(const uint8_t *tramp)
{
    uint64_t next;

    memcpy(&next, tramp + NEXT_AT, sizeof(next));
    return next - ISA_SYSCALL_LEN;
}

void isa_patch_of(const uint8_t *tramp, uintptr_t tramp_va, struct isa_patch *out)
{
    branch_write(out, site_of(tramp), tramp_va);
}

/* An aligned word, fetched at once. */
bool isa_patch_translated(void)
{
    return false; /* if the svc goes on being executed, no harm is done */
}

bool isa_patch_one_store(uintptr_t va, size_t len)
{
    (void)va, (void)len;
    return true;
}

/* Nothing of the call has happened before the first instruction. */
void isa_patch_leave(struct isa_frame *frame, const uint8_t *tramp, size_t at)
{
    if (at == 0)
        isa_frame_set_pc(frame, site_of(tramp));
}
