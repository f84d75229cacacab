/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * advise.c - madvise, mincore, msync: calls that look at or drop pages but change no mapping.
 *
 * Common to all of them: a range is walked area by area; holes do not stop the walk of madvise and
 * msync, but make their result -ENOMEM in the end, as on Linux (mm/madvise.c, mm/msync.c).
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/area.h"

/* Round [addr, addr+len) to pages; -EINVAL as Linux. *end == addr: nothing to do. */
static int range_check(vaddr_t addr, size_t len, vaddr_t *end)
{
    size_t size = align_up(len, PAGE_SIZE);
    if (!is_aligned(addr, PAGE_SIZE) || size < len || add_overflow(addr, size, end))
        return -EINVAL;
    return 0;
}

/* ---- area flags ------------------------------------------------------------------------- */

int space_set_flags_locked(struct change *c, vaddr_t lo, vaddr_t hi, uint32_t set, uint32_t clear,
                           bool strict)
{
    int result = 0;
    while (lo < hi) {
        struct area *area = area_above(c->space, lo);
        if (!area || area->lo >= hi)
            return -ENOMEM;
        if (area->lo > lo) {
            result = -ENOMEM;
            if (strict)
                break;
            lo = area->lo;
        }
        vaddr_t end = MIN(area->hi, hi);
        uint32_t flags = (area->flags & ~clear) | set;
        /* Huge pages of the pool are locked and huge in any case (Linux: mlock_fixup). */
        if (!(area->flags & (AREA_SPECIAL | AREA_HUGETLB)) && flags != area->flags) {
            if (area_cut(c, &area, lo, end))
                return -E2BIG;
            area_set(c->space, area, area->prot, flags);
            area_merge(c, area);
        }
        lo = end;
    }
    return result;
}

static int advise_flags(struct space *space, vaddr_t lo, vaddr_t hi, uint32_t set, uint32_t clear)
{
    struct change c;
    int err = change_begin(&c, space, 2);
    if (!err) {
        err = space_set_flags_locked(&c, lo, hi, set, clear, false);
        change_end(&c);
    }
    return err == -E2BIG ? -EAGAIN : err; /* madvise(2): a resource is not available for now */
}

/* ---- madvise ---------------------------------------------------------------------------- */

/* A part of one area within one region, as allocators give back: faults elsewhere go on meanwhile.
 * Not the whole region: that may free its page table, which others may be reading. False: not done.
 */
static bool drop_small(struct space *space, vaddr_t lo, vaddr_t hi, int advice)
{
    bool lazy = advice == MADV_FREE;
    uint32_t never = AREA_SPECIAL | AREA_HUGETLB;
    never |= advice == MADV_DONTNEED_LOCKED ? 0 : AREA_LOCKED;
    if (hi - lo >= REGION_SIZE || lo / REGION_SIZE != (hi - 1) / REGION_SIZE)
        return false;
    struct rwlock_slot *slot = rwlock_read_begin(&space->lock);
    const struct area *a = area_at(space, lo);
    bool fits = a && hi <= a->hi && !(a->flags & never) && !(lazy && a->object);
    if (fits) {
        mutex_lock(space_fault_lock(space, lo));
        space_zap_locked(space, lo, hi);
        mutex_unlock(space_fault_lock(space, lo));
    }
    rwlock_read_end(&space->lock, slot);
    return fits;
}

/* MADV_DONTNEED (and of locked memory), MADV_FREE: forget the pages; private anonymous ones read as
 * zero, others come from their object again. (MADV_FREE allows that at any time, so at once is
 * right, too.) */
static int advise_drop(struct space *space, vaddr_t lo, vaddr_t hi, int advice)
{
    bool lazy = advice == MADV_FREE;
    uint32_t never = AREA_SPECIAL | (advice == MADV_DONTNEED_LOCKED ? 0u : AREA_LOCKED);
    int err = 0;
    if (drop_small(space, lo, hi, advice))
        return 0;
    vaddr_t at = lo;
    rwlock_write_lock(&space->lock);
    for (struct area *a = area_above(space, lo); a && a->lo < hi; a = area_next(a)) {
        if (a->lo > at)
            err = -ENOMEM;
        at = a->hi;
        bool huge = a->flags & AREA_HUGETLB;
        vaddr_t from = MAX(a->lo, lo), to = MIN(a->hi, hi);
        if ((a->flags & never) || (lazy && (a->object || huge)) ||
            (huge && !is_aligned(from, REGION_SIZE))) {
            err = -EINVAL;
            break;
        }
        if (huge) /* Linux: who does not know that the pages are huge loses no more than he said */
            to = align_down(to, REGION_SIZE);
        if (from < to)
            space_zap_locked(space, from, to);
    }
    if (!err && at < hi)
        err = -ENOMEM;
    rwlock_write_unlock(&space->lock);
    return err;
}

