/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bpf.c - classic BPF: the checker and the interpreter. Contract: bpf.h.
 *
 * The checker goes over a program once, front to back. Jumps only lead forward, so when it comes to
 * an instruction it knows all ways there: the words of memory that are written on each of them.
 */
#include "net/bpf.h"

#include "core/random.h"
#include "hal.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "mm/kmalloc.h"

#define MEMORY_WORDS 16u
#define OFFSET_ANCILLARY 0xfffff000u /* SKF_AD_OFF */
#define OFFSET_NETWORK 0xfff00000u   /* SKF_NET_OFF */
#define OFFSET_LINK 0xffe00000u      /* SKF_LL_OFF */

/* Instructions: class, and within it size and mode, or operation and source. */
enum { LD, LDX, ST, STX, ALU, JMP, RET, MISC };
enum { SIZE_W = 0x00, SIZE_H = 0x08, SIZE_B = 0x10 };
enum { IMM = 0x00, ABS = 0x20, IND = 0x40, MEM = 0x60, LEN = 0x80, MSH = 0xa0 };
enum {
    ADD = 0x00,
    SUB = 0x10,
    MUL = 0x20,
    DIV = 0x30,
    OR = 0x40,
    AND = 0x50,
    LSH = 0x60,
    RSH = 0x70,
    NEG = 0x80,
    MOD = 0x90,
    XOR = 0xa0
};
enum { JA = 0x00, JEQ = 0x10, JGT = 0x20, JGE = 0x30, JSET = 0x40 };
enum { SOURCE_X = 0x08, RET_A = 0x10, TAX = 0x00, TXA = 0x80 };

enum { /* SKF_AD_*: from OFFSET_ANCILLARY on */
       AD_PROTOCOL = 0,
       AD_KIND = 4,
       AD_DEVICE = 8,
       AD_MARK = 20,
       AD_QUEUE = 24,
       AD_HARDWARE = 28,
       AD_HASH = 32,
       AD_CPU = 36,
       AD_XOR_X = 40,
       AD_VLAN_TAG = 44,
       AD_VLAN_PRESENT = 48,
       AD_RANDOM = 56,
       AD_VLAN_TYPE = 60,
};

/* ---- the checker ---- */

static bool ancillary_known(uint32_t k)
{
    uint32_t which = k - OFFSET_ANCILLARY;
    return which == AD_PROTOCOL || which == AD_KIND || which == AD_DEVICE ||
           (which >= AD_MARK && which <= AD_VLAN_PRESENT && which % 4 == 0) || which == AD_RANDOM ||
           which == AD_VLAN_TYPE;
}

static bool load_ok(const struct bpf_insn *i)
{
    switch (i->code) {
    case LD | ABS | SIZE_W:
    case LD | ABS | SIZE_H:
    case LD | ABS | SIZE_B:
        return i->k < OFFSET_ANCILLARY || ancillary_known(i->k);
    case LD | IND | SIZE_W:
    case LD | IND | SIZE_H:
    case LD | IND | SIZE_B:
    case LD | IMM:
    case LDX | IMM:
    case LD | LEN:
    case LDX | LEN:
    case LDX | MSH | SIZE_B:
        return true;
    case LD | MEM:
    case LDX | MEM:
    case ST:
    case STX:
        return i->k < MEMORY_WORDS;
    default:
        return false;
    }
}

static bool alu_ok(const struct bpf_insn *i)
{
    uint32_t operation = i->code & 0xf0u;
    if (i->code > 0xff || operation > XOR || (operation == NEG && i->code & SOURCE_X))
        return false;
    if (i->code & SOURCE_X)
        return true;
    if (operation == DIV || operation == MOD)
        return i->k != 0;
    return (operation != LSH && operation != RSH) || i->k < 32;
}

