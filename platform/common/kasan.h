/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kasan.h - the shadow memory of the builds x64-asan and aarch64-asan (SELKIE_KASAN), inside
 * platform/.
 *
 * The design is told in docs/debugging.md. What a compiler built with -fsanitize=kernel-address
 * calls
 * (__asan_loadN_noabort and the like) is in kasan.c, and so is the kernel's side of lib/sanitize.h.
 *
 * Rule for backends: whoever maps kernel addresses maps their shadow first (kasan_cover). Before
 * that shadow exists one page stands for all of it (kasan_early_fill), which compiled code may
 * write to and nobody believes; kasan_start begins to believe.
 */
#ifndef SELKIE_KASAN_H
#define SELKIE_KASAN_H

#include "common/bootmem.h"
#include "common/pgtable.h"
#include "lib/types.h"

#ifndef SELKIE_KASAN
#error "SELKIE_KASAN must be 0 or 1"
#endif

#define KASAN_SHIFT 3 /* a shadow byte for eight bytes */
#define KASAN_ENTRIES 512
#define KASAN_LO ((SELKIE_KASAN_HALF >> KASAN_SHIFT) + SELKIE_KASAN_OFFSET)
#define KASAN_HI ((UINTPTR_MAX >> KASAN_SHIFT) + SELKIE_KASAN_OFFSET + 1)

static inline uintptr_t kasan_shadow(uintptr_t addr)
{
    return (addr >> KASAN_SHIFT) + SELKIE_KASAN_OFFSET;
}
/* Of an address in the shadow: the first byte that it speaks of; of others: themselves. */
static inline uintptr_t kasan_origin(uintptr_t addr)
{
    return SELKIE_KASAN && addr >= KASAN_LO && addr < KASAN_HI
               ? (addr - SELKIE_KASAN_OFFSET) << KASAN_SHIFT
               : addr;
}

/* The tables of early boot: one page for the whole shadow, by tables whose entries are all the
 * same. */
struct kasan_early {
    uint8_t page[4096];
    uint64_t table[3][KASAN_ENTRIES]; /* of pages, of those, and of those */
} __attribute__((aligned(4096)));
/* `pa` is where *early lies; entries are an address with `table_bits` or `page_bits` set. The
 * entries of `root` are of 512 GiB. */
void kasan_early_fill(struct kasan_early *early, paddr_t pa, uint64_t *root, uint64_t table_bits,
                      uint64_t page_bits);

/* Shadow for [va, va+len) of what boot maps before kasan_start: large pages, not zeroed. */
int must_check kasan_cover_boot(struct pgtable *pt, struct bootmem *bm, vaddr_t va, uint64_t len,
                                unsigned prot);
/* The same later on, by pages of pt->ops, zeroed. Any context in which pt may be changed. */
int must_check kasan_cover(struct pgtable *pt, vaddr_t va, size_t len, unsigned prot);
/* The shadow that is mapped is all there is: zero it, know the globals, begin to check. */
void kasan_start(const struct pgtable *pt);

/* From the backend: the end of the executing context's stack if sp is on it, else sp. */
uintptr_t kasan_stack_top(uintptr_t sp);

#endif
