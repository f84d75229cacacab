/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugetlb.h - the pool of huge pages (2 MiB) that somebody has set apart, for MAP_HUGETLB
 * and memfd_create's MFD_HUGETLB.
 *
 * Large pages that come by themselves or by MADV_HUGEPAGE have nothing to do with it (fault.c).
 * Any context unless stated otherwise.
 */
#ifndef SELKIE_MM_HUGETLB_H
#define SELKIE_MM_HUGETLB_H

#include "mm/object.h"
#include "mm/space.h"

#define HUGETLB_ORDER 9
#define HUGETLB_SHIFT 21
#define HUGETLB_SHIFT_1G 30 /* there are never any */
#define HUGETLB_SIZE (PAGE_SIZE << HUGETLB_ORDER)

/* As in /proc/meminfo; all in huge pages. */
struct hugetlb_stats {
    uint64_t total;    /* in the pool, used or not */
    uint64_t free;     /* not used */
    uint64_t reserved; /* free, but promised to mappings that have not touched them yet */
    uint64_t surplus;  /* of total: to be given back to the machine when they are free */
};
void hugetlb_get_stats(struct hugetlb_stats *out);

/* Make the pool (without surplus) as near to `count` as memory and its users allow. Thread context,
 * no lock of mm held; compacts the space (if it is not NULL) if it must. */
void hugetlb_set_count(struct space *space, uint64_t count);
/* At boot. */
void hugetlb_init(void);

/* Promise the area, which is about to be inserted, all its huge pages, unless it does without
 * (MAP_NORESERVE): one of a file those that the file has not been promised yet, for good; others
 * what they are long, until area_leave; what is promised to areas in its place counts as theirs.
 * -ENOMEM: not that many. The space's lock is held for writing. */
int must_check hugetlb_promise(const struct space *space, const struct area *area);
/* Before it is removed from the tree, and its pages from the page table: end its promise. */
void hugetlb_area_leaves(struct space *space, const struct area *area);

/* Mend a fault at va. -EIO (SIGBUS, as on Linux) when the pool is empty, -ENXIO beyond the end of
 * the file, -ENOMEM for want of page tables. The space's lock is held for reading. */
int must_check hugetlb_fault(struct space *space, const struct area *area, vaddr_t va, bool write);

/* The file system of `quota` is promised `min` huge pages for its files; -ENOMEM. The end gives
 * back what it has left, when there are no files any more. */
int must_check hugetlb_quota_begin(struct vm_quota *quota, uint64_t min);
void hugetlb_quota_end(struct vm_quota *quota);

/* ---- for hugeobj.c ---- */

/* Take a page out of the pool, not zeroed; NULL: there is none. `promised`: on a promise. */
struct page *hugetlb_take(bool promised);
/* More promises to a file of the quota (NULL: none), if there are so many pages and it may have
 * them; fewer promises. */
bool hugetlb_promise_more(struct vm_quota *quota, uint64_t count);
void hugetlb_promise_less(struct vm_quota *quota, uint64_t count);
/* A page that no file was promised: may the quota have it? *promised: there is a promise for it all
 * the same, the file system's own. It ends by hugetlb_promise_less then, else by _uncharge. */
bool hugetlb_charge(struct vm_quota *quota, bool *promised);
void hugetlb_uncharge(struct vm_quota *quota);
/* The page leaves its file: its promise ends now, whoever may still be using it. True if there was
 * one. */
bool hugetlb_disown(struct page *page);
/* Is (or was) it a page of a file? */
static inline bool hugetlb_is_file(const struct page *page)
{
    return page->private_[1];
}

/* ---- files of huge pages (hugeobj.c); indices count huge pages ---- */

/* Make a fresh object one of pages of 2^shift bytes: 21 or 30. */
void hugeobj_init(struct vm_object *object, unsigned shift);
/* The page at index with a reference; if there is none: a fresh one (create), or NULL. -ENXIO
 * beyond the end, -EIO when the pool is empty. */
int must_check hugeobj_page(struct vm_object *object, uint64_t index, bool create,
                            struct page **out);
/* Make sure that it has a page there, beyond its size, too. */
int must_check hugeobj_allocate(struct vm_object *object, uint64_t index);
bool hugeobj_has(struct vm_object *object, uint64_t index);
/* Promise [first, end) what it has not and was not promised yet. */
int must_check hugeobj_promise(struct vm_object *object, uint64_t first, uint64_t end);
/* Forget the pages and promises in [first, end). */
void hugeobj_drop(struct vm_object *object, uint64_t first, uint64_t end);
/* vm_object_resize and vm_object_punch for these. */
int must_check hugeobj_resize(struct vm_object *object, uint64_t size);
int must_check hugeobj_punch(struct vm_object *object, uint64_t off, uint64_t len);

#endif
