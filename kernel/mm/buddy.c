/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * buddy.c - free blocks: a buddy system over RAM in 4 MiB chunks, opened lazily.
 *
 * Theory. A block of order n is 2^n pages, aligned to its size in physical space. Free blocks stand
 * on one list per order. An allocation takes the smallest block that is large enough and puts the
 * halves it does not need back; freeing joins a block with its buddy (address XOR size) as long
 * as the buddy is a free block of the same order. A chunk is a block of the highest order, so
 * buddies never leave their chunk.
 *
 * Chunks (pagemap.c). The struct pages of a chunk are initialised when the chunk is opened, which
 * happens when no open one can serve a request. So boot costs nothing per page, and memory never
 * used is never written.
 *
 * Kinds. Program pages (PAGE_ANON), pages of files and all others come from three kinds of 2 MiB
 * blocks, as long as there is a choice: a kernel page stays where it is, maybe for ever, and must
 * not keep a block from becoming whole that would be when the program or the file goes. A block
 * gets its kind when it is first taken from and loses it when it is whole again; blocks of 2 MiB
 * and more have none. When its own kind has nothing and no whole block is left, an allocation takes
 * from another kind.
 *
 * Zeroes. Where the machine says that unused RAM is zero (hosted), the blocks of a fresh chunk
 * carry PAGE_FLAG_ZERO; splitting keeps it, joining keeps it if both halves have it, freeing drops
 * it. ALLOC_ZERO then need not write the block.
 *
 * Its users are page.c and, for single pages, the caches of the CPUs (hotpages.c).
 *
 * Invariants (page_check):
 *  1. the first page of a free block has type PAGE_FREE and its order, and is on that list;
 *  2. two buddies of one order are never both free blocks (they would have been joined);
 *  3. a free block smaller than 2 MiB is on the list of its block's kind;
 *  4. buddy_free_pages = the sum of the listed blocks + the RAM of chunks not opened yet; what the
 *     caches hold comes on top of it in page_free_count.
 *
 * Lock: page_lock (RANK_PAGE, irqsave) guards everything but the reference counts and contents of
 * allocated pages. The type of a page that is not PAGE_FREE belongs to its owner or its cache.
 */
#include "mm/page.h"

#include "core/log.h"
#include "core/spinlock.h"
#include "lib/errno.h"
#include "lib/sanitize.h"
#include "lib/string.h"
#include "mm/hotpages.h"
#include "mm/pagemap.h"
#include "mm/reclaim.h"

#define BLOCK_ORDER (PAGE_ORDER_MAX - 1) /* 2 MiB: what has a kind */

static struct spinlock page_lock = SPINLOCK_INIT(RANK_PAGE);

/* Fixed after page_init. */
static uint32_t chunk_count;
static uint8_t *block_kind; /* of each 2 MiB, by page number; guarded by page_lock */
static bool virgin_is_zero;
static uint64_t page_total;

/* Guarded by page_lock. */
static struct list free_list[KIND_COUNT][PAGE_ORDER_MAX + 1]; /* of 2 MiB and more: the first */
static uint64_t free_by_order[KIND_COUNT][PAGE_ORDER_MAX + 1];
uint64_t buddy_free_pages, buddy_reserve; /* buddy.h */
static uint64_t used_by_type[PAGE_RESERVED + 1];
static uint32_t chunk_next; /* chunks below are open */

/* ---- counts ----------------------------------------------------------------------------- */

static struct page *buddy_of(const struct page *page, unsigned order)
{
    return page_at(page_index(page) ^ (1u << order));
}

uint64_t page_reserve_count(void)
{
    return buddy_reserve;
}

/* Without the caches, of which larger blocks are not made. */
bool memory_available(uint64_t pages)
{
    return buddy_free() >= pages + buddy_reserve;
}

uint64_t page_total_count(void)
{
    return page_total;
}

/* ---- free lists; page_lock held --------------------------------------------------------- */

