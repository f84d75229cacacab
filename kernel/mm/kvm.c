/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kvm.c - kernel stacks in hal_layout()->kernel_lo..kernel_hi.
 *
 * The range is cut into slots of one guard page and one stack; a bitmap says which are taken. The
 * guard page below a stack is never mapped, so an overflow is a page fault that panics with
 * a clear message instead of overwriting a neighbour.
 *
 * Mapping and unmapping cost a system call or a TLB shoot-down, so some free stacks stay mapped:
 * they form a chain through their last word (the hottest line of the old owner).
 *
 * Lock: kvm_lock (RANK_KVM, irqsave) guards the bitmap and the chain. Mappings of different slots
 * do not overlap and need no lock (hal.h).
 */
#include "core/log.h"
#include "core/spinlock.h"
#include "lib/sanitize.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "mm/kstack.h"
#include "mm/reclaim.h"

#define SLOT_SIZE (KSTACK_SIZE + PAGE_SIZE)
#define STACK_PAGES (KSTACK_SIZE / PAGE_SIZE)
#define SLOT_MAX 32768u /* as many threads as Linux has default pids */
#define CACHE_MAX 32u
#define WORD_BITS 64u

static struct spinlock kvm_lock = SPINLOCK_INIT(RANK_KVM);
static uint64_t slot_taken[SLOT_MAX / WORD_BITS];
static unsigned slot_count;
static unsigned search_from; /* word of the bitmap where the last search ended */
static vaddr_t slot_base;

static void *cache_head;
static unsigned cache_count;

static struct shrinker stack_shrinker;
static uint64_t stacks_scan(uint64_t want);

void kvm_init(void)
{
    const struct hal_layout *layout = hal_layout();
    slot_base = align_up(layout->kernel_lo, PAGE_SIZE);
    CHECK(layout->kernel_hi > slot_base);
    slot_count = (unsigned)MIN((layout->kernel_hi - slot_base) / SLOT_SIZE, (uint64_t)SLOT_MAX);
    CHECK(slot_count > 0);
    cache_head = NULL;
    cache_count = search_from = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(slot_taken); i++)
        slot_taken[i] = 0;
    if (!stack_shrinker.scan) {
        stack_shrinker = (struct shrinker){.name = "kernel stacks", .scan = stacks_scan};
        shrinker_register(&stack_shrinker);
    }
}

/* A free slot, marked taken, or -1. */
static int slot_take(void)
{
    unsigned words = (slot_count + WORD_BITS - 1) / WORD_BITS;
    int slot = -1;
    unsigned long irq = spin_lock_irqsave(&kvm_lock);
    for (unsigned i = 0; i < words && slot < 0; i++) {
        unsigned word = (search_from + i) % words;
        if (slot_taken[word] == UINT64_MAX)
            continue;
        unsigned number = word * WORD_BITS + (unsigned)__builtin_ctzll(~slot_taken[word]);
        if (number >= slot_count)
            continue;
        slot_taken[word] |= (uint64_t)1 << (number % WORD_BITS);
        search_from = word;
        slot = (int)number;
    }
    spin_unlock_irqrestore(&kvm_lock, irq);
    return slot;
}

static void slot_release(unsigned slot)
{
    unsigned long irq = spin_lock_irqsave(&kvm_lock);
    uint64_t bit = (uint64_t)1 << (slot % WORD_BITS);
    CHECK(slot_taken[slot / WORD_BITS] & bit);
    slot_taken[slot / WORD_BITS] &= ~bit;
    spin_unlock_irqrestore(&kvm_lock, irq);
}

static void **cache_link(void *stack)
{
    return (void **)((char *)stack + KSTACK_SIZE - sizeof(void *));
}

static void *cache_pop(void)
{
    unsigned long irq = spin_lock_irqsave(&kvm_lock);
    void *stack = cache_head;
    if (stack) {
        cache_head = *cache_link(stack);
        cache_count--;
    }
    spin_unlock_irqrestore(&kvm_lock, irq);
    return stack;
}

