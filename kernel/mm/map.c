/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * map.c - mmap, munmap and mprotect.
 *
 * Each call has phases: check the request against Linux's rules without the lock, allocate what
 * could be needed (struct change), then under the write lock place, clear, insert, and join. After
 * the first change nothing can fail.
 *
 * Linux sources followed for order and choice of errors: mm/mmap.c (do_mmap), mm/mprotect.c.
 */
#include "isa/abi.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/area.h"
#include "mm/hugetlb.h"

/* ---- mmap ------------------------------------------------------------------------------- */

/* MAP_HUGETLB is for what must be huge; pages that need not be are had by MADV_HUGEPAGE, or without
 * being asked for. Of those of 1 GiB the pool is always empty. A file of huge pages has its own
 * size: whoever maps it need not know (linux/sys_mm.c sets the flag). */
static int map_check_huge(const struct map_request *req)
{
    unsigned log = req->flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
    bool known = log == 0 || log == HUGETLB_SHIFT || log == HUGETLB_SHIFT_1G;
    if (req->object)
        log = req->object->huge_shift;
    if (req->object ? log == 0 || !is_aligned(req->off, 1ull << log) : !known)
        return -EINVAL;
    return log == HUGETLB_SHIFT_1G ? -ENOMEM : 0;
}

static size_t map_unit(const struct map_request *req)
{
    return req->flags & MAP_HUGETLB ? HUGETLB_SIZE : PAGE_SIZE;
}

/* The rules that do not depend on what is mapped. *len is rounded up to pages. */
static int map_check(const struct map_request *req, size_t *len)
{
    unsigned type = req->flags & MAP_TYPE;
    uint64_t end;
    int err = req->flags & MAP_HUGETLB ? map_check_huge(req) : 0;
    if (err)
        return err;
    if (req->len == 0)
        return -EINVAL;
    *len = align_up(req->len, map_unit(req));
    if (*len < req->len || *len > hal_layout()->user_end)
        return -ENOMEM;
    if (req->object) {
        bool unaware = req->object->huge_shift && !(req->flags & MAP_HUGETLB); /* a loader */
        if (!is_aligned(req->off, PAGE_SIZE) || unaware)
            return -EINVAL;
        if (add_overflow(req->off, *len, &end) || end > INT64_MAX)
            return -EOVERFLOW;
    }
    if (type != MAP_PRIVATE && type != MAP_SHARED && !(type == MAP_SHARED_VALIDATE && req->object))
        return -EINVAL;
    if (type == MAP_SHARED_VALIDATE && (req->flags & MAP_SYNC))
        return -EOPNOTSUPP;
    if ((req->flags & MAP_GROWSDOWN) &&
        (req->object || type != MAP_PRIVATE || (req->flags & MAP_HUGETLB)))
        return -EINVAL;
    if (req->object && type != MAP_PRIVATE && (req->prot & PROT_WRITE) && !req->may_write)
        return -EACCES;
    return 0;
}

static int map_check_fixed(const struct map_request *req, size_t len)
{
    const struct hal_layout *layout = hal_layout();
    vaddr_t addr = req->addr;
    if (!is_aligned(addr, map_unit(req)))
        return -EINVAL;
    if (addr > layout->user_end || len > layout->user_end - addr)
        return -ENOMEM;
    if (addr < layout->user[0].lo)
        return -EPERM; /* below Linux's vm.mmap_min_addr */
    if (space_range_ok(addr, len))
        return 0;
    /* A hole between the machine's windows: to who would go elsewhere, something is there. */
    return req->flags & MAP_FIXED_NOREPLACE ? -EEXIST : -ENOMEM;
}

static bool map_is_fixed(const struct map_request *req)
{
    return req->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
}

/* Choose the address. */
static int map_place_locked(struct space *space, const struct map_request *req, size_t len,
                            vaddr_t *addr)
{
    if (map_is_fixed(req)) {
        *addr = req->addr;
        if (req->flags & MAP_FIXED_NOREPLACE)
            return area_overlaps(space, *addr, *addr + len) ? -EEXIST : 0;
        return space_check_removal(space, *addr, *addr + len);
    }
    size_t unit = map_unit(req);
    vaddr_t hint = unit > PAGE_SIZE ? align_up(req->addr, unit) : align_down(req->addr, PAGE_SIZE);
    vaddr_t found;
    bool bounded = req->lo || req->hi;
    if (hint && space_range_ok(hint, len) &&
        (!bounded || (hint >= req->lo && hint + len <= req->hi)) &&
        area_find_gap(space, hint, hint + len, len, &found)) {
        *addr = hint;
        return 0;
    }
    if (!space_find_place(space, req->lo, req->hi, len + (unit - PAGE_SIZE), &found))
        return -ENOMEM;
    *addr = align_up(found, unit);
    return 0;
}

