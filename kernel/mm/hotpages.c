/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hotpages.c - free single pages that each CPU keeps at hand, in front of the buddy system.
 *
 * Most pages are wanted and freed one by one: page tables, slabs, pages of files, copies on write.
 * Each CPU keeps a short list of such pages for each kind (buddy.c), the last freed first, because
 * its caches still know it. An empty list is filled from the buddy system by half its limit, a full
 * one gives half of it back, the coldest pages: one visit to page_lock for many pages. All lists
 * together hold at most 1/256 of memory, each at most LIMIT_MAX pages; so two CPUs have less than 1
 * MiB.
 *
 * A page in a cache is free: it counts in page_free_count, and its type is PAGE_TAIL, so that no
 * neighbour joins it and a second free of it is noticed. PAGE_FLAG_ZERO stays with it.
 *
 * Idle CPUs. A CPU that has not filled a list for a while does not need what it keeps: the reclaim
 * thread is told (memory_cached) when there is something in a cache, then calls hot_trim every
 * second until all is given back. So a machine at rest keeps nothing and nobody wakes up for it.
 *
 * The reserve (page.h) lies in the buddy system: a list is only filled from what is above it, so
 * whatever is in a cache is for everyone. When the buddy system has no more to give, an allocation
 * takes from the other CPUs' lists: none fails while a cache has a page. When memory is low,
 * nothing is kept: then the free pages are where all can have them and joined blocks form.
 *
 * Lock: one per CPU (RANK_HOTPAGES, irqsave; then page_lock below it). It is hardly ever waited
 * for, since others come only to steal and to drain; that they can, without an interrupt to
 * the owner, is worth the one atomic instruction. Counts are read without it (relaxed).
 */
#include "mm/hotpages.h"

#include "core/spinlock.h"

#define LIMIT_MAX 40u
#define LIMIT_SHARE 256u

struct hot_list {
    uint32_t count;
    struct list pages;
};
struct hot {
    struct spinlock lock;
    struct hot_list list[KIND_COUNT];
    int64_t used[PAGE_RESERVED + 1]; /* see hot_used */
    bool filled;                     /* since hot_trim has last looked */
} cache_aligned;

static struct hot *hots; /* one per CPU */
static unsigned hot_cpus;
static unsigned limit; /* pages in one list */
static bool noted;     /* memory_cached was told of pages in the caches; relaxed atomic */
void (*memory_cached)(void);

size_t hot_bytes(void)
{
    return hal_cpu_count() * sizeof(struct hot);
}

void hot_init(void *memory, uint64_t total)
{
    hots = memory;
    hot_cpus = hal_cpu_count();
    limit = (unsigned)MIN(total / LIMIT_SHARE / KIND_COUNT / hot_cpus, (uint64_t)LIMIT_MAX);
    for (unsigned i = 0; i < hot_cpus; i++) {
        hots[i] = (struct hot){.used = {0}};
        spin_init(&hots[i].lock, RANK_HOTPAGES);
        for (unsigned kind = 0; kind < KIND_COUNT; kind++)
            list_init(&hots[i].list[kind].pages);
    }
}

static void count_set(struct hot_list *hot, uint32_t count)
{
    __atomic_store_n(&hot->count, count, __ATOMIC_RELAXED);
}

static void used_add(struct hot *hot, enum page_type type, int64_t delta)
{
    __atomic_store_n(&hot->used[type], hot->used[type] + delta, __ATOMIC_RELAXED);
}

/* ---- taking -----------------------------------------------------------------------------------
 */

/* Lock held: a cache has got pages that somebody should look after. Once until hot_trim has found
 * all caches empty; nothing depends on it being exact. */
static void note(struct hot *hot)
{
    hot->filled = true;
    if (!__atomic_load_n(&noted, __ATOMIC_RELAXED) && memory_cached) {
        __atomic_store_n(&noted, true, __ATOMIC_RELAXED);
        memory_cached();
    }
}

/* Lock held. False: the buddy system gives nothing. */
static bool fill(struct hot *hot, enum page_kind kind, unsigned flags)
{
    struct hot_list *list = &hot->list[kind];
    uint64_t spare = buddy_spare();
    unsigned want = (unsigned)MIN(spare, (uint64_t)(limit / 2));
    count_set(list, buddy_take(&list->pages, kind, MAX(want, 1u), flags));
    if (list->count > 1)
        note(hot);
    return list->count > 0;
}

static struct page *take_from(struct hot *hot, enum page_kind kind, enum page_type type,
                              bool may_fill, unsigned flags)
{
    struct hot_list *list = &hot->list[kind];
    struct page *page = NULL;
    unsigned long irq = spin_lock_irqsave(&hot->lock);
    if (list->count > 0 || (may_fill && fill(hot, kind, flags))) {
        page = list_entry(list_pop_front(&list->pages), struct page, link);
        ASSERT(page->type == PAGE_TAIL && page->order == 0);
        count_set(list, list->count - 1);
        used_add(hot, type, 1);
    }
    spin_unlock_irqrestore(&hot->lock, irq);
    return page;
}

