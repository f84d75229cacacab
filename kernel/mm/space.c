/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.c - address spaces: life, limits, removal of pages, brk, and the walk for /proc.
 * Areas are in area.c, mmap and its relatives in map.c, remap.c and advise.c, faults in fault.c.
 *
 * Removing pages (space_zap_locked): a page may be freed only after no CPU can reach it, that is
 * after hal_space_unmap has returned. So pages are collected, then unmapped in one call, then
 * put. Pages that belong to this mapping alone are chained through their struct page and need no
 * memory; of others (page cache, shared) a fixed number is collected per round.
 */
#include "mm/space.h"

#include "lib/errno.h"
#include "lib/string.h"
#include "mm/area.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"

/* ---- life ---------------------------------------------------------------------------------------
 */

struct space *space_create(void)
{
    struct space *space = kzalloc(sizeof *space);
    if (!space)
        return NULL;
    if (hal_space_create(&space->hal)) {
        kfree(space);
        return NULL;
    }
    ref_init(&space->refs);
    rwlock_init(&space->lock, RANK_SPACE);
    for (unsigned i = 0; i < SPACE_FAULT_LOCKS; i++)
        mutex_init(&space->fault_lock[i].mutex, RANK_FAULT);
    rwlock_set_slots(&space->lock, space->slots, SPACE_SLOTS);
    area_tree_init(space);
    const struct hal_layout *layout = hal_layout();
    space->mmap_top = layout->user[layout->user_count - 1].hi;
    space->stack_limit = 8ull << 20; /* Linux's default RLIMIT_STACK */
    space->as_limit = space->data_limit = space->lock_limit = UINT64_MAX;
    return space;
}

uint64_t space_resident(struct space *space)
{
    uint64_t sum = 0; /* modulo 2^64: a page may be counted by one CPU and discounted by another */
    for (unsigned i = 0; i < SPACE_SLOTS; i++)
        sum += __atomic_load_n(&space->counts[i].resident, __ATOMIC_RELAXED);
    return (int64_t)sum < 0 ? 0 : sum;
}

