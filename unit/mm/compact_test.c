/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/*
 * compact_test.c - compaction: blocks become whole, contents, rights and counts stay; what may not
 * be moved is left alone; failures half way lose nothing.
 */
#include "mm/compact.h"
#include "mm/reclaim.h"
#include "mm/space_fixture.h"

#define BLOCK_PAGES (1u << COMPACT_ORDER)
#define BIG_PAGES (12u * BLOCK_PAGES) /* 24 of the 48 MiB */

static unsigned char mark(unsigned page)
{
    return (unsigned char)(page * 31 + page / 251 + 1);
}

/* Fill memory with single pages, then leave every `keep`-th: each 2 MiB of RAM is sparsely used. */
static vaddr_t fragment(unsigned keep)
{
    vaddr_t at;
    assert_int_equal(map(BASE_ADDR, BIG_PAGES, RW, ANON | MAP_FIXED, &at), 0);
    assert_int_equal(space_advise(space, at, BIG_PAGES * PG, MADV_RANDOM), 0);
    for (unsigned i = 0; i < BIG_PAGES; i++)
        assert_int_equal(user_write(at + i * PG, mark(i)), 0);
    for (unsigned i = 0; i < BIG_PAGES; i++)
        if (i % keep)
            assert_int_equal(space_advise(space, at + i * PG, PG, MADV_DONTNEED), 0);
    return at;
}

static void check_marks(vaddr_t at, unsigned keep)
{
    unsigned char byte;
    for (unsigned i = 0; i < BIG_PAGES; i += keep) {
        assert_int_equal(user_read(at + i * PG, &byte), 0);
        assert_int_equal(byte, mark(i));
    }
}

static uint64_t large_free(void)
{
    struct page_stats stats;
    page_get_stats(&stats);
    uint64_t listed = 0;
    for (unsigned i = 0; i <= PAGE_ORDER_MAX; i++)
        listed += stats.free_by_order[i] << i;
    return (stats.free - listed) + (stats.free_by_order[COMPACT_ORDER] << COMPACT_ORDER) +
           (stats.free_by_order[COMPACT_ORDER + 1] << (COMPACT_ORDER + 1));
}

static unsigned unusable(void)
{
    uint64_t free = page_free_count();
    return (unsigned)((free - large_free()) * 1000 / free);
}

static unsigned compact_fully(void)
{
    unsigned total = 0, now;
    while ((now = compact_space(space, COMPACT_ORDER, 4)) > 0)
        total += now;
    return total;
}

static void blocks_become_whole(void **state)
{
    (void)state;
    vaddr_t at = fragment(4);
    uint64_t before = large_free(), free = page_free_count(), resident = space_resident(space);
    unsigned index = unusable();
    struct compact_stats stats;
    assert_true(index > 200);
    unsigned blocks = compact_fully();
    /* A quarter of 12 blocks is used: three are enough for it, at least eight become free. */
    assert_in_range(blocks, 8, 10);
    assert_int_equal(large_free(), before + (uint64_t)blocks * BLOCK_PAGES);
    assert_true(unusable() < index / 4);
    assert_int_equal(page_free_count(), free);
    assert_int_equal(space_resident(space), resident);
    page_check();
    check_marks(at, 4);
    compact_get_stats(&stats);
    assert_int_equal(stats.blocks_freed, blocks);
    assert_true(stats.pages_moved >= (uint64_t)blocks * BLOCK_PAGES / 4);
}

static void moved_pages_keep_their_rights(void **state)
{
    (void)state;
    vaddr_t at = fragment(4);
    unsigned char byte;
    for (unsigned i = 0; i < BIG_PAGES; i += 8)
        assert_int_equal(space_protect(space, at + i * PG, PG, PROT_READ), 0);
    assert_true(compact_fully() > 0);
    for (unsigned i = 0; i < BIG_PAGES; i += 4) {
        bool readonly = i % 8 == 0;
        assert_int_equal(user_write(at + i * PG + 1, 7), readonly ? -EACCES : 0);
        assert_int_equal(user_read(at + i * PG, &byte), 0);
        assert_int_equal(byte, mark(i));
    }
}

/* A page with a second reference (somebody copies from it) stays where it is, and its block. */
static void pages_in_use_stay(void **state)
{
    (void)state;
    vaddr_t at = fragment(4);
    struct page *held[BIG_PAGES / 64];
    paddr_t pa, now;
    for (unsigned i = 0; i < ARRAY_COUNT(held); i++) {
        assert_true(hal_space_query(&space->hal, at + i * 64 * PG, &pa, NULL));
        held[i] = page_of_phys(pa);
        page_get(held[i]);
    }
    assert_int_equal(compact_fully(), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(held); i++) {
        assert_true(hal_space_query(&space->hal, at + i * 64 * PG, &now, NULL));
        assert_ptr_equal(page_of_phys(now), held[i]);
        page_put(held[i]);
    }
    page_check();
    check_marks(at, 4);
    assert_true(compact_fully() > 0);
}

/* Blocks with kernel or file pages are not touched, nor full ones, nor pages of shared areas. */
static void only_program_pages_move(void **state)
{
    (void)state;
    vaddr_t shared, full;
    paddr_t pa, now;
    assert_int_equal(map(BASE_ADDR, 2, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, &shared), 0);
    assert_int_equal(user_write(shared, 9), 0);
    assert_true(hal_space_query(&space->hal, shared, &pa, NULL));
    assert_int_equal(map(BASE_ADDR + 16 * MIB, BLOCK_PAGES, RW, ANON | MAP_FIXED, &full), 0);
    for (unsigned i = 0; i < BLOCK_PAGES; i++)
        assert_int_equal(user_write(full + i * PG, 1), 0);
    (void)compact_fully();
    assert_true(hal_space_query(&space->hal, shared, &now, NULL));
    assert_int_equal(now, pa);
    page_check();
}