/* Pages of [lo, hi) that are mapped already, and how many of them are private and writable. */
static void count_range_locked(const struct space *space, vaddr_t lo, vaddr_t hi, uint64_t *pages,
                               uint64_t *data)
{
    *pages = *data = 0;
    for (struct area *a = area_above(space, lo); a && a->lo < hi; a = area_next(a)) {
        uint64_t n = (MIN(a->hi, hi) - MAX(a->lo, lo)) >> PAGE_SHIFT;
        *pages += n;
        if ((a->prot & PROT_WRITE) && !(a->flags & AREA_SHARED) && !area_is_stack(a))
            *data += n;
    }
}

static int map_limits_locked(struct space *space, const struct area *area)
{
    uint64_t old_pages, old_data, pages = area_pages(area);
    bool data = (area->prot & PROT_WRITE) && !(area->flags & AREA_SHARED) && !area_is_stack(area);
    count_range_locked(space, area->lo, area->hi, &old_pages, &old_data);
    /* What MAP_FIXED replaces is given back first. */
    uint64_t more = pages > old_pages ? pages - old_pages : 0;
    uint64_t more_data = data && pages > old_data ? pages - old_data : 0;
    if (space->area_count >= space_area_limit())
        return -ENOMEM;
    if (space_check_locked(space, area->flags, pages))
        return -EAGAIN;
    /* Overcommit as vm.overcommit_memory=0: only what could never be is refused. */
    if (data && !(area->flags & AREA_NORESERVE) && pages > page_total_count())
        return -ENOMEM;
    int err = space_check_limits(space, more, more_data);
    if (err || !(area->flags & AREA_HUGETLB))
        return err;
    return hugetlb_promise(space, area); /* the last step: nothing is to be undone */
}

static uint32_t map_area_flags(const struct space *space, const struct map_request *req)
{
    uint32_t flags = req->area_flags;
    if ((req->flags & MAP_TYPE) != MAP_PRIVATE)
        flags |= AREA_SHARED;
    if ((flags & AREA_SHARED) && (!req->object || req->may_write || anon_object_is(req->object)))
        flags |= AREA_MAYWRITE;
    /* Nobody else can have a copy of a private one without a file (there is no fork), so it is
     * never copied. */
    if (req->flags & MAP_HUGETLB)
        flags |= AREA_HUGETLB;
    if ((req->flags & MAP_HUGETLB) && !req->object)
        flags |= AREA_SHARED | AREA_MAYWRITE |
                 ((req->flags & MAP_TYPE) == MAP_PRIVATE ? AREA_HUGETLB_PRIVATE : 0u);
    if (req->flags & MAP_GROWSDOWN)
        flags |= AREA_GROWSDOWN;
    if (req->flags & MAP_LOCKED)
        flags |= AREA_LOCKED;
    if (req->flags & MAP_NORESERVE)
        flags |= AREA_NORESERVE;
    if (!(flags & AREA_SPECIAL)) /* as on Linux, those are never locked */
        flags |= space->future_flags;
    if (req->flags & MAP_HUGETLB) /* never pageable, so never locked either */
        flags &= ~(uint32_t)(AREA_LOCKED | AREA_LOCKONFAULT);
    return flags;
}

/* Landing pads mean nothing where nothing is executed. */
static unsigned prot_kept(unsigned prot)
{
    return prot &
           (PROT_READ | PROT_WRITE | PROT_EXEC | (prot & PROT_EXEC ? isa_prot_landing() : 0));
}

static void map_describe(const struct space *space, struct area *area,
                         const struct map_request *req, struct vm_object *object)
{
    area->prot = prot_kept(req->prot);
    area->flags = map_area_flags(space, req);
    area->object = object;
    area->off = req->object ? req->off : 0;
    if (req->name)
        strlcpy(area->name, req->name, sizeof area->name);
    else if ((req->flags & MAP_HUGETLB) && !req->object)
        strlcpy(area->name, "/anon_hugepage", sizeof area->name);
}

