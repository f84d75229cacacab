/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mmu.c - the kernel's page tables, address spaces, and TLB and cache maintenance.
 *
 * TTBR1 holds the kernel's mappings for ever; a space is a TTBR0 root and an ASID. ASID 0 belongs
 * to the kernel's (empty) lower half and to spaces that found no free one; those flush the TLB when
 * they are activated.
 *
 * TLB maintenance is broadcast to the inner shareable domain by the hardware, so no CPU has to ask
 * another. The order is always: store the entry; dsb ishst (table walks see it); tlbi; dsb ish
 * (every CPU is done); isb (DDI 0487, D8.13). An entry that was invalid may not be in any TLB:
 * then the first barrier is enough.
 */
#include "aarch64.h"
#include "common/kasan.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "protect.h"

#include "isa/pte.h"

#define LARGE_SIZE (2ull << 20)
#define FLUSH_PAGES_MAX 64 /* beyond that flush everything */
#define PROT_RW (HAL_PROT_READ | HAL_PROT_WRITE)
#define PROT_KERNEL PGTABLE_GLOBAL
#define ASID_COUNT 256u /* every implementation has 8 bits */
#define ASID_SHIFT 48
#define TLBI_VA(va) (((va) >> HAL_PAGE_SHIFT) & 0xfffffffffffull)

static struct hal_space kernel_space;
static struct pgtable empty_user; /* TTBR0 for kernel_space */
static struct bootmem *boot_memory;
static uint64_t asid_used[ASID_COUNT / 64] = {1}; /* atomic bits */

static void flush_now(struct pgtable *pt, vaddr_t va, size_t len);

/* ---- where table pages come from: boot memory, later the kernel ---- */

/* Until the final tables are active only one GiB is mapped. */
static paddr_t boot_table_limit;

