/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hotpages.h - inside mm: the free single pages that each CPU keeps at hand (hotpages.c). Any
 * context.
 */
#ifndef SELKIE_MM_HOTPAGES_H
#define SELKIE_MM_HOTPAGES_H

#include "mm/buddy.h"

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

#endif
