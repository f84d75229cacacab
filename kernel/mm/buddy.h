/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * buddy.h - inside mm: the buddy system (buddy.c), for page.c and hotpages.c. Any context.
 */
#ifndef SELKIE_MM_BUDDY_H
#define SELKIE_MM_BUDDY_H

#include "mm/page.h"

/* What the free pages are kept apart by (buddy.c, "Kinds"). */
enum page_kind { KIND_PROGRAM, KIND_FILE, KIND_KERNEL, KIND_COUNT };
static inline enum page_kind page_kind(enum page_type type)
{
    return type == PAGE_ANON ? KIND_PROGRAM : type == PAGE_FILE ? KIND_FILE : KIND_KERNEL;
}

/* A block, counted as one of `type`, not initialised; *state has PAGE_FLAG_ZERO if it is zero. */
struct page *buddy_alloc(unsigned order, enum page_type type, unsigned flags, unsigned *state);
/* Take back the blocks on the list (by page->link), which nobody refers to any more. Interrupts are
 * off for all of it. */
void buddy_release(struct list *blocks);
/* Move up to `count` single free pages, of the kind if there are, to the list, as PAGE_TAIL: none
 * of the reserve, but for one page if that is all and the flags have ALLOC_ATOMIC. */
unsigned buddy_take(struct list *pages, enum page_kind kind, unsigned count, unsigned flags);
/* Give the `count` pages on the list back to the buddy system. */
void buddy_give(struct list *pages, unsigned count);
/* Free pages here, without those in the caches; written under page_lock. And how many of them only
 * ALLOC_ATOMIC may take: fixed. */
extern uint64_t buddy_free_pages, buddy_reserve;
static inline uint64_t buddy_free(void)
{
    return __atomic_load_n(&buddy_free_pages, __ATOMIC_RELAXED);
}
/* The same of all that there are, by type and order. */
void buddy_get_stats(struct page_stats *out);
/* Free pages above the limit below which memory counts as low: they may be kept in caches (page.c).
 */
uint64_t buddy_spare(void);

#endif
