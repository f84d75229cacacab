/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/x64/isa/patch.c platform/x64/isa/insn.c */
/* include: platform/x64 */
/* patch_test.c - which x86-64 system-call sites are patched, and with which bytes. */
#include <cmocka.h>
#include <string.h>

#include "isa.h"

#define VA 0x401000ul
#define TRAMP 0x500000ul
#define ENTRY 0x7f0012345678ul

static struct isa_patch patch;

static bool plan(const uint8_t *code, size_t len, size_t at, uintptr_t tramp)
{
    memset(&patch, 0, sizeof patch);
    return isa_patch_plan(code, len, VA, VA + at, tramp, ENTRY, &patch);
}

static void test_mov_eax(void **state)
{
    static const uint8_t code[] = {0x90, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3};
    int32_t rel;
    (void)state;
    assert_true(plan(code, sizeof code, 6, TRAMP));
    assert_int_equal(patch.patch_va, VA + 1);
    assert_int_equal(patch.patch_len, 5);
    assert_int_equal(patch.patch[0], 0xe9);
    memcpy(&rel, patch.patch + 1, 4);
    assert_int_equal(VA + 6 + (intptr_t)rel, TRAMP);
    assert_true(patch.tramp_len <= ISA_TRAMPOLINE_MAX);
    assert_memory_equal(patch.tramp, code + 1, 5); /* the moved instruction runs first */
    /* Behind the lea: jmp *x(%rip), to an aligned word. */
    size_t jump = 5 + HAL_DIRECT_ENTRY_CLI + 7;
    assert_memory_equal(patch.tramp + jump, "\xff\x25", 2);
    uint64_t entry;
    int32_t gap;
    memcpy(&gap, patch.tramp + jump + 2, 4);
    assert_int_equal((jump + 6 + (size_t)gap) % 8, 0);
    memcpy(&entry, patch.tramp + jump + 6 + gap, 8);
    assert_int_equal(entry, ENTRY);
}

static void test_mov_rax(void **state)
{
    static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x27, 0, 0, 0, 0x0f, 0x05};
    (void)state;
    assert_true(plan(code, sizeof code, 7, TRAMP));
    assert_int_equal(patch.patch_va, VA);
}

/* Where a rel32 at `at` in the trampoline points to. */
static uintptr_t target(size_t at)
{
    int32_t rel;
    memcpy(&rel, patch.tramp + at, 4);
    return TRAMP + at + 4 + (uintptr_t)(intptr_t)rel;
}

/* The `lea next(%rip), %rcx` at `at` names the address behind the system call. */
static void assert_returns_to(size_t at, uintptr_t next)
{
    static const uint8_t lea[] = {0x48, 0x8d, 0x0d};
    at += HAL_DIRECT_ENTRY_CLI;
    assert_memory_equal(patch.tramp + at, lea, 3);
    assert_int_equal(target(at + 3), next);
}

/* glibc's pthread_create: what stands between is repeated, with its displacement corrected. */
static void test_between(void **state)
{
    static const uint8_t code[] = {0x4c, 0x89, 0xfa, 0xb8, 0x0e, 0,    0,    0,   0x48,
                                   0x8d, 0x35, 0x15, 0x48, 0x07, 0x00, 0x0f, 0x05};
    (void)state;
    assert_true(plan(code, sizeof code, 15, TRAMP));
    /* Not the lea: 00 48 8d and 35 15 48 07 00 could be instructions, too, as far as we see. */
    assert_int_equal(patch.patch_va, VA + 3);
    assert_memory_equal(patch.tramp, code + 3, 8);
    assert_int_equal(target(5 + 3), VA + 15 + 0x74815);
    assert_returns_to(12, VA + 17);

    static const uint8_t thread[] = {0xb8, 0xca, 0, 0, 0, 0x40, 0x80, 0xf6, 0x80, 0x0f, 0x05};
    assert_true(plan(thread, sizeof thread, 9, TRAMP));
    assert_int_equal(patch.patch_va, VA);
    assert_memory_equal(patch.tramp, thread, 9);
    assert_returns_to(9, VA + 11);
}

/* glibc's read: cmpb $0, x(%rip); je y; xor %eax, %eax; syscall */
static void test_condition(void **state)
{
    static const uint8_t code[] = {0x80, 0x3d, 0x10, 0,    0,    0,   0,
                                   0x74, 0x13, 0x31, 0xc0, 0x0f, 0x05};
    (void)state;
    assert_true(plan(code, sizeof code, 11, TRAMP));
    assert_int_equal(patch.patch_va, VA);
    /* The byte compared with comes behind the displacement. */
    assert_int_equal(target(2) + 1, VA + 7 + 0x10);
    assert_int_equal(patch.tramp[7], 0x0f);
    assert_int_equal(patch.tramp[8], 0x84);
    assert_int_equal(target(9), VA + 9 + 0x13);
    assert_memory_equal(patch.tramp + 13, code + 9, 2);
    assert_returns_to(15, VA + 13);
}

