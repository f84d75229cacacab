/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/* define: SELKIE_MEMORY_DEBUG=1 */
/* memdebug_test.c - SELKIE_MEMORY_DEBUG notices each kind of abuse of a kernel object, and tells
 * leaks by the place that allocated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "mm/kmalloc.h"
#include "mm/memdebug.h"
#include "mm/object.h"
#include "mm/reclaim.h"

#define MIB ((size_t)1 << 20)

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(32 * MIB);
    page_init();
    kmalloc_init();
    kvm_init();
    vm_cache_init();
    memdebug_mark();
    return 0;
}

/* The log, from the last panic. */
static bool told(const char *what)
{
    return strstr(fake_console[HAL_STREAM_LOG], what) != NULL;
}

static const size_t sizes[] = {1, 16, 24, 64, 100, 500, 1024, 2000, 2048, 4096, 5000, 20000};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void honest_use(void **state)
{
    (void)state;
    unsigned char *held[200] = {NULL};
    size_t size[200];
    srand(8);
    for (int step = 0; step < 20000; step++) {
        int i = rand() % 200;
        if (held[i]) {
            for (size_t k = 0; k < size[i]; k++)
                assert_int_equal(held[i][k], i);
            kfree(held[i]);
        }
        size[i] = (size_t)rand() % (rand() % 8 ? 300 : 9000);
        held[i] = kmalloc(size[i], rand() % 2 ? ALLOC_ZERO : 0);
        assert_non_null(held[i]);
        assert_int_equal(kmalloc_size(held[i]), MAX(size[i], (size_t)1));
        if (size[i] >= 16 && (size[i] & (size[i] - 1)) == 0)
            assert_int_equal((uintptr_t)held[i] % MIN(size[i], PAGE_SIZE), 0);
        assert_int_equal((uintptr_t)held[i] % 16, 0);
        memset(held[i], i, size[i]);
    }
    for (int i = 0; i < 200; i++)
        kfree(held[i]);
    assert_int_equal(memdebug_report(), 0);
    (void)memory_reclaim(1000, false); /* empties the quarantine */
    struct kmalloc_stats stats;
    kmalloc_get_stats(&stats);
    assert_int_equal(stats.bytes_in_use, 0);
    assert_int_equal(stats.bytes_held, 0);
    page_check();
}

static void fresh_and_zero(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(100, 0);
    assert_int_equal(p[50], 0x5a); /* who reads what was never written sees it */
    kfree(p);
    p = kmalloc(100, ALLOC_ZERO);
    assert_int_equal(p[99], 0);
    p = krealloc(p, 300, 0);
    assert_int_equal(p[99], 0);
    assert_int_equal(p[100], 0x5a);
    kfree(p);
    volatile size_t huge = SIZE_MAX - 4;
    assert_null(kmalloc(huge, 0));
    huge = SIZE_MAX / 2 + 1;
    assert_null(kmalloc(huge, 0));
}

static void writing_behind_the_end(void **state)
{
    (void)state;
    for (volatile size_t i = 0; i < SIZES; i++) {
        char *volatile p = kmalloc(sizes[i], 0);
        p[sizes[i]] = 1;
        EXPECT_PANIC(kfree(p));
    }
    assert_true(told("was written behind its end") && told("allocated at"));
}

/* Far behind it, or before the begin of the neighbour: the record is broken. */
static void writing_before_the_begin(void **state)
{
    (void)state;
    char *a = kmalloc(24, 0), *b = kmalloc(24, 0);
    char *low = a < b ? a : b, *volatile high = a < b ? b : a;
    assert_int_equal(high - low, 64);
    for (volatile int i = 1; i <= 32; i++)
        high[-i] = 0;
    EXPECT_PANIC(kfree(low));
}

static void writing_after_free(void **state)
{
    (void)state;
    for (volatile size_t i = 0; i < SIZES; i++) {
        char *p = kmalloc(sizes[i], 0), *volatile stale = p;
        kfree(p);
        stale[sizes[i] / 2] = 1;
        EXPECT_PANIC(memory_reclaim(1, false));
    }
    assert_true(told("was written after it was freed") && told("freed at"));
}

/* Found without a request, too, when enough others have been freed. */
static void quarantine_ends(void **state)
{
    (void)state;
    char *p = kmalloc(48, 0), *volatile stale = p;
    kfree(p);
    stale[47] = 1;
    for (int i = 0; i < 1023; i++)
        kfree(kmalloc(48, 0));
    EXPECT_PANIC(kfree(kmalloc(48, 0)));
}

