/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/net/bpf.c kernel/drv/pkt.c kernel/lib/checksum.c */
/* bpf_test.c - classic BPF: what the checker refuses, and what programs compute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "fake.h"
#include "lib/errno.h"
#include "mm/kmalloc.h"
#include "net/bpf.h"

enum { LD, LDX, ST, STX, ALU, JMP, RET, MISC, K = 0, X = 8, ABS = 0x20, IND = 0x40, MEM = 0x60 };
enum { W = 0, H = 8, B = 0x10, A = 0x10, LEN = 0x80, MSH = 0xa0, JEQ = 0x10, JSET = 0x40 };
#define S(code, k) \
    { \
        (uint16_t)(code), 0, 0, (uint32_t)(k) \
    }
#define J(code, k, t, f) \
    { \
        (uint16_t)(JMP | (code)), (t), (f), (uint32_t)(k) \
    }
#define CHECKED(...) \
    bpf_check((const struct bpf_insn[]){__VA_ARGS__}, \
              sizeof((struct bpf_insn[]){__VA_ARGS__}) / sizeof(struct bpf_insn))
/* What the instructions before "ret a" leave in A, of `view`. */
#define RESULT(...) \
    result((const struct bpf_insn[]){__VA_ARGS__, S(RET | A, 0)}, \
           sizeof((struct bpf_insn[]){__VA_ARGS__}) / sizeof(struct bpf_insn) + 1)

uint64_t random_u64(void)
{
    return 4;
}

static struct bpf_view view;
static uint8_t head[4] = {0xa0, 0xa1, 0xa2, 0xa3};

static int setup(void **state)
{
    (void)state;
    fake_hal_init(16u << 20);
    page_init();
    kmalloc_init();
    pkt_init();
    /* Two pieces: 1 2 3 4 | 5 6 ... 12. */
    struct pkt *pkt = pkt_alloc(0, 4, 0), *more = pkt_alloc(0, 8, 0);
    memcpy(pkt_put(pkt, 4), "\1\2\3\4", 4);
    memcpy(pkt_put(more, 8), "\5\6\7\x48\x9\xa\xb\xc", 8);
    pkt_append(pkt, more);
    view = (struct bpf_view){.head = head,
                             .head_len = 4,
                             .pkt = pkt,
                             .len = 16,
                             .device = 7,
                             .protocol = 0x800,
                             .kind = 3,
                             .network = 8,
                             .hardware = 1};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pkt_free((struct pkt *)(uintptr_t)view.pkt);
    return 0;
}

static uint32_t result(const struct bpf_insn *insn, uint32_t count)
{
    struct bpf_program *program = test_malloc(sizeof(*program) + count * sizeof(insn[0]));
    assert_int_equal(bpf_check(insn, count), 0);
    program->count = count;
    memcpy(program->insn, insn, count * sizeof(insn[0]));
    uint32_t got = bpf_run(program, &view);
    test_free(program);
    return got;
}

