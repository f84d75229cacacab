/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pgtable.c - the generic page-table walker. Contract and concurrency rules: pgtable.h.
 *
 * Ideas:
 *  - An entry is read and written as one 64-bit atomic. A table is filled before a release store
 *    (or compare-and-swap) makes it reachable, so that another CPU's walk sees zeroed or complete
 *    entries. Leaves need no more order than that: the page's contents were written before by code
 *    that has its own.
 *  - Tables are freed only when an operation covers all that they can map, because then no other
 *    operation may run inside them (callers serialise overlapping ranges).
 *  - Detached tables wait in a chain until the caller has flushed. The link is a page address in
 *    entry 0, which hardware still walking there sees as "not present" (bit 0 clear).
 *
 * Recursion is bounded by PTE_LEVELS.
 */
#include "common/pgtable.h"

#include "hal_up.h"

#include "isa/pte.h"
#include "lib/errno.h"

/* x64 drops a cached translation when it faults on it (SDM vol. 3, 4.10.4.1), so that granting
 * more rights needs no flush; an ISA that does not define the constant gets one. */
#ifndef PTE_UPGRADE_NEEDS_FLUSH
#define PTE_UPGRADE_NEEDS_FLUSH 1
#endif

#define INDEX_BITS 9
#define ENTRY_COUNT (1u << INDEX_BITS)
#define ROOT_LEVEL (PTE_LEVELS - 1)
#define PROT_MASK ((unsigned)HAL_PROT_ALL)

static unsigned level_shift(unsigned level)
{
    return HAL_PAGE_SHIFT + INDEX_BITS * level;
}

static uint64_t level_size(unsigned level)
{
    return 1ull << level_shift(level);
}

static unsigned level_index(vaddr_t va, unsigned level)
{
    return (unsigned)(va >> level_shift(level)) & (ENTRY_COUNT - 1);
}

/* The end of the slot of `level` that holds va, but not beyond end. */
static vaddr_t slot_end(vaddr_t va, unsigned level, vaddr_t end)
{
    vaddr_t last = va | (level_size(level) - 1);

    return last >= end - 1 ? end : last + 1;
}

static pte_t *table_at(paddr_t pa)
{
    return hal_phys_to_virt(pa);
}