/* Everything under the lock. */
static int map_locked(struct change *c, const struct map_request *req, struct vm_object *object,
                      size_t len, vaddr_t *out, bool *locked)
{
    struct area *area = change_take(c);
    vaddr_t addr;
    map_describe(c->space, area, req, object);
    int err = map_place_locked(c->space, req, len, &addr);
    if (!err) {
        area->lo = addr;
        area->hi = addr + len;
        err = map_limits_locked(c->space, area);
    }
    if (err) {
        area->object = NULL; /* no reference was taken */
        change_drop(c, area);
        return err;
    }
    space_remove_locked(c, addr, addr + len);
    *locked =
        (area->flags & AREA_LOCKED) || ((area->flags & AREA_HUGETLB) && (req->flags & MAP_LOCKED));
    area_insert(c->space, area);
    area_merge(c, area);
    *out = addr;
    return 0;
}

int space_map(struct space *space, const struct map_request *req, vaddr_t *out)
{
    size_t len;
    int err = map_check(req, &len);
    if (!err && map_is_fixed(req))
        err = map_check_fixed(req, len);
    if (!err && (req->flags & MAP_LOCKED) && !__atomic_load_n(&space->lock_limit, __ATOMIC_RELAXED))
        err = -EPERM;
    if (err)
        return err;

    struct vm_object *object = req->object, *anon = NULL;
    if (!object && (req->flags & MAP_TYPE) != MAP_PRIVATE && !(req->flags & MAP_HUGETLB)) {
        object = anon = anon_object_create(len);
        if (!anon)
            return -ENOMEM;
    }
    struct change c;
    vaddr_t addr = 0;
    bool locked = false;
    err = change_begin(&c, space, 3);
    if (!err) {
        err = map_locked(&c, req, object, len, &addr, &locked);
        change_end(&c);
    }
    if (anon)
        anon->ops->put(anon); /* the area has its own reference */
    if (err)
        return err;
    /* As Linux, a mapping that could not be filled is still a mapping. */
    if (locked || ((req->flags & MAP_POPULATE) && !(req->flags & MAP_NONBLOCK)))
        (void)!space_populate(space, addr, len, POPULATE_LOCK);
    *out = addr;
    return 0;
}

/* ---- munmap ----------------------------------------------------------------------------- */

/* Faults may run next to the range, in the same 2 MiB and even on the rest of the same large page:
 * its ends are removed under their fault locks. What is whole regions is nobody else's. */
static void zap_shared(struct space *space, vaddr_t lo, vaddr_t hi)
{
    area_widen(space, &lo, &hi);
    while (lo < hi) {
        vaddr_t next = MIN(align_down(lo, REGION_SIZE) + REGION_SIZE, hi);
        if (next - lo == REGION_SIZE) {
            next = align_down(hi, REGION_SIZE);
            space_zap_locked(space, lo, next);
        } else {
            mutex_lock(space_fault_lock(space, lo));
            space_zap_locked(space, lo, next);
            mutex_unlock(space_fault_lock(space, lo));
        }
        lo = next;
    }
}

int space_unmap(struct space *space, vaddr_t addr, size_t len)
{
    size_t size = align_up(len, PAGE_SIZE);
    vaddr_t end;
    if (!is_aligned(addr, PAGE_SIZE) || len == 0 || size < len)
        return -EINVAL;
    if (add_overflow(addr, size, &end) || end > hal_layout()->user_end)
        return -EINVAL;
    struct change c;
    int err = change_begin_removal(&c, space, 2);
    if (err)
        return err;
    err = space_check_removal(space, addr, end);
    if (!err) {
        space_remove_areas_locked(&c, addr, end);
        change_share(&c);
        zap_shared(space, addr, end);
    }
    change_end(&c);
    return err;
}

/* ---- mprotect --------------------------------------------------------------------------- */

/* May this page be written without a copy? */
static bool page_is_private(const struct page *page)
{
    return page->type == PAGE_ANON && ref_read(&page->refs) == 1;
}

static void sync_icache_locked(struct space *space, vaddr_t lo, vaddr_t hi)
{
    paddr_t pa;
    for (vaddr_t va = lo; (va = hal_space_next(&space->hal, va, hi)) < hi; va += PAGE_SIZE)
        if (hal_space_query(&space->hal, va, &pa, NULL))
            hal_icache_sync(pa, PAGE_SIZE);
}