/* The nth allocation or the nth mapping fails: the page stays, and nothing is lost. */
static void failures_lose_nothing(void **state)
{
    (void)state;
    vaddr_t at = fragment(4);
    uint64_t free = page_free_count();
    for (unsigned n = 1; n < 40; n += 3) {
        fake_map_fail_nth(n);
        (void)compact_space(space, COMPACT_ORDER, 1);
        fake_map_fail_nth(0);
        assert_int_equal(page_free_count(), free);
        page_check();
        check_marks(at, 4);
    }
}

static unsigned batches;
static uint64_t given_back, free_meanwhile;

/* Before the third batch of moves memory becomes short. */
static void memory_is_short(void)
{
    if (++batches != 3)
        return;
    free_meanwhile = page_free_count();
    given_back = memory_reclaim(8 * BLOCK_PAGES, false);
    assert_int_equal(page_free_count(), free_meanwhile + given_back);
}

/* A run gives back what it holds when others need it, and ends. */
static void a_run_is_interrupted(void **state)
{
    (void)state;
    vaddr_t at = fragment(4);
    uint64_t free = page_free_count();
    struct compact_stats before, after;
    compact_get_stats(&before);
    batches = 0;
    fake_write_lock_hook = memory_is_short;
    assert_int_equal(compact_space(space, COMPACT_ORDER, 8), 0);
    fake_write_lock_hook = NULL;
    assert_int_equal(batches, 3);
    /* Three quarters of the blocks were free, and 64 pages have been moved out of them. */
    assert_true(free_meanwhile < free - 2 * BLOCK_PAGES);
    assert_true(given_back > 2 * BLOCK_PAGES);
    compact_get_stats(&after);
    assert_int_equal(after.pages_moved - before.pages_moved, 64);
    assert_in_range(page_free_count(), free, free + 4); /* slabs gave something, too */
    page_check();
    check_marks(at, 4);
    assert_true(compact_fully() > 0); /* the next one is not affected */
    check_marks(at, 4);
}

/* Memory that is nearly used up is not made shorter. */
static void short_memory_is_left_alone(void **state)
{
    (void)state;
    vaddr_t at = fragment(2), rest;
    assert_int_equal(map(BASE_ADDR + 64 * MIB, 40 * MIB / PG, RW, ANON | MAP_FIXED, &rest), 0);
    for (unsigned i = 0; page_free_count() > 300; i++)
        assert_int_equal(user_write(rest + i * PG, 1), 0);
    assert_int_equal(compact_space(space, COMPACT_ORDER, 8), 0);
    check_marks(at, 2);
}

/* Kernel pages made between program pages stand together: when the program's go, the rest is whole.
 */
static void kernel_pages_stand_together(void **state)
{
    (void)state;
    struct page *kernel[512], *program[8 * ARRAY_COUNT(kernel)];
    page_drain();
    uint64_t before = large_free();
    for (unsigned i = 0; i < ARRAY_COUNT(program); i++) {
        program[i] = page_alloc(0, PAGE_ANON, 0);
        assert_non_null(program[i]);
        if (i % 8 == 0) {
            kernel[i / 8] = page_alloc(0, PAGE_KERNEL, 0);
            assert_non_null(kernel[i / 8]);
        }
    }
    page_check();
    for (unsigned i = 0; i < ARRAY_COUNT(program); i++)
        page_put(program[i]);
    page_drain();
    page_check();
    assert_true(before - large_free() <= 2 * BLOCK_PAGES);
    for (unsigned i = 0; i < ARRAY_COUNT(kernel); i++)
        page_put(kernel[i]);
    page_drain();
    assert_int_equal(large_free(), before);
}

/* When one kind has nothing left it takes from the other: no memory is out of reach. */
static void kinds_help_out(void **state)
{
    (void)state;
    struct list pages;
    list_init(&pages);
    struct page *kernel = page_alloc(0, PAGE_KERNEL, 0), *page;
    while ((page = page_alloc(0, PAGE_ANON, 0)))
        list_push_back(&pages, &page->link);
    assert_int_equal(page_free_count(), page_reserve_count());
    page_check();
    page_put_list(&pages);
    page_put(kernel);
    page_check();
}

/* Faults that want large blocks cause runs, rarely when these bring nothing. */
static void faults_ask_for_runs(void **state)
{
    (void)state;
    vaddr_t at = fragment(4), more;
    struct compact_stats before, after;
    /* Use up what is whole, so that only fragments are left. */
    assert_int_equal(map(BASE_ADDR + 64 * MIB, 40 * MIB / PG, RW, ANON | MAP_FIXED, &more), 0);
    compact_get_stats(&before);
    for (unsigned i = 0; page_free_count() > 3 * BLOCK_PAGES; i++)
        assert_int_equal(user_write(more + i * PG, 1), 0);
    compact_get_stats(&after);
    assert_true(after.runs > before.runs);
    assert_true(after.blocks_freed > before.blocks_freed);
    check_marks(at, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_become_whole, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(moved_pages_keep_their_rights, space_set_up,
                                        space_tear_down),
        cmocka_unit_test_setup_teardown(pages_in_use_stay, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(only_program_pages_move, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(a_run_is_interrupted, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(failures_lose_nothing, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(short_memory_is_left_alone, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(kernel_pages_stand_together, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(kinds_help_out, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(faults_ask_for_runs, space_set_up, space_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
