/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kaslr.c - a random virtual address for the image.
 *
 * The image is linked for A64_IMAGE_BASE and moves up from there by a random number of pages;
 * physically it stays. boot.S calls aarch64_kaslr() with the image still at its link address. This
 * maps it at the new one too and adds the distance to all addresses in it; boot.S goes on there,
 * and the final page tables know the new place only. So nothing that runs before may keep an
 * address of the image in memory. Code finds everything relative to the program counter and page,
 * so that only words with whole addresses change (cmake/relocs.sh).
 *
 * 4 KiB steps below 1 GiB: 18 bits. `kaslr=0` on the command line keeps the link address, for
 * debuggers.
 */
#include "aarch64.h"
#include "lib/conframe.h"

#define SLIDE_MIN (4ul << 20) /* behind the 2 MiB blocks at the link address */
#define SLIDE_SIZE (A64_MMIO_LO - A64_IMAGE_BASE - 2 * SLIDE_MIN)

extern const uint8_t aarch64_relocs[];

static bool wanted(const struct dtb *dtb)
{
    const char *cmdline = dtb_string(dtb, dtb_path(dtb, "/chosen", 7), "bootargs"), *value;
    size_t len;

    if (!cmdline)
        return true;
    value = cmdline_find(cmdline, "kaslr", &len);
    return !value || len != 1 || *value != '0';
}

/* Add `slide` to the words of a list (cmake/relocs.sh); the list behind it. The words are cleaned
 * to memory because other CPUs read some of them before their caches are on. */
static const uint8_t *relocate(const uint8_t *list, const char *base, uintptr_t slide)
{
    uintptr_t at = (uintptr_t)base - 1, distance;

    for (;;) {
        unsigned shift = 0;

        for (distance = 0; *list & 0x80; shift += 7)
            distance |= (uintptr_t)(*list++ & 0x7f) << shift;
        distance |= (uintptr_t)*list++ << shift;
        if (distance == 0)
            return list;
        at += distance;
        uint64_t *word = (uint64_t *)at;

        /* The image is constant to the compiler, which may drop stores to it: it must not know. */
        __asm__ volatile("" : "+r"(word));
        *word += slide;
        __asm__ volatile("dc cvac, %0" : : "r"(word) : "memory");
    }
}

/* The lists: words below the data, 32-bit words (none on this architecture), words of the data. */
static void relocate_image(uintptr_t slide)
{
    const uint8_t *list = relocate(aarch64_relocs, aarch64_image_begin, slide);

    relocate(list + 1, aarch64_data_begin, slide);
    __asm__ volatile("dsb sy; isb" : : : "memory");
}

uintptr_t aarch64_kaslr(paddr_t dtb_pa)
{
    struct dtb dtb;
    uintptr_t slide;
    uint64_t random;

    if (!aarch64_dtb_open(dtb_pa, &dtb))
        return 0; /* aarch64_mem_init deals with it */
    aarch64_entropy_seed(&dtb);
    if (!wanted(&dtb))
        return 0;
    (void)hal_entropy(&random, sizeof(random));
    /* The product's upper half is below SLIDE_SIZE. */
    slide = SLIDE_MIN + align_down((random >> 32) * SLIDE_SIZE >> 32, HAL_PAGE_SIZE);
    aarch64_early_map_image(slide);
    relocate_image(slide);
    aarch64_image_slide = slide;
    return slide;
}
