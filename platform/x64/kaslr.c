/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kaslr.c - a random virtual address for the image.
 *
 * The image is linked for X64_IMAGE_BASE + its physical address and moves up from there by a random
 * number of pages; physically it stays. boot.S calls x64_kaslr() with the image still at its link
 * address. This maps it at the new one too, boot.S adds the distance to all addresses in it and
 * goes on there, and the final page tables know the new place only. So nothing that runs before may
 * keep an address of the image in memory.
 *
 * 4 KiB steps below 1 GiB: 18 bits. `kaslr=0` on the command line keeps the link address, for
 * debuggers.
 */
#include "common/kasan.h"
#include "lib/conframe.h"
#include "x64.h"

#define SLIDE_MIN (4ul << 20) /* behind the 2 MiB pages at the link address */
#define SLIDE_SIZE (X64_MMIO_LO - X64_IMAGE_BASE - 2 * SLIDE_MIN)
#define PTE_FLAGS 7u /* present, writable, user */
#define ENTRY_MASK 511u

uintptr_t x64_image_slide;
static struct kasan_early early_shadow;

static bool wanted(paddr_t start_info)
{
    const char *cmdline = x64_start_cmdline(start_info), *value;
    size_t len;

    if (!cmdline)
        return true;
    value = cmdline_find(cmdline, "kaslr", &len);
    return !value || len != 1 || *value != '0';
}

static void map_image(uintptr_t slide)
{
    paddr_t begin = hal_virt_to_phys(x64_image_begin), end = hal_virt_to_phys(x64_image_end);
    unsigned first = (unsigned)((begin + slide) >> 21);

    for (unsigned i = 0; i < 3; i++)
        x64_boot_image_pd[first + i] = hal_virt_to_phys(x64_boot_image_pt + i * 512) | PTE_FLAGS;
    for (paddr_t pa = begin; pa < end; pa += HAL_PAGE_SIZE) {
        uintptr_t page = (pa + slide) >> HAL_PAGE_SHIFT;

        x64_boot_image_pt[((page >> 9) - first) * 512 + (page & ENTRY_MASK)] = pa | PTE_FLAGS;
    }
}

/* The first C code. With SELKIE_KASAN compiled without checks: what it calls may have them. */
rarely uintptr_t x64_kaslr(paddr_t start_info)
{
    uintptr_t slide;
    uint64_t random;

    if (SELKIE_KASAN)
        kasan_early_fill(&early_shadow, hal_virt_to_phys(&early_shadow), x64_boot_pml4, PTE_FLAGS,
                         PTE_FLAGS);
    x64_cpu_features();
    if (!wanted(start_info))
        return 0;
    (void)hal_entropy(&random, sizeof(random));
    /* The upper half is as random as the lower one; the product's upper half is below SLIDE_SIZE.
     */
    slide = SLIDE_MIN + align_down((random >> 32) * SLIDE_SIZE >> 32, HAL_PAGE_SIZE);
    map_image(slide);
    x64_image_slide = slide;
    return slide;
}
