/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bootmem.h - the list of free RAM during early boot: sorted, disjoint regions in a fixed array.
 *
 * Built from the machine's memory map: add what is RAM, then take out what is used (image, initrd,
 * tables). Pages for early page tables are cut from it. At the end bootmem_finish() trims the
 * regions to whole pages and the array becomes hal_boot_info()->ram. One CPU only, no lock.
 */
#ifndef SELKIE_BOOTMEM_H
#define SELKIE_BOOTMEM_H

#include "hal_up.h"
#include "lib/types.h"

#define BOOTMEM_MAX 64

struct bootmem {
    struct hal_region region[BOOTMEM_MAX];
    size_t count;
    uint64_t total; /* bytes ever added (overlaps counted once) */
};

/* Add [base, base+len), merging with neighbours and overlaps. -ENOSPC if the list is full: the
 * region is then not used; -EINVAL if it wraps around. Empty regions are ignored. */
int must_check bootmem_add(struct bootmem *bm, paddr_t base, uint64_t len);
/* Take [base, base+len) out, wherever it overlaps. If a region must be split and the list is full,
 * the smaller part is lost (never handed out twice). */
void bootmem_reserve(struct bootmem *bm, paddr_t base, uint64_t len);
/* Cut `len` bytes aligned to `align` (a power of two, >= 4 KiB) out of RAM below `limit`, from the
 * highest place that fits. HAL_NO_PAGE if there is none. Not zeroed. */
paddr_t bootmem_alloc(struct bootmem *bm, uint64_t len, uint64_t align, paddr_t limit);
/* Trim all regions to whole pages and drop empty ones. */
void bootmem_finish(struct bootmem *bm);

#endif
