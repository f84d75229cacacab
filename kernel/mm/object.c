/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * object.c - the page cache: pages of a vm_object, found by index, filled on demand.
 *
 * Each cached page has one reference of the object; users take their own. So a page that truncation
 * drops stays alive as long as somebody copies from it.
 *
 * Truncation and mappings (vm_object_resize). The new size is published first, under object->lock,
 * which a fault takes to get its page: a fault that comes later sees it and gives SIGBUS. A fault
 * that came earlier holds its space's lock for reading until the page is mapped; vm_object_unmap
 * takes that lock for writing, so it waits for such a fault and then removes the mapping. Only then
 * the pages are dropped.
 *
 * Holes (vm_object_punch) are the other way round, for the size stays: pages are dropped first, so
 * a fault that comes later gets a fresh one, and one that came earlier is waited for and unmapped.
 *
 * vm_object_unmap must take sleeping space locks, so it cannot hold areas_lock over its walk. It
 * keeps its place in the list by an entry of its own, an area without a space. Areas that appear
 * meanwhile come behind it. Walks of several threads do not disturb each other. The space of
 * an area found is kept alive by a reference while areas_lock is dropped; what it maps of the
 * object is removed at once, so it does no harm that areas passed by later take in others, and
 * the areas of the same space that follow need no second look: what is mapped there since is new
 * (a fault that came later sees the new size, or gets a fresh page).
 *
 * Where a page has been evicted the tree keeps a mark, until the page comes back or is cut off:
 * code that comes back is counted (sched/pressure.c, "Thrashing"). The marks keep the tree's nodes,
 * eight bytes a page.
 *
 * User copies run without object->lock, for they may fault.
 */
#include "mm/object.h"

#include "lib/errno.h"
#include "lib/string.h"
#include "mm/area.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"
#include "mm/reclaim.h"
#include "mm/space.h"
#include "mm/usercopy.h"

static void *node_alloc(size_t size)
{
    return kzalloc(size);
}
static const struct radix_alloc node_allocator = {node_alloc, kfree};

/* Objects whose pages can be filled again, the next to be looked at by vm_cache_evict first. */
static struct spinlock cache_lock = SPINLOCK_INIT(RANK_AREAS);
static struct list cache_list;
static size_t cache_objects; /* on the list */
static uint64_t refaults;    /* relaxed atomic */
static char evicted;         /* its address stands in the tree where a page has been evicted */
static uint64_t cache_pages; /* theirs; relaxed atomic */
#define CACHE_STEPS 64       /* of the list under one hold of its lock */

void vm_cache_init(void)
{
    list_init(&cache_list);
    cache_objects = 0;
    cache_pages = 0;
}

void vm_object_init(struct vm_object *object, const struct vm_object_ops *ops, uint64_t size)
{
    *object = (struct vm_object){.ops = ops, .size = size};
    mutex_init(&object->lock, RANK_PAGECACHE);
    radix_init(&object->pages, &node_allocator);
    spin_init(&object->areas_lock, RANK_AREAS);
    list_init(&object->areas);
    list_init(&object->cache_link);
}

void vm_object_set_backed(struct vm_object *object, const struct vm_object_ops *ops)
{
    ASSERT(object->page_count == 0 && ops->fill && ops->get_live);
    object->ops = ops;
    spin_lock(&cache_lock);
    if (list_empty(&object->cache_link)) {
        list_push_back(&cache_list, &object->cache_link);
        cache_objects++;
    }
    object->evictable = true;
    spin_unlock(&cache_lock);
}

static uint64_t object_size(struct vm_object *object)
{
    return __atomic_load_n(&object->size, __ATOMIC_RELAXED);
}

/* ---- pages -------------------------------------------------------------------------------------
 */

