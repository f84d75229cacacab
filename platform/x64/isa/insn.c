/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * insn.c - length decoder for x86-64 in 64-bit mode (Intel SDM vol. 2, chapter 2 and appendix A;
 * XOP: AMD APM vol. 6).
 *
 * A letter per opcode says what follows it:
 *   .  nothing      b  imm8      w  imm16        z  imm32 (imm16 with an operand-size prefix)
 *   d  rel32        v  imm32, imm64 with REX.W (b8-bf)      o  an address of 8 bytes (4: a0-a3)
 *   e  imm16, imm8 (enter)       M  ModRM        B  ModRM, imm8      Z  ModRM, imm32/16
 *   G  ModRM, and if its reg field is 0 or 1 imm8 (f6)       H  the same with imm32/16 (f7)
 *   X  invalid      p  prefix, escape or something else that is looked at before the table
 */
#include "isa/insn.h"

#define LENGTH_MAX 15

static const char one_byte[] = "MMMMbzXXMMMMbzXp" /* 00 */
                               "MMMMbzXXMMMMbzXX"
                               "MMMMbzpXMMMMbzpX" /* 20 */
                               "MMMMbzpXMMMMbzpX"
                               "pppppppppppppppp" /* 40 */
                               "................"
                               "XXpMppppzZbB...." /* 60 */
                               "bbbbbbbbbbbbbbbb"
                               "BZXBMMMMMMMMMMMM" /* 80 */
                               "..........X....."
                               "oooo....bz......" /* a0 */
                               "bbbbbbbbvvvvvvvv"
                               "BBw.ppBZe.w..bX." /* c0 */
                               "MMMMXXX.MMMMMMMM"
                               "bbbbbbbbddXb...." /* e0 */
                               "p.pp..GH......MM";

static const char two_byte[] = "MMMMX.....X.XM.B" /* 00 */
                               "MMMMMMMMMMMMMMMM"
                               "MMMMXXXXMMMMMMMM" /* 20 */
                               "........pXpXXXXX"
                               "MMMMMMMMMMMMMMMM" /* 40 */
                               "MMMMMMMMMMMMMMMM"
                               "MMMMMMMMMMMMMMMM" /* 60 */
                               "BBBBMMM.MMMMMMMM"
                               "dddddddddddddddd" /* 80 */
                               "MMMMMMMMMMMMMMMM"
                               "...MBMXX...MBMMM" /* a0 */
                               "MMMMMMMMMMBMMMMM"
                               "MMBMBBBM........" /* c0 */
                               "MMMMMMMMMMMMMMMM"
                               "MMMMMMMMMMMMMMMM" /* e0 */
                               "MMMMMMMMMMMMMMMM";
STATIC_ASSERT(sizeof(one_byte) == 257 && sizeof(two_byte) == 257);

struct reader {
    const uint8_t *code;
    size_t len, at;
    bool cut;
};

static uint8_t peek(struct reader *r)
{
    if (r->at < r->len)
        return r->code[r->at];
    r->cut = true;
    return 0;
}

static uint8_t next(struct reader *r)
{
    uint8_t byte = peek(r);

    r->at++;
    return byte;
}

static unsigned legacy_prefix(uint8_t byte)
{
    switch (byte) {
    case 0x66:
        return INSN_OPSIZE;
    case 0x67:
        return INSN_ADDRSIZE;
    case 0xf0:
        return INSN_LOCK;
    case 0xf2:
    case 0xf3:
        return INSN_REP;
    case 0x64:
        return INSN_FS;
    case 0x65:
        return INSN_GS;
    default:
        return 0;
    }
}

static bool ignored_segment(uint8_t byte)
{
    return byte == 0x26 || byte == 0x2e || byte == 0x36 || byte == 0x3e;
}

/* A REX that is not the last prefix counts for nothing. */
static void read_prefixes(struct reader *r, struct x64_insn *out)
{
    for (; r->at < LENGTH_MAX; r->at++) {
        uint8_t byte = peek(r);
        unsigned prefix = legacy_prefix(byte);

        if ((byte & 0xf0) == 0x40 && !r->cut) {
            out->rex = byte;
            continue;
        }
        if (!prefix && !ignored_segment(byte))
            return;
        out->prefixes |= (uint8_t)prefix;
        out->rex = 0;
    }
}

