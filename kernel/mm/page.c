/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page.c - the page allocator: a buddy system over RAM in 4 MiB chunks, opened lazily.
 *
 * Theory. A block of order n is 2^n pages, aligned to its size in physical space. Free blocks stand
 * on one list per order. An allocation takes the smallest block that is large enough and puts the
 * halves it does not need back; freeing joins a block with its buddy (address XOR size) as long
 * as the buddy is a free block of the same order. A chunk is a block of the highest order, so
 * buddies never leave their chunk.
 *
 * struct pages. Only chunks that contain RAM have them, so holes in physical space cost two small
 * table entries per 4 MiB. The chunks are numbered 0, 1, 2 ... in address order ("slot"):
 *     page_chunks[pa >> 22 - first] ->  first struct page of it, NULL for a hole (page.h)
 *     page_near                     ->  the same by virtual address, for page_of_direct (page.h)
 *     chunk_base[slot]              ->  number of the chunk in physical space
 *     page_map[slot * 1024 + i]     ->  struct page of page i of it
 * All four are carved from RAM at boot but not touched: the struct pages of a chunk are
 * initialised when the chunk is opened, which happens when no open one can serve a request. So boot
 * costs nothing per page, and memory never used is never written.
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
 * Single pages come and go through the caches of the CPUs (hotpages.c); larger blocks, and lists of
 * pages that are freed together, come here at once.
 *
 * Invariants (page_check):
 *  1. the first page of a free block has type PAGE_FREE and its order, and is on that list;
 *  2. two buddies of one order are never both free blocks (they would have been joined);
 *  3. a free block smaller than 2 MiB is on the list of its block's kind;
 *  4. free_pages = the sum of the listed blocks + the RAM of chunks not opened yet; what the caches
 *     hold comes on top of it in page_free_count.
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
#include "mm/failpoint.h"
#include "mm/hotpages.h"
#include "mm/reclaim.h"

#define CHUNK_PAGES PAGE_CHUNK_PAGES
#define BLOCK_ORDER (PAGE_ORDER_MAX - 1) /* 2 MiB: what has a kind */
#define CHUNK_SHIFT PAGE_CHUNK_SHIFT
#define NEAR_PER_CHUNK (1u << (CHUNK_SHIFT - PAGE_NEAR_SHIFT))
#define CHUNK_SIZE ((uint64_t)1 << CHUNK_SHIFT)

static struct spinlock page_lock = SPINLOCK_INIT(RANK_PAGE);

/* Fixed after page_init. */
struct page **page_chunks;
uint64_t page_chunk_first, page_chunk_span;
uintptr_t page_near;
static uint64_t *chunk_base;
static uint32_t chunk_count;
static struct page *page_map;
static struct hal_region early; /* where the tables lie */
static uint8_t *block_kind;     /* of each 2 MiB, by page number; guarded by page_lock */
static bool virgin_is_zero;
static uint64_t page_total;
static uint64_t reserve;     /* pages that only ALLOC_ATOMIC may take */
static uint64_t alarm_pages; /* see memory_alarm; relaxed atomic */

/* Guarded by page_lock. */
static struct list free_list[KIND_COUNT][PAGE_ORDER_MAX + 1]; /* of 2 MiB and more: the first */
static uint64_t free_by_order[KIND_COUNT][PAGE_ORDER_MAX + 1];
static uint64_t free_pages; /* also read without the lock, as a hint: relaxed atomic */
static uint64_t used_by_type[PAGE_RESERVED + 1];
static uint32_t chunk_next; /* chunks below are open */

/* ---- numbers and addresses -------------------------------------------------------------- */

uint32_t page_index(const struct page *page)
{
    return (uint32_t)(page - page_map);
}

struct page *page_at(uint32_t index)
{
    return &page_map[index];
}

paddr_t page_phys(const struct page *page)
{
    uint32_t index = page_index(page);
    return chunk_base[index / CHUNK_PAGES] << CHUNK_SHIFT | (paddr_t)(index % CHUNK_PAGES)
                                                                << PAGE_SHIFT;
}

static struct page *buddy_of(const struct page *page, unsigned order)
{
    return page_at(page_index(page) ^ (1u << order));
}

static uint64_t buddy_free(void)
{
    return __atomic_load_n(&free_pages, __ATOMIC_RELAXED);
}

uint64_t page_free_count(void)
{
    return buddy_free() + hot_count();
}

void (*memory_alarm)(void);
bool (*page_huge_release)(struct page *page);

uint64_t page_reserve_count(void)
{
    return reserve;
}

/* Without the caches, of which larger blocks are not made. */
bool memory_available(uint64_t pages)
{
    return buddy_free() >= pages + reserve;
}

