/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/aarch64/isa/patch.c */
/* include: platform/aarch64 */
/* covers: platform/aarch64/isa/patch.c */
/* lines: 95 */
/* length: 64 */
/* runs: 20000 */
/*
 * patch_aarch64_fuzz.c - the plan for a system-call site on AArch64. It replaces one svc, and no
 * other instruction, by a branch that leads to the trampoline; the trampoline is as long as it
 * says, ends with the kernel's entry and the address behind the site, and tells by itself what it
 * stands for. A thread at its first instruction is put back to the site.
 */
#include <string.h>

#include "fuzz.h"
#include "isa.h"

#define VA 0x400000ul
#define SVC 0xd4000001u
#define MOV_X8_RT_SIGRETURN 0xd2801168u

static uint32_t word(const uint8_t *at)
{
    uint32_t insn;

    memcpy(&insn, at, sizeof(insn));
    return insn;
}

static uint64_t address(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

/* Where `b` leads (DDI 0487, C6.2.26: a signed number of words in 26 bits). */
static uintptr_t target_of(uint32_t insn, uintptr_t at)
{
    FUZZ_CHECK(insn >> 26 == 5);
    return at + (uintptr_t)((int64_t)((uint64_t)insn << 38) >> 36);
}

static bool may_be_planned(const uint8_t *code, size_t len, uintptr_t site, uintptr_t tramp,
                           uintptr_t entry)
{
    int64_t distance = (int64_t)(tramp - site);
    uintptr_t at = site - VA;

    return entry && site >= VA && at <= len && len - at >= 4 && site % 4 == 0 && tramp % 4 == 0 &&
           distance >= -(1 << 27) && distance < 1 << 27 && word(code + at) == SVC &&
           (at < 4 || word(code + at - 4) != MOV_X8_RT_SIGRETURN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size, 0};
    uintptr_t site = VA + fuzz_u8(&in) - 8;
    uintptr_t tramp = site + (uintptr_t)((int64_t)(int32_t)fuzz_u32(&in) / 4);
    uintptr_t entry = fuzz_u8(&in) ? fuzz_u32(&in) | 0xffff000000000000ul : 0;
    size_t len = in.len - in.at;
    uint8_t *code = malloc(len ? len : 1);
    struct isa_patch p, again;
    struct isa_frame frame;

    FUZZ_CHECK(code);
    memcpy(code, data + in.at, len); /* a block of its own: no byte beyond may be read */
    memset(&p, 0, sizeof(p));
    bool planned = isa_patch_plan(code, len, VA, site, tramp, entry, &p);
    FUZZ_CHECK(planned == may_be_planned(code, len, site, tramp, entry));
    free(code);
    if (!planned)
        return 0;
    FUZZ_CHECK(p.patch_va == site && p.patch_len == 4 && isa_patch_one_store(site, 4));
    FUZZ_CHECK(target_of(word(p.patch), site) == tramp);
    FUZZ_CHECK(p.tramp_len % 8 == 0 && p.tramp_len >= 16 && p.tramp_len <= ISA_TRAMPOLINE_MAX);
    FUZZ_CHECK(address(p.tramp + p.tramp_len - 16) == entry);
    FUZZ_CHECK(address(p.tramp + p.tramp_len - 8) == site + 4);
    isa_patch_of(p.tramp, tramp, &again);
    FUZZ_CHECK(again.patch_va == p.patch_va && again.patch_len == p.patch_len &&
               memcmp(again.patch, p.patch, p.patch_len) == 0);
    for (size_t at = 0; at < p.tramp_len - 16; at += 4) {
        memset(&frame, 0, sizeof(frame));
        isa_frame_set_pc(&frame, tramp + at);
        isa_patch_leave(&frame, p.tramp, at);
        FUZZ_CHECK(isa_frame_pc(&frame) == (at == 0 ? site : tramp + at));
    }
    return 0;
}
