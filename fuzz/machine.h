/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * machine.h - the machine under the targets that need memory (unit/fake_hal.c), made once, and the
 * account that must be even after each input.
 */
#ifndef SELKIE_FUZZ_MACHINE_H
#define SELKIE_FUZZ_MACHINE_H

#include "drv/pkt.h"
#include "fake.h"
#include "fuzz.h"
#include "mm/kmalloc.h"
#include "mm/object.h"

struct machine_account {
    uint64_t heap, anon, file, table, kernel;
};

static inline struct machine_account machine_count(void)
{
    struct kmalloc_stats heap;
    struct page_stats pages;

    kmalloc_get_stats(&heap);
    page_get_stats(&pages);
    return (struct machine_account){heap.bytes_in_use, pages.by_type[PAGE_ANON],
                                    pages.by_type[PAGE_FILE], pages.by_type[PAGE_TABLE],
                                    pages.by_type[PAGE_KERNEL]};
}

/* Nothing is lost: what was there before is there now, in objects and pages of every kind. */
static inline void machine_check(const struct machine_account *before)
{
    struct machine_account now = machine_count();

    FUZZ_CHECK(now.heap == before->heap);
    FUZZ_CHECK(now.anon == before->anon);
    FUZZ_CHECK(now.file == before->file);
    FUZZ_CHECK(now.table == before->table);
    FUZZ_CHECK(now.kernel == before->kernel);
}

/* RAM, page allocator, heap. The program window is below 1 GiB, where no host address is. */
static inline void machine_start(size_t ram)
{
    fake_hal_init(ram);
    fake_layout.user[0] = (struct hal_user_window){0x10000, 0x40000000};
    fake_layout.user_end = 0x40000000;
    page_init();
    kmalloc_init();
    kvm_init();
    vm_cache_init();
}

/* What the parsers of packets need, made once. */
static inline void machine_packets_start(void)
{
    static bool done;

    if (done)
        return;
    done = true;
    fake_hal_init(16u << 20);
    page_init();
    kmalloc_init();
    pkt_init();
}

#endif