void memory_alarm_set(uint64_t pages)
{
    __atomic_store_n(&alarm_pages, pages, __ATOMIC_RELAXED);
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
    __atomic_store_n(&free_pages, free_pages + delta, __ATOMIC_RELAXED);
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

/* The part of region `r` inside the chunk at `base` that the early tables leave: up to two ranges,
 * told to fn. */
static void chunk_parts(const struct hal_region *r, paddr_t base,
                        void (*fn)(paddr_t lo, paddr_t hi, unsigned flags), unsigned flags)
{
    paddr_t lo = MAX(r->base, base), hi = MIN(r->base + r->len, base + CHUNK_SIZE);
    paddr_t early_end = early.base + early.len;
    if (lo >= hi)
        return;
    if (early.base < hi && early_end > lo) {
        if (lo < early.base)
            fn(lo, early.base, flags);
        lo = early_end;
    }
    if (lo < hi)
        fn(lo, hi, flags);
}

/* Open the next chunk; false if all are open. */
static bool chunk_open(void)
{
    if (chunk_next == chunk_count)
        return false;
    const struct hal_boot_info *info = hal_boot_info();
    struct page *page = &page_map[(uint64_t)chunk_next * CHUNK_PAGES];
    paddr_t base = chunk_base[chunk_next] << CHUNK_SHIFT;
    for (unsigned i = 0; i < CHUNK_PAGES; i++)
        page[i] = (struct page){.type = PAGE_RESERVED};
    __atomic_store_n(&chunk_next, chunk_next + 1, __ATOMIC_RELAXED);
    /* Its RAM was counted as free all the time (page_init). */
    for (size_t i = 0; i < info->ram_count; i++)
        chunk_parts(&info->ram[i], base, chunk_add_free, virgin_is_zero ? PAGE_FLAG_ZERO : 0);
    return true;
}

/* ---- boot ------------------------------------------------------------------------------- */

static void chunk_range(uint64_t *first, uint64_t *last)
{
    const struct hal_boot_info *info = hal_boot_info();
    *first = UINT64_MAX;
    *last = 0;
    for (size_t i = 0; i < info->ram_count; i++) {
        const struct hal_region *r = &info->ram[i];
        CHECK(r->len > 0 && is_aligned(r->base | r->len, PAGE_SIZE));
        *first = MIN(*first, r->base >> CHUNK_SHIFT);
        *last = MAX(*last, (r->base + r->len - 1) >> CHUNK_SHIFT);
        page_total += r->len >> PAGE_SHIFT;
    }
    CHECK(page_total > 0);
}

/* Does any RAM lie in chunk number `chunk`? */
static bool chunk_has_ram(uint64_t chunk)
{
    const struct hal_boot_info *info = hal_boot_info();
    for (size_t i = 0; i < info->ram_count; i++) {
        const struct hal_region *r = &info->ram[i];
        if (r->base >> CHUNK_SHIFT <= chunk && chunk <= (r->base + r->len - 1) >> CHUNK_SHIFT)
            return true;
    }
    return false;
}

/* Take `bytes` from the start of the first region that has them. */
static void *early_alloc(uint64_t bytes)
{
    const struct hal_boot_info *info = hal_boot_info();
    bytes = align_up(bytes, PAGE_SIZE);
    for (size_t i = 0; i < info->ram_count; i++) {
        if (info->ram[i].len <= bytes)
            continue;
        early = (struct hal_region){info->ram[i].base, bytes};
        return hal_phys_to_virt(early.base);
    }
    panic("no room for the page tables of the allocator: %llu KiB needed",
          (unsigned long long)bytes >> 10);
}

/* Fill the table of page_of_direct, which begins with the first chunk. */
static void near_init(uintptr_t *table)
{
    uintptr_t first = (uintptr_t)hal_phys_to_virt(page_chunk_first << CHUNK_SHIFT);
    CHECK(is_aligned(first, 1ul << PAGE_NEAR_SHIFT));
    page_near = (uintptr_t)table - (first >> PAGE_NEAR_SHIFT) * sizeof *table;
    for (uint64_t i = 0; i < page_chunk_span * NEAR_PER_CHUNK; i++) {
        const struct page *chunk = page_chunks[i / NEAR_PER_CHUNK];
        table[i] =
            chunk ? (uintptr_t)chunk - ((first >> PAGE_SHIFT) + i / NEAR_PER_CHUNK * CHUNK_PAGES) *
                                           sizeof(struct page)
                  : 0;
    }
}

void page_init(void)
{
    uint64_t last;
    page_total = 0;
    chunk_range(&page_chunk_first, &last);
    page_chunk_span = last - page_chunk_first + 1;
    chunk_count = 0;
    for (uint64_t i = 0; i < page_chunk_span; i++)
        chunk_count += chunk_has_ram(page_chunk_first + i);

    uint64_t base_bytes = chunk_count * sizeof chunk_base[0];
    uint64_t slot_bytes = align_up(page_chunk_span * sizeof page_chunks[0], 16);
    uint64_t near_bytes = page_chunk_span * NEAR_PER_CHUNK * sizeof(uintptr_t);
    uint64_t kind_bytes = (uint64_t)chunk_count << (PAGE_ORDER_MAX - BLOCK_ORDER);
    uint64_t page_bytes = (uint64_t)chunk_count * CHUNK_PAGES * sizeof(struct page);
    uint64_t hot = align_up(hot_bytes(), 64);
    char *tables =
        early_alloc(hot + near_bytes + base_bytes + slot_bytes + page_bytes + kind_bytes);
    hot_init(tables, page_total);
    uintptr_t *near = (uintptr_t *)(void *)(tables + hot);
    tables += hot + near_bytes;
    chunk_base = (uint64_t *)(void *)tables;
    page_chunks = (struct page **)(void *)(tables + base_bytes);
    page_map = (struct page *)(void *)(tables + base_bytes + slot_bytes);
    block_kind = (uint8_t *)tables + base_bytes + slot_bytes + page_bytes;
    memset(block_kind, KIND_PROGRAM, kind_bytes);
    for (uint64_t i = 0, slot = 0; i < page_chunk_span; i++) {
        bool ram = chunk_has_ram(page_chunk_first + i);
        page_chunks[i] = ram ? &page_map[slot * CHUNK_PAGES] : NULL;
        if (ram)
            chunk_base[slot++] = page_chunk_first + i;
    }
    near_init(near);

    for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++) {
        for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
            list_init(&free_list[kind][order]);
            free_by_order[kind][order] = 0;
        }
    }
    memset(used_by_type, 0, sizeof used_by_type);
    chunk_next = 0;
    virgin_is_zero = hal_boot_info()->ram_zeroed;
    page_total -= early.len >> PAGE_SHIFT;
    free_pages = page_total;
    reserve = MIN(page_total / 64, (uint64_t)128);
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
    uint64_t count = (uint64_t)1 << order, keep = flags & ALLOC_ATOMIC ? 0 : reserve;
    struct page *page = NULL;
    if (free_pages < count + keep)
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

