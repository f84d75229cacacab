/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem.c - what the device tree tells: memory map, command line, initial RAM disk.
 *
 * "memory" nodes are RAM; the image, the device tree, the initrd, the memory reservation block and
 * /reserved-memory are taken out of what is free. The command line stays inside the device tree.
 */
#include "aarch64.h"
#include "common/core.h"
#include "lib/string.h"

struct hal_boot_info aarch64_boot_info = {.cmdline = "", .machine = "aarch64"};
struct bootmem aarch64_bootmem;
struct dtb aarch64_dtb;

const struct hal_boot_info *hal_boot_info(void)
{
    return &aarch64_boot_info;
}

static const struct hal_layout layout = {
    .user = {{A64_USER_LO, A64_USER_HI}},
    .user_count = 1,
    .user_end = 1ull << A64_USER_END_BIT,
    .kernel_lo = A64_WINDOW_LO,
    .kernel_hi = A64_WINDOW_HI,
    .large_pages = true,
};

const struct hal_layout *hal_layout(void)
{
    return &layout;
}

struct hal_text hal_kernel_text(void)
{
    return (struct hal_text){(uintptr_t)aarch64_text_begin, (uintptr_t)aarch64_text_end};
}

void hal_kernel_data(void (*fn)(uintptr_t lo, uintptr_t hi))
{
    fn((uintptr_t)aarch64_data_begin, (uintptr_t)aarch64_boot_guard);
    fn((uintptr_t)aarch64_boot_guard + HAL_PAGE_SIZE, (uintptr_t)aarch64_image_end);
}

/* All pages that [base, base+len) touches; what does not fit into 64 bits ends there. */
static void reserve_pages(struct bootmem *bm, paddr_t base, uint64_t len)
{
    paddr_t lo = align_down(base, HAL_PAGE_SIZE), end;

    if (len == 0)
        return;
    if (add_overflow(base, len, &end) || add_overflow(end, HAL_PAGE_SIZE - 1, &end))
        end = UINT64_MAX;
    bootmem_reserve(bm, lo, align_down(end, HAL_PAGE_SIZE) - lo);
}

static void read_memory(const struct dtb *dtb, struct bootmem *ram)
{
    dtb_node node = dtb_child(dtb, dtb_root(dtb));
    uint64_t base, size;

    for (; node != DTB_NONE; node = dtb_sibling(dtb, node)) {
        if (!dtb_lists(dtb, node, "device_type", "memory") || !dtb_enabled(dtb, node))
            continue;
        for (unsigned i = 0; dtb_reg(dtb, node, i, &base, &size); i++) {
            if (base >= A64_DIRECT_SIZE)
                continue;
            /* A full list loses RAM, nothing worse. */
            if (bootmem_add(ram, base, MIN(size, A64_DIRECT_SIZE - base)))
                break;
        }
    }
}

/* "no-map" memory must not even be mapped, because the CPU may read ahead there: it is not RAM. */
static void read_reserved(const struct dtb *dtb, struct bootmem *ram)
{
    static const char path[] = "/reserved-memory";
    dtb_node parent = dtb_path(dtb, path, sizeof(path) - 1);
    uint64_t base, size;
    uint32_t len;

    for (unsigned i = 0; dtb_reserved(dtb, i, &base, &size); i++)
        reserve_pages(&aarch64_bootmem, base, size);
    if (parent == DTB_NONE)
        return;
    for (dtb_node node = dtb_child(dtb, parent); node != DTB_NONE; node = dtb_sibling(dtb, node))
        for (unsigned i = 0; dtb_reg(dtb, node, i, &base, &size); i++) {
            reserve_pages(&aarch64_bootmem, base, size);
            if (dtb_prop(dtb, node, "no-map", &len))
                reserve_pages(ram, base, size);
        }
}

/* Only an initrd that lies in RAM is believed. */
static void read_initrd(const struct dtb *dtb, dtb_node chosen, const struct bootmem *ram)
{
    uint64_t start, end;

    if (!dtb_number(dtb, chosen, "linux,initrd-start", &start) ||
        !dtb_number(dtb, chosen, "linux,initrd-end", &end) || end <= start)
        return;
    for (size_t i = 0; i < ram->count; i++) {
        const struct hal_region *r = &ram->region[i];

        if (start < r->base || end > r->base + r->len)
            continue;
        aarch64_boot_info.initrd = hal_phys_to_virt(start);
        aarch64_boot_info.initrd_len = end - start;
        aarch64_boot_info.initrd_pa = start;
        reserve_pages(&aarch64_bootmem, start, end - start);
    }
}

/* The tree is checked before anything in it is believed. The early tables map its GiB. */
bool aarch64_dtb_open(paddr_t pa, struct dtb *dtb)
{
    const void *blob = hal_phys_to_virt(pa);
    uint64_t room = A64_EARLY_SIZE - (pa & (A64_EARLY_SIZE - 1));
    uint32_t size = pa % 8 == 0 && room >= DTB_HEADER_SIZE ? dtb_total_size(blob) : 0;

    return size != 0 && size <= room && dtb_open(dtb, blob, size) == 0;
}

/* There is no console yet to complain on, so a machine that was entered wrongly just stops. */
void aarch64_mem_init(paddr_t dtb_pa, struct bootmem *ram)
{
    dtb_node chosen;
    const char *cmdline;

    if (!aarch64_dtb_open(dtb_pa, &aarch64_dtb))
        for (;;)
            __asm__ volatile("wfe");
    read_memory(&aarch64_dtb, ram);
    core_init(ram, &(struct core_image){.va = (uintptr_t)aarch64_image_begin,
                                        .pa = hal_virt_to_phys(aarch64_image_begin),
                                        .len = (size_t)(aarch64_image_end - aarch64_image_begin),
                                        .slide = aarch64_image_slide});
    aarch64_bootmem = *ram;
    aarch64_boot_info.ram_total = ram->total;

    reserve_pages(&aarch64_bootmem, dtb_pa, aarch64_dtb.total);
    reserve_pages(&aarch64_bootmem, hal_virt_to_phys(aarch64_image_begin),
                  (size_t)(aarch64_image_end - aarch64_image_begin));
    read_reserved(&aarch64_dtb, ram);
    chosen = dtb_path(&aarch64_dtb, "/chosen", 7);
    cmdline = dtb_string(&aarch64_dtb, chosen, "bootargs");
    if (cmdline)
        aarch64_boot_info.cmdline = cmdline;
    read_initrd(&aarch64_dtb, chosen, ram);
}

void aarch64_mem_finish(void)
{
    bootmem_finish(&aarch64_bootmem);
    aarch64_boot_info.ram = aarch64_bootmem.region;
    aarch64_boot_info.ram_count = aarch64_bootmem.count;
}
