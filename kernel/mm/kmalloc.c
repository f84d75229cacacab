/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kmalloc.c - the kernel's allocator: objects up to half a page from the pools of slab.c, page
 * blocks above.
 *
 * A block's size is remembered in private_[0] of its page.
 *
 * Fast paths. kmalloc and kfree finish the common case without calling anything and hand everything
 * else over by a tail call, so that they save no register and make no frame; this file is compiled
 * for that (cmake/kernel.cmake).
 *
 * Under AddressSanitizer free objects are poisoned, and every object has its exact size: the rest
 * of its slot is poisoned too, and the last eight bytes of the slot keep the size. What a CPU frees
 * waits until it has freed DELAY_COUNT more objects (kmalloc_delay_frees), so that a use after the
 * free meets poison and not the next owner. With SELKIE_MEMORY_DEBUG memdebug.c watches every
 * object instead.
 */
#include "mm/kmalloc.h"

#include "lib/string.h"
#include "mm/failpoint.h"
#include "mm/memdebug.h"
#include "mm/reclaim.h"
#include "mm/slab.h"

#define DELAY_COUNT 64u

/* Objects that their owners have freed, of one CPU: a ring. Interrupts use it too. */
struct delayed {
    void *object[DELAY_COUNT];
    unsigned at; /* the oldest one; the next is put there */
};
static struct delayed *delayed; /* one per CPU; NULL: frees are not delayed */

/* For what is not the fast path. */
#define slow_path __attribute__((noinline, cold))

/* Page blocks; relaxed atomics, for statistics only. */
static uint64_t block_allocs, block_frees, block_bytes;

static struct shrinker slab_shrinker;
static void quarantine_drain(void);
static void delayed_drain(void);

static uint64_t slabs_scan(uint64_t want)
{
    (void)want;
    quarantine_drain();
    delayed_drain();
    return slab_trim_all();
}

void kmalloc_init(void)
{
    block_allocs = block_frees = block_bytes = 0;
    if (SELKIE_MEMORY_DEBUG)
        memdebug_init();
    slab_init();
    if (!slab_shrinker.scan) {
        slab_shrinker = (struct shrinker){.name = "slabs", .scan = slabs_scan};
        shrinker_register(&slab_shrinker);
    }
}

static bool is_power_of_two(size_t n)
{
    return n && (n & (n - 1)) == 0;
}

/* The slot an object of `size` needs, its sanitizer record included. */
static inline size_t slot_bytes(size_t size)
{
    if (!SELKIE_ASAN)
        return size;
    /* Twice a power of two is still aligned to it. */
    return is_power_of_two(size) && size >= SLAB_UNIT ? size * 2 : size + sizeof(uint64_t);
}

/* ---- page blocks --------------------------------------------------------------------------------
 */

static void *block_alloc(size_t size, unsigned flags)
{
    unsigned order = 0;
    while (order <= PAGE_ORDER_MAX && PAGE_SIZE << order < size)
        order++;
    if (order > PAGE_ORDER_MAX)
        return NULL;
    struct page *page = page_alloc_quiet(order, PAGE_KERNEL, flags);
    if (!page)
        return NULL;
    page->private_[0] = size;
    __atomic_add_fetch(&block_allocs, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&block_bytes, PAGE_SIZE << order, __ATOMIC_RELAXED);
    memory_poison((char *)page_virt(page) + size, (PAGE_SIZE << order) - size, POISON_ZONE);
    return page_virt(page);
}

static void block_free(struct page *page, const void *ptr)
{
    if (page->type != PAGE_KERNEL || ((uintptr_t)ptr & (PAGE_SIZE - 1)))
        slab_bad_free(ptr);
    __atomic_add_fetch(&block_frees, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&block_bytes, PAGE_SIZE << page->order, __ATOMIC_RELAXED);
    page_put(page);
}

/* ---- the interface ------------------------------------------------------------------------------
 */

/* Where the sanitizer's record of an object's size lies. */
static uint64_t *size_record(void *slot, size_t bytes)
{
    return (uint64_t *)(void *)((char *)slot + bytes - sizeof(uint64_t));
}

static void object_open(void *slot, size_t size, size_t bytes)
{
    memory_unpoison(slot, bytes);
    *size_record(slot, bytes) = size;
    memory_poison((char *)slot + size, bytes - size, POISON_ZONE);
}

static void *slot_alloc(size_t size, unsigned flags)
{
    void *object = slab_alloc(slot_bytes(size), flags);
    if (!object || (!SELKIE_ASAN && !(flags & ALLOC_ZERO)))
        return object;
    size_t bytes = slab_object_bytes(page_of_virt(object));
    memory_unpoison(object, bytes);
    /* The whole slot: what krealloc later adds within it is zero, too. */
    if (flags & ALLOC_ZERO)
        memset(object, 0, bytes);
    if (SELKIE_ASAN)
        object_open(object, size, bytes);
    return object;
}

