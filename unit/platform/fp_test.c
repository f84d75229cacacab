/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/x64/isa/fp.c */
/* include: platform/x64 */
/*
 * fp_test.c - vector registers moved by hand, against XSAVE and XRSTOR: every set of components in
 * use before the save with every set in use before the restore.
 *
 * Between loading and storing no library function runs: it would use the registers itself.
 */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "isa.h"
#include "isa/fp.h"

#define AREA_MAX 4096
#define STORED 0xffffffff

typedef uint8_t area_t[AREA_MAX] __attribute__((aligned(64)));

static area_t mine, before, wanted, other, saved, seen;

/* Random contents that XRSTOR accepts. */
static void fill(uint8_t *area, uint64_t components)
{
    uint32_t mxcsr = 0x1f80 | (rand() & 0x603f), mask = isa_fp_info.mxcsr_mask;
    uint16_t fcw = 0x37f | (rand() & 0xc00), fsw = rand() & 0x3800;
    for (size_t i = 0; i < isa_fp_info.size; i++)
        area[i] = (uint8_t)rand();
    memset(area, 0, 32);
    memcpy(area, &fcw, 2);
    memcpy(area + 2, &fsw, 2);
    area[4] = (uint8_t)rand();
    memcpy(area + FP_MXCSR, &mxcsr, 4);
    memcpy(area + FP_MXCSR_MASK, &mask, 4);
    for (int i = 0; i < 8; i++)
        memset(area + 32 + 16 * i + 10, 0, 6);
    memset(area + 416, 0, FP_LEGACY_SIZE - 416 + FP_HEADER_SIZE);
    memcpy(area + FP_XSTATE_BV, &components, 8);
}

static inline __attribute__((always_inline)) void xsave(void *area)
{
    __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(STORED), "d"(0) : "memory");
}

static inline __attribute__((always_inline)) void xrstor(const void *area)
{
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(STORED), "d"(0) : "memory");
}

static __attribute__((noinline)) no_sanitize void round_trip(void)
{
    xsave(mine);
    xrstor(wanted);
    isa_fp_save(saved);
    xrstor(other);
    isa_fp_restore(saved);
    xsave(seen);
    xrstor(mine);
}

static void check_component(const char *what, size_t at, size_t len, uint64_t bit)
{
    uint64_t held;
    static const uint8_t zero[1024];
    memcpy(&held, wanted + FP_XSTATE_BV, 8);
    const uint8_t *expected = held & bit ? wanted + at : zero;
    if (memcmp(seen + at, expected, len) != 0)
        fail_msg("%s is not what it was", what);
    if (memcmp(saved + at, expected, len) != 0)
        fail_msg("%s is not complete in the area", what);
}

static void check(void)
{
    uint64_t held;
    uint16_t fcw = 0x37f;
    memcpy(&held, wanted + FP_XSTATE_BV, 8);
    isa_fp_complete(saved);
    assert_memory_equal(seen + FP_MXCSR, wanted + FP_MXCSR, 4);
    assert_memory_equal(saved + FP_MXCSR, wanted + FP_MXCSR, 4);
    assert_memory_equal(seen, held & FP_X87 ? wanted : (uint8_t *)&fcw, 2);
    assert_memory_equal(saved, held & FP_X87 ? wanted : (uint8_t *)&fcw, 2);
    check_component("x87's status", 2, 3, FP_X87);
    check_component("x87's stack", 32, 128, FP_X87);
    check_component("XMM", 160, 256, FP_SSE);
    for (unsigned i = FP_EXTENDED_FIRST; i <= FP_EXTENDED_LAST; i++)
        if (isa_fp_info.length[i])
            check_component("an extended component", isa_fp_info.offset[i], isa_fp_info.length[i],
                            1ull << i);
}

static void test_all_sets(void **state)
{
    (void)state;
    if (!isa_fp_info.by_hand)
        skip();
    for (uint64_t a = 0; a < 256; a++)
        for (uint64_t b = 0; b < 256; b++) {
            if ((a | b) & ~isa_fp_info.features)
                continue;
            fill(wanted, a);
            fill(other, b);
            memcpy(saved, before, sizeof saved); /* what an earlier save has left */
            round_trip();
            check();
            fill(before, 0);
        }
}

/* As on CPUs that keep the x87 pointers: what is done about that is gone behind it. */
static void test_pointers_leak(void **state)
{
    const struct isa_fp_info real = isa_fp_info;
    (void)state;
    if (!real.xsave)
        skip();
    isa_fp_info.by_hand = false;
    isa_fp_info.pointers_leak = true;
    for (uint64_t a = 0; a < 256; a++) {
        if (a & ~real.features)
            continue;
        fill(wanted, a);
        fill(other, real.features);
        memset(saved, 0, sizeof saved);
        round_trip();
        check();
    }
    isa_fp_info = real;
}

/* An area that has never been saved to. */
static void test_initial(void **state)
{
    uint64_t held = FP_SSE;
    (void)state;
    memset(saved, 0xee, sizeof saved);
    isa_fp_init(saved);
    memcpy(wanted, saved, sizeof wanted);
    if (!isa_fp_info.xsave)
        skip();
    assert_memory_equal(saved + FP_XSTATE_BV, &held, 8);
    fill(other, isa_fp_info.features);
    round_trip();
    check();
}

static int set_up(void **state)
{
    (void)state;
    isa_fp_setup();
    return isa_fp_size() <= AREA_MAX ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_sets),
        cmocka_unit_test(test_initial),
        cmocka_unit_test(test_pointers_leak),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
