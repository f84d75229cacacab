/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/mm/page.c kernel/mm/failpoint.c kernel/lib/strutil.c kernel/core/spinlock.c
   kernel/core/panic.c kernel/core/log.c kernel/core/percpu.c unit/fake_hal.c unit/fake_sched.c
   */
/* page_test.c - the page allocator: random use under its own checker, odd RAM layouts, zero pages,
 * the reserve, and abuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "mm/kmalloc.h"
#include "mm/page.h"

#define MIB ((size_t)1 << 20)

struct block {
    struct page *page;
    unsigned order;
};

/* Fill with a pattern of the block's own address and check it, so overlapping blocks are noticed.
 */
static void mark(const struct block *b)
{
    uint64_t *words = page_virt(b->page);
    for (size_t i = 0; i < (PAGE_SIZE << b->order) / 8; i += 512)
        words[i] = (uintptr_t)b->page ^ i;
}
static void check_mark(const struct block *b)
{
    const uint64_t *words = page_virt(b->page);
    for (size_t i = 0; i < (PAGE_SIZE << b->order) / 8; i += 512)
        assert_true(words[i] == ((uintptr_t)b->page ^ i));
}

static void random_use(void **state)
{
    (void)state;
    fake_hal_init(24 * MIB);
    page_init();
    srand(5);
    struct page_stats start, end;
    page_get_stats(&start);
    struct block held[200];
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        if (count < 200 && rand() % 2) {
            unsigned order = (unsigned)rand() % (rand() % 8 ? 4 : PAGE_ORDER_MAX + 1);
            struct block b = {page_alloc(order, PAGE_KERNEL, 0), order};
            if (!b.page)
                continue;
            assert_true(page_phys(b.page) % (PAGE_SIZE << order) == 0);
            assert_ptr_equal(page_of_phys(page_phys(b.page)), b.page);
            mark(&b);
            held[count++] = b;
        } else if (count) {
            size_t i = (size_t)rand() % count;
            check_mark(&held[i]);
            page_put(held[i].page);
            held[i] = held[--count];
        }
        if (step % 500 == 0)
            page_check();
    }
    while (count)
        page_put(held[--count].page);
    page_check();
    page_get_stats(&end);
    assert_int_equal(start.free, end.free);
    assert_int_equal(end.by_type[PAGE_KERNEL], 0);
    assert_true(end.free_by_order[PAGE_ORDER_MAX] >= 4); /* everything has been joined again */
}

static void every_page_can_be_had(void **state)
{
    (void)state;
    static const struct hal_region odd[] = {
        {FAKE_RAM_PA + 0x1000, 0x9e000},           /* low memory */
        {FAKE_RAM_PA + 3 * MIB, 0x1000},           /* one page */
        {FAKE_RAM_PA + 5 * MIB + 0x3000, 2 * MIB}, /* crosses a chunk border */
        {FAKE_RAM_PA + 40 * MIB, 4 * MIB},
    };
    fake_hal_init(64 * MIB);
    fake_set_regions(odd, 4, false);
    page_init();
    page_check();
    struct page_stats stats;
    page_get_stats(&stats);
    static struct page *pages[4096];
    size_t count = 0;
    while ((pages[count] = page_alloc(0, PAGE_ANON, ALLOC_ATOMIC))) {
        paddr_t pa = page_phys(pages[count]);
        bool inside = false;
        for (size_t i = 0; i < 4; i++)
            inside |= pa >= odd[i].base && pa < odd[i].base + odd[i].len;
        assert_true(inside && page_valid_phys(pa));
        memset(page_virt(pages[count]), 1, PAGE_SIZE);
        count++;
    }
    assert_int_equal(count, stats.total);
    assert_int_equal(page_free_count(), 0);
    assert_false(page_valid_phys(FAKE_RAM_PA + 20 * MIB));
    assert_false(page_valid_phys(0x1000));
    while (count)
        page_put(pages[--count]);
    page_check();
    assert_int_equal(page_free_count(), stats.total);
}

