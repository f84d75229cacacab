/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kvm.c - kernel stacks in hal_layout()->kernel_lo..kernel_hi.
 *
 * The range is cut into slots of one guard page and one stack; a bitmap says which are taken. No
 * slot crosses a boundary of 2 MiB, so one page table serves it. The guard page below a stack is
 * never mapped, so an overflow is a page fault that panics with a clear message instead of
 * overwriting a neighbour.
 *
 * A stack begins with KSTACK_MAPPED bytes at its upper end. The rest is mapped when it is touched
 * (kernel_stack_fault), with pages of the CPU's reserve, for that may happen anywhere: interrupts
 * off, locks held, in the page allocator itself. docs/memory.md, "Kernel stacks", has the argument
 * why the reserve suffices.
 *
 * Invariant: what is mapped of a stack is one piece that ends at the stack's end.
 *
 * Mapping and unmapping cost a system call or a TLB shoot-down, so some free stacks stay mapped, as
 * far as they were when they were new: they form a chain through their last word (the hottest line
 * of the old owner).
 *
 * Lock: kvm_lock (RANK_KVM, irqsave) guards the bitmap and the chain. Mappings of different slots
 * do not overlap and need no lock (hal.h). A CPU's reserve is its own: see kstack_refill.
 */
#include "core/log.h"
#include "core/spinlock.h"
#include "hal_up.h"
#include "lib/sanitize.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "mm/kstack.h"
#include "mm/reclaim.h"

#define SLOT_SIZE (KSTACK_SIZE + PAGE_SIZE)
#define BLOCK_SIZE ((vaddr_t)2 << 20) /* of one page table */
#define BLOCK_SLOTS ((unsigned)(BLOCK_SIZE / SLOT_SIZE))
#define MAPPED_PAGES (KSTACK_MAPPED / PAGE_SIZE)
#define GROW_SIZE (KSTACK_SIZE - KSTACK_MAPPED)
/* What the thread that refills may still need, and the next one. */
#define RESERVE_PAGES (2 * (unsigned)(GROW_SIZE / PAGE_SIZE))
#define SLOT_MAX 32768u /* as many threads as Linux has default pids */
#define CACHE_MAX 32u
#define WORD_BITS 64u

static struct spinlock kvm_lock = SPINLOCK_INIT(RANK_KVM);
static uint64_t slot_taken[SLOT_MAX / WORD_BITS];
static unsigned slot_count;
static unsigned slot_end;    /* no slot from here on was ever taken */
static unsigned search_from; /* word of the bitmap where the last search ended */
static vaddr_t slot_base;

static void *cache_head;
static unsigned cache_count;

struct reserve {
    unsigned count;                   /* atomic */
    paddr_t pages[RESERVE_PAGES + 1]; /* hosted sanitizers need none */
} cache_aligned;
static struct reserve reserves[HAL_CPU_MAX];
static uint64_t grown; /* atomic */

static struct shrinker stack_shrinker;
static uint64_t stacks_scan(uint64_t want);

void kvm_init(void)
{
    const struct hal_layout *layout = hal_layout();
    slot_base = align_up(layout->kernel_lo, BLOCK_SIZE);
    CHECK(layout->kernel_hi > slot_base);
    uint64_t blocks = (layout->kernel_hi - slot_base) / BLOCK_SIZE;
    slot_count = (unsigned)MIN(blocks * BLOCK_SLOTS, (uint64_t)SLOT_MAX);
    CHECK(slot_count > 0);
    cache_head = NULL;
    cache_count = search_from = slot_end = 0;
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
        /* Relaxed: for statistics. */
        __atomic_store_n(&slot_end, MAX(slot_end, number + 1), __ATOMIC_RELAXED);
        slot = (int)number;
    }
    spin_unlock_irqrestore(&kvm_lock, irq);
    return slot;
}

