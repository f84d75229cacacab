/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/* around_test.c - fault-around: how much one fault maps, and where. */
#include "space_fixture.h"

#define AT (64 * MIB)

/* Enough for the longest runs: 1/64 of the free memory. */
static int set_up(void **state)
{
    (void)state;
    return space_set_up_ram(192 * MIB);
}

/* Write to va; how many pages came? */
static uint64_t brings(vaddr_t va)
{
    uint64_t before = space_resident(space);
    assert_int_equal(user_write(va, 1), 0);
    return space_resident(space) - before;
}

static bool is_mapped(vaddr_t va)
{
    return hal_space_query(&space->hal, va, NULL, NULL);
}

static void runs_grow_over_small_gaps(void **state)
{
    (void)state;
    vaddr_t a;
    assert_int_equal(map(AT, 4 * 512, RW, ANON | MAP_FIXED, &a), 0);
    assert_int_equal(brings(AT + 20 * PG), 16);
    assert_true(is_mapped(AT + 16 * PG) && is_mapped(AT + 31 * PG));
    /* 16 pages further on: the aligned block, twice as large each time. */
    assert_int_equal(brings(AT + 48 * PG), 32);
    assert_int_equal(brings(AT + 64 * PG), 64);
    assert_int_equal(brings(AT + 140 * PG), 128);
    assert_true(is_mapped(AT + 128 * PG) && is_mapped(AT + 255 * PG));
    assert_int_equal(brings(AT + 256 * PG), 256);
    /* What lies before it in the block comes, too: a whole region can be one page. */
    assert_int_equal(brings(AT + 528 * PG), 512);
    assert_true(is_mapped(AT + 512 * PG));
    /* Too far away: from the beginning. */
    assert_int_equal(brings(AT + (1024 + 17) * PG), 16);
    assert_int_equal(brings(AT + 1024 * PG), 16);
}

static void no_more_than_wanted(void **state)
{
    (void)state;
    vaddr_t a;
    assert_int_equal(map(AT, 512, RW, ANON | MAP_FIXED, &a), 0);
    assert_int_equal(space_advise(space, AT, 512 * PG, MADV_RANDOM), 0);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(brings(AT + i * PG), 1);
    /* The ends of the area, and pages that are there, stay what they are. */
    assert_int_equal(map(AT + 8 * MIB + 3 * PG, 9, RW, ANON | MAP_FIXED, &a), 0);
    assert_int_equal(brings(a + 2 * PG), 8);
    assert_int_equal(brings(a + 8 * PG), 1);
    assert_false(is_mapped(a - PG) || is_mapped(a + 9 * PG));
}

/* A heap that is used up to its end is mapped where it grows; another is not. */
static void heap_grows_mapped(void **state)
{
    (void)state;
    const vaddr_t heap = AT + 5 * PG;
    space_set_brk(space, heap);
    assert_int_equal(space_brk(space, heap + 16 * PG), heap + 16 * PG);
    assert_int_equal(space_resident(space), 0);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(user_write(heap + i * PG, 1), 0);
    for (unsigned k = 1; k <= 8; k++) {
        assert_int_equal(space_brk(space, heap + (k + 1) * 16 * PG), heap + (k + 1) * 16 * PG);
        assert_true(space_resident(space) > k * 16);
        for (unsigned i = 0; i < 16; i++)
            assert_int_equal(user_write(heap + (k * 16 + i) * PG, 1), 0);
        assert_int_equal(space_resident(space), (k + 1) * 16);
    }
    /* By much more than has been used: only the next step. */
    assert_int_equal(space_brk(space, heap + 4096 * PG), heap + 4096 * PG);
    assert_in_range(space_resident(space), 9 * 16 + 1, 9 * 16 + 512);
    /* Untouched at its end: nothing. */
    uint64_t before = space_resident(space);
    assert_int_equal(space_brk(space, heap + 4112 * PG), heap + 4112 * PG);
    assert_int_equal(space_resident(space), before);
    assert_int_equal(space_brk(space, heap), heap);
    assert_int_equal(space_resident(space), 0);
}

/* No memory for what was only foreseen: the heap has grown all the same. */
static void heap_grows_without_memory(void **state)
{
    (void)state;
    const vaddr_t heap = AT;
    for (int nth = 1; nth < 12; nth++) {
        space_set_brk(space, heap);
        assert_int_equal(space_brk(space, heap + 16 * PG), heap + 16 * PG);
        for (unsigned i = 0; i < 16; i++)
            assert_int_equal(user_write(heap + i * PG, 1), 0);
        alloc_fail_nth(nth);
        vaddr_t now = space_brk(space, heap + 32 * PG);
        alloc_fail_nth(0);
        assert_true(now == heap + 32 * PG || now == heap + 16 * PG);
        uint64_t there = space_resident(space);
        assert_true(there >= 16 && there <= 32);
        if (now == heap + 32 * PG)
            assert_int_equal(user_write(heap + 31 * PG, 1), 0);
        assert_int_equal(space_brk(space, heap), heap);
        assert_int_equal(space_resident(space), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_grow_over_small_gaps, set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(no_more_than_wanted, set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(heap_grows_mapped, set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(heap_grows_without_memory, set_up, space_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
