/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mmu.c - the kernel's page tables, address spaces, and TLB consistency.
 *
 * All roots share the upper half: root entries for the direct map, the kernel window, the image and
 * device registers are made at boot and never change, so copying them once is enough.
 *
 * TLB flushes on other CPUs: one request at a time (tlb_lock). The initiator publishes the request,
 * marks its targets pending, sends IPIs and waits until each has cleared its mark. A CPU that spins
 * with interrupts off serves requests from hal_cpu_relax(), so two initiators, or an initiator and
 * someone waiting for a spinlock that it holds, cannot block each other.
 */
#include "common/kasan.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "x64.h"

#include "isa/pte.h"

#define EARLY_MAP_END (1ull << 30)
#define LARGE_SIZE (2ull << 20)
#define FLUSH_PAGES_MAX 32 /* beyond that flush everything */
#define CR4_PGE (1ul << 7)
#define PROT_RW (HAL_PROT_READ | HAL_PROT_WRITE)
/* Kernel mappings are never aged: preset bits save the hardware the work. */
#define PROT_KERNEL (PGTABLE_GLOBAL | HAL_PTE_ACCESSED | HAL_PTE_DIRTY)

static struct hal_space kernel_space;
static struct bootmem *boot_memory;

static void flush_now(struct pgtable *pt, vaddr_t va, size_t len);

/* ---- where table pages come from: boot memory, later the kernel ---- */

/* Only the first GiB is mapped while the first tables are made. */
static paddr_t boot_table_alloc(void)
{
    paddr_t pa = bootmem_alloc(boot_memory, HAL_PAGE_SIZE, HAL_PAGE_SIZE, EARLY_MAP_END);

    if (pa != HAL_NO_PAGE)
        memset(hal_phys_to_virt(pa), 0, HAL_PAGE_SIZE);
    return pa;
}

static void boot_table_free(paddr_t pa)
{
    if (bootmem_add(boot_memory, pa, HAL_PAGE_SIZE))
        return; /* the list is full: the page is lost */
}

static const struct pgtable_ops boot_ops = {boot_table_alloc, boot_table_free, flush_now};
static const struct pgtable_ops kernel_ops = {kernel_table_alloc, kernel_table_free, flush_now};

/* ---- boot ---- */

static void boot_check(int err)
{
    if (err)
        kernel_hal_panic("not enough memory for the kernel's page tables", 0, 0);
}

static void boot_map(vaddr_t va, paddr_t pa, size_t len, unsigned prot, unsigned max_level)
{
    struct pgtable_change change = {0};

    boot_check(pgtable_map(&kernel_space.pt, va, pa, len, prot | PROT_KERNEL, max_level, &change));
}

/* Memory whose shadow is there from the start. */
static void boot_cover(vaddr_t va, uint64_t len)
{
    if (SELKIE_KASAN)
        boot_check(kasan_cover_boot(&kernel_space.pt, boot_memory, va, len, PROT_RW | PROT_KERNEL));
}

static void map_image_part(const char *from, const char *to, unsigned prot)
{
    boot_map((vaddr_t)from, hal_virt_to_phys(from), (size_t)(to - from), prot, 0);
}

/* RAM at its fixed offset, in large pages rounded outwards (firmware tables stand at the ragged
 * ends). The image's text and constants are not writable through it either. */
static void map_direct(const struct bootmem *ram)
{
    paddr_t text = hal_virt_to_phys(x64_text_begin), data = hal_virt_to_phys(x64_data_begin);
    paddr_t done = 0;

    for (size_t i = 0; i < ram->count; i++) {
        paddr_t lo = MAX(align_down(ram->region[i].base, LARGE_SIZE), done);
        paddr_t hi = align_up(ram->region[i].base + ram->region[i].len, LARGE_SIZE);

        if (hi > lo) {
            boot_cover(X64_DIRECT_BASE + lo, hi - lo);
            boot_map(X64_DIRECT_BASE + lo, lo, hi - lo, PROT_RW, x64_features.gib_pages ? 2 : 1);
        }
        done = MAX(done, hi);
    }
    boot_map(X64_DIRECT_BASE + text, text, data - text, HAL_PROT_READ, 0);
}