/* The buddy system has nothing: whatever any CPU still keeps, of whatever kind. */
static struct page *steal(unsigned self, enum page_type type)
{
    struct page *page = NULL;
    for (unsigned i = 0; !page && i < hot_cpus * KIND_COUNT; i++) {
        struct hot *hot = &hots[(self + i / KIND_COUNT) % hot_cpus];
        enum page_kind kind = (enum page_kind)(i % KIND_COUNT);
        if (__atomic_load_n(&hot->list[kind].count, __ATOMIC_RELAXED))
            page = take_from(hot, kind, type, false, 0);
    }
    return page;
}

struct page *hot_take(enum page_type type, unsigned flags)
{
    /* The thread may be moved to another CPU before the lock is taken: then it uses the cache of
     * the one it was on, which does no harm. */
    unsigned self = hal_cpu_id();
    struct page *page = take_from(&hots[self], page_kind(type), type, true, flags);
    return page ? page : steal(self, type);
}

/* ---- giving -----------------------------------------------------------------------------------
 */

/* Give the coldest pages back, until `keep` are left. Lock held. */
static void shrink(struct hot_list *hot, uint32_t keep)
{
    struct list cold;
    list_init(&cold);
    uint32_t count = hot->count > keep ? hot->count - keep : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct list *last = hot->pages.prev;
        list_remove(last);
        list_push_back(&cold, last);
    }
    count_set(hot, hot->count - count);
    if (count)
        buddy_give(&cold, count);
}

static void shrink_all(struct hot *hot)
{
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        shrink(&hot->list[kind], 0);
}

void hot_give(struct page *page)
{
    struct hot *hot = &hots[hal_cpu_id()]; /* as in hot_take */
    struct hot_list *list = &hot->list[page_kind((enum page_type)page->type)];
    unsigned long irq = spin_lock_irqsave(&hot->lock);
    used_add(hot, (enum page_type)page->type, -1);
    /* Relaxed: the buddy system looks at the types of neighbours under its own lock, and only
     * PAGE_FREE, which is written under it alone, makes it look further. */
    __atomic_store_n(&page->type, PAGE_TAIL, __ATOMIC_RELAXED);
    __atomic_store_n(&page->flags, 0, __ATOMIC_RELAXED);
    list_push_front(&list->pages, &page->link);
    count_set(list, list->count + 1);
    if (buddy_spare() == 0)
        shrink_all(hot);
    else if (list->count > limit)
        shrink(list, limit / 2);
    else if (list->count == 1)
        note(hot);
    spin_unlock_irqrestore(&hot->lock, irq);
}

/* One list at a time: interrupts are off for 40 pages at most. */
static void drain(struct hot *hot)
{
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        unsigned long irq = spin_lock_irqsave(&hot->lock);
        shrink(&hot->list[kind], 0);
        spin_unlock_irqrestore(&hot->lock, irq);
    }
}

void page_drain(void)
{
    for (unsigned i = 0; i < hot_cpus; i++)
        drain(&hots[i]);
}

bool hot_trim(void)
{
    __atomic_store_n(&noted, false, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < hot_cpus; i++) {
        unsigned long irq = spin_lock_irqsave(&hots[i].lock);
        bool busy = hots[i].filled;
        hots[i].filled = false;
        spin_unlock_irqrestore(&hots[i].lock, irq);
        if (!busy)
            drain(&hots[i]);
    }
    bool left = hot_count() > 0;
    if (left)
        __atomic_store_n(&noted, true, __ATOMIC_RELAXED);
    return left;
}

/* ---- counts -----------------------------------------------------------------------------------
 */

uint64_t hot_count(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < hot_cpus; i++)
        for (unsigned kind = 0; kind < KIND_COUNT; kind++)
            sum += __atomic_load_n(&hots[i].list[kind].count, __ATOMIC_RELAXED);
    return sum;
}

int64_t hot_used(enum page_type type)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < hot_cpus; i++)
        sum += __atomic_load_n(&hots[i].used[type], __ATOMIC_RELAXED);
    return sum;
}

static void check_list(const struct hot_list *list)
{
    uint32_t listed = 0;
    list_for_each (pos, &list->pages) {
        const struct page *page = list_entry(pos, struct page, link);
        CHECK(page->type == PAGE_TAIL && page->order == 0);
        listed++;
    }
    CHECK(listed == list->count && listed <= limit);
}

uint64_t hot_check(void)
{
    for (unsigned i = 0; i < hot_cpus; i++) {
        unsigned long irq = spin_lock_irqsave(&hots[i].lock);
        for (unsigned kind = 0; kind < KIND_COUNT; kind++)
            check_list(&hots[i].list[kind]);
        spin_unlock_irqrestore(&hots[i].lock, irq);
    }
    return hot_count();
}
