/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugetlb.c - the pool of huge pages. Contract: hugetlb.h.
 *
 * A huge page is one block of the buddy system of type PAGE_HUGETLB, never split: its first page
 * has the reference, the others are PAGE_TAIL. In the pool it has no reference; its mapping has
 * one. Areas with AREA_HUGETLB consist of whole huge pages, so a mapping goes as a whole, too.
 *
 * Promises. Unless MAP_NORESERVE is given, a mapping is only made if every page of it can be had
 * later. `promised` counts the huge pages of such areas and files, in use or not, and `kept` those
 * of them that are in use. What others may take is
 *     free - (promised - kept).
 * So that this never comes out too large, both change together: a promise is made where it is
 * checked, under pool_lock, and when an area or a page of a file goes before its page comes back,
 * the page stops being one that is kept for it (hugetlb_disown) before the promise ends.
 *
 * A private mapping of a file has the file's pages, read-only, where there are such and it has not
 * written, and its own otherwise; which is which the page says (hugetlb_is_file).
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

static bool promise_more(uint64_t count, uint64_t credit)
{
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    bool enough = spare_locked() + credit >= count;
    if (enough)
        promised += (int64_t)count;
    spin_unlock_irqrestore(&pool_lock, irq);
    return enough;
}

/* ---- quotas ----------------------------------------------------------------------------- */

/* `used` changes under pool_lock only; it is atomic for those that read it without. */
static void use_locked(struct vm_quota *quota, int64_t count)
{
    __atomic_store_n(&quota->used, quota->used + (uint64_t)count, __ATOMIC_RELAXED);
}

static bool room_locked(const struct vm_quota *quota, uint64_t count)
{
    uint64_t max = __atomic_load_n(&quota->max, __ATOMIC_RELAXED);
    return quota->used <= max && max - quota->used >= count;
}

bool hugetlb_promise_more(struct vm_quota *quota, uint64_t count)
{
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    uint64_t own = quota ? MIN(quota->spare, count) : 0;
    bool enough = spare_locked() >= count - own && (!quota || room_locked(quota, count));
    if (enough)
        promised += (int64_t)(count - own);
    if (enough && quota) {
        use_locked(quota, (int64_t)count);
        quota->spare -= own;
        quota->held += count;
    }
    spin_unlock_irqrestore(&pool_lock, irq);
    return enough;
}

void hugetlb_promise_less(struct vm_quota *quota, uint64_t count)
{
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    if (quota) {
        use_locked(quota, -(int64_t)count);
        quota->held -= count;
        uint64_t have = quota->spare + quota->held;
        uint64_t own = have < quota->min ? MIN(quota->min - have, count) : 0;
        quota->spare += own;
        count -= own;
    }
    promised -= (int64_t)count;
    ASSERT(promised >= 0);
    spin_unlock_irqrestore(&pool_lock, irq);
}

bool hugetlb_charge(struct vm_quota *quota, bool *own)
{
    *own = false;
    if (!quota)
        return true;
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    bool room = room_locked(quota, 1);
    if (room) {
        use_locked(quota, 1);
        *own = quota->spare > 0;
        quota->spare -= *own;
        quota->held += *own;
    }
    spin_unlock_irqrestore(&pool_lock, irq);
    return room;
}

void hugetlb_uncharge(struct vm_quota *quota)
{
    if (!quota)
        return;
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    use_locked(quota, -1);
    spin_unlock_irqrestore(&pool_lock, irq);
}

int hugetlb_quota_begin(struct vm_quota *quota, uint64_t min)
{
    if (!promise_more(min, 0))
        return -ENOMEM;
    quota->min = quota->spare = min;
    return 0;
}

void hugetlb_quota_end(struct vm_quota *quota)
{
    uint64_t rest = quota->spare;
    quota->min = quota->spare = 0;
    if (rest)
        hugetlb_promise_less(NULL, rest);
}

/* ---- promises --------------------------------------------------------------------------- */

bool hugetlb_disown(struct page *page)
{
    unsigned long irq = spin_lock_irqsave(&pool_lock);
    bool was = page->private_[0] == USED_AS_PROMISED;
    if (was) {
        page->private_[0] = USED_FREELY;
        kept--;
    }
    spin_unlock_irqrestore(&pool_lock, irq);
    return was;
}

/* ---- areas ------------------------------------------------------------------------------ */

static bool of_file(const struct area *area)
{
    return area->object && (area->flags & AREA_SHARED);
}