rarely void x64_mmu_init(struct bootmem *bm, const struct bootmem *ram)
{
    boot_memory = bm;
    boot_check(pgtable_init(&kernel_space.pt, &boot_ops));
    map_direct(ram);
    map_image_part(x64_text_begin, x64_rodata_begin, HAL_PROT_READ | HAL_PROT_EXEC);
    map_image_part(x64_rodata_begin, x64_data_begin, HAL_PROT_READ);
    /* All but the guard page of the boot stack. */
    map_image_part(x64_data_begin, x64_boot_guard, PROT_RW);
    map_image_part(x64_boot_guard + HAL_PAGE_SIZE, x64_image_end, PROT_RW);
    boot_check(pgtable_populate_root(&kernel_space.pt, X64_WINDOW_LO, X64_WINDOW_HI));
    if (SELKIE_KASAN) {
        boot_cover((vaddr_t)x64_image_begin, (uint64_t)(x64_image_end - x64_image_begin));
        boot_check(pgtable_populate_root(&kernel_space.pt, kasan_shadow(X64_WINDOW_LO),
                                         kasan_shadow(X64_WINDOW_HI)));
    }
    x64_mmu_activate_kernel();
    if (SELKIE_KASAN)
        kasan_start(&kernel_space.pt);
    kernel_space.pt.ops = &kernel_ops;
}

/* Before kernel addresses are mapped: 0 or -ENOMEM. */
static int cover(vaddr_t va, size_t len)
{
    return SELKIE_KASAN ? kasan_cover(&kernel_space.pt, va, len, PROT_RW | PROT_KERNEL) : 0;
}

/* Device registers, and stacks between guard pages: for good, one behind the other. */
static vaddr_t window_next = X64_MMIO_LO;

static volatile void *mmio_map(paddr_t pa, size_t len, const struct pgtable_ops *ops)
{
    paddr_t lo = align_down(pa, HAL_PAGE_SIZE);
    size_t size = align_up(pa + len, HAL_PAGE_SIZE) - lo;
    struct pgtable_change change = {0};
    vaddr_t va = window_next;
    int err;

    if (size > X64_MMIO_HI - window_next)
        return NULL;
    window_next += size;
    kernel_space.pt.ops = ops;
    err = cover(va, size);
    if (!err)
        err = pgtable_map(&kernel_space.pt, va, lo, size, PROT_RW | PGTABLE_DEVICE | PROT_KERNEL, 0,
                          &change);
    kernel_space.pt.ops = &kernel_ops;
    return err ? NULL : (volatile void *)(va + (pa - lo));
}

uintptr_t x64_stack_map(const void *stack, size_t size)
{
    struct pgtable_change change = {0};
    vaddr_t va = window_next + HAL_PAGE_SIZE; /* what lies below stays a hole */

    if (size + HAL_PAGE_SIZE > X64_MMIO_HI - window_next)
        kernel_hal_panic("too many CPUs for their stacks' window", 0, 0);
    window_next = va + size;
    kernel_space.pt.ops = &boot_ops;
    boot_check(cover(va, size));
    boot_check(pgtable_map(&kernel_space.pt, va, hal_virt_to_phys(stack), size,
                           PROT_RW | PROT_KERNEL, 0, &change));
    kernel_space.pt.ops = &kernel_ops;
    return va + size;
}

volatile void *x64_mmio_map(paddr_t pa, size_t len)
{
    return mmio_map(pa, len, &boot_ops);
}

volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    paddr_t end;

    return add_overflow(pa, len, &end) || end > 1ull << 52 ? NULL : mmio_map(pa, len, &kernel_ops);
}

