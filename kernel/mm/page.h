/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page.h - physical pages: one struct page per frame, a buddy allocator over them.
 *
 * RAM is cut into 4 MiB chunks (order PAGE_ORDER_MAX). The struct pages of a chunk are initialised
 * when the buddy first takes from it, so boot does not touch all of memory;
 * chunks never taken are also known to be zero on machines that say so.
 *
 * Ownership: page_alloc gives one reference; page_put of the last one frees
 * the block. A block is named by its first page.
 */
#ifndef SELKIE_MM_PAGE_H
#define SELKIE_MM_PAGE_H

#include "core/assert.h"
#include "hal.h"
#include "lib/list.h"
#include "lib/refcount.h"

#define PAGE_SIZE HAL_PAGE_SIZE
#define PAGE_SHIFT HAL_PAGE_SHIFT
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PAGE_ORDER_MAX 10

enum page_type {
    PAGE_FREE,     /* in the buddy, head of a free block */
    PAGE_TAIL,     /* inside a block, or in a CPU's cache of free pages */
    PAGE_KERNEL,   /* kernel data, stacks */
    PAGE_TABLE,    /* page tables */
    PAGE_SLAB,     /* owned by a size class */
    PAGE_ANON,     /* program memory */
    PAGE_FILE,     /* in a page-cache object */
    PAGE_HUGETLB,  /* of the pool of huge pages (hugetlb.c); the rest of the block is PAGE_TAIL */
    PAGE_RESERVED, /* not RAM, or never given to the buddy */
};

struct vm_object;
struct page {
    union {
        struct refcount refs;
        uint32_t slab_remote; /* PAGE_SLAB: objects freed by other CPUs, see slab.c; atomic */
    };
    union {
        struct {
            uint8_t type;  /* enum page_type */
            uint8_t order; /* of the block this page heads */
        };
        uint16_t slab_tag; /* PAGE_SLAB, a page of its own: that, and above it the CPU */
    };
    union {
        uint16_t flags;
        struct { /* PAGE_SLAB */
            uint8_t slab_pool, slab_left;
        };
    };
    union {
        struct list link; /* free list, list of the owner */
        struct {
            struct vm_object *object; /* PAGE_FILE */
            uint64_t index;           /* page number in object */
        };
        uint64_t private_[2]; /* the owner's, by type */
        struct {              /* PAGE_SLAB */
            void *slab_free;
            uint32_t slab_next, slab_prev;
        };
    };
};
STATIC_ASSERT(sizeof(struct page) == 24);

#define PAGE_FLAG_DIRTY 1u    /* PAGE_FILE: changed since read or written back */
#define PAGE_FLAG_UPTODATE 2u /* PAGE_FILE: contents valid */
#define PAGE_FLAG_ZERO 4u     /* PAGE_FREE: every byte of the block is known to be zero */
#define PAGE_FLAG_ICACHE 8u   /* instruction caches have seen the contents */
/* compact.c has it. No bit that a slab may have there: who looks for it (buddy.c, is_moving) has
 * seen another type a moment ago. */
#define PAGE_FLAG_MOVING 128u

/* Allocation flags, shared by page_alloc and kmalloc. */
enum {
    ALLOC_DEFAULT = 0,
    ALLOC_ZERO = 1,   /* contents zero */
    ALLOC_ATOMIC = 2, /* may dip into the reserve; for irq context and must-succeed paths */
    ALLOC_HANDY = 4,  /* page_alloc: no effort for a block; the caller does with single pages */
};

/* Take over the machine's RAM (hal_boot_info). Once, on CPU 0, before any allocation. */
void page_init(void);

/* 2^order pages, aligned to their size, or NULL. Any context. */
struct page *page_alloc(unsigned order, enum page_type type, unsigned flags);
void page_get(struct page *page);
void page_put(struct page *page);
/* Set before there is a page of type PAGE_HUGETLB: takes one that nobody refers to any more. False:
 * it goes back to the buddy system. */
extern bool (*page_huge_release)(struct page *page);
/* Put every page on the list (linked by page->link, one reference each); cheaper than one by one.
 */
