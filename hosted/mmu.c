/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mmu.c - address spaces: software page tables, and the host's mappings as their TLB.
 *
 * Each space has real page tables (platform/common/pgtable.c) in the machine's RAM, which is a
 * memfd. The host's mappings of that file in this process are a cache of the tables of the active
 * space: calls here change the tables first, then the cache. Entries may be missing from the cache
 * at any time; a fault on a page that the tables allow loads it (hosted_mmu_refill). So a host
 * that runs out of mappings (vm.max_map_count) costs time, not correctness: the user part of the
 * cache is emptied and fills again.
 *
 * Only the kernel's own space, where stacks live, must be complete at all times.
 *
 * One user space can be active in one host process. The windows belong to it until another is
 * activated, which empties the cache.
 *
 * mirror_lock: every host call that maps user pages is made under it, after reading the tables
 * under it. Whoever changes the tables takes it afterwards to change the cache. So (1) a refill
 * that read old tables is followed by the change's own host call, and (2) once a change has held
 * the lock no refill looks at table pages it detached: they may be freed.
 */
#include "hosted.h"

#include "isa/pte.h"
#include "lib/errno.h"

#define REFILL_PAGES 64 /* loaded at most around a missing page, on either side */

static struct hal_space kernel_space;
static bool kernel_space_ready;
static struct hal_space *active; /* guarded by mirror_lock */
static uint32_t mirror_lock_word;

/* Sanitizers own what lies between and above the windows (shadow, allocator). */
#if SELKIE_ASAN
#define WINDOWS \
    {0x10000, 0x7fff0000}, \
    { \
        0x200000000000, 0x300000000000 \
    }
#define WINDOW_COUNT 2
#define WINDOW_END 0x300000000000
#elif SELKIE_TSAN
#define WINDOWS \
    { \
        0x10000, 0x7f00000000 \
    }
#define WINDOW_COUNT 1
#define WINDOW_END 0x7f00000000
#else
/* Below where Linux puts position-independent executables (0x55..), libraries and stacks. */
#define WINDOWS \
    { \
        0x10000, 0x500000000000 \
    }
#define WINDOW_COUNT 1
#define WINDOW_END 0x500000000000
#endif

static struct hal_layout layout = {
    .user = {WINDOWS},
    .user_count = WINDOW_COUNT,
    .user_end = WINDOW_END,
};

#if SELKIE_ASAN
/* The compilers' shadow on x86-64: of an address, a byte at address / 8 + this. What speaks of
 * programs' addresses, null included, cannot be read, so that checked code that touches them
 * faults; copy-in and copy-out are assembly, which is not checked. */
#define SHADOW 0x7fff8000ul
static uintptr_t shadow_lo(unsigned window)
{
    return SHADOW + (window ? layout.user[window].lo / 8 : 0);
}
static void shadow_close(void)
{
    for (unsigned i = 0; i < WINDOW_COUNT; i++) {
        uintptr_t lo = shadow_lo(i), hi = SHADOW + layout.user[i].hi / 8;

        if (host_call3(HOST_mprotect, (long)lo, (long)(hi - lo), 0) < 0)
            kernel_hal_panic("the shadow of user memory cannot be closed", 0, 0);
    }
}
bool hosted_mmu_is_shadow(vaddr_t addr)
{
    for (unsigned i = 0; i < WINDOW_COUNT; i++)
        if (addr >= shadow_lo(i) && addr < SHADOW + layout.user[i].hi / 8)
            return true;
    return false;
}
#endif

void hosted_mmu_init(void)
{
    layout.kernel_lo = hosted_config.kernel_lo;
    layout.kernel_hi = hosted_config.kernel_hi;
#if SELKIE_ASAN
    shadow_close();
#endif
}

const struct hal_layout *hal_layout(void)
{
    return &layout;
}

static unsigned long mirror_lock(void)
{
    unsigned long irq = hal_irq_save();

    /* Acquire, and release below: the guarded words and the tables. */
    while (__atomic_exchange_n(&mirror_lock_word, 1, __ATOMIC_ACQUIRE))
        hal_cpu_relax();
    return irq;
}

static void mirror_unlock(unsigned long irq)
{
    __atomic_store_n(&mirror_lock_word, 0, __ATOMIC_RELEASE);
    hal_irq_restore(irq);
}

/* ---- host calls ---- */

static long host_prot(unsigned prot)
{
    return (prot & HAL_PROT_READ ? HOST_PROT_READ : 0) |
           (prot & HAL_PROT_WRITE ? HOST_PROT_READ | HOST_PROT_WRITE : 0) |
           (prot & HAL_PROT_EXEC ? HOST_PROT_READ | HOST_PROT_EXEC : 0);
}

