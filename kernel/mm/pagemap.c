/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pagemap.c - which struct page belongs to which frame.
 *
 * Only chunks (4 MiB, page.h) that contain RAM have struct pages, so holes in physical space cost
 * two small table entries per 4 MiB. The chunks are numbered 0, 1, 2 ... in address order ("slot"):
 *     page_chunks[pa >> 22 - first] ->  first struct page of it, NULL for a hole (page.h)
 *     page_near                     ->  the same by virtual address, for page_of_direct (page.h)
 *     chunk_base[slot]              ->  number of the chunk in physical space
 *     page_map[slot * 1024 + i]     ->  struct page of page i of it
 * All four are carved from RAM at boot but not touched: the struct pages of a chunk are
 * written when the chunk is opened (buddy.c). Fixed after page_map_init; no lock.
 */
#include "mm/pagemap.h"

#include "lib/string.h"

#define CHUNK_SHIFT PAGE_CHUNK_SHIFT
#define CHUNK_SIZE ((uint64_t)1 << CHUNK_SHIFT)
#define NEAR_PER_CHUNK (1u << (CHUNK_SHIFT - PAGE_NEAR_SHIFT))

struct page **page_chunks;
uint64_t page_chunk_first, page_chunk_span;
uintptr_t page_near;
struct page *page_map;
static uint64_t *chunk_base;
static struct hal_region early; /* where the tables lie */

paddr_t page_phys(const struct page *page)
{
    uint32_t index = page_index(page);
    return chunk_base[index / CHUNK_PAGES] << CHUNK_SHIFT | (paddr_t)(index % CHUNK_PAGES)
                                                                << PAGE_SHIFT;
}

/* ---- chunks ----------------------------------------------------------------------------- */

/* The part of region `r` inside the chunk at `base` that the early tables leave: up to two ranges,
 * told to fn. */
static void region_ranges(const struct hal_region *r, paddr_t base,
                          void (*fn)(paddr_t lo, paddr_t hi, unsigned flags), unsigned flags)
{
    paddr_t lo = MAX(r->base, base), hi = MIN(r->base + r->len, base + CHUNK_SIZE);
    paddr_t early_end = early.base + early.len;
    if (lo >= hi)
        return;
    if (early.base < hi && early_end > lo) {
        if (lo < early.base)
            fn(lo, early.base, flags);
        lo = early_end;
    }
    if (lo < hi)
        fn(lo, hi, flags);
}

void page_map_ranges(uint32_t chunk, void (*fn)(paddr_t lo, paddr_t hi, unsigned flags),
                     unsigned flags)
{
    const struct hal_boot_info *info = hal_boot_info();
    for (size_t i = 0; i < info->ram_count; i++)
        region_ranges(&info->ram[i], chunk_base[chunk] << CHUNK_SHIFT, fn, flags);
}

void page_map_open(uint32_t chunk)
{
    struct page *page = &page_map[(uint64_t)chunk * CHUNK_PAGES];
    for (unsigned i = 0; i < CHUNK_PAGES; i++)
        page[i] = (struct page){.type = PAGE_RESERVED};
}

/* ---- boot ------------------------------------------------------------------------------- */

/* First and last chunk; returns how many pages of RAM there are. */
static uint64_t chunk_range(uint64_t *first, uint64_t *last)
{
    const struct hal_boot_info *info = hal_boot_info();
    uint64_t pages = 0;
    *first = UINT64_MAX;
    *last = 0;
    for (size_t i = 0; i < info->ram_count; i++) {
        const struct hal_region *r = &info->ram[i];
        CHECK(r->len > 0 && is_aligned(r->base | r->len, PAGE_SIZE));
        *first = MIN(*first, r->base >> CHUNK_SHIFT);
        *last = MAX(*last, (r->base + r->len - 1) >> CHUNK_SHIFT);
        pages += r->len >> PAGE_SHIFT;
    }
    CHECK(pages > 0);
    return pages;
}

