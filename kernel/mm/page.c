/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page.c - pages and their references: what allocating and freeing means, and what is counted.
 *
 * Single pages come and go through the caches of the CPUs (hotpages.c); larger blocks, and lists of
 * pages that are freed together, go to the buddy system (buddy.c) at once. Where the struct pages
 * are: pagemap.c.
 *
 * No lock here. The type and the references of an allocated page belong to its owner.
 */
#include "mm/page.h"

#include "lib/sanitize.h"
#include "lib/string.h"
#include "mm/failpoint.h"
#include "mm/hotpages.h"
#include "mm/reclaim.h"

#define PUT_ROUND 64 /* pages given to the buddy system at a time, interrupts off */

void (*memory_alarm)(void);
bool (*page_huge_release)(struct page *page);
static uint64_t alarm_pages; /* see memory_alarm; relaxed atomic */

uint64_t page_free_count(void)
{
    return buddy_free() + hot_count();
}

void memory_alarm_set(uint64_t pages)
{
    __atomic_store_n(&alarm_pages, pages, __ATOMIC_RELAXED);
}

uint64_t buddy_spare(void)
{
    uint64_t low = __atomic_load_n(&alarm_pages, __ATOMIC_RELAXED), have = buddy_free();
    low = MAX(low, buddy_reserve);
    return have > low ? have - low : 0;
}

/* ---- allocation ------------------------------------------------------------------------- */

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
    struct page *page = order ? buddy_alloc(order, type, flags, &state) : hot_take(type, flags);
    /* Pages in the caches may be what keeps blocks apart. Program memory does with smaller ones. */
    if (!page && order && type != PAGE_ANON && !(flags & ALLOC_HANDY) && hot_count()) {
        page_drain();
        page = buddy_alloc(order, type, flags, &state);
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

/* ---- references ------------------------------------------------------------------------- */

void page_get(struct page *page)
{
    ASSERT(page->type != PAGE_FREE && page->type != PAGE_TAIL && page->type != PAGE_RESERVED);
    ref_get(&page->refs);
}

/* Drop a reference; true if the caller must release the block. Inline, as what comes then is not:
 * usually it is one of several. */
static inline __attribute__((always_inline)) bool drop(struct page *page)
{
    CHECK(page->type != PAGE_FREE && page->type != PAGE_TAIL && page->type != PAGE_RESERVED);
    CHECK(ref_read(&page->refs) > 0);
    if (!ref_put(&page->refs))
        return false;
    memory_poison(page_virt(page), PAGE_SIZE << page->order, POISON_PAGE);
    return true;
}

static no_inline void release(struct page *page)
{
    if (page->type == PAGE_HUGETLB && page_huge_release(page))
        return;
    if (page->order == 0) {
        hot_give(page);
        return;
    }
    struct list one;
    list_init(&one);
    list_push_back(&one, &page->link);
    buddy_release(&one);
}

void page_put(struct page *page)
{
    if (drop(page))
        release(page);
}

void page_put_list(struct list *pages)
{
    while (!list_empty(pages)) {
        /* In rounds: interrupts are not off for long however long the list is. */
        struct list free;
        list_init(&free);
        for (unsigned i = 0; i < PUT_ROUND && !list_empty(pages); i++) {
            struct page *page = list_entry(list_pop_front(pages), struct page, link);
            if (drop(page))
                list_push_back(&free, &page->link);
        }
        buddy_release(&free);
    }
}

void page_get_stats(struct page_stats *out)
{
    uint64_t hot = hot_count();
    buddy_get_stats(out);
    out->free += hot;
    for (unsigned type = 0; type <= PAGE_RESERVED; type++) {
        /* Summed while others count: one page less than none is possible for a moment. */
        int64_t used = (int64_t)out->by_type[type] + hot_used((enum page_type)type);
        out->by_type[type] = used > 0 ? (uint64_t)used : 0;
    }
    out->by_type[PAGE_FREE] = out->free;
    out->free_by_order[0] += hot;
}
