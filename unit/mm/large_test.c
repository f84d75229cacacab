/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/* large_test.c - large pages as mm sees them: which faults map a whole region, and which do not. */
#include "mm/hugetlb.h"
#include "mm/reclaim.h"
#include "space_fixture.h"

/* Regions of 2 MiB are mapped at once where that is asked for, or sequential access has grown to
 * it; not where it is advised against. */
static void large_pages_where_they_pay(void **state)
{
    (void)state;
    const vaddr_t big = 2 * MIB, at = 64 * MIB;
    vaddr_t a;
    uint8_t byte;
    assert_int_equal(map(at - big, 4 * 512, RW, ANON | MAP_FIXED, &a), 0);
    assert_int_equal(space_advise(space, at, 2 * big - PG, MADV_HUGEPAGE), 0);
    assert_int_equal(user_write(at + 77 * PG, 7), 0);
    assert_int_equal(space_resident(space), 512);
    assert_int_equal(user_write(at + big + 100 * PG, 7), 0); /* a page there is not advised */
    assert_true(space_resident(space) <= 528);
    /* A part of one given back, protected, moved: the rest stays what it is. */
    assert_int_equal(space_unmap(space, at + PG, PG), 0);
    assert_int_equal(space_protect(space, at + 2 * PG, PG, PROT_READ), 0);
    assert_int_equal(space_advise(space, at + 3 * PG, PG, MADV_DONTNEED), 0);
    assert_int_equal(user_read(at + 77 * PG, &byte), 0);
    assert_int_equal(byte, 7);
    assert_int_equal(user_write(at + PG, 1), -EFAULT);
    assert_int_equal(user_write(at + 2 * PG, 1), -EACCES);
    assert_int_equal(user_write(at + 3 * PG, 1), 0);
    assert_int_equal(space_unmap(space, at - big, 4 * big), 0);
    assert_int_equal(space_resident(space), 0);
    /* Not twice the advice: the later one holds. */
    assert_int_equal(map(at, 2 * 512, RW, ANON | MAP_FIXED, &a), 0);
    assert_int_equal(space_advise(space, at, 2 * big, MADV_HUGEPAGE), 0);
    assert_int_equal(space_advise(space, at, 2 * big, MADV_NOHUGEPAGE), 0);
    assert_int_equal(user_write(at, 1), 0);
    assert_int_equal(space_resident(space), 16);
    /* Memory that is short gives none. */
    assert_int_equal(space_advise(space, at, 2 * big, MADV_HUGEPAGE), 0);
    assert_int_equal(map(at + 4 * big, 20 * 512, RW, ANON | MAP_FIXED | MAP_POPULATE, &a), 0);
    assert_true(page_free_count() < 8 * 512);
    uint64_t before = space_resident(space);
    assert_int_equal(user_write(at + big, 1), 0);
    assert_true(space_resident(space) <= before + 16);
}

/* ---- the pool ---- */

static void assert_pool(uint64_t total, uint64_t free_pages, uint64_t reserved, uint64_t surplus)
{
    struct hugetlb_stats now;
    hugetlb_get_stats(&now);
    assert_int_equal(now.total, total);
    assert_int_equal(now.free, free_pages);
    assert_int_equal(now.reserved, reserved);
    assert_int_equal(now.surplus, surplus);
}

#define HUGE_ANON (ANON | MAP_HUGETLB)

