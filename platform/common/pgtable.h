/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pgtable.h - page tables of 512-entry levels, generic over isa/pte.h.
 *
 * The walker works on one root. It sees entries only through the small functions of isa/pte.h, so
 * the same code serves x64, aarch64 and (as the kernel's own book-keeping) hosted; unit tests run
 * it against both real encodings.
 *
 * isa/pte.h (include guard SELKIE_ISA_PTE_H in every ISA, so that a test can choose one) defines:
 *   PTE_LEVELS                  4; level 3 is the root, level 0 holds 4 KiB pages
 *   PTE_LEAF_LEVEL_MAX          the highest level that may hold leaves at all (2: 1 GiB)
 *   PTE_BREAK_BEFORE_MAKE       1 if a live leaf must be invalidated and flushed before another
 *                               address or size takes its place (Arm DDI 0487, D8.14), else 0
 *   bool pte_is_mapped(e)       the entry maps memory: hardware-valid, or prot 0 with a frame kept
 *   bool pte_is_live(e)         the hardware may have cached it (valid; tables and leaves)
 *   bool pte_is_table(e, level) it points to a table of level - 1 (never at level 0)
 *   pte_t pte_make_table(pa)
 *   pte_t pte_make_leaf(pa, prot, level)    prot: HAL_PROT_* and PGTABLE_* below; 0 keeps pa;
 *                               HAL_PTE_ACCESSED/DIRTY preset those bits where hardware keeps them
 *   PTE_UPGRADE_NEEDS_FLUSH     optional, 1 if missing: CPUs may keep on faulting on a cached
 *                               translation after its entry got more rights
 *   paddr_t pte_pa(e)
 *   unsigned pte_prot(e)        HAL_PROT_*, HAL_PTE_ACCESSED/DIRTY, PGTABLE_* of a leaf
 *   pte_t pte_set_prot(e, prot, level)      same frame, same accessed/dirty state and PGTABLE_*
 * bits with pte_t = uint64_t and 0 = hole. An entry with prot 0 must differ from 0 for pa 0 too,
 * and bit 0 must be the hardware's valid bit.
 *
 * Concurrency: callers serialise operations on overlapping ranges of one root; operations on
 * disjoint ranges may run at the same time (tables are installed by compare-and-swap). To touch a
 * part of a leaf larger than a page is to touch all of it, because it may be split. The
 * hardware may set accessed and dirty bits at any time; they are never lost by protect.
 *
 * TLB: the walker flushes nothing itself (except through ops->flush for break-before-make). Each
 * operation adds what it did to a struct pgtable_change; the caller flushes that, then calls
 * pgtable_release() to free detached table pages.
 */
#ifndef SELKIE_PGTABLE_H
#define SELKIE_PGTABLE_H

#include "lib/types.h" /* and not hal.h: some hal_inline.h need this header */

/* Private protection bits beside HAL_PROT_*, for the backends' own mappings. */
#define PGTABLE_DEVICE 0x100u /* uncached device memory */
#define PGTABLE_GLOBAL 0x200u /* the same in all address spaces */

#define PGTABLE_LEAF_LEVELS 3 /* 4 KiB, 2 MiB, 1 GiB */

struct pgtable;
struct pgtable_ops {
    paddr_t (*alloc)(void); /* a zeroed page or HAL_NO_PAGE; normally kernel_table_alloc */
    void (*free)(paddr_t pa);
    /* Drop cached translations of [va, va+len) on all CPUs. May be NULL if the ISA does not need
     * break-before-make or the tables are never walked by hardware. */
    void (*flush)(struct pgtable *pt, vaddr_t va, size_t len);
};

struct pgtable {
    paddr_t root;
    const struct pgtable_ops *ops;
    /*
     * Deposits: each large leaf brings the table page along that splitting it will need, so unmap
     * and protect cannot fail. Chained by entry 0, 0 ends it.
     */
    bool deposits;         /* set after pgtable_init, before the first mapping */
    uint32_t deposit_word; /* lock of the two below, taken with interrupts off */
    paddr_t deposit;
    uint64_t large; /* leaves of level 1: as many as there are deposits */
};

/* What operations did; initialise with {0}, may be used for several operations. */
struct pgtable_change {
    bool stale;     /* live translations inside [lo, hi) were changed or removed: flush */
    bool tables;    /* table pages were detached (freed is not empty): flush walk caches as well */
    vaddr_t lo, hi; /* valid if stale or tables */
    paddr_t
        freed; /* chain of detached table pages, 0 for none; only pgtable_release looks inside */
};

/* Allocate the root. 0 or -ENOMEM. */
int must_check pgtable_init(struct pgtable *pt, const struct pgtable_ops *ops);
/* Free all tables that serve [lo, hi), and the root. Frames are not touched. Not live anywhere;
 * root entries outside [lo, hi) (shared kernel half) are left alone. */
void pgtable_destroy(struct pgtable *pt, vaddr_t lo, vaddr_t hi);
/* Make sure that the root's entries for [lo, hi) point to tables, so that they can be copied to
 * other roots and stay shared. */
int must_check pgtable_populate_root(struct pgtable *pt, vaddr_t lo, vaddr_t hi);

/* Map [va, va+len) to [pa, pa+len), replacing what is there, with leaves up to max_level (0: 4 KiB
 * only) where alignment allows; with deposits only up to level 1, where there is no table yet, and
 * while there is memory for the deposit. Page-aligned arguments, no wrap-around. -ENOMEM: each page
 * has its old or its new mapping. `change` says what to flush in either case. */
int must_check pgtable_map(struct pgtable *pt, vaddr_t va, paddr_t pa, size_t len, unsigned prot,
                           unsigned max_level, struct pgtable_change *change);
/* Map `count` pages with scattered frames. */
int must_check pgtable_map_pages(struct pgtable *pt, vaddr_t va, const paddr_t *frames,
                                 size_t count, unsigned prot, struct pgtable_change *change);
/* Enter a page at va, where there is none, into a table that is there: no lock, no memory, and
 * there is nothing to flush. Any context, other calls for `pt` on this CPU interrupted or not. */
void pgtable_fill(struct pgtable *pt, vaddr_t va, paddr_t pa, unsigned prot);
/* Remove mappings; tables that lie entirely inside the range are detached. A leaf larger than a
 * page that is only partly covered is split: the only way to fail (-ENOMEM, nothing lost: the
 * range before it is done). With 4 KiB leaves, or deposits, the result is always 0. */
int must_check pgtable_unmap(struct pgtable *pt, vaddr_t va, size_t len,
                             struct pgtable_change *change);
/* Change protection of what is mapped; holes are skipped. Fails as unmap does. */
int must_check pgtable_protect(struct pgtable *pt, vaddr_t va, size_t len, unsigned prot,
                               struct pgtable_change *change);

/* What is mapped at va: false for a hole. *pa is the address of va itself (offset included), *prot
 * is pte_prot(), with HAL_PTE_LARGE above level 0. Both may be NULL. */
bool pgtable_query(const struct pgtable *pt, vaddr_t va, paddr_t *pa, unsigned *prot);
/* The first mapped address in [va, end), or end. */
vaddr_t pgtable_next(const struct pgtable *pt, vaddr_t va, vaddr_t end);

/* Add to bytes[level] what leaves of that level map in [va, end): 4 KiB, 2 MiB, 1 GiB. */
void pgtable_leaf_bytes(const struct pgtable *pt, vaddr_t va, vaddr_t end,
                        uint64_t bytes[PGTABLE_LEAF_LEVELS]);

/* Free the table pages that were detached; call after the flush. */
void pgtable_release(struct pgtable *pt, struct pgtable_change *change);

#endif
