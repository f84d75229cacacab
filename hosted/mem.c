/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem.c - RAM is a memfd, mapped whole at hosted_direct_map; the initial archive is a read-only
 * mapping of its file.
 *
 * The host gives the file memory when it is touched, in small pages: 2.6 us each, then 0.3 us for
 * each entry that maps one and 0.1 us for each that goes. Two ways are cheaper:
 *
 *   large pages   MADV_COLLAPSE (Linux 6.1) makes a block of 2 MiB one page, whatever the
 *                 administrator's settings say: 0.3 us for 4 KiB, hardly anything for mapping and
 *                 unmapping. As much as 64 small pages cost, so it is done when that much of a
 *                 block has been mapped. The bytes stay what they are at all times: no lock.
 *   pwrite        of zeroes, for memory that is zero and nobody's yet: small pages for 1.4 us.
 *
 * A host that has no free large blocks may need 10 ms for one: then some are left out, four times
 * as many each time. One that cannot is soon no longer asked.
 */
#include "hosted.h"

#define CLOCK_THREAD_CPUTIME_ID 3
#define LARGE_PAGES (HOSTED_LARGE_PAGE / HAL_PAGE_SIZE)
#define LARGE_USED 64            /* pages mapped that are worth making a block large */
#define LARGE_LATER (-4 * 512)   /* how many it takes when it was left out */
#define LARGE_SLOW_NS 1300000ull /* small pages would have been faster */
#define LARGE_SKIP_MIN 8u
#define LARGE_SKIP_MAX 512u
#define LARGE_FAILURES_MAX 8u
#define FILL_MIN (128 * HAL_PAGE_SIZE) /* less is left to be touched: much of it may never be */
#define FILL_SIZE (64ul << 10)

uintptr_t hosted_direct_map;

static struct hal_region ram;
static struct hal_boot_info boot_info;

/* ---- how the host holds it --------------------------------------------------------------------
 */

/* Pages mapped of each block of the file, LARGE_USED when it has been made large. Relaxed atomics
 * here and below: hints. */
static int16_t *ram_used;
static unsigned large_failures, large_skip, large_skip_next;
static long zeroes; /* FILL_SIZE bytes; 0 or an error of the host's: none */

static void *host_zero_pages(size_t len, long prot)
{
    long at = host_call6(HOST_mmap, 0, (long)len, prot,
                         HOST_MAP_PRIVATE | HOST_MAP_ANONYMOUS | HOST_MAP_NORESERVE, -1, 0);

    return at < 0 ? NULL : (void *)at;
}

static void ram_init(void)
{
    size_t blocks = hosted_config.ram_size / HOSTED_LARGE_PAGE + 1;

    ram_used = host_zero_pages(blocks * sizeof(*ram_used), HOST_PROT_READ | HOST_PROT_WRITE);
    zeroes = (long)host_zero_pages(FILL_SIZE, HOST_PROT_READ);
}

static uint64_t cpu_time_ns(void)
{
    struct host_timespec ts = {0, 0};

    (void)host_call3(HOST_clock_gettime, CLOCK_THREAD_CPUTIME_ID, (long)&ts, 0);
    return (uint64_t)ts.sec * 1000000000 + (uint64_t)ts.nsec;
}

/* The block was made large in so many ns: shall the next ones be? */
static void large_took(uint64_t ns)
{
    unsigned next = 0;

    if (ns > LARGE_SLOW_NS) {
        next = __atomic_load_n(&large_skip_next, __ATOMIC_RELAXED);
        next = next ? MIN(next * 4, LARGE_SKIP_MAX) : LARGE_SKIP_MIN;
    }
    __atomic_store_n(&large_skip_next, next, __ATOMIC_RELAXED);
    __atomic_store_n(&large_skip, next, __ATOMIC_RELAXED);
}

