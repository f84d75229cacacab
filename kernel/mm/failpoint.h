/* SPDX-License-Identifier: BSD-3-Clause */
/* failpoint.h - inside mm: allocations that fail on purpose (alloc_fail_nth, mm/kmalloc.h), and the
 * page allocator without them, for allocators that have already asked. */
#ifndef SELKIE_MM_FAILPOINT_H
#define SELKIE_MM_FAILPOINT_H

#include "mm/page.h"

/* Must this allocation fail? */
bool failpoint_hit(void);
/* page_alloc without failpoint. */
struct page *page_alloc_quiet(unsigned order, enum page_type type, unsigned flags);

#endif
