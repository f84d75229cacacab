/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugetlb.c - the pool of huge pages. Contract: hugetlb.h.
 *
 * A huge page is one block of the buddy system of type PAGE_HUGETLB, never split: its first page
 * has the reference, the others are PAGE_TAIL. In the pool it has no reference; its mapping has
 * one. Areas with AREA_HUGETLB consist of whole huge pages, so a mapping goes as a whole, too.
 *
 * Promises. Unless MAP_NORESERVE is given, a mapping is only made if every page of it can be had
 * later. `promised` counts the huge pages of such areas, mapped or not (area.c keeps it, as it
 * does the other sums over areas); `kept` those of them that are mapped. What others may take is
 *     free - (promised - kept),
 * and never more than free: while an area is unmapped its promise ends before its pages come back.
 *
 * Pages that a smaller nr_hugepages finds in use are surplus: they leave the pool when they are
 * released, unless a promise needs them.
 *
 * Locks: pool_lock (irqsave, RANK_PAGE: nothing is allocated or freed under it); count_lock around
 * a change of the size.
 */
#include "mm/hugetlb.h"

#include "core/mutex.h"
#include "core/spinlock.h"
#include "lib/errno.h"
#include "lib/sanitize.h"
#include "lib/string.h"
#include "mm/area.h"
#include "mm/compact.h"
#include "mm/reclaim.h"

STATIC_ASSERT(HUGETLB_SIZE == REGION_SIZE);

/* page->private_[0] of a huge page outside the pool. */
enum { USED_FREELY, USED_AS_PROMISED, LEAVING };

static struct mutex count_lock; /* one change of the pool's size at a time */
static struct spinlock pool_lock = SPINLOCK_INIT(RANK_PAGE);
static struct list pool = {&pool, &pool};
static uint64_t total, available, surplus; /* `available` are on the list */
static int64_t promised, kept;

static int64_t outstanding_locked(void)
{
    return promised > kept ? promised - kept : 0;
}

static uint64_t spare_locked(void)
{
    int64_t outstanding = outstanding_locked();
    return available > (uint64_t)outstanding ? available - (uint64_t)outstanding : 0;
}

void hugetlb_init(void)
{
    mutex_init(&count_lock, RANK_HUGETLB);
}

void hugetlb_get_stats(struct hugetlb_stats *out)
{
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    *out = (struct hugetlb_stats){
        .total = total,
        .free = available,
        .reserved = (uint64_t)outstanding_locked(),
        .surplus = surplus,
    };
    spin_unlock_irqrestore(&pool_lock, irq);
}

bool hugetlb_available(uint64_t count)
{
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    bool enough = spare_locked() >= count;
    spin_unlock_irqrestore(&pool_lock, irq);
    return enough;
}

void hugetlb_promise(int64_t delta)
{
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    promised += delta;
    ASSERT(promised >= 0);
    spin_unlock_irqrestore(&pool_lock, irq);
}

/* ---- pages in use ----------------------------------------------------------------------- */

static struct page *take(bool promise)
{
    struct page *page = NULL;
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    if (promise ? available > 0 : spare_locked() > 0) {
        page = list_entry(list_pop_front(&pool), struct page, link);
        available--;
        kept += promise;
    }
    spin_unlock_irqrestore(&pool_lock, irq);
    if (!page)
        return NULL;
    ref_init(&page->refs);
    page->private_[0] = promise ? USED_AS_PROMISED : USED_FREELY;
    memory_unpoison(page_virt(page), HUGETLB_SIZE);
    return page;
}

/* From page_put: nobody refers to the page any more. True: the pool keeps it. */
static bool release(struct page *page)
{
    uint64_t was = page->private_[0];
    if (was == LEAVING)
        return false;
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    kept -= was == USED_AS_PROMISED;
    bool keep = surplus == 0 || available < (uint64_t)outstanding_locked();
    if (keep) {
        list_push_front(&pool, &page->link);
        available++;
    } else {
        surplus--;
        total--;
    }
    spin_unlock_irqrestore(&pool_lock, irq);
    return keep;
}

int hugetlb_fault_locked(struct space *space, const struct area *area, vaddr_t va)
{
    vaddr_t region = align_down(va, REGION_SIZE);
    struct page *page = take(!(area->flags & AREA_NORESERVE));
    if (!page)
        return -EIO;
    ASSERT(region >= area->lo && region + REGION_SIZE <= area->hi);
    memset(page_virt(page), 0, HUGETLB_SIZE);
    if (area->prot & PROT_EXEC)
        hal_icache_sync(page_phys(page), HUGETLB_SIZE);
    int err = hal_space_map(&space->hal, region, page_phys(page), HUGETLB_SIZE,
                            area_hal_prot(area->prot));
    if (!err)
        return 0;
    hal_space_unmap(&space->hal, region, HUGETLB_SIZE); /* a part of it may be mapped */
    page_put(page);
    return err;
}

/* ---- the size of the pool --------------------------------------------------------------- */

/* A block for the pool, leaving the machine what it needs to work with; NULL: there is none. */
static struct page *page_for_pool(struct space *space)
{
    uint64_t keep = memory_level_pages(MEMORY_LOW) + (1u << HUGETLB_ORDER);
    for (;;) {
        if (!memory_available(keep))
            return NULL;
        struct page *page = page_alloc(HUGETLB_ORDER, PAGE_HUGETLB, ALLOC_DEFAULT);
        if (page || !space || compact_space(space, COMPACT_ORDER, 1) == 0)
            return page;
    }
}

/* One page more: one that was to leave, or a new one. */
static bool grow(struct space *space)
{
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    bool done = surplus > 0;
    surplus -= done;
    spin_unlock_irqrestore(&pool_lock, irq);
    if (done)
        return true;
    struct page *page = page_for_pool(space);
    if (!page)
        return false;
    irq = spin_lock_irqsave(&pool_lock);
    total++;
    spin_unlock_irqrestore(&pool_lock, irq);
    page->private_[0] = USED_FREELY;
    page_put(page); /* into the pool */
    return true;
}

/* One page less: a free one goes, or one in use shall. */
static void shrink(void)
{
    struct page *page = NULL;
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    if (spare_locked() > 0) {
        page = list_entry(list_pop_front(&pool), struct page, link);
        available--;
        total--;
    } else if (surplus < total) {
        surplus++;
    }
    spin_unlock_irqrestore(&pool_lock, irq);
    if (!page)
        return;
    ref_init(&page->refs);
    page->private_[0] = LEAVING;
    page_put(page);
}

/* Free pages that were only kept for a promise go. */
static void surplus_settle(void)
{
    for (;;) {
        struct page *page = NULL;
        unsigned long irq = spin_lock_irqsave(&pool_lock);
        if (surplus > 0 && spare_locked() > 0) {
            page = list_entry(list_pop_front(&pool), struct page, link);
            available--;
            surplus--;
            total--;
        }
        spin_unlock_irqrestore(&pool_lock, irq);
        if (!page)
            return;
        ref_init(&page->refs);
        page->private_[0] = LEAVING;
        page_put(page);
    }
}

void hugetlb_set_count(struct space *space, uint64_t count)
{
    __atomic_store_n(&page_huge_release, release, __ATOMIC_RELEASE);
    mutex_lock(&count_lock);
    surplus_settle();
    for (;;) {
        struct hugetlb_stats now;
        hugetlb_get_stats(&now);
        uint64_t have = now.total - now.surplus;
        if (have > count)
            shrink();
        else if (have == count || !grow(space))
            break;
    }
    mutex_unlock(&count_lock);
}
