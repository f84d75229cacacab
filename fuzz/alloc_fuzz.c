/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/* covers: kernel/mm/page.c kernel/mm/buddy.c kernel/mm/pagemap.c kernel/mm/kmalloc.c
 * kernel/mm/failpoint.c */
/* length: 256 */
/* runs: 1000 */
/*
 * alloc_fuzz.c - the page allocator and kmalloc, on two CPUs of which one acts at a time,
 * against a model: what is held. Blocks never overlap and are aligned, contents stay (each
 * holds a pattern of its own), zeroed memory is zero, and at the end all is free again.
 */
#include <string.h>

#include "machine.h"

#define HELD 24
enum kind { NOTHING, PAGES, BYTES };
static struct held {
    enum kind kind;
    uint8_t *at;
    size_t size;
    unsigned order;
    uint8_t fill;
    unsigned refs; /* pages */
} held[HELD];

static void check_content(const struct held *h)
{
    /* The ends and some places between: the sanitizer sees the rest. */
    for (size_t i = 0; i < h->size; i += i + 64 < h->size ? 61 : 1)
        FUZZ_CHECK(h->at[i] == h->fill);
}

static void take(struct held *h, enum kind kind, void *at, size_t size, uint8_t fill, bool zero)
{
    for (size_t i = 0; zero && i < size; i++)
        FUZZ_CHECK(((uint8_t *)at)[i] == 0);
    *h = (struct held){.kind = kind, .at = at, .size = size, .fill = fill, .refs = 1};
    for (unsigned i = 0; i < HELD; i++)
        FUZZ_CHECK(&held[i] == h || held[i].kind == NOTHING ||
                   (uint8_t *)at >= held[i].at + held[i].size ||
                   (uint8_t *)at + size <= held[i].at);
    memset(at, fill, size);
}

static size_t some_size(struct fuzz_input *in)
{
    uint16_t raw = fuzz_u16(in);

    switch (raw >> 14) {
    case 0:
        return raw & 255;
    case 1:
        return (size_t)1 << (raw % 16);
    case 2:
        return ((size_t)1 << (raw % 16)) + (raw >> 4 & 3);
    default:
        return raw & 0x3fff;
    }
}

static void give(struct held *h)
{
    if (h->kind == NOTHING)
        return;
    if (h->kind == BYTES) {
        check_content(h);
        kfree(h->at);
    } else {
        check_content(h);
        for (unsigned i = 1; i < h->refs; i++)
            page_put(page_of_virt(h->at));
        page_put(page_of_virt(h->at));
    }
    h->kind = NOTHING;
}

static void step_pages(struct held *h, struct fuzz_input *in)
{
    unsigned order = fuzz_u8(in) % (PAGE_ORDER_MAX + 1);
    uint8_t flags = fuzz_u8(in), fill = fuzz_u8(in);

    if (order > 6 && fill & 1)
        order = 0;
    give(h);
    struct page *page = page_alloc(order, PAGE_KERNEL, flags & 3);
    FUZZ_TRACE("%d: pages of order %u: %p\n", (int)(h - held), order, (void *)page);
    if (!page)
        return;
    FUZZ_CHECK(page_phys(page) % (PAGE_SIZE << order) == 0);
    take(h, PAGES, page_virt(page), PAGE_SIZE << order, fill, flags & 1);
    h->order = order;
}

static void step_bytes(struct held *h, struct fuzz_input *in)
{
    size_t size = some_size(in);
    uint8_t flags = fuzz_u8(in), fill = fuzz_u8(in);

    give(h);
    void *at = kmalloc(size, flags & 3);
    FUZZ_TRACE("%d: kmalloc %zu: %p\n", (int)(h - held), size, at);
    if (!at)
        return;
    FUZZ_CHECK((uintptr_t)at % 16 == 0 && kmalloc_size(at) >= size);
    FUZZ_CHECK(size & (size - 1) || size == 0 || (uintptr_t)at % MIN(size, PAGE_SIZE) == 0);
    take(h, BYTES, at, size, fill, flags & 1);
}

static void step_resize(struct held *h, struct fuzz_input *in)
{
    size_t size = some_size(in), keep = MIN(size, h->size);

    if (h->kind != BYTES)
        return;
    check_content(h);
    uint8_t *at = krealloc(h->at, size, ALLOC_DEFAULT), fill = h->fill;
    FUZZ_TRACE("%d: krealloc %zu -> %zu: %p\n", (int)(h - held), h->size, size, (void *)at);
    if (!at) {
        check_content(h);
        return;
    }
    for (size_t i = 0; i < keep; i++)
        FUZZ_CHECK(at[i] == fill);
    take(h, BYTES, at, size, fill, false);
}

/* A block becomes single pages; all but the first are given back. */
static void step_split(struct held *h)
{
    if (h->kind != PAGES || h->refs > 1)
        return;
    struct page *page = page_of_virt(h->at);
    page_split(page);
    for (size_t i = (size_t)1 << h->order; i-- > 1;)
        page_put(page + i);
    h->size = PAGE_SIZE;
    h->order = 0;
}

static void step_other(struct held *h, struct fuzz_input *in)
{
    switch (fuzz_u8(in) % 8) {
    case 0:
        page_drain();
        break;
    case 1:
        kmalloc_trim();
        break;
    case 2:
        alloc_fail_nth(fuzz_u8(in) % 6);
        break;
    case 3:
        if (h->kind == PAGES) {
            page_get(page_of_virt(h->at));
            h->refs++;
        }
        break;
    case 4:
        step_split(h);
        break;
    case 5:
        FUZZ_CHECK(kmalloc_array(SIZE_MAX / 2, 3, ALLOC_DEFAULT) == NULL);
        break;
    case 6:
        kmalloc_serve();
        break;
    default:
        fake_cpu_id ^= 1;
        break;
    }
}

static void one_step(struct fuzz_input *in)
{
    uint8_t what = fuzz_u8(in);
    struct held *h = &held[fuzz_u8(in) % HELD];

    switch (what % 8) {
    case 0:
        step_pages(h, in);
        break;
    case 1:
    case 2:
        step_bytes(h, in);
        break;
    case 3:
        step_resize(h, in);
        break;
    case 4:
    case 5:
        step_other(h, in);
        break;
    default:
        FUZZ_TRACE("%d: free\n", (int)(h - held));
        give(h);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size, 0};
    static bool started;

    if (!started) {
        fake_cpu_count = 2;
        machine_start(16u << 20);
        kfree(kmalloc(1, 0));
        started = true;
    }
    struct machine_account before = machine_count();
    while (fuzz_more(&in))
        one_step(&in);
    alloc_fail_nth(0);
    fake_cpu_id = 0;
    for (unsigned i = 0; i < HELD; i++)
        give(&held[i]);
    page_check();
    machine_check(&before);
    return 0;
}