const void *x64_phys_map(paddr_t pa, size_t len)
{
    paddr_t lo = align_down(pa, HAL_PAGE_SIZE), end;

    if (add_overflow(pa, len, &end) || end > X64_DIRECT_SIZE)
        return NULL;
    for (; lo < end; lo += HAL_PAGE_SIZE)
        if (!pgtable_query(&kernel_space.pt, X64_DIRECT_BASE + lo, NULL, NULL)) {
            kernel_space.pt.ops = &boot_ops;
            boot_check(cover(X64_DIRECT_BASE + lo, HAL_PAGE_SIZE));
            boot_map(X64_DIRECT_BASE + lo, lo, HAL_PAGE_SIZE, HAL_PROT_READ, 0);
            kernel_space.pt.ops = &kernel_ops;
        }
    return hal_phys_to_virt(pa);
}

paddr_t x64_mmu_trampoline_root(struct bootmem *bm, paddr_t page)
{
    struct pgtable pt;
    struct pgtable_change change = {0};
    const pte_t *from = hal_phys_to_virt(kernel_space.pt.root);

    boot_memory = bm;
    if (pgtable_init(&pt, &boot_ops) ||
        pgtable_map(&pt, page, page, HAL_PAGE_SIZE, HAL_PROT_READ | HAL_PROT_EXEC, 0, &change))
        return HAL_NO_PAGE;
    memcpy((pte_t *)hal_phys_to_virt(pt.root) + 256, from + 256, 256 * sizeof(pte_t));
    return pt.root;
}

/* ---- TLB ---- */

static uint32_t tlb_lock; /* 0 free, 1 held */
static struct {
    vaddr_t lo, hi;
    bool global;
} tlb_request; /* written under tlb_lock, read by CPUs that are marked pending */

static void write_cr3(paddr_t root)
{
    if (x64_ring3) {
        x64_ring3_gate(root, 0, NULL, 0, x64_gate_write_cr3);
        return;
    }
    __asm__ volatile("movq %0, %%cr3" : : "r"(root) : "memory");
}

static void flush_all(bool global)
{
    unsigned long value;

    if (x64_ring3 && global) {
        x64_ring3_gate(0, 0, NULL, 0, x64_gate_flush_global);
    } else if (x64_ring3) {
        write_cr3(x64_ring3_gate(0, 0, NULL, 0, x64_gate_read_cr3));
    } else if (global) {
        /* Clearing CR4.PGE drops global entries too (SDM vol. 3, 4.10.4.1). */
        __asm__ volatile("movq %%cr4, %0" : "=r"(value));
        __asm__ volatile("movq %0, %%cr4" : : "r"(value & ~CR4_PGE) : "memory");
        __asm__ volatile("movq %0, %%cr4" : : "r"(value) : "memory");
    } else {
        __asm__ volatile("movq %%cr3, %0" : "=r"(value));
        write_cr3(value);
    }
}

/* One INVLPG also drops all cached upper levels (SDM vol. 3, 4.10.4.1), so detached tables need
 * nothing more. */
