/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pte.h - x86-64 page-table entries (Intel SDM vol. 3, 4.5; AMD APM vol. 2, 5.3).
 *
 * All entries allow user access: kernel and program share one ring, and on some machines that is
 * ring 3. Bit 9, which the hardware ignores,
 * marks an entry that keeps its frame but allows no access (HAL prot 0, Linux's PROT_NONE): it is
 * not present, so nothing else of it is looked at. A page is always readable and, without NX,
 * executable; prot bits are rounded up accordingly.
 */
#ifndef SELKIE_ISA_PTE_H
#define SELKIE_ISA_PTE_H

#include "common/pgtable.h"
#include "hal.h"

typedef uint64_t pte_t;

#define PTE_LEVELS 4
#define PTE_LEAF_LEVEL_MAX 2
#define PTE_BREAK_BEFORE_MAKE 0
#define PTE_UPGRADE_NEEDS_FLUSH 0 /* a fault drops the cached entry: SDM vol. 3, 4.10.4.1 */

#define PTE_X64_PRESENT (1ull << 0)
#define PTE_X64_WRITE (1ull << 1)
#define PTE_X64_USER (1ull << 2)
#define PTE_X64_PWT (1ull << 3)
#define PTE_X64_PCD (1ull << 4)
#define PTE_X64_ACCESSED (1ull << 5)
#define PTE_X64_DIRTY (1ull << 6)
#define PTE_X64_LARGE (1ull << 7) /* levels 1 and 2; at level 0 this bit is PAT and stays 0 */
#define PTE_X64_GLOBAL (1ull << 8)
#define PTE_X64_NO_ACCESS (1ull << 9)
#define PTE_X64_NX (1ull << 63)
#define PTE_X64_ADDR_MASK 0x000ffffffffff000ull

static inline bool pte_is_mapped(pte_t e)
{
    return (e & (PTE_X64_PRESENT | PTE_X64_NO_ACCESS)) != 0;
}

static inline bool pte_is_live(pte_t e)
{
    return (e & PTE_X64_PRESENT) != 0;
}

static inline bool pte_is_table(pte_t e, unsigned level)
{
    return level > 0 && (e & (PTE_X64_PRESENT | PTE_X64_LARGE)) == PTE_X64_PRESENT;
}

static inline pte_t pte_make_table(paddr_t pa)
{
    return pa | PTE_X64_PRESENT | PTE_X64_WRITE | PTE_X64_USER | PTE_X64_ACCESSED;
}

/* The bits of a leaf that depend on protection only. */
static inline pte_t pte_x64_prot_bits(unsigned prot)
{
    if ((prot & (HAL_PROT_READ | HAL_PROT_WRITE | HAL_PROT_EXEC)) == 0)
        return PTE_X64_NO_ACCESS;
    return PTE_X64_PRESENT | PTE_X64_USER | ((prot & HAL_PROT_WRITE) ? PTE_X64_WRITE : 0) |
           ((prot & HAL_PROT_EXEC) ? 0 : PTE_X64_NX);
}

static inline pte_t pte_make_leaf(paddr_t pa, unsigned prot, unsigned level)
{
    pte_t e = (pa & PTE_X64_ADDR_MASK) | pte_x64_prot_bits(prot);

    if (level > 0)
        e |= PTE_X64_LARGE;
    if (prot & PGTABLE_DEVICE)
        e |= PTE_X64_PCD | PTE_X64_PWT;
    if (prot & PGTABLE_GLOBAL)
        e |= PTE_X64_GLOBAL;
    if (prot & HAL_PTE_ACCESSED)
        e |= PTE_X64_ACCESSED;
    if (prot & HAL_PTE_DIRTY)
        e |= PTE_X64_DIRTY;
    return e;
}

static inline paddr_t pte_pa(pte_t e)
{
    return e & PTE_X64_ADDR_MASK;
}

static inline unsigned pte_prot(pte_t e)
{
    unsigned prot = 0;

    if (e & PTE_X64_PRESENT)
        prot |= HAL_PROT_READ | ((e & PTE_X64_WRITE) ? HAL_PROT_WRITE : 0) |
                ((e & PTE_X64_NX) ? 0 : HAL_PROT_EXEC);
    if (e & PTE_X64_ACCESSED)
        prot |= HAL_PTE_ACCESSED;
    if (e & PTE_X64_DIRTY)
        prot |= HAL_PTE_DIRTY;
    if (e & PTE_X64_PCD)
        prot |= PGTABLE_DEVICE;
    if (e & PTE_X64_GLOBAL)
        prot |= PGTABLE_GLOBAL;
    return prot;
}

static inline pte_t pte_set_prot(pte_t e, unsigned prot, unsigned level)
{
    const pte_t changed =
        PTE_X64_PRESENT | PTE_X64_WRITE | PTE_X64_USER | PTE_X64_NO_ACCESS | PTE_X64_NX;

    (void)level;
    return (e & ~changed) | pte_x64_prot_bits(prot);
}

#endif