slow_path static void *kmalloc_slow(size_t size, unsigned flags)
{
    if (failpoint_hit(flags))
        return NULL;
    size = MAX(size, (size_t)1);
    if (size > SLAB_SLOT_MAX || slot_bytes(size) > SLAB_SLOT_MAX)
        return block_alloc(size, flags);
    return slot_alloc(size, flags);
}

slow_path static void kfree_slow(void *ptr, struct page *page)
{
    if (page->type == PAGE_SLAB)
        slab_free(page, ptr);
    else
        block_free(page, ptr);
}

/* What is of no slab of this CPU (a moment ago). */
static inline void free_away(void *ptr, struct page *page)
{
    if (page->type == PAGE_SLAB)
        slab_free_remote(page, ptr);
    else
        block_free(page, ptr);
}

/* ---- AddressSanitizer: frees are delayed ---- */

void kmalloc_delay_frees(void)
{
    if (SELKIE_ASAN) /* NULL: then they are not */
        delayed = kmalloc(hal_cpu_count() * sizeof(*delayed), ALLOC_ZERO);
}

/* The object that has waited longest, or NULL, for `object`, which has just been freed. */
static void *delayed_swap(void *object)
{
    unsigned long brief = hal_brief_begin();
    struct delayed *own = &delayed[hal_cpu_id()];
    void *oldest = own->object[own->at];
    own->object[own->at] = object;
    own->at = (own->at + 1) % DELAY_COUNT;
    hal_brief_end(brief);
    return oldest;
}

/* What of slabs is freed right waits; everything else is for kfree to deal with. */
static void *delayed_free(void *object)
{
    const struct page *page = page_of_virt(object);
    if (!delayed || page->type != PAGE_SLAB || !slab_slot_valid(pool_of(slab_pools, page), object))
        return object;
    memory_poison(object, slab_object_bytes(page), POISON_FREE);
    return delayed_swap(object);
}

static void delayed_drain(void)
{
    for (unsigned i = 0; SELKIE_ASAN && delayed && i < DELAY_COUNT; i++) {
        void *object = delayed_swap(NULL);
        if (object)
            kfree_slow(object, page_of_virt(object));
    }
}

/* ---- SELKIE_MEMORY_DEBUG ------------------------------------------------------------------------
 */

static void quarantine_drain(void)
{
    void *slot;
    while (SELKIE_MEMORY_DEBUG && (slot = memdebug_release()))
        kfree_slow(slot, page_of_virt(slot));
}

size_t memdebug_slot_bytes(const void *slot)
{
    const struct page *page = page_of_virt(slot);
    return page->type == PAGE_SLAB ? slab_object_bytes(page) : PAGE_SIZE << page->order;
}

static void *debug_take(size_t bytes, unsigned flags)
{
    if (bytes > SLAB_SLOT_MAX)
        return block_alloc(bytes, flags & ALLOC_ATOMIC);
    return slab_alloc(bytes, flags);
}

static void *debug_alloc(size_t size, unsigned flags, uintptr_t pc, uintptr_t fp)
{
    size = MAX(size, (size_t)1);
    size_t bytes = memdebug_slot(size);
    if (failpoint_hit(flags) || bytes == 0)
        return NULL;
    void *slot = debug_take(bytes, flags);
    if (!slot) { /* before it fails, what is only kept under observation goes */
        quarantine_drain();
        slot = debug_take(bytes, flags);
    }
    if (!slot)
        return NULL;
    memory_unpoison(slot, memdebug_slot_bytes(slot));
    memdebug_open(slot, memdebug_slot_bytes(slot), size, pc, fp);
    if (flags & ALLOC_ZERO)
        memset(slot, 0, size);
    return slot;
}

static void debug_free(void *ptr, uintptr_t pc, uintptr_t fp)
{
    const struct page *page = page_of_virt(ptr);
    size_t offset = (uintptr_t)ptr & (PAGE_SIZE - 1);
    bool ok = page->type == PAGE_SLAB ? offset % slab_object_bytes(page) == 0
                                      : page->type == PAGE_KERNEL && offset == 0;
    if (!ok)
        slab_bad_free(ptr);
    void *out = memdebug_close(ptr, memdebug_slot_bytes(ptr), pc, fp);
    if (out)
        kfree_slow(out, page_of_virt(out));
}

/* Of the caller of a public function, which its body must name itself. */
#define CALLER_PC ((uintptr_t)__builtin_return_address(0))
#define CALLER_FP (*(const uintptr_t *)__builtin_frame_address(0))

