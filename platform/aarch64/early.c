/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * early.c - the page tables with which the MMU is turned on. mmu.c replaces them.
 *
 * This code runs at the image's physical address with the MMU off. That works because the compiler
 * addresses everything relative to the program counter (small code model, adrp); it must not use
 * tables of pointers. Alignment faults on device memory, which all memory is now, are avoided by
 * -mstrict-align.
 *
 *   TTBR0   the 2 MiB block(s) that hold the first instructions, where they are
 *   TTBR1   the GiB of the image and that of the device tree at the direct map; the image, and
 *           once aarch64_kaslr() has chosen, the image a second time
 */
#include "aarch64.h"
#include "common/kasan.h"

#define ENTRIES 512
#define BLOCK_SIZE (2ull << 20)
#define DESC_TABLE 3ull
#define DESC_BLOCK (1ull | 3ull << 8 | 1ull << 10) /* valid, inner shareable, accessed */
#define DESC_PAGE (DESC_BLOCK | 2ull)
#define DESC_PXN (1ull << 53)
#define DESC_UXN (1ull << 54)

/* TCR_EL1 (DDI 0487, D17.2.131): 48-bit halves, 4 KiB, write-back walks, tags ignored in TTBR0. */
#define TCR_T0SZ (16ull << 0)
#define TCR_WALKS0 (1ull << 8 | 1ull << 10 | 3ull << 12)
#define TCR_T1SZ (16ull << 16)
#define TCR_WALKS1 (1ull << 24 | 1ull << 26 | 3ull << 28)
#define TCR_TG1_4K (2ull << 30)
#define TCR_IPS_SHIFT 32
#define TCR_TBI0 (1ull << 37)
#define IPS_48_BITS 5

typedef uint64_t table[ENTRIES] __attribute__((aligned(4096)));

struct aarch64_secondary aarch64_secondary __attribute__((aligned(64)));
paddr_t aarch64_image_pa, aarch64_early_lo;
uintptr_t aarch64_image_slide;
static table id_root, id_middle, id_last;
static table root, direct[2], image_middle, image_last, image_pages[3];
static unsigned direct_used;
static struct kasan_early early_shadow;

static unsigned index_at(uint64_t va, unsigned shift)
{
    return (unsigned)(va >> shift) & (ENTRIES - 1);
}

/* One GiB at the direct map. Two of them may be under different root entries. */
static void map_gib(paddr_t pa)
{
    uint64_t va = A64_DIRECT_BASE + (pa & ~(A64_EARLY_SIZE - 1));
    uint64_t *slot = &root[index_at(va, 39)];

    if (*slot == 0)
        *slot = (uint64_t)direct[direct_used++] | DESC_TABLE;
    ((uint64_t *)(uintptr_t)(*slot & ~4095ull))[index_at(va, 30)] =
        (pa & ~(A64_EARLY_SIZE - 1)) | DESC_BLOCK | DESC_PXN | DESC_UXN;
}

static void map_image(paddr_t image, uint64_t size)
{
    root[ENTRIES - 1] = (uint64_t)image_middle | DESC_TABLE;
    image_middle[index_at(A64_IMAGE_BASE, 30)] = (uint64_t)image_last | DESC_TABLE;
    for (unsigned i = 0; i < ENTRIES && i * BLOCK_SIZE < size; i++)
        image_last[i] = (image + i * BLOCK_SIZE) | DESC_BLOCK | DESC_UXN;
}

static void map_identity(paddr_t image)
{
    id_root[index_at(image, 39)] = (uint64_t)id_middle | DESC_TABLE;
    id_middle[index_at(image, 30)] = (uint64_t)id_last | DESC_TABLE;
    id_last[index_at(image, 21)] = image | DESC_BLOCK | DESC_UXN;
}

__attribute__((no_stack_protector)) void aarch64_early_tables(paddr_t dtb, paddr_t image)
{
    uint64_t range = a64_read(id_aa64mmfr0_el1) & 15;

    aarch64_image_pa = image;
    aarch64_early_lo = image & ~(A64_EARLY_SIZE - 1);
    if (SELKIE_KASAN)
        kasan_early_fill(&early_shadow, (paddr_t)&early_shadow, root, DESC_TABLE,
                         DESC_PAGE | DESC_PXN | DESC_UXN);
    map_gib(image);
    map_gib(dtb);
    map_image(image, (uint64_t)(aarch64_image_end - aarch64_image_begin));
    map_identity(image);
    aarch64_secondary.ttbr0 = (uint64_t)id_root;
    aarch64_secondary.ttbr1 = (uint64_t)root;
    aarch64_secondary.tcr = TCR_T0SZ | TCR_WALKS0 | TCR_T1SZ | TCR_WALKS1 | TCR_TG1_4K | TCR_TBI0 |
                            MIN(range, IPS_48_BITS) << TCR_IPS_SHIFT;
}

/* Runs with the MMU on. The image is not larger than 3 MiB: it needs three tables at most. */
void aarch64_early_map_image(uintptr_t slide)
{
    vaddr_t lo = A64_IMAGE_BASE + slide,
            hi = lo + (vaddr_t)(aarch64_image_end - aarch64_image_begin);
    unsigned first = index_at(lo, 21);

    for (unsigned i = 0; i < ARRAY_COUNT(image_pages); i++)
        image_last[first + i] = hal_virt_to_phys(image_pages[i]) | DESC_TABLE;
    for (vaddr_t va = lo; va < hi; va += HAL_PAGE_SIZE)
        image_pages[index_at(va, 21) - first][index_at(va, HAL_PAGE_SHIFT)] =
            (va - lo + aarch64_image_pa) | DESC_PAGE | DESC_UXN;
    __asm__ volatile("dsb ishst; isb" : : : "memory");
}
