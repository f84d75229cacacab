/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/* pgtable_x64_test.c - the page-table walker with the real x64 encoding. The tests: pgtable_body.h.
 */
#include "../../platform/x64/isa/pte.h"

#include "../../platform/common/pgtable.c"

static void entries_are_what_the_manual_says(void **state);

#include "pgtable_body.h"

/* SDM vol. 3, tables 4-18 and 4-20; bit numbers, not our names for them. */
static void entries_are_what_the_manual_says(void **state)
{
    const pte_t present = 1, write = 2, user = 4, uncached = 3ull << 3, seen = 3ull << 5,
                large = 1 << 7, global = 1 << 8, never = 1ull << 63, pa = 0x123456000;

    (void)state;
    for (unsigned prot = 1; prot < 8; prot++) {
        pte_t want = pa | present | user | (prot & HAL_PROT_WRITE ? write : 0) |
                     (prot & HAL_PROT_EXEC ? 0 : never);

        assert_int_equal(pte_make_leaf(pa, prot, 0), want);
        assert_int_equal(pte_make_leaf(pa, prot | PGTABLE_GLOBAL, 0), want | global);
        assert_int_equal(pte_make_leaf(pa, prot | PGTABLE_DEVICE, 0), want | uncached);
        assert_int_equal(pte_make_leaf(pa, prot | HAL_PTE_ACCESSED | HAL_PTE_DIRTY, 0),
                         want | seen);
        assert_int_equal(pte_make_leaf(16 * MIB, prot, 1), (want - pa + 16 * MIB) | large);
        assert_int_equal(pte_set_prot(pte_make_leaf(pa, RWX | PGTABLE_GLOBAL, 0), prot, 0),
                         want | global);
    }
    assert_int_equal(pte_make_leaf(pa, 0, 0) & (present | global), 0);
    assert_int_equal(pte_make_table(pa) & ~(1ull << 5), pa | present | write | user);
}
