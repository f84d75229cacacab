/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.c - page faults: demand paging, copy on write, stack growth; and what else needs a page to
 * be present (populate, changing code).
 *
 * A fault holds the space's lock for reading (by its CPU's slot: no line of memory is written by
 * faults of two CPUs unless they meet within 2 MiB), so areas stand still; two faults may meet at
 * one page, so the page table is looked at and changed under the fault lock of its 2 MiB
 * (space_fault_lock). No step goes over such a border. File pages are fetched before that lock is
 * taken, for that may have to read them.
 *
 * Fault-around. One mapping call costs much more than one page (hosted: a system call), so a fault
 * maps its neighbours, too: of an anonymous area the aligned, physically contiguous block, 16 pages
 * at first, twice as many each time the next fault comes at most 16 pages behind (or, in a stack,
 * below) the last one, up to 2 MiB or 1/64 of the free memory; of a file up to 16 pages (64 when
 * sequential, without a gap). What does not fit, at the end of the area or beside pages that are
 * there, is cut off. MADV_RANDOM turns it off. A heap that is used so is mapped where it grows
 * (space_heap_grown).
 *
 * Large pages. A block of 2 MiB that is mapped at once is one entry of the page table (hal.h); each
 * of its pages has its own reference all the same, so nothing but the page table needs to
 * know when it is split. Areas with MADV_HUGEPAGE get one at the first touch of a region while
 * memory is plenty, others when sequential faults have grown to it.
 *
 * Which PTEs may be writable in a private area: only those of anonymous pages with one reference
 * (space.h). Shared areas map the object's pages with the area's rights at once.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/area.h"
#include "mm/compact.h"
#include "mm/hugetlb.h"

#define AROUND_FIRST 16u
#define AROUND_ANON_MAX 512u
#define AROUND_FILE_MAX 64u

struct fault {
    struct space *space;
    struct area *area;
    vaddr_t va; /* page */
    bool write, exec;
};

static void count_mapped(struct space *space, uint64_t pages)
{
    __atomic_add_fetch(&space_count(space)->resident, pages, __ATOMIC_RELAXED);
}

/* Make instructions in a page visible to execution, once per content. */
static void sync_exec(const struct area *area, struct page *page)
{
    if (!(area->prot & PROT_EXEC))
        return;
    /* Acquire/release: who sees the flag may execute without another flush. */
    if (__atomic_load_n(&page->flags, __ATOMIC_ACQUIRE) & PAGE_FLAG_ICACHE)
        return;
    hal_icache_sync(page_phys(page), PAGE_SIZE);
    __atomic_fetch_or(&page->flags, PAGE_FLAG_ICACHE, __ATOMIC_RELEASE);
}

/* ---- how much --------------------------------------------------------------------------- */

/* Does the fault come just behind the last one? Neighbours in memory that a program fills with gaps
 * will mostly be wanted, too; those of a file would have to be read. Relaxed atomics here and
 * below: any mixture of values of racing faults is as good a hint as any other. */
static bool window_follows(const struct fault *f)
{
    vaddr_t next = __atomic_load_n(&f->area->fault_next, __ATOMIC_RELAXED);
    vaddr_t gap = area_is_stack(f->area) ? next - f->va : f->va - next;
    return gap <= (f->area->object ? 0 : AROUND_FIRST * PAGE_SIZE);
}

/* Pages to map for this fault. */
static size_t window_choose(const struct fault *f, size_t max)
{
    struct area *area = f->area;
    if (area->flags & AREA_RANDOM)
        return 1;
    size_t last = __atomic_load_n(&area->fault_pages, __ATOMIC_RELAXED);
    size_t pages = window_follows(f) ? MAX(last * 2, (size_t)AROUND_FIRST) : AROUND_FIRST;
    size_t share = page_free_count() / 64; /* when memory is short, take little */
    if ((area->flags & AREA_NOHUGE) && hal_layout()->large_pages)
        max = MIN(max, (size_t)AROUND_ANON_MAX / 2);
    return MAX(MIN(MIN(pages, max), share), (size_t)1);
}

/* `pages`: what was mapped, or would have been if there had been room. */
static void window_remember(const struct fault *f, vaddr_t lo, vaddr_t hi, size_t pages)
{
    /* A stack is touched downwards: its next fault is on the page below. */
    vaddr_t next = area_is_stack(f->area) ? lo - PAGE_SIZE : hi;
    __atomic_store_n(&f->area->fault_next, next, __ATOMIC_RELAXED);
    __atomic_store_n(&f->area->fault_pages, (uint32_t)pages, __ATOMIC_RELAXED);
}