uint64_t space_resident_peak(struct space *space)
{
    uint64_t now = space_resident(space);
    uint64_t peak = __atomic_load_n(&space->resident_peak, __ATOMIC_RELAXED);
    while (now > peak)
        if (__atomic_compare_exchange_n(&space->resident_peak, &peak, now, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return now;
    return peak;
}

uint64_t space_mapped_peak(const struct space *space)
{
    return __atomic_load_n(&space->mapped_peak, __ATOMIC_RELAXED);
}

void space_get(struct space *space)
{
    ref_get(&space->refs);
}

void space_clear(struct space *space)
{
    struct change c;
    if (change_begin(&c, space, 0))
        return; /* cannot be: no spare was asked for */
    space_zap_locked(space, 0, hal_layout()->user_end);
    struct area *area;
    while ((area = area_of(space->areas.root)))
        area_leave(&c, area);
    space->brk_start = space->brk = 0;
    ASSERT(space->pages_mapped == 0 && space->area_count == 0);
    change_end(&c);
}

void space_put(struct space *space)
{
    if (!ref_put(&space->refs))
        return;
    space_clear(space);
    hal_space_destroy(&space->hal);
    kfree(space);
}

/* ---- ranges and limits ------------------------------------------------------------------ */

bool space_range_ok(vaddr_t addr, size_t len)
{
    const struct hal_layout *layout = hal_layout();
    for (unsigned i = 0; i < layout->user_count; i++) {
        const struct hal_user_window *w = &layout->user[i];
        if (addr >= w->lo && addr <= w->hi && len <= w->hi - addr)
            return true;
    }
    return false;
}

static size_t area_limit = AREA_COUNT_MAX; /* relaxed atomic: a number that orders nothing */

size_t space_area_limit(void)
{
    return __atomic_load_n(&area_limit, __ATOMIC_RELAXED);
}

void space_set_area_limit(size_t count)
{
    __atomic_store_n(&area_limit, count, __ATOMIC_RELAXED);
}

bool space_find_place(const struct space *space, vaddr_t lo, vaddr_t hi, size_t len, vaddr_t *out)
{
    const struct hal_layout *layout = hal_layout();
    if (lo == 0 && hi == 0) {
        hi = layout->user_end;
        const struct hal_user_window *last = &layout->user[layout->user_count - 1];
        if (space->mmap_top > last->lo &&
            area_find_gap(space, last->lo, MIN(space->mmap_top, last->hi), len, out))
            return true;
    }
    for (unsigned i = layout->user_count; i-- > 0;) {
        vaddr_t from = MAX(lo, layout->user[i].lo), to = MIN(hi, layout->user[i].hi);
        if (from < to && area_find_gap(space, from, to, len, out))
            return true;
    }
    return false;
}

static bool over(uint64_t pages, uint64_t more, uint64_t limit_bytes)
{
    uint64_t sum;
    return add_overflow(pages, more, &sum) || sum > limit_bytes >> PAGE_SHIFT;
}

int space_check_limits(const struct space *space, uint64_t pages, uint64_t data)
{
    if (over(space->pages_mapped, pages, __atomic_load_n(&space->as_limit, __ATOMIC_RELAXED)))
        return -ENOMEM;
    if (data &&
        over(space->pages_data, data, __atomic_load_n(&space->data_limit, __ATOMIC_RELAXED)))
        return -ENOMEM;
    return 0;
}

bool space_has_special_locked(const struct space *space, vaddr_t lo, vaddr_t hi)
{
    for (struct area *a = area_above(space, lo); a && a->lo < hi; a = area_next(a))
        if (a->flags & AREA_SPECIAL)
            return true;
    return false;
}

int space_check_removal(const struct space *space, vaddr_t lo, vaddr_t hi)
{
    const struct area *area = area_at(space, lo);
    if (space_has_special_locked(space, lo, hi))
        return -EPERM;
    /* As Linux: only a hole inside one area makes more of them than there were. */
    bool hole = area && area->lo < lo && hi < area->hi;
    if (area_cuts_huge(space, lo) || area_cuts_huge(space, hi))
        return -EINVAL;
    return hole && space->area_count >= space_area_limit() ? -ENOMEM : 0;
}

int space_check_locked(const struct space *space, uint32_t flags, uint64_t pages)
{
    uint64_t limit = __atomic_load_n(&space->lock_limit, __ATOMIC_RELAXED);
    return (flags & AREA_LOCKED) && over(space->pages_locked, pages, limit) ? -EAGAIN : 0;
}

/* ---- removing pages --------------------------------------------------------------------- */

#define ZAP_SHARED 64
struct zap {
    struct space *space;
    struct list own;                 /* pages of nobody else, chained */
    struct page *shared[ZAP_SHARED]; /* the others */
    unsigned shared_count;
    uint64_t count;    /* 0: nothing to unmap */
    uint64_t resident; /* of them: not huge pages */
    vaddr_t lo, hi;    /* unmap this much */
};

/* What has been collected is unmapped: drop the pages. */
static void zap_drop(struct zap *z)
{
    if (z->resident)
        (void)space_resident_peak(z->space);
    __atomic_sub_fetch(&space_count(z->space)->resident, z->resident, __ATOMIC_RELAXED);
    page_put_list(&z->own);
    while (z->shared_count > 0)
        page_put(z->shared[--z->shared_count]);
    z->count = z->resident = 0;
}

static void zap_flush(struct zap *z)
{
    if (z->count == 0)
        return;
    hal_space_unmap(&z->space->hal, z->lo, z->hi - z->lo);
    zap_drop(z);
}

/* Returns how much is mapped by this page: a huge one counts as a whole, its tails not at all. */
static vaddr_t zap_page(struct zap *z, vaddr_t va, struct page *page)
{
    bool huge = page->type == PAGE_HUGETLB;
    vaddr_t size = huge ? HUGETLB_SIZE : PAGE_SIZE;
    if (z->count++ == 0)
        z->lo = va;
    z->resident += !huge;
    z->hi = va + size;
    /* One reference, and it is this mapping's: nobody else can come to the page. */
    if (page->type == PAGE_ANON && ref_read(&page->refs) == 1)
        list_push_back(&z->own, &page->link);
    else
        z->shared[z->shared_count++] = page;
    if (z->shared_count == ZAP_SHARED)
        zap_flush(z);
    return size;
}

void space_zap_locked(struct space *space, vaddr_t lo, vaddr_t hi)
{
    struct zap z = {.space = space};
    list_init(&z.own);
    paddr_t pa;
    for (vaddr_t va = lo; (va = hal_space_next(&space->hal, va, hi)) < hi;)
        va += hal_space_query(&space->hal, va, &pa, NULL) ? zap_page(&z, va, page_of_phys(pa))
                                                          : PAGE_SIZE;
    /* With whole regions go the tables of pages that went before; at the edges, which are walked
     * entry by entry, only what was found. */
    vaddr_t from = align_up(lo, REGION_SIZE), to = align_down(hi, REGION_SIZE);
    if (z.count > 0) {
        from = from < to ? MIN(from, z.lo) : z.lo;
        to = MAX(to, z.hi);
    }
    if (from < to)
        hal_space_unmap(&space->hal, from, to - from);
    zap_drop(&z);
}

/* Zap the object's own pages in [lo, hi) of the area, not private copies of them. */
static void zap_file_pages(struct space *space, const struct area *area, vaddr_t lo, vaddr_t hi)
{
    struct zap z = {.space = space};
    list_init(&z.own);
    paddr_t pa;
    for (vaddr_t va = lo; (va = hal_space_next(&space->hal, va, hi)) < hi;) {
        struct page *page = hal_space_query(&space->hal, va, &pa, NULL) ? page_of_phys(pa) : NULL;
        if (page && (page->type == PAGE_HUGETLB
                         ? hugetlb_is_file(page)
                         : page->type == PAGE_FILE && page->object == area->object)) {
            va += zap_page(&z, va, page);
        } else {
            zap_flush(&z); /* a run ends: what lies between is not to be unmapped */
            va += page && page->type == PAGE_HUGETLB ? HUGETLB_SIZE : PAGE_SIZE;
        }
    }
    zap_flush(&z);
}

void space_unmap_clean_locked(struct space *space, struct vm_object *object)
{
    for (struct area *a = area_of(rb_first(&space->areas)); a; a = area_next(a))
        if (a->object == object && !(a->flags & (AREA_LOCKED | AREA_SPECIAL)))
            zap_file_pages(space, a, a->lo, a->hi);
}

void space_remove_areas_locked(struct change *c, vaddr_t lo, vaddr_t hi)
{
    area_isolate(c, lo, hi);
    struct area *area = area_above(c->space, lo);
    while (area && area->lo < hi) {
        struct area *next = area_next(area);
        area_leave(c, area);
        area = next;
    }
}

void space_remove_locked(struct change *c, vaddr_t lo, vaddr_t hi)
{
    space_remove_areas_locked(c, lo, hi);
    if (lo == hi)
        return;
    area_widen(c->space, &lo, &hi);
    space_zap_locked(c->space, lo, hi);
}

void space_unmap_object_locked(struct space *space, struct vm_object *object, uint64_t off,
                               uint64_t len, bool copies)
{
    uint64_t end = off + len < off ? UINT64_MAX : off + len;
    for (struct area *a = area_of(rb_first(&space->areas)); a; a = area_next(a)) {
        uint64_t first = MAX(a->off, off), last = MIN(a->off + (a->hi - a->lo), end);
        if (a->object != object || first >= last)
            continue;
        vaddr_t lo = a->lo + (first - a->off), hi = a->lo + (last - a->off);
        if (copies)
            space_zap_locked(space, lo, hi);
        else
            zap_file_pages(space, a, lo, hi);
    }
}

int space_detach(struct space *space, vaddr_t base, const struct vm_object_ops *kind)
{
    struct vm_object *object = NULL;
    struct change c;
    int err = change_begin(&c, space, 0);
    if (err)
        return err;
    struct area *next;
    for (struct area *a = area_above(space, base); a; a = next) {
        next = area_next(a);
        if (!a->object || a->object->ops != kind || a->lo - a->off != base ||
            (object && a->object != object))
            continue;
        object = a->object; /* the first one found; compared only, from here on */
        vaddr_t lo = a->lo, hi = a->hi;
        area_leave(&c, a);
        area_widen(space, &lo, &hi);
        space_zap_locked(space, lo, hi);
    }
    change_end(&c);
    return object ? 0 : -EINVAL;
}

/* ---- brk -------------------------------------------------------------------------------- */

void space_set_brk(struct space *space, vaddr_t start)
{
    rwlock_write_lock(&space->lock);
    space->brk_start = space->brk = start;
    rwlock_write_unlock(&space->lock);
}

/* Extend the heap from the page-aligned old end to the new one. */
static int brk_grow_locked(struct change *c, vaddr_t old_end, vaddr_t new_end)
{
    struct space *space = c->space;
    uint64_t pages = (new_end - old_end) >> PAGE_SHIFT;
    if (!space_range_ok(old_end, new_end - old_end))
        return -ENOMEM;
    /* One page of distance to what is above, as Linux; a stack keeps its guard gap. */
    const struct area *above = area_above(space, old_end);
    if (above && above->lo < new_end + (area_is_stack(above) ? STACK_GUARD_GAP : PAGE_SIZE))
        return -ENOMEM;
    int err = space_check_limits(space, pages, pages);
    if (!err)
        err = space_check_locked(space, space->future_flags, pages);
    if (err)
        return err;
    if (pages > page_total_count() || space->area_count > space_area_limit())
        return -ENOMEM;
    struct area *heap = change_take(c);
    heap->flags = space->future_flags;
    heap->lo = old_end;
    heap->hi = new_end;
    heap->prot = PROT_READ | PROT_WRITE;
    strlcpy(heap->name, "[heap]", sizeof heap->name);
    area_insert(space, heap);
    area_merge(c, heap);
    return 0;
}

vaddr_t space_brk(struct space *space, vaddr_t want)
{
    struct change c;
    if (change_begin(&c, space, 2))
        return __atomic_load_n(&space->brk, __ATOMIC_RELAXED);
    vaddr_t result = space->brk, grown = 0;
    bool locked = false;
    vaddr_t end = want + PAGE_SIZE - 1, new_end, old_end = 0;
    if (want < space->brk_start || end < want)
        goto out;
    new_end = align_down(end, PAGE_SIZE);
    old_end = align_up(space->brk, PAGE_SIZE);
    if (new_end < old_end && space_check_removal(space, new_end, old_end))
        goto out;
    if (new_end < old_end)
        space_remove_locked(&c, new_end, old_end);
    else if (new_end > old_end && brk_grow_locked(&c, old_end, new_end))
        goto out;
    grown = new_end > old_end ? new_end - old_end : 0;
    locked = space->future_flags & AREA_LOCKED;
    __atomic_store_n(&space->brk, want, __ATOMIC_RELAXED);
    result = want;
out:
    change_end(&c);
    /* As Linux, a heap that could not be filled has grown all the same. */
    if (grown && locked)
        (void)!space_populate(space, old_end, grown, POPULATE_LOCK);
    else if (grown)
        space_heap_grown(space, old_end);
    return result;
}

/* ---- /proc ------------------------------------------------------------------------------ */

/* Is there a large page at va, and all of it below end? */
static bool large_at(struct space *space, vaddr_t va, vaddr_t end)
{
    unsigned prot;
    return is_aligned(va, REGION_SIZE) && end - va >= REGION_SIZE &&
           hal_space_query(&space->hal, va, NULL, &prot) && (prot & HAL_PTE_LARGE);
}

static void count_resident_locked(struct space *space, struct area_info *info)
{
    uint64_t pages = 0, large = 0;
    for (vaddr_t va = info->lo, size; (va = hal_space_next(&space->hal, va, info->hi)) < info->hi;
         va += size) {
        size = large_at(space, va, info->hi) ? REGION_SIZE : PAGE_SIZE;
        pages += size >> PAGE_SHIFT;
        large += size > PAGE_SIZE ? size >> PAGE_SHIFT : 0;
    }
    if (info->flags & AREA_HUGETLB) {
        info->hugetlb = pages;
    } else {
        info->resident = pages;
        info->large = large;
    }
}

uint64_t space_large(struct space *space)
{
    uint64_t pages = 0;
    rwlock_read_lock(&space->lock);
    for (struct area *a = area_of(rb_first(&space->areas)); a; a = area_next(a)) {
        vaddr_t va = a->flags & AREA_HUGETLB ? a->hi : a->lo;
        while ((va = hal_space_next(&space->hal, va, a->hi)) < a->hi) {
            pages += large_at(space, va, a->hi) ? REGION_SIZE >> PAGE_SHIFT : 0;
            va = align_down(va, REGION_SIZE) + REGION_SIZE;
        }
    }
    rwlock_read_unlock(&space->lock);
    return pages;
}

int space_walk(struct space *space, int (*fn)(const struct area_info *info, void *arg), void *arg)
{
    int result = 0;
    rwlock_read_lock(&space->lock);
    for (struct area *a = area_of(rb_first(&space->areas)); a && result == 0; a = area_next(a)) {
        struct area_info info = {
            .lo = a->lo,
            .hi = a->hi,
            .prot = a->prot,
            .flags = a->flags,
            .object = a->object,
            .off = a->off,
        };
        count_resident_locked(space, &info);
        memcpy(info.name, a->name, sizeof info.name);
        result = fn(&info, arg);
    }
    rwlock_read_unlock(&space->lock);
    return result;
}
