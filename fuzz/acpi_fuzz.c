/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/common/acpi.c kernel/lib/strutil.c */
/* length: 768 */
/* runs: 20000 */
/* covers: platform/common/acpi.c */
/* lines: 95 */
/*
 * acpi_fuzz.c - ACPI tables. The input is physical memory from 4 KiB on, the RSDP at its beginning;
 * what the reader maps is copied into a block of its own, so that a step beyond what it asked for
 * is seen. Checksums are put right before (the first byte of the input says for how many tables):
 * else hardly any input would be looked at. The reader sees wrong ones, too.
 */
#include <string.h>

#include "../platform/common/acpi.h"
#include "fuzz.h"

#define BASE 0x1000u
#define MEMORY_MAX 4096
#define BLOCKS 64

static uint8_t memory[MEMORY_MAX];
static size_t memory_size;
static void *block[BLOCKS];
static unsigned block_count;

static const void *map(paddr_t pa, size_t len)
{
    void *copy;

    if (pa < BASE || pa - BASE > memory_size || len > memory_size - (pa - BASE))
        return NULL;
    if (block_count == BLOCKS)
        return memory + (pa - BASE); /* many tables: these are exact at the memory's end only */
    copy = malloc(len ? len : 1);
    FUZZ_CHECK(copy);
    memcpy(copy, memory + (pa - BASE), len);
    block[block_count++] = copy;
    return copy;
}

static uint64_t get(size_t at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = bytes; i-- > 0;)
        value = value << 8 | (at + i < memory_size ? memory[at + i] : 0);
    return value;
}

static void fix_sum(size_t at, size_t len, size_t sum_at)
{
    uint8_t sum = 0;

    if (at > memory_size || len > memory_size - at || sum_at >= len)
        return;
    memory[at + sum_at] = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + memory[at + i]);
    memory[at + sum_at] = (uint8_t)-sum;
}

/* The sums of a root table's children, then its own, then the RSDP's. */
static void fix_root(uint64_t pa, unsigned width)
{
    size_t at = pa - BASE, len = get(at + 4, 4);

    if (pa < BASE || pa - BASE > memory_size)
        return;
    for (size_t i = 36; i + width <= len && i < 200; i += width) {
        uint64_t child = get(at + i, width);

        if (child >= BASE && child - BASE < memory_size)
            fix_sum(child - BASE, get(child - BASE + 4, 4), 9);
    }
    fix_sum(at, len, 9);
}

static void check(const struct acpi_info *info)
{
    FUZZ_CHECK(info->cpu_count <= HAL_CPU_MAX && info->ioapic_count <= ACPI_IOAPIC_MAX);
    FUZZ_CHECK(!info->reset.present || info->reset.addr);
    FUZZ_CHECK(!info->sleep_control.present || info->sleep_control.addr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct acpi_info info;
    uint8_t a = 0, b = 0;

    if (size < 1 || size > MEMORY_MAX)
        return 0;
    memory_size = size - 1;
    memcpy(memory, data + 1, memory_size);
    if (data[0] & 1)
        fix_root(get(16, 4), 4);
    if (data[0] & 2)
        fix_root(get(24, 8), 8);
    if (data[0] & 4)
        fix_sum(0, 20, 8);
    if (data[0] & 8)
        fix_sum(0, get(20, 4), 32);
    bool found = acpi_read(BASE, map, &info);
    FUZZ_CHECK(found == info.found);
    check(&info);
    if (info.dsdt)
        acpi_s5(info.dsdt, map, &a, &b);
    paddr_t at = acpi_scan_rsdp(BASE, BASE + memory_size, map);
    FUZZ_CHECK(at == 0 || (at >= BASE && at < BASE + memory_size && at % 16 == 0));
    while (block_count)
        free(block[--block_count]);
    return 0;
}