/* The unmapped run around f->va: inside the aligned block of at most `pages` (in a stack, as many
 * below), the area and the region. The fault lock is held or the result is a hint. */
static void window_place(const struct fault *f, size_t pages, vaddr_t *lo, vaddr_t *hi)
{
    const struct area *area = f->area;
    struct hal_space *hal = &f->space->hal;
    vaddr_t region = align_down(f->va, REGION_SIZE);
    vaddr_t size = PAGE_SIZE << (63 - (unsigned)__builtin_clzl(pages));
    vaddr_t from = align_down(f->va, size), to = from + size;
    if (area_is_stack(area) && pages > AROUND_FIRST) {
        to = f->va + PAGE_SIZE;
        from = to - MIN(size, to - region);
    }
    from = MAX(from, area->lo);
    to = MIN(to, area->hi);
    *hi = hal_space_next(hal, f->va + PAGE_SIZE, to);
    *lo = f->va;
    if (from < f->va && hal_space_next(hal, from, f->va) == f->va)
        *lo = from;
    while (*lo > from && !hal_space_query(hal, *lo - PAGE_SIZE, NULL, NULL))
        *lo -= PAGE_SIZE;
}

/* MADV_HUGEPAGE: the whole region, if all of it is the area's and nothing is there yet. A stack,
 * and memory that is short, get no large pages. */
static bool window_huge(const struct fault *f, vaddr_t *lo, vaddr_t *hi)
{
    const struct area *area = f->area;
    vaddr_t region = align_down(f->va, REGION_SIZE), end = region + REGION_SIZE;
    if (!(area->flags & AREA_HUGE) || area_is_stack(area) || region < area->lo || end > area->hi ||
        page_free_count() / 8 < AROUND_ANON_MAX ||
        hal_space_next(&f->space->hal, region, end) < end)
        return false;
    *lo = region;
    *hi = end;
    return true;
}

/* ---- anonymous memory ------------------------------------------------------------------- */

/* A block of 2^n <= max pages for the window, as large as there is. */
static struct page *block_alloc(size_t max, unsigned *order)
{
    *order = 63 - (unsigned)__builtin_clzl(max);
    for (;;) {
        struct page *page = page_alloc(*order, PAGE_ANON, ALLOC_ZERO);
        if (page || *order == 0)
            return page;
        compact_note_failure();
        --*order;
    }
}

static int fault_anon_locked(const struct fault *f)
{
    vaddr_t lo, hi;
    unsigned order;
    size_t want = window_choose(f, AROUND_ANON_MAX);
    if (!window_huge(f, &lo, &hi))
        window_place(f, want, &lo, &hi);
    size_t room = (hi - lo) >> PAGE_SHIFT;
    struct page *block = block_alloc(room, &order);
    if (!block)
        return -ENOMEM;
    bool shrunk = room >> order > 1; /* there was no block as large as the room */
    /* Cut the window to the block's size so that f->va stays inside. */
    size_t size = PAGE_SIZE << order;
    if (area_is_stack(f->area) && f->va + PAGE_SIZE == hi)
        lo = hi - size;
    else
        lo += (f->va - lo) / size * size;
    if (lo + size > hi)
        lo = hi - size;
    page_split(block);
    int err =
        hal_space_map(&f->space->hal, lo, page_phys(block), size, area_hal_prot(f->area->prot));
    if (err) {
        /* Part of it may be mapped; before, nothing was. */
        hal_space_unmap(&f->space->hal, lo, size);
        for (size_t i = 0; i < (size_t)1 << order; i++)
            page_put(block + i);
        return err;
    }
    count_mapped(f->space, (uint64_t)1 << order);
    window_remember(f, lo, lo + size, shrunk ? size >> PAGE_SHIFT : MAX(want, size >> PAGE_SHIFT));
    return 0;
}

/* ---- copy on write ---------------------------------------------------------------------- */

/* Map one page, replacing what is there. On failure the old page may stay or not (hal.h); then the
 * page table tells. */
static int map_one(struct space *space, vaddr_t va, const struct page *page, unsigned prot)
{
    paddr_t now;
    int err = hal_space_map(&space->hal, va, page_phys(page), PAGE_SIZE, prot);
    if (err && hal_space_query(&space->hal, va, &now, NULL) && now == page_phys(page))
        return 0;
    return err;
}

