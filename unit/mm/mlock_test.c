/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/*
 * mlock_test.c - locked memory: what is counted, limited and brought in; and how many areas there
 * may be.
 */
#include "space_fixture.h"

/* As on Linux, what would cut an area is refused when there are as many as there may be. */
static void area_count_is_limited(void **state)
{
    (void)state;
    vaddr_t out, a = BASE_ADDR + 16 * PG;
    assert_int_equal(map(BASE_ADDR, 16, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(map(a, 4, PROT_READ, ANON | MAP_FIXED, &out), 0);
    size_t real = space->area_count;
    space->area_count = AREA_COUNT_MAX - 1;
    assert_int_equal(space_protect(space, BASE_ADDR + 2 * PG, PG, PROT_READ), -ENOMEM);
    assert_int_equal(space_lock_pages(space, BASE_ADDR + 2 * PG, PG, AREA_LOCKED), -ENOMEM);
    assert_int_equal(space_advise(space, BASE_ADDR + 2 * PG, PG, MADV_RANDOM), -EAGAIN);
    space->area_count = AREA_COUNT_MAX;
    assert_int_equal(space_unmap(space, BASE_ADDR + 2 * PG, PG), -ENOMEM);
    assert_int_equal(map(BASE_ADDR + 2 * PG, 1, RW, ANON | MAP_FIXED, &out), -ENOMEM);
    assert_int_equal(space_protect(space, BASE_ADDR + 2 * PG, PG, PROT_READ), -ENOMEM);
    assert_int_equal(space_remap(space, BASE_ADDR + 8 * PG, 4 * PG, 2 * PG, 0, 0, &out), -ENOMEM);
    assert_int_equal(space_remap(space, BASE_ADDR, PG, 2 * PG, MREMAP_MAYMOVE, 0, &out), -ENOMEM);
    /* What cuts nothing, or takes away at an end, is allowed. */
    assert_int_equal(space_protect(space, BASE_ADDR, PG, RW), 0);
    assert_int_equal(space_advise(space, a, 4 * PG, MADV_RANDOM), 0);
    assert_int_equal(space_advise(space, a + PG, PG, MADV_RANDOM), 0);
    assert_int_equal(space_unmap(space, BASE_ADDR, PG), 0);
    assert_int_equal(space_unmap(space, BASE_ADDR + 15 * PG, 2 * PG), 0);
    space->area_count -= AREA_COUNT_MAX - real;
    assert_int_equal(space->area_count, real);
}

/* ---- locked memory ---------------------------------------------------------------------- */

static bool is_mapped(vaddr_t va, unsigned need)
{
    unsigned prot;
    return hal_space_query(&space->hal, va, NULL, &prot) && (prot & need) == need;
}

static void locks_are_counted_and_limited(void **state)
{
    (void)state;
    vaddr_t out, a = BASE_ADDR;
    space->lock_limit = 8 * PG;
    assert_int_equal(map(a, 16, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(space_lock_pages(space, a, 9 * PG, AREA_LOCKED), -ENOMEM);
    assert_int_equal(space->pages_locked, 0);
    assert_int_equal(space_lock_pages(space, a + 1, 6 * PG, AREA_LOCKED), 0);
    assert_int_equal(space->pages_locked, 7);
    assert_int_equal(space_lock_pages(space, a, 8 * PG, AREA_LOCKED), 0); /* 7 of them are */
    assert_int_equal(map(0, 1, RW, ANON | MAP_LOCKED, &out), -EAGAIN);
    assert_int_equal(space_remap(space, a, 8 * PG, 20 * PG, MREMAP_MAYMOVE, 0, &out), -EAGAIN);
    assert_int_equal(space_unmap(space, a, 2 * PG), 0);
    assert_int_equal(space->pages_locked, 6);
    assert_int_equal(map(0, 2, RW, ANON | MAP_LOCKED, &out), 0);
    assert_true(is_mapped(out + PG, HAL_PROT_WRITE));
    assert_int_equal(space_lock_all(space, true, AREA_LOCKED, 0), -ENOMEM);
    assert_int_equal(space_lock_all(space, true, 0, 0), 0);
    assert_int_equal(space->pages_locked, 0);
    space->lock_limit = 0;
    assert_int_equal(space_lock_pages(space, a + 4 * PG, PG, AREA_LOCKED), -EPERM);
    assert_int_equal(map(0, 1, RW, ANON | MAP_LOCKED, &out), -EPERM);
    assert_int_equal(space_lock_all(space, true, AREA_LOCKED, 0), -EPERM);
    assert_int_equal(space_lock_pages(space, a + 4 * PG, PG, 0), 0);
}

/* Locked memory is there at once, private writable pages as copies; on fault, only then. */
static void locked_pages_are_brought_in(void **state)
{
    (void)state;
    vaddr_t out, a = BASE_ADDR, f = BASE_ADDR + MIB;
    const uint32_t on_fault = AREA_LOCKED | AREA_LOCKONFAULT;
    assert_int_equal(map_file(f, 4, RW, MAP_PRIVATE | MAP_FIXED, 0, &out), 0);
    assert_int_equal(space_lock_pages(space, f, 2 * PG, AREA_LOCKED), 0);
    assert_true(is_mapped(f, HAL_PROT_WRITE) && is_mapped(f + PG, HAL_PROT_WRITE));
    assert_int_equal(map(a, 64, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(space_lock_pages(space, a, 32 * PG, on_fault), 0);
    assert_int_equal(space->pages_locked, 34);
    assert_false(is_mapped(a, 0));
    assert_int_equal(space_advise(space, a, PG, MADV_DONTNEED), -EINVAL);
    /* mlockall: what is there, then what comes. */
    assert_int_equal(space_lock_all(space, true, AREA_LOCKED, AREA_LOCKED), 0);
    assert_true(is_mapped(a + 63 * PG, HAL_PROT_WRITE));
    assert_int_equal(map(0, 3, RW, ANON, &out), 0);
    assert_true(is_mapped(out + 2 * PG, HAL_PROT_WRITE));
    assert_int_equal(space->pages_locked, 71);
    assert_int_equal(space_lock_all(space, false, on_fault, on_fault), 0);
    assert_int_equal(map(0, 3, PROT_READ, ANON, &out), 0);
    assert_false(is_mapped(out, 0));
    assert_int_equal(space->pages_locked, 74);
    /* A hole ends it, and what came before stays locked. */
    assert_int_equal(space_lock_all(space, true, 0, 0), 0);
    assert_int_equal(space_unmap(space, a + 2 * PG, PG), 0);
    assert_int_equal(space_lock_pages(space, a, 8 * PG, AREA_LOCKED), -ENOMEM);
    assert_int_equal(space->pages_locked, 2);
    /* Nobody may read it: it cannot be brought in. */
    assert_int_equal(space_protect(space, a + 8 * PG, PG, PROT_NONE), 0);
    assert_int_equal(space_advise(space, a + 8 * PG, PG, MADV_POPULATE_READ), -EINVAL);
}

/* Populating does not make a stack grow. */
static void populate_does_not_grow_stacks(void **state)
{
    (void)state;
    vaddr_t out;
    assert_int_equal(map(BASE_ADDR + MIB, 4, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, &out), 0);
    assert_int_equal(space_advise(space, BASE_ADDR + MIB - PG, 2 * PG, MADV_POPULATE_READ),
                     -ENOMEM);
    assert_int_equal(space_advise(space, BASE_ADDR + MIB, 2 * PG, MADV_POPULATE_WRITE), 0);
}

int main(void)
{
#define LOCK_TEST(f) cmocka_unit_test_setup_teardown(f, space_set_up, space_tear_down)
    const struct CMUnitTest tests[] = {
        LOCK_TEST(area_count_is_limited),
        LOCK_TEST(locks_are_counted_and_limited),
        LOCK_TEST(locked_pages_are_brought_in),
        LOCK_TEST(populate_does_not_grow_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