/* `left`: how many instructions there are behind it. */
static bool jump_ok(const struct bpf_insn *i, uint32_t left)
{
    if (i->code == (JMP | JA))
        return i->k < left;
    uint32_t operation = i->code & 0xf0u;
    return i->code <= 0xff && operation >= JEQ && operation <= JSET && i->jump_true < left &&
           i->jump_false < left;
}

static bool insn_ok(const struct bpf_insn *i, uint32_t left)
{
    switch (i->code & 7) {
    case ALU:
        return alu_ok(i);
    case JMP:
        return jump_ok(i, left);
    case RET:
        return i->code == RET || i->code == (RET | RET_A);
    case MISC:
        return i->code == (MISC | TAX) || i->code == (MISC | TXA);
    default:
        return load_ok(i);
    }
}

/* One instruction: what is written after it goes on to all that may follow. written[]: the words
 * that are written on all ways seen so far. False: it reads one that may not be. */
static bool memory_ok(const struct bpf_insn *i, uint16_t *written)
{
    uint16_t now = written[0];
    switch (i->code) {
    case ST:
    case STX:
        now |= (uint16_t)(1u << i->k);
        break;
    case LD | MEM:
    case LDX | MEM:
        if (!(now >> i->k & 1))
            return false;
        break;
    case JMP | JA:
        written[1 + i->k] &= now;
        return true;
    case RET:
    case RET | RET_A:
        return true;
    default:
        if ((i->code & 7) == JMP) {
            written[1 + i->jump_true] &= now;
            written[1 + i->jump_false] &= now;
            return true;
        }
    }
    written[1] &= now;
    return true;
}

int bpf_check(const struct bpf_insn *insn, uint32_t count)
{
    if (count == 0 || count > BPF_INSNS_MAX)
        return -EINVAL;
    if (insn[count - 1].code != RET && insn[count - 1].code != (RET | RET_A))
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++)
        if (!insn_ok(&insn[i], count - 1 - i))
            return -EINVAL;
    uint16_t *written = kmalloc_array(count, sizeof(*written), ALLOC_DEFAULT);
    if (!written)
        return -ENOMEM;
    int err = 0;
    written[0] = 0;
    for (uint32_t i = 1; i < count; i++)
        written[i] = UINT16_MAX;
    for (uint32_t i = 0; i < count && err == 0; i++)
        if (!memory_ok(&insn[i], &written[i]))
            err = -EINVAL;
    kfree(written);
    return err;
}

/* ---- the interpreter ---- */

void bpf_view_read(const struct bpf_view *view, uint32_t offset, void *to, uint32_t len)
{
    uint8_t *at = to;
    while (len > 0 && offset < view->head_len) {
        *at++ = view->head[offset++];
        len--;
    }
    if (len > 0)
        pkt_read(view->pkt, view->skip + offset - view->head_len, at, len);
}

static uint32_t ancillary(const struct bpf_view *view, uint32_t which, uint32_t a, uint32_t x)
{
    switch (which) {
    case AD_PROTOCOL:
        return view->protocol;
    case AD_KIND:
        return view->kind;
    case AD_DEVICE:
        return view->device;
    case AD_HARDWARE:
        return view->hardware;
    case AD_HASH:
        return view->hash;
    case AD_CPU:
        return hal_cpu_id();
    case AD_XOR_X:
        return a ^ x;
    case AD_RANDOM:
        return (uint32_t)random_u64();
    default: /* there are no marks and queues; tags stay where they are in the frame */
        return 0;
    }
}

/* From the packet, network order. `from`: as a program says it. False: there is no such byte. */
static bool load(const struct bpf_view *view, uint32_t from, uint32_t size, uint32_t *out)
{
    uint8_t bytes[4] = {0};
    uint32_t base = view->begin;
    if (from >= OFFSET_NETWORK) {
        base = view->network;
        from -= OFFSET_NETWORK;
    } else if (from >= OFFSET_LINK) {
        base = 0;
        from -= OFFSET_LINK;
    } else if (from > INT32_MAX) {
        return false;
    }
    if (base > view->len || from > view->len - base || size > view->len - base - from)
        return false;
    bpf_view_read(view, base + from, bytes, size);
    *out = get_be32(bytes) >> (32 - 8 * size);
    return true;
}