/* Promise, use, surplus; and when the page tables cannot be had, the page goes back. */
static void pool_of_huge_pages(void **state)
{
    (void)state;
    const vaddr_t big = 2 * MIB;
    vaddr_t a, b;
    struct page_stats stats;
    assert_int_equal(map(0, 512, RW, HUGE_ANON, &a), -ENOMEM);
    hugetlb_set_count(NULL, 3);
    assert_pool(3, 3, 0, 0);
    assert_int_equal(map(0, 513, RW, HUGE_ANON, &a), 0);
    assert_true(is_aligned(a, big));
    assert_int_equal(map(0, 1024, RW, HUGE_ANON, &b), -ENOMEM);
    assert_int_equal(map(0, 512, RW, HUGE_ANON | MAP_NORESERVE, &b), 0);
    assert_pool(3, 3, 2, 0);
    assert_int_equal(user_write(a + 5 * PG, 7), 0);
    assert_int_equal(user_write(b, 7), 0);
    assert_pool(3, 1, 1, 0);
    assert_int_equal(space_resident(space), 0);
    assert_int_equal(space_unmap(space, b, big), 0);
    assert_int_equal(map(0, 512, RW, HUGE_ANON | MAP_NORESERVE, &b), 0);
    hugetlb_set_count(NULL, 0); /* one is in use, one promised */
    assert_pool(2, 1, 1, 2);
    assert_int_equal(user_write(b, 7), -EIO);
    fake_map_fail_nth(1);
    assert_int_equal(user_write(a + big, 7), -ENOMEM);
    assert_pool(2, 1, 1, 2);
    assert_int_equal(user_write(a + big, 7), 0);
    assert_int_equal(space_unmap(space, a, PG), -EINVAL);
    assert_int_equal(space_unmap(space, a, big), 0);
    assert_pool(1, 0, 0, 1);
    assert_int_equal(space_unmap(space, a + big, big), 0);
    assert_pool(0, 0, 0, 0);
    page_get_stats(&stats);
    assert_int_equal(stats.by_type[PAGE_HUGETLB], 0);
}

/* While a page that an area was promised is on its way back, for somebody still uses it, others do
 * not get what a third was promised. */
static void a_promise_outlives_its_neighbours(void **state)
{
    (void)state;
    vaddr_t a, b, c;
    paddr_t pa;
    hugetlb_set_count(NULL, 2);
    assert_int_equal(map(0, 512, RW, HUGE_ANON, &a), 0);
    assert_int_equal(map(0, 512, RW, HUGE_ANON, &c), 0);
    assert_int_equal(map(0, 512, RW, HUGE_ANON | MAP_NORESERVE, &b), 0);
    assert_int_equal(user_write(a, 7), 0);
    assert_true(hal_space_query(&space->hal, a, &pa, NULL));
    page_get(page_of_phys(pa));
    assert_int_equal(space_unmap(space, a, 2 * MIB), 0);
    assert_pool(2, 1, 1, 0);
    assert_int_equal(user_write(b, 7), -EIO);
    assert_int_equal(user_write(c, 7), 0);
    page_put(page_of_phys(pa));
    assert_pool(2, 1, 0, 0);
    assert_int_equal(user_write(b, 7), 0);
    assert_int_equal(space_unmap(space, b, 2 * MIB), 0);
    /* What is replaced gives its promise to its successor, which may be larger. */
    assert_int_equal(map(c, 512, RW, HUGE_ANON | MAP_FIXED, &b), 0);
    assert_pool(2, 2, 1, 0);
    assert_int_equal(map(c, 3 * 512, RW, HUGE_ANON | MAP_FIXED, &b), -ENOMEM);
    assert_int_equal(map(c, 2 * 512, RW, HUGE_ANON | MAP_FIXED, &b), 0);
    assert_pool(2, 2, 2, 0);
    assert_int_equal(space_unmap(space, c, 4 * MIB), 0);
    hugetlb_set_count(NULL, 0);
    assert_pool(0, 0, 0, 0);
}

/* Promises and pages of a file, with every allocation failing in turn. */
static void file_of_huge_pages(void **state)
{
    (void)state;
    static const struct vm_object_ops ops;
    struct vm_object object;
    struct page *page;
    vm_object_init(&object, &ops, 0);
    hugeobj_init(&object, HUGETLB_SHIFT);
    assert_int_equal(vm_object_resize(&object, 200ull << HUGETLB_SHIFT), 0);
    hugetlb_set_count(NULL, 6);
    assert_int_equal(hugeobj_promise(&object, 127, 128), 0);
    int failed = 0;
    for (uint64_t nth = 1, err = 1; err; nth++) {
        alloc_fail_nth(nth);
        /* Four pages in two nodes of the tree, one of them promised before. */
        err = hugeobj_promise(&object, 126, 130) != 0;
        alloc_fail_nth(0);
        assert_pool(6, 6, err ? 1 : 4, 0);
        failed += (int)err;
    }
    assert_true(failed > 0);
    assert_int_equal(hugeobj_promise(&object, 124, 128), 0); /* two of them anew */
    assert_int_equal(hugeobj_promise(&object, 0, 1), -ENOMEM);
    assert_int_equal(hugeobj_page(&object, 0, true, &page), -EIO);
    assert_int_equal(hugeobj_page(&object, 200, true, &page), -ENXIO);
    assert_int_equal(hugeobj_page(&object, 126, true, &page), 0);
    assert_pool(6, 5, 5, 0);
    assert_true(hugeobj_has(&object, 126) && !hugeobj_has(&object, 124));
    assert_true(vm_object_cached(&object, 126 * 512 + 77));
    assert_int_equal(object.page_count, 512);
    /* A page that leaves its file while somebody uses it is not promised any more. */
    hugeobj_drop(&object, 126, 127);
    assert_pool(6, 5, 5, 0);
    page_put(page);
    assert_pool(6, 6, 5, 0);
    assert_int_equal(object.page_count, 0);
    assert_int_equal(vm_object_punch(&object, 127ull << HUGETLB_SHIFT, 1 << HUGETLB_SHIFT), 0);
    assert_pool(6, 6, 4, 0);
    vm_object_destroy(&object);
    assert_pool(6, 6, 0, 0);
    hugetlb_set_count(NULL, 0);
    assert_pool(0, 0, 0, 0);
}