static void checks(void **state)
{
    static const struct bpf_insn ret = S(RET, 1);
    struct bpf_insn many[BPF_INSNS_MAX];
    (void)state;
    assert_int_equal(bpf_check(&ret, 0), -EINVAL);
    for (unsigned i = 0; i < BPF_INSNS_MAX; i++)
        many[i] = ret;
    assert_int_equal(bpf_check(many, BPF_INSNS_MAX), 0);
    assert_int_equal(bpf_check(many, BPF_INSNS_MAX + 1), -EINVAL);
    assert_int_equal(CHECKED(S(LD, 0)), -EINVAL); /* no end */
    assert_int_equal(CHECKED(S(RET | X, 0)), -EINVAL);
    assert_int_equal(CHECKED(J(0, 0, 0, 0), S(RET, 0)), 0);
    assert_int_equal(CHECKED(J(0, 1, 0, 0), S(RET, 0)), -EINVAL);          /* one too far */
    assert_int_equal(CHECKED(J(0, UINT32_MAX, 0, 0), S(RET, 0)), -EINVAL); /* backwards */
    assert_int_equal(CHECKED(J(JEQ, 0, 1, 0), S(RET, 0), S(RET, 1)), 0);
    assert_int_equal(CHECKED(J(JEQ, 0, 2, 0), S(RET, 0), S(RET, 1)), -EINVAL);
    assert_int_equal(CHECKED(J(JEQ, 0, 0, 2), S(RET, 0), S(RET, 1)), -EINVAL);
    assert_int_equal(CHECKED(J(0x50, 0, 0, 0), S(RET, 0)), -EINVAL);
    for (int op = 0x30; op <= 0x90; op += 0x60) { /* division, remainder */
        assert_int_equal(CHECKED(S(ALU | op, 0), S(RET, 0)), -EINVAL);
        assert_int_equal(CHECKED(S(ALU | op, 1), S(RET, 0)), 0);
        assert_int_equal(CHECKED(S(ALU | op | X, 0), S(RET, 0)), 0);
    }
    for (int op = 0x60; op <= 0x70; op += 0x10) {
        assert_int_equal(CHECKED(S(ALU | op, 32), S(RET, 0)), -EINVAL);
        assert_int_equal(CHECKED(S(ALU | op, 31), S(RET, 0)), 0);
    }
    assert_int_equal(CHECKED(S(ALU | 0xb0, 1), S(RET, 0)), -EINVAL);
    assert_int_equal(CHECKED(S(ST, 16), S(RET, 0)), -EINVAL);
    assert_int_equal(CHECKED(S(LDX | ABS, 0), S(RET, 0)), -EINVAL);
    assert_int_equal(CHECKED(S(LD | MSH | B, 0), S(RET, 0)), -EINVAL);
    assert_int_equal(CHECKED(S(MISC | 8, 0), S(RET, 0)), -EINVAL);
    assert_int_equal(CHECKED(S(0x100 | LD, 0), S(RET, 0)), -EINVAL);
    assert_int_equal(CHECKED(S(LD | ABS, 0xfffff00c), S(RET, 0)), -EINVAL); /* SKF_AD_NLATTR */
    assert_int_equal(CHECKED(S(LD | ABS, 0xfffff038), S(RET, 0)), 0);       /* SKF_AD_RANDOM */
    assert_int_equal(CHECKED(S(LD | ABS, 0xfffff040), S(RET, 0)), -EINVAL);
}

/* A word may be read if it was written whichever way was taken. */
static void memory(void **state)
{
    (void)state;
    assert_int_equal(CHECKED(S(LD | MEM, 0), S(RET, 0)), -EINVAL);
    assert_int_equal(CHECKED(S(ST, 0), S(LD | MEM, 0), S(RET, 0)), 0);
    assert_int_equal(CHECKED(S(ST, 0), S(LDX | MEM, 1), S(RET, 0)), -EINVAL);
    assert_int_equal(CHECKED(J(JEQ, 0, 0, 1), S(ST, 5), S(LD | MEM, 5), S(RET, 0)), -EINVAL);
    assert_int_equal(
        CHECKED(J(JEQ, 0, 0, 2), S(ST, 5), J(0, 1, 0, 0), S(STX, 5), S(LD | MEM, 5), S(RET, 0)), 0);
    assert_int_equal(
        CHECKED(J(JEQ, 0, 0, 2), S(ST, 5), J(0, 1, 0, 0), S(STX, 6), S(LD | MEM, 5), S(RET, 0)),
        -EINVAL);
    /* What cannot be reached may read anything. */
    assert_int_equal(CHECKED(S(RET, 0), S(LD | MEM, 3), S(RET, 0)), 0);
    assert_int_equal(RESULT(S(LD, 42), S(ST, 15), S(LD, 0), S(LDX | MEM, 15), S(MISC | 0x80, 0)),
                     42);
}

