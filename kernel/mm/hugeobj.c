/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugeobj.c - files of huge pages: what memfd_create makes with MFD_HUGETLB.
 *
 * Such a vm_object has in its radix tree, by the number of the huge page, a page of the pool with a
 * reference of the object, or a mark: no page yet, but one is promised. Linux's rules: a shared
 * mapping promises the file what it covers (once, for good: until the file is cut), fallocate and
 * faults allocate; private copies belong to their mapping (hugetlb.c).
 *
 * Every promise is one of the pool's (hugetlb_promise_more). A page that was taken on one says so
 * itself, so that dropping the page ends its promise, too. Pages of 1 GiB do not exist: such a
 * file has a size and nothing else.
 *
 * Lock: object->lock guards the tree, as for any object; pool_lock is taken inside.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/area.h"
#include "mm/hugetlb.h"

static char mark, fresh_mark; /* their addresses: a promise in the tree; see mark_locked */

static struct page *page_in(void *entry)
{
    return entry == &mark ? NULL : entry;
}

static void pages_add_locked(struct vm_object *object, int64_t huge)
{
    int64_t pages = huge * (1 << HUGETLB_ORDER);
    __atomic_store_n(&object->page_count, object->page_count + (uint64_t)pages, __ATOMIC_RELAXED);
}

void hugeobj_init(struct vm_object *object, unsigned shift)
{
    object->huge_shift = (uint8_t)shift;
}

bool hugeobj_has(struct vm_object *object, uint64_t index)
{
    mutex_lock(&object->lock);
    bool has = page_in(radix_get(&object->pages, index)) != NULL;
    mutex_unlock(&object->lock);
    return has;
}

static int make_locked(struct vm_object *object, uint64_t index, bool promised, struct page **out)
{
    bool own = false; /* a promise of the file system's, not of the file's */
    if (!promised && !hugetlb_charge(object->quota, &own))
        return -EIO;
    struct page *page = object->huge_shift == HUGETLB_SHIFT ? hugetlb_take(promised || own) : NULL;
    int err = page ? radix_set(&object->pages, index, page) : -EIO;
    if (err) {
        if (page)
            page_put(page);
        if (own)
            hugetlb_promise_less(object->quota, 1);
        else if (!promised)
            hugetlb_uncharge(object->quota);
        return err;
    }
    page->private_[1] = true; /* hugetlb_is_file */
    memset(page_virt(page), 0, HUGETLB_SIZE);
    pages_add_locked(object, 1);
    *out = page;
    return 0;
}

int hugeobj_page(struct vm_object *object, uint64_t index, bool create, struct page **out)
{
    int err = 0;
    *out = NULL;
    mutex_lock(&object->lock);
    uint64_t size = __atomic_load_n(&object->size, __ATOMIC_RELAXED);
    if (size == 0 || index > (size - 1) >> object->huge_shift) {
        err = -ENXIO;
    } else {
        void *entry = radix_get(&object->pages, index);
        *out = page_in(entry);
        if (!*out && create)
            err = make_locked(object, index, entry != NULL, out);
    }
    if (*out)
        page_get(*out);
    mutex_unlock(&object->lock);
    return err;
}

int hugeobj_allocate(struct vm_object *object, uint64_t index)
{
    struct page *page;
    mutex_lock(&object->lock);
    void *entry = radix_get(&object->pages, index);
    int err = page_in(entry) ? 0 : make_locked(object, index, entry != NULL, &page);
    mutex_unlock(&object->lock);
    return err;
}

/* How many in [first, end) have neither. */
static uint64_t missing_locked(struct vm_object *object, uint64_t first, uint64_t end)
{
    uint64_t count = end - first;
    for (uint64_t i = first; radix_next(&object->pages, &i) && i < end; i++)
        count--;
    return count;
}

/* Put the mark wherever there is nothing; those that fail after some are told apart from older ones
 * by another mark meanwhile, which nobody sees, for the lock is held. */
static int mark_locked(struct vm_object *object, uint64_t first, uint64_t end)
{
    void *entry;
    int err = 0;
    for (uint64_t i = first; i < end && !err; i++)
        if (!radix_get(&object->pages, i))
            err = radix_set(&object->pages, i, &fresh_mark);
    for (uint64_t i = first; (entry = radix_next(&object->pages, &i)) && i < end; i++) {
        if (entry != &fresh_mark)
            continue;
        if (err)
            (void)radix_remove(&object->pages, i);
        else
            CHECK(radix_set(&object->pages, i, &mark) == 0); /* the entry is there */
    }
    return err;
}

int hugeobj_promise(struct vm_object *object, uint64_t first, uint64_t end)
{
    int err;
    mutex_lock(&object->lock);
    uint64_t count = missing_locked(object, first, end);
    if (!hugetlb_promise_more(object->quota, count)) {
        err = -ENOMEM;
    } else {
        err = mark_locked(object, first, end);
        if (err)
            hugetlb_promise_less(object->quota, count);
    }
    mutex_unlock(&object->lock);
    return err;
}

void hugeobj_drop(struct vm_object *object, uint64_t first, uint64_t end)
{
    void *entry;
    mutex_lock(&object->lock);
    for (uint64_t i = first; (entry = radix_next(&object->pages, &i)) && i < end;) {
        struct page *page = page_in(entry);
        (void)radix_remove(&object->pages, i);
        /* The page may be in use for long, by a private mapping or a copy: not on our promise. */
        if (!page || hugetlb_disown(page))
            hugetlb_promise_less(object->quota, 1);
        else
            hugetlb_uncharge(object->quota);
        if (!page)
            continue;
        pages_add_locked(object, -1);
        page_put(page);
    }
    mutex_unlock(&object->lock);
}

/* As in object.c: size, mappings, pages. Callers serialise changes of the size. */
int hugeobj_resize(struct vm_object *object, uint64_t size)
{
    uint64_t unit = 1ull << object->huge_shift, keep = align_up(size, unit);
    mutex_lock(&object->lock);
    uint64_t old = __atomic_load_n(&object->size, __ATOMIC_RELAXED);
    __atomic_store_n(&object->size, size, __ATOMIC_RELAXED);
    mutex_unlock(&object->lock);
    if (size >= old)
        return 0;
    vm_object_unmap(object, keep, UINT64_MAX - keep);
    hugeobj_drop(object, keep >> object->huge_shift, UINT64_MAX);
    return 0;
}

/* Zero bytes [off, end) of one page, if it is there. */
static void zero_part(struct vm_object *object, uint64_t off, uint64_t end)
{
    struct page *page;
    uint64_t unit = 1ull << object->huge_shift;
    if (off >= end || hugeobj_page(object, off >> object->huge_shift, false, &page) || !page)
        return;
    memset((char *)page_virt(page) + (off & (unit - 1)), 0, (size_t)(end - off));
    page_put(page);
}

int hugeobj_punch(struct vm_object *object, uint64_t off, uint64_t len)
{
    uint64_t unit = 1ull << object->huge_shift, end;
    if (add_overflow(off, len, &end) || end > INT64_MAX)
        return -EINVAL;
    uint64_t first = align_up(off, unit), last = align_down(end, unit);
    if (first > last) { /* within one page */
        zero_part(object, off, end);
        return 0;
    }
    zero_part(object, off, first);
    if (first < last) {
        hugeobj_drop(object, first >> object->huge_shift, last >> object->huge_shift);
        vm_object_unmap_own(object, first, last - first);
    }
    zero_part(object, last, end);
    return 0;
}