unsigned kstack_tables(void)
{
    return (__atomic_load_n(&slot_end, __ATOMIC_RELAXED) + BLOCK_SLOTS - 1) / BLOCK_SLOTS;
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

/* ---- where stacks lie ------------------------------------------------------------------ */

static vaddr_t slot_stack(unsigned slot)
{
    return slot_base + slot / BLOCK_SLOTS * BLOCK_SIZE + slot % BLOCK_SLOTS * SLOT_SIZE + PAGE_SIZE;
}

/* The slot that addr lies in, guard page or stack, or -1; *offset from the slot's beginning. */
static int slot_of(vaddr_t addr, vaddr_t *offset)
{
    if (addr < slot_base)
        return -1;
    uint64_t block = (addr - slot_base) / BLOCK_SIZE;
    vaddr_t in_block = (addr - slot_base) % BLOCK_SIZE;
    uint64_t slot = block * BLOCK_SLOTS + in_block / SLOT_SIZE;
    if (in_block / SLOT_SIZE >= BLOCK_SLOTS || slot >= slot_count)
        return -1;
    *offset = in_block % SLOT_SIZE;
    return (int)slot;
}

bool kstack_is_guard(vaddr_t addr)
{
    vaddr_t offset;
    return slot_of(addr, &offset) >= 0 && offset < PAGE_SIZE;
}

/* ---- growing --------------------------------------------------------------------------- */

/*
 * Only this CPU touches its reserve, here and in kernel_stack_fault, which may come in between any
 * two instructions here but leaves before the next; so the count is changed by compare-and-swap.
 * Relaxed: one CPU sees its own accesses in order.
 */
void kstack_refill(unsigned cpu)
{
    struct reserve *r = &reserves[cpu];
    while (__atomic_load_n(&r->count, __ATOMIC_RELAXED) != RESERVE_PAGES) {
        struct page *page = page_alloc(0, PAGE_KERNEL, ALLOC_ATOMIC);
        if (!page)
            return;
        unsigned count = __atomic_load_n(&r->count, __ATOMIC_RELAXED);
        do
            __atomic_store_n(&r->pages[count], page_phys(page), __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(&r->count, &count, count + 1, false, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED));
        owner_add(OWNER_KERNEL_STACK, 0, (int64_t)PAGE_SIZE);
    }
}

bool kstack_reserve_full(unsigned cpu)
{
    return __atomic_load_n(&reserves[cpu].count, __ATOMIC_RELAXED) == RESERVE_PAGES;
}

static paddr_t reserve_take(void)
{
    struct reserve *r = &reserves[hal_cpu_id()];
    unsigned count = __atomic_load_n(&r->count, __ATOMIC_RELAXED);
    if (count == 0)
        panic("no memory for the kernel's stack");
    __atomic_store_n(&r->count, count - 1, __ATOMIC_RELAXED);
    return __atomic_load_n(&r->pages[count - 1], __ATOMIC_RELAXED);
}

bool kernel_stack_fault(vaddr_t addr, uintptr_t sp)
{
    vaddr_t offset, last; /* sp may be the end of the stack, which is the next one's guard page */
    int slot = slot_of(addr, &offset);
    if (slot < 0 || offset < PAGE_SIZE || slot_of(sp - 1, &last) != slot || last + 1 < PAGE_SIZE)
        return false;
    vaddr_t page = align_down(addr, PAGE_SIZE), at = page;
    vaddr_t end = slot_stack((unsigned)slot) + KSTACK_SIZE;
    while (at < end && !hal_space_query(hal_space_kernel(), at, NULL, NULL))
        at += PAGE_SIZE;
    if (at == end)
        return false; /* nobody's stack */
    while (at > page) {
        at -= PAGE_SIZE;
        hal_stack_grow(at, reserve_take());
        __atomic_add_fetch(&grown, 1, __ATOMIC_RELAXED);
    }
    return true;
}

uint64_t kstack_grown(void)
{
    return __atomic_load_n(&grown, __ATOMIC_RELAXED);
}

/* ---- stacks ---------------------------------------------------------------------------- */

static bool frames_alloc(paddr_t frames[MAPPED_PAGES])
{
    for (size_t i = 0; i < MAPPED_PAGES; i++) {
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

/* Take [lo, lo + len) of a stack away. Returns how many pages that were. */
static size_t stack_drop(vaddr_t lo, size_t len)
{
    struct hal_space *space = hal_space_kernel();
    paddr_t frames[KSTACK_SIZE / PAGE_SIZE];
    size_t count = 0;
    vaddr_t from = lo + len;
    while (from > lo && hal_space_query(space, from - PAGE_SIZE, &frames[count], NULL)) {
        from -= PAGE_SIZE;
        count++;
    }
    if (count == 0)
        return 0;
    hal_space_unmap(space, from, lo + len - from);
    owner_add(OWNER_KERNEL_STACK, 0, -(int64_t)(count * PAGE_SIZE));
    for (size_t i = 0; i < count; i++)
        page_put(page_of_phys(frames[i]));
    return count;
}

static size_t stack_destroy(void *stack)
{
    vaddr_t offset;
    int slot = slot_of((vaddr_t)stack, &offset);
    size_t count = stack_drop((vaddr_t)stack, KSTACK_SIZE);
    owner_add(OWNER_KERNEL_STACK, -1, 0);
    slot_release((unsigned)slot);
    return count;
}

static void *stack_create(void)
{
    paddr_t frames[MAPPED_PAGES];
    int slot = slot_take();
    if (slot < 0)
        return NULL;
    if (!frames_alloc(frames))
        goto fail_slot;
    vaddr_t stack = slot_stack((unsigned)slot);
    if (hal_stack_map(stack, KSTACK_SIZE, frames, MAPPED_PAGES))
        goto fail_map;
    owner_add(OWNER_KERNEL_STACK, 1, KSTACK_MAPPED);
    return (void *)stack;
fail_map:
    hal_space_unmap(hal_space_kernel(), stack, KSTACK_SIZE);
    for (size_t i = 0; i < MAPPED_PAGES; i++)
        page_put(page_of_phys(frames[i]));
fail_slot:
    slot_release((unsigned)slot);
    return NULL;
}

void *kstack_alloc(void)
{
    void *stack = cache_pop();
    if (!stack)
        stack = stack_create();
    /* The frames of the previous owner have left their red zones behind. */
    if (stack)
        memory_unpoison(stack, KSTACK_SIZE);
    return stack;
}

void kstack_free(void *stack)
{
    vaddr_t offset;
    CHECK(slot_of((vaddr_t)stack, &offset) >= 0 && offset == PAGE_SIZE);
    memory_unpoison(stack, KSTACK_SIZE);
    (void)stack_drop((vaddr_t)stack, GROW_SIZE);
    if (!cache_push(stack))
        (void)stack_destroy(stack);
}

/* Under pressure: the cached stacks go. */
static uint64_t stacks_scan(uint64_t want)
{
    uint64_t done = 0;
    void *stack;
    while (done < want && (stack = cache_pop()))
        done += stack_destroy(stack);
    return done;
}