/* Put a private copy of `from` (NULL: zeroes) at va. */
static int copy_to(const struct fault *f, struct page *from, struct page **out)
{
    struct page *copy = page_alloc(0, PAGE_ANON, from ? 0 : ALLOC_ZERO);
    if (!copy)
        return -ENOMEM;
    if (from)
        memcpy(page_virt(copy), page_virt(from), PAGE_SIZE);
    sync_exec(f->area, copy);
    int err = map_one(f->space, f->va, copy, area_hal_prot(f->area->prot));
    if (err) {
        page_put(copy);
        return err;
    }
    *out = copy;
    return 0;
}

/* The page at va is mapped read-only in a private area: make it this space's own. */
static int own_mapped_locked(const struct fault *f, struct page *page, struct page **out)
{
    *out = page;
    if (page->type == PAGE_ANON && ref_read(&page->refs) == 1) {
        hal_space_protect(&f->space->hal, f->va, PAGE_SIZE, area_hal_prot(f->area->prot));
        return 0;
    }
    int err = copy_to(f, page, out);
    if (!err)
        page_put(page); /* the reference of the mapping that was replaced */
    return err;
}

/* ---- mapped already? -------------------------------------------------------------------- */

/* True if the page is present; then *err is the result of the fault. Fault lock held. */
static bool fault_present_locked(const struct fault *f, int *err)
{
    paddr_t pa;
    unsigned prot;
    if (!hal_space_query(&f->space->hal, f->va, &pa, &prot))
        return false;
    *err = 0;
    struct page *page = page_of_phys(pa);
    unsigned full = area_hal_prot(f->area->prot);
    unsigned need = f->write ? HAL_PROT_WRITE : f->exec ? HAL_PROT_EXEC : HAL_PROT_READ;
    if (prot & need)
        return true; /* another thread has mended it between our fault and the lock */
    if (f->write && !(f->area->flags & AREA_SHARED))
        *err = own_mapped_locked(f, page, &page);
    else
        hal_space_protect(&f->space->hal, f->va, PAGE_SIZE,
                          f->area->flags & AREA_SHARED ? full : full & ~(unsigned)HAL_PROT_WRITE);
    return true;
}

/* ---- files ------------------------------------------------------------------------------ */

static void put_pages(struct page **pages, size_t count)
{
    while (count > 0)
        page_put(pages[--count]);
}

/* Fetch pages for [lo, hi) around f->va: at least the faulting one. Returns their number, or a
 * negative errno; *lo is moved to the first one. */
static long fetch_pages(const struct fault *f, vaddr_t *lo, vaddr_t hi, struct page **pages)
{
    const struct area *area = f->area;
    size_t count = (hi - *lo) >> PAGE_SHIFT, before = (f->va - *lo) >> PAGE_SHIFT;
    size_t got = vm_object_pages(area->object, area_index(area, *lo), count, pages);
    if (got > before)
        return (long)got;
    /* A neighbour could not be had: that is no reason to fail. */
    put_pages(pages, got);
    *lo = f->va;
    int err = vm_object_page(area->object, area_index(area, f->va), true, &pages[0]);
    return err ? err : 1;
}

/* Map pages that are fetched; takes over the references of those mapped, puts the others. */
static int map_file_locked(const struct fault *f, vaddr_t lo, struct page **pages, size_t count)
{
    paddr_t frames[AROUND_FILE_MAX];
    struct hal_space *hal = &f->space->hal;
    bool shared = f->area->flags & AREA_SHARED;
    unsigned prot = area_hal_prot(f->area->prot);
    size_t first = 0, last = count;
    if (hal_space_next(hal, lo, lo + count * PAGE_SIZE) < lo + count * PAGE_SIZE) {
        first = (f->va - lo) >> PAGE_SHIFT; /* others were here meanwhile: only the page itself */
        last = first + 1;
    }
    for (size_t i = first; i < last; i++) {
        frames[i] = page_phys(pages[i]);
        sync_exec(f->area, pages[i]);
        if (shared && (prot & HAL_PROT_WRITE))
            __atomic_fetch_or(&pages[i]->flags, PAGE_FLAG_DIRTY, __ATOMIC_RELAXED);
    }
    vaddr_t at = lo + first * PAGE_SIZE;
    int err = hal_space_map_pages(hal, at, frames + first, last - first,
                                  shared ? prot : prot & ~(unsigned)HAL_PROT_WRITE);
    if (err) {
        hal_space_unmap(hal, at, (last - first) * PAGE_SIZE);
        put_pages(pages, count);
        return err;
    }
    put_pages(pages, first);
    put_pages(pages + last, count - last);
    count_mapped(f->space, last - first);
    window_remember(f, at, lo + last * PAGE_SIZE, last - first);
    return 0;
}