/* ---- the interface, continued ---- */

/* ALLOC_ZERO, as a function of its own because it calls memset. */
__attribute__((noinline)) static void *kmalloc_zero(size_t size, unsigned flags)
{
    unsigned long brief = hal_brief_begin();
    struct pool *pool = pool_for(pools_here(), size);
    size_t bytes = pool->bytes;
    void *object = pool_take(pool);
    hal_brief_end(brief);
    return __builtin_expect(object != NULL, 1) ? memset(object, 0, bytes)
                                               : kmalloc_slow(size, flags);
}

void *kmalloc(size_t size, unsigned flags)
{
    if (SELKIE_MEMORY_DEBUG)
        return debug_alloc(size, flags, CALLER_PC, CALLER_FP);
    if (SELKIE_ASAN || __builtin_expect(size > SLAB_SLOT_MAX || failpoint_armed(), 0))
        return kmalloc_slow(size, flags);
    if (flags & ALLOC_ZERO)
        return kmalloc_zero(size, flags);
    unsigned long brief = hal_brief_begin();
    void *object = pool_take(pool_for(pools_here(), size));
    hal_brief_end(brief);
    return __builtin_expect(object != NULL, 1) ? object : slab_alloc(size, flags);
}

void *kmalloc_array(size_t count, size_t size, unsigned flags)
{
    size_t total;
    return mul_overflow(count, size, &total) ? NULL : kmalloc(total, flags);
}

size_t kmalloc_size(const void *ptr)
{
    if (SELKIE_MEMORY_DEBUG)
        return memdebug_size(ptr, memdebug_slot_bytes(ptr));
    const struct page *page = page_of_virt(ptr);
    if (page->type != PAGE_SLAB)
        return SELKIE_ASAN ? page->private_[0] : PAGE_SIZE << page->order;
    size_t bytes = slab_object_bytes(page);
    if (!SELKIE_ASAN)
        return bytes;
    uint64_t *record = size_record((void *)(uintptr_t)ptr, bytes);
    memory_unpoison(record, sizeof *record);
    size_t size = *record;
    memory_poison(record, sizeof *record, POISON_ZONE);
    return size;
}

void kfree(void *ptr)
{
    if (!ptr)
        return;
    if (SELKIE_MEMORY_DEBUG) {
        debug_free(ptr, CALLER_PC, CALLER_FP);
        return;
    }
    if (SELKIE_ASAN) {
        (void)*(volatile char *)ptr; /* the sanitizer reports a second free here */
        ptr = delayed_free(ptr);
        if (!ptr)
            return;
    }
    struct page *page;
    bool done;
    unsigned long brief = hal_brief_begin();
    struct pools *own = pools_here();
    uintptr_t offset = (uintptr_t)ptr ^ own->near;
    if (__builtin_expect(offset < PAGE_SIZE, 1)) {
        page = own->near_slab;
        done = __builtin_expect(pool_give(own->near_pool, page, ptr, (uint32_t)offset), 1);
    } else {
        page = page_of_direct(ptr);
        if (page->slab_tag != own->tag) {
            hal_brief_end(brief);
            free_away(ptr, page);
            return;
        }
        done = __builtin_expect(pool_give(pool_of(own, page), page, ptr, slab_offset(ptr)), 1);
    }
    hal_brief_end(brief);
    if (!done) /* a slab of this CPU's, or something wrong */
        slab_free(page, ptr);
}

void *krealloc(void *old, size_t size, unsigned flags)
{
    if (!old)
        return kmalloc(size, flags);
    size_t have = kmalloc_size(old);
    /* Stay, unless the block would be mostly empty. (Exact sizes under the sanitizer: always move.)
     */
    if (!SELKIE_ASAN && !SELKIE_MEMORY_DEBUG && size <= have && size >= have / 4)
        return old;
    void *block = kmalloc(size, flags);
    if (!block)
        return NULL;
    memcpy(block, old, MIN(have, size));
    kfree(old);
    return block;
}

char *kstrdup(const char *s, unsigned flags)
{
    size_t size = strlen(s) + 1;
    char *copy = kmalloc(size, flags);
    return copy ? memcpy(copy, s, size) : NULL;
}

void kmalloc_get_stats(struct kmalloc_stats *out)
{
    *out = (struct kmalloc_stats){
        .bytes_in_use = __atomic_load_n(&block_bytes, __ATOMIC_RELAXED),
        .bytes_held = __atomic_load_n(&block_bytes, __ATOMIC_RELAXED),
        .allocs = __atomic_load_n(&block_allocs, __ATOMIC_RELAXED),
        .frees = __atomic_load_n(&block_frees, __ATOMIC_RELAXED),
    };
    slab_add_stats(out);
}