uint64_t buddy_spare(void)
{
    uint64_t low = __atomic_load_n(&alarm_pages, __ATOMIC_RELAXED), have = buddy_free();
    low = MAX(low, reserve);
    return have > low ? have - low : 0;
}

static struct page *block_take(unsigned order, enum page_type type, unsigned flags, unsigned *state)
{
    unsigned long irq = spin_lock_irqsave(&page_lock);
    struct page *page = take_locked(page_kind(type), order, flags, state);
    if (page)
        used_by_type[type] += (uint64_t)1 << order;
    spin_unlock_irqrestore(&page_lock, irq);
    return page;
}

/* A failed allocation leaves less than it wanted: that counts, too. */
static void alarm_check(void)
{
    uint64_t low = __atomic_load_n(&alarm_pages, __ATOMIC_RELAXED);
    /* The caches are counted only when it could matter. */
    if (__builtin_expect(buddy_free() < low, 0) && page_free_count() < low && memory_alarm)
        memory_alarm();
}

struct page *page_alloc_quiet(unsigned order, enum page_type type, unsigned flags)
{
    ASSERT(order <= PAGE_ORDER_MAX && type > PAGE_TAIL && type < PAGE_RESERVED);
    unsigned state = 0;
    struct page *page = order ? block_take(order, type, flags, &state) : hot_take(type, flags);
    /* Pages in the caches may be what keeps blocks apart. Program memory does with smaller ones. */
    if (!page && order && type != PAGE_ANON && hot_count()) {
        page_drain();
        page = block_take(order, type, flags, &state);
    }
    alarm_check();
    if (!page)
        return NULL;
    if (order == 0)
        state = page->flags;
    page->order = (uint8_t)order;
    __atomic_store_n(&page->flags, 0, __ATOMIC_RELAXED); /* see is_moving */
    page->private_[0] = page->private_[1] = 0;
    ref_init(&page->refs);
    /* Atomic, because others look at it; release: who sees the type sees the rest. */
    __atomic_store_n(&page->type, (uint8_t)type, __ATOMIC_RELEASE);
    memory_unpoison(page_virt(page), PAGE_SIZE << order);
    if ((flags & ALLOC_ZERO) && !(state & PAGE_FLAG_ZERO))
        memset(page_virt(page), 0, PAGE_SIZE << order);
    else if ((flags & ALLOC_ZERO) && order > 0)
        hal_ram_prepare(page_phys(page), PAGE_SIZE << order);
    return page;
}

