/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/x64/isa/patch.c */
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
    uint64_t entry;
    memcpy(&entry, patch.tramp + patch.tramp_len - 8, 8);
    assert_int_equal(entry, ENTRY);
}

static void test_mov_rax(void **state)
{
    static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x27, 0, 0, 0, 0x0f, 0x05};
    (void)state;
    assert_true(plan(code, sizeof code, 7, TRAMP));
    assert_int_equal(patch.patch_va, VA);
}

static void test_refused(void **state)
{
    static const uint8_t prefixed[] = {0x41, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05};
    static const uint8_t sigreturn[] = {0x90, 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05};
    static const uint8_t big[] = {0x90, 0xb8, 0, 0, 1, 0, 0x0f, 0x05};
    static const uint8_t other[] = {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x0f, 0x05};
    static const uint8_t wrong[] = {0x90, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x34};
    static const uint8_t good[] = {0x90, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05};
    (void)state;
    assert_false(plan(prefixed, sizeof prefixed, 6, TRAMP));
    assert_false(plan(sigreturn, sizeof sigreturn, 6, TRAMP));
    assert_false(plan(big, sizeof big, 6, TRAMP));
    assert_false(plan(other, sizeof other, 6, TRAMP));
    assert_false(plan(wrong, sizeof wrong, 6, TRAMP));
    assert_false(plan(good, 7, 6, TRAMP));                 /* cut */
    assert_false(plan(good, sizeof good, 100, TRAMP));     /* outside */
    assert_false(plan(good, sizeof good, 6, 0x200000000)); /* out of reach */
    assert_false(isa_patch_plan(good, sizeof good, VA, VA + 6, TRAMP, 0, &patch));
    assert_true(plan(good, sizeof good, 6, TRAMP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mov_eax),
        cmocka_unit_test(test_mov_rax),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