static paddr_t boot_table_alloc(void)
{
    paddr_t pa = bootmem_alloc(boot_memory, HAL_PAGE_SIZE, HAL_PAGE_SIZE, boot_table_limit);

    if (pa == HAL_NO_PAGE || pa < aarch64_early_lo)
        return HAL_NO_PAGE;
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

/* ---- TLB ---- */

static void publish(void)
{
    __asm__ volatile("dsb ishst; isb" : : : "memory");
}

static void flush_all(void)
{
    __asm__ volatile("dsb ishst; tlbi vmalle1is; dsb ish; isb" : : : "memory");
}

static void flush_asid(uint64_t asid)
{
    __asm__ volatile("dsb ishst; tlbi aside1is, %0; dsb ish; isb"
                     :
                     : "r"(asid << ASID_SHIFT)
                     : "memory");
}

/* The forms without "last level only", so that cached upper levels go too. */
static void flush_range(const struct hal_space *space, vaddr_t lo, vaddr_t hi)
{
    bool kernel = space == &kernel_space;

    if ((hi - lo) >> HAL_PAGE_SHIFT > FLUSH_PAGES_MAX) {
        if (kernel)
            flush_all();
        else
            flush_asid(space->asid);
        return;
    }
    __asm__ volatile("dsb ishst" : : : "memory");
    for (vaddr_t va = lo; va != hi; va += HAL_PAGE_SIZE)
        if (kernel)
            __asm__ volatile("tlbi vaae1is, %0" : : "r"(TLBI_VA(va)) : "memory");
        else
            __asm__ volatile("tlbi vae1is, %0"
                             :
                             : "r"(TLBI_VA(va) | (uint64_t)space->asid << ASID_SHIFT)
                             : "memory");
    __asm__ volatile("dsb ish; isb" : : : "memory");
}

/* For the walker's break-before-make. */
static void flush_now(struct pgtable *pt, vaddr_t va, size_t len)
{
    flush_range(container_of(pt, struct hal_space, pt), va, va + len);
}

/* After an operation: flush what it changed, then free what it detached. */
static void finish(struct hal_space *space, struct pgtable_change *change)
{
    if (change->stale || change->tables)
        flush_range(space, change->lo, change->hi);
    else
        publish();
    pgtable_release(&space->pt, change);
}

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

/*
 * RAM at its fixed offset. Exactly RAM: what lies beside it may be device memory, which must not be
 * reachable through a cacheable mapping. The image's text and constants are not writable through it
 * either, so the 2 MiB they lie in are mapped by pages from the start (nothing is ever split).
 */
static void map_direct(const struct bootmem *ram)
{
    paddr_t text = hal_virt_to_phys(aarch64_image_begin);
    paddr_t data = hal_virt_to_phys(aarch64_data_begin);
    paddr_t done = 0;

    for (size_t i = 0; i < ram->count; i++) {
        paddr_t lo = MAX(align_up(ram->region[i].base, HAL_PAGE_SIZE), done);
        paddr_t hi = align_down(ram->region[i].base + ram->region[i].len, HAL_PAGE_SIZE);

        if (lo < hi)
            boot_cover(A64_DIRECT_BASE + lo, hi - lo);
        while (lo < hi) {
            bool image = lo >= text && lo < data;
            paddr_t end = image ? MIN(hi, data) : lo < text ? MIN(hi, text) : hi;

            boot_map(A64_DIRECT_BASE + lo, lo, end - lo, image ? HAL_PROT_READ : PROT_RW,
                     image ? 0 : 2);
            lo = end;
        }
        done = MAX(done, hi);
    }
}

/* From the early tables to the final ones. The code that does it stands in the identity map. */
static void activate_kernel(void)
{
    void (*replace)(uint64_t root) =
        (void (*)(uint64_t))(uintptr_t)hal_virt_to_phys(aarch64_replace_ttbr1);

    publish();
    replace(kernel_space.pt.root);
}

void aarch64_mmu_init(struct bootmem *bm, const struct bootmem *ram)
{
    boot_memory = bm;
    boot_table_limit = aarch64_early_lo + A64_EARLY_SIZE;
    boot_check(pgtable_init(&kernel_space.pt, &boot_ops));
    boot_check(pgtable_init(&empty_user, &boot_ops));
    map_direct(ram);
    map_image_part(aarch64_image_begin, aarch64_rodata_begin,
                   HAL_PROT_READ | HAL_PROT_EXEC | (a64_has_bti() ? HAL_PROT_LANDING : 0));
    map_image_part(aarch64_rodata_begin, aarch64_data_begin, HAL_PROT_READ);
    /* All but the guard page of the boot stack. */
    map_image_part(aarch64_data_begin, aarch64_boot_guard, PROT_RW);
    map_image_part(aarch64_boot_guard + HAL_PAGE_SIZE, aarch64_image_end, PROT_RW);
    boot_check(pgtable_populate_root(&kernel_space.pt, A64_WINDOW_LO, A64_WINDOW_HI));
    if (SELKIE_KASAN) {
        boot_cover((vaddr_t)aarch64_image_begin,
                   (uint64_t)(aarch64_image_end - aarch64_image_begin));
        boot_check(pgtable_populate_root(&kernel_space.pt, kasan_shadow(A64_WINDOW_LO),
                                         kasan_shadow(A64_WINDOW_HI)));
    }
    activate_kernel();
    if (SELKIE_KASAN)
        kasan_start(&kernel_space.pt);
    aarch64_mmu_init_cpu();
    /* The other CPUs turn their MMU on with the final kernel half, and read this without caches. */
    aarch64_secondary.ttbr1 = kernel_space.pt.root;
    __asm__ volatile("dc civac, %0; dsb sy" : : "r"(&aarch64_secondary) : "memory");
    boot_table_limit = A64_DIRECT_SIZE;
    kernel_space.pt.ops = &kernel_ops;
}

/* TTBR1 is final on every CPU that comes here; the identity map goes. */
void aarch64_mmu_init_cpu(void)
{
    aarch64_this_cpu()->space = &kernel_space;
    publish();
    a64_write(ttbr0_el1, empty_user.root);
    __asm__ volatile("isb; tlbi vmalle1; dsb nsh; isb" : : : "memory");
}

/* Before kernel addresses are mapped: 0 or -ENOMEM. */
static int cover(vaddr_t va, size_t len)
{
    return SELKIE_KASAN ? kasan_cover(&kernel_space.pt, va, len, PROT_RW | PROT_KERNEL) : 0;
}

static volatile void *mmio_map(paddr_t pa, size_t len, const struct pgtable_ops *ops)
{
    static vaddr_t next = A64_MMIO_LO;
    paddr_t lo = align_down(pa, HAL_PAGE_SIZE), end;
    struct pgtable_change change = {0};
    vaddr_t va = next;
    size_t size;
    int err;

    if (add_overflow(pa, len, &end) || end > A64_PHYSICAL_END)
        return NULL;
    size = align_up(end, HAL_PAGE_SIZE) - lo;
    if (size > A64_MMIO_HI - next)
        return NULL;
    next += size;
    kernel_space.pt.ops = ops;
    err = cover(va, size);
    if (!err)
        err = pgtable_map(&kernel_space.pt, va, lo, size, PROT_RW | PGTABLE_DEVICE | PROT_KERNEL, 0,
                          &change);
    kernel_space.pt.ops = &kernel_ops;
    publish();
    return err ? NULL : (volatile char *)va + (pa - lo);
}

volatile void *aarch64_mmio_map(paddr_t pa, size_t len)
{
    volatile void *regs = mmio_map(pa, len, &boot_ops);

    if (!regs)
        kernel_hal_panic("device registers cannot be mapped", 0, 0);
    return regs;
}

volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    return mmio_map(pa, len, &kernel_ops);
}

/* ---- address spaces ---- */