static void freeing_twice(void **state)
{
    (void)state;
    for (volatile size_t i = 0; i < SIZES; i++) {
        char *p = kmalloc(sizes[i], 0), *volatile stale = p;
        kfree(p);
        EXPECT_PANIC(kfree(stale));
    }
    assert_true(told("is freed twice"));
}

static void freeing_what_is_no_object(void **state)
{
    (void)state;
    char *p = kmalloc(100, 0);
    char *volatile inside = p + 16;
    EXPECT_PANIC(kfree(inside));
    inside = p + 3;
    EXPECT_PANIC(kfree(inside));
    inside = (char *)kmalloc(5000, 0) + PAGE_SIZE;
    EXPECT_PANIC(kfree(inside));
    struct page *page = page_alloc(0, PAGE_KERNEL, ALLOC_ZERO);
    EXPECT_PANIC(kfree(page_virt(page)));
    EXPECT_PANIC(kmalloc_size(page_virt(page)));
    kfree(p);
}

static __attribute__((noinline)) void *leak(size_t size)
{
    return kmalloc(size, 0);
}

static void leaks_are_told(void **state)
{
    (void)state;
    void *old = kmalloc(10, 0);
    memdebug_mark();
    void *some[3];
    for (int i = 0; i < 3; i++)
        some[i] = leak(100);
    void *other = kmalloc(3000, 0);
    assert_int_equal(memdebug_report(), 4);
    assert_true(told("4 objects allocated since the mark are not freed"));
    assert_true(told("3 objects, 300 bytes") && told("1 objects, 3000 bytes"));
    for (int i = 0; i < 3; i++)
        kfree(some[i]);
    assert_int_equal(memdebug_report(), 1);
    kfree(other);
    assert_int_equal(memdebug_report(), 0);
    kfree(old);
}

/* Any word within an object leads to it; what no chain of them leads to is lost, with all its own.
 */
static void what_is_lost(void **state)
{
    static void *table[4];
    const struct memdebug_root root[] = {{0, 0}, {(uintptr_t)table, (uintptr_t)(table + 4)}};
    (void)state;
    uint64_t before = memdebug_lost(root, 2); /* what set_up has made: its roots are not these */
    char *first = kmalloc(64, 0), *second = kmalloc(5000, 0), *third = kmalloc(16, 0);
    *(void **)(void *)(first + 56) = second + 4500; /* its second page */
    *(void **)(void *)(second + 4992) = third;
    assert_int_equal(memdebug_lost(root, 2), before + 3);
    table[3] = first + 63;
    assert_int_equal(memdebug_lost(root, 2), before);
    assert_int_equal(memdebug_lost(root, 1), before + 3);
    table[3] = NULL;
    *(void **)(void *)third = first; /* a cycle */
    assert_int_equal(memdebug_lost(root, 2), before + 3);
    memdebug_report_lost();
    assert_true(told("objects are lost") && told("1 objects, 5000 bytes\n"));
    assert_true(told("1 objects, 64 bytes\n") && told("1 objects, 16 bytes\n"));
    table[0] = second - 16; /* no object, or another */
    assert_int_equal(memdebug_lost(root, 2), before + 3);
    table[0] = third;
    assert_int_equal(memdebug_lost(root, 2), before);
    kfree(first); /* a free one leads nowhere */
    assert_int_equal(memdebug_lost(root, 2), before + 1);
    kfree(second);
    kfree(third);
    assert_int_equal(memdebug_lost(root, 2), before);
}

/* Memory under observation is not in the way of those who need it. */
static void quarantine_gives_way(void **state)
{
    (void)state;
    void *held[64];
    size_t count = 0;
    while (count < 64 && (held[count] = kmalloc(900000, 0)))
        count++;
    assert_true(count > 4 && count < 64);
    for (size_t i = 0; i < count; i++)
        kfree(held[i]);
    for (size_t i = 0; i < count; i++)
        assert_non_null(held[i] = kmalloc(900000, 0));
    for (size_t i = 0; i < count; i++)
        kfree(held[i]);
}

static void failing_on_request(void **state)
{
    (void)state;
    char *p = kmalloc(100, 0);
    alloc_fail_nth(1);
    assert_null(krealloc(p, 5000, 0));
    assert_true(alloc_fail_hit());
    kfree(p);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, set_up)
    const struct CMUnitTest tests[] = {
        TEST(honest_use),
        TEST(fresh_and_zero),
        TEST(writing_behind_the_end),
        TEST(writing_before_the_begin),
        TEST(writing_after_free),
        TEST(quarantine_ends),
        TEST(freeing_twice),
        TEST(freeing_what_is_no_object),
        TEST(leaks_are_told),
        TEST(what_is_lost),
        TEST(quarantine_gives_way),
        TEST(failing_on_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
