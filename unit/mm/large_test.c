/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/* large_test.c - large pages as mm sees them: which faults map a whole region, and which do not. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(large_pages_where_they_pay, space_set_up, space_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