struct hal_space *hal_space_kernel(void)
{
    return &kernel_space;
}

/* A free ASID, or 0. Relaxed: the number orders nothing; what was cached under it has been flushed
 * before asid_put's release. */
static uint16_t asid_get(void)
{
    for (unsigned i = 0; i < ASID_COUNT / 64; i++) {
        uint64_t used = __atomic_load_n(&asid_used[i], __ATOMIC_RELAXED);

        while (~used) {
            unsigned bit = (unsigned)__builtin_ctzll(~used);

            if (__atomic_compare_exchange_n(&asid_used[i], &used, used | 1ull << bit, false,
                                            __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
                return (uint16_t)(i * 64 + bit);
        }
    }
    return 0;
}

static void asid_put(uint16_t asid)
{
    if (asid)
        __atomic_fetch_and(&asid_used[asid / 64], ~(1ull << asid % 64), __ATOMIC_RELEASE);
}

int hal_space_create(struct hal_space *space)
{
    int err = pgtable_init(&space->pt, &kernel_ops);

    space->pt.deposits = true;
    if (!err)
        space->asid = asid_get();
    return err;
}

void hal_space_destroy(struct hal_space *space)
{
    flush_asid(space->asid);
    asid_put(space->asid);
    pgtable_destroy(&space->pt, 0, 1ull << A64_USER_END_BIT);
}

void hal_space_activate(struct hal_space *space)
{
    struct aarch64_cpu *cpu = aarch64_this_cpu();
    paddr_t root = space == &kernel_space ? empty_user.root : space->pt.root;

    if (cpu->space == space)
        return;
    cpu->space = space;
    publish();
    a64_write(ttbr0_el1, root | (uint64_t)space->asid << ASID_SHIFT);
    a64_isb();
    /* The kernel's ASID may hold what a space without its own left behind. */
    if (space->asid == 0)
        __asm__ volatile("tlbi aside1, %0; dsb nsh; isb" : : "r"(0ull) : "memory");
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
    publish();
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

/* Lookups of the kernel's space see the kernel half only: the walker's root index ignores the upper
 * address bits. */
static bool in_half(const struct hal_space *space, vaddr_t va)
{
    return (space == &kernel_space) == (va >= A64_DIRECT_BASE);
}

bool hal_space_query(struct hal_space *space, vaddr_t va, paddr_t *pa, unsigned *prot)
{
    bool mapped = in_half(space, va) && pgtable_query(&space->pt, va, pa, prot);

    if (mapped && prot)
        *prot &= ~(PGTABLE_DEVICE | PGTABLE_GLOBAL);
    return mapped;
}

STATIC_ASSERT(HAL_DIRECT_SIZES == PGTABLE_LEAF_LEVELS);

void hal_direct_bytes(uint64_t bytes[HAL_DIRECT_SIZES])
{
    memset(bytes, 0, HAL_DIRECT_SIZES * sizeof(bytes[0]));
    pgtable_leaf_bytes(&kernel_space.pt, A64_DIRECT_BASE, A64_DIRECT_BASE + A64_DIRECT_SIZE, bytes);
}

vaddr_t hal_space_next(struct hal_space *space, vaddr_t va, vaddr_t end)
{
    return pgtable_next(&space->pt, va, end);
}

/* ---- instruction cache ---- */

#define CTR_DMINLINE(ctr) (4ul << ((ctr) >> 16 & 15))
#define CTR_IMINLINE(ctr) (4ul << ((ctr)&15))
#define CTR_PIPT(ctr) (((ctr) >> 14 & 3) == 3)

/*
 * Clean the data cache and invalidate the instruction caches to the point of unification (DDI 0487,
 * B2.7.4.2). The data side works by any alias; the instruction side only if the caches are
 * physically tagged (PIPT), else all of it goes. Both are broadcast; another CPU that runs the new
 * code needs an isb of its own, which it gets by the exception return into it.
 */
void hal_icache_sync(paddr_t pa, size_t len)
{
    uint64_t ctr = a64_read(ctr_el0);
    uintptr_t begin = (uintptr_t)hal_phys_to_virt(pa), end = begin + len;

    for (uintptr_t at = align_down(begin, CTR_DMINLINE(ctr)); at < end; at += CTR_DMINLINE(ctr))
        __asm__ volatile("dc cvau, %0" : : "r"(at) : "memory");
    __asm__ volatile("dsb ish" : : : "memory");
    if (CTR_PIPT(ctr))
        for (uintptr_t at = align_down(begin, CTR_IMINLINE(ctr)); at < end; at += CTR_IMINLINE(ctr))
            __asm__ volatile("ic ivau, %0" : : "r"(at) : "memory");
    else
        __asm__ volatile("ic ialluis" : : : "memory");
    __asm__ volatile("dsb ish; isb" : : : "memory");
}