struct page *page_alloc(unsigned order, enum page_type type, unsigned flags)
{
    return failpoint_hit(flags) ? NULL : page_alloc_quiet(order, type, flags);
}

void page_get(struct page *page)
{
    ASSERT(page->type != PAGE_FREE && page->type != PAGE_TAIL && page->type != PAGE_RESERVED);
    ref_get(&page->refs);
}

/* The last reference is gone. page_lock held. */
static void release_locked(struct page *page)
{
    unsigned order = page->order;
    used_by_type[page->type] -= (uint64_t)1 << order;
    free_count_add((uint64_t)1 << order);
    free_block(page, order, 0);
}

/* Drop a reference; true if the caller must release the block. */
static bool drop(struct page *page)
{
    CHECK(page->type != PAGE_FREE && page->type != PAGE_TAIL && page->type != PAGE_RESERVED);
    CHECK(ref_read(&page->refs) > 0);
    if (!ref_put(&page->refs))
        return false;
    memory_poison(page_virt(page), PAGE_SIZE << page->order, POISON_PAGE);
    return true;
}

void page_put(struct page *page)
{
    if (!drop(page))
        return;
    if (page->type == PAGE_HUGETLB && page_huge_release(page))
        return;
    if (page->order == 0) {
        hot_give(page);
        return;
    }
    unsigned long irq = spin_lock_irqsave(&page_lock);
    release_locked(page);
    spin_unlock_irqrestore(&page_lock, irq);
}

void page_put_list(struct list *pages)
{
    while (!list_empty(pages)) {
        /* In rounds: interrupts are not off for long however long the list is. */
        unsigned long irq = spin_lock_irqsave(&page_lock);
        for (unsigned i = 0; i < 64 && !list_empty(pages); i++) {
            struct page *page = list_entry(list_pop_front(pages), struct page, link);
            if (drop(page))
                release_locked(page);
        }
        spin_unlock_irqrestore(&page_lock, irq);
    }
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

/* Is it one that compaction took (PAGE_KERNEL) or moved (PAGE_ANON)? page_lock held. */
static bool is_moving(const struct page *page)
{
    enum page_type type = type_now(page);
    return (type == PAGE_KERNEL || type == PAGE_ANON) &&
           (__atomic_load_n(&page->flags, __ATOMIC_RELAXED) & PAGE_FLAG_MOVING);
}

bool page_block_release(uint32_t first, unsigned order)
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
    return count == size;
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

/* ---- statistics and checks --------------------------------------------------------------------
 */

void page_get_stats(struct page_stats *out)
{
    unsigned long irq = spin_lock_irqsave(&page_lock);
    uint64_t hot = hot_count();
    out->total = page_total;
    out->free = free_pages + hot;
    memcpy(out->by_type, used_by_type, sizeof out->by_type);
    memset(out->free_by_order, 0, sizeof out->free_by_order);
    for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++)
        for (unsigned kind = 0; kind < KIND_COUNT; kind++)
            out->free_by_order[order] += free_by_order[kind][order];
    spin_unlock_irqrestore(&page_lock, irq);
    for (unsigned type = 0; type <= PAGE_RESERVED; type++) {
        /* Summed while others count: one page less than none is possible for a moment. */
        int64_t used = (int64_t)out->by_type[type] + hot_used((enum page_type)type);
        out->by_type[type] = used > 0 ? (uint64_t)used : 0;
    }
    out->by_type[PAGE_FREE] = out->free;
    out->free_by_order[0] += hot;
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
    const struct hal_boot_info *info = hal_boot_info();
    uint64_t hot = hot_check();
    unsigned long irq = spin_lock_irqsave(&page_lock);
    uint64_t listed = check_lists();
    check_pages = 0;
    for (uint32_t slot = chunk_next; slot < chunk_count; slot++)
        for (size_t i = 0; i < info->ram_count; i++)
            chunk_parts(&info->ram[i], chunk_base[slot] << CHUNK_SHIFT, check_count, 0);
    CHECK(listed + check_pages == free_pages);
    int64_t used = 0;
    for (unsigned type = 0; type <= PAGE_RESERVED; type++)
        used += (int64_t)used_by_type[type] + hot_used((enum page_type)type);
    CHECK(used >= 0 && (uint64_t)used + free_pages + hot == page_total);
    spin_unlock_irqrestore(&page_lock, irq);
}
