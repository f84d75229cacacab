/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * patch.c - turning a `syscall` site into a direct jump to the kernel, x86-64.
 *
 * A jump needs five bytes and `syscall` has two. The five are taken from the one instruction
 * before it, and the `syscall` bytes stay as they are:
 *
 *     b8 27 00 00 00   mov  $39, %eax          e9 xx xx xx xx   jmp  trampoline
 *     0f 05            syscall          ->     0f 05            syscall
 *     next:                                    next:
 *
 *     trampoline:  mov $39, %eax; [cli]; lea next(%rip), %rcx; jmp *entry(%rip)
 *                  [int3 ...]; entry: .quad
 *
 * Why this is safe while other threads run:
 *  1. Only one instruction is replaced, so no thread can stand inside the bytes that change: it is
 *     before the instruction (and will find the jump) or behind it (and finds its `syscall`).
 *  2. A jump from elsewhere to the `syscall` itself still works, and a restarted system call is
 *     simply made again by trap, at next - 2.
 *  3. The bytes must change in one store, for CPUs that fetch them meanwhile: the caller patches
 *     while no other thread runs user code, or only where the bytes lie in one aligned 8 bytes.
 *
 * Instructions accepted: `mov $imm32,%eax` (5 bytes), `mov $imm32,%rax` (7), `mov disp8(%rsp),%r9`
 * (5; glibc's syscall(2)). Looking backwards at bytes cannot always tell instructions apart:
 * 41 b8 is both "... 41; mov $imm,%eax" and "mov $imm,%r8d". The 5-byte form is refused after
 * anything that could be a prefix of it, and immediates must be plausible system-call numbers.
 *
 * Not accepted: sites behind shorter instructions (Go's Syscall6: two 3-byte moves). Replacing two
 * instructions would need proof that no thread stands between them; taking bytes after `syscall`
 * the same, and that nothing jumps there. Those sites keep trapping.
 *
 * rt_sigreturn is left alone because unwinders know a signal frame by the bytes of its restorer.
 */
#include "isa.h"
#include "lib/string.h"

#define NR_LIMIT 1024
#define NR_RT_SIGRETURN 15
#define NR_EXECVE 59
#define NR_EXIT 60
#define NR_EXIT_GROUP 231
#define NR_EXECVEAT 322

const uintptr_t isa_patch_reach = 0x7fff0000;

static bool number_wanted(const uint8_t *imm)
{
    uint32_t nr;

    memcpy(&nr, imm, sizeof(nr));
    /* Those that do not come back gain nothing. */
    return nr < NR_LIMIT && nr != NR_RT_SIGRETURN && nr != NR_EXECVE && nr != NR_EXIT &&
           nr != NR_EXIT_GROUP && nr != NR_EXECVEAT;
}

/* Could `byte` be a prefix that changes what the next opcode means? REX, operand and address size,
 * lock, rep, segments. */
static bool maybe_prefix(uint8_t byte)
{
    return (byte & 0xf0) == 0x40 || byte == 0x66 || byte == 0x67 || byte == 0xf0 || byte == 0xf2 ||
           byte == 0xf3 || byte == 0x64 || byte == 0x65;
}

/* Length of the instruction before code[at] if it may be replaced, else 0. */
static size_t replaceable(const uint8_t *code, size_t at)
{
    static const uint8_t mov_rax[3] = {0x48, 0xc7, 0xc0};
    static const uint8_t mov_r9[5] = {0x4c, 0x8b, 0x4c, 0x24, 0x08};

    if (at >= 7 && memcmp(code + at - 7, mov_rax, 3) == 0 && number_wanted(code + at - 4))
        return 7;
    if (at >= 5 && memcmp(code + at - 5, mov_r9, 5) == 0)
        return 5;
    if (at >= 6 && code[at - 5] == 0xb8 && !maybe_prefix(code[at - 6]) &&
        number_wanted(code + at - 4))
        return 5;
    return 0;
}

/* rel32 from the end of an instruction at `from` to `to`; false if out of reach. */
static bool put_rel32(uint8_t *at, uintptr_t from, uintptr_t to)
{
    int64_t distance = (int64_t)(to - from);
    int32_t rel = (int32_t)distance;

    memcpy(at, &rel, sizeof(rel));
    return rel == distance;
}

static bool trampoline_write(struct isa_patch *out, const uint8_t *moved, size_t moved_len,
                             uintptr_t tramp_va, uintptr_t next, uintptr_t entry)
{
    uint8_t *p = out->tramp;
    uint64_t target = entry;
    uint32_t gap;
    bool fits;

    memcpy(p, moved, moved_len);
    p += moved_len;
    if (HAL_DIRECT_ENTRY_CLI)
        *p++ = 0xfa;
    *p++ = 0x48; /* lea next(%rip), %rcx */
    *p++ = 0x8d;
    *p++ = 0x0d;
    fits = put_rel32(p, tramp_va + (uintptr_t)(p - out->tramp) + 4, next);
    p += 4;
    /* The target is aligned: the program may have set the flag that makes unaligned data a fault.
     */
    gap = -(tramp_va + (uintptr_t)(p - out->tramp) + 6) & 7;
    *p++ = 0xff; /* jmp *gap(%rip) */
    *p++ = 0x25;
    memcpy(p, &gap, sizeof(gap));
    p += sizeof(gap);
    memset(p, 0xcc, gap);
    p += gap;
    memcpy(p, &target, sizeof(target));
    p += sizeof(target);
    out->tramp_len = (size_t)(p - out->tramp);
    return fits;
}

bool isa_patch_plan(const uint8_t *code, size_t len, uintptr_t va, uintptr_t site,
                    uintptr_t tramp_va, uintptr_t entry, struct isa_patch *out)
{
    size_t at, moved_len;

    if (entry == 0 || site < va || site - va > len || len - (site - va) < ISA_SYSCALL_LEN)
        return false;
    at = site - va;
    if (code[at] != 0x0f || code[at + 1] != 0x05)
        return false;
    moved_len = replaceable(code, at);
    if (moved_len == 0)
        return false;
    out->patch_va = site - moved_len;
    out->patch_len = 5;
    out->patch[0] = 0xe9;
    if (!put_rel32(out->patch + 1, out->patch_va + 5, tramp_va))
        return false;
    return trampoline_write(out, code + at - moved_len, moved_len, tramp_va, site + ISA_SYSCALL_LEN,
                            entry);
}