/* Does any RAM lie in chunk number `chunk`? */
static bool chunk_has_ram(uint64_t chunk)
{
    const struct hal_boot_info *info = hal_boot_info();
    for (size_t i = 0; i < info->ram_count; i++) {
        const struct hal_region *r = &info->ram[i];
        if (r->base >> CHUNK_SHIFT <= chunk && chunk <= (r->base + r->len - 1) >> CHUNK_SHIFT)
            return true;
    }
    return false;
}

/* Take `bytes` from the start of the first region that has them. */
static void *early_alloc(uint64_t bytes)
{
    const struct hal_boot_info *info = hal_boot_info();
    bytes = align_up(bytes, PAGE_SIZE);
    for (size_t i = 0; i < info->ram_count; i++) {
        if (info->ram[i].len <= bytes)
            continue;
        early = (struct hal_region){info->ram[i].base, bytes};
        return hal_phys_to_virt(early.base);
    }
    panic("no room for the page tables of the allocator: %llu KiB needed",
          (unsigned long long)bytes >> 10);
}

/* Fill the table of page_of_direct, which begins with the first chunk. */
static void near_init(uintptr_t *table)
{
    uintptr_t first = (uintptr_t)hal_phys_to_virt(page_chunk_first << CHUNK_SHIFT);
    CHECK(is_aligned(first, 1ul << PAGE_NEAR_SHIFT));
    page_near = (uintptr_t)table - (first >> PAGE_NEAR_SHIFT) * sizeof *table;
    for (uint64_t i = 0; i < page_chunk_span * NEAR_PER_CHUNK; i++) {
        const struct page *chunk = page_chunks[i / NEAR_PER_CHUNK];
        table[i] =
            chunk ? (uintptr_t)chunk - ((first >> PAGE_SHIFT) + i / NEAR_PER_CHUNK * CHUNK_PAGES) *
                                           sizeof(struct page)
                  : 0;
    }
}

/* Fill the two tables of chunks. */
static void chunks_init(void)
{
    uint32_t slot = 0;
    for (uint64_t i = 0; i < page_chunk_span; i++) {
        bool ram = chunk_has_ram(page_chunk_first + i);
        page_chunks[i] = ram ? &page_map[(uint64_t)slot * CHUNK_PAGES] : NULL;
        if (ram)
            chunk_base[slot++] = page_chunk_first + i;
    }
}

struct page_map_layout page_map_init(uint64_t front_bytes, uint64_t bytes_per_chunk)
{
    struct page_map_layout out = {0};
    uint64_t last;
    out.pages = chunk_range(&page_chunk_first, &last);
    page_chunk_span = last - page_chunk_first + 1;
    for (uint64_t i = 0; i < page_chunk_span; i++)
        out.chunks += chunk_has_ram(page_chunk_first + i);
    /* Page numbers, and what slabs name each other by (slab_name), have 32 bits. */
    CHECK(out.chunks <= UINT32_MAX / CHUNK_PAGES / (sizeof(struct page) / sizeof(uint64_t)));

    uint64_t front = align_up(front_bytes, 64);
    uint64_t near_bytes = page_chunk_span * NEAR_PER_CHUNK * sizeof(uintptr_t);
    uint64_t base_bytes = out.chunks * sizeof chunk_base[0];
    uint64_t slot_bytes = align_up(page_chunk_span * sizeof page_chunks[0], 16);
    uint64_t page_bytes = (uint64_t)out.chunks * CHUNK_PAGES * sizeof(struct page);
    char *tables = early_alloc(front + near_bytes + base_bytes + slot_bytes + page_bytes +
                               out.chunks * bytes_per_chunk);
    out.front = tables;
    uintptr_t *near = (uintptr_t *)(void *)(tables + front);
    tables += front + near_bytes;
    chunk_base = (uint64_t *)(void *)tables;
    page_chunks = (struct page **)(void *)(tables + base_bytes);
    page_map = (struct page *)(void *)(tables + base_bytes + slot_bytes);
    out.per_chunk = (uint8_t *)tables + base_bytes + slot_bytes + page_bytes;
    out.taken = early.len >> PAGE_SHIFT;
    chunks_init();
    near_init(near);
    return out;
}