/* object->lock held. */
static void count_pages_locked(struct vm_object *object, uint64_t delta)
{
    if (object->quota && (int64_t)delta < 0) /* what comes has been taken by quota_take */
        __atomic_add_fetch(&object->quota->used, delta, __ATOMIC_RELAXED);
    __atomic_store_n(&object->page_count, object->page_count + delta, __ATOMIC_RELAXED);
    if (object->evictable)
        __atomic_add_fetch(&cache_pages, delta, __ATOMIC_RELAXED);
}

/* One page more; objects of one quota are filled side by side. */
static bool quota_take(struct vm_quota *quota)
{
    if (!quota)
        return true;
    uint64_t used = __atomic_load_n(&quota->used, __ATOMIC_RELAXED);
    while (used < __atomic_load_n(&quota->max, __ATOMIC_RELAXED))
        if (__atomic_compare_exchange_n(&quota->used, &used, used + 1, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

static void quota_give(struct vm_quota *quota)
{
    if (quota)
        __atomic_sub_fetch(&quota->used, 1, __ATOMIC_RELAXED);
}

/* The page at index, or NULL. object->lock held. */
static struct page *lookup_locked(const struct vm_object *object, uint64_t index)
{
    void *entry = radix_get(&object->pages, index);
    return entry == &evicted ? NULL : entry;
}

struct page *vm_object_next_locked(struct vm_object *object, uint64_t *index)
{
    void *entry;
    while ((entry = radix_next(&object->pages, index)) == &evicted)
        ++*index;
    return entry;
}

/* Drop cached pages with first <= index < end, and forget evicted ones; object->lock held. */
static void drop_pages_locked(struct vm_object *object, uint64_t first, uint64_t end)
{
    void *entry;
    for (uint64_t index = first; (entry = radix_next(&object->pages, &index)) && index < end;) {
        struct page *page = entry;
        (void)radix_remove(&object->pages, index);
        if (entry == &evicted)
            continue;
        count_pages_locked(object, -(uint64_t)1);
        page_put(page);
    }
}

void vm_object_destroy(struct vm_object *object)
{
    ASSERT(list_empty(&object->areas));
    /* Who finds the object in the list takes a reference on it under the lock, and cannot any more.
     */
    spin_lock(&cache_lock);
    if (!list_empty(&object->cache_link)) {
        list_remove(&object->cache_link);
        cache_objects--;
    }
    spin_unlock(&cache_lock);
    if (object->huge_shift)
        hugeobj_drop(object, 0, UINT64_MAX);
    mutex_lock(&object->lock);
    drop_pages_locked(object, 0, UINT64_MAX);
    radix_clear(&object->pages);
    mutex_unlock(&object->lock);
}

uint64_t vm_cache_refaults(void)
{
    return __atomic_load_n(&refaults, __ATOMIC_RELAXED);
}

/* A fresh page at index, filled and in the cache. object->lock held. Reading a file that is code,
 * too, is no sign of thrashing: `fault`. */
static int page_make_locked(struct vm_object *object, uint64_t index, bool fault, struct page **out)
{
    /* Code that goes as soon as it is here: no memory for it is the truth (sched/pressure.c). */
    bool back = fault && radix_get(&object->pages, index) == &evicted &&
                __atomic_load_n(&object->code, __ATOMIC_RELAXED);
    if (back && memory_thrashing())
        return -ENOMEM;
    if (!quota_take(object->quota))
        return -ENOSPC;
    struct page *page = page_alloc(0, PAGE_FILE, ALLOC_ZERO);
    if (!page) {
        quota_give(object->quota);
        return -ENOMEM;
    }
    page->object = object;
    page->index = index;
    int err = object->ops->fill ? object->ops->fill(object, index, page) : 0;
    if (!err)
        err = radix_set(&object->pages, index, page);
    if (err) {
        quota_give(object->quota);
        page_put(page);
        return err;
    }
    page->flags |= PAGE_FLAG_UPTODATE;
    count_pages_locked(object, 1);
    if (back)
        __atomic_add_fetch(&refaults, 1, __ATOMIC_RELAXED);
    *out = page;
    return 0;
}

static int page_get_locked(struct vm_object *object, uint64_t index, bool create, bool fault,
                           struct page **out)
{
    if (object->huge_shift)
        return -EINVAL; /* its pages are had by hugeobj_page only */
    /* Compare page numbers: index * PAGE_SIZE could wrap. */
    if (index >= (object_size(object) + PAGE_SIZE - 1) >> PAGE_SHIFT)
        return -ENXIO;
    struct page *page = lookup_locked(object, index);
    int err = 0;
    if (!page) {
        if (!create && object->ops->fill)
            return -ENOENT;
        err = page_make_locked(object, index, fault, &page);
    }
    if (!err) {
        page_get(page);
        *out = page;
    }
    return err;
}

int vm_object_page(struct vm_object *object, uint64_t index, bool create, struct page **out)
{
    mutex_lock(&object->lock);
    int err = page_get_locked(object, index, create, true, out);
    mutex_unlock(&object->lock);
    return err;
}

size_t vm_object_pages(struct vm_object *object, uint64_t index, size_t count, struct page **out)
{
    size_t got = 0;
    mutex_lock(&object->lock);
    while (got < count && page_get_locked(object, index + got, true, true, &out[got]) == 0)
        got++;
    mutex_unlock(&object->lock);
    return got;
}

bool vm_object_cached(struct vm_object *object, uint64_t index)
{
    if (object->huge_shift)
        return hugeobj_has(object, index >> (object->huge_shift - PAGE_SHIFT));
    mutex_lock(&object->lock);
    bool cached = lookup_locked(object, index) != NULL;
    mutex_unlock(&object->lock);
    return cached;
}

/* ---- size and holes --------------------------------------------------------------------- */

/* Zero what a page has from byte `from` of the object on, if it is cached. object->lock held. */
static void zero_tail_locked(struct vm_object *object, uint64_t from)
{
    size_t offset = from & (PAGE_SIZE - 1);
    struct page *page = offset ? lookup_locked(object, from >> PAGE_SHIFT) : NULL;
    if (page)
        memset((char *)page_virt(page) + offset, 0, PAGE_SIZE - offset);
}

/* The tail of the last page must be read as zero after growth, and a fill operation would bring the
 * old bytes back: so that page is made resident before it is cut. object->lock held. */
static int prepare_tail_locked(struct vm_object *object, uint64_t size)
{
    if ((size & (PAGE_SIZE - 1)) == 0 || size >= object_size(object) || !object->ops->fill)
        return 0;
    struct page *page;
    int err = page_get_locked(object, size >> PAGE_SHIFT, true, false, &page);
    if (!err)
        page_put(page);
    return err;
}

int vm_object_resize(struct vm_object *object, uint64_t size)
{
    if (object->huge_shift)
        return hugeobj_resize(object, size);
    mutex_lock(&object->lock);
    uint64_t old = object_size(object);
    int err = prepare_tail_locked(object, size);
    if (!err) {
        /* A shared mapping may have written behind the old end, in its last page. */
        if (size > old)
            zero_tail_locked(object, old);
        __atomic_store_n(&object->size, size, __ATOMIC_RELAXED);
    }
    mutex_unlock(&object->lock);
    if (err || size >= old)
        return err;

    uint64_t keep = align_down(size, PAGE_SIZE) + (size & (PAGE_SIZE - 1) ? PAGE_SIZE : 0);
    vm_object_unmap(object, keep, UINT64_MAX - keep);
    mutex_lock(&object->lock);
    /* Somebody may have grown the file again meanwhile: callers serialise changes of the size by
     * the inode's lock, so nobody has. */
    drop_pages_locked(object, keep >> PAGE_SHIFT, UINT64_MAX);
    zero_tail_locked(object, size);
    mutex_unlock(&object->lock);
    return 0;
}

#define WALK_STEPS 64 /* of the list under one hold of its lock */

static void walk_begin(struct vm_object *object, struct area *place)
{
    *place = (struct area){0};
    spin_lock(&object->areas_lock);
    list_push_front(&object->areas, &place->object_link);
    spin_unlock(&object->areas_lock);
}

/* The space of the next area, with a reference; NULL: all were seen, the walk is over. `done` is
 * the space that the caller has just dealt with as a whole, and still refers to: the rest of its
 * areas that follow, maybe tens of thousands, are passed by. */
static struct space *walk_next(struct vm_object *object, struct area *place,
                               const struct space *done)
{
    struct space *found = NULL;
    struct list *next;
    spin_lock(&object->areas_lock);
    for (unsigned steps = 0; !found && (next = place->object_link.next) != &object->areas;
         steps++) {
        if (steps == WALK_STEPS) { /* the place stays: let others run */
            spin_unlock(&object->areas_lock);
            steps = 0;
            spin_lock(&object->areas_lock);
            continue;
        }
        struct area *area = list_entry(next, struct area, object_link);
        list_remove(&place->object_link);
        list_insert_after(next, &place->object_link);
        if (area->space == done)
            continue; /* also another walk's place, if there is none done yet */
        /* Another walk's place has no space. A space without references is being torn down: it
         * unmaps everything itself, and no program runs in it. */
        if (area->space && ref_get_live(&area->space->refs))
            found = area->space;
    }
    if (!found)
        list_remove(&place->object_link);
    spin_unlock(&object->areas_lock);
    return found;
}

/* Each program's space that has the object. */
static void each_space(struct vm_object *object, void (*what)(struct space *space, void *arg),
                       void *arg)
{
    struct area place;
    struct space *space, *done = NULL;
    walk_begin(object, &place);
    while ((space = walk_next(object, &place, done))) {
        if (done)
            space_put(done);
        done = space;
        rwlock_write_lock(&space->lock);
        what(space, arg);
        rwlock_write_unlock(&space->lock);
    }
    if (done)
        space_put(done);
}

struct range {
    struct vm_object *object;
    uint64_t off, len;
    bool copies;
};

static void unmap_range_locked(struct space *space, void *arg)
{
    const struct range *range = arg;
    space_unmap_object_locked(space, range->object, range->off, range->len, range->copies);
}

static void unmap_range(struct vm_object *object, uint64_t off, uint64_t len, bool copies)
{
    struct range range = {.object = object, .off = off, .len = len, .copies = copies};
    each_space(object, unmap_range_locked, &range);
}

void vm_object_unmap(struct vm_object *object, uint64_t off, uint64_t len)
{
    unmap_range(object, off, len, true);
}

void vm_object_unmap_own(struct vm_object *object, uint64_t off, uint64_t len)
{
    unmap_range(object, off, len, false);
}

int vm_object_punch(struct vm_object *object, uint64_t off, uint64_t len)
{
    uint64_t end;
    if (object->huge_shift)
        return hugeobj_punch(object, off, len);
    if (object->ops->fill)
        return -EOPNOTSUPP;
    if (add_overflow(off, len, &end))
        return -EINVAL;
    uint64_t first = (off >> PAGE_SHIFT) + !!(off & (PAGE_SIZE - 1)), last = end >> PAGE_SHIFT;
    if (first >= last)
        return 0;
    mutex_lock(&object->lock);
    drop_pages_locked(object, first, last);
    mutex_unlock(&object->lock);
    vm_object_unmap_own(object, first << PAGE_SHIFT, (last - first) << PAGE_SHIFT);
    return 0;
}

void vm_object_add_area(struct vm_object *object, struct area *area)
{
    /* Before any of its pages can be mapped, so eviction sees it before a page is dirty. */
    if ((area->flags & AREA_SHARED) && (area->flags & AREA_MAYWRITE))
        __atomic_store_n(&object->written_by_maps, true, __ATOMIC_RELEASE);
    if (area->prot & PROT_EXEC)
        __atomic_store_n(&object->code, true, __ATOMIC_RELAXED);
    spin_lock(&object->areas_lock);
    list_push_back(&object->areas, &area->object_link); /* walks in progress come to it */
    spin_unlock(&object->areas_lock);
}

void vm_object_remove_area(struct vm_object *object, struct area *area)
{
    spin_lock(&object->areas_lock);
    list_remove(&area->object_link);
    spin_unlock(&object->areas_lock);
}

/* ---- eviction --------------------------------------------------------------------------- */

/*
 * What may go: a page that the fill operation brings back as it is, and that nobody uses. Users
 * take their reference under object->lock, so with the lock held a single reference is the object's
 * own. Written pages carry PAGE_FLAG_DIRTY before their writer drops its reference (acquire: we see
 * it); pages that a mapping may have written are not known, so such objects are left alone.
 */
static uint64_t evict_object(struct vm_object *object, uint64_t want)
{
    uint64_t done = 0;
    struct page *page;
    mutex_lock(&object->lock);
    if (object->page_count && !__atomic_load_n(&object->written_by_maps, __ATOMIC_ACQUIRE))
        for (uint64_t index = 0; done < want && (page = vm_object_next_locked(object, &index));
             index++) {
            if (__atomic_load_n(&page->refs.count, __ATOMIC_ACQUIRE) != 1 ||
                (__atomic_load_n(&page->flags, __ATOMIC_RELAXED) & PAGE_FLAG_DIRTY))
                continue;
            CHECK(radix_set(&object->pages, index, &evicted) == 0); /* the entry is there */
            count_pages_locked(object, -(uint64_t)1);
            page_put(page);
            done++;
        }
    mutex_unlock(&object->lock);
    return done;
}

static void unmap_clean_locked(struct space *space, void *object)
{
    space_unmap_clean_locked(space, object);
}

/* Take the object's clean pages out of the programs' page tables. */
static void unmap_clean(struct vm_object *object)
{
    each_space(object, unmap_clean_locked, object);
}

/* The next object, with a reference, at most `left` steps on; it goes to the end of the list. */
static struct vm_object *cache_next(size_t *left)
{
    struct vm_object *found = NULL;
    spin_lock(&cache_lock);
    for (unsigned steps = 0; !found && *left > 0 && !list_empty(&cache_list); steps++) {
        if (steps == CACHE_STEPS) { /* thousands may be empty: let others run */
            spin_unlock(&cache_lock);
            steps = 0;
            spin_lock(&cache_lock);
            continue; /* the list may be empty by now */
        }
        struct vm_object *object = list_entry(cache_list.next, struct vm_object, cache_link);
        list_remove(&object->cache_link);
        list_push_back(&cache_list, &object->cache_link);
        --*left;
        /* The count is a hint here. */
        if (__atomic_load_n(&object->page_count, __ATOMIC_RELAXED) > 0 &&
            object->ops->get_live(object))
            found = object;
    }
    spin_unlock(&cache_lock);
    return found;
}

uint64_t vm_cache_pages(void)
{
    return __atomic_load_n(&cache_pages, __ATOMIC_RELAXED);
}

uint64_t vm_cache_evict(uint64_t want, bool mapped)
{
    uint64_t done = 0;
    struct vm_object *object;
    spin_lock(&cache_lock);
    size_t left = cache_objects;
    spin_unlock(&cache_lock);
    while (done < want && (object = cache_next(&left))) {
        if (mapped && !__atomic_load_n(&object->written_by_maps, __ATOMIC_ACQUIRE))
            unmap_clean(object);
        done += evict_object(object, want - done);
        object->ops->put(object);
    }
    return done;
}

/* ---- copying ------------------------------------------------------------------------------------
 */

enum copy_kind { COPY_READ, COPY_WRITE, COPY_READ_USER, COPY_WRITE_USER };

/* One page's part of a copy; the page has a reference, no lock is held. */
static int copy_part(enum copy_kind kind, struct page *page, size_t offset, uintptr_t other,
                     size_t len)
{
    char *data = (char *)page_virt(page) + offset;
    switch (kind) {
    case COPY_READ:
        memcpy((void *)other, data, len);
        return 0;
    case COPY_WRITE:
        memcpy(data, (const void *)other, len);
        return 0;
    case COPY_READ_USER:
        return copyout(uaddr(other), data, len);
    case COPY_WRITE_USER:
        return copyin(data, uaddr(other), len);
    }
    return -EINVAL;
}

/* Where user memory ends in the middle of a part, what lies in front of that page is copied and
 * counts: a call must not change more than it says. How much that is, or the error. */
static long copy_some(enum copy_kind kind, struct page *page, size_t offset, uintptr_t other,
                      size_t len)
{
    int err = copy_part(kind, page, offset, other, len);
    size_t there = PAGE_SIZE - (other & (PAGE_SIZE - 1));
    if (!err)
        return (long)len;
    if (there >= len || copy_part(kind, page, offset, other, there))
        return err;
    return (long)there;
}

/* Returns bytes copied (may be less than len only on an error), or the error if none were. */
static long copy_loop(enum copy_kind kind, struct vm_object *object, uint64_t off, uintptr_t other,
                      size_t len)
{
    size_t done = 0;
    int err = 0;
    while (done < len) {
        size_t offset = (off + done) & (PAGE_SIZE - 1);
        size_t n = MIN(len - done, PAGE_SIZE - offset);
        struct page *page;
        mutex_lock(&object->lock);
        err = page_get_locked(object, (off + done) >> PAGE_SHIFT, true, false, &page);
        mutex_unlock(&object->lock);
        if (err)
            break;
        long got = copy_some(kind, page, offset, other + done, n);
        if (kind == COPY_WRITE || kind == COPY_WRITE_USER)
            /* Atomic: other writers of this page set flags, too. */
            __atomic_store_n(&page->flags, PAGE_FLAG_UPTODATE | PAGE_FLAG_DIRTY, __ATOMIC_RELAXED);
        page_put(page);
        if (got < 0)
            err = (int)got;
        else
            done += (size_t)got;
        if (got < (long)n)
            break;
    }
    return done ? (long)done : err;
}

/* Kernel copies are whole or an error. */
static int copy_kernel(enum copy_kind kind, struct vm_object *object, uint64_t off, uintptr_t other,
                       size_t len)
{
    long n = copy_loop(kind, object, off, other, len);
    if (n < 0)
        return (int)n;
    return (size_t)n == len ? 0 : -EIO;
}

static bool range_ok(uint64_t off, size_t len)
{
    uint64_t end;
    return len <= LONG_MAX && !add_overflow(off, len, &end);
}

int vm_object_read(struct vm_object *object, uint64_t off, void *dst, size_t len)
{
    if (!range_ok(off, len))
        return -EINVAL;
    return copy_kernel(COPY_READ, object, off, (uintptr_t)dst, len);
}

int vm_object_write(struct vm_object *object, uint64_t off, const void *src, size_t len)
{
    if (!range_ok(off, len))
        return -EINVAL;
    return copy_kernel(COPY_WRITE, object, off, (uintptr_t)src, len);
}

long vm_object_read_user(struct vm_object *object, uint64_t off, uaddr_t dst, size_t len)
{
    if (!range_ok(off, len))
        return -EINVAL;
    long n = copy_loop(COPY_READ_USER, object, off, dst.raw, len);
    return n == -ENXIO ? 0 : n; /* cut short by a truncation: the end of the file */
}

long vm_object_write_user(struct vm_object *object, uint64_t off, uaddr_t src, size_t len)
{
    if (!range_ok(off, len))
        return -EINVAL;
    return copy_loop(COPY_WRITE_USER, object, off, src.raw, len);
}