static void boot_is_lazy(void **state)
{
    (void)state;
    fake_hal_init(12 * MIB);
    page_init();
    struct page_stats stats;
    page_get_stats(&stats);
    for (unsigned i = 0; i <= PAGE_ORDER_MAX; i++)
        assert_int_equal(stats.free_by_order[i], 0); /* no chunk has been opened */
    assert_true(stats.free > 12 * 256 - 20);
    struct page *page = page_alloc(0, PAGE_KERNEL, ALLOC_ZERO);
    page_get_stats(&stats);
    assert_int_equal(stats.by_type[PAGE_KERNEL], 1);
    page_put(page);
}

static bool is_zero(struct page *page, size_t bytes)
{
    const char *p = page_virt(page);
    for (size_t i = 0; i < bytes; i++)
        if (p[i])
            return false;
    return true;
}

static void zero_pages_are_zero(void **state)
{
    (void)state;
    fake_hal_init(16 * MIB);
    page_init();
    struct page *page = page_alloc(3, PAGE_ANON, ALLOC_ZERO);
    assert_true(is_zero(page, PAGE_SIZE << 3));
    memset(page_virt(page), 0xee, PAGE_SIZE << 3);
    page_put(page);
    for (unsigned order = 0; order < 6; order++) {
        page = page_alloc(order, PAGE_ANON, ALLOC_ZERO);
        assert_true(is_zero(page, PAGE_SIZE << order));
        memset(page_virt(page), 0xee, PAGE_SIZE << order);
        page_put(page);
    }
    page_check();
}

static void split_pages_live_alone(void **state)
{
    (void)state;
    fake_hal_init(16 * MIB);
    page_init();
    uint64_t before = page_free_count();
    struct page *block = page_alloc(4, PAGE_ANON, 0);
    page_split(block);
    page_get(block + 3);
    struct list chain;
    list_init(&chain);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(block[i].type, PAGE_ANON);
        if (i % 2)
            page_put(block + i);
        else
            list_push_back(&chain, &block[i].link);
    }
    page_put_list(&chain);
    assert_int_equal(page_free_count(), before - 1);
    page_put(block + 3);
    assert_int_equal(page_free_count(), before);
    page_check();
}

static void reserve_is_for_atomic(void **state)
{
    (void)state;
    fake_hal_init(8 * MIB);
    page_init();
    while (page_alloc(0, PAGE_ANON, 0))
        ;
    uint64_t left = page_free_count();
    assert_true(left > 8 && left <= 128);
    assert_non_null(page_alloc(0, PAGE_KERNEL, ALLOC_ATOMIC));
    page_check();
}

static void failures_on_request(void **state)
{
    (void)state;
    fake_hal_init(8 * MIB);
    page_init();
    alloc_fail_nth(2);
    assert_non_null(page_alloc(0, PAGE_ANON, 0));
    assert_false(alloc_fail_hit());
    assert_null(page_alloc(0, PAGE_ANON, 0));
    assert_true(alloc_fail_hit());
    assert_non_null(page_alloc(0, PAGE_ANON, 0));
    alloc_fail_nth(0);
}

static void abuse_panics(void **state)
{
    (void)state;
    fake_hal_init(8 * MIB);
    page_init();
    struct page *page = page_alloc(2, PAGE_KERNEL, 0);
    page_put(page);
    EXPECT_PANIC(page_put(page));
    page = page_alloc(2, PAGE_KERNEL, 0);
    EXPECT_PANIC(page_put(page + 1));
    if (SELKIE_DEBUG)
        EXPECT_PANIC(page_get(page + 1));
    assert_non_null(strstr(fake_console[HAL_STREAM_LOG], "kernel panic"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use),
        cmocka_unit_test(every_page_can_be_had),
        cmocka_unit_test(boot_is_lazy),
        cmocka_unit_test(zero_pages_are_zero),
        cmocka_unit_test(split_pages_live_alone),
        cmocka_unit_test(reserve_is_for_atomic),
        cmocka_unit_test(failures_on_request),
        cmocka_unit_test(abuse_panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