/* Huge pages that the area itself has been promised: of a shared file's the file has. */
static uint64_t promise_of(const struct area *area)
{
    bool own = (area->flags & AREA_HUGETLB) && !(area->flags & AREA_NORESERVE) && !of_file(area);
    return own ? (area->hi - area->lo) / HUGETLB_SIZE : 0;
}

static uint64_t file_index(const struct area *area, vaddr_t va)
{
    return (area->off + (va - area->lo)) >> HUGETLB_SHIFT;
}

int hugetlb_promise(const struct space *space, const struct area *area)
{
    uint64_t credit = 0;
    if (area->flags & AREA_NORESERVE)
        return 0;
    if (of_file(area))
        return hugeobj_promise(area->object, file_index(area, area->lo),
                               file_index(area, area->hi));
    for (const struct area *a = area_above(space, area->lo); a && a->lo < area->hi;
         a = area_next(a))
        if (promise_of(a)) /* not cut, for that is refused */
            credit += (MIN(a->hi, area->hi) - MAX(a->lo, area->lo)) / HUGETLB_SIZE;
    return promise_more(promise_of(area), credit) ? 0 : -ENOMEM;
}

void hugetlb_area_leaves(struct space *space, const struct area *area)
{
    uint64_t count = promise_of(area);
    paddr_t pa;
    for (vaddr_t va = area->lo; count && va < area->hi; va += HUGETLB_SIZE)
        if (hal_space_query(&space->hal, va, &pa, NULL) && !hugetlb_is_file(page_of_phys(pa)))
            (void)hugetlb_disown(page_of_phys(pa));
    hugetlb_promise_less(NULL, count);
}

/* ---- pages in use ----------------------------------------------------------------------- */

struct page *hugetlb_take(bool promise)
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
    page->private_[1] = false; /* hugetlb_is_file */
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

/* Map the page, whose reference the mapping takes over, in place of whatever is there. */
static int map_locked(struct space *space, const struct area *area, vaddr_t region,
                      struct page *page, unsigned prot)
{
    if (area->prot & PROT_EXEC)
        hal_icache_sync(page_phys(page), HUGETLB_SIZE);
    int err = hal_space_map(&space->hal, region, page_phys(page), HUGETLB_SIZE, prot);
    if (!err)
        return 0;
    hal_space_unmap(&space->hal, region, HUGETLB_SIZE); /* a part of it may be mapped */
    page_put(page);
    return err;
}

/* A page of the area's own: a copy of `from`, or zeroes. */
static int map_own_locked(struct space *space, const struct area *area, vaddr_t region,
                          const struct page *from)
{
    struct page *page = hugetlb_take(!(area->flags & AREA_NORESERVE));
    if (!page)
        return -EIO;
    ASSERT(region >= area->lo && region + REGION_SIZE <= area->hi);
    if (from)
        memcpy(page_virt(page), page_virt(from), HUGETLB_SIZE);
    else
        memset(page_virt(page), 0, HUGETLB_SIZE);
    return map_locked(space, area, region, page, area_hal_prot(area->prot));
}

/* There is a page, which does not allow what is wanted, or another thread was faster. */
static int mend_locked(struct space *space, const struct area *area, vaddr_t region,
                       struct page *page, bool write)
{
    unsigned full = area_hal_prot(area->prot);
    bool borrowed = hugetlb_is_file(page) && !(area->flags & AREA_SHARED);
    if (!borrowed || !write) {
        hal_space_protect(&space->hal, region, HUGETLB_SIZE,
                          borrowed ? full & ~(unsigned)HAL_PROT_WRITE : full);
        return 0;
    }
    int err = map_own_locked(space, area, region, page);
    if (err != -EIO) /* else nothing has changed */
        page_put(page);
    return err;
}

int hugetlb_fault(struct space *space, const struct area *area, vaddr_t va, bool write)
{
    vaddr_t region = align_down(va, REGION_SIZE);
    bool shared = area->flags & AREA_SHARED;
    unsigned prot = area_hal_prot(area->prot);
    struct page *file = NULL;
    paddr_t pa;
    int err = 0;
    if (area->object)
        err = hugeobj_page(area->object, file_index(area, region), shared, &file);
    if (err)
        return err;
    mutex_lock(space_fault_lock(space, va));
    if (hal_space_query(&space->hal, region, &pa, NULL)) {
        err = mend_locked(space, area, region, page_of_phys(pa), write);
    } else if (file && (shared || !write)) {
        err =
            map_locked(space, area, region, file, shared ? prot : prot & ~(unsigned)HAL_PROT_WRITE);
        file = NULL;
    } else {
        err = map_own_locked(space, area, region, file);
    }
    mutex_unlock(space_fault_lock(space, va));
    if (file)
        page_put(file);
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
