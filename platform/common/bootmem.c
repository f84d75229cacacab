/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bootmem.c - the region list of early boot. Contract: bootmem.h.
 *
 * Invariant: region[0..count) is ascending, disjoint, not touching, none empty.
 */
#include "common/bootmem.h"

#include "lib/errno.h"
#include "lib/string.h"

static void remove_at(struct bootmem *bm, size_t i)
{
    memmove(&bm->region[i], &bm->region[i + 1], (bm->count - i - 1) * sizeof(bm->region[0]));
    bm->count--;
}

static int insert_at(struct bootmem *bm, size_t i, paddr_t base, uint64_t len)
{
    if (bm->count == BOOTMEM_MAX)
        return -ENOSPC;
    memmove(&bm->region[i + 1], &bm->region[i], (bm->count - i) * sizeof(bm->region[0]));
    bm->region[i] = (struct hal_region){base, len};
    bm->count++;
    return 0;
}

int bootmem_add(struct bootmem *bm, paddr_t base, uint64_t len)
{
    paddr_t end;
    size_t i = 0;
    uint64_t before = 0;
    int err;

    if (len == 0)
        return 0;
    if (add_overflow(base, len, &end))
        return -EINVAL;
    while (i < bm->count && bm->region[i].base + bm->region[i].len < base)
        i++;
    /* Swallow every region that touches the new one. */
    while (i < bm->count && bm->region[i].base <= end) {
        base = MIN(base, bm->region[i].base);
        end = MAX(end, bm->region[i].base + bm->region[i].len);
        before += bm->region[i].len;
        remove_at(bm, i);
    }
    err = insert_at(bm, i, base, end - base);
    if (!err)
        bm->total += (end - base) - before;
    return err;
}

void bootmem_reserve(struct bootmem *bm, paddr_t base, uint64_t len)
{
    paddr_t end;

    if (len == 0)
        return;
    if (add_overflow(base, len, &end))
        end = UINT64_MAX;
    for (size_t i = 0; i < bm->count;) {
        struct hal_region *r = &bm->region[i];
        paddr_t r_end = r->base + r->len;

        if (r_end <= base || r->base >= end) {
            i++;
        } else if (r->base >= base && r_end <= end) {
            remove_at(bm, i);
        } else if (r->base >= base) {
            *r = (struct hal_region){end, r_end - end};
            i++;
        } else if (r_end <= end) {
            r->len = base - r->base;
            i++;
        } else {
            paddr_t r_base = r->base;

            /* Both sides stay; with no room for a second region the larger one does. */
            if (insert_at(bm, i + 1, end, r_end - end) == 0 || base - r_base >= r_end - end)
                bm->region[i].len = base - r_base;
            else
                bm->region[i] = (struct hal_region){end, r_end - end};
            return;
        }
    }
}

paddr_t bootmem_alloc(struct bootmem *bm, uint64_t len, uint64_t align, paddr_t limit)
{
    for (size_t i = bm->count; i-- > 0;) {
        paddr_t lo = bm->region[i].base, hi = MIN(lo + bm->region[i].len, limit), pa;

        if (hi < lo || hi - lo < len)
            continue;
        pa = align_down(hi - len, align);
        if (pa < lo)
            continue;
        bootmem_reserve(bm, pa, len);
        return pa;
    }
    return HAL_NO_PAGE;
}

void bootmem_finish(struct bootmem *bm)
{
    for (size_t i = 0; i < bm->count;) {
        struct hal_region *r = &bm->region[i];
        paddr_t end = align_down(r->base + r->len, HAL_PAGE_SIZE);
        paddr_t base = align_up(r->base, HAL_PAGE_SIZE);

        if (base < r->base || end <= base) {
            remove_at(bm, i);
        } else {
            *r = (struct hal_region){base, end - base};
            i++;
        }
    }
}