/* Bytes that look like the end of a longer instruction, and others that must stay. */
static void test_uncertain(void **state)
{
    /* movl $0x27, -0x48(%rsp): its end looks like mov $0x27, %eax. The whole is moved. */
    static const uint8_t store[] = {0xc7, 0x44, 0x24, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05};
    /* movl $0x27, -0x48(%rcx) may fault */
    static const uint8_t faults[] = {0xc7, 0x41, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05};
    /* call x: what it pushes would be another address */
    static const uint8_t call[] = {0xe8, 0x27, 0, 0, 0, 0x0f, 0x05};
    /* mov $0x27, %eax; push %rbx; lock incl (%rsp) */
    static const uint8_t locked[] = {0xb8, 0x27, 0, 0, 0, 0xf0, 0xff, 0x04, 0x24, 0x0f, 0x05};
    /* idiv -8(%rsp) may fault, too */
    static const uint8_t divide[] = {0x48, 0xf7, 0xbc, 0x24, 0xf8, 0xff, 0xff, 0xff, 0x0f, 0x05};
    (void)state;
    assert_true(plan(store, sizeof store, 8, TRAMP));
    assert_int_equal(patch.patch_va, VA);
    assert_memory_equal(patch.tramp, store, 8);
    assert_false(plan(faults, sizeof faults, 7, TRAMP));
    assert_false(plan(call, sizeof call, 5, TRAMP));
    assert_false(plan(locked, sizeof locked, 9, TRAMP));
    assert_false(plan(divide, sizeof divide, 8, TRAMP));
}

/* What is before the anchor decides: if none of it leads there, it is no code. */
static void test_evidence(void **state)
{
    uint8_t code[72];
    (void)state;
    memset(code, 0x06, sizeof code); /* no instruction begins with it */
    memcpy(code + 60, "\xb8\x27\0\0\0\x0f\x05", 7);
    assert_false(plan(code, 67, 65, TRAMP));
    memset(code, 0x90, 60);
    assert_true(plan(code, 67, 65, TRAMP));
    assert_int_equal(patch.patch_va, VA + 60);
    /* Where nothing is mapped before it, it is the first. */
    assert_true(isa_patch_plan(code + 60, 7, VA + 60, VA + 65, TRAMP, ENTRY, &patch));
}

static uintptr_t left(size_t at, uint64_t rflags)
{
    struct isa_frame frame = {.rip = TRAMP + at, .rflags = rflags};
    isa_patch_leave(&frame, patch.tramp, at);
    return frame.rip;
}

/* A thread in the trampoline stands for one in the code. */
static void test_leave(void **state)
{
    static const uint8_t code[] = {0x80, 0x3d, 0x10, 0,    0,    0,       /* cmpb $0, x(%rip) */
                                   0,    0x74, 0x13, 0x0f, 0x85, 0x13, 0, /* je y; jne z */
                                   0,    0,    0x75, 0x02, 0x31, 0xc0,    /* jne y; xor */
                                   0x0f, 0x05};
    (void)state;
    assert_true(plan(code, sizeof code, 19, TRAMP));
    assert_int_equal(patch.patch_va, VA);
    const struct {
        size_t tramp, code;
    } same[] = {{0, 0}, {7, 7}, {13, 9}, {19, 15}, {25, 17}, {27, 19}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_int_equal(left(same[i].tramp, 0x202), VA + same[i].code);
        assert_int_equal(left(same[i].tramp, 0x302), TRAMP + same[i].tramp); /* stepping */
    }
    /* The last instructions make the call. */
    assert_int_equal(left(27 + 7 + HAL_DIRECT_ENTRY_CLI, 0x202), VA + 19);

    struct isa_patch again;
    isa_patch_of(patch.tramp, TRAMP, &again);
    assert_int_equal(again.patch_va, patch.patch_va);
    assert_int_equal(again.patch_len, patch.patch_len);
    assert_memory_equal(again.patch, patch.patch, patch.patch_len);
}

/* As many instructions as fit, and then no more: never beyond the trampoline. */
static void test_long(void **state)
{
    uint8_t code[64];
    size_t found = 0;
    (void)state;
    for (size_t jumps = 0; jumps < 25; jumps++) {
        code[0] = 0xb8;
        memset(code + 1, 0, 4);
        for (size_t i = 0; i < jumps; i++)
            memcpy(code + 5 + 2 * i, "\x74\x10", 2);
        memcpy(code + 5 + 2 * jumps, "\x0f\x05", 2);
        if (!plan(code, 7 + 2 * jumps, 5 + 2 * jumps, TRAMP))
            continue;
        found++;
        assert_true(patch.tramp_len <= ISA_TRAMPOLINE_MAX);
    }
    assert_in_range(found, 5, 20);
}

static void test_refused(void **state)
{
    static const uint8_t sigreturn[] = {0x90, 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05};
    static const uint8_t other[] = {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x0f, 0x05};
    static const uint8_t wrong[] = {0x90, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x34};
    static const uint8_t good[] = {0x90, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05};
    (void)state;
    assert_false(plan(sigreturn, sizeof sigreturn, 6, TRAMP));
    assert_false(plan(other, sizeof other, 6, TRAMP));
    assert_false(plan(wrong, sizeof wrong, 6, TRAMP));
    assert_false(plan(good, 7, 6, TRAMP));                 /* cut */
    assert_false(plan(good, sizeof good, 100, TRAMP));     /* outside */
    assert_false(plan(good, sizeof good, 6, 0x200000000)); /* out of reach */
    assert_false(isa_patch_plan(good, sizeof good, VA, VA + 6, TRAMP, 0, &patch));
    assert_true(plan(good, sizeof good, 6, TRAMP));
}

static void test_one_store(void **state)
{
    bool within = isa_patch_one_store(0x1000, 5); /* not where an emulator translates */
    (void)state;
    for (uintptr_t va = 0x1000; va < 0x1010; va++)
        assert_int_equal(isa_patch_one_store(va, 5), within && va % 8 <= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mov_eax),   cmocka_unit_test(test_mov_rax),
        cmocka_unit_test(test_between),   cmocka_unit_test(test_condition),
        cmocka_unit_test(test_uncertain), cmocka_unit_test(test_long),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_evidence),
        cmocka_unit_test(test_leave),     cmocka_unit_test(test_one_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