/* Read fault, or any fault of a shared mapping. */
static int fault_file(const struct fault *f)
{
    struct page *pages[AROUND_FILE_MAX];
    vaddr_t lo, hi;
    int err = 0;
    window_place(f, window_choose(f, AROUND_FILE_MAX), &lo, &hi);
    long count = fetch_pages(f, &lo, hi, pages);
    if (count < 0)
        return (int)count;
    mutex_lock(space_fault_lock(f->space, f->va));
    if (fault_present_locked(f, &err))
        put_pages(pages, (size_t)count);
    else
        err = map_file_locked(f, lo, pages, (size_t)count);
    mutex_unlock(space_fault_lock(f->space, f->va));
    return err;
}

/* Write fault in a private file mapping: copy the file's page. */
static int fault_file_copy(const struct fault *f)
{
    struct page *page, *copy;
    int err = vm_object_page(f->area->object, area_index(f->area, f->va), true, &page);
    if (err)
        return err;
    mutex_lock(space_fault_lock(f->space, f->va));
    if (!fault_present_locked(f, &err)) {
        err = copy_to(f, page, &copy);
        if (!err)
            count_mapped(f->space, 1);
    }
    mutex_unlock(space_fault_lock(f->space, f->va));
    page_put(page);
    return err;
}

/* ---- the fault -------------------------------------------------------------------------- */

static int fault_mend(const struct fault *f)
{
    int err;
    if (f->area->flags & AREA_HUGETLB)
        return hugetlb_fault(f->space, f->area, f->va, f->write);
    mutex_lock(space_fault_lock(f->space, f->va));
    bool done = fault_present_locked(f, &err);
    if (!done && !f->area->object) {
        err = fault_anon_locked(f);
        done = true;
    }
    mutex_unlock(space_fault_lock(f->space, f->va));
    if (done)
        return err;
    if (f->write && !(f->area->flags & AREA_SHARED))
        return fault_file_copy(f);
    return fault_file(f);
}

static bool access_allowed(const struct area *area, enum hal_access access)
{
    switch (access) {
    case HAL_ACCESS_WRITE:
        return area->prot & PROT_WRITE;
    case HAL_ACCESS_EXEC:
        return area->prot & PROT_EXEC;
    default: /* any right implies reading (area_hal_prot) */
        return area->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
    }
}

/* May the growing area `stack` reach down to va? */
static bool stack_may_grow(const struct space *space, const struct area *stack, vaddr_t va)
{
    const struct area *below = area_prev(stack);
    if (!space_range_ok(va, stack->hi - va) ||
        stack->hi - va > __atomic_load_n(&space->stack_limit, __ATOMIC_RELAXED))
        return false;
    /* Linux: an accessible neighbour that is not itself a stack keeps the guard gap free. */
    if (below && !area_is_stack(below) && below->prot != PROT_NONE &&
        va - below->hi < STACK_GUARD_GAP)
        return false;
    uint64_t more = (stack->lo - va) >> PAGE_SHIFT;
    return space_check_limits(space, more, 0) == 0 &&
           space_check_locked(space, stack->flags, more) == 0;
}

/* va is in no area: extend the stack above it. 0: look again. */
static int stack_grow(struct space *space, vaddr_t va)
{
    int err = -EFAULT;
    rwlock_write_lock(&space->lock);
    struct area *area = area_above(space, va);
    if (area && area->lo <= va) {
        err = 0; /* another thread was faster */
    } else if (area && area_is_stack(area) && stack_may_grow(space, area, va)) {
        area_resize(space, area, va, area->hi);
        err = 0;
    }
    rwlock_write_unlock(&space->lock);
    return err;
}

static int fault_once(struct space *space, vaddr_t va, enum hal_access access, bool *grow)
{
    struct fault f = {
        .space = space,
        .va = va,
        .write = access == HAL_ACCESS_WRITE,
        .exec = access == HAL_ACCESS_EXEC,
    };
    int err;
    *grow = false;
    struct rwlock_slot *slot = rwlock_read_begin(&space->lock);
    f.area = area_above(space, va);
    if (!f.area || f.area->lo > va) {
        *grow = f.area && area_is_stack(f.area);
        err = -EFAULT;
    } else if (!access_allowed(f.area, access)) {
        err = -EACCES;
    } else {
        err = fault_mend(&f);
    }
    rwlock_read_end(&space->lock, slot);
    return err;
}