/* Private and writable: pages that are shared with others stay read-only until a write copies
 * them. Runs of equal kind are changed together. */
static void apply_private_locked(struct space *space, vaddr_t lo, vaddr_t hi, unsigned prot)
{
    vaddr_t start = hal_space_next(&space->hal, lo, hi);
    while (start < hi) {
        paddr_t pa = 0;
        vaddr_t va = start;
        (void)hal_space_query(&space->hal, va, &pa, NULL);
        bool writable = page_is_private(page_of_phys(pa));
        do
            va = hal_space_next(&space->hal, va + PAGE_SIZE, hi);
        while (va < hi && hal_space_query(&space->hal, va, &pa, NULL) &&
               page_is_private(page_of_phys(pa)) == writable);
        hal_space_protect(&space->hal, start, va - start,
                          writable ? prot : prot & ~(unsigned)HAL_PROT_WRITE);
        start = va;
    }
}

/* Bring the page table in line with an area's new protection. */
static void apply_locked(struct space *space, const struct area *area)
{
    unsigned prot = area_hal_prot(area->prot);
    vaddr_t first = hal_space_next(&space->hal, area->lo, area->hi);
    if (first == area->hi)
        return;
    if (prot & HAL_PROT_EXEC)
        sync_icache_locked(space, first, area->hi);
    if ((prot & HAL_PROT_WRITE) && !(area->flags & AREA_SHARED))
        apply_private_locked(space, first, area->hi, prot);
    else
        hal_space_protect(&space->hal, first, area->hi - first, prot);
}

static int protect_check_area(const struct space *space, const struct area *area, vaddr_t lo,
                              vaddr_t hi, unsigned prot)
{
    if (area->flags & AREA_SPECIAL)
        return -EACCES;
    if (area_cuts_huge(space, lo) || area_cuts_huge(space, hi))
        return -EINVAL;
    if (!(prot & PROT_WRITE) || (area->prot & PROT_WRITE))
        return 0;
    if (area->flags & AREA_SHARED)
        return area->flags & AREA_MAYWRITE ? 0 : -EACCES;
    uint64_t pages = (MIN(hi, area->hi) - MAX(lo, area->lo)) >> PAGE_SHIFT;
    if (!(area->flags & AREA_NORESERVE) && pages > page_total_count())
        return -ENOMEM;
    return area_is_stack(area) ? 0 : space_check_limits(space, 0, pages);
}

/* Area by area, as Linux does it: what comes before the first error stays changed. */
static int protect_locked(struct change *c, vaddr_t lo, vaddr_t hi, unsigned prot)
{
    struct area *area = area_at(c->space, lo);
    while (lo < hi) {
        if (!area || area->lo > lo)
            return -ENOMEM;
        int err = protect_check_area(c->space, area, lo, hi, prot);
        if (err)
            return err;
        vaddr_t end = MIN(area->hi, hi);
        if (area->prot != prot) {
            err = area_cut(c, &area, lo, end);
            if (err)
                return err;
            area_set(c->space, area, prot, area->flags);
            apply_locked(c->space, area);
            area = area_merge(c, area);
        }
        lo = end;
        area = area->hi > lo ? area : area_next(area);
    }
    return 0;
}

int space_protect(struct space *space, vaddr_t addr, size_t len, unsigned prot)
{
    unsigned grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
    size_t size = align_up(len, PAGE_SIZE);
    vaddr_t end;
    prot &= ~grows;
    if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || !is_aligned(addr, PAGE_SIZE))
        return -EINVAL;
    if (len == 0)
        return 0;
    if (size < len || add_overflow(addr, size, &end))
        return -ENOMEM;
    if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | isa_prot_landing()))
        return -EINVAL;
    prot = prot_kept(prot);
    struct change c;
    int err = change_begin(&c, space, 2);
    if (err)
        return err;
    struct area *area = area_above(space, addr);
    if (grows == PROT_GROWSUP) {
        err = -EINVAL; /* no stack grows upwards here */
    } else if (grows == PROT_GROWSDOWN) {
        if (!area || area->lo >= end)
            err = -ENOMEM;
        else if (!area_is_stack(area))
            err = -EINVAL;
        else
            addr = area->lo;
    }
    if (!err)
        err = protect_locked(&c, addr, end, prot);
    change_end(&c);
    return err;
}