/* The heap may have a huge page in it, which is not cut; what only a promise kept goes later. */
static void pool_and_heap(void **state)
{
    (void)state;
    const vaddr_t big = 2 * MIB, start = 64 * MIB;
    vaddr_t a;
    hugetlb_set_count(NULL, 1);
    space_set_brk(space, start);
    assert_int_equal(space_brk(space, start + 4 * big), start + 4 * big);
    assert_int_equal(map(start + big, 512, RW, HUGE_ANON | MAP_FIXED, &a), 0);
    assert_int_equal(user_write(a, 7), 0);
    assert_int_equal(space_brk(space, start + big + PG), start + 4 * big);
    assert_int_equal(space_brk(space, start), start);
    assert_pool(1, 1, 0, 0);
    assert_int_equal(map(0, 512, RW, HUGE_ANON, &a), 0);
    hugetlb_set_count(NULL, 0);
    assert_pool(1, 1, 1, 1);
    assert_int_equal(space_unmap(space, a, big), 0);
    hugetlb_set_count(NULL, 0);
    assert_pool(0, 0, 0, 0);
}

/* A pool takes what there is, and leaves the machine something. */
static void pool_is_bounded(void **state)
{
    (void)state;
    struct hugetlb_stats now;
    uint64_t before = page_free_count();
    hugetlb_set_count(NULL, 1000);
    hugetlb_get_stats(&now);
    assert_true(now.total > 15 && now.total < 24); /* of 48 MiB */
    assert_true(page_free_count() > memory_level_pages(MEMORY_LOW));
    hugetlb_set_count(NULL, 0);
    assert_int_equal(page_free_count(), before);
}

/* Enough for the longest runs: 1/64 of the free memory. */
static int much_set_up(void **state)
{
    (void)state;
    return space_set_up_ram(192 * MIB);
}

/* Touch a region page by page; how many pages did the longest fault bring? */
static uint64_t longest_step(vaddr_t lo, vaddr_t hi)
{
    uint64_t most = 0, before = space_resident(space);
    for (vaddr_t va = lo; va < hi; va += PG) {
        assert_int_equal(user_write(va, 1), 0);
        uint64_t step = space_resident(space) - before;
        before += step;
        most = step > most ? step : most;
    }
    return most;
}

/* MADV_NOHUGEPAGE is about the entries of page tables: where they are never large, it does not
 * shorten what a sequential fault brings. */
static void small_entries_in_long_runs(void **state)
{
    (void)state;
    const vaddr_t big = 2 * MIB, at = 64 * MIB;
    vaddr_t a;
    for (int large = 0; large < 2; large++) {
        fake_layout.large_pages = large;
        assert_int_equal(map(at, 3 * 512, RW, ANON | MAP_FIXED, &a), 0);
        assert_int_equal(space_advise(space, at, 3 * big, MADV_NOHUGEPAGE), 0);
        assert_int_equal(longest_step(at, at + 3 * big), large ? 256 : 512);
        assert_int_equal(space_unmap(space, at, 3 * big), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(large_pages_where_they_pay, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(pool_of_huge_pages, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(a_promise_outlives_its_neighbours, space_set_up,
                                        space_tear_down),
        cmocka_unit_test_setup_teardown(file_of_huge_pages, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(pool_and_heap, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(pool_is_bounded, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(small_entries_in_long_runs, much_set_up, space_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
