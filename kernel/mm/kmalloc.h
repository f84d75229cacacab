/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kmalloc.h - the kernel's allocator: size classes up to half a page, page blocks above.
 *
 * Any context. Small objects cost no lock and no atomic instruction on the CPU that allocated them,
 * one atomic instruction when another CPU frees them. Alignment: 16 bytes; a power-of-two size is
 * aligned to itself, up to a page. NULL when there is no memory: every caller handles it. Zero
 * bytes give a unique pointer. Freed objects are poisoned under asan and in debug builds.
 */
#ifndef SELKIE_MM_KMALLOC_H
#define SELKIE_MM_KMALLOC_H

#include "mm/kstack.h"
#include "mm/page.h"

void kmalloc_init(void);
/* Under AddressSanitizer: from now on freed objects wait a while before they are used again. */
void kmalloc_delay_frees(void);
void *kmalloc(size_t size, unsigned flags) __attribute__((malloc, alloc_size(1)));
/* count * size, checked for overflow. */
void *kmalloc_array(size_t count, size_t size, unsigned flags) __attribute__((malloc));
void *krealloc(void *old, size_t size,
               unsigned flags);       /* old may be NULL; on NULL the old block stays */
void kfree(void *ptr);                /* NULL is allowed */
size_t kmalloc_size(const void *ptr); /* usable bytes */
char *kstrdup(const char *s, unsigned flags);

static inline void *kzalloc(size_t size)
{
    return kmalloc(size, ALLOC_ZERO);
}

struct kmalloc_stats {
    uint64_t bytes_in_use, bytes_held; /* objects; pages behind them */
    uint64_t allocs, frees;
};
void kmalloc_get_stats(struct kmalloc_stats *out);
/* Give the empty slabs of this CPU to the page allocator. Any context. */
void kmalloc_trim(void);
/* In the inter-processor interrupt: has another CPU asked for that? */
void kmalloc_serve(void);
/* Tests: make the nth allocation (1 = next) of kmalloc or page_alloc fail, once. 0 turns it off. */
void alloc_fail_nth(uint64_t n);
bool alloc_fail_hit(void);      /* has it fired? */
uint64_t alloc_fail_hits(void); /* how often? */
/* One in `mean` of those fails, by chance, but for ALLOC_ATOMIC; the same seed, the same ones. 0
 * turns it off. Does nothing without SELKIE_FAILPOINTS. */
void alloc_fail_rate(uint64_t mean, uint64_t seed);

#endif