static uint8_t *kind_of(const struct page *page)
{
    return &block_kind[page_index(page) >> BLOCK_ORDER];
}

static void list_block(struct page *page, unsigned order, unsigned flags)
{
    unsigned kind = order < BLOCK_ORDER ? *kind_of(page) : 0;
    page->type = PAGE_FREE;
    page->order = (uint8_t)order;
    page->flags = (uint16_t)flags;
    list_push_front(&free_list[kind][order], &page->link);
    free_by_order[kind][order]++;
}

static void unlist_block(struct page *page, unsigned order)
{
    ASSERT(page->type == PAGE_FREE && page->order == order);
    list_remove(&page->link);
    free_by_order[order < BLOCK_ORDER ? *kind_of(page) : 0][order]--;
    page->type = PAGE_TAIL;
}

static void free_count_add(uint64_t delta)
{
    __atomic_store_n(&buddy_free_pages, buddy_free_pages + delta, __ATOMIC_RELAXED);
}

/* Give a block to the lists, joined with its free buddies. */
static void free_block(struct page *page, unsigned order, unsigned flags)
{
    while (order < PAGE_ORDER_MAX) {
        struct page *buddy = buddy_of(page, order);
        /* Relaxed: it may be an allocated page of any owner; PAGE_FREE is written under our lock.
         */
        if (__atomic_load_n(&buddy->type, __ATOMIC_RELAXED) != PAGE_FREE || buddy->order != order)
            break;
        unlist_block(buddy, order);
        flags &= buddy->flags;
        page->type = PAGE_TAIL;
        page = page < buddy ? page : buddy;
        order++;
    }
    list_block(page, order, flags);
}

/* ---- chunks ----------------------------------------------------------------------------- */

/* Free pages [lo, hi) of an open chunk, in the largest aligned blocks. What is left beside a hole
 * is the kernel's. */
static void chunk_add_free(paddr_t lo, paddr_t hi, unsigned flags)
{
    memory_poison(hal_phys_to_virt(lo), hi - lo, POISON_PAGE);
    while (lo < hi) {
        unsigned order = 0;
        while (order < PAGE_ORDER_MAX && is_aligned(lo, PAGE_SIZE << (order + 1)) &&
               lo + (PAGE_SIZE << (order + 1)) <= hi)
            order++;
        if (order < BLOCK_ORDER)
            *kind_of(page_of_phys(lo)) = KIND_KERNEL;
        list_block(page_of_phys(lo), order, flags);
        lo += PAGE_SIZE << order;
    }
}

/* Open the next chunk; false if all are open. */
static bool chunk_open(void)
{
    if (chunk_next == chunk_count)
        return false;
    uint32_t chunk = chunk_next;
    page_map_open(chunk);
    __atomic_store_n(&chunk_next, chunk + 1, __ATOMIC_RELAXED);
    /* Its RAM was counted as free all the time (page_init). */
    page_map_ranges(chunk, chunk_add_free, virgin_is_zero ? PAGE_FLAG_ZERO : 0);
    return true;
}

/* ---- boot ------------------------------------------------------------------------------- */

rarely void page_init(void)
{
    uint32_t blocks = 1u << (PAGE_ORDER_MAX - BLOCK_ORDER); /* in a chunk */
    const struct page_map_layout map = page_map_init(hot_bytes(), blocks);
    hot_init(map.front, map.pages);
    block_kind = map.per_chunk;
    memset(block_kind, KIND_PROGRAM, (size_t)map.chunks * blocks);
    for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++) {
        for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
            list_init(&free_list[kind][order]);
            free_by_order[kind][order] = 0;
        }
    }
    memset(used_by_type, 0, sizeof used_by_type);
    chunk_next = 0;
    chunk_count = map.chunks;
    virgin_is_zero = hal_boot_info()->ram_zeroed;
    page_total = map.pages - map.taken;
    buddy_free_pages = page_total;
    buddy_reserve = MIN(page_total / 64, (uint64_t)128);
}

