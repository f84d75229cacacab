/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/mm/hotpages.c kernel/mm/page.c kernel/mm/buddy.c kernel/mm/pagemap.c
   kernel/mm/failpoint.c kernel/lib/strutil.c kernel/core/spinlock.c kernel/core/panic.c
   kernel/core/log.c kernel/core/percpu.c unit/fake_hal.c unit/fake_sched.c
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
#include "mm/hotpages.h"
#include "mm/kmalloc.h"
#include "mm/page.h"
#include "mm/reclaim.h"

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
        assert_true(inside);
        memset(page_virt(pages[count]), 1, PAGE_SIZE);
        count++;
    }
    assert_int_equal(count, stats.total);
    assert_int_equal(page_free_count(), 0);
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

/* Four CPUs use each other's caches only when there is nothing else, and lose no page. */
static int four_cpus(void **state)
{
    (void)state;
    fake_cpu_count = 4;
    fake_hal_init(64 * MIB);
    page_init();
    return 0;
}

static int one_cpu(void **state)
{
    (void)state;
    fake_cpu_count = 1;
    fake_cpu_id = 0;
    memory_alarm = NULL;
    return 0;
}

static void caches_are_small_and_drain(void **state)
{
    (void)state;
    static struct page *pages[4096];
    uint64_t start = page_free_count();
    for (fake_cpu_id = 0; fake_cpu_id < 4; fake_cpu_id++)
        for (int i = 0; i < 1000; i++)
            assert_non_null(pages[fake_cpu_id * 1000 + i] = page_alloc(0, PAGE_KERNEL, 0));
    assert_int_equal(page_free_count(), start - 4000);
    page_check();
    for (int i = 0; i < 4000; i++) {
        fake_cpu_id = (unsigned)i % 4;
        page_put(pages[i]);
    }
    assert_int_equal(page_free_count(), start);
    assert_true(hot_count() > 0 && hot_count() <= 64 * MIB / PAGE_SIZE / 256);
    page_check();
    page_drain();
    assert_int_equal(hot_count(), 0);
    assert_int_equal(page_free_count(), start);
    page_check();
    struct page_stats stats;
    page_get_stats(&stats);
    assert_int_equal(stats.by_type[PAGE_KERNEL], 0);
    assert_true(stats.free_by_order[PAGE_ORDER_MAX] >= 3); /* all joined again */
}

static void no_page_is_out_of_reach(void **state)
{
    (void)state;
    for (fake_cpu_id = 1; fake_cpu_id < 4; fake_cpu_id++) /* each keeps some */
        page_put(page_alloc(0, PAGE_ANON, 0));
    fake_cpu_id = 0;
    assert_true(hot_count() > 3);
    uint64_t count = 0, start = page_free_count();
    while (page_alloc(0, PAGE_ANON, 0))
        count++;
    assert_int_equal(hot_count(), 0);
    assert_int_equal(page_free_count(), page_reserve_count());
    assert_int_equal(count, start - page_reserve_count());
    /* The reserve is taken page by page: none of it gets into a cache, where others could have it.
     */
    assert_non_null(page_alloc(0, PAGE_KERNEL, ALLOC_ATOMIC));
    assert_int_equal(hot_count(), 0);
    assert_null(page_alloc(0, PAGE_KERNEL, 0));
    page_check();
}

/* A block can be had although its pages are in caches. */
static void blocks_join_from_caches(void **state)
{
    (void)state;
    static struct page *all[16384];
    size_t count = 0;
    while ((all[count] = page_alloc(0, PAGE_KERNEL, 0)))
        count++;
    size_t freed = 0;
    for (size_t i = 0; i < count && freed < 4; i++) {
        if (page_index(all[i]) / 4 == page_index(all[count / 2]) / 4) {
            fake_cpu_id = (unsigned)freed++ % 4;
            page_put(all[i]);
        }
    }
    assert_int_equal(freed, 4);
    assert_true(hot_count() > 0);
    assert_non_null(page_alloc(2, PAGE_KERNEL, 0));
    assert_int_equal(hot_count(), 0);
    page_check();
}

static bool rang;
static void ring(void)
{
    rang = true;
}

/* Below the alarm limit nothing is kept, and the alarm comes with the very page. */
static void nothing_is_kept_when_low(void **state)
{
    (void)state;
    uint64_t low = page_free_count() - 100;
    memory_alarm = ring;
    memory_alarm_set(low);
    struct page *last = NULL;
    rang = false;
    for (unsigned i = 0; page_free_count() > low; i++) {
        fake_cpu_id = i % 4;
        last = page_alloc(0, PAGE_KERNEL, 0);
        assert_false(rang);
    }
    page_put(last);
    last = page_alloc(0, PAGE_KERNEL, 0);
    assert_false(rang);
    struct page *over = page_alloc(0, PAGE_KERNEL, 0);
    assert_true(rang);
    page_drain();
    page_put(over);
    assert_int_equal(hot_count(), 0);
    memory_alarm_set(0);
    page_put(last);
    assert_int_equal(hot_count(), 1);
    page_check();
}

static void zeroes_pass_the_caches(void **state)
{
    (void)state;
    struct page *page = page_alloc(0, PAGE_KERNEL, 0); /* leaves fresh ones in the cache */
    assert_true(hot_count() > 0);
    memset(page_virt(page), 0xee, PAGE_SIZE);
    page_put(page);
    uint64_t start = page_free_count();
    struct page *zeroed[64];
    for (int i = 0; i < 64; i++) {
        zeroed[i] = page_alloc(0, PAGE_ANON, ALLOC_ZERO);
        assert_true(is_zero(zeroed[i], PAGE_SIZE));
    }
    for (int i = 0; i < 64; i++)
        page_put(zeroed[i]);
    assert_int_equal(page_free_count(), start);
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

/* Page numbers have 32 bits: a machine that would need more does not start with some of its pages
 * mixed up. */
static void too_much_ram_is_refused(void **state)
{
    (void)state;
    fake_hal_init(8 * MIB);
    const struct hal_region region = {hal_boot_info()->ram[0].base, (uint64_t)6 << 40};
    fake_set_regions(&region, 1, true);
    EXPECT_PANIC(page_init());
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
        cmocka_unit_test_setup_teardown(caches_are_small_and_drain, four_cpus, one_cpu),
        cmocka_unit_test_setup_teardown(no_page_is_out_of_reach, four_cpus, one_cpu),
        cmocka_unit_test_setup_teardown(blocks_join_from_caches, four_cpus, one_cpu),
        cmocka_unit_test_setup_teardown(nothing_is_kept_when_low, four_cpus, one_cpu),
        cmocka_unit_test_setup_teardown(zeroes_pass_the_caches, four_cpus, one_cpu),
        cmocka_unit_test(failures_on_request),
        cmocka_unit_test(too_much_ram_is_refused),
        cmocka_unit_test(abuse_panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
