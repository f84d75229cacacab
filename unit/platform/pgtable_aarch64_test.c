/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/* pgtable_aarch64_test.c - the page-table walker with the real aarch64 encoding. The tests:
 * pgtable_body.h. */
#include "../../platform/aarch64/isa/pte.h"

#include "../../platform/common/pgtable.c"

static void entries_are_what_the_manual_says(void **state);

#include "pgtable_body.h"

/* DDI 0487, D8.3.1: bit numbers, not our names for them. */
static void entries_are_what_the_manual_says(void **state)
{
    const pte_t page = 3, block = 1, device = 1 << 2, read_only = 1 << 7, inner = 3 << 8,
                used = 1 << 10, own_asid = 1 << 11, guarded = 1ull << 50, pxn = 1ull << 53,
                uxn = 1ull << 54, pa = 0x123456000;

    (void)state;
    for (unsigned prot = 1; prot < 8; prot++) {
        pte_t rights = uxn | used | own_asid | (prot & HAL_PROT_WRITE ? 0 : read_only) |
                       (prot & HAL_PROT_EXEC ? 0 : pxn),
              want = pa | page | inner | rights;

        assert_int_equal(pte_make_leaf(pa, prot, 0), want);
        assert_int_equal(pte_make_leaf(pa, prot | PGTABLE_GLOBAL, 0), want & ~own_asid);
        assert_int_equal(pte_make_leaf(pa, prot | PGTABLE_DEVICE, 0), pa | page | device | rights);
        assert_int_equal(pte_make_leaf(pa, prot | HAL_PROT_LANDING, 0), want | guarded);
        assert_int_equal(pte_make_leaf(16 * MIB, prot, 1), 16 * MIB | block | inner | rights);
        assert_int_equal(pte_set_prot(pte_make_leaf(pa, RWX | PGTABLE_GLOBAL, 0), prot, 0),
                         want & ~own_asid);
    }
    assert_int_equal(pte_make_leaf(pa, 0, 0) & 1, 0);
    assert_int_equal(pte_make_table(pa), pa | page);
}