/* ---- allocation ------------------------------------------------------------------------- */

/* Take a block of exactly `order` from the lists of a kind in [from, end), splitting a larger one.
 * page_lock held. */
static struct page *take_from(enum page_kind kind, unsigned order, unsigned from, unsigned end,
                              unsigned *flags)
{
    while (from < end && list_empty(&free_list[kind][from]))
        from++;
    if (from >= end)
        return NULL;
    struct page *page = list_entry(free_list[kind][from].next, struct page, link);
    *flags = page->flags;
    unlist_block(page, from);
    while (from > order) {
        from--;
        list_block(page + (1u << from), from, *flags);
    }
    return page;
}

static struct page *take_whole(enum page_kind kind, unsigned order, unsigned *flags)
{
    struct page *page;
    do
        page = take_from(0, MAX(order, BLOCK_ORDER), MAX(order, BLOCK_ORDER), PAGE_ORDER_MAX + 1,
                         flags);
    while (!page && chunk_open());
    if (!page || order >= BLOCK_ORDER)
        return page;
    *kind_of(page) = (uint8_t)kind;
    for (unsigned half = BLOCK_ORDER; half-- > order;)
        list_block(page + (1u << half), half, *flags);
    return page;
}

/* A block of exactly `order`: of the kind, else out of a whole block, else of the other kind.
 * page_lock held. */
static struct page *take_block(enum page_kind kind, unsigned order, unsigned *flags)
{
    struct page *page = take_from(kind, order, order, BLOCK_ORDER, flags);
    if (!page)
        page = take_whole(kind, order, flags);
    /* Opening a chunk may have brought small pieces of the kernel's kind. */
    for (unsigned i = 0; i < KIND_COUNT && !page; i++)
        page = take_from((kind + i) % KIND_COUNT, order, order, BLOCK_ORDER, flags);
    return page;
}

/* A block for page_alloc_quiet, or several single pages for a CPU's cache. page_lock held. */
static struct page *take_locked(enum page_kind kind, unsigned order, unsigned flags,
                                unsigned *state)
{
    uint64_t count = (uint64_t)1 << order, keep = flags & ALLOC_ATOMIC ? 0 : buddy_reserve;
    struct page *page = NULL;
    if (buddy_free_pages < count + keep)
        return NULL;
    page = take_block(kind, order, state);
    if (page)
        free_count_add(-count);
    return page;
}

unsigned buddy_take(struct list *pages, enum page_kind kind, unsigned count, unsigned flags)
{
    unsigned taken = 0, state = 0;
    unsigned long irq = spin_lock_irqsave(&page_lock);
    while (taken < count) {
        /* The reserve is touched for one page at most, which is not kept in the cache. */
        struct page *page = take_locked(kind, 0, taken ? 0 : flags, &state);
        if (!page)
            break;
        page->order = 0;
        page->flags = (uint16_t)state;
        list_push_back(pages, &page->link);
        taken++;
    }
    spin_unlock_irqrestore(&page_lock, irq);
    return taken;
}

void buddy_give(struct list *pages, unsigned count)
{
    unsigned long irq = spin_lock_irqsave(&page_lock);
    while (!list_empty(pages)) {
        struct page *page = list_entry(list_pop_front(pages), struct page, link);
        free_block(page, 0, page->flags);
    }
    free_count_add(count);
    spin_unlock_irqrestore(&page_lock, irq);
}

struct page *buddy_alloc(unsigned order, enum page_type type, unsigned flags, unsigned *state)
{
    unsigned long irq = spin_lock_irqsave(&page_lock);
    struct page *page = take_locked(page_kind(type), order, flags, state);
    if (page)
        used_by_type[type] += (uint64_t)1 << order;
    spin_unlock_irqrestore(&page_lock, irq);
    return page;
}

