/* SPDX-License-Identifier: BSD-3-Clause */
/* failpoint.h - inside mm: allocations that fail on purpose (alloc_fail_nth, alloc_fail_rate of
 * mm/kmalloc.h), and the
 * page allocator without them, for allocators that have already asked. */
#ifndef SELKIE_MM_FAILPOINT_H
#define SELKIE_MM_FAILPOINT_H

#include "mm/page.h"

/* Must this allocation fail? Only tests of kernel sources and builds that are made for it ask, so
 * nobody else pays. */
#if defined(SELKIE_UNIT_TEST) || SELKIE_FAILPOINTS
#define FAILPOINTS 1
#else
#define FAILPOINTS 0
#endif
extern uint64_t failpoint_countdown; /* relaxed atomic; 0: off */
bool failpoint_count(unsigned flags);
/* Each once, whatever the build: the coverage of several is merged by their lines. */
static inline bool failpoint_armed(void)
{
    return FAILPOINTS && __atomic_load_n(&failpoint_countdown, __ATOMIC_RELAXED) != 0;
}
static inline bool failpoint_hit(unsigned flags)
{
    return FAILPOINTS && __builtin_expect(failpoint_armed(), 0) && failpoint_count(flags);
}
/* page_alloc without failpoint. */
struct page *page_alloc_quiet(unsigned order, enum page_type type, unsigned flags);

#endif
