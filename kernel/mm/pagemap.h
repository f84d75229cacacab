/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pagemap.h - inside mm: where the struct pages are (pagemap.c).
 */
#ifndef SELKIE_MM_PAGEMAP_H
#define SELKIE_MM_PAGEMAP_H

#include "mm/page.h"

#define CHUNK_PAGES PAGE_CHUNK_PAGES

struct page_map_layout {
    void *front;        /* zeroed where the machine's RAM is; as large as asked for */
    uint8_t *per_chunk; /* likewise, so many bytes for each chunk */
    uint32_t chunks;    /* that have RAM; numbered from 0 in address order */
    uint64_t pages;     /* all RAM, */
    uint64_t taken;     /* and of it for these tables */
};

/* At boot, once: carve the tables out of RAM, and what the caller wants beside them. */
struct page_map_layout page_map_init(uint64_t front_bytes, uint64_t bytes_per_chunk);
/* Write the struct pages of a chunk, all as PAGE_RESERVED. */
void page_map_open(uint32_t chunk);
/* Tell fn each range of free RAM in the chunk, in address order. */
void page_map_ranges(uint32_t chunk, void (*fn)(paddr_t lo, paddr_t hi, unsigned flags),
                     unsigned flags);

#endif