/* Acquire: pairs with the release that published a table. */
static pte_t entry_load(const pte_t *entry)
{
    return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

/* ---- deposits (pgtable.h) ---- */

static unsigned long deposits_lock(struct pgtable *pt)
{
    unsigned long irq = hal_irq_save();

    /* Acquire, and release below: the chain. */
    while (__atomic_exchange_n(&pt->deposit_word, 1, __ATOMIC_ACQUIRE))
        hal_cpu_relax();
    return irq;
}

static void deposits_unlock(struct pgtable *pt, unsigned long irq)
{
    __atomic_store_n(&pt->deposit_word, 0, __ATOMIC_RELEASE);
    hal_irq_restore(irq);
}

static void deposit_put(struct pgtable *pt, paddr_t table)
{
    unsigned long irq = deposits_lock(pt);

    table_at(table)[0] = pt->deposit;
    pt->deposit = table;
    pt->large++;
    deposits_unlock(pt, irq);
}

/* A zeroed table page: there is one for every large leaf. */
static paddr_t deposit_take(struct pgtable *pt)
{
    unsigned long irq = deposits_lock(pt);
    paddr_t table = pt->deposit;

    if (table == 0)
        kernel_hal_panic("a large page without a deposit", 0, 0);
    pt->deposit = table_at(table)[0];
    pt->large--;
    deposits_unlock(pt, irq);
    table_at(table)[0] = 0;
    return table;
}

/* A leaf of `level` has gone as a whole. */
static void deposit_drop(struct pgtable *pt, unsigned level)
{
    if (pt->deposits && level == 1)
        pt->ops->free(deposit_take(pt));
}

static void change_add(struct pgtable_change *change, vaddr_t va, uint64_t size)
{
    vaddr_t lo = align_down(va, size), last = lo + (size - 1);

    if (!change->stale && !change->tables) {
        change->lo = lo;
        change->hi = last + 1;
    } else {
        change->lo = MIN(change->lo, lo);
        change->hi = MAX(change->hi - 1, last) + 1;
    }
}

static void change_stale(struct pgtable_change *change, vaddr_t va, uint64_t size)
{
    change_add(change, va, size);
    change->stale = true;
}

/* Put a table and all tables below it on the chain. It is not reachable from the root any more. */
static void table_detach(struct pgtable *pt, paddr_t table, unsigned level, vaddr_t va,
                         struct pgtable_change *change)
{
    pte_t *entries = table_at(table);

    change_add(change, va, level_size(level + 1));
    change->tables = true;
    for (unsigned i = 0; i < ENTRY_COUNT; i++) {
        pte_t e = entry_load(&entries[i]);

        if (pte_is_table(e, level))
            table_detach(pt, pte_pa(e), level - 1, va, change);
        else if (pte_is_live(e))
            change->stale = true;
        if (pte_is_mapped(e) && !pte_is_table(e, level))
            deposit_drop(pt, level);
    }
    __atomic_store_n(&entries[0], change->freed, __ATOMIC_RELAXED);
    change->freed = table;
}

void pgtable_release(struct pgtable *pt, struct pgtable_change *change)
{
    paddr_t table = change->freed;

    while (table != 0) {
        paddr_t next = table_at(table)[0];

        pt->ops->free(table);
        table = next;
    }
    *change = (struct pgtable_change){0};
}

/* Replace a leaf of `level` > 0 by a table of smaller leaves that map the same. */
static int leaf_split(struct pgtable *pt, pte_t *entry, vaddr_t va, unsigned level,
                      struct pgtable_change *change)
{
    pte_t old = entry_load(entry);
    paddr_t table = pt->deposits && level == 1 ? deposit_take(pt) : pt->ops->alloc();
    pte_t *entries;

    if (table == HAL_NO_PAGE)
        return -ENOMEM;
    entries = table_at(table);
    /* Repeat if the hardware sets an accessed or dirty bit meanwhile. */
    for (;;) {
        for (unsigned i = 0; i < ENTRY_COUNT; i++)
            entries[i] =
                pte_make_leaf(pte_pa(old) + i * level_size(level - 1), pte_prot(old), level - 1);
        if (!__atomic_compare_exchange_n(
                entry, &old, PTE_BREAK_BEFORE_MAKE && pte_is_live(old) ? 0 : pte_make_table(table),
                false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            continue;
        break;
    }
    if (PTE_BREAK_BEFORE_MAKE && pte_is_live(old)) {
        if (pt->ops->flush)
            pt->ops->flush(pt, align_down(va, level_size(level)), level_size(level));
        __atomic_store_n(entry, pte_make_table(table), __ATOMIC_RELEASE);
    } else if (pte_is_live(old)) {
        change_stale(change, va, level_size(level));
    }
    return 0;
}

/* Make a hole point to a fresh table, unless another CPU is faster. */
static int table_install(struct pgtable *pt, pte_t *entry)
{
    paddr_t table = pt->ops->alloc();
    pte_t expected = 0;

    if (table == HAL_NO_PAGE)
        return -ENOMEM;
    /* Release: the zeroed table before its address. */
    if (!__atomic_compare_exchange_n(entry, &expected, pte_make_table(table), false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        pt->ops->free(table);
    return 0;
}

/* The entry of `level` for va; tables on the way are made, larger leaves split. NULL: no memory. */
static pte_t *entry_make(struct pgtable *pt, vaddr_t va, unsigned level,
                         struct pgtable_change *change)
{
    pte_t *table = table_at(pt->root);

    for (unsigned at = ROOT_LEVEL; at > level; at--) {
        pte_t *entry = &table[level_index(va, at)];
        pte_t e = entry_load(entry);

        if (!pte_is_table(e, at)) {
            int err = e == 0 ? table_install(pt, entry) : leaf_split(pt, entry, va, at, change);

            if (err)
                return NULL;
            e = entry_load(entry);
        }
        table = table_at(pte_pa(e));
    }
    return &table[level_index(va, level)];
}

/* May a CPU go on using its cached copy of `old` (a leaf) now that `now` stands in its place? */
static bool leaf_needs_flush(pte_t old, pte_t now)
{
    unsigned had = pte_prot(old) & ~(unsigned)HAL_PTE_ACCESSED;
    unsigned has = pte_prot(now);

    if (!pte_is_live(old) || old == now)
        return false;
    if (PTE_UPGRADE_NEEDS_FLUSH || !pte_is_live(now) || pte_pa(old) != pte_pa(now))
        return true;
    return (had & ~has) != 0;
}

/* Store a leaf in place of whatever the entry holds. */
static void leaf_put(struct pgtable *pt, pte_t *entry, vaddr_t va, unsigned level, pte_t leaf,
                     struct pgtable_change *change)
{
    pte_t old = PTE_BREAK_BEFORE_MAKE ? entry_load(entry) : 0;
    bool flushed = false;

    if (PTE_BREAK_BEFORE_MAKE && pte_is_live(old) && pte_is_live(leaf) &&
        (pte_is_table(old, level) || pte_pa(old) != pte_pa(leaf))) {
        __atomic_store_n(entry, 0, __ATOMIC_RELAXED);
        flushed = pt->ops->flush != NULL;
        if (flushed)
            pt->ops->flush(pt, align_down(va, level_size(level)), level_size(level));
        __atomic_store_n(entry, leaf, __ATOMIC_RELEASE);
    } else {
        old = __atomic_exchange_n(entry, leaf, __ATOMIC_ACQ_REL);
    }
    if (pte_is_table(old, level))
        table_detach(pt, pte_pa(old), level - 1, va, change);
    else if (!flushed && leaf_needs_flush(old, leaf))
        change_stale(change, va, level_size(level));
}

int pgtable_init(struct pgtable *pt, const struct pgtable_ops *ops)
{
    *pt = (struct pgtable){.ops = ops, .root = ops->alloc()};
    return pt->root == HAL_NO_PAGE ? -ENOMEM : 0;
}

void pgtable_destroy(struct pgtable *pt, vaddr_t lo, vaddr_t hi)
{
    struct pgtable_change change = {0};
    pte_t *root = table_at(pt->root);

    for (vaddr_t va = lo; va < hi; va = slot_end(va, ROOT_LEVEL, hi)) {
        pte_t *entry = &root[level_index(va, ROOT_LEVEL)];
        pte_t e = entry_load(entry);

        if (pte_is_table(e, ROOT_LEVEL)) {
            __atomic_store_n(entry, 0, __ATOMIC_RELAXED);
            table_detach(pt, pte_pa(e), ROOT_LEVEL - 1, va, &change);
        }
    }
    pgtable_release(pt, &change);
    pt->ops->free(pt->root);
    pt->root = HAL_NO_PAGE;
}

int pgtable_populate_root(struct pgtable *pt, vaddr_t lo, vaddr_t hi)
{
    pte_t *root = table_at(pt->root);

    for (vaddr_t va = lo; va < hi; va = slot_end(va, ROOT_LEVEL, hi)) {
        pte_t *entry = &root[level_index(va, ROOT_LEVEL)];

        if (entry_load(entry) == 0) {
            int err = table_install(pt, entry);

            if (err)
                return err;
        }
    }
    return 0;
}

/* The level of the largest leaf that fits here. */
static unsigned leaf_level(vaddr_t va, paddr_t pa, size_t len, unsigned max_level)
{
    unsigned level = MIN(max_level, (unsigned)PTE_LEAF_LEVEL_MAX);

    while (level > 0 && (len < level_size(level) || !is_aligned(va | pa, level_size(level))))
        level--;
    return level;
}

/* May a large leaf stand at va? Makes sure that it has its deposit. Not where there is a table, for
 * others may be looking into it. The caller has the whole slot to itself. */
static bool large_prepare(struct pgtable *pt, vaddr_t va, struct pgtable_change *change)
{
    const pte_t *entry = entry_make(pt, va, 1, change);
    pte_t e = entry ? entry_load(entry) : 0;
    paddr_t table;

    if (!entry || pte_is_table(e, 1))
        return false;
    if (pte_is_mapped(e))
        return true; /* that one's is taken over */
    table = pt->ops->alloc();
    if (table == HAL_NO_PAGE)
        return false;
    deposit_put(pt, table);
    return true;
}

int pgtable_map(struct pgtable *pt, vaddr_t va, paddr_t pa, size_t len, unsigned prot,
                unsigned max_level, struct pgtable_change *change)
{
    while (len > 0) {
        unsigned level = leaf_level(va, pa, len, max_level);

        if (pt->deposits && level > 0)
            level = large_prepare(pt, va, change) ? 1 : 0;

        uint64_t size = level_size(level);
        pte_t *entry = entry_make(pt, va, level, change);

        if (!entry)
            return -ENOMEM;
        /* Go on in the same table as long as leaves of this level fit. */
        do {
            leaf_put(pt, entry++, va, level, pte_make_leaf(pa, prot, level), change);
            va += size;
            pa += size;
            len -= size;
        } while (level_index(va, level) != 0 && len >= size && !(pt->deposits && level > 0) &&
                 (level == MIN(max_level, (unsigned)PTE_LEAF_LEVEL_MAX) ||
                  leaf_level(va, pa, len, max_level) == level));
    }
    return 0;
}

int pgtable_map_pages(struct pgtable *pt, vaddr_t va, const paddr_t *frames, size_t count,
                      unsigned prot, struct pgtable_change *change)
{
    while (count > 0) {
        pte_t *entry = entry_make(pt, va, 0, change);

        if (!entry)
            return -ENOMEM;
        do {
            leaf_put(pt, entry++, va, 0, pte_make_leaf(*frames++, prot, 0), change);
            va += HAL_PAGE_SIZE;
            count--;
        } while (level_index(va, 0) != 0 && count > 0);
    }
    return 0;
}

void pgtable_fill(struct pgtable *pt, vaddr_t va, paddr_t pa, unsigned prot)
{
    pte_t *table = table_at(pt->root);

    for (unsigned at = ROOT_LEVEL; at > 0; at--) {
        pte_t e = entry_load(&table[level_index(va, at)]);

        if (!pte_is_table(e, at))
            kernel_hal_panic("a page table for a kernel stack is missing", 0, 0);
        table = table_at(pte_pa(e));
    }
    __atomic_store_n(&table[level_index(va, 0)], pte_make_leaf(pa, prot, 0), __ATOMIC_RELEASE);
}

/* Split a leaf of `level` if [va, end) covers only a part of its slot. */
static int leaf_trim(struct pgtable *pt, pte_t *entry, vaddr_t va, vaddr_t end, unsigned level,
                     struct pgtable_change *change)
{
    pte_t e = entry_load(entry);

    if (level == 0 || !pte_is_mapped(e) || pte_is_table(e, level) || end - va == level_size(level))
        return 0;
    return leaf_split(pt, entry, va, level, change);
}

static int unmap_level(struct pgtable *pt, paddr_t table, unsigned level, vaddr_t va, vaddr_t end,
                       struct pgtable_change *change)
{
    pte_t *entry = &table_at(table)[level_index(va, level)];

    for (vaddr_t next; va < end; va = next, entry++) {
        int err;
        pte_t e;

        next = slot_end(va, level, end);
        if (entry_load(entry) == 0)
            continue; /* most of a thread's stack */
        err = leaf_trim(pt, entry, va, next, level, change);
        if (err)
            return err;
        e = entry_load(entry);
        if (pte_is_table(e, level) && next - va < level_size(level)) {
            err = unmap_level(pt, pte_pa(e), level - 1, va, next, change);
            if (err)
                return err;
            continue;
        }
        /* Exchange: the hardware may have set a dirty bit since. */
        e = __atomic_exchange_n(entry, 0, __ATOMIC_ACQ_REL);
        if (pte_is_table(e, level))
            table_detach(pt, pte_pa(e), level - 1, va, change);
        else if (pte_is_live(e))
            change_stale(change, va, level_size(level));
        if (pte_is_mapped(e) && !pte_is_table(e, level))
            deposit_drop(pt, level);
    }
    return 0;
}

int pgtable_unmap(struct pgtable *pt, vaddr_t va, size_t len, struct pgtable_change *change)
{
    if (len == 0)
        return 0;
    return unmap_level(pt, pt->root, ROOT_LEVEL, va, va + len, change);
}

static int protect_level(struct pgtable *pt, paddr_t table, unsigned level, vaddr_t va, vaddr_t end,
                         unsigned prot, struct pgtable_change *change)
{
    pte_t *entry = &table_at(table)[level_index(va, level)];

    for (vaddr_t next; va < end; va = next, entry++) {
        int err;
        pte_t e, now;

        next = slot_end(va, level, end);
        err = leaf_trim(pt, entry, va, next, level, change);
        if (err)
            return err;
        e = entry_load(entry);
        if (pte_is_table(e, level)) {
            err = protect_level(pt, pte_pa(e), level - 1, va, next, prot, change);
            if (err)
                return err;
            continue;
        }
        if (!pte_is_mapped(e))
            continue;
        do
            now = pte_set_prot(e, prot, level);
        while (
            !__atomic_compare_exchange_n(entry, &e, now, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
        if (leaf_needs_flush(e, now))
            change_stale(change, va, level_size(level));
    }
    return 0;
}

int pgtable_protect(struct pgtable *pt, vaddr_t va, size_t len, unsigned prot,
                    struct pgtable_change *change)
{
    if (len == 0)
        return 0;
    return protect_level(pt, pt->root, ROOT_LEVEL, va, va + len, prot & PROT_MASK, change);
}

/* Descend to the leaf or hole for va; *level tells where it was found. */
static const pte_t *entry_slot(const struct pgtable *pt, vaddr_t va, unsigned *level)
{
    paddr_t table = pt->root;

    for (unsigned at = ROOT_LEVEL;; at--) {
        const pte_t *slot = &table_at(table)[level_index(va, at)];
        pte_t e = entry_load(slot);

        if (!pte_is_table(e, at)) {
            *level = at;
            return slot;
        }
        table = pte_pa(e);
    }
}

static pte_t entry_find(const struct pgtable *pt, vaddr_t va, unsigned *level)
{
    return entry_load(entry_slot(pt, va, level));
}

bool pgtable_query(const struct pgtable *pt, vaddr_t va, paddr_t *pa, unsigned *prot)
{
    unsigned level;
    pte_t e = entry_find(pt, va, &level);

    if (!pte_is_mapped(e))
        return false;
    if (pa)
        *pa = pte_pa(e) + (va & (level_size(level) - 1));
    if (prot)
        *prot = pte_prot(e) | (level > 0 ? HAL_PTE_LARGE : 0);
    return true;
}

vaddr_t pgtable_next(const struct pgtable *pt, vaddr_t va, vaddr_t end)
{
    while (va < end) {
        unsigned level;
        const pte_t *slot = entry_slot(pt, va, &level);

        /* Its neighbours in the same table, without descending again: a thread's stack, given back
         * at its end, is hundreds of holes and a few pages. */
        do {
            pte_t e = entry_load(slot++);

            if (pte_is_table(e, level))
                break;
            if (pte_is_mapped(e))
                return va;
            va = slot_end(va, level, end);
        } while (va < end && level_index(va, level) != 0);
    }
    return end;
}

void pgtable_leaf_bytes(const struct pgtable *pt, vaddr_t va, vaddr_t end,
                        uint64_t bytes[PGTABLE_LEAF_LEVELS])
{
    while (va < end) {
        unsigned level;
        pte_t e = entry_find(pt, va, &level);
        vaddr_t next = slot_end(va, level, end);

        if (pte_is_mapped(e))
            bytes[level] += next - va;
        va = next;
    }
}
