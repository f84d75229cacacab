/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugetlb.h - the pool of huge pages (2 MiB) that somebody has set apart, for MAP_HUGETLB.
 *
 * Large pages that come by themselves or by MADV_HUGEPAGE have nothing to do with it (fault.c).
 * Any context unless stated otherwise.
 */
#ifndef SELKIE_MM_HUGETLB_H
#define SELKIE_MM_HUGETLB_H

#include "mm/space.h"

#define HUGETLB_ORDER 9
#define HUGETLB_SIZE (PAGE_SIZE << HUGETLB_ORDER)

/* As in /proc/meminfo; all in huge pages. */
struct hugetlb_stats {
    uint64_t total;    /* in the pool, used or not */
    uint64_t free;     /* not used */
    uint64_t reserved; /* free, but promised to mappings that have not touched them yet */
    uint64_t surplus;  /* of total: to be given back to the machine when they are free */
};
void hugetlb_get_stats(struct hugetlb_stats *out);

/* Make the pool (without surplus) as near to `count` as memory and its users allow. Thread context,
 * no lock of mm held; compacts the space (if it is not NULL) if it must. */
void hugetlb_set_count(struct space *space, uint64_t count);
/* At boot. */
void hugetlb_init(void);

/* Could a mapping of so many huge pages be promised them? */
bool hugetlb_available(uint64_t count);
/* Huge pages of areas with a promise, mapped or not: more by `delta`. */
void hugetlb_promise(int64_t delta);

/* Map a fresh huge page at the region of va, which is empty. The region's fault lock is held. -EIO
 * (SIGBUS, as on Linux) when the pool is empty, -ENOMEM for want of page tables. */
int must_check hugetlb_fault_locked(struct space *space, const struct area *area, vaddr_t va);

#endif