/* The last reference is gone. page_lock held. */
static void release_locked(struct page *page)
{
    unsigned order = page->order;
    used_by_type[page->type] -= (uint64_t)1 << order;
    free_count_add((uint64_t)1 << order);
    free_block(page, order, 0);
}

void buddy_release(struct list *blocks)
{
    unsigned long irq = spin_lock_irqsave(&page_lock);
    while (!list_empty(blocks))
        release_locked(list_entry(list_pop_front(blocks), struct page, link));
    spin_unlock_irqrestore(&page_lock, irq);
}

void page_split(struct page *page)
{
    ASSERT(ref_read(&page->refs) == 1);
    unsigned count = 1u << page->order;
    /* Nobody else looks at the pages of an allocated block, except free_block at a buddy's type and
     * order: the first page's order must not shrink before the others are typed, or a neighbour's
     * search could see half a block. The lock settles it. */
    unsigned long irq = spin_lock_irqsave(&page_lock);
    for (unsigned i = 1; i < count; i++) {
        __atomic_store_n(&page[i].type, page->type, __ATOMIC_RELAXED);
        page[i].order = 0;
        page[i].flags = 0;
        page[i].private_[0] = page[i].private_[1] = 0;
        ref_init(&page[i].refs);
    }
    page->order = 0;
    spin_unlock_irqrestore(&page_lock, irq);
}

/* ---- compaction ------------------------------------------------------------------------- */

uint32_t page_index_end(void)
{
    return __atomic_load_n(&chunk_next, __ATOMIC_RELAXED) * CHUNK_PAGES;
}

/* Of a page that may be anybody's; only PAGE_FREE stays while page_lock is held. */
static enum page_type type_now(const struct page *page)
{
    return (enum page_type)__atomic_load_n(&page->type, __ATOMIC_RELAXED);
}

bool page_block_survey(uint32_t first, unsigned order, uint32_t *used)
{
    bool movable = true;
    *used = 0;
    unsigned long irq = spin_lock_irqsave(&page_lock);
    for (uint32_t i = 0; i < 1u << order && movable;) {
        const struct page *page = page_at(first + i);
        enum page_type type = type_now(page);
        /* The tails of a larger block of the program's are not movable, so it is not. */
        if (type == PAGE_ANON)
            ++*used;
        else if (type != PAGE_FREE || page->order >= order)
            movable = false;
        i += type == PAGE_FREE ? 1u << page->order : 1;
    }
    spin_unlock_irqrestore(&page_lock, irq);
    return movable && *used > 0;
}

void page_block_take(uint32_t first, unsigned order)
{
    unsigned long irq = spin_lock_irqsave(&page_lock);
    for (uint32_t i = 0; i < 1u << order;) {
        struct page *head = page_at(first + i);
        /* A block that reaches over the end has joined others: it needs no compaction. */
        if (type_now(head) != PAGE_FREE || head->order >= order) {
            i++;
            continue;
        }
        uint32_t size = 1u << head->order;
        unlist_block(head, head->order);
        for (uint32_t k = 0; k < size; k++) {
            head[k].type = PAGE_KERNEL;
            head[k].order = 0;
            head[k].flags = PAGE_FLAG_MOVING;
            ref_init(&head[k].refs);
        }
        free_count_add(-(uint64_t)size);
        used_by_type[PAGE_KERNEL] += size;
        i += size;
    }
    spin_unlock_irqrestore(&page_lock, irq);
}

/* Is it one that compaction took (PAGE_KERNEL) or moved (PAGE_ANON)? page_lock held. It may be
 * anybody's, and another owner's between the two looks, for the caches of the CPUs do without our
 * lock: the mark alone must say it. Acquire: compaction has read what it moved. */
static bool is_moving(const struct page *page)
{
    enum page_type type = type_now(page);
    return (type == PAGE_KERNEL || type == PAGE_ANON) &&
           (__atomic_load_n(&page->flags, __ATOMIC_ACQUIRE) & PAGE_FLAG_MOVING);
}

