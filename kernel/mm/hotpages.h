/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hotpages.h - inside mm: the free single pages that each CPU keeps at hand (hotpages.c), and what
 * they need of the buddy system behind them (page.c).
 */
#ifndef SELKIE_MM_HOTPAGES_H
#define SELKIE_MM_HOTPAGES_H

#include "mm/page.h"

/* What the free pages are kept apart by (page.c, "Kinds"). */
enum page_kind { KIND_PROGRAM, KIND_FILE, KIND_KERNEL, KIND_COUNT };
static inline enum page_kind page_kind(enum page_type type)
{
    return type == PAGE_ANON ? KIND_PROGRAM : type == PAGE_FILE ? KIND_FILE : KIND_KERNEL;
}

/* ---- hotpages.c; any context ---- */

/* Bytes for the caches of all CPUs; set up in zeroed memory that the caller provides, which is to
 * manage `total` pages. */
size_t hot_bytes(void);
void hot_init(void *memory, uint64_t total);
/* A free page, not initialised but for PAGE_FLAG_ZERO in its flags, counted as one of `type`. */
struct page *hot_take(enum page_type type, unsigned flags);
/* Take back a page that nobody refers to any more. */
void hot_give(struct page *page);
/* Pages that have left the caches for each type, less those that came back; may be negative. */
int64_t hot_used(enum page_type type);
/* Check every cache; nothing else may run. Returns hot_count. */
uint64_t hot_check(void);

/* ---- page.c ---- */

/* Move up to `count` single free pages, of the kind if there are, to the list, as PAGE_TAIL: none
 * of the reserve, but for one page if that is all and the flags have ALLOC_ATOMIC. */
unsigned buddy_take(struct list *pages, enum page_kind kind, unsigned count, unsigned flags);
/* Give the `count` pages on the list back to the buddy system. */
void buddy_give(struct list *pages, unsigned count);
/* Free pages above the limit below which memory counts as low: they may be kept in caches. */
uint64_t buddy_spare(void);

#endif