/* MADV_REMOVE: the object forgets its pages. One area at a time, because vm_object_punch takes the
 * locks of all spaces. */
static int advise_remove(struct space *space, vaddr_t lo, vaddr_t hi)
{
    for (vaddr_t at = lo; at < hi;) {
        struct vm_object *object = NULL;
        uint64_t off = 0;
        vaddr_t end = hi;
        int err = 0;
        rwlock_read_lock(&space->lock);
        struct area *a = area_at(space, at);
        if (!a) {
            err = -ENOMEM;
        } else if (!a->object || (a->flags & AREA_LOCKED)) {
            err = -EINVAL;
        } else if (!(a->flags & AREA_SHARED) || !(a->flags & AREA_MAYWRITE)) {
            err = -EACCES;
        } else {
            object = a->object;
            if (object->ops->get)
                object->ops->get(object);
            off = a->off + (at - a->lo);
            end = MIN(a->hi, hi);
        }
        rwlock_read_unlock(&space->lock);
        if (!err)
            err = vm_object_punch(object, off, end - at);
        if (object && object->ops->put)
            object->ops->put(object);
        if (err)
            return err;
        at = end;
    }
    return 0;
}

/* MADV_WILLNEED: fault in; that it fails somewhere is no error of the advice. */
static int advise_willneed(struct space *space, vaddr_t lo, vaddr_t hi)
{
    int err = 0;
    for (vaddr_t at = lo; at < hi;) {
        rwlock_read_lock(&space->lock);
        struct area *a = area_above(space, at);
        bool hole = !a || a->lo > at;
        bool read = a && a->object && a->prot != PROT_NONE;
        vaddr_t from = a ? MAX(a->lo, at) : hi, to = a ? MIN(a->hi, hi) : hi;
        rwlock_read_unlock(&space->lock);
        if (hole)
            err = -ENOMEM;
        if (read && from < to)
            (void)!space_populate(space, from, to - from, POPULATE_READ);
        at = MAX(to, at + PAGE_SIZE);
    }
    return err;
}

/* Advice that changes nothing: only the range is checked. */
static int advise_nothing(struct space *space, vaddr_t lo, vaddr_t hi, bool not_locked)
{
    int err = 0;
    vaddr_t at = lo;
    rwlock_read_lock(&space->lock);
    for (struct area *a = area_above(space, lo); a && a->lo < hi && err != -EINVAL;
         a = area_next(a)) {
        if (a->lo > at)
            err = -ENOMEM;
        at = a->hi;
        if (not_locked && (a->flags & AREA_LOCKED))
            err = -EINVAL;
    }
    if (!err && at < hi)
        err = -ENOMEM;
    rwlock_read_unlock(&space->lock);
    return err;
}

static int advise_wipe(struct space *space, vaddr_t lo, vaddr_t hi)
{
    bool ok = true;
    rwlock_read_lock(&space->lock);
    for (struct area *a = area_above(space, lo); a && a->lo < hi; a = area_next(a))
        ok = ok && !a->object;
    rwlock_read_unlock(&space->lock);
    return ok ? advise_flags(space, lo, hi, AREA_WIPEONFORK, 0) : -EINVAL;
}

static int advise_populate(struct space *space, vaddr_t lo, vaddr_t hi, bool write)
{
    int err = space_populate(space, lo, hi - lo, write ? POPULATE_WRITE : POPULATE_READ);
    return err == -EACCES ? -EINVAL : err;
}

static bool advice_known(int advice)
{
    return (advice >= MADV_NORMAL && advice <= MADV_DONTNEED) ||
           (advice >= MADV_FREE && advice <= MADV_DONTNEED_LOCKED);
}