uint32_t page_block_release(uint32_t first, unsigned order)
{
    uint32_t size = 1u << order, count = 0;
    for (uint32_t i = 0; i < size;) {
        /* In rounds: interrupts are not off for long. */
        unsigned long irq = spin_lock_irqsave(&page_lock);
        for (uint32_t end = MIN(i + 64, size); i < end; i++) {
            struct page *page = page_at(first + i);
            if (!is_moving(page))
                continue;
            memory_poison(page_virt(page), PAGE_SIZE, POISON_PAGE);
            release_locked(page);
            count++;
        }
        spin_unlock_irqrestore(&page_lock, irq);
    }
    return count;
}

uint64_t page_fragments(unsigned order)
{
    uint64_t pages = 0;
    unsigned long irq = spin_lock_irqsave(&page_lock);
    for (unsigned i = 0; i < order; i++)
        pages += free_by_order[KIND_PROGRAM][i] << i;
    spin_unlock_irqrestore(&page_lock, irq);
    return pages;
}

/* ---- counts and checks ------------------------------------------------------------------ */

void buddy_get_stats(struct page_stats *out)
{
    unsigned long irq = spin_lock_irqsave(&page_lock);
    out->total = page_total;
    out->free = buddy_free_pages;
    memcpy(out->by_type, used_by_type, sizeof out->by_type);
    memset(out->free_by_order, 0, sizeof out->free_by_order);
    for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++)
        for (unsigned kind = 0; kind < KIND_COUNT; kind++)
            out->free_by_order[order] += free_by_order[kind][order];
    spin_unlock_irqrestore(&page_lock, irq);
}

static uint64_t check_pages; /* sum made by check_count */

static void check_count(paddr_t lo, paddr_t hi, unsigned flags)
{
    (void)flags;
    check_pages += (hi - lo) >> PAGE_SHIFT;
}

/* How many blocks there are. */
static uint64_t check_list(unsigned kind, unsigned order)
{
    uint64_t count = 0;
    list_for_each (pos, &free_list[kind][order]) {
        struct page *page = list_entry(pos, struct page, link);
        CHECK(page->type == PAGE_FREE && page->order == order);
        CHECK(kind == (order < BLOCK_ORDER ? *kind_of(page) : 0u));
        CHECK(is_aligned(page_phys(page), PAGE_SIZE << order));
        CHECK(page_index(page) / CHUNK_PAGES < chunk_next);
        struct page *buddy = order < PAGE_ORDER_MAX ? buddy_of(page, order) : NULL;
        CHECK(!buddy || buddy->type != PAGE_FREE || buddy->order != order);
        for (unsigned i = 1; i < 1u << order; i++)
            CHECK(page[i].type == PAGE_TAIL || page[i].type == PAGE_RESERVED);
        count++;
    }
    return count;
}

static uint64_t check_lists(void)
{
    uint64_t listed = 0;
    for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++) {
        for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
            uint64_t count = check_list(kind, order);
            CHECK(count == free_by_order[kind][order]);
            listed += count << order;
        }
    }
    return listed;
}

void page_check(void)
{
    uint64_t hot = hot_check();
    unsigned long irq = spin_lock_irqsave(&page_lock);
    uint64_t listed = check_lists();
    check_pages = 0;
    for (uint32_t slot = chunk_next; slot < chunk_count; slot++)
        page_map_ranges(slot, check_count, 0);
    CHECK(listed + check_pages == buddy_free_pages);
    int64_t used = 0;
    for (unsigned type = 0; type <= PAGE_RESERVED; type++)
        used += (int64_t)used_by_type[type] + hot_used((enum page_type)type);
    CHECK(used >= 0 && (uint64_t)used + buddy_free_pages + hot == page_total);
    spin_unlock_irqrestore(&page_lock, irq);
}
