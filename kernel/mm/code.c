/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * code.c - changing a program's code while it runs (proc/patch.c decides what and where).
 *
 * The space's lock is held for writing meanwhile, so no fault looks on. All pages are made the
 * space's own first, so that no failure leaves half of a change.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/area.h"

/* Store bytes by aligned 64-bit words, each at once: a CPU that executes there sees the old or the
 * new instruction when the patch lies within one word (proc/patch.c). */
static void store_words(char *to, const char *from, size_t len)
{
    while (len) {
        size_t offset = (uintptr_t)to & 7, n = MIN(len, 8 - offset);
        uint64_t *slot = (uint64_t *)(void *)(to - offset), word = *slot;
        memcpy((char *)&word + offset, from, n);
        /* Release: a trampoline written before is there when the jump to it is. */
        __atomic_store_n(slot, word, __ATOMIC_RELEASE);
        to += n, from += n, len -= n;
    }
}

/* The pages belong to the space already: nothing fails. */
static void store_locked(struct space *space, vaddr_t va, const void *bytes, size_t len)
{
    const char *from = bytes;
    while (len) {
        size_t offset = va & (PAGE_SIZE - 1), n = MIN(len, PAGE_SIZE - offset);
        struct page *page;
        int err = space_own_page_locked(space, va - offset, &page);
        CHECK(!err);
        store_words((char *)page_virt(page) + offset, from, n);
        hal_icache_sync(page_phys(page) + offset, n);
        va += n, from += n, len -= n;
    }
}

/* Every page, so that a failure leaves no half of the code changed. */
static int own_range_locked(struct space *space, vaddr_t va, size_t len)
{
    struct page *page;
    int err = 0;
    for (vaddr_t at = align_down(va, PAGE_SIZE); at < va + len && !err; at += PAGE_SIZE)
        err = space_own_page_locked(space, at, &page);
    return err;
}

int space_patch(struct space *space, vaddr_t va, const void *bytes, size_t len)
{
    rwlock_write_lock(&space->lock);
    int err = own_range_locked(space, va, len);
    if (!err)
        store_locked(space, va, bytes, len);
    rwlock_write_unlock(&space->lock);
    return err;
}

/* Are these the bytes, in areas that nobody else writes to? Pages are owned. */
static int compare_locked(struct space *space, vaddr_t va, const uint8_t *bytes, size_t len)
{
    while (len) {
        size_t offset = va & (PAGE_SIZE - 1), n = MIN(len, PAGE_SIZE - offset);
        struct page *page;
        if (area_at(space, va)->prot & PROT_WRITE)
            return -EACCES;
        int err = space_own_page_locked(space, va - offset, &page);
        if (err)
            return err;
        if (memcmp((const char *)page_virt(page) + offset, bytes, n) != 0)
            return -EAGAIN;
        va += n, bytes += n, len -= n;
    }
    return 0;
}

int space_change_code(struct space *space, const struct code_change *c)
{
    rwlock_write_lock(&space->lock);
    int err = own_range_locked(space, c->va, c->old_len);
    if (!err)
        err = compare_locked(space, c->va, c->old, c->old_len);
    if (err) {
        rwlock_write_unlock(&space->lock);
        return err;
    }
    if (c->barrier) {
        store_locked(space, c->va, &c->guard, 1);
        c->barrier();
        store_locked(space, c->va + 1, c->new_bytes + 1, c->new_len - 1);
        c->barrier();
        store_locked(space, c->va, c->new_bytes, 1);
        if (c->twice) {
            c->barrier();
            store_locked(space, c->va, c->new_bytes, 1);
        }
    } else {
        store_locked(space, c->va, c->new_bytes, c->new_len);
    }
    rwlock_write_unlock(&space->lock);
    return 0;
}