/* What follows the opcode of a VEX, EVEX or XOP instruction. */
static char vector_kind(uint8_t map, uint8_t opcode, bool xop)
{
    if (xop)
        return (char)(map == 8 ? 'B' : map == 9 ? 'M' : map == 10 ? 'Z' : 'X');
    if (map == 1)
        return (char)(two_byte[opcode] == 'B' ? 'B' : opcode == 0x77 ? '.' : 'M');
    return map == 3 ? 'B' : 'M';
}

/* The prefix byte has been read. Returns the kind. */
static char read_vector(struct reader *r, struct x64_insn *out, uint8_t prefix)
{
    uint8_t map = 1;

    if (prefix == 0xc5) {
        (void)next(r);
    } else if (prefix == 0x62) {
        map = next(r) & 7;
        (void)next(r);
        (void)next(r);
    } else {
        map = next(r) & 0x1f;
        (void)next(r);
    }
    out->prefixes |= INSN_VECTOR;
    out->prefixes &= (uint8_t)~INSN_OPSIZE; /* does not shorten the immediate */
    out->map = map;
    out->opcode = next(r);
    return vector_kind(map, out->opcode, prefix == 0x8f);
}

static char read_opcode(struct reader *r, struct x64_insn *out)
{
    uint8_t byte = next(r);

    if (byte == 0xc4 || byte == 0xc5 || byte == 0x62 || (byte == 0x8f && (peek(r) & 0x1f) >= 8))
        return read_vector(r, out, byte);
    out->opcode = byte;
    if (byte != 0x0f)
        return one_byte[byte];
    out->map = 1;
    out->opcode = next(r);
    if (out->opcode != 0x38 && out->opcode != 0x3a)
        return two_byte[out->opcode];
    out->map = out->opcode == 0x38 ? 2 : 3;
    out->opcode = next(r);
    return out->map == 2 ? 'M' : 'B';
}

static void read_modrm(struct reader *r, struct x64_insn *out)
{
    uint8_t modrm = next(r), mod = modrm >> 6, rm = modrm & 7;
    size_t disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;

    out->has_modrm = true;
    out->modrm = modrm;
    if (mod == 3)
        return;
    if (rm == 4) {
        out->sib = next(r);
        if (mod == 0 && (out->sib & 7) == 5)
            disp = 4;
    } else if (mod == 0 && rm == 5) {
        disp = 4;
        out->rip_disp_at = (uint8_t)r->at;
    }
    r->at += disp;
}

/* Bytes of immediate data; SIZE_MAX: invalid. */
static size_t immediate(char kind, const struct x64_insn *insn)
{
    bool opsize = insn->prefixes & INSN_OPSIZE, wide = insn->rex & 8;
    size_t z = opsize && !wide ? 2 : 4;
    bool test = (insn->modrm >> 3 & 7) < 2;

    switch (kind) {
    case '.':
    case 'M':
        return 0;
    case 'b':
    case 'B':
        return 1;
    case 'w':
        return 2;
    case 'e':
        return 3;
    case 'z':
    case 'Z':
        return z;
    case 'd':
        return 4;
    case 'v':
        return wide ? 8 : z;
    case 'o':
        return insn->prefixes & INSN_ADDRSIZE ? 4 : 8;
    case 'G':
        return test ? 1 : 0;
    case 'H':
        return test ? z : 0;
    default:
        return SIZE_MAX;
    }
}

bool x64_insn_decode(const uint8_t *code, size_t len, struct x64_insn *out)
{
    struct reader r = {.code = code, .len = len};
    size_t imm;
    char kind;

    *out = (struct x64_insn){0};
    read_prefixes(&r, out);
    kind = read_opcode(&r, out);
    if (kind >= 'A' && kind <= 'Z' && kind != 'X')
        read_modrm(&r, out);
    imm = immediate(kind, out);
    if (r.cut || imm == SIZE_MAX || r.at + imm > len || r.at + imm > LENGTH_MAX)
        return false;
    out->length = (uint8_t)(r.at + imm);
    return true;
}
