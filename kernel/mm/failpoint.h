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
extern uint64_t failpoint_countdown; /* relaxed atomic; 0: off */
bool failpoint_count(unsigned flags);
static inline bool failpoint_armed(void)
{
    return __atomic_load_n(&failpoint_countdown, __ATOMIC_RELAXED) != 0;
}
#else
static inline bool failpoint_armed(void)
{
    return false;
}
static inline bool failpoint_count(unsigned flags)
{
    (void)flags;
    return false;
}
#endif
static inline bool failpoint_hit(unsigned flags)
{
    return __builtin_expect(failpoint_armed(), 0) && failpoint_count(flags);
}
/* page_alloc without failpoint. */
struct page *page_alloc_quiet(unsigned order, enum page_type type, unsigned flags);

#endif