int space_fault(struct space *space, vaddr_t addr, enum hal_access access, vaddr_t sp)
{
    (void)sp; /* Linux, too, has stopped comparing: programs touch far below their stack pointer */
    vaddr_t va = align_down(addr, PAGE_SIZE);
    bool grow;
    if (!space_range_ok(va, PAGE_SIZE))
        return -EFAULT;
    int err = fault_once(space, va, access, &grow);
    while (grow) {
        err = stack_grow(space, va);
        if (err)
            return err;
        err = fault_once(space, va, access, &grow);
    }
    if (!err)
        __atomic_add_fetch(&space_count(space)->faults, 1, __ATOMIC_RELAXED);
    compact_if_due(space);
    return err;
}

void space_heap_grown(struct space *space, vaddr_t end)
{
    struct fault f = {.space = space, .va = end};
    bool grow;
    struct rwlock_slot *slot = rwlock_read_begin(&space->lock);
    f.area = area_at(space, end);
    bool wanted = f.area && !(f.area->flags & AREA_RANDOM) && window_follows(&f);
    rwlock_read_end(&space->lock, slot);
    /* Whoever has changed the area meanwhile finds a page or two of it mapped, or not. */
    if (wanted)
        (void)!fault_once(space, end, HAL_ACCESS_WRITE, &grow);
}

/* ---- populate --------------------------------------------------------------------------- */

/* Should pages of this area be brought in, and how? */
static bool populate_access(const struct area *area, enum populate how, enum hal_access *access)
{
    bool copies = (area->prot & PROT_WRITE) && !(area->flags & AREA_SHARED);
    bool write = how == POPULATE_WRITE || (how == POPULATE_LOCK && copies);
    *access = write ? HAL_ACCESS_WRITE : HAL_ACCESS_READ;
    return how != POPULATE_LOCK || !(area->flags & AREA_LOCKONFAULT);
}

static int populate_page(struct space *space, vaddr_t va, enum hal_access access)
{
    unsigned prot, need = access == HAL_ACCESS_WRITE ? HAL_PROT_WRITE : HAL_PROT_READ;
    bool grow;
    struct rwlock_slot *slot = rwlock_read_begin(&space->lock);
    /* Without an area its page table may be going. */
    bool there =
        area_at(space, va) && hal_space_query(&space->hal, va, NULL, &prot) && (prot & need);
    rwlock_read_end(&space->lock, slot);
    /* A hole below a stack is a hole: nothing grows. */
    int err = there ? 0 : fault_once(space, va, access, &grow);
    return err == -EFAULT                                   ? -ENOMEM
           : err == -EIO || err == -ENXIO || err == -ENOSPC ? -EFAULT
                                                            : err;
}

int space_populate(struct space *space, vaddr_t addr, size_t len, enum populate how)
{
    vaddr_t end;
    if (add_overflow(addr, len, &end) || end > hal_layout()->user_end)
        return -ENOMEM;
    for (vaddr_t va = align_down(addr, PAGE_SIZE), stop; va < end;) {
        enum hal_access access = HAL_ACCESS_READ;
        rwlock_read_lock(&space->lock);
        const struct area *area = area_at(space, va);
        bool wanted = area && populate_access(area, how, &access);
        stop = area ? MIN(area->hi, end) : va;
        rwlock_read_unlock(&space->lock);
        if (stop == va)
            return -ENOMEM;
        for (; va < stop; va += PAGE_SIZE) {
            int err = wanted ? populate_page(space, va, access) : 0;
            if (err)
                return err;
        }
    }
    return 0;
}

/* ---- pages of one's own ----------------------------------------------------------------- */

int space_own_page_locked(struct space *space, vaddr_t va, struct page **out)
{
    struct fault f = {.space = space, .area = area_at(space, va), .va = va, .write = true};
    paddr_t pa;
    if (!f.area)
        return -EFAULT;
    if ((f.area->flags & (AREA_SHARED | AREA_HUGETLB)) || !(f.area->prot & PROT_EXEC))
        return -EACCES;
    if (hal_space_query(&space->hal, va, &pa, NULL))
        return own_mapped_locked(&f, page_of_phys(pa), out);
    struct page *from = NULL;
    int err = 0;
    if (f.area->object)
        err = vm_object_page(f.area->object, area_index(f.area, va), true, &from);
    if (!err)
        err = copy_to(&f, from, out);
    if (!err)
        count_mapped(space, 1);
    if (from)
        page_put(from);
    return err == -ENXIO || err == -EIO ? -EFAULT : err;
}

int space_own_page(struct space *space, vaddr_t va, struct page **out)
{
    rwlock_write_lock(&space->lock);
    int err = space_own_page_locked(space, align_down(va, PAGE_SIZE), out);
    rwlock_write_unlock(&space->lock);
    return err;
}