static bool in_kernel_window(vaddr_t va)
{
    return va >= hosted_config.kernel_lo && va < hosted_config.kernel_hi;
}

/*
 * Where a page of a shared file is read first, Linux enters all that the file has within the same
 * 64 KiB (fault_around_bytes), writable if the mapping is; where it is written, only that page. So
 * one read per 64 KiB fills the host's page table, in a third of the time that MAP_POPULATE takes,
 * which then looks up every page again. What is not filled now (a page that the file does not have
 * yet, a host that is set otherwise) the host enters when it is used.
 */
#define HOST_FAULT_AROUND (64ul << 10)

static void mirror_touch(vaddr_t va, size_t len)
{
    uint32_t word;

    /* A host without memory raises SIGBUS: then the program gets its own when it comes there. */
    for (vaddr_t at = va; at < va + len && isa_user_load_u32((const uint32_t *)at, &word) == 0;)
        at = align_down(at, HOST_FAULT_AROUND) + HOST_FAULT_AROUND;
}

static long mirror_map(vaddr_t va, paddr_t pa, size_t len, unsigned prot)
{
    bool kernel = in_kernel_window(va);
    long flags = HOST_MAP_FIXED, result;

    /* Sanitizers fork their symbolizer: the child must not share the stack it runs on. */
    flags |= SELKIE_SANITIZE && kernel ? HOST_MAP_PRIVATE : HOST_MAP_SHARED;
    flags |= kernel ? HOST_MAP_POPULATE : 0;
    result = host_call6(HOST_mmap, (long)va, (long)len, host_prot(prot), flags,
                        hosted_config.ram_fd, (long)(pa - hosted_config.ram_base));
    if (result >= 0 && !kernel && host_prot(prot))
        mirror_touch(va, len);
    return result;
}

/* One call per window: nothing is split, so this cannot fail for want of mappings. */
static void mirror_drop_all(void)
{
    for (unsigned i = 0; i < layout.user_count; i++)
        if (host_call3(HOST_munmap, (long)layout.user[i].lo,
                       (long)(layout.user[i].hi - layout.user[i].lo), 0) < 0)
            kernel_hal_panic("host munmap failed", 0, 0);
}

/* The place of kernel memory that is no more stays reserved. False if the host has no mappings
 * left: this may need two more. */
static bool mirror_reserve(vaddr_t va, size_t len)
{
    return host_call6(HOST_mmap, (long)va, (long)len, 0,
                      HOST_MAP_PRIVATE | HOST_MAP_ANONYMOUS | HOST_MAP_FIXED | HOST_MAP_NORESERVE,
                      -1, 0) >= 0;
}

static void mirror_drop(vaddr_t va, size_t len)
{
    if (in_kernel_window(va)) {
        if (!mirror_reserve(va, len)) {
            mirror_drop_all();
            if (!mirror_reserve(va, len))
                kernel_hal_panic("host mmap of the kernel window failed", 0, 0);
        }
        return;
    }
    /* What lies between the windows is not the program's. */
    for (unsigned i = 0; i < layout.user_count; i++) {
        vaddr_t lo = MAX(va, layout.user[i].lo), hi = MIN(va + len, layout.user[i].hi);

        if (lo < hi && host_call3(HOST_munmap, (long)lo, (long)(hi - lo), 0) < 0)
            mirror_drop_all();
    }
}

/* Under the lock. */
static int mirror_load(vaddr_t va, paddr_t pa, size_t len, unsigned prot)
{
    if (mirror_map(va, pa, len, prot) >= 0)
        return 0;
    mirror_drop_all();
    return mirror_map(va, pa, len, prot) >= 0 ? 0 : -ENOMEM;
}

/* Is the space one that the host's mappings stand for? Under the lock. */
static bool mirrored(const struct hal_space *space)
{
    return space == &kernel_space || space == active;
}

/* ---- spaces ---- */

static const struct pgtable_ops table_ops = {
    .alloc = kernel_table_alloc,
    .free = kernel_table_free,
};

int hal_space_create(struct hal_space *space)
{
    return pgtable_init(&space->pt, &table_ops);
}

void hal_space_destroy(struct hal_space *space)
{
    unsigned long irq = mirror_lock();

    if (space == active) {
        active = NULL;
        mirror_drop_all();
    }
    mirror_unlock(irq);
    pgtable_destroy(&space->pt, layout.user[0].lo, WINDOW_END);
}

/* Make the host's mappings stand for this space; under the lock. */
static void mirror_take(struct hal_space *space)
{
    if (!space || space == &kernel_space || space == active)
        return;
    if (active)
        mirror_drop_all();
    active = space;
}

