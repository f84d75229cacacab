/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem.c - what the PVH loader tells: memory map, command line, initial RAM disk, RSDP.
 *
 * Structures: "x86/HVM direct boot ABI" (xen/include/public/arch-x86/hvm/start_info.h), version 1.
 * All of them lie in the first GiB, which the boot page tables map; what we keep using (command
 * line, initrd) is taken out of the free RAM, the low megabyte as a whole.
 */
#include "common/core.h"
#include "lib/string.h"
#include "x64.h"

#define START_INFO_MAGIC 0x336ec578u
#define MEMMAP_RAM 1u
#define LOW_END 0x100000u
#define LOW_RAM_END 0xa0000u
#define EARLY_MAP_END (1ull << 30)

struct start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp;
    uint64_t memmap;
    uint32_t memmap_count, reserved;
};
STATIC_ASSERT(sizeof(struct start_info) == 56);
struct module_entry {
    uint64_t base, size, cmdline, reserved;
};
STATIC_ASSERT(sizeof(struct module_entry) == 32);
struct memmap_entry {
    uint64_t base, size;
    uint32_t type, reserved;
};
STATIC_ASSERT(sizeof(struct memmap_entry) == 24);

struct hal_boot_info x64_boot_info = {.cmdline = "", .machine = "x64"};
struct bootmem x64_bootmem;
paddr_t x64_rsdp;
paddr_t x64_trampoline_page = HAL_NO_PAGE;

const struct hal_boot_info *hal_boot_info(void)
{
    return &x64_boot_info;
}

static const struct hal_layout layout = {
    .user = {{X64_USER_LO, X64_USER_HI}},
    .user_count = 1,
    .user_end = 1ull << X64_USER_END_BIT,
    .kernel_lo = X64_WINDOW_LO,
    .kernel_hi = X64_WINDOW_HI,
    .large_pages = true,
};

const struct hal_layout *hal_layout(void)
{
    return &layout;
}

struct hal_text hal_kernel_text(void)
{
    return (struct hal_text){(uintptr_t)x64_text_begin, (uintptr_t)x64_text_end};
}

void hal_kernel_data(void (*fn)(uintptr_t lo, uintptr_t hi))
{
    fn((uintptr_t)x64_data_begin, (uintptr_t)x64_boot_guard);
    fn((uintptr_t)x64_boot_guard + HAL_PAGE_SIZE, (uintptr_t)x64_image_end);
}

static void reserve_pages(paddr_t base, uint64_t len)
{
    paddr_t lo = align_down(base, HAL_PAGE_SIZE);

    bootmem_reserve(&x64_bootmem, lo, align_up(base + len, HAL_PAGE_SIZE) - lo);
}

static void read_memmap(const struct start_info *info, struct bootmem *ram)
{
    const struct memmap_entry *map = hal_phys_to_virt(info->memmap);

    for (uint32_t i = 0; i < info->memmap_count; i++) {
        if (map[i].type != MEMMAP_RAM || map[i].base >= X64_DIRECT_SIZE)
            continue;
        /* A full list loses RAM, nothing worse. */
        if (bootmem_add(ram, map[i].base, MIN(map[i].size, X64_DIRECT_SIZE - map[i].base)))
            break;
    }
}

static void read_modules(const struct start_info *info)
{
    const struct module_entry *module = hal_phys_to_virt(info->modules);

    if (info->module_count == 0 || module->size == 0)
        return;
    x64_boot_info.initrd = hal_phys_to_virt(module->base);
    x64_boot_info.initrd_len = module->size;
    x64_boot_info.initrd_pa = module->base;
    reserve_pages(module->base, module->size);
}

static bool readable(paddr_t start_info)
{
    const struct start_info *info = hal_phys_to_virt(start_info);

    return start_info < EARLY_MAP_END && info->magic == START_INFO_MAGIC && info->version >= 1 &&
           info->memmap < EARLY_MAP_END && info->modules < EARLY_MAP_END;
}

const char *x64_start_cmdline(paddr_t start_info)
{
    const struct start_info *info = hal_phys_to_virt(start_info);

    if (!readable(start_info) || !info->cmdline || info->cmdline >= EARLY_MAP_END)
        return NULL;
    return hal_phys_to_virt(info->cmdline);
}

static void read_cmdline(paddr_t start_info)
{
    const char *cmdline = x64_start_cmdline(start_info);

    if (!cmdline)
        return;
    x64_boot_info.cmdline = cmdline;
    reserve_pages(hal_virt_to_phys(cmdline), strlen(cmdline) + 1);
}

/* The magic number is checked before anything else is believed; there is no console yet to
 * complain on, so a machine that was entered wrongly just stops. */
void x64_mem_init(paddr_t start_info, struct bootmem *ram)
{
    const struct start_info *info = hal_phys_to_virt(start_info);

    if (!readable(start_info))
        for (;;)
            __asm__ volatile("cli; hlt");
    read_memmap(info, ram);
    core_init(ram, &(struct core_image){.va = (uintptr_t)x64_image_begin,
                                        .pa = hal_virt_to_phys(x64_image_begin),
                                        .len = (size_t)(x64_image_end - x64_image_begin),
                                        .slide = x64_image_slide});
    x64_bootmem = *ram;
    x64_boot_info.ram_total = ram->total;
    x64_rsdp = info->rsdp;

    reserve_pages(start_info, sizeof(*info));
    reserve_pages(info->memmap, info->memmap_count * sizeof(struct memmap_entry));
    reserve_pages(info->modules, info->module_count * sizeof(struct module_entry));
    reserve_pages(hal_virt_to_phys(x64_image_begin), (size_t)(x64_image_end - x64_image_begin));
    read_cmdline(start_info);
    read_modules(info);

    /* Page 0 holds what is left of a BIOS; the trampoline goes elsewhere below 640 KiB. */
    reserve_pages(0, HAL_PAGE_SIZE);
    x64_trampoline_page = bootmem_alloc(&x64_bootmem, HAL_PAGE_SIZE, HAL_PAGE_SIZE, LOW_RAM_END);
    reserve_pages(0, LOW_END);
}

void x64_mem_finish(void)
{
    bootmem_finish(&x64_bootmem);
    x64_boot_info.ram = x64_bootmem.region;
    x64_boot_info.ram_count = x64_bootmem.count;
}