static uint32_t size_of(uint16_t code)
{
    return (code & 0x18) == SIZE_W ? 4 : (code & 0x18) == SIZE_H ? 2 : 1;
}

/* False: a division by zero. */
static bool calculate(uint16_t code, uint32_t *a, uint32_t by)
{
    switch (code & 0xf0u) {
    case ADD:
        *a += by;
        break;
    case SUB:
        *a -= by;
        break;
    case MUL:
        *a *= by;
        break;
    case OR:
        *a |= by;
        break;
    case AND:
        *a &= by;
        break;
    case XOR:
        *a ^= by;
        break;
    case LSH:
        *a <<= by & 31;
        break;
    case RSH:
        *a >>= by & 31;
        break;
    case NEG:
        *a = -*a;
        break;
    default:
        if (by == 0)
            return false;
        *a = (code & 0xf0u) == DIV ? *a / by : *a % by;
    }
    return true;
}

static bool compare(uint16_t code, uint32_t a, uint32_t with)
{
    switch (code & 0xf0u) {
    case JEQ:
        return a == with;
    case JGT:
        return a > with;
    case JGE:
        return a >= with;
    default:
        return (a & with) != 0;
    }
}

struct registers {
    uint32_t a, x, memory[MEMORY_WORDS];
};

/* A load, or one of the few that move registers. False: the program ends with 0. */
static bool move(struct registers *r, const struct bpf_insn *i, const struct bpf_view *view)
{
    uint32_t byte = 0;
    switch (i->code) {
    case LD | IMM:
        r->a = i->k;
        return true;
    case LDX | IMM:
        r->x = i->k;
        return true;
    case LD | LEN:
        r->a = view->len - view->begin;
        return true;
    case LDX | LEN:
        r->x = view->len - view->begin;
        return true;
    case LD | MEM:
        r->a = r->memory[i->k];
        return true;
    case LDX | MEM:
        r->x = r->memory[i->k];
        return true;
    case ST:
        r->memory[i->k] = r->a;
        return true;
    case STX:
        r->memory[i->k] = r->x;
        return true;
    case MISC | TAX:
        r->x = r->a;
        return true;
    case MISC | TXA:
        r->a = r->x;
        return true;
    case LDX | MSH | SIZE_B: /* the length of an IPv4 header */
        if (!load(view, i->k, 1, &byte))
            return false;
        r->x = (byte & 0xf) * 4;
        return true;
    default:
        if ((i->code & 0xe0) == IND)
            return load(view, r->x + i->k, size_of(i->code), &r->a);
        if (i->k < OFFSET_ANCILLARY)
            return load(view, i->k, size_of(i->code), &r->a);
        r->a = ancillary(view, i->k - OFFSET_ANCILLARY, r->a, r->x);
        return true;
    }
}

uint32_t bpf_run(const struct bpf_program *program, const struct bpf_view *view)
{
    struct registers r = {.a = 0};
    for (uint32_t at = 0;; at++) {
        ASSERT(at < program->count);
        const struct bpf_insn *i = &program->insn[at];
        uint32_t operand = i->code & SOURCE_X ? r.x : i->k;
        switch (i->code & 7) {
        case RET:
            return i->code & RET_A ? r.a : i->k;
        case ALU:
            if (!calculate(i->code, &r.a, operand))
                return 0;
            break;
        case JMP:
            if (i->code == (JMP | JA))
                at += i->k;
            else
                at += compare(i->code, r.a, operand) ? i->jump_true : i->jump_false;
            break;
        default:
            if (!move(&r, i, view))
                return 0;
        }
    }
}
