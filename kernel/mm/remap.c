/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remap.c - mremap: shrink, grow in place, or move.
 *
 * Moving maps the pages at the new place first and unmaps the old one after that, so a failure for
 * want of page-table memory leaves the old mapping whole. Both happen under the write lock: no
 * fault sees the time in between. References go with the pages, so the writable pages of private
 * areas stay with one reference.
 *
 * Order and choice of errors after Linux's mm/mremap.c. As there, MREMAP_FIXED unmaps what was at
 * the target before it is known that the move succeeds.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/area.h"

struct remap {
    vaddr_t old;
    size_t old_len, new_len;
    unsigned flags;
    vaddr_t want;      /* new address or hint */
    struct area *area; /* contains old */
};

static int remap_check(struct remap *r)
{
    size_t old_len = align_up(r->old_len, PAGE_SIZE), new_len = align_up(r->new_len, PAGE_SIZE);
    vaddr_t limit = hal_layout()->user_end;
    if (r->flags & ~(unsigned)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
        return -EINVAL;
    if ((r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(r->flags & MREMAP_MAYMOVE))
        return -EINVAL;
    if ((r->flags & MREMAP_DONTUNMAP) && r->old_len != r->new_len)
        return -EINVAL;
    if (!is_aligned(r->old, PAGE_SIZE) || new_len == 0 || old_len < r->old_len ||
        new_len < r->new_len)
        return -EINVAL;
    r->old_len = old_len;
    r->new_len = new_len;
    if (r->old > limit || old_len > limit - r->old)
        return -EINVAL;
    if (!(r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)))
        return new_len > limit ? -ENOMEM : 0;
    if (!(r->flags & MREMAP_FIXED))
        return new_len > limit ? -EINVAL : 0;
    if (!is_aligned(r->want, PAGE_SIZE) || new_len > limit || r->want > limit - new_len)
        return -EINVAL;
    if (r->old + old_len > r->want && r->want + new_len > r->old)
        return -EINVAL;
    return space_range_ok(r->want, new_len) ? 0 : -EINVAL;
}

/* May [old, old+old_len) become new_len long? (Linux: vma_to_resize) */
static int resize_check_locked(struct space *space, const struct remap *r)
{
    const struct area *area = r->area;
    if (r->old_len == 0 && !(area->flags & AREA_SHARED))
        return -EINVAL;
    if (r->old_len > area->hi - r->old)
        return -EFAULT;
    uint64_t off = area->off + (r->old - area->lo), end;
    if (area->object && (add_overflow(off, r->new_len, &end) || end > INT64_MAX))
        return -EINVAL;
    bool keeps = r->old_len == 0 || (r->flags & MREMAP_DONTUNMAP);
    if (r->new_len <= r->old_len && !keeps)
        return 0;
    uint64_t more = (keeps ? r->new_len : r->new_len - r->old_len) >> PAGE_SHIFT;
    bool data = (area->prot & PROT_WRITE) && !(area->flags & AREA_SHARED) && !area_is_stack(area);
    if (data && !(area->flags & AREA_NORESERVE) && more > page_total_count())
        return -ENOMEM;
    if (space_check_locked(space, area->flags, more))
        return -EAGAIN;
    return space_check_limits(space, more, data ? more : 0);
}

/* Map at `to` what is mapped in [from, from+len), run by run. On failure a part of it is. */
static int copy_mappings(struct hal_space *hal, vaddr_t from, vaddr_t to, size_t len)
{
    vaddr_t end = from + len;
    paddr_t pa, next_pa;
    unsigned prot, next_prot;
    vaddr_t va = hal_space_next(hal, from, end);
    while (va < end && hal_space_query(hal, va, &pa, &prot)) {
        vaddr_t run = va + PAGE_SIZE;
        while (run < end && hal_space_query(hal, run, &next_pa, &next_prot) &&
               next_pa == pa + (run - va) && ((next_prot ^ prot) & HAL_PROT_ALL) == 0)
            run += PAGE_SIZE;
        int err = hal_space_map(hal, to + (va - from), pa, run - va, prot & HAL_PROT_ALL);
        if (err)
            return err;
        va = hal_space_next(hal, run, end);
    }
    return 0;
}

/* Without the name of a heap or a stack: as on Linux, that is what lies at its place. An object
 * that is no file's has its name from the area alone, and keeps it (procfs asks the others for
 * theirs). */
static void describe_copy(struct area *copy, const struct remap *r, vaddr_t to)
{
    const struct area *area = r->area;
    copy->lo = to;
    copy->hi = to + r->new_len;
    copy->prot = area->prot;
    copy->flags = area->flags;
    copy->object = area->object;
    copy->off = area->object ? area->off + (r->old - area->lo) : 0;
    if (area->object)
        memcpy(copy->name, area->name, sizeof copy->name);
}

/* Move (or, with old_len 0, duplicate) to the free range at `to`. */
static int move_locked(struct change *c, const struct remap *r, vaddr_t to)
{
    struct hal_space *hal = &c->space->hal;
    size_t len = MIN(r->old_len, r->new_len);
    int err = len ? copy_mappings(hal, r->old, to, len) : 0;
    if (err) {
        vaddr_t lo = to, hi = to + len;
        area_widen(c->space, &lo, &hi);
        hal_space_unmap(hal, lo, hi - lo);
        return err;
    }
    struct area *copy = change_take(c);
    describe_copy(copy, r, to);
    if (len)
        hal_space_unmap(hal, r->old, len);
    area_insert(c->space, copy);
    /* What is left in the page table between len and old_len goes with its references. */
    if (r->flags & MREMAP_DONTUNMAP)
        area_set(c->space, r->area, r->area->prot,
                 r->area->flags & ~(uint32_t)(AREA_LOCKED | AREA_LOCKONFAULT));
    else if (r->old_len)
        space_remove_locked(c, r->old, r->old + r->old_len);
    area_merge(c, copy);
    return 0;
}

/* Move to a place that is to be found, or to the one that is given. */
static int remap_move_locked(struct change *c, struct remap *r, vaddr_t *out)
{
    struct space *space = c->space;
    vaddr_t to = r->want;
    if (space->area_count + 3 >= space_area_limit()) /* as Linux: worst case of all that is cut */
        return -ENOMEM;
    if (r->flags & MREMAP_FIXED) {
        int err = space_check_removal(space, to, to + r->new_len);
        if (err)
            return err;
        space_remove_locked(c, to, to + r->new_len);
        r->area = area_at(space, r->old); /* it may have been cut, or gone if old_len was 0 */
        if (!r->area)
            return -EFAULT;
    } else {
        vaddr_t hint = align_down(r->want, PAGE_SIZE), found;
        bool hinted = (r->flags & MREMAP_DONTUNMAP) && hint && space_range_ok(hint, r->new_len) &&
                      area_find_gap(space, hint, hint + r->new_len, r->new_len, &found);
        if (hinted)
            to = hint;
        else if (!space_find_place(space, 0, 0, r->new_len, &to))
            return -ENOMEM;
    }
    int err = move_locked(c, r, to);
    *out = to;
    return err;
}

static bool grow_in_place_locked(struct change *c, const struct remap *r)
{
    struct area *area = r->area;
    size_t more = r->new_len - r->old_len;
    vaddr_t found;
    if (r->old + r->old_len != area->hi || !space_range_ok(area->hi, more) ||
        !area_find_gap(c->space, area->hi, area->hi + more, more, &found))
        return false;
    area_resize(c->space, area, area->lo, area->hi + more);
    area_merge(c, area);
    return true;
}

static int remap_locked(struct change *c, struct remap *r, vaddr_t *out)
{
    struct space *space = c->space;
    r->area = area_at(space, r->old);
    if (!r->area)
        return -EFAULT;
    if (space_has_special_locked(space, r->old, r->old + MAX(r->old_len, PAGE_SIZE)))
        return -EFAULT;
    if (r->area->flags & AREA_HUGETLB)
        return -EINVAL; /* as on a Linux before 5.16 */
    *out = r->old;
    bool to_place = r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
    if (!to_place && r->old_len >= r->new_len) {
        vaddr_t lo = r->old + r->new_len, hi = r->old + r->old_len;
        int err = lo < hi ? space_check_removal(space, lo, hi) : 0;
        if (!err && lo < hi)
            space_remove_locked(c, lo, hi);
        return err;
    }
    int err = resize_check_locked(space, r);
    if (err)
        return err;
    if (to_place)
        return remap_move_locked(c, r, out);
    if (r->old_len && grow_in_place_locked(c, r))
        return 0;
    return r->flags & MREMAP_MAYMOVE ? remap_move_locked(c, r, out) : -ENOMEM;
}

int space_remap(struct space *space, vaddr_t old, size_t old_len, size_t new_len, unsigned flags,
                vaddr_t new_addr, vaddr_t *out)
{
    struct remap r = {
        .old = old, .old_len = old_len, .new_len = new_len, .flags = flags, .want = new_addr};
    int err = remap_check(&r);
    if (err)
        return err;
    struct change c;
    err = change_begin(&c, space, 5);
    if (err)
        return err;
    vaddr_t to = 0;
    uint64_t peak = space->mapped_peak;
    err = remap_locked(&c, &r, &to);
    /* As on Linux: that both places were there for a moment is nothing that VmPeak tells. */
    __atomic_store_n(&space->mapped_peak, MAX(peak, space->pages_mapped), __ATOMIC_RELAXED);
    bool locked = !err && area_at(space, to) && (area_at(space, to)->flags & AREA_LOCKED);
    change_end(&c);
    if (err)
        return err;
    if (locked && r.new_len > r.old_len)
        (void)!space_populate(space, to + r.old_len, r.new_len - r.old_len, POPULATE_LOCK);
    *out = to;
    return 0;
}