/* Kernel threads run in the kernel's space, which is there in any case: the cache stays as it is.
 * Two CPUs are in different programs' spaces only while execve waits for the old program's last
 * threads, which no longer touch user memory, to leave. */
void hal_space_activate(struct hal_space *space)
{
    unsigned long irq = mirror_lock();

    vcpu_self()->space = space;
    mirror_take(space);
    mirror_unlock(irq);
}

struct hal_space *hal_space_kernel(void)
{
    return &kernel_space;
}

/* The kernel's table is made when it is first used: at boot, on one CPU, when the kernel has pages
 * to give. */
static int kernel_space_prepare(struct hal_space *space)
{
    int err;

    if (space != &kernel_space || kernel_space_ready)
        return 0;
    err = pgtable_init(&kernel_space.pt, &table_ops);
    kernel_space_ready = err == 0;
    return err;
}

static bool has_table(const struct hal_space *space)
{
    return space != &kernel_space || kernel_space_ready;
}

/* Bring the cache in line with a run of pages that the tables now map. Only for the kernel's space
 * is a failure one: programs' pages can still be loaded when they fault. */
static int mirror_update(struct hal_space *space, vaddr_t va, paddr_t pa, size_t len, unsigned prot)
{
    unsigned long irq = mirror_lock();
    int err = 0;

    if (mirrored(space))
        err = mirror_load(va, pa, len, prot);
    if (err && space != &kernel_space) {
        mirror_drop_all();
        err = 0;
    }
    mirror_unlock(irq);
    return err;
}

/* The tables may have changed in part: let the cache be filled by what they say. */
static void mirror_forget(struct hal_space *space, vaddr_t va, size_t len)
{
    unsigned long irq = mirror_lock();

    if (mirrored(space))
        mirror_drop(va, len);
    mirror_unlock(irq);
}

int hal_space_map(struct hal_space *space, vaddr_t va, paddr_t pa, size_t len, unsigned prot)
{
    struct pgtable_change change = {0};
    int err = kernel_space_prepare(space);

    if (err)
        return err;
    if (space != &kernel_space)
        hosted_ram_use(pa, len);
    err = pgtable_map(&space->pt, va, pa, len, prot, 0, &change);
    if (err == 0)
        err = mirror_update(space, va, pa, len, prot);
    else
        mirror_forget(space, va, len);
    pgtable_release(&space->pt, &change);
    return err;
}

int hal_space_map_pages(struct hal_space *space, vaddr_t va, const paddr_t *frames, size_t count,
                        unsigned prot)
{
    struct pgtable_change change = {0};
    int err = kernel_space_prepare(space);

    if (err)
        return err;
    err = pgtable_map_pages(&space->pt, va, frames, count, prot, &change);
    if (err)
        mirror_forget(space, va, count * HAL_PAGE_SIZE);
    for (size_t i = 0, n; i < count && err == 0; i += n) {
        n = 1;
        while (i + n < count && frames[i + n] == frames[i] + n * HAL_PAGE_SIZE)
            n++;
        if (space != &kernel_space)
            hosted_ram_use(frames[i], n * HAL_PAGE_SIZE);
        err = mirror_update(space, va + i * HAL_PAGE_SIZE, frames[i], n * HAL_PAGE_SIZE, prot);
    }
    pgtable_release(&space->pt, &change);
    return err;
}

int hal_stack_map(vaddr_t lo, size_t size, const paddr_t *frames, size_t count)
{
    /* This makes the table for all of the range. */
    return hal_space_map_pages(&kernel_space, lo + size - count * HAL_PAGE_SIZE, frames, count,
                               HAL_PROT_READ | HAL_PROT_WRITE);
}

/* Whoever was interrupted may hold the lock. It is not needed: the range belongs to the caller, and
 * what is dropped may be missing at any time. */
void hal_stack_grow(vaddr_t va, paddr_t pa)
{
    const unsigned prot = HAL_PROT_READ | HAL_PROT_WRITE;

    pgtable_fill(&kernel_space.pt, va, pa, prot);
    if (mirror_map(va, pa, HAL_PAGE_SIZE, prot) >= 0)
        return;
    mirror_drop_all();
    if (mirror_map(va, pa, HAL_PAGE_SIZE, prot) < 0)
        kernel_hal_panic("the host maps no memory any more", 0, 0);
}

void hal_space_unmap(struct hal_space *space, vaddr_t va, size_t len)
{
    struct pgtable_change change = {0};
    bool mapped;

    if (!has_table(space))
        return;
    mapped = pgtable_next(&space->pt, va, va + len) < va + len;
    /* Cannot fail: all leaves are small, there is nothing to split. */
    if (pgtable_unmap(&space->pt, va, len, &change) < 0)
        kernel_hal_panic("page-table unmap failed", 0, 0);
    /* Of empty tables nothing is in the cache: taking the lock is enough (2). */
    if (mapped)
        mirror_forget(space, va, len);
    else if (change.tables)
        mirror_unlock(mirror_lock());
    pgtable_release(&space->pt, &change);
}