static void flush_local(vaddr_t lo, vaddr_t hi, bool global)
{
    if ((hi - lo) >> HAL_PAGE_SHIFT > FLUSH_PAGES_MAX) {
        flush_all(global);
        return;
    }
    if (x64_ring3 && hi != lo) {
        x64_ring3_gate(lo, hi, NULL, 0, x64_gate_invlpg);
        return;
    }
    for (vaddr_t va = lo; va != hi; va += HAL_PAGE_SIZE)
        __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

/* Interrupts off inside: the interrupt must not serve the same request a second time and clear the
 * mark of the next one. */
void x64_tlb_serve(void)
{
    unsigned long irq = hal_irq_save();
    struct x64_cpu *cpu = x64_this_cpu();

    if (__atomic_load_n(&cpu->tlb_pending, __ATOMIC_ACQUIRE)) {
        flush_local(tlb_request.lo, tlb_request.hi, tlb_request.global);
        __atomic_store_n(&cpu->tlb_pending, 0, __ATOMIC_RELEASE);
    }
    hal_irq_restore(irq);
}

static bool needs_flush(const struct x64_cpu *cpu, const struct hal_space *space)
{
    /* Sequentially consistent, as the stores in ap_main and hal_space_activate: either we see the
     * CPU using the space, or it loads CR3 after our changes. */
    if (!__atomic_load_n(&cpu->online, __ATOMIC_SEQ_CST))
        return false;
    return space == &kernel_space || __atomic_load_n(&cpu->space, __ATOMIC_SEQ_CST) == space;
}

static void flush_others(const struct hal_space *space, vaddr_t lo, vaddr_t hi)
{
    struct x64_cpu *self = x64_this_cpu();
    unsigned count = hal_cpu_count();

    while (__atomic_exchange_n(&tlb_lock, 1, __ATOMIC_ACQUIRE))
        hal_cpu_relax();
    tlb_request.lo = lo;
    tlb_request.hi = hi;
    tlb_request.global = space == &kernel_space;
    for (unsigned i = 0; i < count; i++)
        if (x64_cpus[i] != self && needs_flush(x64_cpus[i], space)) {
            __atomic_store_n(&x64_cpus[i]->tlb_pending, 1, __ATOMIC_RELEASE);
            x64_apic_send(x64_cpus[i]->apic_id, X64_VECTOR_TLB);
        }
    for (unsigned i = 0; i < count; i++)
        while (x64_cpus[i] != self &&
               __atomic_load_n(&x64_cpus[i]->tlb_pending, __ATOMIC_ACQUIRE) &&
               !__atomic_load_n(&x64_halting, __ATOMIC_RELAXED))
            __asm__ volatile("pause");
    __atomic_store_n(&tlb_lock, 0, __ATOMIC_RELEASE);
}

static void flush_range(const struct hal_space *space, vaddr_t lo, vaddr_t hi)
{
    unsigned long irq = hal_irq_save();
    const struct x64_cpu *self = x64_this_cpu();
    bool others = false;

    /* The changed entries before the looks at cpu->space. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (needs_flush(self, space))
        flush_local(lo, hi, space == &kernel_space);
    for (unsigned i = 0; i < hal_cpu_count() && !others; i++)
        others = x64_cpus[i] != self && needs_flush(x64_cpus[i], space);
    if (others)
        flush_others(space, lo, hi);
    hal_irq_restore(irq);
}

void x64_tlb_irq(void)
{
    x64_tlb_serve();
}

/* For the walker; x64 has no break-before-make, so it is never called. */
static void flush_now(struct pgtable *pt, vaddr_t va, size_t len)
{
    flush_range(container_of(pt, struct hal_space, pt), va, va + len);
}

/* After an operation: flush what it changed, then free what it detached. */
static void finish(struct hal_space *space, struct pgtable_change *change)
{
    if (change->stale || change->tables)
        flush_range(space, change->lo, change->hi);
    pgtable_release(&space->pt, change);
}

/* ---- address spaces ---- */

struct hal_space *hal_space_kernel(void)
{
    return &kernel_space;
}

void x64_mmu_activate_kernel(void)
{
    __atomic_store_n(&x64_this_cpu()->space, &kernel_space, __ATOMIC_SEQ_CST);
    write_cr3(kernel_space.pt.root);
}

int hal_space_create(struct hal_space *space)
{
    const pte_t *from = hal_phys_to_virt(kernel_space.pt.root);
    pte_t *root;
    int err = pgtable_init(&space->pt, &kernel_ops);

    if (err)
        return err;
    space->pt.deposits = true;
    root = hal_phys_to_virt(space->pt.root);
    memcpy(root + 256, from + 256, 256 * sizeof(pte_t));
    return 0;
}

void hal_space_destroy(struct hal_space *space)
{
    unsigned long irq = hal_irq_save();

    if (__atomic_load_n(&x64_this_cpu()->space, __ATOMIC_RELAXED) == space) /* see below */
        x64_mmu_activate_kernel();
    hal_irq_restore(irq);
    pgtable_destroy(&space->pt, 0, 1ull << X64_USER_END_BIT);
}

/*
 * Kernel threads touch no user address, and all spaces have the kernel's half. So where there is
 * one CPU a program's space stays loaded while they run, until another one is wanted or it is
 * destroyed: loading CR3 drops all of the TLB, and an emulator's translated jumps besides. With
 * several CPUs one that is in the kernel's space is spared the flushes of others, which is worth
 * more.
 */
void hal_space_activate(struct hal_space *space)
{
    struct x64_cpu *cpu = x64_this_cpu();

    if (__atomic_load_n(&cpu->space, __ATOMIC_RELAXED) == space)
        return;
    if (space == &kernel_space && hal_cpu_count() == 1)
        return;
    __atomic_store_n(&cpu->space, space, __ATOMIC_SEQ_CST);
    write_cr3(space->pt.root);
}

static unsigned kernel_bits(const struct hal_space *space)
{
    return space == &kernel_space ? PROT_KERNEL : 0;
}

static int prepare(const struct hal_space *space, vaddr_t va, size_t len)
{
    return space == &kernel_space ? cover(va, len) : 0;
}

int hal_space_map(struct hal_space *space, vaddr_t va, paddr_t pa, size_t len, unsigned prot)
{
    struct pgtable_change change = {0};
    int err = prepare(space, va, len);

    /* The kernel's own space has no deposits, and its pages are small. */
    if (!err)
        err = pgtable_map(&space->pt, va, pa, len, prot | kernel_bits(space),
                          space->pt.deposits ? 1 : 0, &change);
    finish(space, &change);
    return err;
}

int hal_space_map_pages(struct hal_space *space, vaddr_t va, const paddr_t *frames, size_t count,
                        unsigned prot)
{
    struct pgtable_change change = {0};
    int err = prepare(space, va, count * HAL_PAGE_SIZE);

    if (!err)
        err = pgtable_map_pages(&space->pt, va, frames, count, prot | kernel_bits(space), &change);

    finish(space, &change);
    return err;
}

int hal_stack_map(vaddr_t lo, size_t size, const paddr_t *frames, size_t count)
{
    int err = cover(lo, size);

    /* This makes the table for all of the range. */
    return err ? err
               : hal_space_map_pages(&kernel_space, lo + size - count * HAL_PAGE_SIZE, frames,
                                     count, PROT_RW);
}

void hal_stack_grow(vaddr_t va, paddr_t pa)
{
    pgtable_fill(&kernel_space.pt, va, pa, PROT_RW | PROT_KERNEL);
}

/* Large leaves have deposits, so splitting one cannot fail. */
void hal_space_unmap(struct hal_space *space, vaddr_t va, size_t len)
{
    struct pgtable_change change = {0};

    if (pgtable_unmap(&space->pt, va, len, &change))
        kernel_hal_panic("unmapping part of a large page", 0, 0);
    finish(space, &change);
}

void hal_space_protect(struct hal_space *space, vaddr_t va, size_t len, unsigned prot)
{
    struct pgtable_change change = {0};

    if (pgtable_protect(&space->pt, va, len, prot, &change))
        kernel_hal_panic("protecting part of a large page", 0, 0);
    finish(space, &change);
}

bool hal_space_query(struct hal_space *space, vaddr_t va, paddr_t *pa, unsigned *prot)
{
    bool mapped = pgtable_query(&space->pt, va, pa, prot);

    if (mapped && prot)
        *prot &= ~(PGTABLE_DEVICE | PGTABLE_GLOBAL);
    return mapped;
}

STATIC_ASSERT(HAL_DIRECT_SIZES == PGTABLE_LEAF_LEVELS);

void hal_direct_bytes(uint64_t bytes[HAL_DIRECT_SIZES])
{
    memset(bytes, 0, HAL_DIRECT_SIZES * sizeof(bytes[0]));
    pgtable_leaf_bytes(&kernel_space.pt, X64_DIRECT_BASE, X64_DIRECT_BASE + X64_DIRECT_SIZE, bytes);
}

vaddr_t hal_space_next(struct hal_space *space, vaddr_t va, vaddr_t end)
{
    return pgtable_next(&space->pt, va, end);
}

/* Instruction fetch is coherent with stores on x86. */
void hal_icache_sync(paddr_t pa, size_t len)
{
    (void)pa;
    (void)len;
}