void page_put_list(struct list *pages);
/* Turn a block into 2^order single pages with one reference each. The block has one reference. */
void page_split(struct page *page);

/*
 * For compaction (compact.c): the block of 2^order pages that begins at page number `first`.
 * survey: is every page of it free or a single PAGE_ANON page, and not all are free? How many are
 * used. take: give the free pages of it to the caller, marked PAGE_FLAG_MOVING. release: free all
 * pages so marked; returns their number.
 */
bool page_block_survey(uint32_t first, unsigned order, uint32_t *used);
void page_block_take(uint32_t first, unsigned order);
uint32_t page_block_release(uint32_t first, unsigned order);
/* Page numbers are below this. */
uint32_t page_index_end(void);

/* Free pages for programs in blocks smaller than 2^order (at most 2 MiB). */
uint64_t page_fragments(unsigned order);

/* Pages by small numbers, for links inside struct page. */
extern struct page *page_map; /* page number 0; fixed after page_init */
static inline uint32_t page_index(const struct page *page)
{
    return (uint32_t)(page - page_map);
}
static inline struct page *page_at(uint32_t index)
{
    return &page_map[index];
}
/* Pure, so that release builds do not ask for addresses that only a check would use. */
__attribute__((pure)) paddr_t page_phys(const struct page *page);
/* The first struct page of each chunk of physical space that has RAM; fixed after page_init. */
#define PAGE_CHUNK_PAGES (1u << PAGE_ORDER_MAX)
#define PAGE_CHUNK_SHIFT (PAGE_SHIFT + PAGE_ORDER_MAX)
extern struct page **page_chunks;
extern uint64_t page_chunk_first, page_chunk_span;
/* pa lies in RAM given to page_init. */
static inline struct page *page_of_phys(paddr_t pa)
{
    uint64_t chunk = (pa >> PAGE_CHUNK_SHIFT) - page_chunk_first;
    ASSERT(chunk < page_chunk_span && page_chunks[chunk]);
    return page_chunks[chunk] + (pa >> PAGE_SHIFT) % PAGE_CHUNK_PAGES;
}
static inline void *page_virt(const struct page *page)
{
    return hal_phys_to_virt(page_phys(page));
}
static inline struct page *page_of_virt(const void *va)
{
    return page_of_phys(hal_virt_to_phys(va));
}
/* The same of direct-map addresses only, in fewer instructions: by the number of the 2 MiB it lies
 * in, the address that struct page 0 would have. */
#define PAGE_NEAR_SHIFT 21
extern uintptr_t page_near; /* the table, as if it began with address 0 */
static inline struct page *page_of_direct(const void *va)
{
    uintptr_t base =
        *(const uintptr_t *)(page_near + ((uintptr_t)va >> PAGE_NEAR_SHIFT) * sizeof(uintptr_t));
    struct page *page = (struct page *)(base + ((uintptr_t)va >> PAGE_SHIFT) * sizeof(struct page));
    ASSERT(page == page_of_virt(va));
    return page;
}

/* Free pages out of the CPUs' caches into the buddy system, so that they can join to blocks. Any
 * context without mm's locks. */
void page_drain(void);

/* Give back what CPUs keep that have not refilled their caches since the last call. False: nothing
 * is left in any cache; then memory_cached will be called when there is something again (any
 * context, any lock held). The reclaim thread calls this every second meanwhile. */
bool hot_trim(void);
extern void (*memory_cached)(void);
uint64_t hot_count(void); /* pages in all caches; they count as free */

struct page_stats {
    uint64_t total, free; /* pages */
    uint64_t by_type[PAGE_RESERVED + 1];
    uint64_t free_by_order[PAGE_ORDER_MAX + 1];
};
uint64_t page_free_count(void); /* a cheap, momentary value */
uint64_t page_total_count(void);
uint64_t page_reserve_count(void); /* free pages that only ALLOC_ATOMIC may take */
void page_get_stats(struct page_stats *out);
/* Walk the free lists and check every invariant; panics on a violation. For tests: nothing else may
 * run. */
void page_check(void);

#endif