/* mprotect fails on holes, so it is called for each run of mapped pages. */
void hal_space_protect(struct hal_space *space, vaddr_t va, size_t len, unsigned prot)
{
    struct pgtable_change change = {0};
    vaddr_t end = va + len;
    unsigned long irq;

    if (!has_table(space))
        return;
    if (pgtable_protect(&space->pt, va, len, prot, &change) < 0)
        kernel_hal_panic("page-table protect failed", 0, 0);
    irq = mirror_lock();
    while (mirrored(space) && va < end) {
        vaddr_t lo = pgtable_next(&space->pt, va, end), hi = lo;

        while (hi < end && pgtable_query(&space->pt, hi, NULL, NULL))
            hi += HAL_PAGE_SIZE;
        /* Not all of the run need be in the cache: what cannot be changed is dropped. */
        if (lo < hi && host_call3(HOST_mprotect, (long)lo, (long)(hi - lo), host_prot(prot)) < 0) {
            if (space == &kernel_space)
                kernel_hal_panic("host mprotect of kernel memory failed", 0, 0);
            mirror_drop(lo, hi - lo);
        }
        va = hi;
    }
    mirror_unlock(irq);
    pgtable_release(&space->pt, &change);
}

bool hal_space_query(struct hal_space *space, vaddr_t va, paddr_t *pa, unsigned *prot)
{
    if (!has_table(space) || !pgtable_query(&space->pt, va, pa, prot))
        return false;
    if (prot)
        *prot |= HAL_PTE_ACCESSED | HAL_PTE_DIRTY;
    return true;
}

vaddr_t hal_space_next(struct hal_space *space, vaddr_t va, vaddr_t end)
{
    return has_table(space) ? pgtable_next(&space->pt, va, end) : end;
}

/* RAM is a mapping of the host's, in pages that the host chooses (mem.c asks for large ones). */
void hal_direct_bytes(uint64_t bytes[HAL_DIRECT_SIZES])
{
    for (unsigned i = 0; i < HAL_DIRECT_SIZES; i++)
        bytes[i] = 0;
}

/* The host's CPUs keep instruction fetch coherent with stores. */
void hal_icache_sync(paddr_t pa, size_t len)
{
    (void)pa, (void)len;
}

/* ---- the miss handler ---- */

static bool in_window(vaddr_t addr)
{
    for (unsigned i = 0; i < layout.user_count; i++)
        if (addr >= layout.user[i].lo && addr < layout.user[i].hi)
            return true;
    return false;
}

static bool allows(unsigned prot, enum hal_access access)
{
    switch (access) {
    case HAL_ACCESS_READ:
        return prot & HAL_PROT_READ;
    case HAL_ACCESS_WRITE:
        return prot & HAL_PROT_WRITE;
    default:
        return prot & HAL_PROT_EXEC;
    }
}

/* Does the page at va continue the run that has `pa` at `base`? */
static bool run_continues(vaddr_t va, vaddr_t base, paddr_t pa, unsigned prot)
{
    paddr_t got;
    unsigned got_prot;

    return in_window(va) && pgtable_query(&active->pt, va, &got, &got_prot) &&
           got - pa == va - base && host_prot(got_prot) == host_prot(prot);
}

bool hosted_mmu_refill(vaddr_t addr, enum hal_access access, bool *present)
{
    vaddr_t page = align_down(addr, HAL_PAGE_SIZE), lo = page, hi = page + HAL_PAGE_SIZE;
    unsigned long irq;
    paddr_t pa;
    unsigned prot;
    bool loaded = false;

    *present = false;
    if (!in_window(addr))
        return false;
    irq = mirror_lock();
    mirror_take(vcpu_self()->space);
    if (active && pgtable_query(&active->pt, page, &pa, &prot)) {
        *present = true;
        if (allows(prot, access)) {
            while (page - lo < REFILL_PAGES * HAL_PAGE_SIZE &&
                   run_continues(lo - HAL_PAGE_SIZE, page, pa, prot))
                lo -= HAL_PAGE_SIZE;
            while (hi - page < REFILL_PAGES * HAL_PAGE_SIZE && run_continues(hi, page, pa, prot))
                hi += HAL_PAGE_SIZE;
            if (mirror_load(lo, pa - (page - lo), hi - lo, prot) < 0)
                kernel_hal_panic("the host maps no memory any more", 0, 0);
            loaded = true;
        }
    }
    mirror_unlock(irq);
    return loaded;
}
