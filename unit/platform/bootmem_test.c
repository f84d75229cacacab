/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/common/bootmem.c kernel/lib/string.c kernel/lib/strutil.c */
/* bootmem_test.c - the region list of early boot, against a bitmap of pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../platform/common/bootmem.h"
#include "lib/errno.h"

void *fake_self;
bool fake_irqs_off;
uintptr_t fake_ram_base;

static struct bootmem bm;

static void check_invariant(void)
{
    for (size_t i = 0; i < bm.count; i++) {
        assert_true(bm.region[i].len > 0);
        if (i > 0)
            assert_true(bm.region[i - 1].base + bm.region[i - 1].len < bm.region[i].base);
    }
}

static void add_merges(void **state)
{
    (void)state;
    memset(&bm, 0, sizeof(bm));
    assert_int_equal(bootmem_add(&bm, 0x5000, 0x1000), 0);
    assert_int_equal(bootmem_add(&bm, 0x1000, 0x1000), 0);
    assert_int_equal(bootmem_add(&bm, 0x2000, 0x3000), 0);
    assert_int_equal(bm.count, 1);
    assert_int_equal(bm.region[0].base, 0x1000);
    assert_int_equal(bm.region[0].len, 0x5000);
    assert_int_equal(bootmem_add(&bm, 0, 0x10000), 0);
    assert_int_equal(bm.total, 0x10000);
    assert_int_equal(bootmem_add(&bm, 0x20000, 0), 0);
    assert_int_equal(bootmem_add(&bm, UINT64_MAX - 1, 5), -EINVAL);
    assert_int_equal(bm.count, 1);
}

static void alloc_takes_the_highest_fit(void **state)
{
    (void)state;
    memset(&bm, 0, sizeof(bm));
    assert_int_equal(bootmem_add(&bm, 0x1000, 0x9000), 0);
    assert_int_equal(bootmem_add(&bm, 0x100000, 0x3800), 0);
    assert_int_equal(bootmem_alloc(&bm, 0x1000, 0x1000, 1ull << 30), 0x102000);
    assert_int_equal(bootmem_alloc(&bm, 0x1000, 0x1000, 0x8000), 0x7000);
    assert_int_equal(bootmem_alloc(&bm, 0x4000, 0x4000, 1ull << 30), HAL_NO_PAGE);
    assert_int_equal(bootmem_alloc(&bm, 0x100000, 0x1000, 1ull << 30), HAL_NO_PAGE);
    bootmem_finish(&bm);
    check_invariant();
    for (size_t i = 0; i < bm.count; i++)
        assert_true(is_aligned(bm.region[i].base | bm.region[i].len, HAL_PAGE_SIZE));
}

static void a_full_list_loses_memory_but_hands_none_out_twice(void **state)
{
    (void)state;
    memset(&bm, 0, sizeof(bm));
    for (unsigned i = 0; i < BOOTMEM_MAX; i++)
        assert_int_equal(bootmem_add(&bm, i * 0x10000, 0x8000), 0);
    assert_int_equal(bootmem_add(&bm, BOOTMEM_MAX * 0x10000, 0x1000), -ENOSPC);
    bootmem_reserve(&bm, 0x10000 + 0x1000, 0x1000); /* would need a split */
    assert_int_equal(bm.count, BOOTMEM_MAX);
    for (size_t i = 0; i < bm.count; i++)
        assert_true(bm.region[i].base >= 0x12000 ||
                    bm.region[i].base + bm.region[i].len <= 0x11000);
    check_invariant();
    bootmem_reserve(&bm, 0x3000, UINT64_MAX);
    assert_int_equal(bm.count, 1);
    assert_int_equal(bm.region[0].len, 0x3000);
}

#define MODEL_PAGES 256u
static void random_operations_match_a_bitmap(void **state)
{
    bool free_page[MODEL_PAGES] = {false};

    (void)state;
    srand(42);
    memset(&bm, 0, sizeof(bm));
    for (unsigned round = 0; round < 5000; round++) {
        unsigned from = (unsigned)rand() % MODEL_PAGES;
        unsigned count = (unsigned)rand() % MIN(MODEL_PAGES - from, 24);
        bool add = rand() % 2;
        size_t covered = 0;

        if (add && bootmem_add(&bm, from * HAL_PAGE_SIZE, count * HAL_PAGE_SIZE))
            continue;
        if (!add && bm.count < BOOTMEM_MAX)
            bootmem_reserve(&bm, from * HAL_PAGE_SIZE, count * HAL_PAGE_SIZE);
        else if (!add)
            continue;
        for (unsigned i = from; i < from + count; i++)
            free_page[i] = add;
        check_invariant();
        for (size_t i = 0; i < bm.count; i++)
            for (paddr_t pa = bm.region[i].base; pa < bm.region[i].base + bm.region[i].len;
                 pa += HAL_PAGE_SIZE) {
                assert_true(free_page[pa / HAL_PAGE_SIZE]);
                covered++;
            }
        for (unsigned i = 0; i < MODEL_PAGES; i++)
            covered -= free_page[i];
        assert_int_equal(covered, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_merges),
        cmocka_unit_test(alloc_takes_the_highest_fit),
        cmocka_unit_test(a_full_list_loses_memory_but_hands_none_out_twice),
        cmocka_unit_test(random_operations_match_a_bitmap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