int space_advise(struct space *space, vaddr_t addr, size_t len, int advice)
{
    vaddr_t end;
    if (!advice_known(advice))
        return -EINVAL;
    int err = range_check(addr, len, &end);
    if (err || end == addr)
        return err;
    switch (advice) {
    case MADV_NORMAL:
    case MADV_SEQUENTIAL:
        return advise_flags(space, addr, end, 0, AREA_RANDOM);
    case MADV_RANDOM:
        return advise_flags(space, addr, end, AREA_RANDOM, 0);
    case MADV_WILLNEED:
        return advise_willneed(space, addr, end);
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
        return advise_drop(space, addr, end, advice);
    case MADV_REMOVE:
        return advise_remove(space, addr, end);
    case MADV_DONTFORK:
        return advise_flags(space, addr, end, AREA_DONTFORK, 0);
    case MADV_DOFORK:
        return advise_flags(space, addr, end, 0, AREA_DONTFORK);
    case MADV_DONTDUMP:
        return advise_flags(space, addr, end, AREA_DONTDUMP, 0);
    case MADV_DODUMP:
        return advise_flags(space, addr, end, 0, AREA_DONTDUMP);
    case MADV_WIPEONFORK:
        return advise_wipe(space, addr, end);
    case MADV_KEEPONFORK:
        return advise_flags(space, addr, end, 0, AREA_WIPEONFORK);
    case MADV_COLD:
    case MADV_PAGEOUT: /* there is no swap */
        return advise_nothing(space, addr, end, true);
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return advise_populate(space, addr, end, advice == MADV_POPULATE_WRITE);
    case MADV_HUGEPAGE:
        return advise_flags(space, addr, end, AREA_HUGE, AREA_NOHUGE);
    case MADV_NOHUGEPAGE:
        return advise_flags(space, addr, end, AREA_NOHUGE, AREA_HUGE);
    default: /* MERGEABLE and its opposite: no such machinery */
        return advise_nothing(space, addr, end, false);
    }
}

/* ---- mincore ---------------------------------------------------------------------------- */

static uint8_t page_incore(struct space *space, const struct area *area, vaddr_t va)
{
    if (hal_space_query(&space->hal, va, NULL, NULL))
        return 1;
    return area->object && vm_object_cached(area->object, area_index(area, va));
}

int space_incore(struct space *space, vaddr_t addr, size_t len, uint8_t *vec)
{
    vaddr_t end;
    if (!is_aligned(addr, PAGE_SIZE))
        return -EINVAL;
    if (range_check(addr, len, &end) || end > hal_layout()->user_end)
        return -ENOMEM;
    int err = 0;
    rwlock_read_lock(&space->lock);
    for (vaddr_t va = addr; va < end && !err;) {
        struct area *area = area_at(space, va);
        if (!area)
            err = -ENOMEM;
        for (; area && va < MIN(area->hi, end); va += PAGE_SIZE)
            *vec++ = page_incore(space, area, va);
    }
    rwlock_read_unlock(&space->lock);
    return err;
}

/* ---- msync ------------------------------------------------------------------------------ */

int space_sync(struct space *space, vaddr_t addr, size_t len, int flags)
{
    vaddr_t end;
    if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || !is_aligned(addr, PAGE_SIZE))
        return -EINVAL;
    if ((flags & MS_ASYNC) && (flags & MS_SYNC))
        return -EINVAL;
    if (range_check(addr, len, &end))
        return -ENOMEM;
    if (end == addr)
        return 0;
    /* Pages of a mapping are the file's pages, and no file system writes back yet: the check is all
     * there is to do. */
    int err = 0;
    vaddr_t at = addr;
    rwlock_read_lock(&space->lock);
    for (struct area *a = area_above(space, addr); a && a->lo < end; a = area_next(a)) {
        if (a->lo > at)
            err = -ENOMEM;
        at = a->hi;
        if ((flags & MS_INVALIDATE) && (a->flags & AREA_LOCKED)) {
            err = -EBUSY;
            break;
        }
    }
    if (!err && at < end)
        err = -ENOMEM;
    rwlock_read_unlock(&space->lock);
    return err;
}
