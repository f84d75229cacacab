/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kmalloc.c - the kernel's allocator: slabs of one page per size class, page blocks above.
 *
 * A slab is one page of type PAGE_SLAB cut into objects of one class, so the slab of an object is
 * the page it lies in. All bookkeeping is in the struct page: the free objects form a chain through
 * their own first bytes (numbers of 16-byte units, SLAB_END at the end), and slabs with at
 * least one free object form the class's list, linked by page numbers. A slab whose last object is
 * freed goes back to the page allocator unless it is the only one on the list.
 *
 * Anything larger than the last class is a block of pages, its size remembered in private_[0].
 *
 * Under AddressSanitizer free objects are poisoned, and every object has its exact size: the rest
 * of its slot is poisoned too, and the last eight bytes of the slot keep the size.
 * SELKIE_MEMORY_DEBUG fills free objects with a pattern and checks it when they are given out.
 *
 * Lock: one per class (RANK_SLAB, irqsave); page_alloc is called under it. Per-CPU caches can be
 * put in front of class_alloc and class_free without a change of the interface.
 */
#include "mm/kmalloc.h"

#include "core/spinlock.h"
#include "lib/sanitize.h"
#include "lib/string.h"
#include "mm/failpoint.h"

#define UNIT 16u
#define SLAB_END 0xffffu
#define NO_PAGE UINT32_MAX
#define SLOT_MAX 2048u
#define POISON_BYTE 0x6b

static const uint16_t class_bytes[] = {16,  32,  48,  64,  96,   128,  192,
                                       256, 384, 512, 768, 1024, 1536, 2048};
#define CLASS_COUNT ARRAY_COUNT(class_bytes)

struct size_class {
    struct spinlock lock;
    uint32_t partial; /* number of the first slab with a free object, or NO_PAGE */
    uint32_t slabs;
    uint64_t allocs, frees;
} cache_aligned;

static struct size_class classes[CLASS_COUNT];
static uint8_t class_by_units[SLOT_MAX / UNIT + 1];

/* Page blocks; relaxed atomics, for statistics only. */
static uint64_t block_allocs, block_frees, block_bytes;

void kmalloc_init(void)
{
    for (unsigned c = 0, units = 0; c < CLASS_COUNT; c++) {
        classes[c] = (struct size_class){.partial = NO_PAGE};
        spin_init(&classes[c].lock, RANK_SLAB);
        for (; units * UNIT <= class_bytes[c]; units++)
            class_by_units[units] = (uint8_t)c;
    }
}

static bool is_power_of_two(size_t n)
{
    return n && (n & (n - 1)) == 0;
}

/* The slot an object of `size` needs, its sanitizer record included. */
static size_t slot_bytes(size_t size)
{
    if (!SELKIE_ASAN)
        return size;
    /* Twice a power of two is still aligned to it. */
    return is_power_of_two(size) && size >= UNIT ? size * 2 : size + sizeof(uint64_t);
}

/* ---- slabs; class lock held -------------------------------------------------------------------
 */

static void partial_push(struct size_class *c, struct page *slab)
{
    slab->slab_prev = NO_PAGE;
    slab->slab_next = c->partial;
    if (c->partial != NO_PAGE)
        page_at(c->partial)->slab_prev = page_index(slab);
    c->partial = page_index(slab);
}

static void partial_remove(struct size_class *c, struct page *slab)
{
    if (slab->slab_prev != NO_PAGE)
        page_at(slab->slab_prev)->slab_next = slab->slab_next;
    else
        c->partial = slab->slab_next;
    if (slab->slab_next != NO_PAGE)
        page_at(slab->slab_next)->slab_prev = slab->slab_prev;
}

/* The chain link of a free object is kept in its first bytes, which are poisoned like the rest. */
static void link_write(char *object, uint16_t next, size_t bytes)
{
    if (SELKIE_MEMORY_DEBUG)
        memset(object, POISON_BYTE, bytes);
    *(uint16_t *)(void *)object = next;
    memory_poison(object, bytes);
}

static uint16_t link_read(const char *object)
{
    memory_unpoison(object, sizeof(uint64_t));
    return *(const uint16_t *)(const void *)object;
}

static void poison_check(const char *object, size_t bytes)
{
    memory_unpoison(object, bytes);
    for (size_t i = sizeof(uint16_t); i < bytes; i++)
        if (object[i] != POISON_BYTE)
            panic("object %p of %zu bytes was written at offset %zu after it was freed", object,
                  bytes, i);
}

static struct page *slab_make(unsigned class, unsigned flags)
{
    struct page *slab = page_alloc_quiet(0, PAGE_SLAB, flags & ALLOC_ATOMIC);
    if (!slab)
        return NULL;
    char *base = page_virt(slab);
    unsigned bytes = class_bytes[class], count = PAGE_SIZE / bytes;
    for (unsigned i = 0; i < count; i++) {
        unsigned next = (i + 1) * bytes / UNIT;
        link_write(base + i * bytes, i + 1 < count ? (uint16_t)next : SLAB_END, bytes);
    }
    memory_poison(base + count * bytes, PAGE_SIZE - count * bytes);
    slab->slab_free = 0;
    slab->slab_used = 0;
    slab->slab_class = (uint8_t) class;
    return slab;
}

