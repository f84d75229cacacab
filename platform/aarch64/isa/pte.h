/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pte.h - AArch64 page-table entries, 4 KiB granule, stage 1 (Arm DDI 0487, D8.3).
 *
 * Levels are counted as pgtable.h does: 3 is the root (Arm's level 0), 0 holds pages. All leaves
 * are for EL1 only (AP[1] = 0): kernel and program share one ring, and PXN alone decides about
 * execution. UXN is always set. A program's pages must not be accessible at EL0: writable ones
 * would then never be executable at EL1, and PAN would keep EL1 out.
 *
 * Bit 55, which the hardware ignores, marks an entry that keeps its frame but allows no access (HAL
 * prot 0): it is invalid. A page is always readable; prot bits are rounded up accordingly.
 *
 * The hardware's accessed and dirty bits are an option of the architecture and not used: the access
 * flag is always set and every page counts as accessed and dirty.
 */
#ifndef SELKIE_ISA_PTE_H
#define SELKIE_ISA_PTE_H

#include "common/pgtable.h"
#include "hal.h"

typedef uint64_t pte_t;

#define PTE_LEVELS 4
#define PTE_LEAF_LEVEL_MAX 2
#define PTE_BREAK_BEFORE_MAKE 1
#define PTE_UPGRADE_NEEDS_FLUSH 1

#define PTE_A64_VALID (1ull << 0)
#define PTE_A64_TABLE (1ull << 1)  /* levels 1..3: a table, not a block; level 0: always */
#define PTE_A64_DEVICE (1ull << 2) /* AttrIndx 1 of MAIR_EL1 (layout.h); 0 is normal memory */
#define PTE_A64_READ_ONLY (1ull << 7)
#define PTE_A64_INNER_SHAREABLE (3ull << 8)
#define PTE_A64_ACCESSED (1ull << 10)
#define PTE_A64_NOT_GLOBAL (1ull << 11)
#define PTE_A64_GUARDED (1ull << 50) /* GP; RES0 without BTI, so only asked for where it is */
#define PTE_A64_PXN (1ull << 53)
#define PTE_A64_UXN (1ull << 54)
#define PTE_A64_NO_ACCESS (1ull << 55)
#define PTE_A64_ADDR_MASK 0x0000fffffffff000ull

static inline bool pte_is_mapped(pte_t e)
{
    return (e & (PTE_A64_VALID | PTE_A64_NO_ACCESS)) != 0;
}

static inline bool pte_is_live(pte_t e)
{
    return (e & PTE_A64_VALID) != 0;
}

static inline bool pte_is_table(pte_t e, unsigned level)
{
    return level > 0 && (e & (PTE_A64_VALID | PTE_A64_TABLE)) == (PTE_A64_VALID | PTE_A64_TABLE);
}

static inline pte_t pte_make_table(paddr_t pa)
{
    return pa | PTE_A64_VALID | PTE_A64_TABLE;
}

/* The bits of a leaf that depend on protection only. */
static inline pte_t pte_a64_prot_bits(unsigned prot, unsigned level)
{
    pte_t type = PTE_A64_VALID | (level == 0 ? PTE_A64_TABLE : 0);

    if ((prot & (HAL_PROT_READ | HAL_PROT_WRITE | HAL_PROT_EXEC)) == 0)
        return PTE_A64_NO_ACCESS | PTE_A64_READ_ONLY | PTE_A64_PXN;
    return type | ((prot & HAL_PROT_WRITE) ? 0 : PTE_A64_READ_ONLY) |
           ((prot & HAL_PROT_EXEC) ? 0 : PTE_A64_PXN) |
           ((prot & HAL_PROT_LANDING) ? PTE_A64_GUARDED : 0);
}

static inline pte_t pte_make_leaf(paddr_t pa, unsigned prot, unsigned level)
{
    pte_t e =
        (pa & PTE_A64_ADDR_MASK) | pte_a64_prot_bits(prot, level) | PTE_A64_UXN | PTE_A64_ACCESSED;

    e |= (prot & PGTABLE_DEVICE) ? PTE_A64_DEVICE : PTE_A64_INNER_SHAREABLE;
    if (!(prot & PGTABLE_GLOBAL))
        e |= PTE_A64_NOT_GLOBAL;
    return e;
}

static inline paddr_t pte_pa(pte_t e)
{
    return e & PTE_A64_ADDR_MASK;
}

static inline unsigned pte_prot(pte_t e)
{
    unsigned prot = HAL_PTE_ACCESSED | HAL_PTE_DIRTY;

    if (e & PTE_A64_VALID)
        prot |= HAL_PROT_READ | ((e & PTE_A64_READ_ONLY) ? 0 : HAL_PROT_WRITE) |
                ((e & PTE_A64_PXN) ? 0 : HAL_PROT_EXEC) |
                ((e & PTE_A64_GUARDED) ? HAL_PROT_LANDING : 0);
    if (e & PTE_A64_DEVICE)
        prot |= PGTABLE_DEVICE;
    if (!(e & PTE_A64_NOT_GLOBAL))
        prot |= PGTABLE_GLOBAL;
    return prot;
}

static inline pte_t pte_set_prot(pte_t e, unsigned prot, unsigned level)
{
    const pte_t changed = PTE_A64_VALID | PTE_A64_TABLE | PTE_A64_READ_ONLY | PTE_A64_NO_ACCESS |
                          PTE_A64_PXN | PTE_A64_GUARDED;

    return (e & ~changed) | pte_a64_prot_bits(prot, level);
}

#endif
