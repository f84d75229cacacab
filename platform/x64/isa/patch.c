/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * patch.c - turning a `syscall` site into a direct jump to the kernel, x86-64.
 *
 * A jump needs five bytes and `syscall` has two. The five are taken from the nearest instruction
 * before it that is long enough, the anchor. It and those between it and the `syscall` are repeated
 * in the trampoline; the original ones stay as they are:
 *
 *     b8 0e 00 00 00        mov  $14, %eax           e9 xx xx xx xx   jmp  trampoline
 *     48 8d 35 xx xx xx xx  lea  x(%rip), %rsi  ->   48 8d 35 ...     lea  x(%rip), %rsi
 *     0f 05                 syscall                  0f 05            syscall
 *     next:                                          next:
 *
 *     trampoline:  mov $14, %eax; lea x'(%rip), %rsi; [cli]; lea next(%rip), %rcx; jmp *entry(%rip)
 *                  [int3 ...]; entry: .quad; [int3 ...]; struct origin
 *
 * Why this is safe while other threads run:
 *  1. Only one instruction is replaced, so no thread can stand inside the bytes that change: it is
 *     before the instruction (and will find the jump) or behind it (and finds what was there).
 *  2. A jump from elsewhere to anything behind the anchor, the `syscall` too, still works. A
 *     restarted system call is simply made again by trap, at next - 2.
 *  3. The bytes must change in one store (isa_patch_one_store), or behind a breakpoint, for CPUs
 *     that fetch them meanwhile; the caller sees to that (proc/patch.c).
 *
 *  4. A thread in the trampoline can be put where it would be without it (isa_patch_leave), which a
 *     signal handler that looks at the interrupted address counts on (musl's thread cancellation).
 *
 * Is the anchor an instruction? Bytes read backwards cannot always tell: 41 b8 is both "... 41; mov
 * $imm, %eax" and "mov $imm, %r8d". The program has run through here, so among any 15 bytes before
 * it one is the first of an instruction (none is longer); we do not know which. So all of 15 some
 * way before the anchor are tried: whichever decoding starts from, if it arrives at the `syscall`
 * it must have passed through the anchor, and one at least must (if none does, these are no
 * instructions: the program came here by a jump). Decoding falls into step after a few
 * instructions, mostly; where it does not, the next candidate is looked at.
 *
 * What may stand between: instructions on registers, on the stack, on variables at fixed addresses
 * (none of which faults) and conditional jumps, whose targets are kept. Sites without an
 * instruction of five bytes among those keep trapping (Go's Syscall6: moves of three bytes).
 *
 * rt_sigreturn is left alone because unwinders know a signal frame by the bytes of its restorer.
 */
#include "isa.h"
#include "isa/insn.h"
#include "lib/string.h"

#define NR_RT_SIGRETURN 15
#define JUMP_LEN 5
#define MOVED_MAX 40 /* bytes from the anchor to the syscall */
#define INSN_LENGTH_MAX 15
#define STEP_MAX 48 /* bytes before the anchor in which decoding has to fall into step */
#define TAIL_MAX 30 /* what trampoline_end writes */
#define OP_JCC_SHORT 0x70
#define OP_JCC_NEAR 0x80 /* behind 0f */
#define OP_MOV_EAX 0xb8
#define OP_MOV_IMM 0xc7
#define OP_LEA 0x8d
#define RSP 4
#define CPUID_HYPERVISOR (1u << 31) /* leaf 1, ecx */
#define CPUID_HYPERVISOR_NAME 0x40000000u
#define NAME_TCGT 0x54474354u /* "TCGTCGTCGTCG" */
#define NAME_CGTC 0x43544743u
#define NAME_GTCG 0x47435447u

STATIC_ASSERT(ISA_PATCH_BEFORE >= MOVED_MAX + STEP_MAX);

/* The last bytes of a trampoline: what it stands for. */
struct origin {
    uint64_t va;      /* of the anchor */
    uint32_t len;     /* from there to the `syscall` */
    uint32_t widened; /* bit n: the n-th conditional jump was a short one */
};
#define ORIGIN_AT (ISA_TRAMPOLINE_MAX - sizeof(struct origin))
#define JCC_SHORT_LEN 2
STATIC_ASSERT(MOVED_MAX / JCC_SHORT_LEN <= 32);

const uintptr_t isa_patch_reach = 0x7fff0000;
const uint8_t isa_patch_guard = 0xcc; /* int3 */

/* ---- what may be moved ---- */

static bool is_jcc(const struct x64_insn *i)
{
    return (i->map == 0 && (i->opcode & 0xf0) == OP_JCC_SHORT) ||
           (i->map == 1 && (i->opcode & 0xf0) == OP_JCC_NEAR);
}

/* mov, lea, movsxd, arithmetic, tests, shifts, nop */
static bool plain_one_byte(const struct x64_insn *i)
{
    uint8_t op = i->opcode, reg = i->modrm >> 3 & 7;

    if (op < 0x40)
        return (op & 7) <= 5;
    if ((op >= 0xb0 && op <= 0xbf) || (op >= 0x88 && op <= 0x8b))
        return true;
    switch (op) {
    case 0x63:
    case 0x69:
    case 0x6b:
    case 0x80:
    case 0x81:
    case 0x83:
    case 0x84:
    case 0x85:
    case OP_LEA:
    case 0x90:
    case 0x98:
    case 0x99:
    case 0xa8:
    case 0xa9:
    case 0xc0:
    case 0xc1:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return true;
    case 0xc6:
    case OP_MOV_IMM:
        return reg == 0;
    case 0xf6:
    case 0xf7:
        return reg < 6; /* no division: it faults */
    case 0xfe:
    case 0xff:
        return reg < 2; /* inc, dec; not call, jmp, push */
    default:
        return false;
    }
}

/* nop, cmov, set, imul, movzx, movsx, bswap */
static bool plain_two_byte(uint8_t op)
{
    return op == 0x1f || (op & 0xf0) == 0x40 || (op & 0xf0) == 0x90 || op == 0xaf ||
           (op & 0xf6) == 0xb6 || (op & 0xf8) == 0xc8;
}

/* Memory that is there: relative to rsp or rip, or (with %fs) the thread's block. */
static bool safe_memory(const struct x64_insn *i)
{
    uint8_t mod = i->modrm >> 6, rm = i->modrm & 7;
    bool touches = !(i->map == 0 && i->opcode == OP_LEA) && !(i->map == 1 && i->opcode == 0x1f);

    if (!i->has_modrm || mod == 3 || !touches || i->rip_disp_at)
        return true;
    if (rm != RSP)
        return false;
    if (mod == 0 && i->sib == 0x25) /* disp32 alone */
        return i->prefixes & INSN_FS;
    return i->sib == 0x24 && !(i->rex & 3) && !(i->prefixes & INSN_FS); /* rsp, no index */
}

static bool movable(const struct x64_insn *i)
{
    if (i->prefixes & (INSN_LOCK | INSN_REP | INSN_GS | INSN_ADDRSIZE | INSN_VECTOR))
        return false;
    if (is_jcc(i))
        return !(i->prefixes & INSN_OPSIZE);
    return safe_memory(i) &&
           ((i->map == 0 && plain_one_byte(i)) || (i->map == 1 && plain_two_byte(i->opcode)));
}

/* Does it load the number of a call that is not to be patched? */
static bool loads_sigreturn(const struct x64_insn *i, const uint8_t *code)
{
    uint32_t imm;

    if (i->map != 0 || (i->opcode != OP_MOV_EAX && i->opcode != OP_MOV_IMM))
        return false;
    memcpy(&imm, code + i->length - sizeof(imm), sizeof(imm));
    return imm == NR_RT_SIGRETURN;
}

/* Are there only movable instructions from `at` to `site`? */
static bool straight(const uint8_t *code, size_t at, size_t site)
{
    struct x64_insn insn;

    for (; at < site; at += insn.length)
        if (!x64_insn_decode(code + at, site - at, &insn) || !movable(&insn) ||
            loads_sigreturn(&insn, code + at))
            return false;
    return true;
}

/* The bytes before a site, and how long the instructions in them are that have been looked at: the
 * search comes to most of them again and again. */
#define UNKNOWN 0xff
struct scan {
    const uint8_t *code;
    size_t site;
    uint8_t length[MOVED_MAX + STEP_MAX + 1]; /* by distance to the site; 0: none */
};

static unsigned length_at(struct scan *s, size_t at)
{
    uint8_t *length = &s->length[s->site - at];
    struct x64_insn insn;

    if (*length == UNKNOWN)
        *length = x64_insn_decode(s->code + at, s->site - at, &insn) ? insn.length : 0;
    return *length;
}

/* Does decoding that arrives at the site pass through `anchor`, from wherever it starts, and from
 * somewhere? What is decoded to nothing or cut by the site is not what the program has run through.
 */
static bool certain(struct scan *s, size_t anchor)
{
    size_t lo = anchor > STEP_MAX ? anchor - STEP_MAX : 0;
    size_t hi = MIN(lo + INSN_LENGTH_MAX, anchor);
    bool through = anchor == 0; /* there is no code before it */
    uint64_t seen[2] = {0};     /* by distance to the site: decoding from there does not arrive, or
                                   passes through the anchor */

    STATIC_ASSERT(MOVED_MAX + STEP_MAX < 128);
    for (size_t from = lo; from < hi; from++) {
        size_t at = from;

        while (at < s->site && at != anchor) {
            size_t bit = s->site - at;

            if (seen[bit / 64] >> bit % 64 & 1 || length_at(s, at) == 0)
                break;
            seen[bit / 64] |= 1ull << bit % 64;
            at += length_at(s, at);
        }
        if (at == s->site)
            return false;
        through = through || at == anchor;
    }
    return through;
}

/* The anchor for the `syscall` at code[site]; SIZE_MAX: none. */
static size_t find_anchor(const uint8_t *code, size_t site)
{
    size_t lo = site > MOVED_MAX ? site - MOVED_MAX : 0;
    struct scan scan = {.code = code, .site = site};

    memset(scan.length, UNKNOWN, sizeof(scan.length));
    for (size_t at = site; at-- > lo;)
        if (length_at(&scan, at) >= JUMP_LEN && straight(code, at, site) && certain(&scan, at))
            return at;
    return SIZE_MAX;
}

/* ---- writing ---- */

/* rel32 from the end of an instruction at `from` to `to`; false if out of reach. */
static bool put_rel32(uint8_t *at, uintptr_t from, uintptr_t to)
{
    int64_t distance = (int64_t)(to - from);
    int32_t rel = (int32_t)distance;

    memcpy(at, &rel, sizeof(rel));
    return rel == distance;
}

struct writer {
    struct isa_patch *out;
    uint8_t *p;
    uintptr_t tramp_va;
    bool fits;
    unsigned jumps; /* conditional ones moved */
    uint32_t widened;
};

static uintptr_t here(const struct writer *w)
{
    return w->tramp_va + (uintptr_t)(w->p - w->out->tramp);
}

static void put_target(struct writer *w, uintptr_t target)
{
    w->fits = put_rel32(w->p, here(w) + 4, target) && w->fits;
    w->p += 4;
}

/* jcc of either length -> the long one, to the same target */
static void move_jcc(struct writer *w, const struct x64_insn *insn, const uint8_t *code,
                     uintptr_t va)
{
    int32_t rel;

    if (insn->map == 0) {
        rel = (int8_t)code[insn->length - 1];
        w->widened |= 1u << w->jumps;
    } else {
        memcpy(&rel, code + insn->length - sizeof(rel), sizeof(rel));
    }
    w->jumps++;
    *w->p++ = 0x0f;
    *w->p++ = OP_JCC_NEAR | (insn->opcode & 15);
    put_target(w, va + insn->length + (uintptr_t)(intptr_t)rel);
}

/* The instruction at `code`, address `va`, into the trampoline. */
static void move_insn(struct writer *w, const struct x64_insn *insn, const uint8_t *code,
                      uintptr_t va)
{
    int32_t disp;

    if (is_jcc(insn)) {
        move_jcc(w, insn, code, va);
        return;
    }
    memcpy(w->p, code, insn->length);
    if (insn->rip_disp_at) {
        uintptr_t end = here(w) + insn->length;

        memcpy(&disp, code + insn->rip_disp_at, sizeof(disp));
        /* Relative to the end of the instruction, not of the displacement. */
        w->fits = put_rel32(w->p + insn->rip_disp_at, end,
                            va + insn->length + (uintptr_t)(intptr_t)disp) &&
                  w->fits;
    }
    w->p += insn->length;
}

static void trampoline_end(struct writer *w, uintptr_t va, size_t len, uintptr_t entry)
{
    uintptr_t next = va + len + ISA_SYSCALL_LEN;
    uint64_t target = entry;
    uint32_t gap;

    if (HAL_DIRECT_ENTRY_CLI)
        *w->p++ = 0xfa;
    *w->p++ = 0x48; /* lea next(%rip), %rcx */
    *w->p++ = 0x8d;
    *w->p++ = 0x0d;
    put_target(w, next);
    /* The target is aligned: the program may have set the flag that makes unaligned data a fault.
     */
    gap = -(here(w) + 6) & 7;
    *w->p++ = 0xff; /* jmp *gap(%rip) */
    *w->p++ = 0x25;
    memcpy(w->p, &gap, sizeof(gap));
    w->p += sizeof(gap);
    memset(w->p, 0xcc, gap);
    w->p += gap;
    memcpy(w->p, &target, sizeof(target));
    w->p += sizeof(target);
    memset(w->p, 0xcc, ORIGIN_AT - (size_t)(w->p - w->out->tramp));
    memcpy(w->out->tramp + ORIGIN_AT,
           &(struct origin){.va = va, .len = (uint32_t)len, .widened = w->widened},
           sizeof(struct origin));
    w->out->tramp_len = ISA_TRAMPOLINE_MAX;
}

/* False: it does not fit, or something is out of reach. */
static bool trampoline_write(struct isa_patch *out, const uint8_t *code, size_t len, uintptr_t va,
                             uintptr_t tramp_va, uintptr_t entry)
{
    struct writer w = {.out = out, .p = out->tramp, .tramp_va = tramp_va, .fits = true};
    struct x64_insn insn;

    for (size_t at = 0; at < len; at += insn.length) {
        size_t used = (size_t)(w.p - out->tramp);

        if (used + INSN_LENGTH_MAX + TAIL_MAX > ORIGIN_AT ||
            !x64_insn_decode(code + at, len - at, &insn))
            return false;
        move_insn(&w, &insn, code + at, va + at);
    }
    trampoline_end(&w, va, len, entry);
    return w.fits;
}

static bool jump_write(struct isa_patch *out, uintptr_t va, uintptr_t tramp_va)
{
    out->patch_va = va;
    out->patch_len = JUMP_LEN;
    out->patch[0] = 0xe9;
    return put_rel32(out->patch + 1, va + JUMP_LEN, tramp_va);
}

bool isa_patch_plan(const uint8_t *code, size_t len, uintptr_t va, uintptr_t site,
                    uintptr_t tramp_va, uintptr_t entry, struct isa_patch *out)
{
    size_t at, anchor;

    if (entry == 0 || site < va || site - va > len || len - (site - va) < ISA_SYSCALL_LEN)
        return false;
    at = site - va;
    if (code[at] != 0x0f || code[at + 1] != 0x05)
        return false;
    anchor = find_anchor(code, at);
    if (anchor == SIZE_MAX)
        return false;
    return jump_write(out, va + anchor, tramp_va) &&
           trampoline_write(out, code + anchor, at - anchor, out->patch_va, tramp_va, entry);
}

void isa_patch_of(const uint8_t *tramp, uintptr_t tramp_va, struct isa_patch *out)
{
    struct origin origin;

    memcpy(&origin, tramp + ORIGIN_AT, sizeof(origin));
    (void)jump_write(out, origin.va, tramp_va);
}

/* Processors fetch an aligned quadword at once (AMD64 APM vol. 2, 7.6.1; Intel's do, without a
 * promise). An emulator that translates instructions need not: QEMU reads opcode and operands by a
 * load each, and until 8.2 misses what is stored meanwhile, so that a mixture is executed
 * from then on. CPUID (leaf 0x40000000) says who that is. */
bool isa_patch_translated(void)
{
    static uint32_t known; /* atomic: any CPU finds the same. 1: no, 2: yes */
    uint32_t state = __atomic_load_n(&known, __ATOMIC_RELAXED);
    uint32_t eax = 1, ebx, ecx = 0, edx;

    /* One thread carries all CPUs of the simulation, and what the host is must not show there. */
    if (SELKIE_SIM)
        return false;
    if (state == 0) {
        state = 1;
        __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
        if (ecx & CPUID_HYPERVISOR) {
            eax = CPUID_HYPERVISOR_NAME, ecx = 0;
            __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
            if (ebx == NAME_TCGT && ecx == NAME_CGTC && edx == NAME_GTCG)
                state = 2;
        }
        __atomic_store_n(&known, state, __ATOMIC_RELAXED);
    }
    return state == 2;
}

bool isa_patch_one_store(uintptr_t va, size_t len)
{
    return va / 8 == (va + len - 1) / 8 && !isa_patch_translated();
}

/* The instructions of the trampoline, with what each stands for; those behind them make the call,
 * so they stand for the `syscall`, which changes rcx as well. A program that steps through its
 * instructions is left alone: put in front of the jump again it would never get on. */
void isa_patch_leave(struct isa_frame *frame, const uint8_t *tramp, size_t at)
{
    struct origin origin;
    struct x64_insn insn;
    size_t from = 0;
    unsigned jumps = 0;

    memcpy(&origin, tramp + ORIGIN_AT, sizeof(origin));
    if (frame->rflags & ISA_RFLAGS_TF)
        return;
    for (size_t here = 0; here < at && from < origin.len; here += insn.length) {
        bool widened = false;

        if (!x64_insn_decode(tramp + here, ORIGIN_AT - here, &insn))
            return;
        if (is_jcc(&insn))
            widened = origin.widened >> jumps++ & 1;
        from += widened ? JCC_SHORT_LEN : insn.length;
    }
    isa_frame_set_pc(frame, origin.va + from);
}
