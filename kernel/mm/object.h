/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * object.h - what can be mapped: a page-cache object, the memory of one file.
 *
 * read(2), write(2) and mmap of a file all use these pages, so they always agree. A file system
 * embeds a vm_object in its inode and supplies the two operations; the page
 * cache finds, fills and drops pages. Index = byte offset / PAGE_SIZE.
 *
 * Lock: object->lock (RANK_PAGECACHE) guards pages and size changes. An area joins and leaves
 * object->areas under its space's write lock and areas_lock. Page contents are not guarded
 * (as on Linux, concurrent mmap writers race).
 */
#ifndef SELKIE_MM_OBJECT_H
#define SELKIE_MM_OBJECT_H

#include "core/mutex.h"
#include "lib/radix.h"
#include "mm/page.h"

struct vm_object;
struct vm_object_ops {
    /* Fill a fresh zeroed page with the file's bytes; NULL op: zeroes are right. Thread context,
     * object->lock held. */
    int (*fill)(struct vm_object *object, uint64_t index, struct page *page);
    /* Take / drop a reference on the owner (inode). */
    void (*get)(struct vm_object *object);
    void (*put)(struct vm_object *object);
    /* Take a reference unless the last one is gone. Any object with a fill operation has this. */
    bool (*get_live)(struct vm_object *object);
    /* An area that could write to it comes or goes (shared, of a file open for writing): +1, -1.
     * Atomic; there is a reference. NULL: nobody wants to know. */
    void (*writable_area)(struct vm_object *object, int delta);
};
/* How many pages the objects of one file system may have together. Huge pages count as one, and
 * what has been promised to a file counts, too (hugetlb.c). */
struct vm_quota {
    uint64_t max;  /* 0: there is no quota; atomic */
    uint64_t used; /* atomic */
    /* Huge pages only, guarded by the pool's lock: promises that the file system has been given
     * when it was mounted (min_size=), those that no file has, and those that files have. */
    uint64_t min, spare, held;
};
struct vm_object {
    const struct vm_object_ops *ops;
    struct vm_quota *quota; /* or NULL; set before it has pages */
    struct mutex lock;
    struct radix pages;  /* index -> struct page *, one reference each */
    uint64_t page_count; /* atomic: read without the lock as a hint */
    uint64_t size; /* bytes; a fault wholly beyond it is SIGBUS. Atomic: read without the lock. */
    struct spinlock areas_lock; /* RANK_AREAS: guards areas */
    struct list areas;          /* area.object_link: who maps this object; entries without a space
                                   are places of walks (object.c) */
    struct list cache_link;     /* among those whose pages can be filled again; object.c */
    bool evictable;             /* on that list; set before it has pages */
    uint8_t huge_shift;         /* 0, or log2 of the size of its pages: hugeobj.c; fixed */
    bool code;                  /* a program has executed it; set once, atomic */
    bool written_by_maps;       /* a shared mapping could ever write: pages may be dirty unseen;
                                   set once, atomic */
};

/* Once, at boot. */
void vm_cache_init(void);
void vm_object_init(struct vm_object *object, const struct vm_object_ops *ops, uint64_t size);
/* Give an object without pages operations that can fill them; from now on clean pages are evicted
 * when memory is short. */
void vm_object_set_backed(struct vm_object *object, const struct vm_object_ops *ops);
/* Drop up to `want` pages that can be filled again, of all objects in turn, and return their
 * number. `mapped`: also such that programs have mapped (never those of locked areas). Thread
 * context, no lock held. */
uint64_t vm_cache_evict(uint64_t want, bool mapped);
/* The first cached page at or after *index; sets *index. object->lock held. */
struct page *vm_object_next_locked(struct vm_object *object, uint64_t *index);
/* How many pages of programs' code had been evicted and were filled again, ever: what reclaim takes
 * without winning anything. */
uint64_t vm_cache_refaults(void);
/* Pages of objects that vm_cache_evict looks at: at most so many could go. */
uint64_t vm_cache_pages(void);
/* Drop all pages; no mapping and no user is left. */
void vm_object_destroy(struct vm_object *object);

/* The page at index, filled, with a reference for the caller. -ENOMEM, -EIO. With create=false:
 * -ENOENT if not cached and fill would have to run. */
int must_check vm_object_page(struct vm_object *object, uint64_t index, bool create,
                              struct page **out);
/* Is the page cached? (mincore) */
bool vm_object_cached(struct vm_object *object, uint64_t index);
/* Set the size; shrinking drops pages past the end, zeroes the tail of the last one, and removes
 * them from every address space that maps them (later access: SIGBUS). */
int must_check vm_object_resize(struct vm_object *object, uint64_t size);
/* Take bytes [off, off+len) out of every address space that maps them, private copies included (as
 * Linux does for truncation). No lock of mm held. */
void vm_object_unmap(struct vm_object *object, uint64_t off, uint64_t len);
/* The same of the object's own pages only. */
void vm_object_unmap_own(struct vm_object *object, uint64_t off, uint64_t len);
/* Make whole pages in [off, off+len) read as zero again (MADV_REMOVE, punched holes); private
 * copies stay, as on Linux. -EOPNOTSUPP if the object has a fill operation. */
int must_check vm_object_punch(struct vm_object *object, uint64_t off, uint64_t len);
/* Copy between the object and kernel memory, within its size. Callers hold the inode lock for
 * writes. */
int must_check vm_object_read(struct vm_object *object, uint64_t off, void *dst, size_t len);
int must_check vm_object_write(struct vm_object *object, uint64_t off, const void *src, size_t len);
/* The same with user memory; return bytes done (> 0) or a negative errno if none. */
long must_check vm_object_read_user(struct vm_object *object, uint64_t off, uaddr_t dst,
                                    size_t len);
long must_check vm_object_write_user(struct vm_object *object, uint64_t off, uaddr_t src,
                                     size_t len);

#endif