static bool cache_push(void *stack)
{
    unsigned long irq = spin_lock_irqsave(&kvm_lock);
    bool room = cache_count < CACHE_MAX;
    if (room) {
        *cache_link(stack) = cache_head;
        cache_head = stack;
        cache_count++;
    }
    spin_unlock_irqrestore(&kvm_lock, irq);
    return room;
}

/* Frames for one stack: contiguous if there is such a block (one mapping), else single pages. */
static bool frames_alloc(paddr_t frames[STACK_PAGES])
{
    unsigned order = (unsigned)__builtin_ctzl(STACK_PAGES);
    struct page *block = page_alloc(order, PAGE_KERNEL, 0);
    if (block) {
        page_split(block);
        for (size_t i = 0; i < STACK_PAGES; i++)
            frames[i] = page_phys(block + i);
        return true;
    }
    for (size_t i = 0; i < STACK_PAGES; i++) {
        struct page *page = page_alloc(0, PAGE_KERNEL, 0);
        if (!page) {
            while (i-- > 0)
                page_put(page_of_phys(frames[i]));
            return false;
        }
        frames[i] = page_phys(page);
    }
    return true;
}

static void stack_unmap(vaddr_t stack)
{
    paddr_t frames[STACK_PAGES];
    size_t count = 0;
    for (size_t i = 0; i < STACK_PAGES; i++)
        count += hal_space_query(hal_space_kernel(), stack + i * PAGE_SIZE, &frames[count], NULL);
    hal_space_unmap(hal_space_kernel(), stack, KSTACK_SIZE);
    owner_add(OWNER_KERNEL_STACK, -1, -(int64_t)KSTACK_SIZE);
    while (count-- > 0)
        page_put(page_of_phys(frames[count]));
}

void *kstack_alloc(void)
{
    void *cached = cache_pop();
    if (cached)
        goto ready;
    paddr_t frames[STACK_PAGES];
    int slot = slot_take();
    if (slot < 0)
        return NULL;
    if (!frames_alloc(frames))
        goto fail_slot;
    vaddr_t stack = slot_base + (vaddr_t)slot * SLOT_SIZE + PAGE_SIZE;
    if (hal_space_map_pages(hal_space_kernel(), stack, frames, STACK_PAGES,
                            HAL_PROT_READ | HAL_PROT_WRITE))
        goto fail_map;
    owner_add(OWNER_KERNEL_STACK, 1, KSTACK_SIZE);
    cached = (void *)stack;
ready:
    /* The frames of the previous owner have left their red zones behind. */
    memory_unpoison(cached, KSTACK_SIZE);
    return cached;
fail_map:
    hal_space_unmap(hal_space_kernel(), stack, KSTACK_SIZE);
    for (size_t i = 0; i < STACK_PAGES; i++)
        page_put(page_of_phys(frames[i]));
fail_slot:
    slot_release((unsigned)slot);
    return NULL;
}

void kstack_free(void *stack)
{
    vaddr_t offset = (vaddr_t)stack - slot_base;
    CHECK(offset % SLOT_SIZE == PAGE_SIZE && offset / SLOT_SIZE < slot_count);
    memory_unpoison(stack, KSTACK_SIZE);
    if (cache_push(stack))
        return;
    stack_unmap((vaddr_t)stack);
    slot_release((unsigned)(offset / SLOT_SIZE));
}

/* Under pressure: the cached stacks go. */
static uint64_t stacks_scan(uint64_t want)
{
    uint64_t done = 0;
    void *stack;
    while (done < want && (stack = cache_pop())) {
        stack_unmap((vaddr_t)stack);
        slot_release((unsigned)(((vaddr_t)stack - slot_base) / SLOT_SIZE));
        done += STACK_PAGES;
    }
    return done;
}

bool kstack_is_guard(vaddr_t addr)
{
    vaddr_t offset = addr - slot_base;
    return addr >= slot_base && offset / SLOT_SIZE < slot_count && offset % SLOT_SIZE < PAGE_SIZE;
}