static bool block_make_large(uint64_t block)
{
    long at = (long)(hosted_direct_map + hosted_config.ram_base + block * HOSTED_LARGE_PAGE);
    unsigned skip = __atomic_load_n(&large_skip, __ATOMIC_RELAXED);
    uint64_t start;

    if ((block + 1) * HOSTED_LARGE_PAGE > hosted_config.ram_size ||
        __atomic_load_n(&large_failures, __ATOMIC_RELAXED) >= LARGE_FAILURES_MAX)
        return false;
    if (skip) {
        __atomic_store_n(&large_skip, skip - 1, __ATOMIC_RELAXED);
        __atomic_store_n(&ram_used[block], LARGE_LATER, __ATOMIC_RELAXED);
        return false;
    }
    start = cpu_time_ns();
    __atomic_store_n(&ram_used[block], LARGE_USED, __ATOMIC_RELAXED);
    /* It wants a page to be there. */
    (void)host_call3(HOST_madvise, at, HAL_PAGE_SIZE, HOST_MADV_POPULATE_WRITE);
    if (host_call3(HOST_madvise, at, HOSTED_LARGE_PAGE, HOST_MADV_COLLAPSE) < 0) {
        __atomic_add_fetch(&large_failures, 1, __ATOMIC_RELAXED);
        return false;
    }
    large_took(cpu_time_ns() - start);
    return true;
}

void hosted_ram_use(paddr_t pa, size_t len)
{
    uint64_t at = pa - hosted_config.ram_base, end = at + len;

    while (at < end && ram_used) {
        uint64_t block = at / HOSTED_LARGE_PAGE, next = MIN((block + 1) * HOSTED_LARGE_PAGE, end);
        int pages = (int)((next - at) / HAL_PAGE_SIZE);
        int used = __atomic_load_n(&ram_used[block], __ATOMIC_RELAXED);

        if (used < LARGE_USED) {
            __atomic_store_n(&ram_used[block], (int16_t)(used + pages), __ATOMIC_RELAXED);
            if (used + pages >= LARGE_USED)
                (void)block_make_large(block);
        }
        at = next;
    }
}

/* Nobody else has the memory, so what is written is what is there. */
static void ram_fill(paddr_t pa, size_t len)
{
    long at = (long)(pa - hosted_config.ram_base);

    for (size_t n; len > 0 && zeroes; at += (long)n, len -= n) {
        n = MIN(len, FILL_SIZE);
        (void)host_call4(HOST_pwrite64, hosted_config.ram_fd, zeroes, (long)n, at);
    }
}

void hosted_ram_prepare(paddr_t pa, size_t len)
{
    uint64_t block = (pa - hosted_config.ram_base) / HOSTED_LARGE_PAGE;

    if (len < FILL_MIN || !ram_used)
        return;
    if (len < HOSTED_LARGE_PAGE)
        ram_fill(pa, len);
    for (; len >= HOSTED_LARGE_PAGE; len -= HOSTED_LARGE_PAGE, pa += HOSTED_LARGE_PAGE)
        if (!block_make_large(block++))
            ram_fill(pa, HOSTED_LARGE_PAGE);
}

void hosted_inner_init(void)
{
    const struct hosted_config *c = &hosted_config;

    hosted_pid = (int32_t)host_call3(HOST_getpid, 0, 0, 0);
    ram = (struct hal_region){.base = c->ram_base, .len = c->ram_size};
    boot_info = (struct hal_boot_info){
        .ram = &ram,
        .ram_count = 1,
        .ram_zeroed = true,
        .cmdline = c->cmdline,
        .initrd = c->initrd,
        .initrd_len = c->initrd_size,
        .ram_total = c->ram_size,
        .command = c->command,
        .machine = "hosted",
    };
    hosted_direct_map = c->direct_map;
    ram_init();
    if (!SELKIE_SIM) /* there it is the simulated CPU that counts (cpu.c) */
        isa_fp_setup();
    hosted_mmu_init();
    hosted_signals_install();
}

bool hosted_window(unsigned i, uintptr_t *lo, uintptr_t *hi)
{
    const struct hal_layout *l = hal_layout();

    if (i >= l->user_count)
        return false;
    *lo = l->user[i].lo;
    *hi = l->user[i].hi;
    return true;
}

const struct hal_boot_info *hal_boot_info(void)
{
    return &boot_info;
}
