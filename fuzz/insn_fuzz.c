/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/x64/isa/patch.c platform/x64/isa/insn.c */
/* include: platform/x64 */
/* length: 64 */
/* runs: 20000 */
/* compares: not traced; those are of single bytes */
/* covers: platform/x64/isa/insn.c platform/x64/isa/patch.c */
/* lines: 95 platform/x64/isa/insn.c */
/*
 * insn_fuzz.c - the x86-64 length decoder and the plan for a system-call site. A decoded
 * instruction lies inside its bytes, does not depend on what stands behind it, and is not decoded
 * if it is cut. A plan changes bytes inside the code only, never beyond the system call, by a jump
 * to the trampoline; the trampoline is as long as it says and jumps to the kernel's entry.
 */
#include <string.h>

#include "fuzz.h"
#include "isa.h"
#include "isa/insn.h"

#define VA 0x401000ul
#define ENTRY 0x7f0012345678ul

static uint8_t *exact(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    FUZZ_CHECK(copy);
    memcpy(copy, data, len);
    return copy;
}

static void check_insn(const uint8_t *data, size_t size)
{
    struct x64_insn insn, again;

    if (!x64_insn_decode(data, size, &insn))
        return;
    FUZZ_CHECK(insn.length > 0 && insn.length <= 15 && insn.length <= size);
    FUZZ_CHECK(insn.rip_disp_at == 0 || insn.rip_disp_at + 4 <= insn.length);
    FUZZ_CHECK(x64_insn_decode(data, insn.length, &again));
    FUZZ_CHECK(memcmp(&insn, &again, sizeof(insn)) == 0);
    FUZZ_CHECK(!x64_insn_decode(data, insn.length - 1u, &again));
}

static void check_plan(const uint8_t *code, size_t len, size_t site, uintptr_t tramp)
{
    struct isa_patch p, again;
    int32_t rel;
    uint64_t entry;
    size_t at;

    memset(&p, 0, sizeof(p));
    if (!isa_patch_plan(code, len, VA, VA + site, tramp, ENTRY, &p))
        return;
    FUZZ_CHECK(p.patch_len >= 5 && p.patch_len <= sizeof(p.patch));
    FUZZ_CHECK(p.patch_va >= VA && p.patch_va + p.patch_len <= VA + site + ISA_SYSCALL_LEN);
    FUZZ_CHECK(p.patch[0] == 0xe9);
    memcpy(&rel, p.patch + 1, 4);
    FUZZ_CHECK(p.patch_va + 5 + (uintptr_t)(intptr_t)rel == tramp);
    FUZZ_CHECK(p.tramp_len >= 8 && p.tramp_len <= ISA_TRAMPOLINE_MAX);
    /* It jumps through an aligned word of its own, and says at its end what it stands for. */
    for (at = 0, entry = 0; entry != ENTRY; at++) {
        FUZZ_CHECK(at + 8 <= p.tramp_len);
        memcpy(&entry, p.tramp + at, 8);
    }
    FUZZ_CHECK((tramp + at - 1) % 8 == 0);
    isa_patch_of(p.tramp, tramp, &again);
    FUZZ_CHECK(again.patch_va == p.patch_va && again.patch_len == p.patch_len);
    FUZZ_CHECK(memcmp(again.patch, p.patch, p.patch_len) == 0);
    /* The trampoline begins with whole instructions. */
    struct x64_insn insn;
    FUZZ_CHECK(x64_insn_decode(p.tramp, p.tramp_len, &insn));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t far[] = {0x1000, 0x7ffffff0, -0x200000, 0x80000000, 0x7fffff00};

    if (size < 2 || size > 256)
        return 0;
    for (size_t i = 1; i < size; i++)
        if (i <= 4 || i + 6 > size) /* at the end of the block: none may be left */
            check_insn(data + i, size - i);
    /* A system call at the place that the first byte says, in a block of its own. */
    uint8_t *code = exact(data + 1, size - 1);
    for (size_t at = 0; at + 2 < size; at++)
        if (code[at] == 0x0f && code[at + 1] == 0x05)
            check_plan(code, size - 1, at, VA + (uintptr_t)far[data[0] % ARRAY_COUNT(far)]);
    free(code);
    return 0;
}