static void *class_alloc(unsigned class, unsigned flags)
{
    struct size_class *c = &classes[class];
    char *object = NULL;
    unsigned long irq = spin_lock_irqsave(&c->lock);
    if (c->partial == NO_PAGE) {
        struct page *fresh = slab_make(class, flags);
        if (!fresh)
            goto out;
        partial_push(c, fresh);
        c->slabs++;
    }
    struct page *slab = page_at(c->partial);
    ASSERT(slab->type == PAGE_SLAB && slab->slab_free != SLAB_END);
    object = (char *)page_virt(slab) + slab->slab_free * UNIT;
    slab->slab_free = link_read(object);
    slab->slab_used++;
    if (slab->slab_free == SLAB_END)
        partial_remove(c, slab);
    c->allocs++;
    if (SELKIE_MEMORY_DEBUG)
        poison_check(object, class_bytes[class]);
out:
    spin_unlock_irqrestore(&c->lock, irq);
    return object;
}

static void class_free(struct page *slab, char *object)
{
    unsigned class = slab->slab_class;
    struct size_class *c = &classes[class];
    size_t offset = (size_t)(object - (char *)page_virt(slab));
    CHECK(class < CLASS_COUNT && offset % class_bytes[class] == 0);

    unsigned long irq = spin_lock_irqsave(&c->lock);
    CHECK(slab->slab_used > 0 && slab->slab_free != offset / UNIT);
    bool was_full = slab->slab_free == SLAB_END;
    link_write(object, slab->slab_free, class_bytes[class]);
    slab->slab_free = (uint16_t)(offset / UNIT);
    slab->slab_used--;
    c->frees++;
    if (was_full)
        partial_push(c, slab);
    bool only = slab->slab_prev == NO_PAGE && slab->slab_next == NO_PAGE;
    bool release = slab->slab_used == 0 && !only;
    if (release) {
        partial_remove(c, slab);
        c->slabs--;
    }
    spin_unlock_irqrestore(&c->lock, irq);
    if (release)
        page_put(slab);
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
    memory_poison((char *)page_virt(page) + size, (PAGE_SIZE << order) - size);
    return page_virt(page);
}

static void block_free(struct page *page)
{
    CHECK(page->type == PAGE_KERNEL);
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
    memory_poison((char *)slot + size, bytes - size);
}

void *kmalloc(size_t size, unsigned flags)
{
    if (failpoint_hit())
        return NULL;
    size = MAX(size, (size_t)1);
    if (size > SLOT_MAX || slot_bytes(size) > SLOT_MAX)
        return block_alloc(size, flags);
    unsigned class = class_by_units[(slot_bytes(size) + UNIT - 1) / UNIT];
    void *object = class_alloc(class, flags);
    if (!object)
        return NULL;
    size_t bytes = class_bytes[class];
    memory_unpoison(object, bytes);
    /* The whole slot: what krealloc later adds within it is zero, too. */
    if (flags & ALLOC_ZERO)
        memset(object, 0, bytes);
    if (SELKIE_ASAN)
        object_open(object, size, bytes);
    return object;
}

void *kmalloc_array(size_t count, size_t size, unsigned flags)
{
    size_t total;
    return mul_overflow(count, size, &total) ? NULL : kmalloc(total, flags);
}

size_t kmalloc_size(const void *ptr)
{
    const struct page *page = page_of_virt(ptr);
    if (page->type != PAGE_SLAB)
        return SELKIE_ASAN ? page->private_[0] : PAGE_SIZE << page->order;
    size_t bytes = class_bytes[page->slab_class];
    if (!SELKIE_ASAN)
        return bytes;
    uint64_t *record = size_record((void *)(uintptr_t)ptr, bytes);
    memory_unpoison(record, sizeof *record);
    size_t size = *record;
    memory_poison(record, sizeof *record);
    return size;
}

void kfree(void *ptr)
{
    if (!ptr)
        return;
    if (SELKIE_ASAN)
        (void)*(volatile char *)ptr; /* the sanitizer reports a second free here */
    struct page *page = page_of_virt(ptr);
    if (page->type == PAGE_SLAB) {
        memory_unpoison(ptr, class_bytes[page->slab_class]);
        class_free(page, ptr);
    } else {
        CHECK(((uintptr_t)ptr & (PAGE_SIZE - 1)) == 0);
        block_free(page);
    }
}

void *krealloc(void *old, size_t size, unsigned flags)
{
    if (!old)
        return kmalloc(size, flags);
    size_t have = kmalloc_size(old);
    /* Stay, unless the block would be mostly empty. (Exact sizes under the sanitizer: always move.)
     */
    if (!SELKIE_ASAN && size <= have && size >= have / 4)
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
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        struct size_class *c = &classes[i];
        unsigned long irq = spin_lock_irqsave(&c->lock);
        out->bytes_in_use += (c->allocs - c->frees) * class_bytes[i];
        out->bytes_held += c->slabs * PAGE_SIZE;
        out->allocs += c->allocs;
        out->frees += c->frees;
        spin_unlock_irqrestore(&c->lock, irq);
    }
}
