/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mlock.c - mlock, mlock2, munlock, mlockall, munlockall.
 *
 * Nothing is ever paged out here but clean pages of files, so a lock is a flag that keeps those of
 * an area from being evicted, its pages brought in at once, and the count that RLIMIT_MEMLOCK
 * limits. Order and choice of errors after Linux's mm/mlock.c.
 */
#include "lib/errno.h"
#include "mm/area.h"

#define LOCK_FLAGS ((uint32_t)(AREA_LOCKED | AREA_LOCKONFAULT))

/* Pages of [lo, hi) that are locked already. */
static uint64_t count_locked(const struct space *space, vaddr_t lo, vaddr_t hi)
{
    uint64_t pages = 0;
    for (struct area *a = area_above(space, lo); a && a->lo < hi; a = area_next(a))
        if (a->flags & AREA_LOCKED)
            pages += (MIN(a->hi, hi) - MAX(a->lo, lo)) >> PAGE_SHIFT;
    return pages;
}

static int lock_range_locked(struct change *c, vaddr_t lo, vaddr_t hi, uint32_t flags)
{
    uint64_t pages = (hi - lo) >> PAGE_SHIFT;
    pages -= MIN(pages, count_locked(c->space, lo, hi));
    if (space_check_locked(c->space, flags, pages))
        return -ENOMEM;
    int err = space_set_flags_locked(c, lo, hi, flags, LOCK_FLAGS, true);
    return err == -E2BIG ? -ENOMEM : err;
}

int space_lock_pages(struct space *space, vaddr_t addr, size_t len, uint32_t flags)
{
    if (flags && __atomic_load_n(&space->lock_limit, __ATOMIC_RELAXED) == 0)
        return -EPERM;
    /* mlock(2) rounds outwards: the range need not be aligned. */
    vaddr_t start = align_down(addr, PAGE_SIZE), end;
    if (add_overflow(addr, len, &end) || end > UINTPTR_MAX - PAGE_SIZE)
        return len ? -EINVAL : 0;
    end = align_up(end, PAGE_SIZE);
    if (start == end)
        return 0;
    struct change c;
    int err = change_begin(&c, space, 2);
    if (err)
        return err;
    err = lock_range_locked(&c, start, end, flags);
    change_end(&c);
    if (err || !flags)
        return err;
    err = space_populate(space, start, end - start, POPULATE_LOCK);
    if (err == -ENOMEM)
        return -EAGAIN; /* some of it could not be locked, mlock(2) */
    return err ? -ENOMEM : 0;
}

/* Bring in what is locked, area by area; what cannot be had is left out, as on Linux. */
static void populate_all(struct space *space)
{
    for (vaddr_t at = 0;;) {
        rwlock_read_lock(&space->lock);
        const struct area *area = area_above(space, at);
        vaddr_t lo = area ? area->lo : 0, hi = area ? area->hi : 0;
        bool locked = area && (area->flags & LOCK_FLAGS) == AREA_LOCKED;
        rwlock_read_unlock(&space->lock);
        if (!hi)
            return;
        if (locked)
            (void)!space_populate(space, lo, hi - lo, POPULATE_LOCK);
        at = hi;
    }
}

int space_lock_all(struct space *space, bool current, uint32_t flags, uint32_t future)
{
    uint64_t limit = __atomic_load_n(&space->lock_limit, __ATOMIC_RELAXED);
    struct change c;
    if ((flags | future) && limit == 0)
        return -EPERM;
    int err = change_begin(&c, space, 2);
    if (err)
        return err;
    if (current && flags && space->pages_mapped > limit >> PAGE_SHIFT) {
        err = -ENOMEM;
    } else {
        space->future_flags = future;
        /* Whole areas: nothing is cut, and holes are nobody's fault. */
        if (current)
            (void)!space_set_flags_locked(&c, 0, hal_layout()->user_end, flags, LOCK_FLAGS, false);
    }
    change_end(&c);
    if (!err && current && flags)
        populate_all(space);
    return err;
}
