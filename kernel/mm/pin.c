/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pin.c - keep pages of a program's that a device is to read. Contract: space.h.
 *
 * Only single pages of private memory are given: they are the program's alone, and nothing but
 * their count of references says who else looks at them (the rest of mm/ takes a page with more
 * than one as shared: compact.c does not move it, and it is copied rather than reused when it is
 * written to after it was write-protected). Pages of files belong to their object; a part of a
 * large page cannot be kept when that is split.
 */
#include "lib/errno.h"
#include "mm/area.h"

static struct page *pin_locked(struct space *space, vaddr_t va)
{
    const struct area *area = area_at(space, va);
    paddr_t pa;
    unsigned prot;
    if (!area || !(area->prot & PROT_READ) ||
        (area->flags & (AREA_SHARED | AREA_HUGETLB | AREA_SPECIAL)) ||
        !hal_space_query(&space->hal, va, &pa, &prot) || (prot & HAL_PTE_LARGE))
        return NULL;
    struct page *page = page_of_phys(pa);
    if (page->type != PAGE_ANON || page->order != 0)
        return NULL;
    page_get(page);
    return page;
}

size_t space_pin_pages(struct space *space, vaddr_t va, struct page **pages, size_t count)
{
    size_t done = 0;
    /* For writing: a fault, which holds it for reading, may give a mapping's reference of a page
     * back that it has replaced. */
    rwlock_write_lock(&space->lock);
    for (; done < count; done++) {
        pages[done] = pin_locked(space, va + done * PAGE_SIZE);
        if (!pages[done])
            break;
    }
    rwlock_write_unlock(&space->lock);
    return done;
}