static void loads(void **state)
{
    (void)state;
    assert_int_equal(RESULT(S(LD | ABS | W, 0)), 0xa0a1a2a3);
    assert_int_equal(RESULT(S(LD | ABS | W, 2)), 0xa2a30102); /* across the head's end */
    assert_int_equal(RESULT(S(LD | ABS | H, 7)), 0x0405);     /* across pieces */
    assert_int_equal(RESULT(S(LD | ABS | B, 15)), 0xc);
    assert_int_equal(RESULT(S(LD, 9), S(LD | ABS | B, 16)), 0); /* beyond: the end, with 0 */
    assert_int_equal(RESULT(S(LD | ABS | W, 13)), 0);
    assert_int_equal(RESULT(S(LD | ABS | W, 0x7fffffff)), 0);
    assert_int_equal(RESULT(S(LD | ABS | W, 0x80000000)), 0);
    assert_int_equal(RESULT(S(LDX, 4), S(LD | IND | B, 3)), 4);
    assert_int_equal(RESULT(S(LDX, 0xffffffff), S(LD | IND | B, 5)), 1); /* wraps to 4 */
    assert_int_equal(RESULT(S(LDX, 12), S(LD | IND | W, 1)), 0);
    assert_int_equal(RESULT(S(LDX | MSH | B, 11), S(MISC | 0x80, 0)), 0x20); /* 4 * 8 */
    assert_int_equal(RESULT(S(LD | LEN, 0)), 16);
    assert_int_equal(RESULT(S(LD | ABS | B, 0xfff00000 + 1)), 6); /* network header */
    assert_int_equal(RESULT(S(LD | ABS | B, 0xffe00000)), 0xa0);  /* link header */
    assert_int_equal(RESULT(S(LD | ABS | B, 0xfff00000 + 8)), 0);
    assert_int_equal(RESULT(S(LD | ABS, 0xfffff000)), 0x800);
    assert_int_equal(RESULT(S(LD | ABS, 0xfffff004)), 3);
    assert_int_equal(RESULT(S(LD | ABS, 0xfffff008)), 7);
    assert_int_equal(RESULT(S(LD | ABS, 0xfffff01c)), 1);
    assert_int_equal(RESULT(S(LDX, 5), S(LD, 6), S(LD | ABS, 0xfffff028)), 3); /* A ^ X */
    view.begin = 6; /* a socket that does not see the link header */
    assert_int_equal(RESULT(S(LD | ABS | B, 0)), 3);
    assert_int_equal(RESULT(S(LD | LEN, 0)), 10);
    assert_int_equal(RESULT(S(LD | ABS | B, 10)), 0);
    assert_int_equal(RESULT(S(LD | ABS | B, 0xffe00000)), 0xa0);
}

static void calculates(void **state)
{
    static const struct {
        int op;
        uint32_t a, by, is;
    } table[] = {
        {0x00, 5, UINT32_MAX, 4}, {0x10, 3, 5, UINT32_MAX - 1},
        {0x20, 1u << 31, 2, 0},   {0x30, 17, 5, 3},
        {0x40, 8, 3, 11},         {0x50, 12, 10, 8},
        {0x60, 3, 31, 1u << 31},  {0x70, 1u << 31, 31, 1},
        {0x90, 17, 5, 2},         {0xa0, 6, 5, 3},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_int_equal(RESULT(S(LD, table[i].a), S(ALU | table[i].op, table[i].by)), table[i].is);
        assert_int_equal(
            RESULT(S(LD, table[i].a), S(LDX, table[i].by), S(ALU | X | table[i].op, 0)),
            table[i].is);
    }
    assert_int_equal(RESULT(S(LD, 1), S(ALU | 0x80, 0)), UINT32_MAX);
    /* Division by a register that is zero ends the program, with 0. */
    assert_int_equal(RESULT(S(LD, 7), S(ALU | 0x30 | X, 0)), 0);
    assert_int_equal(RESULT(S(LD, 7), S(ALU | 0x90 | X, 0), S(LD, 9)), 0);
    assert_int_equal(RESULT(S(LD, 1), S(LDX, 33), S(ALU | 0x60 | X, 0)), 2); /* modulo 32 */
}

static void jumps(void **state)
{
    static const struct {
        int op;
        uint32_t a, k;
        bool is;
    } table[] = {
        {0x10, 5, 5, true}, {0x10, 5, 6, false}, {0x20, 5, 5, false}, {0x20, UINT32_MAX, 5, true},
        {0x30, 5, 5, true}, {0x30, 4, 5, false}, {0x40, 6, 2, true},  {0x40, 6, 9, false},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint32_t want = table[i].is ? 100 : 200;
        assert_int_equal(
            RESULT(S(LD, table[i].a), J(table[i].op, table[i].k, 1, 0), S(RET, 200), S(LD, 100)),
            want);
        assert_int_equal(RESULT(S(LD, table[i].a), S(LDX, table[i].k), J(table[i].op | X, 0, 1, 0),
                                S(RET, 200), S(LD, 100)),
                         want);
    }
    assert_int_equal(RESULT(S(LD, 1), J(0, 1, 0, 0), S(LD, 2), S(ALU, 10)), 11);
    assert_int_equal(RESULT(S(RET, 77)), 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(checks, setup, teardown),
        cmocka_unit_test_setup_teardown(memory, setup, teardown),
        cmocka_unit_test_setup_teardown(loads, setup, teardown),
        cmocka_unit_test_setup_teardown(calculates, setup, teardown),
        cmocka_unit_test_setup_teardown(jumps, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
