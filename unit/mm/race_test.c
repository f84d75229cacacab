/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/*
 * race_test.c - page faults that another thread is faster than: between two steps of one fault, in
 * front of a lock that it is about to take, the other has its own. Contents, counts and references
 * are what they would be in one order or the other.
 */
#include "space_fixture.h"

static vaddr_t base;
static unsigned countdown; /* locks from now */
static enum { READ_SAME, WRITE_NEIGHBOUR, DROP_ALL } what;

static void other(void *arg)
{
    (void)arg;
    switch (what) {
    case READ_SAME:
        assert_int_equal(space_fault(space, base + 5 * PG, HAL_ACCESS_READ, 0), 0);
        break;
    case WRITE_NEIGHBOUR: /* a copy: this page alone */
        assert_int_equal(space_fault(space, base + 6 * PG, HAL_ACCESS_WRITE, 0), 0);
        break;
    case DROP_ALL:
        assert_int_equal(space_advise(space, base, 16 * PG, MADV_DONTNEED), 0);
        break;
    }
}

static void on_lock(struct mutex *m)
{
    (void)m;
    if (countdown && --countdown == 0)
        fake_other_thread(other, NULL);
}

static void check_bytes(void)
{
    fake_lock_hook = NULL;
    for (unsigned i = 0; i < 16; i++) {
        unsigned char byte = 0;
        assert_int_equal(user_read(base + i * PG + 9, &byte), 0);
        assert_int_equal(byte, ((8 + i) * 7 + 3) & 255);
    }
}

/* For every lock that the fault takes: fails only where the page is another's, never mixes up which
 * one it is, and space_tear_down finds every reference given back. */
static void fault_while(enum hal_access access, unsigned flags)
{
    for (unsigned n = 1; n <= 6; n++) {
        assert_int_equal(map_file(0, 16, RW, flags, 8, &base), 0);
        countdown = n;
        fake_lock_hook = on_lock;
        assert_int_equal(space_fault(space, base + 5 * PG, access, 0), 0);
        check_bytes();
        assert_int_equal(space_unmap(space, base, 16 * PG), 0);
        assert_int_equal(space_resident(space), 0);
    }
}

static void the_same_page(void **state)
{
    (void)state;
    what = READ_SAME;
    fault_while(HAL_ACCESS_READ, MAP_PRIVATE);
    fault_while(HAL_ACCESS_WRITE, MAP_PRIVATE);
    fault_while(HAL_ACCESS_READ, MAP_SHARED);
}

static void a_neighbour(void **state)
{
    (void)state;
    what = WRITE_NEIGHBOUR;
    fault_while(HAL_ACCESS_READ, MAP_PRIVATE);
    fault_while(HAL_ACCESS_WRITE, MAP_PRIVATE);
}

static void everything_goes(void **state)
{
    (void)state;
    what = DROP_ALL;
    fault_while(HAL_ACCESS_READ, MAP_PRIVATE);
    fault_while(HAL_ACCESS_WRITE, MAP_PRIVATE);
    fault_while(HAL_ACCESS_READ, MAP_SHARED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_page, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(a_neighbour, space_set_up, space_tear_down),
        cmocka_unit_test_setup_teardown(everything_goes, space_set_up, space_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
